"""What the figures of strategic games keep of a run's matches: sums by cluster, and no match.

A cluster is a setting of a match (game, side, who moves first, opponent): the rounds of one match depend on
each other, and so do its repetitions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from overt.data.episodes import Episode
from overt.data.results.episodes import Figure, Unit
from overt.environments.strategic_games.metrics import (
    Count,
    Metrics,
    Round,
    Slope,
    as_meant,
    as_released,
    needless,
)
from overt.scoring.stats.means import mean_limits
from overt.scoring.stats.rates import cluster_limits

_NO_MATCH = "no match was played to its end"


@dataclass
class Sums:
    """A share, or a mean, by cluster. missing: what belongs to it and was not played."""

    totals: dict[str, list[float]] = field(default_factory=dict)  # cluster -> [sum, count]
    missing: int = 0
    reason: str = _NO_MATCH

    def add(self, cluster: str, total: float, count: int, reason: str = "") -> None:
        """`count` rows of a cluster whose values add up to `total`; `reason`: why there are none."""
        if count:
            found = self.totals.setdefault(cluster, [0.0, 0.0])
            found[0] += total
            found[1] += count
        elif reason:
            self.reason = reason

    @property
    def value(self) -> float | None:
        count = sum(count for _, count in self.totals.values())
        return sum(total for total, _ in self.totals.values()) / count if count else None

    def share(self, level: float) -> Figure:
        """k of n with an interval over clusters (`overt.scoring.stats.rates.cluster_limits`)."""
        if self.value is None:
            return self._undefined("share")
        hits, sizes = self._arrays()
        low, high, _ = cluster_limits(hits, sizes, level)
        k, n = int(hits.sum()), int(sizes.sum())
        return Figure(k / n, float(low), float(high), k, n, self.missing)

    def mean(self, level: float) -> Figure:
        """The mean with an interval over clusters (`overt.scoring.stats.means.mean_limits`). There is none of
        one cluster, and none where all are alike: no spread was seen that an interval could be made of."""
        if self.value is None:
            return self._undefined("number")
        sums, sizes = self._arrays()
        n = int(sizes.sum())
        if len(sizes) < 2 or len({*(sums / sizes)}) == 1:
            note = f"no interval: {'one setting only' if len(sizes) < 2 else 'all settings are alike'}"
            return Figure(self.value, n=n, missing=self.missing, unit="number", note=note)
        low, high = (float(limit) for limit in mean_limits(sums, sizes, level))
        return Figure(
            self.value, min(low, self.value), max(high, self.value), None, n, self.missing, "number"
        )

    def _arrays(self) -> tuple[np.ndarray, np.ndarray]:
        # In the clusters' own order, so that the order of the matches cannot matter.
        rows = np.array([self.totals[key] for key in sorted(self.totals)], dtype=np.float64)
        return rows[:, 0], rows[:, 1]

    def _undefined(self, unit: Unit) -> Figure:
        return Figure(None, missing=self.missing, unit=unit, note=self.reason)


@dataclass
class Tally:
    """The sums of one target and one group of matches."""

    win_rate: Sums = field(default_factory=Sums)
    over_budget: Sums = field(default_factory=Sums)
    slope: Sums = field(default_factory=Sums)
    refused: Sums = field(default_factory=Sums)
    opening: Sums = field(default_factory=Sums)
    released_correction: Sums = field(default_factory=Sums)
    released_success: Sums = field(default_factory=Sums)
    meant_correction: Sums = field(default_factory=Sums)
    meant_success: Sums = field(default_factory=Sums)
    needless: Sums = field(default_factory=Sums)

    def add(self, episode: Episode) -> None:
        """Counts one match. The rounds of one that was refused or is missing are in no rate."""
        task = episode.task
        cluster = f"{task['game']}/{task['side']}/{task['moves']}/{task['opponent']}"
        if episode.state == "missing":
            self.refused.missing += 1
        else:
            self.refused.add(cluster, episode.state == "refused", 1)
        first = task["moves"] == "first"
        expected = own_rounds(int(task["rounds"]), first)
        if episode.state in ("refused", "missing"):
            self.opening.missing += 1
            self._miss(expected)
            return
        rounds = rounds_of(episode)
        if rounds:
            self.opening.add(cluster, episode.facts["tries"] > 1 or rounds[0].is_over, 1)
        released, meant = as_released(rounds, first), as_meant(rounds)
        self._count(cluster, released, meant, needless(rounds))
        if (unplayed := expected - released.win_rate.n) > 0:
            self._miss(unplayed)

    def _count(self, cluster: str, released: Metrics, meant: Metrics, kept: Count) -> None:
        _add(self.win_rate, cluster, released.win_rate)
        _add(self.over_budget, cluster, released.over_budget)
        _add_slope(self.slope, cluster, released.slope)
        _add(self.released_correction, cluster, released.correction)
        _add(self.released_success, cluster, released.success)
        _add(self.meant_correction, cluster, meant.correction)
        _add(self.meant_success, cluster, meant.success)
        _add(self.needless, cluster, kept)

    def _miss(self, rounds: int) -> None:
        """Rounds after its revisions that were not played. How many revisions would have changed something
        is unknown: those of a success or a needless change count all that might have."""
        self.slope.missing += 1
        for sums in (
            self.win_rate,
            self.over_budget,
            self.released_correction,
            self.released_success,
            self.meant_correction,
            self.meant_success,
            self.needless,
        ):
            sums.missing += rounds


def own_rounds(rounds: int, moves_first: bool) -> int:
    """How many rounds of a match follow a revision of a player's own."""
    return rounds // 2 if moves_first else max(rounds - 1, 0) // 2


def rounds_of(episode: Episode) -> tuple[Round, ...]:
    """The log of a match."""
    return tuple(
        Round(one["round"], one["own"], one["plan"], one["cost"], one["budget"], one["win"])
        for one in episode.facts.get("rounds", ())
    )


def tallied(episodes: Iterable[Episode]) -> dict[str, dict[str, Tally]]:
    """Target -> group -> sums, in one pass. Groups: see `groups_of`."""
    found: dict[str, dict[str, Tally]] = {}
    for episode in episodes:
        groups = found.setdefault(episode.target, {})
        for group in groups_of(episode):
            groups.setdefault(group, Tally()).add(episode)
    return found


ALL = "all games"


def groups_of(episode: Episode) -> tuple[str, ...]:
    """All games; its game; its game, side and order; its opponent."""
    task = episode.task
    return (
        ALL,
        str(task["game"]),
        f"{task['game']}, {task['side']}, {task['moves']}",
        f"against {task['opponent']}",
    )


def defined(value: float) -> float | None:
    """A number, or None for NaN."""
    return None if math.isnan(value) else value


def _add(sums: Sums, cluster: str, count: Count) -> None:
    sums.add(cluster, count.k, count.n, count.reason)


def _add_slope(sums: Sums, cluster: str, slope: Slope) -> None:
    if slope.value is None:
        sums.add(cluster, 0.0, 0, slope.reason)
    else:
        sums.add(cluster, slope.value, 1)
