"""`overt report`: reads run folders, and writes one page with its plots, figures and table beside it.

1. `read_runs` reads each folder; a target that another run has too gets the folder's name.
2. Runs of one policy, one suite and one kind of answer form one part, as their rates can be compared.
3. `_block` makes one part of the page: statistics, plots, gallery, rewordings.
4. index.html, summary.json, table.md and plots/ are written.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from overt.data.errors import InputError
from overt.data.json_types import Json
from overt.data.judge_check_history import last_check
from overt.data.outcomes import Outcome
from overt.data.records import Prompt
from overt.data.replies import read_reply
from overt.data.results.boundaries import Boundaries
from overt.data.results.explanation import Explanation
from overt.data.results.remedy import Remedy
from overt.data.results.summary import Kind, Summary
from overt.data.run.files import dump_json, speaking_os_errors, text_bytes, write_atomic
from overt.data.typed_json import to_json
from overt.review.corrected import attached
from overt.scoring.summary.summarize import summary_of
from overt.tasks.report_runs import ReportedRun, read_runs

if TYPE_CHECKING:
    from overt.report.block import Block, JudgeLine
    from overt.report.gallery import Gallery
    from overt.report.rewrites import Rewordings

T = TypeVar("T")
BOUNDARIES = "emotional_boundaries"  # suite and policy whose answers get boundary scores

Group = tuple[str, str, bool]  # policy hash, suite, is_text: equal for all runs of one part


def write_report(folders: Sequence[Path], out: Path, *, images: bool = True) -> Path:
    """Writes `index.html`, `summary.json`, `table.md` and `plots/` into `out`. Returns the path of the page.

    Args:
        folders: complete runs of `overt run`. Runs with the same policy, suite and kind of answer (text or
            pictures) share one part of the page, since a text may be benign under one policy and unsafe under
            another. With several parts, `summary.json` holds a list `parts`, and each part has its own folder
            in `plots/`.
        images: put thumbnails into the gallery.

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
            )
            for i, (group, title) in enumerate(zip(groups.values(), titles, strict=True), 1)
        ]
        page = render(blocks, build_provenance([run.facts for run in runs]))
        figures = [_figures(block) for block in blocks]
        tables = [render_markdown(block.summary, title=block.title if many else "") for block in blocks]
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
    return [
        title if titles.count(title) == 1 else f"{title} ({', '.join(run.folder.name for run in group)})"
        for title, group in zip(titles, groups, strict=True)
    ]


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.casefold()).strip("-")[:40]


# -- build ----------------------------------------------------------------------------------------------


def _block(group: Sequence[ReportedRun], title: str, plots: Path, *, images: bool, share: float) -> Block:
    """Builds one part of the page and writes its plots into `plots`.

    Args:
        share: each run's share of the page's bytes, 0 to 1.
    """
    from overt.report.block import Block
    from overt.report.plots import write_plots

    prompts = _merged(group)
    kinds = {name: kind for run in group for name, kind in run.kinds.items()}
    outcomes = _together(run.outcomes for run in group)
    summary = _summary(group, list(prompts.values()), outcomes, kinds)
    remedy, boundaries = _remedy(group), _boundaries(group, prompts, outcomes, kinds)
    galleries = [_gallery(run, prompts, images=images, share=share) for run in group]
    rewordings = [_rewordings(run, prompts, images=images, share=share) for run in group]
    return Block(
        summary,
        title,
        _together(galleries),
        write_plots(summary, plots, remedy=remedy, boundaries=boundaries),
        remedy,
        _together(rewordings),
        boundaries,
        _judges(group),
        rows_left_out=sum(gallery.rows_left_out for gallery in galleries),
        rewordings_left_out=sum(found.rows_left_out for found in rewordings),
        explanations=[run.explanation for run in group if run.explanation],
    )


def _together(parts: Iterable[Iterable[T]]) -> list[T]:
    return [row for part in parts for row in part]


def _summary(
    group: Sequence[ReportedRun],
    prompts: Sequence[Prompt],
    outcomes: Sequence[Outcome],
    kinds: Mapping[str, Kind],
) -> Summary:
    """The statistics of all runs together, with the rates that the labels of each run correct."""
    harms, as_asked = _together(run.harms for run in group), _together(run.as_asked for run in group)
    summary = summary_of(group[0].policy, prompts, outcomes, harms, kinds, as_asked)
    for run in group:
        summary = attached(summary, run.corrections)
    return summary


def _merged(runs: Sequence[ReportedRun]) -> dict[str, Prompt]:
    """The prompts of all runs by id."""
    prompts: dict[str, Prompt] = {}
    for run in runs:
        for prompt in run.prompts:
            known = prompts.setdefault(prompt.id, prompt)
            if known.label != prompt.label:
                raise InputError(
                    f"a prompt is {known.label} in one run and {prompt.label} here: {prompt.text[:60]!r}",
                    where=str(run.folder),
                    fix="Make one report for each run.",
                )
    return prompts


def _gallery(run: ReportedRun, prompts: Mapping[str, Prompt], *, images: bool, share: float) -> Gallery:
    from overt.report import gallery
    from overt.report import rewrites as rewordings

    room = gallery.PAGE_BUDGET - (rewordings.PAGE_BUDGET if run.rewriting else 0)
    return gallery.build_gallery(
        prompts,
        run.outcomes,
        {harm.outcome_id: harm for harm in run.harms},
        run.folder,
        images=images,
        text_budget=int(gallery.TEXT_BUDGET * share),
        page_budget=int(room * share),
    )


def _rewordings(run: ReportedRun, prompts: Mapping[str, Prompt], *, images: bool, share: float) -> Rewordings:
    from overt.report import rewrites as rewordings

    if run.rewriting is None:
        return rewordings.Rewordings()
    return rewordings.build_rewordings(
        prompts,
        run.outcomes,
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


def _boundaries(
    group: Sequence[ReportedRun],
    prompts: Mapping[str, Prompt],
    outcomes: Sequence[Outcome],
    kinds: Mapping[str, Kind],
) -> Boundaries | None:
    """Boundary scores of text answers; None without answers, and for other suites and policies."""
    from overt.scoring.boundaries import BoundaryAnswer, summarize_boundaries

    if not any(BOUNDARIES in (run.facts.suite, run.policy.name) for run in group):
        return None
    answers = [
        BoundaryAnswer(o.target, prompt.language, text, prompt.cluster)
        for o in outcomes
        if o.state != "error" and kinds[o.target] == "text" and (text := read_reply(o.text).answer).strip()
        for prompt in [prompts[o.prompt_id]]
    ]
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
    if block.boundaries:
        figures["boundaries"] = to_json(block.boundaries)
    return figures


def _without_prompts(found: Explanation) -> Json:
    """An explanation by terms; the prompts are in the run's own file."""
    targets = tuple(dataclasses.replace(target, prompts=()) for target in found.targets)
    return to_json(dataclasses.replace(found, targets=targets))
