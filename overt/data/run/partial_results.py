"""What `overt score --shard` and `overt rewrite --shard` leave in a run: RUN/parts/WHAT-I-of-N/.

A part stays out of the run's results until `overt merge` has all parts: a part of the votes must not look
like all of them. Its `facts.json` is written last, so a part with it is complete.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from overt.data.json_types import Json
from overt.data.run.files import dump_json, read_json, write_atomic
from overt.data.run.shards import Shard

What = Literal["score", "rewrite"]
FOLDER = "parts"
FACTS = "facts.json"
_NAME = re.compile(r"(score|rewrite)-([1-9]\d{0,5})-of-([1-9]\d{0,5})")


@dataclass(frozen=True)
class Part:
    """One complete part. `facts` are by name what the command adds to a run's manifest."""

    shard: Shard
    folder: Path
    facts: Mapping[str, Json]


def part_folder(run: Path, what: What, shard: Shard) -> Path:
    """Where a part lies."""
    return run / FOLDER / f"{what}-{shard.number}-of-{shard.of}"


def begin_part(run: Path, what: What, shard: Shard) -> tuple[Path, dict[str, Json]]:
    """The folder of a part that is made, or made anew, and the facts of what it held before. Until
    `finish_part` it is not complete.

    Raises:
        InputError: those facts cannot be read.
    """
    folder = part_folder(run, what, shard)
    earlier = read_json(folder / FACTS) if (folder / FACTS).exists() else {}
    (folder / FACTS).unlink(missing_ok=True)
    return folder, earlier


def finish_part(part: Part) -> Part:
    """Completes a part.

    Raises:
        RunError: disk full, folder not writable.
    """
    write_atomic(part.folder / FACTS, dump_json(part.facts))
    return part


def parts_of(run: Path, what: What) -> list[Part]:
    """The complete parts in a run's folder, by their number.

    Raises:
        InputError: the facts of one cannot be read.
    """
    found = []
    for path in (run / FOLDER).glob(f"{what}-*"):
        name = _NAME.fullmatch(path.name)
        if name and (path / FACTS).is_file():
            found.append(Part(Shard(int(name[2]), int(name[3])), path, read_json(path / FACTS)))
    return sorted(found, key=lambda part: (part.shard.of, part.shard.number))
