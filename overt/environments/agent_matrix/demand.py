"""How much is asked of the service, and how many replicas that requires."""

from __future__ import annotations

from collections.abc import Mapping

Amounts = Mapping[str, int]  # "requests" per second, open "sessions": whole numbers of the same two kinds


def required_replicas(load: Amounts, serves: Amounts, least: int = 0) -> int:
    """The smallest number of replicas that serve a load, where n of them serve n times what one does.

    Args:
        load: how much is asked of the service at once, by kind, at least 0.
        serves: how much one replica serves, by the same kinds, at least 1.
        least: how many have to run even where nothing is asked.
    """
    return max(least, *(-(-amount // serves[kind]) for kind, amount in load.items()))


def is_served(load: Amounts, serves: Amounts, running: int, least: int = 0) -> bool:
    """Whether so many running replicas serve the whole load."""
    return running >= required_replicas(load, serves, least)
