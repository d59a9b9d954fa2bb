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
        why = "; ".join(dict.fromkeys(f"{name}: {part.why}" for name, part in unknown)) or "there is no call"
        known = sum(part.value for part in parts if part.value is not None)
        rest = f"; what is known adds up to {known:,.4g} {unit}" if known else ""
        return missing(unit, why + rest)
    # A stated number is taken at its word beside others that have limits.
    bare = [part for part in parts if part.low is None and part.value and part.by != "stated"]
    low = high = None
    if not bare and any(part.low is not None for part in parts):
        low, high = (
            sum(part.value or 0.0 if end is None else end for part, end in zip(parts, ends, strict=True))
            for ends in ([part.low for part in parts], [part.high for part in parts])
        )
    kinds = {part.by for part in parts if part.value} or {part.by for part in parts}
    order: tuple[By, ...] = ("stated", "price list", "measured", "counted", "free")
    counts = [part.n for part in parts if part.n is not None]
    return Amount(
        unit=unit,
        value=sum(part.value or 0.0 for part in parts),
        low=low,
        high=high,
        by=next((by for by in order if by in kinds), None),
        n=min(counts) if counts else None,
        why="" if low is not None else next((part.why for part in (*bare, *parts) if part.why), ""),
        how=parts[0].how if len(parts) == 1 else "",
    )
