"""Splits of a data set by whole clusters, so that no text of the training has a sibling in the test.

Prompts belong together if they share a seed, a pair, a type (with its contrast type), or nearly their words.
A cluster is all that hangs together so, over any number of steps. No row is split off its cluster, so the
shares are met only as well as the clusters allow.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import get_args

from overt.data.errors import InputError
from overt.data.records import Prompt
from overt.data.tables.layouts import OVERT_CATEGORIES, XSTEST_TYPES, category_key
from overt.data.training import Split

SPLITS: tuple[Split, ...] = get_args(Split)
Shares = Mapping[Split, float]

_TYPES = {type_: family for family, types in XSTEST_TYPES.items() for type_ in types}
_TELLING = frozenset(_TYPES) - {"privacy_public"}  # a category of OVERT has that name too
_FAMILY = {**_TYPES, **{family: family for family in XSTEST_TYPES}}  # rows of an export name the family


def read_shares(text: str) -> Shares:
    """The shares of train, validation and test in "0.8/0.1/0.1".

    Raises:
        InputError: they are not three numbers that make 1, or none is left for training.
    """
    try:
        numbers = [float(part) for part in text.split("/")]
    except ValueError:
        numbers = []
    if (
        len(numbers) != len(SPLITS)
        or not all(0 <= n <= 1 for n in numbers)
        or abs(sum(numbers) - 1) > 1e-6
        or not numbers[0]
    ):
        raise InputError(
            f"--split is {text!r}, not the shares of train, validation and test",
            fix="Three numbers that make 1, such as 0.8/0.1/0.1; the first is above 0.",
        )
    return dict(zip(SPLITS, numbers, strict=True))


# -- categories and types ------------------------------------------------------------------------------------


def category_of(name: str) -> str:
    """A category in its usual spelling: lower case, `_` for blanks and hyphens, and one name for what OVERT's
    files name in two ways."""
    key = category_key(name)
    return OVERT_CATEGORIES.get(key, key)


def families_of(prompts: Sequence[Prompt]) -> list[str]:
    """The family of each prompt's type where its data set is divided by XSTest's types, else "".

    A data set is, if one of its categories is a type's name that no policy has; then all of its categories
    are types.
    """
    typed = {p.writer for p in prompts if category_key(p.category) in _TELLING}
    return [_FAMILY.get(category_key(p.category), "") if p.writer in typed else "" for p in prompts]


# -- clusters ------------------------------------------------------------------------------------------------


def clustered(keys: Sequence[Iterable[Hashable]], links: Iterable[tuple[int, int]] = ()) -> list[list[int]]:
    """The clusters of rows, each in the order of the rows, the first row's cluster first.

    Args:
        keys: of each row what it shares with others.
        links: pairs of rows that belong together besides.
    """
    parent = list(range(len(keys)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = row = parent[parent[row]]
        return row

    def join(one: int, other: int) -> None:
        first, second = sorted((root(one), root(other)))
        parent[second] = first

    holder: dict[Hashable, int] = {}
    for row, shared in enumerate(keys):
        for key in shared:
            join(holder.setdefault(key, row), row)
    for one, other in links:
        join(one, other)
    found: dict[int, list[int]] = defaultdict(list)
    for row in range(len(keys)):
        found[root(row)].append(row)
    return list(found.values())


def split_clusters(
    clusters: Sequence[Sequence[int]], strata: Sequence[Sequence[Hashable]], shares: Shares, seed: int
) -> list[Split]:
    """The split of each cluster. The same clusters and seed give the same splits.

    The largest clusters are placed first, those of one size in an order of the seed, each where the numbers
    of its strata then come closest to their shares.

    Args:
        clusters: rows.
        strata: of each row what is to be divided by the shares, such as its label.
    """
    total = Counter(one for of_row in strata for one in of_row)
    have: dict[Split, Counter[Hashable]] = {split: Counter() for split in SPLITS}
    found: dict[int, Split] = {}

    def drawn(number: int) -> tuple[int, bytes]:
        told = f"{seed}/{number}".encode()
        return -len(clusters[number]), hashlib.blake2b(told, digest_size=8).digest()

    for number in sorted(range(len(clusters)), key=drawn):
        mine = Counter(one for row in clusters[number] for one in strata[row])

        def worse(split: Split, mine: Counter[Hashable] = mine) -> float:
            """How much farther from the shares the numbers would be, as a chi-squared of what is wanted."""
            wanted = {one: shares[split] * total[one] for one in mine}
            return sum(
                count * (2 * (have[split][one] - wanted[one]) + count) / wanted[one]
                for one, count in mine.items()
            )

        chosen = min((split for split in SPLITS if shares[split] > 0), key=worse)
        have[chosen].update(mine)
        found[number] = chosen
    return [found[number] for number in range(len(clusters))]


def leaks(rows: Iterable[tuple[Split, Iterable[str]]]) -> dict[str, list[Split]]:
    """What stands in more than one split, with those splits.

    Args:
        rows: of each row its split, and what must not be in another one: cluster, text, seed, pair.
    """
    seen: dict[str, set[Split]] = defaultdict(set)
    for split, names in rows:
        for name in names:
            seen[name].add(split)
    return {name: sorted(splits, key=SPLITS.index) for name, splits in seen.items() if len(splits) > 1}
