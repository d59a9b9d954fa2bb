"""`overt report`: reads run folders, and writes one page with its plots, figures and table beside it.

1. `read_runs` reads each folder; a target that another run has too gets the folder's name.
2. Runs of one policy, one suite and one kind of answer form one part, as their rates can be compared.
3. `_block` makes one part of the page: statistics, plots, gallery, rewordings.
4. index.html, summary.json, table.md and plots/ are written.
"""

from __future__ import annotations

import dataclasses
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from overt.data.errors import InputError
from overt.data.json_types import Json
from overt.data.judge_check_history import last_check
from overt.data.progress import Progress, Silent
from overt.data.records import Prompt
from overt.data.replies import read_reply
from overt.data.results.boundaries import Boundaries
from overt.data.results.explanation import Explanation
from overt.data.results.files import read_summary
from overt.data.results.remedy import Remedy
from overt.data.results.summary import Summary
from overt.data.run import brief
from overt.data.run.brief import told
from overt.data.run.counted import is_counted
from overt.data.run.files import dump_json, speaking_os_errors, text_bytes, write_atomic
from overt.data.typed_json import to_json
from overt.review.corrected import attached, without_labels
from overt.scoring.summary.gather import Prompts
from overt.scoring.summary.summarize import Gathered, categories_of, summary_of_rows
from overt.tasks import report_episodes
from overt.tasks.report_runs import ReportedRun, read_runs

if TYPE_CHECKING:
    from overt.report.block import Block, JudgeLine
    from overt.report.gallery import Gallery, Source
    from overt.report.rewrites import Rewordings

T = TypeVar("T")
BOUNDARIES = "emotional_boundaries"  # suite and policy whose answers get boundary scores

Group = tuple[str, str, bool]  # policy hash, suite, is_text: equal for all runs of one part


def write_report(
    folders: Sequence[Path], out: Path, *, images: bool = True, progress: Progress | None = None
) -> Path:
    """Writes `index.html`, `summary.json`, `table.md` and `plots/` into `out`. Returns the path of the page.

    Args:
        folders: complete runs of `overt run`. Runs with the same policy, suite and kind of answer (text or
            pictures) share one part of the page, since a text may be benign under one policy and unsafe under
            another. With several parts, `summary.json` holds a list `parts`, and each part has its own folder
            in `plots/`.
        images: put thumbnails into the gallery.
        progress: is told of large files that are read.

    Raises:
        InputError: a folder is not a complete run of `overt run`, or a prompt has different labels in two
            runs of one part.
        RunError: `out` cannot be written.
    """
    from overt.report.markdown import render_markdown
    from overt.report.page import render
    from overt.report.provenance import build_provenance

    runs = read_runs(folders)
    groups: dict[Group, list[ReportedRun]] = {}
    for run in runs:
        groups.setdefault((run.policy.hash, run.facts.suite, run.is_text), []).append(run)
    titles = _titles(list(groups.values()))
    many = len(groups) > 1
    with speaking_os_errors("cannot write the report"):
        out.mkdir(parents=True, exist_ok=True)
        blocks = [
            _block(
                group,
                title,
                out / "plots" / (f"{i}-{_slug(title)}" if many else ""),
                images=images,
                share=1 / len(runs),
                progress=progress or Silent(),
            )
            for i, (group, title) in enumerate(zip(groups.values(), titles, strict=True), 1)
        ]
        page = render(blocks, build_provenance([run.facts for run in runs]))
        figures = [_figures(block) for block in blocks]
        tables = [
            render_markdown(block.summary, title=block.title if many else "", episodes=block.episodes)
            for block in blocks
        ]
        write_atomic(out / "summary.json", dump_json({"parts": figures} if many else figures[0]))
        write_atomic(out / "table.md", text_bytes("\n".join(tables)))
        write_atomic(out / "index.html", text_bytes(page))
    return out / "index.html"


# -- group ----------------------------------------------------------------------------------------------


def _titles(groups: Sequence[Sequence[ReportedRun]]) -> list[str]:
    """Titles of the parts; the run folders are added if two titles are equal."""
    titles = []
    for group in groups:
        first = group[0]
        name = f"Suite {first.facts.suite}" if first.facts.suite else f"Policy {first.policy.name}"
        titles.append(f"{name}: {'answers in text' if first.is_text else 'pictures and filters'}")
    folders = [", ".join(run.folder.resolve().name for run in group) for group in groups]
    return [
        title if titles.count(title) == 1 else f"{title} ({names})"
        for title, names in zip(titles, folders, strict=True)
    ]


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.casefold()).strip("-")[:40]


# -- build ----------------------------------------------------------------------------------------------


def _block(
    group: Sequence[ReportedRun],
    title: str,
    plots: Path,
    *,
    images: bool,
    share: float,
    progress: Progress,
) -> Block:
    """Builds one part of the page and writes its plots into `plots`.

    Args:
        share: each run's share of the page's bytes, 0 to 1.
    """
    from overt.report.block import Block
    from overt.report.plots import write_plots
    from overt.report.sections.episodes import plotted

    read = _gathered(group, progress)
    summary = _summary(group, read)
    remedy, boundaries = _remedy(group), _boundaries(group)
    galleries = [
        _gallery(run, source, images=images, share=share)
        for run, source in zip(group, read.sources, strict=True)
    ]
    rewordings = [_rewordings(run, images=images, share=share) for run in group]
    calibrations = [run.calibration for run in group if run.calibration]
    episodes = report_episodes.together(group)
    sections = plotted(episodes) if episodes else {}
    browsed = [report_episodes.to_browse(run, images=images, share=share) for run in group]
    return Block(
        summary,
        title,
        _together(galleries),
        write_plots(
            summary,
            plots,
            remedy=remedy,
            boundaries=boundaries,
            calibrations=calibrations,
            sections=sections,
        ),
        remedy,
        _together(rewordings),
        boundaries,
        _judges(group),
        rows_left_out=sum(gallery.rows_left_out for gallery in galleries),
        rewordings_left_out=sum(found.rows_left_out for found in rewordings),
        explanations=[run.explanation for run in group if run.explanation],
        calibrations=calibrations,
        suite=group[0].facts.suite,
        episodes=episodes,
        episode_cases=_together(browsed),
        episodes_left_out=sum(found.left_out for found in browsed),
    )


def _together(parts: Iterable[Iterable[T]]) -> list[T]:
    return [row for part in parts for row in part]


@dataclass(frozen=True, slots=True)
class _Read:
    """The records of some runs as columns, and the cases of each."""

    found: Gathered
    sources: Sequence[Source]


def _gathered(group: Sequence[ReportedRun], progress: Progress) -> _Read:
    from overt.report.gallery import Source

    merged = _Merged(group, progress)
    found = Gathered(merged.asked)
    sources = []
    for run in group:
        outcomes, harms = brief.outcomes_of(run.folder), brief.harms_of(run.folder)
        as_asked = brief.as_asked_of(run.folder)
        rows, verdicts = found.add(
            told(outcomes, progress), told(harms, progress), as_asked, run.kinds, run.names
        )
        sources.append(Source(rows, verdicts, merged.records, outcomes.at, harms.at, run.names))
    return _Read(found, sources)


def _summary(group: Sequence[ReportedRun], read: _Read) -> Summary:
    """The statistics of all runs together, with the rates that the labels of each run correct. Those of a
    single run are taken from its folder, if they are still of its records."""
    first = group[0]
    if len(group) == 1 and not first.names and is_counted(first.run):
        summary = without_labels(read_summary(first.folder))
    else:
        summary = summary_of_rows(read.found, categories_of(first.policy, read.found.asked))
    for run in group:
        summary = attached(summary, run.corrections)
    return summary


class _Merged:
    """The prompts of all runs by id, as the first run that has one has it.

    Raises:
        InputError: a prompt has different labels in two runs.
    """

    def __init__(self, runs: Sequence[ReportedRun], progress: Progress) -> None:
        found = Prompts()
        self._files = [brief.prompts_of(run.folder) for run in runs]
        self._starts: list[int] = []  # the place of the first prompt that only this run and later ones have
        for run, file in zip(runs, self._files, strict=True):
            self._starts.append(len(found.places))
            for at, prompt in told(file, progress):
                known = found.label_of(prompt.id)
                if known is None:
                    found.add(at, prompt)
                elif known != prompt.label:
                    [text] = [one.text for one in file.at([at])]
                    raise InputError(
                        f"a prompt is {known} in one run and {prompt.label} here: {text[:60]!r}",
                        where=str(run.folder),
                        fix="Make one report for each run.",
                    )
        self.asked = found.asked()

    def records(self, places: Sequence[int]) -> Iterator[Prompt]:
        """The prompts at these places of `asked`."""
        for place in places:
            file = self._files[bisect_right(self._starts, place) - 1]
            yield from file.at([int(self.asked.at[place])])


def _gallery(run: ReportedRun, source: Source, *, images: bool, share: float) -> Gallery:
    from overt.report import episodes, gallery
    from overt.report import rewrites as rewordings

    room = gallery.PAGE_BUDGET - (rewordings.PAGE_BUDGET if run.rewriting else 0)
    if run.episodes is not None:
        room -= episodes.PAGE_BUDGET
    return gallery.build_gallery(
        source,
        run.folder,
        images=images,
        text_budget=int(gallery.TEXT_BUDGET * share),
        page_budget=int(room * share),
    )


def _rewordings(run: ReportedRun, *, images: bool, share: float) -> Rewordings:
    from overt.report import rewrites as rewordings

    if run.rewriting is None:
        return rewordings.Rewordings()
    chosen = {choice.prompt_id for choice in run.rewriting.choices}
    prompts = {prompt.id: prompt for prompt in brief.prompts_of(run.folder).wholes() if prompt.id in chosen}
    outcomes = (
        dataclasses.replace(outcome, target=run.names.get(outcome.target, outcome.target))
        for outcome in brief.outcomes_of(run.folder).wholes()
        if outcome.sample == 0 and outcome.prompt_id in chosen
    )
    return rewordings.build_rewordings(
        prompts,
        outcomes,
        run.rewriting,
        run.folder,
        images=images,
        text_budget=int(rewordings.TEXT_BUDGET * share),
        page_budget=int(rewordings.PAGE_BUDGET * share),
    )


def _remedy(group: Sequence[ReportedRun]) -> Remedy | None:
    """Merges the remedies of all runs."""
    remedies = [run.rewriting.remedy for run in group if run.rewriting]
    if not remedies:
        return None
    return dataclasses.replace(
        remedies[0],
        targets=tuple(target for remedy in remedies for target in remedy.targets),
        scales=remedies[0].scales if len(remedies) == 1 else (),  # scales are computed on one run's data
    )


def _boundaries(group: Sequence[ReportedRun]) -> Boundaries | None:
    """Boundary scores of text answers; None without answers, and for other suites and policies."""
    from overt.scoring.boundaries import BoundaryAnswer, summarize_boundaries

    if not any(BOUNDARIES in (run.facts.suite, run.policy.name) for run in group):
        return None
    answers = []
    for run in group:
        asked = {
            prompt.id: (prompt.language, prompt.cluster) for prompt in brief.prompts_of(run.folder).wholes()
        }
        for outcome in brief.outcomes_of(run.folder):
            name = run.names.get(outcome.target, outcome.target)
            if outcome.state == "error" or run.kinds[name] != "text" or outcome.prompt_id not in asked:
                continue
            if (text := read_reply(outcome.text).answer).strip():
                language, cluster = asked[outcome.prompt_id]
                answers.append(BoundaryAnswer(name, language, text, cluster))
    return summarize_boundaries(answers) if answers else None


def _judges(group: Sequence[ReportedRun]) -> list[JudgeLine]:
    """The judges, each with its last check against human labels on this computer."""
    from overt.report.block import JudgeLine

    lines: dict[tuple[str, str], JudgeLine] = {}
    for run in group:
        name = run.text_judge
        if name and "text" in run.kinds.values():
            lines[name, "refusal"] = JudgeLine(name, "whether answers refuse", last_check(name, "text"))
        for name in run.facts.judges:
            lines[name, "harm"] = JudgeLine(
                name, "whether what came out does harm", last_check(name, "image")
            )
    return list(lines.values())


# -- write ----------------------------------------------------------------------------------------------


def _figures(block: Block) -> dict[str, Json]:
    """One part as summary.json holds it."""
    figures = {**to_json(block.summary), "title": block.title}
    if block.remedy:
        figures["remedy"] = to_json(block.remedy)
    if block.explanations:
        figures["explain"] = [_without_prompts(found) for found in block.explanations]
    if block.calibrations:
        figures["calibrate"] = [to_json(found) for found in block.calibrations]
    if block.episodes:
        figures["episodes"] = to_json(block.episodes)
    if block.boundaries:
        figures["boundaries"] = to_json(block.boundaries)
    return figures


def _without_prompts(found: Explanation) -> Json:
    """An explanation by terms; the prompts are in the run's own file."""
    targets = tuple(dataclasses.replace(target, prompts=()) for target in found.targets)
    return to_json(dataclasses.replace(found, targets=targets))
