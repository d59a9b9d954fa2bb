"""Select: exactly the asked number of prompts per category, the most diverse ones.

Greedy farthest-point selection (Gonzalez 1985, doi 10.1016/0304-3975(85)90224-5): each next prompt is
the one whose most similar chosen prompt is the least similar. Its covering radius is at most twice the
best possible. Three things are added. A prompt of a later tier is never preferred to one of an earlier tier:
prompts made from scenes share words with each other, so by diversity alone those that only name a term would
win. Within a tier only prompts whose trigger has been chosen the fewest times so far may be next, so the
quota is spread evenly over the triggers as long as they last. And ties, the first prompt included, are broken
by a seeded shuffle.

pyversity is not used: it ranks by relevance and cannot balance groups.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from overt.data.records import Drop, Prompt, clean_text
from overt.scoring.diversity import ngram_vectors, unit_rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class SelectResult:
    """`kept` and `drops` in input order; `short`: by category, how many are missing to its quota."""

    kept: list[Prompt]
    drops: list[Drop]
    short: dict[str, int]


def select(
    prompts: Sequence[Prompt],
    quota: Mapping[str, int],
    *,
    seed: int,
    vectors: NDArray[np.float32] | None = None,
    tiers: Sequence[int] | None = None,
) -> SelectResult:
    """Keeps `quota[category]` prompts of each category, or all where there are fewer.

    Args:
        prompts: of one label; call it once for the benign and once for the unsafe ones.
        quota: how many to keep by category; prompts of other categories are dropped.
        seed: breaks ties. Same prompts, quota and seed: same choice.
        vectors: (n, d) embeddings, one row a prompt; without them, TF-IDF of word n-grams.
        tiers: one number a prompt, the lowest first (`overt.data.tiers.tier_of`); without them all prompts
            are of one tier. The tier decides first, then the balance over triggers, then diversity.

    Similarities are n x kept for each category, most of them by products of matrices: 5,000 out of 7,500 take
    seconds.
    """
    by_category: defaultdict[str, list[int]] = defaultdict(list)
    for i, prompt in enumerate(prompts):
        by_category[prompt.category].append(i)
    chosen: set[int] = set()
    drops: dict[int, Drop] = {}
    for category, rows in by_category.items():
        wanted = max(quota.get(category, 0), 0)
        if len(rows) <= wanted:
            chosen.update(rows)
            continue
        mine = [prompts[i] for i in rows]
        table = ngram_vectors([p.text for p in mine]) if vectors is None else unit_rows(vectors[rows])
        ranks = [0] * len(rows) if tiers is None else [tiers[i] for i in rows]
        kept, lost = _best(mine, table, ranks, wanted, f"{seed} {category}")
        chosen.update(rows[k] for k in kept)
        drops |= {rows[k]: drop for k, drop in lost.items()}
    return SelectResult(
        [prompts[i] for i in sorted(chosen)],
        [drops[i] for i in sorted(drops)],
        {c: wanted - len(by_category[c]) for c, wanted in quota.items() if wanted > len(by_category[c])},
    )


def _best(
    prompts: Sequence[Prompt], table: NDArray[np.float32], tiers: Sequence[int], wanted: int, seed: str
) -> tuple[list[int], dict[int, Drop]]:
    """The places of the prompts of one category that are kept, and a drop for each of the others."""
    kept, nearest = _farthest(
        table, [_trigger(p) for p in prompts], tiers, [p.id for p in prompts], wanted, seed
    )
    last = max((tiers[k] for k in kept), default=0)
    gone = set(range(len(prompts))) - set(kept)
    return kept, {
        k: _drop(prompts[k], wanted, len(prompts), nearest[k], later=tiers[k] > last) for k in sorted(gone)
    }


def _drop(prompt: Prompt, wanted: int, count: int, similarity: float, *, later: bool) -> Drop:
    if wanted and later:
        reason, detail = "better prompts were enough", f"{wanted} of {count} kept, all of an earlier tier"
    elif wanted:
        reason = "not among the most diverse"
        detail = f"{wanted} of {count} kept; similarity to the nearest kept one {similarity:.3f}"
    else:
        reason, detail = "not asked for", "no prompts of this category are asked for"
    return Drop(prompt.id, "select", prompt.category, reason, detail, prompt.text)


def _trigger(prompt: Prompt) -> str:
    return clean_text(prompt.trigger).casefold()


def _farthest(
    table: NDArray[np.float32],
    groups: Sequence[str],
    tiers: Sequence[int],
    keys: Sequence[str],
    wanted: int,
    seed: str,
) -> tuple[list[int], NDArray[np.float32]]:
    """The chosen rows in the order of choice, and each row's similarity to its nearest chosen one: of the
    rows that are not chosen, and of no later tier than one that is."""
    import hashlib

    import numpy as np

    n = len(table)
    # Each prompt has its own place in the shuffle: one more or less moves none of the others.
    places = [hashlib.blake2b(f"{seed} {key}".encode(), digest_size=8).digest() for key in keys]
    shuffled = np.array(sorted(range(n), key=lambda i: (places[i], i)), dtype=np.int64)
    names = {name: k for k, name in enumerate(dict.fromkeys(groups))}
    group = np.array([names[name] for name in groups], dtype=np.int64)[shuffled]
    tier = np.array(tiers, dtype=np.int64)[shuffled]
    nearness = _Nearness(table[shuffled], wanted)
    counts = np.zeros(len(names), dtype=np.int64)
    order: list[int] = []
    for level in np.unique(tier):
        if len(order) == wanted:
            break
        rows = np.flatnonzero(tier == level)
        nearness.enter(rows)
        order += _walk(nearness, rows, group[rows], counts, wanted - len(order))
        nearness.settle()
    back = np.empty(n, dtype=np.float32)
    back[shuffled] = nearness.nearest
    return shuffled[order].tolist(), back


def _walk(
    nearness: _Nearness,
    rows: NDArray[np.int64],
    group: NDArray[np.int64],
    counts: NDArray[np.int64],
    most: int,
) -> list[int]:
    """Chooses up to `most` of the rows of one tier; `counts` of their groups grow."""
    import numpy as np

    members = {g: np.flatnonzero(group == g) for g in np.unique(group).tolist()}
    free = np.ones(len(rows), dtype=bool)
    picked: list[int] = []
    while len(picked) < min(most, len(rows)):
        # All of the groups that were chosen the fewest times; each leaves the ranking with its next choice.
        level = counts[group[free]].min()
        ranking = np.where(free & (counts[group] == level), nearness.bounds[rows], np.float32(_OUT))
        while len(picked) < most:
            place = int(ranking.argmin())
            if ranking[place] == _OUT:
                break
            row = int(rows[place])
            if not nearness.is_exact(row):
                ranking[place] = nearness.exactly(row)
                continue
            picked.append(row)
            free[place] = False
            counts[group[place]] += 1
            ranking[members[int(group[place])]] = _OUT
            if nearness.choose(row):
                break  # the bounds of all rows are better now
    return picked


_OUT = 9.0  # above every similarity
_BLOCK = 128  # chosen rows that all others are held against at once; a multiple of four
_SLACK = 1e-5  # above what two ways of adding up one product differ by


class _Nearness:
    """How similar each row is to the nearest chosen one: a lower bound, and exactly where somebody asks.

    Another choice can only raise it, so a row that does not come first by its bound does not come first at
    all. Bounds are raised by whole blocks of choices, in one product of matrices. What decides is always a
    product of chosen rows and one vector: products of matrices are added up in another order, and two rows
    that are equally near would differ in the last bit.
    """

    def __init__(self, table: NDArray[np.float32], wanted: int) -> None:
        import numpy as np

        n, blocks = len(table), -(-wanted // _BLOCK)
        self._table = table
        self._chosen = np.zeros((blocks * _BLOCK, table.shape[1]), dtype=np.float32)
        self._count = 0
        self._live = np.empty(0, dtype=np.int64)
        self._by_block = np.full((n, blocks), -2.0, dtype=np.float32)  # highest product with each full block
        self._exact_at = np.full(n, -1, dtype=np.int64)  # the count of choices that the bound is exact for
        self.bounds = np.full(n, -2.0, dtype=np.float32)  # rounded as what decides is
        self.nearest = np.full(n, -2.0, dtype=np.float32)

    def enter(self, rows: NDArray[np.int64]) -> None:
        """From now on these are the rows to choose from."""
        self._live = rows
        for block in range(self._count // _BLOCK):
            self._raise_bounds(block)

    def choose(self, row: int) -> bool:
        """Chooses a row; whether a block is full now, and all bounds were raised."""
        self._chosen[self._count] = self._table[row]
        self._count += 1
        if self._count % _BLOCK:
            return False
        self._live = self._live[self._live != row]
        self._raise_bounds(self._count // _BLOCK - 1)
        return True

    def is_exact(self, row: int) -> bool:
        return bool(self._exact_at[row] == self._count)

    def exactly(self, row: int) -> float:
        """The similarity to the nearest chosen row, rounded: a tie is a tie on every machine, and the shuffle
        decides it."""
        import numpy as np

        full = self._count // _BLOCK
        best = np.float32(-2.0)
        if full:
            by_block = self._by_block[row, :full]
            near = np.flatnonzero(by_block >= by_block.max() - 2 * _SLACK).tolist()
            best = max(self._product(row, k * _BLOCK, (k + 1) * _BLOCK) for k in near)
        if self._count % _BLOCK:
            best = max(best, self._product(row, full * _BLOCK, self._count))
        self._exact_at[row] = self._count
        self.bounds[row] = np.round(np.array([best], dtype=np.float32), 5)[0]
        return float(self.bounds[row])

    def settle(self) -> None:
        """Sets `nearest` of the rows to choose from."""
        import numpy as np

        full, rows = self._count // _BLOCK, self._live
        if full:
            self.nearest[rows] = self._by_block[rows, :full].max(axis=1)
        if self._count % _BLOCK:
            rest = self._table[rows] @ self._chosen[full * _BLOCK : self._count].T
            self.nearest[rows] = np.maximum(self.nearest[rows], rest.max(axis=1))

    def _raise_bounds(self, block: int) -> None:
        import numpy as np

        rows = self._live
        highest = (self._table[rows] @ self._chosen[block * _BLOCK : (block + 1) * _BLOCK].T).max(axis=1)
        self._by_block[rows, block] = highest
        self.bounds[rows] = np.maximum(self.bounds[rows], np.round(highest - np.float32(_SLACK), 5))

    def _product(self, row: int, start: int, stop: int) -> np.float32:
        """The highest product with the chosen rows of a block, up to `stop`."""
        import numpy as np

        # Whole fours of rows, since a rest of fewer is added up in another order, too.
        scores = self._chosen[start : stop + -stop % 4] @ self._table[row]
        return np.float32(scores[: stop - start].max())
