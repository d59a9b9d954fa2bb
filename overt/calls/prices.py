"""What a call costs: a table of list prices that a user's own file can override."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field, model_validator

from overt.data.yaml.read import parse_yaml, read_yaml
from overt.data.yaml.schema import AsNumber, Schema, fault
from overt.data.yaml.values import Empty

# "gpt-4o-mini-2024-07-18" and "mistral-small-latest" cost what their family costs; "gpt-4o-audio" does not.
_SNAPSHOT = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{3,8}|latest|preview)$")
# Providers whose models run on the user's own machine.
_LOCAL = ("hf/", "builtin/", "diffusers/", "filter/", "checker/")


Dollars = Annotated[float, Field(ge=0, lt=1e6), AsNumber]


class Price(Schema):
    """US dollars per million tokens, and per picture."""

    how_to_begin: ClassVar[str] = (
        "write it so:  my-model: {input: 0.15, output: 0.60}  (US dollars per million tokens) "
        "or  my-model: {image: 0.04}  (per picture)"
    )

    input: Dollars = Field(0.0, description="US dollars per million tokens that are sent.")
    output: Dollars = Field(0.0, description="US dollars per million tokens that come back.")
    image: Dollars = Field(0.0, description="US dollars per picture.")

    @model_validator(mode="after")
    def _enough(self) -> Price:
        for name, other in (("input", "output"), ("output", "input")):
            if other in self.model_fields_set and name not in self.model_fields_set:
                fault(f"the field {name} is missing", self.how_to_begin, (name,))
        if not self.model_fields_set:
            fault("this is not a price", self.how_to_begin)
        return self

    def cost(self, input_tokens: int | None, output_tokens: int | None, images: int = 0) -> float:
        """US dollars of one answer; tokens that the provider did not count cost nothing here."""
        tokens = (input_tokens or 0) * self.input + (output_tokens or 0) * self.output
        return tokens / 1e6 + images * self.image


def _none_if_empty(value: object) -> object:
    return {} if isinstance(value, Empty) else value


# What a file of prices holds: a price for each name of a model. A file of comments alone has none.
Prices = Annotated[dict[str, Price], BeforeValidator(_none_if_empty)]


class PriceList:
    """Prices by model name, without the provider."""

    def __init__(self, prices: Mapping[str, Price]) -> None:
        self._prices = dict(prices)

    @classmethod
    def load(cls, own: Path | None = None) -> PriceList:
        """The packaged prices, with those of the user's file over them.

        Raises:
            InputError: the file cannot be read, or an entry is not a price: with line and column.
        """
        packaged = resources.files("overt.calls") / "prices.yaml"
        prices = parse_yaml(packaged.read_bytes(), "prices.yaml", Prices, what="price list")
        if own is not None:
            prices |= read_yaml(own, Prices, what="price list")
        return cls(prices)

    def of(self, name: str) -> Price | None:
        """The price of `provider/model`, None where nobody knows it. Local models cost nothing."""
        name = name.partition("?")[0]  # options of a name cost nothing
        if name.startswith(_LOCAL):
            return Price(input=0.0, output=0.0)
        model = name.partition("/")[2] or name
        for candidate in (name, model, _SNAPSHOT.sub("", model)):
            if candidate in self._prices:
                return self._prices[candidate]
        return None
