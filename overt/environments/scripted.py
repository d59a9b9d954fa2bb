"""`scripted/SUITE/PLAYER`: players without a model, which come in by the same door as models.

A player is a function of a chat request alone, so that many episodes may be played at once and the same
requests get the same replies. `players.py` of each environment lists its own:

    PLAYERS = {"thrifty": thrifty, "lingering": lingering}  # name -> factory(**options) -> Player
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import re
from collections.abc import Callable, Mapping

from overt.data.chat import ChatReply, ChatRequest, Message
from overt.data.errors import InputError
from overt.data.json_types import Json
from overt.data.plugins.names import closest_name, no_such_option, typed
from overt.data.tools import ToolCall, action_text

Player = Callable[[ChatRequest], ChatReply]
Factory = Callable[..., Player]

# Where the players of each suite are.
MODULES: Mapping[str, str] = {
    "after-refusal": "overt.environments.after_refusal.players",
    "operations": "overt.environments.operations.players",
    "agent-matrix": "overt.environments.agent_matrix.players",
    "strategic-games": "overt.environments.strategic_games.players",
}


def players_of(suite: str) -> Mapping[str, Factory]:
    """The players of a suite by name; none for one that has none. Hyphens and underscores are alike."""
    module = MODULES.get(suite.replace("_", "-"))
    if module is None:
        return {}
    found: Mapping[str, Factory] = importlib.import_module(module).PLAYERS
    return found


def options_of(factory: Factory) -> list[str]:
    """The names of a player's options."""
    return list(inspect.signature(factory).parameters)


class Scripted:
    """A scripted player as a chat model.

    Args:
        model: SUITE/PLAYER.
        words: play as a model that takes no tools: its calls are written into its answers.
        options: the player's own.

    Raises:
        InputError: there is no such suite, player or option.
    """

    api_key_env = ""

    def __init__(self, model: str, *, words: bool = False, **options: str) -> None:
        self.name = f"scripted/{model}"
        suite, _, player = model.partition("/")
        players = players_of(suite)
        if not players:
            raise InputError(f"{self.name}: {suite} has no players", fix=f"There are: {', '.join(MODULES)}")
        if player not in players:
            near = closest_name(player, dict.fromkeys(players, ()))
            guess = f"Did you mean {near}? " if near else ""
            raise InputError(
                f"{self.name}: {suite} has no player {player!r}",
                fix=f"{guess}There are: {', '.join(players)}",
            )
        factory = players[player]
        known = options_of(factory)
        for key in options:
            if key not in known:
                line = f"Its options: {', '.join(['words', *known])}."
                raise no_such_option(self.name, key, known, line)
        self._player = factory(**typed(factory, options, self.name))
        self.takes_tools = not words

    async def complete(self, request: ChatRequest) -> ChatReply:
        reply = self._player(request)
        if self.takes_tools or not reply.calls:
            return reply
        text = "\n".join([reply.text, *map(action_text, reply.calls)]).strip()
        return dataclasses.replace(reply, text=text, calls=())

    async def close(self) -> None:
        return None


# -- what players need -------------------------------------------------------------------------------------


def says(text: str) -> ChatReply:
    """A reply in words."""
    return ChatReply(text=text, finish_reason="stop", input_tokens=0, output_tokens=0)


def calls(*each: tuple[str, Mapping[str, Json]], text: str = "") -> ChatReply:
    """A reply that calls tools: (name, arguments) each."""
    made = tuple(
        ToolCall(f"call-{number}", name, json.dumps(arguments))
        for number, (name, arguments) in enumerate(each, 1)
    )
    return ChatReply(text=text, finish_reason="tool_calls", input_tokens=0, output_tokens=0, calls=made)


def told(request: ChatRequest) -> list[Message]:
    """What the player was told so far: the turns of the user and the results of tools."""
    return [turn for turn in request.messages if turn.role in ("user", "tool")]


_JSON = re.compile(r"```json\s*\n(.*?)\n```", re.DOTALL)


def last_json(request: ChatRequest) -> Json:
    """The last JSON block (```json) that the player was told; None where there is none."""
    for turn in reversed(told(request)):
        if blocks := _JSON.findall(turn.content):
            found: Json = json.loads(blocks[-1])
            return found
    return None
