"""Which prompts of a data set can be asked after their unsafe twins, and what is asked around each."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from overt.data.errors import InputError
from overt.data.records import Label, Prompt


@dataclass(frozen=True, slots=True)
class Around:
    """A benign prompt and what is asked around it: its unsafe twin, the benign prompts of other clusters that
    are asked after it, in order, and the one before it in the control (None: it is not wanted)."""

    prompt: Prompt
    twin: Prompt
    later: tuple[Prompt, ...]
    control: Prompt | None


@dataclass(frozen=True, slots=True)
class Data:
    """What a data set had. `asked`: benign prompts with a twin. `without_twin`, `carrying`: benign prompts
    that are left out because they have none, or because they carry a picture or a conversation of their own.
    `shared`: of those that are asked, how many share their twin with another one. `spare`: unsafe prompts
    that are not asked, since their pair has another one."""

    asked: int
    without_twin: int
    carrying: int
    shared: int
    spare: int


def arranged(
    prompts: Sequence[Prompt], later: int, *, control: bool, choice: int
) -> tuple[list[Around], Data]:
    """Arranges the benign prompts that have an unsafe twin (the same `pair_id`), in their order.

    All of them are shuffled into a ring once, and each is followed by its next neighbours of other clusters;
    the control is the one after those. So every prompt is asked at every distance about equally often
    (exactly once where no two of a cluster stand near each other), and distances compare the same prompts.

    Args:
        later: how many are asked after each.
        control: whether an unrelated one is wanted too.
        choice: the seed of the ring.

    Raises:
        InputError: no prompt has a twin, or there are too few of other clusters.
    """
    benign, twins, data = _usable(prompts)
    if not benign:
        raise InputError(
            "no benign prompt of this data set has an unsafe twin",
            fix="Give one with pairs: --of xstest, --of overt-pairs, or a run of overt generate "
            "(a table: both prompts with the same pair_id).",
        )
    ring = sorted(benign, key=lambda prompt: prompt.id)
    random.Random(choice).shuffle(ring)
    clusters = [prompt.cluster for prompt in ring]
    wanted = later + control
    around = {}
    for place, prompt in enumerate(ring):
        others = _next(ring, clusters, place, wanted)
        around[prompt.id] = Around(
            prompt, twins[str(prompt.pair_id)], others[:later], others[later] if control else None
        )
    return [around[prompt.id] for prompt in benign], data


def _usable(prompts: Sequence[Prompt]) -> tuple[list[Prompt], dict[str, Prompt], Data]:
    """The benign prompts that have a twin, and the twins by pair."""
    own = [prompt for prompt in prompts if not prompt.variant_of]
    plain = [prompt for prompt in own if prompt.image is None and not prompt.turns]
    benign, carrying = _of(plain, "benign"), len(_of(own, "benign")) - len(_of(plain, "benign"))
    unsafe = [prompt for prompt in _of(plain, "unsafe") if prompt.pair_id]
    twins = {str(prompt.pair_id): prompt for prompt in reversed(unsafe)}  # the first of several
    kept = [prompt for prompt in benign if prompt.pair_id in twins]
    pairs, others = _sizes(kept), _sizes(unsafe)
    shared = sum(size for size in pairs.values() if size > 1)
    spare = sum(others[pair] - 1 for pair in pairs)
    return kept, twins, Data(len(kept), len(benign) - len(kept), carrying, shared, spare)


def _of(prompts: Sequence[Prompt], label: Label) -> list[Prompt]:
    return [prompt for prompt in prompts if prompt.label == label]


def _sizes(prompts: Sequence[Prompt]) -> Counter[str]:
    """How many prompts each pair has."""
    return Counter(str(prompt.pair_id) for prompt in prompts)


def _next(ring: Sequence[Prompt], clusters: Sequence[str], place: int, wanted: int) -> tuple[Prompt, ...]:
    """The next neighbours of other clusters.

    Raises:
        InputError: there are too few.
    """
    found: list[Prompt] = []
    for step in range(1, len(ring)):
        if len(found) == wanted:
            break
        there = (place + step) % len(ring)
        if clusters[there] != clusters[place]:
            found.append(ring[there])
    if len(found) < wanted:
        raise InputError(
            f"beside each prompt {wanted} benign ones of other pairs are asked, and there are {len(found)}",
            where=ring[place].text[:60],
            fix="Give more pairs (a larger --limit), or ask fewer: --setting recovery=1",
        )
    return tuple(found)
