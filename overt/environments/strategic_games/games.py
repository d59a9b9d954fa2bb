"""The games by name."""

from __future__ import annotations

from functools import lru_cache
from typing import cast

from overt.data.errors import InputError
from overt.data.plugins.names import import_maker
from overt.environments.strategic_games.game import Game

_HERE = "overt.environments.strategic_games"
GAMES = {
    "tower-defence": f"{_HERE}.tower:TowerDefence",
    "battle-cards": f"{_HERE}.cards:BattleCards",
    "duels": f"{_HERE}.duels:Duels",
}


@lru_cache(maxsize=32)
def game_of(name: str) -> Game:
    """The game of this name, or of `module:Class` for one of the user's own. A game keeps no state, so all
    matches share it.

    Raises:
        InputError: there is no such game.
    """
    place = GAMES.get(name, name)
    module, mark, maker = place.partition(":")
    if not mark:
        raise InputError(f"there is no game {name[:60]!r}", fix=f"There are: {', '.join(GAMES)}.")
    return cast(Game, import_maker(module, maker, name)())
