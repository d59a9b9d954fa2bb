"""Requests with tools for models that take none: the tools, the calls and the results stand in words."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence

from overt.data.chat import ChatRequest, Message
from overt.data.tools import Tool, ToolCall, action_text


def in_words(request: ChatRequest) -> ChatRequest:
    """The request for a model that takes no tools: they stand at the end of the system turn, calls are blocks
    of the assistant's turns, and results are turns of the user."""
    turns: list[Message] = []
    for turn in request.messages:
        if turn.role == "tool":
            words = f"Result of {_name_of(turn.call_id, request.messages)}:\n{turn.content}"
            last = turns[-1] if turns else None
            if last is not None and last.role == "user" and last.content.startswith("Result of "):
                turns[-1] = Message("user", f"{last.content}\n\n{words}")
            else:
                turns.append(Message("user", words))
        elif turn.calls:
            parts = [turn.content, *map(action_text, turn.calls)]
            turns.append(Message(turn.role, "\n".join(filter(None, parts))))
        else:
            turns.append(turn)
    if request.tools:
        turns = _described(turns, request.tools)
    return dataclasses.replace(request, messages=tuple(turns), tools=())


def _name_of(call_id: str, turns: Iterable[Message]) -> str:
    return next((call.name for turn in turns for call in turn.calls if call.id == call_id), "the action")


def _described(turns: list[Message], tools: Sequence[Tool]) -> list[Message]:
    lines = [
        "You act by tools. Write each action as a block of exactly this form, and nothing of it otherwise:",
        action_text(ToolCall("", "NAME", '{"ARGUMENT": "VALUE"}')),
        "Its result is told to you in the next turn. An answer without a block ends your turn.",
        "The tools, each with the JSON Schema of its arguments:",
        *(f"- {tool.name}: {tool.description} {json.dumps(tool.parameters)}" for tool in tools),
    ]
    words = "\n".join(lines)
    if turns and turns[0].role == "system":
        first = dataclasses.replace(turns[0], content=f"{turns[0].content}\n\n{words}")
        return [first, *turns[1:]]
    return [Message("system", words), *turns]
