"""Tower defence: units in five rows against demons that walk in, after arXiv 2506.12012."""

from overt.environments.strategic_games.tower.game import TowerDefence

__all__ = ["TowerDefence"]
