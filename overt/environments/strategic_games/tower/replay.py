"""The replay of a battle of tower defence."""

from __future__ import annotations

from overt.environments.strategic_games.game import Battle
from overt.environments.strategic_games.tower.units import Field


def draw(field: Field, battle: Battle) -> str:
    """The battle as an animated SVG."""
    return ""
