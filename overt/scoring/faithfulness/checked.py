"""Validates a scorer's records, since a user's class may return anything."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import SupportsFloat

from overt.data.errors import InputError, OvertError
from overt.data.plugins.attempts import raised
from overt.data.rewrites import Faithfulness, FaithfulnessCase, FaithfulnessScorer

_END = object()


def score_checked(
    scorer: FaithfulnessScorer, cases: Sequence[FaithfulnessCase], load: Callable[[str], bytes]
) -> Iterator[list[Faithfulness]]:
    """Yields the records of each case, in order. A value that is not finite becomes None, with a detail.

    Raises:
        InputError: the scorer raised, or did not return one list of `Faithfulness` per case.
    """
    rows: Iterator[object] = iter(scorer.score(cases, load))
    for case in cases:
        found = _next(scorer, rows)
        if found is _END:
            raise _wrong(scorer, f"gave no record for {case.candidate.text[:60]!r}")
        if not isinstance(found, list) or not all(isinstance(row, Faithfulness) for row in found):
            raise _wrong(scorer, f"gave {type(found).__name__} where a list of Faithfulness was expected")
        yield [_finite(scorer, row) for row in found]
    if _next(scorer, rows) is not _END:
        raise _wrong(scorer, "gave more lists than there are cases")


def _next(scorer: FaithfulnessScorer, rows: Iterator[object]) -> object:
    try:
        return next(rows, _END)
    except OvertError:
        raise
    except Exception as error:  # a user's class may raise anything
        raise _wrong(scorer, f"failed with {raised(scorer, error)}") from error


def _finite(scorer: FaithfulnessScorer, row: Faithfulness) -> Faithfulness:
    value, baseline = _number(scorer, row.value), _number(scorer, row.baseline)
    detail = row.detail if value is not None or row.value is None else f"the scorer gave {row.value}"
    return dataclasses.replace(row, value=value, baseline=baseline, detail=detail)


def _number(scorer: FaithfulnessScorer, found: object) -> float | None:
    if found is None:
        return None
    if isinstance(found, bool | str) or not isinstance(found, SupportsFloat):
        raise _wrong(scorer, f"gave {found!r:.60} where a number or None was expected")
    number = float(found)  # a numpy scalar cannot be written as JSON
    return number if math.isfinite(number) else None


def _wrong(scorer: FaithfulnessScorer, what: str) -> InputError:
    return InputError(
        f"{scorer.name} {what}",
        fix="`score` yields for each case, in order, a list of Faithfulness (see CONTRIBUTING).",
    )
