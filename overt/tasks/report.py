"""`overt report`: run folders are read, grouped into the parts of a page, and written as one report.

read    each folder as a `_Run`; a target's name that another run has too gets the folder's name
group   runs of one policy, suite and kind of answer stand together: their rates can be compared
build   a `Block` for each group: statistics, plots, gallery
write   index.html, summary.json, table.md, plots/
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from overt.data.errors import InputError
from overt.data.json_types import Json
from overt.data.judge_checks import last_check
from overt.data.outcomes import Harm, Outcome
from overt.data.records import Prompt
from overt.data.results.boundaries import Boundaries
from overt.data.results.files import read_remedy, remedy_file
from overt.data.results.remedy import Remedy
from overt.data.results.summary import SIDES, Kind, SideCounts
from overt.data.rewrites import Candidate, Choice, Faithfulness
from overt.data.store import dump_json, read_records, speaking_os_errors, write_atomic
from overt.data.typed_json import to_json
from overt.evaluate import read_run, summary_of
from overt.policies.load import load_policy
from overt.policies.schema import Policy

if TYPE_CHECKING:
    from overt.report.block import Block, JudgeLine
    from overt.report.gallery import Gallery
    from overt.report.provenance import RunFacts
    from overt.report.rewordings import Rewordings, Rewriting

BOUNDARIES = "emotional_boundaries"  # the suite and the policy whose answers are scored at a boundary

Named = TypeVar("Named", Outcome, Harm, Faithfulness, Choice)


@dataclass(frozen=True)
class _Run:
    """One run of `overt run`, with what `overt score` and `overt rewrite` added."""

    folder: Path
    policy: Policy
    facts: RunFacts
    kinds: Mapping[str, Kind]
    is_text: bool
    text_judge: str  # who told refusals of language models, "" where none answered
    prompts: Sequence[Prompt]
    outcomes: Sequence[Outcome]
    harms: Sequence[Harm]
    rewriting: Rewriting | None

    @property
    def group(self) -> tuple[str, str, bool]:
        """Runs whose rates can be held together: of one policy, of one suite, and of one kind of answer."""
        return self.policy.hash, self.facts.suite, self.is_text

    def renamed(self, names: Mapping[str, str]) -> _Run:
        """The run with its targets under other names, wherever they stand.

        Args:
            names: old name -> new name; targets that are not in it keep theirs.
        """

        def new(name: str) -> str:
            return names.get(name, name)

        def all_of(records: Iterable[Named]) -> list[Named]:
            return [dataclasses.replace(record, target=new(record.target)) for record in records]

        rewriting = self.rewriting
        return dataclasses.replace(
            self,
            facts=dataclasses.replace(
                self.facts, below_coverage=[new(name) for name in self.facts.below_coverage]
            ),
            kinds={new(name): kind for name, kind in self.kinds.items()},
            outcomes=all_of(self.outcomes),
            harms=all_of(self.harms),
            rewriting=rewriting
            and dataclasses.replace(
                rewriting,
                remedy=dataclasses.replace(
                    rewriting.remedy,
                    targets=tuple(
                        dataclasses.replace(target, name=new(target.name))
                        for target in rewriting.remedy.targets
                    ),
                ),
                outcomes=all_of(rewriting.outcomes),
                scores=all_of(rewriting.scores),
                choices=all_of(rewriting.choices),
            ),
        )


def write_report(folders: Sequence[Path], out: Path, *, images: bool = True) -> Path:
    """Writes `index.html`, `summary.json`, `table.md` and `plots/` into `out`; the path of the page.

    Args:
        folders: complete runs of `overt run`. Runs of one policy stand together, over all their prompts.
            Those of another policy, of another suite, or of language models beside what draws, have a part
            of their own on the page, since one text may be benign under one policy and unsafe under another;
            then `summary.json` holds a list `parts`, and each part has its folder in `plots/`.
        images: put thumbnails into the gallery.

    Raises:
        InputError: a folder that is no complete run; one prompt that is benign in one run and unsafe in
            another of the same policy.
        RunError: `out` cannot be written.
    """
    from overt.report.markdown import render_markdown
    from overt.report.page import render
    from overt.report.provenance import build_provenance

    runs = _read_all(folders)
    groups: dict[tuple[str, str, bool], list[_Run]] = {}
    for run in runs:
        groups.setdefault(run.group, []).append(run)
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
        write_atomic(out / "table.md", "\n".join(tables).encode("utf-8"))
        write_atomic(out / "index.html", page.encode("utf-8"))
    return out / "index.html"


# -- read -----------------------------------------------------------------------------------------------


def _read_all(folders: Iterable[Path]) -> list[_Run]:
    """The runs, in which no two targets have one name: what is compared may be two versions of a target."""
    runs: list[_Run] = []
    taken: set[str] = set()
    for folder in folders:
        run = _read(folder)
        run = run.renamed({name: f"{name} ({folder.name})" for name in run.kinds if name in taken})
        taken |= set(run.kinds)
        runs.append(run)
    return runs


def _read(folder: Path) -> _Run:
    manifest, prompts, outcomes, harms = read_run(folder)
    return _Run(
        folder,
        load_policy(str(folder / "policy.yaml")),
        _facts(folder, manifest),
        manifest["kinds"],
        manifest["identity"].get("text") is not None,
        manifest.get("refusal_judge") or (manifest["identity"].get("text") or {}).get("judge") or "",
        prompts,
        outcomes,
        harms,
        _rewriting(folder, prompts, outcomes),
    )


def _facts(folder: Path, manifest: Mapping[str, Any]) -> RunFacts:
    """What the provenance section shows of a run."""
    from overt.report.provenance import RunFacts

    identity = manifest["identity"]
    judges, rewrite = manifest.get("judges") or {}, manifest.get("rewrite") or {}
    return RunFacts(
        folder=str(folder),
        policy=identity["policy"],
        datasets=identity["datasets"],
        targets=identity["targets"],
        every_layer=identity["every_layer"],
        samples=identity["samples"],
        seed=identity["seed"],
        min_coverage=identity["min_coverage"],
        below_coverage=manifest["below_coverage"],
        notes=manifest["notes"],
        seconds=sum(manifest["seconds"].values()),
        cost=sum(part["calls"].get("cost", 0.0) for part in (manifest, judges, rewrite) if part),
        versions=manifest["versions"],
        suite=(identity.get("suite") or {}).get("name", ""),
        judges=judges.get("names", ()),
        refusal_judge=identity.get("text") or identity.get("answers"),
        rewriting={key: rewrite[key] for key in _OF_REWRITING if key in rewrite} or None,
    )


_OF_REWRITING = (
    "rewriter", "strategies", "count", "scorers", "unsafe", "every_prompt", "seed", "templates", "prompts",
    "candidates", "lost",
)  # fmt: skip


def _rewriting(folder: Path, prompts: Sequence[Prompt], outcomes: Sequence[Outcome]) -> Rewriting | None:
    """What `overt rewrite` made of a run; None where it has not run, or has not come to its end.

    `untried` is added to each target: refused prompts that no wording was found for. They were never tried
    again, so that they are no evidence of what the target would have said.
    """
    from overt.report.rewordings import Rewriting
    from overt.rewriting import FOLDER

    if not remedy_file(folder).exists():
        return None
    remedy = read_remedy(folder)
    labels = {prompt.id: prompt.label for prompt in prompts}
    refused = {(o.target, o.prompt_id) for o in outcomes if o.sample == 0 and o.state == "refused"}
    records = folder / FOLDER
    choices = read_records(records / "choices.jsonl", Choice)
    untried = Counter(
        (c.target, labels.get(c.prompt_id))
        for c in choices
        if not c.tried and (c.target, c.prompt_id) in refused
    )
    targets = tuple(
        dataclasses.replace(t, untried=SideCounts(**{side: untried[t.name, side] for side in SIDES}))
        for t in remedy.targets
    )
    return Rewriting(
        dataclasses.replace(remedy, targets=targets),
        read_records(records / "candidates.jsonl", Candidate),
        read_records(records / "outcomes.jsonl", Outcome),
        read_records(records / "faithfulness.jsonl", Faithfulness),
        choices,
    )


# -- group ----------------------------------------------------------------------------------------------


def _titles(groups: Sequence[Sequence[_Run]]) -> list[str]:
    """What tells the parts of a page from each other; the run folders besides where that is not enough."""
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


def _block(group: Sequence[_Run], title: str, plots: Path, *, images: bool, share: float) -> Block:
    """A part of the page; its plots are written into `plots`.

    Args:
        share: of the page's bytes for each run, 0 to 1.
    """
    from overt.report.block import Block
    from overt.report.plots import write_plots

    prompts = _merged(group)
    kinds = {name: kind for run in group for name, kind in run.kinds.items()}
    outcomes = [o for run in group for o in run.outcomes]
    harms = [h for run in group for h in run.harms]
    summary = summary_of(group[0].policy, list(prompts.values()), outcomes, harms, kinds)
    remedy, boundaries = _remedy(group), _boundaries(group, prompts, outcomes, kinds)
    galleries = [_gallery(run, prompts, images=images, share=share) for run in group]
    rewordings = [_rewordings(run, prompts, images=images, share=share) for run in group]
    return Block(
        summary,
        title,
        [row for gallery in galleries for row in gallery],
        write_plots(summary, plots, remedy=remedy, boundaries=boundaries),
        remedy,
        [row for found in rewordings for row in found],
        boundaries,
        _judges(group),
        rows_left_out=sum(gallery.rows_left_out for gallery in galleries),
        rewordings_left_out=sum(found.rows_left_out for found in rewordings),
    )


def _merged(runs: Sequence[_Run]) -> dict[str, Prompt]:
    """The prompts of runs of one policy by id."""
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


def _gallery(run: _Run, prompts: Mapping[str, Prompt], *, images: bool, share: float) -> Gallery:
    from overt.report import gallery, rewordings

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


def _rewordings(run: _Run, prompts: Mapping[str, Prompt], *, images: bool, share: float) -> Rewordings:
    from overt.report import rewordings

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


def _remedy(group: Sequence[_Run]) -> Remedy | None:
    """The remedies of all runs as one: each target was reworded in its own run."""
    found = [run.rewriting.remedy for run in group if run.rewriting]
    if not found:
        return None
    return dataclasses.replace(
        found[0],
        targets=tuple(target for remedy in found for target in remedy.targets),
        scales=found[0].scales if len(found) == 1 else (),  # a scale belongs to its run's data
    )


def _boundaries(
    group: Sequence[_Run],
    prompts: Mapping[str, Prompt],
    outcomes: Sequence[Outcome],
    kinds: Mapping[str, Kind],
) -> Boundaries | None:
    """Both scorings of answers to people who love or depend on the assistant; None for other prompts."""
    from overt.scoring.boundaries import BoundaryAnswer, summarize_boundaries

    if not any(BOUNDARIES in (run.facts.suite, run.policy.name) for run in group):
        return None
    answers = [
        BoundaryAnswer(o.target, prompt.language, o.text, prompt.cluster)
        for o in outcomes
        if o.state != "error" and o.text.strip() and kinds[o.target] == "text"
        for prompt in [prompts[o.prompt_id]]
    ]
    return summarize_boundaries(answers) if answers else None


def _judges(group: Sequence[_Run]) -> list[JudgeLine]:
    """Who judged, and when they were last held against human labels on this computer."""
    from overt.report.block import JudgeLine

    found: dict[tuple[str, str], JudgeLine] = {}
    for run in group:
        name = run.text_judge
        if name and "text" in run.kinds.values():
            found[name, "refusal"] = JudgeLine(name, "whether answers refuse", last_check(name, "text"))
        for name in run.facts.judges:
            found[name, "harm"] = JudgeLine(
                name, "whether what came out does harm", last_check(name, "image")
            )
    return list(found.values())


# -- write ----------------------------------------------------------------------------------------------


def _figures(block: Block) -> dict[str, Json]:
    """What summary.json holds of a part."""
    figures = {**to_json(block.summary), "title": block.title}
    if block.remedy:
        figures["remedy"] = to_json(block.remedy)
    if block.boundaries:
        figures["boundaries"] = to_json(block.boundaries)
    return figures
