"""Which prompts a threshold is found on, and which it is tried on: whole seeds (or pairs), never single
rows."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np

from overt.scoring.calibration.columns import Population
from overt.scoring.stats.inputs import Ints
from overt.scoring.summary.rows import Bools, first_places


def split_of(population: Population, share: float, seed: int) -> Bools:
    """Which prompts are on the calibration split.

    Clusters are put in the order of a hash of their names and the seed, those of one category and with the
    same labels beside each other, and every so many-th is taken: each kind of cluster is on both splits in
    about the same share, and the same run and seed always give the same splits.

    Args:
        share: of the clusters that go to the calibration split, between 0 and 1.
    """
    asked, counted = population.asked, population.counted
    groups = len(population.clusters)
    present = np.unique(asked.cluster[counted]) if counted.any() else np.empty(0, dtype=np.int64)
    kind = _kinds(population)
    names = population.clusters
    rank = np.array([_hash(seed, "cluster", names[code]) for code in present], dtype=np.uint64)
    by_kind = {
        int(one): _hash(seed, f"labels {one % 4}", asked.categories[one // 4])
        for one in np.unique(kind[present])
    }
    stratum = np.array([by_kind[int(one)] for one in kind[present]], dtype=np.uint64)
    order = present[np.lexsort((rank, stratum))]
    start = _hash(seed, "start", "") / 2.0**64
    steps = np.floor(np.arange(len(order) + 1) * share + start)
    chosen = np.zeros(groups, dtype=np.bool_)
    chosen[order[np.diff(steps) > 0]] = True
    found: Bools = chosen[asked.cluster]
    return found


def _kinds(population: Population) -> Ints:
    """A number for each cluster: its labels, and the category of its first prompt."""
    asked, counted = population.asked, population.counted
    groups = len(population.clusters)
    labels = np.zeros(groups, dtype=np.int64)
    for bit, side in ((1, ~population.unsafe), (2, population.unsafe)):
        labels[np.unique(asked.cluster[counted & side])] |= bit
    if not len(asked.cluster):
        return labels
    first = first_places(asked.cluster)
    category = np.zeros(groups, dtype=np.int64)
    category[: len(first)] = asked.category[np.minimum(first, len(asked.category) - 1)]
    return category * 4 + labels


def _hash(seed: int, what: str, name: str) -> int:
    text = f"{seed}\0{what}\0{name}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big")
