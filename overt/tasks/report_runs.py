"""Reads runs for the report, and renames targets that occur in several runs."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from overt.data.errors import InputError
from overt.data.outcomes import Outcome
from overt.data.results.calibration import Calibration
from overt.data.results.episodes import EpisodesSummary, Section
from overt.data.results.explanation import Explanation
from overt.data.results.files import (
    calibration_file,
    explanation_file,
    read_calibration,
    read_episodes,
    read_explanation,
    read_remedy,
    remedy_file,
)
from overt.data.results.summary import SIDES, Kind, SideCounts
from overt.data.rewrites import Candidate, Choice, Faithfulness
from overt.data.run import brief
from overt.data.run.files import read_records
from overt.data.run.finished import Run, open_run
from overt.data.run.record import RunRecord
from overt.policies.load import load_policy
from overt.policies.schema import Policy
from overt.report.provenance import RunFacts
from overt.report.rewrites import Rewriting
from overt.review.corrected import Corrections, corrections_of
from overt.tasks.rewrite_results import FOLDER

Named = TypeVar("Named", Outcome, Faithfulness, Choice)

_ANSWERS = ("judge", "max_tokens", "system", "temperature")
_REWRITING = (
    "rewriter", "strategies", "count", "scorers", "unsafe", "every_prompt", "seed", "templates", "prompts",
    "candidates", "lost",
)  # fmt: skip


@dataclass(frozen=True)
class ReportedRun:
    """One run of `overt run`, with what `overt score`, `overt rewrite`, `overt explain` and
    `overt calibrate` added.

    `kinds` maps each target, as the report calls it, to what it returns; `names` has the new names of those
    that another run has too. `is_text` marks a run under a policy (or suite) for language models.
    `text_judge` names the judge of text refusals, "" if there is none. `corrections` are the over-refusal
    rates that people's labels correct. The records stay in the files (`overt.data.run.brief`).
    """

    run: Run
    policy: Policy
    facts: RunFacts
    kinds: Mapping[str, Kind]
    is_text: bool
    text_judge: str
    rewriting: Rewriting | None
    corrections: Corrections = field(default_factory=dict)
    explanation: Explanation | None = None
    calibration: Calibration | None = None
    episodes: EpisodesSummary | None = None
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.run.folder

    def renamed(self, names: Mapping[str, str]) -> ReportedRun:
        """Returns the run with its targets renamed, in its records too.

        Args:
            names: old name -> new name; other targets keep their names.
        """

        def new(name: str) -> str:
            return names.get(name, name)

        def all_of(records: Iterable[Named]) -> list[Named]:
            return [dataclasses.replace(record, target=new(record.target)) for record in records]

        below = [new(name) for name in self.facts.below_coverage]
        rewriting = self.rewriting
        if rewriting:
            targets = (dataclasses.replace(t, name=new(t.name)) for t in rewriting.remedy.targets)
            rewriting = dataclasses.replace(
                rewriting,
                remedy=dataclasses.replace(rewriting.remedy, targets=tuple(targets)),
                outcomes=all_of(rewriting.outcomes),
                scores=all_of(rewriting.scores),
                choices=all_of(rewriting.choices),
            )
        explanation = self.explanation
        if explanation:
            explained = (dataclasses.replace(t, name=new(t.name)) for t in explanation.targets)
            explanation = dataclasses.replace(explanation, targets=tuple(explained))
        calibration = self.calibration
        if calibration:
            chosen = (dataclasses.replace(t, name=new(t.name)) for t in calibration.targets)
            calibration = dataclasses.replace(calibration, targets=tuple(chosen))
        return dataclasses.replace(
            self,
            facts=dataclasses.replace(self.facts, below_coverage=below),
            kinds={new(name): kind for name, kind in self.kinds.items()},
            names=names,
            rewriting=rewriting,
            explanation=explanation,
            calibration=calibration,
            episodes=_renamed(self.episodes, names) if self.episodes else None,
            corrections={(new(name), part): rate for (name, part), rate in self.corrections.items()},
        )


def read_runs(folders: Iterable[Path]) -> list[ReportedRun]:
    """Reads the runs. A target name that an earlier run has too gets the folder's name, since the two may be
    different versions.

    Raises:
        InputError: a folder is not a complete run of `overt run`.
    """
    runs: list[ReportedRun] = []
    seen: set[str] = set()
    for folder in folders:
        run = _read(open_run(folder, "run", played=True))
        run = run.renamed(
            {name: _free(f"{name} ({folder.resolve().name})", seen) for name in run.kinds if name in seen}
        )
        seen |= set(run.kinds)
        runs.append(run)
    return runs


def _free(name: str, seen: Collection[str]) -> str:
    """The name, with a number where it is taken."""
    others = (f"{name} {number}" for number in itertools.count(2))
    return name if name not in seen else next(other for other in others if other not in seen)


def _read(run: Run) -> ReportedRun:
    is_text = _is_text(run.record)
    judge = run.results.refusal_judge or (run.record.value("judge") if is_text else None)
    facts = _facts(run)
    corrections: Corrections = {}
    try:
        corrections = corrections_of(run)
    except InputError as error:  # a page without it, which says so, is of more use than none
        note = f"Over-refusal is not corrected by people's labels: {error.what}."
        facts = dataclasses.replace(facts, notes=[*facts.notes, note])
    return ReportedRun(
        run,
        load_policy(str(run.policy_file)),
        facts,
        run.results.kinds,
        is_text,
        str(judge or ""),
        _rewriting(run),
        corrections,
        read_explanation(run.folder) if explanation_file(run.folder).exists() else None,
        read_calibration(run.folder) if calibration_file(run.folder).exists() else None,
        read_episodes(run.folder) if run.played_suite else None,
    )


def _renamed(found: EpisodesSummary, names: Mapping[str, str]) -> EpisodesSummary:
    """The figures of episodes with new names of targets."""

    def renamed(section: Section) -> Section:
        rows = (dataclasses.replace(row, target=names.get(row.target, row.target)) for row in section.rows)
        return dataclasses.replace(section, rows=tuple(rows))

    targets = (dataclasses.replace(one, target=names.get(one.target, one.target)) for one in found.targets)
    sections = tuple(map(renamed, found.sections))
    return dataclasses.replace(found, targets=tuple(targets), sections=sections)


def _facts(run: Run) -> RunFacts:
    record, results = run.record, run.results
    coverage, targets = record.value("min_coverage"), record.inputs.get("targets")
    rewrite = run.manifest_data.get("rewrite")
    parts = (results, results.judges, results.faithfulness, results.rewrite, results.explain)
    return RunFacts(
        folder=str(run.folder),
        policy=record.policy,
        datasets=_datasets(record),
        targets=targets if isinstance(targets, list) else [],
        every_layer=bool(record.value("every_layer")),
        samples=record.value("samples"),
        seed=record.value("seed"),
        min_coverage=float(coverage) if isinstance(coverage, int | float) else 0.0,
        below_coverage=results.below_coverage,
        notes=results.notes,
        seconds=sum(results.seconds.values()),
        cost=sum(part.calls.cost for part in parts if part),
        versions=results.versions,
        suite=str(record.value("suite") or ""),
        judges=results.judges.names if results.judges else (),
        refusal_judge=_refusal_judge(run),
        rewriting={key: rewrite[key] for key in _REWRITING if key in rewrite}
        if isinstance(rewrite, Mapping)
        else None,
    )


def _datasets(record: RunRecord) -> list[dict[str, object]]:
    sources, hashes = record.value("dataset"), record.inputs.get("dataset")
    if not (isinstance(sources, list) and isinstance(hashes, list)):
        return []
    return [{"hash": digest, "spec": spec} for spec, digest in zip(sources, hashes, strict=True)]


def _is_text(record: RunRecord) -> bool:
    return record.inputs.get("modality") == "text"


def _refusal_judge(run: Run) -> dict[str, object] | None:
    """How language models were asked and who judged their refusals; None if the run has none."""
    record = run.record
    if not _is_text(record) and "text" not in run.results.kinds.values():
        return None
    facts = {**{name: record.value(name) for name in _ANSWERS}, "template": record.inputs.get("template")}
    return dict(sorted(facts.items()))


def _rewriting(run: Run) -> Rewriting | None:
    """The records of `overt rewrite`, None if it has not finished on this run.

    `untried` counts refused prompts without a rewording. The target was not asked again, so they are no
    evidence of its behaviour.
    """
    if not remedy_file(run.folder).exists():
        return None
    remedy = read_remedy(run.folder)
    labels = {prompt.id: prompt.label for prompt in brief.prompts_of(run.folder)}
    outcomes = brief.outcomes_of(run.folder)
    refused = {(o.target, o.prompt_id) for o in outcomes if o.sample == 0 and o.state == "refused"}
    records = run.folder / FOLDER
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
