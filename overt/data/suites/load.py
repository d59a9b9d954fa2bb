"""Loads published suites. A YAML file names the sources of a suite and the meaning of their columns.

A suite has parts (a config of a dataset on the Hub, a file), each with one label or a label column. The
shipped suites are in `suites/*.yaml`; a user's file is read the same way.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from overt.data.errors import InputError
from overt.data.prompts import LoadedPrompts
from overt.data.records import Label, Prompt
from overt.data.suites.episodes.load import episode_suite_name, find_episode_suite
from overt.data.suites.rows import labelled_rows, parts_of
from overt.data.suites.schema import Suite, read_suite_file

FOLDER = Path(__file__).parent


def list_suites() -> tuple[str, ...]:
    """The names of the shipped suites, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def settled_name(name_or_file: str) -> str:
    """The name of a shipped suite as it is listed, so that OVERT-mini and overt_mini are one; any other name
    as it stands."""
    if (played := episode_suite_name(name_or_file)) is not None:
        return played
    name = _plain(name_or_file)
    return name if name in list_suites() else name_or_file


def _plain(name: str) -> str:
    return name.strip().casefold().replace("-", "_")


def load_suite(name_or_file: str) -> Suite:
    """Loads a shipped suite by its name, or the suite in a YAML file. Hyphens count as underscores.

    Raises:
        InputError: the suite does not exist, or its file has problems, with line and field.
    """
    shipped = list_suites()
    if (name := settled_name(name_or_file)) in shipped:
        return _shipped(name)
    if (played := find_episode_suite(name_or_file)) is not None:
        raise InputError(
            f"{played.name} is a suite of many turns: it is played, and has no list of prompts",
            fix=f"overt run --suite {played.name} --target TARGET; overt suites show {played.name}",
        )
    path = Path(name_or_file).expanduser()
    if path.suffix.lower() in (".yaml", ".yml") or path.is_file():
        return read_suite_file(path)
    near = difflib.get_close_matches(_plain(name_or_file), shipped, n=1)
    raise InputError(
        f"there is no suite {name_or_file!r}",
        fix=f"Did you mean {near[0]}?" if near else f"There are {', '.join(shipped)}; or give a YAML file.",
    )


def suite_of_run(name: object) -> Suite | None:
    """The suite that a run's record names; None if it names none, or if a file of the user's own is gone."""
    try:
        return load_suite(str(name)) if name else None
    except InputError:
        return None


@lru_cache(maxsize=64)
def _shipped(name: str) -> Suite:
    return read_suite_file(FOLDER / f"{name}.yaml")


def read_suite(suite: Suite, files: Sequence[str] = (), *, limit: int | None = None) -> LoadedPrompts:
    """Reads the prompts of a suite in their published order; a repeated text counts once.

    Args:
        files: local files instead of the Hub, as `FILE` (if its published name or a suite of one part
            tells the part) or `PART=FILE`. If given, only their parts are read.
        limit: the maximum number of prompts for each part and label.

    Returns:
        Prompts with the suite's type as `category`; benign prompts and their contrasts share `pair_id`,
        prompts of one seed share `seed_id` (None if the suite has no seeds).

    Raises:
        InputError: a file fits no part, a column is missing, a label is unknown, or the Hub does not
            answer or asks for access.
    """
    prompts: dict[str, Prompt] = {}
    pictures: dict[str, bytes] = {}
    repeated = empty = 0
    for part, file in parts_of(suite, files):
        counts: Counter[Label] = Counter()
        for columns, row, label in labelled_rows(suite, part, file):
            if limit is not None and counts[label] >= limit:
                if isinstance(part.label, str):
                    break  # all its rows have this label
                continue
            prompt, picture = columns.prompt(row, label)
            if not prompt.text:
                empty += 1
            elif prompt.id in prompts:
                repeated += 1
            else:
                prompts[prompt.id] = prompt
                if picture is not None and prompt.image is not None:
                    pictures[prompt.image] = picture
                counts[label] += 1
    if not prompts:
        raise InputError(f"no prompt was found for the suite {suite.name}", where=", ".join(files))
    return LoadedPrompts(tuple(prompts.values()), repeated, empty, pictures=pictures)
