"""What a call costs: a table of list prices that a user's own file can override."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from overt.data.errors import InputError

# "gpt-4o-mini-2024-07-18" and "mistral-small-latest" cost what their family costs; "gpt-4o-audio" does not.
_SNAPSHOT = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{3,8}|latest|preview)$")
# Providers whose models run on the user's own machine.
_LOCAL = ("hf/", "builtin/", "diffusers/", "filter/", "checker/")


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens, and per picture."""

    input: float
    output: float
    image: float = 0.0

    def cost(self, input_tokens: int | None, output_tokens: int | None, images: int = 0) -> float:
        """US dollars of one answer; tokens that the provider did not count cost nothing here."""
        tokens = (input_tokens or 0) * self.input + (output_tokens or 0) * self.output
        return tokens / 1e6 + images * self.image


class PriceTable:
    """Prices by model name, without the provider."""

    def __init__(self, prices: Mapping[str, Price]) -> None:
        self._prices = dict(prices)

    @classmethod
    def load(cls, own: Path | None = None) -> PriceTable:
        """The packaged prices, with those of the user's file over them.

        Raises:
            InputError: the file cannot be read or an entry is no price, with its line.
        """
        packaged = resources.files("overt.calls") / "prices.yaml"
        prices = _parse(packaged.read_text("utf-8"), "prices.yaml")
        if own is not None:
            try:
                prices |= _parse(own.read_text("utf-8"), str(own))
            except (OSError, UnicodeDecodeError) as error:
                raise InputError(f"cannot read the prices: {error}", where=str(own)) from error
        return cls(prices)

    def of(self, name: str) -> Price | None:
        """The price of `provider/model`, None where nobody knows it. Local models cost nothing."""
        name = name.partition("?")[0]  # options of a name cost nothing
        if name.startswith(_LOCAL):
            return Price(0.0, 0.0)
        model = name.partition("/")[2] or name
        for candidate in (name, model, _SNAPSHOT.sub("", model)):
            if candidate in self._prices:
                return self._prices[candidate]
        return None


def _parse(text: str, source: str) -> dict[str, Price]:
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{source}:{mark.line + 1}" if mark else source
        raise InputError("not valid YAML", where=where) from error
    if node is None:
        return {}
    if not isinstance(node, yaml.MappingNode):
        raise InputError("prices are a mapping of model names", where=source)
    prices: dict[str, Price] = {}
    for key, value in node.value:
        where = f"{source}:{key.start_mark.line + 1}"
        data: Any = yaml.safe_load(yaml.serialize(value))
        try:
            if not data.keys() <= {"input", "output", "image"} or not data:
                raise ValueError
            tokens = "image" not in data or "input" in data or "output" in data
            price = Price(
                float(data["input"]) if tokens else 0.0,
                float(data["output"]) if tokens else 0.0,
                float(data.get("image", 0.0)),
            )
            if not all(0 <= amount < 1e6 for amount in (price.input, price.output, price.image)):
                raise ValueError
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise InputError(
                f"{key.value}: not a price",
                where=where,
                fix="Write it so:  my-model: {input: 0.15, output: 0.60}  (US dollars per million tokens) "
                "or  my-model: {image: 0.04}  (per picture)",
            ) from error
        prices[str(key.value)] = price
    return prices
