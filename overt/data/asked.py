"""The prompts that are to be asked: of data sets, or of a published suite."""

from __future__ import annotations

from overt.data.errors import InputError
from overt.data.prompts import Side, read_prompts, spread
from overt.data.records import Prompt
from overt.data.suites.load import load_suite, read_suite
from overt.data.tables.parquet import SAMPLE


def prompts_to_ask(
    dataset: tuple[str, ...],
    *,
    suite: str | None,
    label: Side | None,
    category: tuple[str, ...],
    limit: int | None,
) -> tuple[list[Prompt], list[str]]:
    """Reads the prompts to ask. Also returns notes on those that are left out.

    Args:
        dataset: sources, or the files of `suite`.
        label: label of prompts whose source has none.
        category: only these; empty for all.
        limit: at most so many of each label.

    Raises:
        InputError: a source cannot be read, or no prompt is left.
    """
    if suite is not None:
        loaded = read_suite(load_suite(suite), dataset)
    else:
        # A sample may have no prompt of a category that was asked for.
        loaded = read_prompts(dataset, label=label, limit=None if category else limit)
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
    notes += [
        f"{name}: the {limit} prompts of each label were chosen from a sample of about {SAMPLE:,} of its "
        "rows, at even distances over the whole file; a rare category may be missing"
        for name in loaded.sampled
    ]
    return prompts, notes
