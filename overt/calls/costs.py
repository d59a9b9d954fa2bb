"""Prices of models, and counters of a run's calls, tokens, time and cost."""

from __future__ import annotations

import math
import re
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, ClassVar, Protocol

from pydantic import BeforeValidator, Field, model_validator

from overt.data.json_types import Json
from overt.data.plugins.wrapped import inside
from overt.data.text import money
from overt.data.yaml.schema import AsNumber, Schema, fault, parse_yaml, read_yaml
from overt.data.yaml.values import Empty

# -- prices --------------------------------------------------------------------------------------------------


# "gpt-4o-mini-2024-07-18" and "mistral-small-latest" have their family's price; "gpt-4o-audio" has its own.
_SNAPSHOT = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{3,8}|latest|preview)$")
# Providers whose models run on the user's own machine.
_LOCAL = ("hf/", "builtin/", "diffusers/", "filter/", "checker/", "scripted/", "clip/", "text/")


Dollars = Annotated[float, Field(ge=0, lt=1e6), AsNumber]


Share = Annotated[float, Field(ge=0, le=1), AsNumber]


class Price(Schema):
    """US dollars per million tokens, and per picture."""

    how_to_begin: ClassVar[str] = (
        "write it so:  my-model: {input: 0.15, output: 0.60}  (US dollars per million tokens) "
        "or  my-model: {image: 0.04}  (per picture)"
    )

    input: Dollars = Field(0.0, description="US dollars per million tokens that are sent.")
    output: Dollars = Field(0.0, description="US dollars per million tokens that come back.")
    image: Dollars = Field(0.0, description="US dollars per picture.")
    batch: Share | None = Field(None, description="Share of these prices that a call by batch costs.")

    @model_validator(mode="after")
    def _enough(self) -> Price:
        for name, other in (("input", "output"), ("output", "input")):
            if other in self.model_fields_set and name not in self.model_fields_set:
                fault(f"the field {name} is missing", self.how_to_begin, (name,))
        if not self.model_fields_set - {"batch"}:
            fault("this is not a price", self.how_to_begin)
        return self

    def cost(self, input_tokens: int | None, output_tokens: int | None, images: int = 0) -> float:
        """US dollars of one response; tokens that the provider did not count cost nothing."""
        tokens = (input_tokens or 0) * self.input + (output_tokens or 0) * self.output
        return tokens / 1e6 + images * self.image

    @property
    def is_by_token(self) -> bool:
        return bool(self.input or self.output)


def _none_if_empty(value: object) -> object:
    return {} if isinstance(value, Empty) else value


# The content of a price file, by model name. A file with only comments is empty.
Prices = Annotated[dict[str, Price], BeforeValidator(_none_if_empty)]


class PriceList:
    """Prices by model name, without the provider."""

    def __init__(self, prices: Mapping[str, Price]) -> None:
        self._prices = dict(prices)

    @classmethod
    def load(cls, own: Path | None = None) -> PriceList:
        """Loads the packaged prices; those in the user's file win.

        Raises:
            InputError: the file cannot be read, or an entry is not a price; has line and column.
        """
        packaged = resources.files("overt.calls") / "prices.yaml"
        prices = parse_yaml(packaged.read_bytes(), "prices.yaml", Prices, what="price list")
        if own is not None:
            prices |= read_yaml(own, Prices, what="price list")
        return cls(prices)

    def is_local(self, name: str) -> bool:
        """Whether a model or filter runs on this machine, at no price."""
        return inside(name).startswith(_LOCAL)

    def of(self, name: str) -> Price | None:
        """The price of `provider/model`, or None if it is unknown. Local models cost nothing."""
        name = inside(name).partition("?")[0]
        if self.is_local(name):
            return Price(input=0.0, output=0.0)
        model = name.partition("/")[2] or name
        for candidate in (name, model, _SNAPSHOT.sub("", model)):
            if candidate in self._prices:
                return self._prices[candidate]
        return None


# -- estimates -----------------------------------------------------------------------------------------------


_TOKENS_PER_TURN = 4
_TOKENS_PER_PICTURE = 1000  # what vision models count for a picture of about 1,000 pixels a side


class _Counted(Protocol):
    """A reply with its text and the tokens that the service counted, if any."""

    @property
    def text(self) -> str: ...
    @property
    def input_tokens(self) -> int | None: ...
    @property
    def output_tokens(self) -> int | None: ...


def estimated_tokens(reply: _Counted, sent: Iterable[str], pictures: int = 0) -> tuple[int, int]:
    """The tokens of the request and of the reply: as the service counted them, else estimated.

    Args:
        sent: the texts of the request, one a turn.
        pictures: the number of pictures in the request.
    """
    asked, answered = reply.input_tokens, reply.output_tokens
    if asked is None:
        asked = sum(tokens_in(text) + _TOKENS_PER_TURN for text in sent) + pictures * _TOKENS_PER_PICTURE
    return asked, tokens_in(reply.text) if answered is None else answered


def tokens_in(text: str) -> int:
    """An estimate of a text's tokens, rather too high than too low, since a cap on the cost rests on it: a
    quarter of its ASCII characters, and a third of the bytes of all others in UTF-8. So a Cyrillic or Arabic
    letter is two thirds of a token, a Chinese or Japanese character one."""
    size, length = len(text.encode("utf-8", "replace")), len(text)
    if size == length:
        return math.ceil(size / 4)
    plain = sum(char < "\x80" for char in text)
    return math.ceil(plain / 4 + (size - plain) / 3)


# -- counters ------------------------------------------------------------------------------------------------


_FIELDS = ("requests", "cached", "retries", "input_tokens", "output_tokens", "cost", "seconds")


@dataclass
class Batched:
    """Calls by batch: how many, what they cost, and what they would have cost live, in US dollars."""

    calls: int = 0
    cost: float = 0.0
    live_cost: float = 0.0

    def add(self, cost: float, share: float) -> None:
        self.calls += 1
        self.cost += cost
        self.live_cost += cost / share if share else 0.0

    @property
    def said(self) -> str:
        """What they cost, if that is known to be another price."""
        if money(self.cost) == money(self.live_cost):
            return ""
        return f", for US$ {money(self.cost)} in place of {money(self.live_cost)}"

    def plain(self) -> dict[str, Json]:
        return {"calls": self.calls, "cost": round(self.cost, 6), "live_cost": round(self.live_cost, 6)}


class Stats:
    """Thread-safe counters. `cost` in US dollars includes the original cost of journalled responses; `spent`
    is the cost of this process. `seconds` is the waiting time, summed over parallel calls."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: Counter[str] = Counter()
        self._by: dict[str, dict[str, Counter[str]]] = {"purposes": {}, "categories": {}}
        self._errors: Counter[str] = Counter()
        self.spent = 0.0
        self.batched = Batched()
        self.sent = 0
        self.estimated = 0  # replies whose tokens, and so their cost, are an estimate

    def add(self, purpose: str, category: str, **amounts: float) -> None:
        """Adds to the totals and to the counters of the purpose and the category."""
        with self._lock:
            for counter in self._counters(purpose, category):
                for name, amount in amounts.items():
                    if amount:
                        counter[name] += amount  # type: ignore[assignment]

    def error(self, kind: str) -> None:
        """Counts one failed attempt."""
        with self._lock:
            self._errors[kind] += 1

    def _counters(self, purpose: str, category: str) -> list[Counter[str]]:
        counters = [self._all, self._by["purposes"].setdefault(purpose, Counter())]
        if category:
            counters.append(self._by["categories"].setdefault(category, Counter()))
        return counters

    def snapshot(self) -> dict[str, Json]:
        """A copy as plain JSON data."""
        with self._lock:
            return {
                **_plain(self._all),
                "errors": dict(sorted(self._errors.items())),
                "spent": round(self.spent, 6),
                **({"estimated": self.estimated} if self.estimated else {}),
                **({"batched": self.batched.plain()} if self.batched.calls else {}),
                **{
                    group: {name: _plain(counter) for name, counter in sorted(rows.items())}
                    for group, rows in self._by.items()
                },
            }

    def line(self) -> str:
        """One short line for the progress display."""
        with self._lock:
            parts = [f"{self._all['requests']:,.0f} calls"]
            if self._all["cached"]:
                parts.append(f"{self._all['cached']:,.0f} from the journal")
            if self._all["cost"]:
                about = "about " if self.estimated else ""
                parts.append(f"{about}US${self._all['cost']:.4f}")
            parts += [f"{kind} {count}" for kind, count in sorted(self._errors.items())]
            return ", ".join(parts)


def _plain(counter: Counter[str]) -> dict[str, float]:
    whole = {"requests", "cached", "retries", "input_tokens", "output_tokens"}
    return {f: int(counter[f]) if f in whole else round(float(counter[f]), 6) for f in _FIELDS}
