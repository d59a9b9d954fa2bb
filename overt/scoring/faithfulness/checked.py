"""Validates a scorer's records, since a user's class may return anything, and keeps them."""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import PurePosixPath
from typing import SupportsFloat

from overt.data.errors import InputError, OvertError
from overt.data.json_types import JsonObject
from overt.data.plugins.attempts import raised
from overt.data.records import from_json, to_json
from overt.data.rewrites import Faithfulness, FaithfulnessCase, FaithfulnessScorer, Kept

_END = object()
# Cases that were read and whose records were not yielded yet, with the kept ones.
Waiting = deque[tuple[FaithfulnessCase, list[Faithfulness] | None]]


def score_checked(
    scorer: FaithfulnessScorer,
    cases: Iterable[FaithfulnessCase],
    load: Callable[[str], bytes],
    kept: Kept | None = None,
) -> Iterator[list[Faithfulness]]:
    """Yields the records of each case, in order. A value that is not finite becomes None, with a detail.

    Args:
        kept: where the records of earlier runs are; the scorer is not asked for those. A case with a record
            without a value is asked again: the next time it may have one.

    Raises:
        InputError: the scorer raised, or did not return one list of `Faithfulness` per case.
    """
    waiting: Waiting = deque()

    def unknown() -> Iterator[FaithfulnessCase]:
        for case in cases:
            known = _known(kept, case)
            waiting.append((case, known))
            if known is None:
                yield case

    source = unknown()
    rows: Iterator[object] = iter(scorer.score(source, load))
    while True:
        found = _next(scorer, rows)
        if found is _END or not waiting:
            next(source, None)  # one that does not read its cases as a stream
        yield from _first_known(waiting)
        if found is _END and waiting:
            raise _wrong(scorer, f"gave no record for {waiting[0][0].candidate.text[:60]!r}")
        if found is _END:
            return
        if not waiting:
            raise _wrong(scorer, "gave more lists than there are cases")
        if not isinstance(found, list) or not all(isinstance(row, Faithfulness) for row in found):
            raise _wrong(scorer, f"gave {type(found).__name__} where a list of Faithfulness was expected")
        case, _ = waiting.popleft()
        records = [_finite(scorer, row) for row in found]
        _keep(kept, case, records)
        yield records


def _first_known(waiting: Waiting) -> Iterator[list[Faithfulness]]:
    """The kept records before the first case that the scorer is asked for."""
    while waiting and (known := waiting[0][1]) is not None:
        waiting.popleft()
        yield known


def _known(kept: Kept | None, case: FaithfulnessCase) -> list[Faithfulness] | None:
    row = kept.get(_about(case)) if kept is not None else None
    found = row.get("records") if row is not None else None
    if not isinstance(found, list):
        return None
    try:
        records = [from_json(Faithfulness, record) for record in found if isinstance(record, dict)]
    except (TypeError, ValueError, AttributeError):
        return None
    return [
        dataclasses.replace(
            record, candidate_id=case.candidate.id, prompt_id=case.prompt.id, target=case.target
        )
        for record in records
    ]


def _keep(kept: Kept | None, case: FaithfulnessCase, records: list[Faithfulness]) -> None:
    if kept is not None and records and all(record.value is not None for record in records):
        kept.put([(_about(case), {"records": [to_json(record) for record in records]})])


def _about(case: FaithfulnessCase) -> JsonObject:
    """What a scorer is asked about: both wordings, and the pictures by their hashes (their names)."""
    return {
        "prompt": case.prompt.text,
        "wording": case.candidate.text,
        "pictures": [PurePosixPath(path).stem for path in case.images],
        "baseline": [PurePosixPath(path).stem for path in case.baseline],
    }


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
