"""A scripted player behind the mock endpoint: an OpenAI-compatible server that calls tools.

    python benchmarks/mock_endpoint.py --player operations/willing --rate-malformed 0.1
    python benchmarks/mock_endpoint.py --player module:Class     # a chat model that awaits nothing

What a player says is a function of the conversation, so that every run gets the same episodes. A malformed
answer is a call that no client can read; which kind of it follows from the conversation too.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from typing import Any

from overt.data.chat import ChatModel, ChatReply, ChatRequest, Message
from overt.data.tools import Tool, ToolCall, action_text, call_json
from overt.environments.scripted import Scripted
from overt.registry import load_chat_model

REPAIR = "That could not be read"
# As Ollama says it (github.com/ollama/ollama/issues/6027).
_NO = {"message": "mock does not support tools", "type": "api_error", "param": None, "code": None}
NO_TOOLS = {"error": _NO}


def reply_to(player: str, body: dict[str, Any], malformed: bool) -> dict[str, Any]:
    """The message of the assistant."""
    request = _request(body)
    reply = _now(player, request)
    calls = reply.calls
    if malformed:
        calls = _spoiled(calls, request)
    if "tools" not in body and calls:  # it was asked in words
        text = "\n".join([reply.text, *map(action_text, calls)]).strip()
        return _message(reply, text.replace("</action>", "") if malformed else text, ())
    return _message(reply, reply.text, calls)


def _message(reply: ChatReply, text: str, calls: tuple[ToolCall, ...]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": text or (None if calls else "")}
    if calls:
        message["tool_calls"] = [call_json(call) for call in calls]
    if reply.refusal:
        message["refusal"] = reply.refusal
    finish = "tool_calls" if calls else reply.finish_reason or "stop"
    return {"index": 0, "finish_reason": finish, "message": message}


def _now(player: str, request: ChatRequest) -> ChatReply:
    """What the player does; it awaits nothing."""
    work = _player(player).complete(request)
    try:
        work.send(None)
    except StopIteration as done:
        found: ChatReply = done.value
        return found
    raise RuntimeError(f"{player} waits for something")  # it would hold up all others


@cache
def _player(name: str) -> ChatModel:
    if ":" in name:
        return load_chat_model(name)
    suite, _, query = name.partition("?")
    options: Any = dict(pair.split("=", 1) for pair in query.split("&") if pair)
    return Scripted(suite, **options)


def _request(body: dict[str, Any]) -> ChatRequest:
    turns = [_turn(message) for message in body.get("messages", [])]
    if turns and turns[-1].role == "user" and turns[-1].content.startswith(REPAIR):
        turns = turns[:-1]  # the repair is the same move again
        if turns and turns[-1].role == "assistant":
            turns = turns[:-1]
    tools = tuple(
        Tool(f["name"], f.get("description", ""), f.get("parameters", {}))
        for f in (tool["function"] for tool in body.get("tools", []))
    )
    return ChatRequest(tuple(turns), body.get("temperature", 1.0), seed=body.get("seed"), tools=tools)


def _turn(message: dict[str, Any]) -> Message:
    calls = tuple(
        ToolCall(call["id"], call["function"]["name"], call["function"]["arguments"])
        for call in message.get("tool_calls") or ()
    )
    return Message(message["role"], message.get("content") or "", (), calls, message.get("tool_call_id", ""))


def _spoiled(calls: tuple[ToolCall, ...], request: ChatRequest) -> tuple[ToolCall, ...]:
    """The calls as models and servers spoil them: cut off, of a tool that is none, with foreign arguments."""
    if not calls:
        return calls
    blob = repr([turn.content for turn in request.messages]).encode()
    kind = hashlib.blake2b(blob, digest_size=1).digest()[0] % 4
    first, *rest = calls
    spoiled = [
        ToolCall(first.id, first.name, first.arguments[: len(first.arguments) // 2]),
        ToolCall(first.id, f"{first.name}_now", first.arguments),
        ToolCall(first.id, first.name, json.dumps({"unheard_of": 1})),
        ToolCall("", first.name, "[]"),
    ][kind]
    return (spoiled, *rest)
