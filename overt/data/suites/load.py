"""Published text suites: a YAML says where the prompts are and what their columns mean; no suite needs code.

A suite is made of parts (a config of a dataset on the Hub, a file), each with a label of its own or a
column that gives it. The shipped ones stand in `suites/*.yaml`; a file of yours is read the same way.
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
from overt.data.suites.rows import labelled_rows, parts_of
from overt.data.suites.schema import Suite, read_suite_file

FOLDER = Path(__file__).parent


def list_suites() -> tuple[str, ...]:
    """The names of the shipped suites, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def load_suite(name_or_file: str) -> Suite:
    """A shipped suite by its name, or the one in a YAML file.

    Raises:
        InputError: neither; or a file that says something wrong, with its line and field.
    """
    shipped = list_suites()
    if name_or_file in shipped:
        return _shipped(name_or_file)
    path = Path(name_or_file).expanduser()
    if path.suffix.lower() in (".yaml", ".yml") or path.is_file():
        return read_suite_file(path)
    near = difflib.get_close_matches(name_or_file.casefold().replace("-", "_"), shipped, n=1)
    raise InputError(
        f"there is no suite {name_or_file!r}",
        fix=f"Did you mean {near[0]}?" if near else f"There are {', '.join(shipped)}; or give a YAML file.",
    )


@lru_cache(maxsize=64)
def _shipped(name: str) -> Suite:
    return read_suite_file(FOLDER / f"{name}.yaml")


def read_suite(suite: Suite, files: Sequence[str] = (), *, limit: int | None = None) -> LoadedPrompts:
    """The prompts of a suite in their published order, each text once (the first stands).

    Args:
        suite: from `load_suite`.
        files: local files instead of the Hub: `FILE`, known by its published name or because the suite
            has one part only, or `PART=FILE`. With any, only their parts are read.
        limit: at most so many of each part and label.

    Returns:
        Prompts with the suite's type as `category`; benign prompts and their contrasts share `pair_id`,
        prompts of one seed share `seed_id` (None where the suite has no seeds).

    Raises:
        InputError: a file that does not fit a part, a column that is missing (with what is there), a
            label nobody mapped, a Hub that is away or asks for access.
    """
    found: dict[str, Prompt] = {}
    repeated = empty = 0
    for part, file in parts_of(suite, files):
        taken: Counter[Label] = Counter()
        for columns, row, label in labelled_rows(suite, part, file):
            if limit is not None and taken[label] >= limit:
                if isinstance(part.label, str):
                    break  # nothing further can be wanted of it
                continue
            prompt = columns.prompt(row, label)
            if not prompt.text:
                empty += 1
            elif prompt.id in found:
                repeated += 1
            else:
                found[prompt.id] = prompt
                taken[label] += 1
    if not found:
        raise InputError(f"no prompt was found for the suite {suite.name}", where=", ".join(files))
    return LoadedPrompts(tuple(found.values()), repeated, empty)
