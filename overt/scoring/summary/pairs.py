"""Several targets on the same prompts: paired differences, and the rank correlation over all of them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from overt.scoring import stats
from overt.scoring.summary.rows import Row, Settings, finite

MOST_TARGETS = 8  # 28 pairs, twice, over ten sets of prompts each
FEWEST_TARGETS = 3  # any two values are in perfect order

Key = tuple[str, int]
Values = dict[Key, tuple[bool, Row]]


def pair_table(
    rows: Mapping[str, Sequence[Row]],
    settings: Settings,
    categories: Sequence[str],
    *,
    judged: Mapping[str, bool],
) -> list[dict[str, Any]]:
    """Each pair of targets on each metric, over the prompts that both answered. At most the first
    `MOST_TARGETS` targets are compared."""
    names = list(rows)[:MOST_TARGETS]
    values = {
        "over_refusal": {name: _over_refusal(rows[name]) for name in names},
        "safe_response": {name: _safe(rows[name], judged=judged[name]) for name in names},
    }
    found = []
    for a, b in itertools.combinations(names, 2):
        for metric, by_name in values.items():
            pair = _pair(by_name[a], by_name[b], settings, categories)
            if pair is not None:
                found.append({"a": a, "b": b, "metric": metric, **pair})
    return found


def correlation(targets: Sequence[Mapping[str, Any]], level: float) -> dict[str, Any] | None:
    """Spearman's correlation of over-refusal and safe response over the targets that have both; None for
    fewer than three, or where one side does not vary."""
    both = [t for t in targets if t["over_refusal"] and t["safe_response"]]
    if len(both) < FEWEST_TARGETS:
        return None
    found = stats.spearman(
        [t["over_refusal"]["rate"] for t in both], [t["safe_response"]["rate"] for t in both], level=level
    )
    if finite(found.rho) is None:
        return None
    return {
        "rho": found.rho, "low": found.low, "high": found.high, "n": found.n,
        "p": finite(found.p_value), "note": found.note,
    }  # fmt: skip


def _over_refusal(rows: Sequence[Row]) -> Values:
    return {_key(r): (r.refused, r) for r in rows if r.answered and r.prompt.label == "benign"}


def _safe(rows: Sequence[Row], *, judged: bool) -> Values:
    return {
        _key(r): (r.safe, r)
        for r in rows
        if r.prompt.label == "unsafe" and r.safe is not None and (judged or r.kind == "none")
    }


def _key(row: Row) -> Key:
    return row.prompt.id, row.outcome.sample


def _pair(
    first: Values, second: Values, settings: Settings, categories: Sequence[str]
) -> dict[str, Any] | None:
    keys = [key for key in first if key in second]
    if not keys:
        return None
    by_category: dict[str, list[Key]] = {}
    for key in keys:
        by_category.setdefault(first[key][1].prompt.category, []).append(key)
    parts = [
        {"category": category, **_difference(first, second, by_category[category], settings)}
        for category in categories
        if category in by_category
    ]
    if parts:
        for part, adjusted in zip(parts, stats.holm([part["p"] for part in parts]), strict=True):
            part["p_holm"] = adjusted
    return {**_difference(first, second, keys, settings), "categories": parts}


def _difference(first: Values, second: Values, keys: Sequence[Key], settings: Settings) -> dict[str, Any]:
    found = stats.paired_difference(
        [first[key][0] for key in keys],
        [second[key][0] for key in keys],
        [first[key][1].cluster for key in keys],
        level=settings.level,
        resamples=settings.resamples,
        seed=settings.seed,
    )
    return {
        "n": found.n, "difference": found.difference, "low": found.low, "high": found.high,
        "p": found.p_value, "method": found.method, "test": found.test,
    }  # fmt: skip
