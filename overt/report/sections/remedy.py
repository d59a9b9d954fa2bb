"""What rewriting won and what it cost, in tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from overt.data.results.remedy import BeforeAfter, Mean, MeasureRow, MeasureScale, Remedy, RemedyTarget
from overt.data.results.summary import Proportion, Side
from overt.data.table_model import Cell, Table, Tone, count_cell, sortable
from overt.data.text import decimals, interval, mean_limits, percent, percent_limits, points, signed
from overt.report.measures import SHARES, is_difference, mean_of, measure_title, scale_of
from overt.report.sections.wording import counted_rate_cell, name_cell, plural

# -- in sentences --------------------------------------------------------------------------------------------


def outcome_said(target: RemedyTarget) -> list[str]:
    """Sentences on the benign prompts."""
    side = target.benign
    said = []
    if side and side.before and side.after:
        said.append(
            f"Over-refusal falls from {_rate(side.before)} to {_rate(side.after)}."
            if side.after.rate < side.before.rate
            else f"Over-refusal stays at {_rate(side.before)}."
        )
    untried = _untried(target, "benign")
    if side and side.won:
        won = side.won
        said.append(
            f"Of {won.n:,} refused benign {plural(won.n, 'prompt')} {won.k:,} got a wording accepted: "
            f"{_rate(won)}{untried}."
        )
    else:
        said.append(f"No refused benign prompt was reworded{untried}.")
    if unknown := _unknown(target, "benign"):
        said.append(f"{unknown}.")
    return said


def warning_said(target: RemedyTarget) -> str:
    """A warning where unsafe prompts got through, else ""."""
    won = target.unsafe.won if target.unsafe else None
    if won is None or not won.k:
        return ""
    return (
        f"Warning: the remedy lets unsafe prompts through. Of {won.n:,} refused unsafe "
        f"{plural(won.n, 'prompt')}, {won.k:,} got a wording accepted: {_rate(won)}. What came out has not "
        "been judged for harm."
    )


def control_said(target: RemedyTarget, *, asked: bool) -> str:
    """What is known of unsafe prompts where there is nothing to warn of.

    Args:
        asked: whether the run was to reword unsafe prompts too.
    """
    side = target.unsafe
    if side is None:
        if asked:
            return "No unsafe prompt was refused: the control has nothing to say."
        return (
            "Unsafe prompts were not reworded as a control, so whether this remedy lets them through is not "
            "known (overt rewrite --unsafe)."
        )
    won, unknown = side.won, _unknown(target, "unsafe")
    if won is None:
        if target.untried and target.untried.unsafe:
            return "No wording was found for any refused unsafe prompt: the control has nothing to say."
        return f"{unknown or 'No refused unsafe prompt was reworded'}: the control has nothing to say."
    if won.k:
        return ""
    said = (
        f"Control: none of {won.n:,} refused unsafe {plural(won.n, 'prompt')} got through; the interval "
        f"reaches to {percent(won.high)}"
    )
    return f"{said}{_untried(target, 'unsafe')}.{f' {unknown}.' if unknown else ''}"


def _unknown(target: RemedyTarget, side: Side) -> str:
    """A phrase on prompts without a known result; "" for none."""
    count = target.unknown.of(side)
    if not count:
        return ""
    are = f"{plural(count, 'prompt')} {'is' if count == 1 else 'are'}"
    return f"{count:,} {side} {are} in no rate here, since a wording got no answer and no other was accepted"


def _untried(target: RemedyTarget, side: Side) -> str:
    """A phrase on prompts without a wording, which were not tried again; "" for none."""
    count = target.untried.of(side) if target.untried else 0
    return f"; for {count:,} more there was no wording to try" if count else ""


def _rate(rate: Proportion) -> str:
    between = interval(rate)
    return f"{percent(rate.rate)} ({between})" if between else percent(rate.rate)


# -- in tables -----------------------------------------------------------------------------------------------


STRATEGIES = {
    "plain": "plain rewording",
    "replace": "trigger replaced",
    "context": "benign context added",
    "describe": "described as it is seen",
    "lexical": "the policy's neutral words",
}
_THREE = ("Refused before", "Refused after", "Won")
Titles = Mapping[str, str]  # category id -> title


@dataclass(frozen=True, slots=True)
class TargetView:
    """What the remedy did at one target. `warning` is "" unless unsafe prompts got through."""

    name: str
    says: Sequence[str]
    warning: str
    control: str
    benign: Table
    unsafe: Table | None
    faithfulness: Table | None
    strategies: Table | None
    missing: Table | None


@dataclass(frozen=True, slots=True)
class RemedyView:
    """`wide` says that the plot has more than two panels."""

    targets: Sequence[TargetView]
    overview: Table | None
    wide: bool


def build_remedy(remedy: Remedy, titles: Titles) -> RemedyView:
    """The section's tables and sentences.

    Args:
        titles: category id -> title.
    """
    scales = {(scale.measure, scale.model): scale for scale in remedy.scales}
    return RemedyView(
        [
            TargetView(
                target.name,
                outcome_said(target),
                warning_said(target),
                control_said(target, asked=remedy.control),
                _benign(target, index, titles),
                _unsafe(target, index, titles),
                _faithfulness(target, index, scales),
                _strategies(target, index),
                _missing(target, index),
            )
            for index, target in enumerate(remedy.targets)
        ],
        _overview(remedy.targets) if len(remedy.targets) > 1 else None,
        any(len(target.faithfulness) > 2 for target in remedy.targets),
    )


def _overview(targets: Sequence[RemedyTarget]) -> Table:
    return Table(
        "remedy-overview",
        "What rewriting did at each target, over all benign prompts; the last column is the control",
        ["Target", *_THREE, "Unsafe let through"],
        [
            [
                name_cell(target.name),
                *_three(target.benign or BeforeAfter()),
                counted_rate_cell(target.unsafe.won if target.unsafe else None, "cost"),
            ]
            for target in targets
        ],
    )


def _three(row: BeforeAfter, *, unsafe: bool = False) -> list[Cell]:
    """Refusal before and after, and what was won. Winning acceptance for unsafe prompts is a cost."""
    refusal: Tone = "gain" if unsafe else "cost"
    won: Tone = "cost" if unsafe else "gain"
    untried = f"{row.untried:,} more had no wording" if row.untried else ""
    return [
        counted_rate_cell(row.before, refusal),
        counted_rate_cell(row.after, refusal),
        counted_rate_cell(row.won, won, untried),
    ]


def _benign(target: RemedyTarget, index: int, titles: Titles) -> Table:
    """The paper's table: by category refusal before and after, and fidelity by each measure."""
    measures = target.faithfulness
    rows = [
        [
            Cell("All benign prompts", sort=""),
            *_three(target.benign or BeforeAfter()),
            *(_mean_cell(m, mean_of(m, m)) for m in measures),
        ]
    ]
    for part in target.benign.categories if target.benign else ():
        found = [next((row for row in m.categories if row.category == part.category), None) for m in measures]
        rows.append(
            [
                name_cell(titles.get(part.category) or part.category),
                *_three(part),
                *(_mean_cell(m, mean_of(m, row)) for m, row in zip(measures, found, strict=True)),
            ]
        )
    several = len({m.measure for m in measures}) < len(measures)
    return Table(
        f"remedy-{index}",
        "Benign prompts by category: refusal before and after rewriting, the share of refused prompts that a "
        "wording got accepted, and what the wordings kept",
        ["Category", *_THREE, *(_head(m, several) for m in measures)],
        rows,
        dense=len(measures) > 2,
    )


def _head(measure: MeasureRow, several: bool) -> str:
    """The title of a measure's column; `several` models of one measure are told apart by name."""
    shown = ", difference" if is_difference(measure) else ""
    return f"{measure_title(measure.measure)}{shown}{f', {measure.model}' if several else ''}"


def _unsafe(target: RemedyTarget, index: int, titles: Titles) -> Table | None:
    side = target.unsafe
    if side is None:
        return None
    rows = [[Cell("All unsafe prompts", sort=""), *_three(side, unsafe=True)]]
    rows += [
        [name_cell(titles.get(part.category) or part.category), *_three(part, unsafe=True)]
        for part in side.categories
    ]
    return Table(
        f"remedy-unsafe-{index}",
        "The control: unsafe prompts by category. What is let through here is the price of the remedy",
        ["Category", "Refused before", "Refused after", "Let through"],
        rows,
    )


def _mean_cell(measure: MeasureRow, mean: Mean | None) -> Cell:
    """The mean of a measure over the chosen wordings of a row, in the unit of the measure."""
    if mean is None:
        return Cell("-", muted=True)
    difference = is_difference(measure)
    if measure.measure in SHARES:
        text = f"{points(mean.mean)} points" if difference else percent(mean.mean)
        span = percent_limits(mean)
    else:
        text = signed(mean.mean) if difference else decimals(mean.mean)
        span = mean_limits(mean)
    return Cell(text, sort=sortable(mean.mean), span=span, n=mean.n)


def _faithfulness(
    target: RemedyTarget, index: int, scales: Mapping[tuple[str, str], MeasureScale]
) -> Table | None:
    if not target.faithfulness:
        return None
    return Table(
        f"faithfulness-{index}",
        "What the chosen wordings keep, by measure and model. Where the original has a picture of its own, "
        "its score is the baseline and the difference is shown, since a raw score means nothing by itself",
        ["Measure", "Scale", "Shown", "Mean", "Unscored", "Scored in windows"],
        [
            [
                Cell(measure_title(row.measure), row.model),
                Cell(scale_of(row.measure, row.model), _apart(scales.get((row.measure, row.model)))),
                Cell("difference to the original's own picture" if is_difference(row) else "score"),
                _mean_cell(row, mean_of(row, row)),
                Cell(f"{row.unscored:,}", _reasons(row), sort=row.unscored),
                count_cell(row.windowed),
            ]
            for row in target.faithfulness
        ],
        numeric_from=3,
    )


def _apart(scale: MeasureScale | None) -> str:
    """The measure's values for matched and mismatched pairs."""
    if scale is None:
        return ""
    return (
        f"pairs that do not belong together get {decimals(scale.mismatched)}, those that do "
        f"{decimals(scale.matched)}"
    )


def _reasons(measure: MeasureRow) -> str:
    found = sorted(measure.why_unscored.items(), key=lambda item: -item[1])
    return "; ".join(f"{reason or 'no reason given'} ({n:,})" for reason, n in found)


def _strategies(target: RemedyTarget, index: int) -> Table | None:
    if not target.strategies:
        return None
    return Table(
        f"strategies-{index}",
        "Wordings of benign prompts by strategy",
        ["Strategy", "Tried", "Accepted", "Chosen"],
        [
            [
                name_cell(STRATEGIES.get(row.strategy, row.strategy)),
                count_cell(row.tried),
                Cell(
                    f"{row.accepted:,}",
                    percent(row.accepted / row.tried if row.tried else None),
                    sort=row.accepted,
                ),
                count_cell(row.chosen),
            ]
            for row in target.strategies
        ],
    )


def _missing(target: RemedyTarget, index: int) -> Table | None:
    if not target.missing:
        return None
    return Table(
        f"missing-{index}",
        "Elements of the originals not found in what the chosen wordings gave, most frequent first",
        ["Element", "Times"],
        [[name_cell(row.element), count_cell(row.count)] for row in target.missing],
    )
