"""Rows of answer-then-check, and of the plain answers that the adaptive variant mixes in."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from overt.data.answer_plans import Plan
from overt.data.answer_then_check import written
from overt.data.training import Example, TrainingRow
from overt.data.training_rows import plain_row

CHECKED, PLAIN = "answer-then-check", "plain"
RESA_COLUMNS = {
    "form": f"{CHECKED}, or {PLAIN}: answered directly, without the tags",
    "checked": "the category of the policy that the check names, empty in plain rows",
}


def checked_row(plan: Plan) -> TrainingRow:
    """The row of a plan that is through all stages. Its intended answer is in it only where that is the final
    answer."""
    return plain_row(plan.example(written(plan.parts)), more={"form": CHECKED, "checked": plan.checked})


def direct_row(example: Example) -> TrainingRow:
    """The row of a plain answer."""
    return plain_row(example, more={"form": PLAIN, "checked": ""})


def subset(rows: Sequence[TrainingRow], count: int, seed: int) -> list[TrainingRow]:
    """The rows with `count` of those to train on, drawn by their ids and the seed, in their order; all of the
    other splits. A smaller subset of a seed lies in each larger one."""

    def drawn(row: TrainingRow) -> bytes:
        return hashlib.blake2b(f"{seed}/{row.more.get('id')}".encode(), digest_size=8).digest()

    kept = {id(row) for row in sorted((r for r in rows if r.split == "train"), key=drawn)[:count]}
    return [row for row in rows if row.split != "train" or id(row) in kept]
