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

    Time is n x kept x d for each category: seconds for 2,500 out of 5,000.
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
    """The chosen rows in the order of choice, and each row's similarity to its nearest chosen one."""
    import hashlib

    import numpy as np

    n = len(table)
    # Each prompt has its own place in the shuffle: one more or less moves none of the others.
    places = [hashlib.blake2b(f"{seed} {key}".encode(), digest_size=8).digest() for key in keys]
    shuffled = np.array(sorted(range(n), key=lambda i: (places[i], i)), dtype=np.int64)
    names = {name: k for k, name in enumerate(dict.fromkeys(groups))}
    group = np.array([names[name] for name in groups])[shuffled]
    tier = np.array(tiers)[shuffled]
    table = table[shuffled]
    counts = np.zeros(len(names), dtype=np.int64)
    nearest = np.full(n, -2.0, dtype=np.float32)
    free = np.ones(n, dtype=bool)
    order: list[int] = []
    for _ in range(wanted):
        eligible = free & (tier == tier[free].min())
        eligible &= counts[group] == counts[group[eligible]].min()
        # Rounded, so that a tie is a tie on every machine and the shuffle decides it.
        pick = int(np.where(eligible, np.round(nearest, 5), 9.0).argmin())
        order.append(int(shuffled[pick]))
        free[pick] = False
        counts[group[pick]] += 1
        np.maximum(nearest, table @ table[pick], out=nearest)
    back = np.empty(n, dtype=np.float32)
    back[shuffled] = nearest
    return order, back
