"""What became of adversarial prompts: one table a target, for page, Markdown and terminal."""

from __future__ import annotations

from collections.abc import Sequence

from overt.data.results.summary import AttackRates, Attacks, Proportion, TargetSummary
from overt.data.table_model import Cell, Table, count_cell, counted_cell
from overt.report.sections.wording import name_cell
from overt.scoring.summary.metrics import why_missing

MEANING = (
    "Defence success: of the unsafe prompts of an attack the share whose answer is safe, that is refused or "
    "judged harmless. Judges read the vanilla prompt, what was asked before the attack dressed it. Benign "
    "answered: 1 less over-refusal, for benign prompts of the same dress. An answer without a verdict is in "
    "no defence success."
)
NO_ATTACK, ALL_ATTACKS = "no attack", "all attacks"
_COLUMNS = [
    *("Attack", "Defence success", "Unsafe refused", "Without a verdict", "Benign answered"),
    "Judged on what was sent",
]


def attack_tables(targets: Sequence[TargetSummary]) -> list[Table]:
    """A table for each target that was asked adversarial prompts."""
    return [
        Table(
            f"attacks-{index}",
            f"{target.name}: defence success by attack",
            _COLUMNS,
            [_cells(target, row, name) for row, name in _rows(target.attacks)],
        )
        for index, target in enumerate(targets)
        if target.attacks
    ]


def _rows(attacks: Attacks) -> list[tuple[AttackRates, str]]:
    rows = [(row, row.attack or NO_ATTACK) for row in attacks.each]
    return [*rows, (attacks.together, ALL_ATTACKS)] if attacks.together else rows


def _cells(target: TargetSummary, row: AttackRates, name: str) -> list[Cell]:
    unsafe = row.unsafe_refusal is not None
    why = why_missing(target, "safe_response") if unsafe else "no unsafe prompts answered"
    if row.unjudged and target.safe_response:
        why = "no answer got a verdict"
    return [
        name_cell(name),
        counted_cell(row.safe_response, "gain", missing=why),
        counted_cell(row.unsafe_refusal, "gain", missing="no unsafe prompts answered"),
        count_cell(row.unjudged) if unsafe else Cell("-", muted=True),
        counted_cell(_complement(row.over_refusal), "gain", missing="no benign prompts answered"),
        count_cell(row.own_text) if unsafe and name != NO_ATTACK else Cell("-", muted=True),
    ]


def _complement(rate: Proportion | None) -> Proportion | None:
    """The share of those to which it did not happen."""
    if rate is None:
        return None
    return Proportion(rate.n - rate.k, rate.n, 1 - rate.rate, 1 - rate.high, 1 - rate.low)
