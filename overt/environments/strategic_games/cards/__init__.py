"""Battle cards: a row of units against a row of units."""

from overt.environments.strategic_games.cards.game import BattleCards

__all__ = ["BattleCards"]
