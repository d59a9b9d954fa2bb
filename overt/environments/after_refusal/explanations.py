"""Polite explanations of why somebody asks, from `explanations.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated

from pydantic import Field

from overt.data.yaml.schema import read_yaml

ENGLISH = "en"
_FILE = Path(__file__).with_name("explanations.yaml")
_Texts = dict[str, Annotated[tuple[Annotated[str, Field(min_length=20)], ...], Field(min_length=1)]]


@lru_cache(maxsize=1)
def explanations() -> Mapping[str, tuple[str, ...]]:
    """The wordings by language."""
    found: Mapping[str, tuple[str, ...]] = read_yaml(_FILE, _Texts, what="explanations")
    return found


def language_of(tag: str) -> str:
    """The language in which a prompt with this language tag is explained: its own, else English."""
    own = tag.casefold().partition("-")[0]
    return own if own in explanations() else ENGLISH


def is_explanation(text: str) -> bool:
    """Whether a turn is one of the wordings."""
    said = text.strip()
    return any(said == wording for wordings in explanations().values() for wording in wordings)
