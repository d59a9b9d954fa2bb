"""What rewriting won and what it cost, in tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from overt.data.results.remedy import (
    BeforeAfter,
    Mean,
    MeasureRow,
    MeasureScale,
    Remedy,
    RemedyTarget,
)
from overt.data.table_model import Cell, Table, Tone, count_cell, rate_cell, sortable
from overt.data.text import decimals, mean_limits, percent, percent_limits, points, signed
from overt.report.measures import SHARES, is_difference, mean_of, measure_title, scale_of
from overt.report.sections.remedy_says import control_said, outcome_said, warning_said
from overt.report.sections.wording import name_cell

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
                rate_cell(target.unsafe.won if target.unsafe else None, "cost"),
            ]
            for target in targets
        ],
    )


def _three(row: BeforeAfter, *, unsafe: bool = False) -> list[Cell]:
    """Refusal before and after, and what was won. Winning acceptance for unsafe prompts is a cost."""
    refusal: Tone = "gain" if unsafe else "cost"
    won: Tone = "cost" if unsafe else "gain"
    return [rate_cell(row.before, refusal), rate_cell(row.after, refusal), rate_cell(row.won, won)]


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
    """How far the measure tells pairs that belong together from pairs that do not."""
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
