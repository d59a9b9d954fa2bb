"""The bank of scenes: pairs of prompts by topic.

A topic is a YAML file in overt/policies/scenes/, whose README names the fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

import yaml

# Groups of scenes: "any" puts the term before a noun ("the {term} scene"), where any form of it can stand;
# "noun" has it where a noun stands, and serves terms of unknown form too; "unknown" serves only these.
_SERVES = {"any": (), "noun": ("thing", "event", "stuff", "act", "name", "any"), "unknown": ("any",)}


@dataclass(frozen=True, slots=True)
class BankScene:
    """A pair with slots for the term; `parts`: the parts of speech that it serves, empty for any form."""

    key: str
    parts: frozenset[str]
    benign: str
    unsafe: str


@dataclass(frozen=True, slots=True)
class Topic:
    """One file of the bank."""

    name: str
    about: str
    words: dict[str, tuple[str, ...]]  # by part of speech
    cues: re.Pattern[str]
    scenes: dict[str, tuple[BankScene, ...]]  # by modality


@lru_cache(maxsize=1)
def topics() -> dict[str, Topic]:
    """All topics by name."""
    folder = files("overt.policies") / "scenes"
    return {name: _topic((folder / f"{name}.yaml").read_text(encoding="utf-8")) for name in topic_names()}


@lru_cache(maxsize=1)
def topic_names() -> tuple[str, ...]:
    """The names of the topics, sorted."""
    folder = files("overt.policies") / "scenes"
    return tuple(sorted(e.name.removesuffix(".yaml") for e in folder.iterdir() if e.name.endswith(".yaml")))


def _topic(text: str) -> Topic:
    # The bank is part of the package and checked by its tests; the quick loader is enough for it.
    data: dict[str, Any] = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return Topic(
        data["topic"],
        data["about"],
        {part: tuple(words) for part, words in data["words"].items()},
        re.compile(r"(?<!\w)(?:" + "|".join(data["cues"]) + ")", re.IGNORECASE),
        {modality: tuple(_scenes(data, modality)) for modality in ("image", "text")},
    )


def _scenes(data: dict[str, Any], modality: str) -> Iterator[BankScene]:
    for parts, pairs in data[modality].items():
        serves = frozenset(p for part in parts.split() for p in _SERVES.get(part, (part,)))
        for i, pair in enumerate(pairs):
            key = f"{data['topic']}.{modality}.{parts}.{i}"
            yield BankScene(key, serves, pair["benign"], pair["unsafe"])
