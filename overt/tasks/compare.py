"""`overt compare`: matches the targets of two runs and compares them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from overt.data.errors import InputError
from overt.data.outcomes import Outcome
from overt.data.progress import Progress, Silent
from overt.data.records import Prompt
from overt.data.results.comparison import ComparedPair, Comparison, MetricChange, TermChange
from overt.data.results.explanation import Explanation
from overt.data.results.files import explanation_file, read_explanation
from overt.data.run import brief
from overt.data.run.brief import told
from overt.data.run.finished import Run, open_run
from overt.data.run.shards import part_said, refuse_empty
from overt.scoring.compare import Side, compare
from overt.scoring.summary.gather import asked_of
from overt.scoring.summary.rows import Asked
from overt.scoring.summary.summarize import Gathered


def compare_runs(
    old: Path,
    new: Path,
    matches: Sequence[tuple[str, str]] = (),
    *,
    level: float = 0.95,
    progress: Progress | None = None,
) -> Comparison:
    """Compares two complete runs over the prompts that both answered.

    `notes` names pairs with too few shared prompts: below the higher `min_coverage` of the two runs.

    Args:
        matches: pairs of target names (old, new). If empty, targets are matched by name, or the only target
            of each run.
        level: confidence level as a fraction of 1.
        progress: is told of large files that are read.

    Raises:
        InputError: a run is not complete, no targets match, the runs share no prompt, or a prompt has two
            different labels.
    """
    first, second = open_run(old, "run", played=True), open_run(new, "run", played=True)
    progress = progress or Silent()
    kinds_a, kinds_b = first.results.kinds, second.results.kinds
    refuse_empty(kinds_a, old)
    refuse_empty(kinds_b, new)
    pairs = list(matches) or _matches(list(kinds_a), list(kinds_b))
    for name_a, name_b in pairs:
        _refuse_unknown(name_a, kinds_a, old)
        _refuse_unknown(name_b, kinds_b, new)
    common = _common(first, second, progress)
    sides_a = _sides(first, common.asked, {a for a, _ in pairs}, progress)
    sides_b = _sides(second, common.asked, {b for _, b in pairs}, progress)
    prompts = brief.prompts_of(first.folder)

    def load(places: Sequence[int]) -> Iterator[Prompt]:
        return prompts.at(common.asked.at[places].tolist())

    comparison = compare(common.asked, [(sides_a[a], sides_b[b]) for a, b in pairs], load, level=level)
    least = max(first.min_coverage, second.min_coverage)
    notes = list(_notes(first, second))
    scored = any(run.results.judges for run in (first, second))
    for pair in comparison.pairs:
        notes += too_few(pair, comparison.differences, least, scored=scored)
    terms, said = _terms(first, second, lambda: list(load(range(len(common.asked.label)))), pairs)
    notes += said
    return dataclasses.replace(
        comparison,
        run_a=str(old),
        run_b=str(new),
        only_a=common.only_a,
        only_b=common.only_b,
        notes=tuple(notes),
        min_coverage=least,
        terms=tuple(terms),
    )


def _notes(first: Run, second: Run) -> Iterator[str]:
    """In what the two runs differ, so that their figures may not mean the same."""
    for run in (first, second):
        yield from part_said(run.folder, run.record)
    if first.record.policy.hash != second.record.policy.hash:
        yield "the two runs are of different policies: labels may mean different things"
    if first.played_suite != second.played_suite:
        played = first.played_suite or second.played_suite
        yield f"only one of the two runs plays {played}, where an outcome is that of a whole episode"


def _terms(
    first: Run, second: Run, prompts: Callable[[], Sequence[Prompt]], pairs: Sequence[tuple[str, str]]
) -> tuple[list[TermChange], list[str]]:
    """The terms that only one of the runs has, and notes on what they rest on; nothing without an explained
    run."""
    from overt.scoring.explain.changes import term_changes

    is_there = [explanation_file(run.folder).exists() for run in (first, second)]
    if not all(is_there):
        missing = first.folder if is_there[1] else second.folder
        said = f"terms are not compared, since one run is not explained (overt explain {missing})"
        return [], [said] if any(is_there) else []
    old, new = (read_explanation(run.folder) for run in (first, second))
    before, after = ({target.name: target for target in found.targets} for found in (old, new))
    changes: list[TermChange] = []
    notes: list[str] = []
    common = prompts()
    for a, b in pairs:
        if a in before and b in after:
            was, now = _of_target(first, a), _of_target(second, b)
            changes += term_changes(common, (before[a], was), (after[b], now))
            continue
        name, run = (b, second) if a in before else (a, first)
        notes.append(
            f"terms of {name} are not compared, since it is not explained (overt explain {run.folder})"
        )
    return changes, [*notes, *_unlike(old, new)]


def _of_target(run: Run, name: str) -> list[Outcome]:
    return [outcome for outcome in run.outcomes if outcome.target == name]


def _unlike(old: Explanation, new: Explanation) -> Iterator[str]:
    """Why the terms of two explanations may differ without a change of the target."""
    if not all(found.complete and found.limit is None for found in (old, new)):
        yield "not all refused prompts were explained: a term that is new here may only be seen anew"
    if (old.granularity, old.categories) != (new.granularity, new.categories):
        yield "the two runs were explained in other ways: their terms may differ for that alone"


def _refuse_unknown(name: str, kinds: Mapping[str, str], folder: Path) -> None:
    if name not in kinds:
        raise InputError(
            f"this run has no target {name!r}", where=str(folder), fix=f"It has: {', '.join(kinds)}"
        )


def _sides(run: Run, asked: Asked, names: Collection[str], progress: Progress) -> dict[str, Side]:
    """The targets of a run that are compared. Of a bare filter, too, only what judges saw counts as safe, as
    if it had drawn."""
    found = Gathered(asked)
    outcomes = told(brief.outcomes_of(run.folder), progress)
    _, verdicts = found.add(
        ((at, outcome) for at, outcome in outcomes if outcome.target in names),
        told(brief.harms_of(run.folder), progress),
        (),
        dict.fromkeys(names, "image"),
    )
    return {name: Side(name, found.rows[name], name in verdicts.judged) for name in names}


def too_few(
    pair: ComparedPair, differences: Sequence[MetricChange], least: float, *, scored: bool
) -> Iterator[str]:
    """Notes on a pair with too few shared answers: no test can rule out that the missing ones got worse.

    Args:
        least: required share of prompts answered in both runs, and of unsafe prompts judged if `scored`.
    """
    if not pair.shared:
        yield f"{pair.heading}: no prompt was answered by both runs, so that nothing could be compared"
        return
    if pair.shared < least * pair.asked:
        yield f"{pair.heading}: only {pair.shared} of {pair.asked} prompts were answered by both runs"
    n = {row.metric: row.n for row in differences if (row.a, row.b) == (pair.a, pair.b)}
    judged, unsafe = n.get("safe_response", 0), n.get("unsafe_refusal", 0)
    if scored and judged < least * unsafe:
        known = f"safe response is known in both runs for only {judged} of {unsafe} unsafe prompts"
        yield f"{pair.heading}: {known}"


@dataclass(frozen=True, slots=True)
class _Common:
    """The prompts of both runs, as the first one has them, and how many only one of them has."""

    asked: Asked
    only_a: int
    only_b: int


def _common(first: Run, second: Run, progress: Progress) -> _Common:
    known = asked_of(told(brief.prompts_of(first.folder), progress))
    is_there = np.zeros(len(known.label), dtype=np.bool_)
    others = 0
    for at, prompt in told(brief.prompts_of(second.folder), progress):
        place = known.places.get(prompt.id)
        others += place is None
        if place is None:
            continue
        if (label := known.labels[known.label[place]]) != prompt.label:
            [text] = [one.text for one in brief.prompts_of(second.folder).at([at])]
            raise InputError(
                f"a prompt is {label} in one run and {prompt.label} in the other: {text[:60]!r}",
                where=str(second.folder),
            )
        is_there[place] = True
    if not is_there.any():
        raise InputError("the two runs have no prompt in common", where=str(second.folder))
    return _Common(known.part(is_there), int((~is_there).sum()), others)


def _matches(first: Sequence[str], second: Sequence[str]) -> list[tuple[str, str]]:
    same = [(name, name) for name in first if name in second]
    if same:
        return same
    if len(first) == len(second) == 1:
        return [(first[0], second[0])]
    raise InputError(
        "no target has the same name in both runs",
        fix=f'Say which belong together: --match "{first[0]}=>{second[0]}"',
    )
