"""The schema of a guarded product's YAML file: a model with its filters and checkers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from overt.data.yaml.schema import (
    Filled,
    Listed,
    ListIfEmpty,
    NoneIfEmpty,
    Schema,
    fault,
    parse_yaml,
    read_bytes,
)

Names = Annotated[tuple[Filled, ...], Listed, ListIfEmpty]


class Product(Schema):
    """What is tested as one: a prompt passes the filters, then the model, then its pictures the checkers."""

    name: Annotated[str | None, NoneIfEmpty] = Field(None, description="The product's name in reports.")
    filters: Names = Field((), description="Names of text filters, for instance [filter/better-profanity].")
    target: Annotated[Filled | None, NoneIfEmpty] = Field(None, description="The name of one model.")
    checkers: Names = Field((), description="Names of image checkers.")

    @model_validator(mode="after")
    def _something(self) -> Product:
        at = next((name for name in ("target", "filters") if self.names(name)), "target")
        if self.target is None and not self.filters:
            fault("a product has a target, filters, or both", "add: target: openai/gpt-image-1", (at,))
        if self.target is None and self.checkers:
            at = "target" if self.names("target") else "checkers"
            fault("checkers look at pictures, and nothing draws any", "add a target", (at,))
        return self


def read_product(path: Path) -> tuple[Product, bytes]:
    """Reads a product from a YAML file; also returns the bytes of the file.

    Raises:
        InputError: the file cannot be read or has problems; each has line, column and field.
    """
    data = read_bytes(path, "product")
    return parse_yaml(data, str(path), Product, what="product"), data
