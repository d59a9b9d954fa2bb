"""A shard: the part I of N of a run, which a process of its own works on (`--shard I/N`).

Which shard a prompt is in depends on its id and N alone, so that every machine knows it without a list. The
shards of one run share no prompt, and together they hold all of them (overt.tasks.merge).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from overt.data.errors import InputError
from overt.data.run.record import RunRecord

T = TypeVar("T")

OPTION = "shard"  # its name in the configurations and in run.json
RANKS = "ranks"  # the stage with the places of a shard's prompts
MOST = 10_000
_FORM = re.compile(r"([1-9]\d{0,5})/([1-9]\d{0,5})")


@dataclass(frozen=True, slots=True)
class Shard:
    """The shard `number` (from 1) of `of`."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def holds(self, prompt_id: str) -> bool:
        """Whether a prompt is in this shard."""
        digest = hashlib.blake2b(prompt_id.encode("utf-8", "replace"), digest_size=8).digest()
        return int.from_bytes(digest, "big") % self.of == self.number - 1

    def part(self, whole: Sequence[T]) -> Sequence[T]:
        """This shard's part of a sequence: neighbours together, the parts equally long up to one."""
        first, last = (len(whole) * number // self.of for number in (self.number - 1, self.number))
        return whole[first:last]


def shard_said(shard: Shard, mine: int, whole: int) -> str:
    """The note of a shard with `mine` of the `whole` run's prompts."""
    return (
        f"this is shard {shard}: {mine:,} of the {whole:,} prompts; `overt merge` makes the whole run of all "
        "shards"
    )


def refuse_empty(targets: Collection[str], folder: Path) -> None:
    """Refuses a run without prompts, for which no target was opened: rates of nothing would pass every limit.

    Raises:
        InputError: `targets`, those that the run asked, are none.
    """
    if not targets:
        raise InputError(
            "the run holds no prompts, so it has no figures",
            where=str(folder),
            fix="Take a run with prompts; of a shard without any, the whole run that `overt merge` makes.",
        )


def part_said(folder: Path, record: RunRecord) -> list[str]:
    """What to say of figures that are those of a shard; nothing of a whole run."""
    shard = shard_of(record)
    return [] if shard is None else [f"{folder} is shard {shard} of a run, not the whole: see `overt merge`"]


@dataclass(frozen=True, slots=True)
class Rank:
    """The place of a prompt, from 0, among all prompts of the run that its shard is a part of."""

    prompt_id: str
    rank: int


def read_shard(text: str | None) -> Shard | None:
    """The shard that an option's value means; None for the whole.

    Raises:
        InputError: it is none.
    """
    if text is None:
        return None
    found = _FORM.fullmatch(text)
    shard = Shard(*map(int, found.groups())) if found else Shard(0, 0)
    if not 1 <= shard.number <= shard.of <= MOST:
        raise InputError(
            f"--shard is {text!r}",
            fix=f"Write I/N, such as 3/8 for the third of eight parts: I from 1 to N, N at most {MOST:,}.",
        )
    return shard


def shard_of(record: RunRecord) -> Shard | None:
    """The shard that a run is; None for a whole run.

    Raises:
        InputError: the record names none that there is.
    """
    said = record.value(OPTION)
    return None if said is None else read_shard(str(said))
