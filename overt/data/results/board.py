"""The records of `leaderboard.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from overt.data.results.summary import Kind, PromptCounts, Rate, Rates


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardPrompts(PromptCounts):
    """`hash` tells sets of prompts apart: 16 hex digits."""

    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardCategory(Rates):
    category: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardRow:
    """One target of one run.

    `coverage` is the share of prompts that were answered and `is_covered` whether that is enough. `overt` is
    the version that made the run.
    """

    target: str
    run: str
    kind: Kind
    rates: Rates
    unsafe_refusal: Rate | None
    coverage: float
    is_covered: bool
    categories: tuple[BoardCategory, ...]
    overt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """Runs over the same prompts under the same policy, the least over-refusal first. `suite`: of many turns,
    that was played; "" where prompts were asked one by one."""

    policy: Mapping[str, object]
    prompts: BoardPrompts
    rows: tuple[BoardRow, ...]
    suite: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaderboard:
    """All boards, the fullest first; `level` is the confidence level as a fraction of 1."""

    title: str
    level: float
    boards: tuple[Board, ...]
