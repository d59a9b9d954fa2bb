"""Sections beside the rates: comparisons of targets, layers, judges, thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import overt
from overt.data.judge_check_history import SHIPPED, Span
from overt.data.results.summary import (
    Correlation,
    JudgeTable,
    LayerRow,
    Pair,
    PairedRates,
    Rate,
    Summary,
    Sweep,
    TargetSummary,
)
from overt.data.table_model import Cell, Table, count_cell, rate_cell, sortable
from overt.data.text import STAGES, decimals, interval, is_figure, p_value, percent, points
from overt.report.block import JudgeLine
from overt.report.sections.wording import counted, name_cell
from overt.scoring.summary.metrics import METRICS

# -- targets against each other ------------------------------------------------------------------------------


def pair_table(pairs: Sequence[Pair]) -> Table | None:
    """All pairs over all categories, with what the interval lets one say."""
    if not pairs:
        return None
    return Table(
        "pairs-table",
        "The first target minus the second, in percentage points, on the prompts both answered",
        ["Targets", "Rate", "The first is", "Difference", "Interval", "p"],
        [
            [
                Cell(f"{pair.a} minus {pair.b}", sort=f"{pair.a} {pair.b}".casefold()),
                Cell(_title(pair), sort=_title(pair)),
                Cell(verdict := _verdict(pair), sort=verdict),
                *difference_cells(pair),
                Cell(p_value(pair.p), sort=sortable(pair.p)),
            ]
            for pair in pairs
        ],
        numeric_from=3,
    )


def category_pair_tables(pairs: Sequence[Pair]) -> list[tuple[str, Table]]:
    """Each pair's differences by category, under the name of the pair."""
    return [(_name(pair), _by_category(pair, index)) for index, pair in enumerate(pairs) if pair.categories]


def _by_category(pair: Pair, index: int) -> Table:
    return Table(
        f"pair-{index}",
        f"{_name(pair)}, by category, in percentage points; the interval goes with p",
        ["Category", "Difference", "Interval", "p", "p, Holm-corrected"],
        [
            [
                name_cell(row.category),
                *difference_cells(row),
                Cell(p_value(row.p), sort=sortable(row.p)),
                Cell(p_value(row.p_holm), sort=sortable(row.p_holm)),
            ]
            for row in pair.categories
        ],
    )


def not_compared(summary: Summary) -> list[str]:
    """Targets in no pair: too many to hold all against each other, or no prompts in common."""
    compared = {name for pair in summary.pairs for name in (pair.a, pair.b)}
    return [t.name for t in summary.targets if compared and t.name not in compared]


def correlation_said(found: Correlation | None) -> str:
    """The rank correlation in a sentence, or why there is none."""
    if found is None:
        return "No rank correlation: it takes at least three targets with both rates, and rates that differ."
    said = (
        f"Spearman rank correlation between over-refusal and safe response: {decimals(found.rho)} "
        f"({decimals(found.low)} to {decimals(found.high)}) over {found.n} targets."
    )
    return f"{said} {found.note}".rstrip()


def _verdict(pair: PairedRates) -> str:
    if not (is_figure(pair.low) and is_figure(pair.high)):
        return "-"
    return "higher" if pair.low > 0 else "lower" if pair.high < 0 else "cannot be told apart"


def _title(pair: Pair) -> str:
    return METRICS[pair.metric].title if pair.metric in METRICS else pair.metric


def _name(pair: Pair) -> str:
    return f"{_title(pair)}: {pair.a} minus {pair.b}"


def difference_cells(row: PairedRates) -> list[Cell]:
    """A difference in percentage points, and its interval."""
    said = f"{points(row.low)} to {points(row.high)}" if interval(row) else "-"
    return [Cell(points(row.difference), sort=sortable(row.difference)), Cell(said, sort=sortable(row.low))]


# -- layers --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LayerView:
    """The layers of one target."""

    name: str
    table: Table
    says: Sequence[str]


def build_layers(targets: Sequence[TargetSummary]) -> list[LayerView]:
    """The targets with results for every layer."""
    return [
        LayerView(target.name, _table(target, index), _says(target))
        for index, target in enumerate(targets)
        if target.layers
    ]


def _table(target: TargetSummary, index: int) -> Table:
    return Table(
        f"layers-{index}",
        f"Layers of {target.name}",
        [
            "Layer",
            "Refuses of benign",
            "Refuses of unsafe",
            "Benign that only it refuses",
            "Unsafe that only it refuses",
            "Over-refusal without it",
            "Unsafe refusal without it",
            "Safe response without it",
            "Unchecked",
        ],
        [
            [
                Cell(layer.layer, STAGES.get(layer.stage, layer.stage)),
                rate_cell(layer.benign, "cost"),
                rate_cell(layer.unsafe, "gain"),
                count_cell(layer.only.benign),
                count_cell(layer.only.unsafe),
                _without(layer.without.over_refusal, target.over_refusal),
                _without(layer.without.unsafe_refusal, target.unsafe_refusal),
                _without(layer.without.safe_response, target.safe_response),
                count_cell(layer.missing),
            ]
            for layer in target.layers
        ],
        dense=True,
    )


def _without(rate: Rate | None, now: Rate | None) -> Cell:
    """A rate without the layer, and by how many points it differs from that with it."""
    if rate is None:
        return Cell("-", muted=True)
    note = f"{points(rate.rate - now.rate)} points" if now else ""
    return Cell(percent(rate.rate), note, sort=rate.rate)


def _says(target: TargetSummary) -> list[str]:
    """What each layer adds and what dropping it would cost, in plain words."""
    return [sentence for layer in target.layers for sentence in _said_of(target, layer)]


def _said_of(target: TargetSummary, layer: LayerRow) -> list[str]:
    only, without = layer.only, layer.without
    open_ = f"“{layer.layer}” is unchecked on {counted(layer.missing, 'prompt')}, which are in no rate of it."
    unchecked = [open_] if layer.missing else []
    if layer.benign is None and layer.unsafe is None:
        return [*unchecked, f"What “{layer.layer}” refuses cannot be told: it never said."]
    if not only.benign and not only.unsafe:
        return [
            *unchecked,
            f"“{layer.layer}” refuses nothing that another layer does not refuse as well: "
            "dropping it would change nothing on these prompts.",
        ]
    text = f"Dropping “{layer.layer}” would free {counted(only.benign, 'benign prompt')}"
    text += _from_to(target.over_refusal, without.over_refusal, "over-refusal")
    text += f" and let {counted(only.unsafe, 'unsafe prompt')} through"
    text += _from_to(target.unsafe_refusal, without.unsafe_refusal, "unsafe refusal")
    said = [*unchecked, f"{text}."]
    if without.unknown:
        said.append(
            f"What would come out without “{layer.layer}” cannot be told of "
            f"{counted(without.unknown, 'prompt')} that it refuses; they are left out of the rates."
        )
    return said


def _from_to(now: Rate | None, then: Rate | None, name: str) -> str:
    if now is None or then is None:
        return ""
    return f" ({name} from {percent(now.rate)} to {percent(then.rate)})"


# -- judges --------------------------------------------------------------------------------------------------


def judge_table(judges: JudgeTable | None) -> Table | None:
    """The rate of each judge of harm alone."""
    if judges is None:
        return None
    return Table(
        "judges-table",
        "Each judge alone",
        ["Judge", "Harmful, by this judge alone", "Failed", "Unclear"],
        [
            [
                Cell(each.judge),
                rate_cell(each.harmful_rate, "cost"),
                count_cell(each.failed),
                count_cell(each.unclear),
            ]
            for each in judges.each
        ],
    )


def agreement_said(judges: JudgeTable | None) -> list[str]:
    """How far the judges of harm agree, in sentences."""
    if judges is None:
        return ["No model judged harm in this run."]
    said = []
    if judges.fleiss_kappa is not None:
        said.append(f"Fleiss kappa {decimals(judges.fleiss_kappa)}.")
    if judges.krippendorff_alpha is not None:
        said.append(f"Krippendorff alpha {decimals(judges.krippendorff_alpha)}.")
    if not said:
        said.append("Agreement cannot be told: it takes two judges and two labels.")
    missing = counted(judges.majority_missing, "outcome")
    return [*said, f"{missing} without a majority, left out of the rates."]


def check_table(judges: Sequence[JudgeLine]) -> Table | None:
    """Each judge's last check against human labels: a rate is worth no more than the judge behind it."""
    if not judges:
        return None
    return Table(
        "checks-table",
        "Each judge's last check against human labels (overt judge-check)",
        ["Judge", "It judged", "Last check"],
        [[Cell(line.name), Cell(line.role), _check_cell(line)] for line in judges],
        numeric_from=3,
    )


def _check_cell(line: JudgeLine) -> Cell:
    check = line.check
    if check is None:
        shipped = SHIPPED.get(line.name)
        note = f"the figures that it shipped with, on XSTest: {shipped} in overt's source" if shipped else ""
        return Cell("never checked here", note)
    said = f"last checked {check.date} against {check.rows:,} human labels: "
    said += f"accuracy {_span(check.accuracy)}, kappa {_span(check.kappa)}"
    notes = [check.labels]
    if check.judged < check.rows:
        notes.append(f"{check.rows - check.judged:,} rows it could not tell")
    if check.overt and check.overt != overt.__version__:
        notes.append(f"checked by overt {check.overt}, this is {overt.__version__}")
    return Cell(said, " · ".join(notes))


def _span(span: Span | None) -> str:
    if span is None:
        return "not defined"
    if span.low is None or span.high is None:
        return decimals(span.value)
    return f"{decimals(span.value)} [{decimals(span.low)} to {decimals(span.high)}]"


# -- thresholds ----------------------------------------------------------------------------------------------


def operating_point_tables(targets: Sequence[TargetSummary]) -> list[Table]:
    """For each target with scores the best threshold for a limit on over-refusal."""
    return [_threshold_table(t.name, t.sweep, index) for index, t in enumerate(targets) if t.sweep]


def _threshold_table(name: str, sweep: Sweep, index: int) -> Table:
    area = sweep.auc
    return Table(
        f"points-{index}",
        f"{name}: AUC {decimals(area.auc)} ({decimals(area.low)} to {decimals(area.high)})",
        ["Over-refusal allowed", "Threshold", "Over-refusal there", "Unsafe refusal there"],
        [
            [
                Cell(f"at most {percent(point.max_over_refusal)}", sort=point.max_over_refusal),
                Cell(
                    "none low enough" if point.threshold is None else decimals(point.threshold, 4),
                    sort=sortable(point.threshold),
                ),
                rate_cell(point.over_refusal, "cost"),
                rate_cell(point.safe_refusal, "gain"),
            ]
            for point in sweep.operating_points
        ],
    )
