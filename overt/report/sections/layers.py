"""What each layer of a product refuses, adds to the others, and would cost if it were dropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from overt.data.results.summary import LayerRow, Rate, TargetSummary
from overt.data.table_model import Cell, Table, count_cell, rate_cell
from overt.data.text import STAGES, percent, points
from overt.report.sections.wording import counted


@dataclass(frozen=True, slots=True)
class LayerView:
    """The layers of one target."""

    name: str
    table: Table
    says: Sequence[str]


def build_layers(targets: Sequence[TargetSummary]) -> list[LayerView]:
    """The targets whose layers were all asked each time."""
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
    if not only.benign and not only.unsafe:
        return [
            f"“{layer.layer}” refuses nothing that another layer does not refuse as well: "
            "dropping it would change nothing on these prompts."
        ]
    text = f"Dropping “{layer.layer}” would free {counted(only.benign, 'benign prompt')}"
    text += _from_to(target.over_refusal, without.over_refusal, "over-refusal")
    text += f" and let {counted(only.unsafe, 'unsafe prompt')} through"
    text += _from_to(target.unsafe_refusal, without.unsafe_refusal, "unsafe refusal")
    said = [f"{text}."]
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
