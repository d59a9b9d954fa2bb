"""How the episodes of each target ended, whatever the environment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from overt.data.episodes import Episode
from overt.data.results.episodes import Played


@dataclass
class _Counts:
    episodes: int = 0
    turns: int = 0
    repaired: int = 0
    cost: float = 0.0
    states: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)


def played_of(episodes: Iterable[Episode]) -> tuple[Played, ...]:
    """Counts of each target's episodes, in the order in which the targets come."""
    found: dict[str, _Counts] = {}
    for episode in episodes:
        counts = found.setdefault(episode.target, _Counts())
        counts.episodes += 1
        counts.turns += len(episode.steps)
        counts.cost += episode.cost
        counts.states[episode.state] += 1
        if episode.state == "missing":
            counts.missing[episode.code or "unknown"] += 1
        elif episode.end:
            counts.ends[episode.end] += 1
        counts.refused.update(step.stage or "model" for step in episode.steps if step.is_refusal)
        counts.repaired += sum(bool(step.repaired) for step in episode.steps)
    return tuple(
        Played(
            target,
            counts.episodes,
            counts.turns,
            dict(counts.states),
            dict(counts.ends),
            dict(counts.missing),
            dict(counts.refused),
            counts.repaired,
            counts.cost,
        )
        for target, counts in found.items()
    )
