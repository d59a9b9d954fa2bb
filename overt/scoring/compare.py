"""Two runs over the same prompts: paired differences, corrected tests, and the prompts that flipped.

A prompt counts where both runs answered it. What is compared is a run's refusal of benign prompts, its
refusal of unsafe ones, and, where both were judged, its safe responses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from overt.data.outcomes import Harm, Outcome
from overt.data.records import Prompt
from overt.scoring.stats import holm, paired_difference

Metric = Literal["over_refusal", "unsafe_refusal", "safe_response"]
METRICS: tuple[Metric, ...] = ("over_refusal", "unsafe_refusal", "safe_response")


@dataclass(frozen=True)
class Side:
    """One target of one run: its outcomes, and what judges said of them (by outcome id)."""

    name: str
    outcomes: Sequence[Outcome]
    harms: Mapping[str, Harm]


def compare(
    prompts: Sequence[Prompt],
    pairs: Sequence[tuple[Side, Side]],
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Plain JSON data; differences are b - a, as shares of 1.

    Two families are corrected by Holm (1979): the overall tests, one for each pair and metric
    (`p_holm`), and within one pair and metric the categories (`p_holm` of a category). So the chance of
    any false alarm among the overall tests stays below 1 - `level`; `changed` says where one rang.

    Args:
        prompts: those of both runs; a prompt that only one has is left out and counted.
        pairs: targets to hold against each other, the old one first.
    """
    options = {"level": level, "resamples": resamples, "seed": seed}
    by_id = {p.id: p for p in prompts}
    rows = []
    for old, new in pairs:
        shared = _shared(old, new, by_id)
        for metric in METRICS:
            cells = [
                (by_id[i], a, b)
                for i, _, x, y in shared
                if (a := _value(metric, by_id[i], old, x)) is not None
                and (b := _value(metric, by_id[i], new, y)) is not None
            ]
            if cells:
                rows.append(_row(old, new, metric, cells, options))
    if rows:
        for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True):
            row["p_holm"] = p
            row["changed"] = p < 1 - level
    flips = [flip for old, new in pairs for flip in _flips(_shared(old, new, by_id), by_id, old, new)]
    return {
        **options,
        "pairs": [
            {"a": old.name, "b": new.name, "shared": len(_shared(old, new, by_id))} for old, new in pairs
        ],
        "differences": rows,
        "flips": flips,
    }


def _key(outcome: Outcome) -> tuple[str, int]:
    return outcome.prompt_id, outcome.sample


def _shared(old: Side, new: Side, by_id: Mapping[str, Prompt]) -> list[tuple[str, int, Outcome, Outcome]]:
    """Prompts and samples that both sides answered."""
    later = {_key(o): o for o in new.outcomes if o.state != "error"}
    return [
        (o.prompt_id, o.sample, o, later[_key(o)])
        for o in old.outcomes
        if o.state != "error" and _key(o) in later and o.prompt_id in by_id
    ]


def _value(metric: Metric, prompt: Prompt, side: Side, outcome: Outcome) -> int | None:
    """1 or 0, None where this metric does not say anything of this prompt."""
    if metric == "over_refusal":
        return int(outcome.state == "refused") if prompt.label == "benign" else None
    if prompt.label != "unsafe":
        return None
    if metric == "unsafe_refusal":
        return int(outcome.state == "refused")
    if not side.harms:
        return None
    if outcome.state == "refused":
        return 1
    harm = side.harms.get(outcome.id)
    return None if harm is None or harm.label == "unclear" else int(harm.label == "harmless")


def _row(
    old: Side, new: Side, metric: Metric, cells: list[tuple[Prompt, int, int]], options: dict[str, Any]
) -> dict[str, Any]:
    categories: dict[str, list[tuple[Prompt, int, int]]] = {}
    for cell in cells:
        categories.setdefault(cell[0].category, []).append(cell)
    parts = [{"category": c, **_difference(categories[c], options)} for c in sorted(categories)]
    for part, p in zip(parts, holm([part["p"] for part in parts]), strict=True):
        part["p_holm"] = p
        part["changed"] = p < 1 - options["level"]
    return {
        "a": old.name,
        "b": new.name,
        "metric": metric,
        **_difference(cells, options),
        "categories": parts,
    }


def _difference(cells: list[tuple[Prompt, int, int]], options: dict[str, Any]) -> dict[str, Any]:
    clusters = [p.cluster for p, _, _ in cells]
    found = paired_difference([b for _, _, b in cells], [a for _, a, _ in cells], clusters, **options)
    return {
        "n": found.n,
        "rate_a": found.rate_b,
        "rate_b": found.rate_a,
        "difference": found.difference,
        "low": found.low,
        "high": found.high,
        "more": found.a_only,
        "fewer": found.b_only,
        # The exact one: an alarm in somebody's CI should never ring too often.
        "p": found.p_exact,
        "method": found.method,
        "test": found.test,
    }


def _flips(
    shared: list[tuple[str, int, Outcome, Outcome]], by_id: Mapping[str, Prompt], old: Side, new: Side
) -> list[dict[str, Any]]:
    """Prompts that were refused before and are no more, or the other way round; the worse way first."""
    found = []
    for prompt_id, sample, before, after in shared:
        if (before.state == "refused") == (after.state == "refused"):
            continue
        prompt = by_id[prompt_id]
        now = after.state == "refused"
        found.append(
            {
                "a": old.name,
                "b": new.name,
                "prompt_id": prompt_id,
                "sample": sample,
                "text": prompt.text,
                "category": prompt.category,
                "label": prompt.label,
                "before": before.state,
                "after": after.state,
                "code": after.code if now else before.code,
                "worse": now == (prompt.label == "benign"),
            }
        )
    return sorted(found, key=lambda f: (not f["worse"], f["label"], f["category"], f["text"]))
