"""Amounts of a plan: with the limits of their intervals, by what they are known, or why they are not."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from overt.data.results.plan import Amount, By, Unit
from overt.scoring.stats.totals import Total
from overt.tasks.plan_needs import Stated


def missing(unit: Unit, why: str) -> Amount:
    """An amount that nobody knows."""
    return Amount(unit=unit, why=why)


def of_total(found: Total, unit: Unit, by: By, how: str = "") -> Amount:
    return Amount(
        unit=unit, value=found.value, low=found.low, high=found.high, by=by, n=found.n, why=found.why, how=how
    )


def of_stated(stated: Stated, unit: Unit, how: str = "") -> Amount:
    """What the user said; the value of a range is its middle."""
    if not stated.is_range:
        return Amount(
            unit=unit, value=stated.low, by="stated", how=how, why="one number was stated, and no range"
        )
    return Amount(unit=unit, value=stated.middle, low=stated.low, high=stated.high, by="stated", how=how)


def scaled(amount: Amount, factor: float, unit: Unit, how: str = "") -> Amount:
    """An amount times a known factor, in another unit."""
    if amount.value is None:
        return dataclasses.replace(amount, unit=unit)
    low, high = (None if end is None else end * factor for end in (amount.low, amount.high))
    return dataclasses.replace(
        amount, unit=unit, value=amount.value * factor, low=low, high=high, how=how or amount.how
    )


def product(amount: Amount, stated: Stated, unit: Unit, how: str = "") -> Amount:
    """An amount times a stated one. Where either has limits, the product goes from the product of the lower
    to that of the upper ones."""
    if amount.value is None:
        return dataclasses.replace(amount, unit=unit)
    low = amount.value if amount.low is None else amount.low
    high = amount.value if amount.high is None else amount.high
    has_limits = amount.low is not None or stated.is_range
    return Amount(
        unit=unit,
        value=amount.value * stated.middle,
        low=low * stated.low if has_limits else None,
        high=high * stated.high if has_limits else None,
        by="stated",
        n=amount.n,
        how=how,
        why="" if has_limits else "one number was stated, and no range",
    )


def added(parts: Sequence[Amount], unit: Unit, names: Sequence[str]) -> Amount:
    """The sum of amounts, with the sums of their limits; missing where one of them is.

    Args:
        names: of the parts, for the reason.
    """
    unknown = [(name, part) for name, part in zip(names, parts, strict=True) if part.value is None]
    if not parts or unknown:
        return _unknown(unknown, parts, unit)
    limits = _limits(parts)
    whys = [part.why for part in sorted(parts, key=_is_limited) if part.why]
    counts = [part.n for part in parts if part.n is not None]
    return Amount(
        unit=unit,
        value=_sum([part.value for part in parts]),
        low=limits[0] if limits else None,
        high=limits[1] if limits else None,
        by=_weakest(parts),
        n=min(counts, default=None),
        why=whys[0] if whys and not limits else "",
        how=parts[0].how if len(parts) == 1 else "",
    )


def _unknown(unknown: Sequence[tuple[str, Amount]], parts: Sequence[Amount], unit: Unit) -> Amount:
    why = "; ".join(dict.fromkeys(f"{name}: {part.why}" for name, part in unknown)) or "there is no call"
    known = _sum([part.value for part in parts])
    return missing(unit, why + (f"; what is known adds up to {known:,.4g} {unit}" if known else ""))


def _sum(values: Sequence[float | None]) -> float:
    return sum(value for value in values if value is not None)


def _is_limited(part: Amount) -> bool:
    """Whether it has limits, or needs none: a stated or counted number is taken at its word beside others
    that have limits, and nothing is certain of nothing."""
    return part.low is not None or part.by in ("stated", "counted") or not part.value


def _limits(parts: Sequence[Amount]) -> tuple[float, float] | None:
    """The sums of the limits; None where a part lacks them, or all do."""
    if not all(map(_is_limited, parts)) or all(part.low is None for part in parts):
        return None
    lows = [part.value if part.low is None else part.low for part in parts]
    highs = [part.value if part.high is None else part.high for part in parts]
    return _sum(lows), _sum(highs)


def _weakest(parts: Sequence[Amount]) -> By | None:
    """By what a sum is known: by the least sure of its parts, of those that add something to it."""
    kinds = {part.by for part in parts if part.value} or {part.by for part in parts}
    order: tuple[By, ...] = ("stated", "price list", "measured", "counted", "free")
    return next((by for by in order if by in kinds), None)
