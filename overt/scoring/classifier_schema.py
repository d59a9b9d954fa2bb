"""The schema of classifiers.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from overt.data.yaml.schema import Faults, Filled, Listed, Schema, read_yaml

Names = Annotated[tuple[Filled, ...], Field(min_length=1), Listed]
Address = Annotated[str, Field(pattern=r"^https://")]


class Entry(Schema):
    """A preset: a classifier of the Hub and what its labels mean."""

    hub: Names = Field(description="Its ids on the Hub.", examples=["[owner/model]"])
    reads: Literal["text", "picture"] = Field(description="What it classifies.", examples=["text"])
    labels: Names = Field(
        description="The names of its outputs. Other spellings of a name stand behind a |.",
        examples=["[neutral, toxic]"],
    )
    in_order: bool = Field(
        default=False,
        description="The labels stand in the order of the outputs; then a model whose outputs have no names "
        "(LABEL_0) can be read.",
        examples=["true"],
    )
    blocks: Names = Field(description="The labels that block.", examples=["[toxic]"])
    activation: Literal["sigmoid", "softmax"] = Field(
        description="How its logits become probabilities.", examples=["softmax"]
    )
    inverted: bool = Field(
        default=False, description="Its one output is high for what is harmless.", examples=["true"]
    )
    threshold: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        default=None, description="The score that blocks, if its card says one.", examples=["0.5"]
    )
    covers: Annotated[tuple[Filled, ...], Listed] = Field(
        default=(), description="Kinds of harm (harm_kinds.yaml) that its blocking labels speak of."
    )
    source: Annotated[tuple[Address, ...], Field(min_length=1), Listed] = Field(
        description="Where the labels, their order and the activation were read.", examples=["https://..."]
    )
    note: str = Field(default="", description="What the user should know, as a sentence.")

    @model_validator(mode="after")
    def _fits(self) -> Entry:
        faults = Faults()
        known = {label.partition("|")[0] for label in self.labels}
        for unknown in sorted(set(self.blocks) - known):
            faults.add(f"{unknown} is none of the labels", at=("blocks",))
        if self.inverted and (len(self.labels) > 1 or self.activation != "sigmoid"):
            faults.add("only one output under a sigmoid can be inverted", at=("inverted",))
        if self.activation == "softmax" and len(self.blocks) == len(self.labels):
            faults.add("all labels block, and under a softmax one always applies", at=("blocks",))
        faults.raise_any()
        return self


def read_table(path: Path) -> dict[str, Entry]:
    """Reads the table of presets, by name.

    Raises:
        YamlError: an entry is not valid.
    """
    return read_yaml(path, dict[Filled, Entry], what="table of classifiers")
