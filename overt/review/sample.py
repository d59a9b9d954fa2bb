"""Which items people look at: a stratified random sample in which every item's chance is known.

Doubtful items (judges disagree, close to a threshold) are worth more of a person's time, so they are
drawn more often; the estimate weights them back down. Within a stratum the order is a random
permutation and the sample is its beginning: so a larger sample later keeps the earlier one, and
wherever people stop, those done are still a random sample of their stratum.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from overt.data.records import content_id
from overt.review.population import Priority, Subject

# How many times as likely an item is to be drawn as a plain one.
WORTH: dict[Priority, float] = {"contested": 4.0, "near": 2.0, "plain": 1.0}
_LEAST = 2  # items per stratum: one item cannot show a variance

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stratum:
    """`planned` of `size` items are drawn, each with the chance planned / size.

    `key` is (what the run says, priority, category, target), or (outcome, category) of a sample by outcome;
    shorter where small groups were put together.
    """

    id: int
    key: Key
    size: int
    planned: int

    @property
    def chance(self) -> float:
        return self.planned / self.size


@dataclass(frozen=True, slots=True)
class Pick:
    """One item of the sample: the subject and its stratum; `shared` items go to every reviewer."""

    subject: Subject
    stratum: int
    shared: bool


@dataclass(frozen=True, slots=True)
class Sample:
    """The plan: strata, and the items in the order in which they are handed out."""

    strata: tuple[Stratum, ...]
    picks: tuple[Pick, ...]


def full_key(subject: Subject) -> Key:
    """The finest stratum of an item."""
    return (subject.said, subject.priority, subject.category, subject.target)


def doubt(subject: Subject) -> float:
    """How many times as likely an item is to be drawn as a plain one."""
    return WORTH[subject.priority]


def draw(
    subjects: Sequence[Subject],
    items: int,
    *,
    overlap: float,
    seed: int,
    keys: Sequence[Key] = (),
    key_of: Callable[[Subject], Key] = full_key,
    worth_of: Callable[[Subject], float] = doubt,
) -> Sample:
    """Draws `items` of the population, or all of it if there are fewer.

    Args:
        keys: strata of an earlier, smaller sample of the same subjects, which this one then contains.
        overlap: share of the sample that every reviewer gets, 0 to 1. Everything else goes to one.
        seed: of the draw; the order of `subjects` does not matter.
        key_of: the finest stratum of an item. worth_of: its claim to be drawn.

    Raises:
        ValueError: no subjects, fewer than one item, an overlap outside 0..1.
    """
    if not subjects or items < 1 or not 0 <= overlap <= 1:
        raise ValueError("draw needs subjects, at least one item, and an overlap from 0 to 1")
    ordered = sorted(subjects, key=lambda s: (content_id("draw", seed, s.question, s.id), s.id))
    items = min(items, len(ordered))
    full, claims = [key_of(s) for s in ordered], [worth_of(s) for s in ordered]
    placed = _placed(full, keys) if keys else _strata(full, claims, items)
    members: dict[Key, list[Subject]] = defaultdict(list)
    worths: dict[Key, float] = defaultdict(float)
    for subject, key, claim in zip(ordered, placed, claims, strict=True):
        members[key].append(subject)
        worths[key] += claim
    names = sorted(members)
    worth = [worths[key] for key in names]
    planned = allocate([len(members[key]) for key in names], worth, items)
    strata = tuple(
        Stratum(number, key, len(members[key]), count)
        for number, (key, count) in enumerate(zip(names, planned, strict=True))
    )
    drawn = [(s, subject) for s in strata for subject in members[s.key][: s.planned]]
    return Sample(strata, tuple(_queue(drawn, overlap, random.Random(f"overt review {seed}"))))


def allocate(sizes: Sequence[int], worth: Sequence[float], items: int) -> list[int]:
    """How many items to draw from each stratum: in proportion to its worth, at least two, at most all.

    Exactly `items` in all, where the minimums leave room for it.
    """
    least = min(_LEAST, items)
    counts = [min(size, least) for size in sizes]
    # Webster's rule: one by one to the stratum with the largest claim, so that a larger sample never
    # shrinks a stratum.
    owed = [
        (-worth[i] / (2 * count + 1), i)
        for i, (count, size) in enumerate(zip(counts, sizes, strict=True))
        if count < size
    ]
    heapq.heapify(owed)
    for _ in range(items - sum(counts)):
        if not owed:
            break
        _, i = heapq.heappop(owed)
        counts[i] += 1
        if counts[i] < sizes[i]:
            heapq.heappush(owed, (-worth[i] / (2 * counts[i] + 1), i))
    return counts


def _strata(full: Sequence[Key], claims: Sequence[float], items: int) -> list[Key]:
    """The stratum of each subject: as fine as the size of the sample allows.

    A group that can expect fewer than two items is merged with its neighbours: first over targets,
    then over categories, then over priorities. Every item has to have a chance.
    """
    total = sum(claims)
    keys = list(full)
    for most in (4, 3, 2, 1, 0):
        keys = [key[:most] for key in full]
        for length in range(most, 1, -1):
            expected: dict[Key, float] = defaultdict(float)
            for key, claim in zip(keys, claims, strict=True):
                expected[key] += items * claim / total
            keys = [key[:-1] if len(key) == length and expected[key] < _LEAST else key for key in keys]
        sizes = Counter(keys)
        if sum(min(size, _LEAST) for size in sizes.values()) <= items:
            break
    return keys


def _placed(full: Sequence[Key], keys: Sequence[Key]) -> list[Key]:
    """The finest of the given strata that each subject belongs to."""
    known = set(keys)
    return [next(f[:n] for n in range(len(f), -1, -1) if f[:n] in known) for f in full]


def _queue(drawn: Sequence[tuple[Stratum, Subject]], overlap: float, rng: random.Random) -> list[Pick]:
    """Mixes strata and shared items evenly, so that reviewers who stop early have seen some of each."""
    rank: Counter[int] = Counter()
    places = []
    for stratum, subject in drawn:
        places.append(((rank[stratum.id] + rng.random()) / stratum.planned, stratum.id, subject))
        rank[stratum.id] += 1
    places.sort(key=lambda place: (place[0], place[1]))
    start = rng.random()
    return [
        Pick(subject, stratum, int(start + (i + 1) * overlap) > int(start + i * overlap))
        for i, (_, stratum, subject) in enumerate(places)
    ]
