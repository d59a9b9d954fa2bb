"""Strategic games of two sides (after arXiv 2506.12012).

game          what a game must have; tower/, cards/ and duels/ are the games
match         the loop: openings, battles, revisions, who wins over budget
telling       what a player is told
strategies    twelve ways to plan; players are made of them, and opponents
metrics       win rate, overruns, corrections, slope, of one match
figures       the same over all matches of a run
"""

from overt.environments.strategic_games.environment import StrategicGames

__all__ = ["StrategicGames"]
