"""The prompts that `overt run` asks: of data sets or of a suite, narrowed to what the command line wants."""

from __future__ import annotations

from overt.data.errors import InputError
from overt.data.prompts import Side, read_prompts, spread
from overt.data.records import Prompt
from overt.data.suites.load import load_suite, read_suite


def prompts_to_ask(
    dataset: tuple[str, ...],
    *,
    suite: str | None,
    label: Side | None,
    category: tuple[str, ...],
    limit: int | None,
) -> tuple[list[Prompt], list[str]]:
    """The prompts to ask, and what is to be said of those that are left out.

    Args:
        dataset: sources; of a suite its files.
        label: what the prompts are, where their source does not say it.
        category: only these; empty for all.
        limit: at most so many of each label.

    Raises:
        InputError: a source cannot be read, or no prompt is left.
    """
    if suite is not None:
        loaded = read_suite(load_suite(suite), dataset)
    else:
        loaded = read_prompts(dataset, label=label)
    prompts = [p for p in loaded.prompts if not category or p.category in category]
    if limit is not None:
        prompts = list(spread(prompts, limit))
    if not prompts:
        there = sorted({p.category for p in loaded.prompts})
        raise InputError(
            f"no prompt is of category {', '.join(category)}",
            fix=f"There are: {', '.join(there[:20])}",
        )
    notes = []
    if loaded.repeated:
        notes.append(f"{loaded.repeated} prompts stand in the data set more than once; each was sent once")
    if loaded.empty:
        notes.append(f"{loaded.empty} empty prompts were left out")
    return prompts, notes
