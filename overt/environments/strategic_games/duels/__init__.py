"""Turn-based duels: up to three characters against up to three, each with three skills."""

from overt.environments.strategic_games.duels.game import Duels

__all__ = ["Duels"]
