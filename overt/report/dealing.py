"""Which cases of a run the page has room for: they are dealt over targets and kinds of cases.

Each target's over-refused prompts are one pile, those that slipped through another, and so on. Round by round
each pile gives some of its cases, the urgent ones more, until the room is spent. So no target and no kind
takes it all. In a pile the order is that of a hash of the outcomes' ids: a random one, yet the same each time
and however the run was made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from overt.report.cases import case_name, urgency
from overt.scoring.stats.inputs import Ints
from overt.scoring.summary.rows import Rows

# How many cases of a pile are dealt in one round, by their urgency.
A_ROUND = {0: 4, 1: 4, 2: 2, 3: 1, 4: 1}
_SHUFFLE = np.uint64(0x9E3779B97F4A7C15)  # odd: it gives each number another one


class Dealt(NamedTuple):
    """Rows in the order in which they are dealt: the place of each one's target among the targets, and its
    place among the target's rows."""

    target: Ints
    row: Ints


def deal(rows: Mapping[str, Rows], most: int) -> Dealt:
    """The first `most` rows of a run in the order in which they are dealt."""
    turns = {name: turn for turn, name in enumerate(sorted(rows))}  # whatever order the run has them in
    parts = [
        _piles(target, turns[name], mine) for target, (name, mine) in enumerate(rows.items()) if len(mine)
    ]
    if not parts:
        return Dealt(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
    *keys, targets, places = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort(keys[::-1])[:most]
    return Dealt(targets[order], places[order])


def _piles(target: int, turn: int, rows: Rows) -> tuple[Ints, ...]:
    """Of each row of a target what the order depends on (the round in which it is dealt, its urgency, the
    target's turn, its pile, its place there), the target, and its place among the rows."""
    names = [case_name(case.label, case.state, case.code, case.harm) for case in rows.cases]
    urgent = [urgency(name, case.harm) for name, case in zip(names, rows.cases, strict=True)]
    known = {pile: number for number, pile in enumerate(sorted(set(zip(names, urgent, strict=True))))}
    pile = np.array([known[one] for one in zip(names, urgent, strict=True)], dtype=np.int64)[rows.case]
    order = np.lexsort((rows.number * _SHUFFLE, pile))
    starts = np.searchsorted(pile[order], np.arange(len(known)))
    place = np.empty(len(rows), dtype=np.int64)
    place[order] = np.arange(len(rows)) - starts[pile[order]]
    urgencies = np.array(urgent, dtype=np.int64)[rows.case]
    at_once = np.array([A_ROUND[one] for one in sorted(A_ROUND)], dtype=np.int64)[urgencies]
    turns, whose = (np.full(len(rows), number) for number in (turn, target))
    return place // at_once, urgencies, turns, pile, place, whose, np.arange(len(rows))
