"""Players without a model: `scripted/strategic-games/NAME`, one for each strategy.

A player reads the JSON block that says where the match stands; its seed is that of the request.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from overt.data.chat import ChatReply, ChatRequest
from overt.environments.scripted import Factory, Player, calls, last_json
from overt.environments.strategic_games.games import game_of
from overt.environments.strategic_games.strategies import STRATEGIES, Strategy, View
from overt.environments.strategic_games.telling import standing_of


def _player(strategy: Strategy) -> Player:
    def play(request: ChatRequest) -> ChatReply:
        state = last_json(request)
        name = str(state.get("game")) if isinstance(state, Mapping) else ""
        view = View(standing_of(state, game_of(name)), str(request.seed))
        return calls(("submit_plan", strategy(view)))

    return play


PLAYERS: Mapping[str, Factory] = {name: partial(_player, strategy) for name, strategy in STRATEGIES.items()}
