"""The figures of `operations`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from overt.data.episodes import Episode
from overt.data.results.episodes import Section


def sections(episodes: Iterable[Episode], level: float) -> Sequence[Section]:
    return []
