"""Calls a target's class and checks the return values of plugins. An exception does not end the run."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import inspect
import json
import math
import os
import sys
import sysconfig
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, get_args

from overt.data.chat import CallError, ChatReply, ErrorKind
from overt.data.environments import Observation, Task
from overt.data.errors import InputError, OvertError
from overt.data.filters import FilterDecision
from overt.data.records import Prompt, Turn
from overt.data.refusal_judges import RefusalLabel, RefusalVerdict
from overt.data.refusal_tokens import Gate
from overt.data.targets import LayerDecision, Response, Target
from overt.data.tools import Tool, ToolCall

# -- faults --------------------------------------------------------------------------------------------------


# Not retried and not journalled: the next run asks again.
BROKEN_CLASS: Final[ErrorKind] = "broken_class"
MEND = "Mend the class, then give the same command again."

_KINDS = frozenset(get_args(ErrorKind))
_LABELS: tuple[str, ...] = get_args(RefusalLabel)
_LIBRARY_FOLDERS = tuple(
    os.path.join(folder, "")
    for folder in (
        str(Path(__file__).resolve().parents[1]),
        *(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")),
    )
)


def raised(thing: object, error: BaseException) -> str:
    """An exception on one line: `NameError: name 'x' is not defined (painter.py, line 9)`.

    The line is the last one in the user's own code. Folders are left out, since they may name people and
    records are published.
    """
    said = " ".join(str(error).split())[:300]
    words = f"{type(error).__name__}: {said}" if said else type(error).__name__
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith("<")]
    own = getattr(sys.modules.get(type(thing).__module__), "__file__", None)
    at = (
        [f for f in frames if not f.filename.startswith(_LIBRARY_FOLDERS)]
        or [f for f in frames if f.filename == own]
        or frames
    )
    return f"{words} ({Path(at[-1].filename).name}, line {at[-1].lineno})" if at else words


def fault(name: str, what: str) -> CallError:
    """The error of one call for a fault of the class."""
    return CallError(BROKEN_CLASS, f"{name}: {what}; mend the class")


def broken(name: str, what: str) -> InputError:
    """The error for a fault that every call would have and that would make figures wrong."""
    return InputError(f"{name}: {what}", fix=MEND)


def of_decision(decision: object) -> str:
    """The problem of a filter's or checker's return value, or ""."""
    if not isinstance(decision, FilterDecision):
        return f"it gave back {_kind(decision)}, not a FilterDecision"
    if not isinstance(_bare(decision.blocked), bool | None):
        return f"FilterDecision.blocked is {_kind(decision.blocked)}, not True, False or None"
    return (
        _of_number("FilterDecision.score", _bare(decision.score))
        or _of_text("FilterDecision.reason", decision.reason)
        or _of_error("FilterDecision.error", decision.error)
    )


def of_judgement(judgement: object) -> str:
    """The problem of a refusal judge's return value, or ""."""
    if not isinstance(judgement, RefusalVerdict):
        return f"it gave back {_kind(judgement)}, not a RefusalVerdict"
    if judgement.label not in _LABELS:
        return f"there is no label {judgement.label!r}; known: {', '.join(_LABELS)}"
    return (
        _of_number("RefusalVerdict.score", judgement.score)
        or _of_text("RefusalVerdict.reason", judgement.reason)
        or _of_text("RefusalVerdict.language", judgement.language)
        or _of_error("RefusalVerdict.error", judgement.error)
    )


def of_reply(reply: object) -> str:
    """The problem of a chat model's return value, or ""."""
    if not isinstance(reply, ChatReply):
        return f"complete() gave back {_kind(reply)}, not a ChatReply"
    if not isinstance(reply.text, str):
        return f"ChatReply.text is {_kind(reply.text)}, not a text"
    said = [_of_text(f"ChatReply.{name}", getattr(reply, name)) for name in ("finish_reason", "refusal")]
    said += [
        _of_number(f"ChatReply.{name}", getattr(reply, name)) for name in ("input_tokens", "output_tokens")
    ]
    return (
        next(filter(None, said), "")
        or _of_calls("ChatReply.calls", reply.calls)
        or _of_gate("ChatReply.gate", reply.gate)
        or _of_error("ChatReply.error", reply.error)
    )


def of_response(response: object) -> str:
    """The problem of a target's return value, or ""."""
    if not isinstance(response, Response):
        return f"respond() gave back {_kind(response)}, not a Response"
    if not isinstance(response.images, (tuple, list)):
        return f"Response.images is {_kind(response.images)}, not a tuple of pictures"
    for image in response.images:
        if not isinstance(image, (bytes, bytearray)):
            return f"Response.images holds {_kind(image)}, not encoded bytes (of a PNG, JPEG or WebP file)"
    if not isinstance(response.layers, (tuple, list)):
        return f"Response.layers is {_kind(response.layers)}, not a tuple of LayerDecision"
    for layer in response.layers:
        if not isinstance(layer, LayerDecision):
            return f"Response.layers holds {_kind(layer)}, not a LayerDecision"
    if response.safety is not None and not isinstance(response.safety, Mapping):
        return f"Response.safety is {_kind(response.safety)}, not a dict"
    texts = ("text", "code", "message", "finish_reason", "revised_prompt")
    numbers = ("status", "seed", "input_tokens", "output_tokens", "cost")
    said = [_of_text(f"Response.{name}", getattr(response, name)) for name in texts]
    said += [_of_number(f"Response.{name}", getattr(response, name)) for name in numbers]
    return (
        next(filter(None, said), "")
        or _of_calls("Response.calls", response.calls)
        or _of_gate("Response.gate", response.gate)
        or _of_error("Response.error", response.error)
    )


def of_observation(observation: object) -> str:
    """The problem of what an environment's session gave back for a turn, or ""."""
    if not isinstance(observation, Observation):
        return f"its session gave back {_kind(observation)}, not an Observation"
    if not isinstance(observation.results, (tuple, list)):
        return f"Observation.results is {_kind(observation.results)}, not a tuple of texts"
    texts = [("text", observation.text), ("end", observation.end)]
    texts += [("results", one) for one in observation.results]
    if wrong := next(((name, one) for name, one in texts if not isinstance(one, str)), None):
        return f"Observation.{wrong[0]} has {_kind(wrong[1])}, not a text"
    return of_episode_facts("Observation.facts", observation.facts)


def of_episode_facts(name: str, facts: object) -> str:
    """The problem of an environment's facts, or "". They are stored, so they must be JSON data."""
    if not isinstance(facts, Mapping):
        return f"{name} is {_kind(facts)}, not a dict"
    try:
        json.dumps({**facts}, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        return f"{name} is no JSON data: {error}"
    return ""


def of_task(task: object) -> str:
    """The problem of what an environment's `tasks` gave, or ""."""
    if not isinstance(task, Task):
        return f"tasks() gave {_kind(task)}, not a Task"
    if not isinstance(task.prompt, Prompt):
        return f"Task.prompt is {_kind(task.prompt)}, not a Prompt"
    return of_episode_facts("Task.facts", task.facts)


def _bare(value: object) -> object:
    """Converts a scalar of NumPy or PyTorch to Python."""
    item = getattr(value, "item", None)
    try:
        return item() if callable(item) else value
    except (TypeError, ValueError, RuntimeError):  # an array
        return value


def _of_text(name: str, value: object) -> str:
    # None counts as the empty text, since services send it.
    return "" if value is None or isinstance(value, str) else f"{name} is {_kind(value)}, not a text"


def _of_number(name: str, value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, (int, float)):  # such as NumPy's, which JSON cannot hold
        return f"{name} is {_kind(value)}, not a number"
    return "" if math.isfinite(value) else f"{name} is {value}, not a finite number"


def _of_calls(name: str, calls: object) -> str:
    if not isinstance(calls, (tuple, list)):
        return f"{name} is {_kind(calls)}, not a tuple of ToolCall"
    for call in calls:
        texts = (call.id, call.name, call.arguments) if isinstance(call, ToolCall) else ()
        if not texts or not all(isinstance(text, str) for text in texts):
            return f"{name} holds {_kind(call)}, not a ToolCall of texts"
    return ""


def _of_gate(name: str, gate: object) -> str:
    if gate is None:
        return ""
    return (
        _of_number(f"{name}.score", gate.score)
        if isinstance(gate, Gate)
        else f"{name} is {_kind(gate)}, not a Gate"
    )


def _of_error(name: str, error: object) -> str:
    if error is None:
        return ""
    if not isinstance(error, CallError):
        return f'{name} is {_kind(error)}, not a CallError such as CallError("server", "it is down")'
    if error.kind not in _KINDS:
        return f"{name} is of kind {error.kind!r}; known: {', '.join(get_args(ErrorKind))}"
    return _of_text(f"{name}.message", error.message) or _of_number(f"{name}.retry_after", error.retry_after)


def _kind(value: object) -> str:
    """The name of a value's type: `str`, `PIL.Image.Image`."""
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


# -- one attempt ---------------------------------------------------------------------------------------------


async def call_target(
    target: Target,
    prompt: str,
    seed: int,
    *,
    picture: bytes | None = None,
    turns: tuple[Turn, ...] = (),
    tools: tuple[Tool, ...] = (),
    drawn: Mapping[str, bytes] | None = None,
) -> Response:
    """Makes one attempt; a plain function runs in a thread. An exception or a wrong return value becomes an
    error response.

    Args:
        picture, turns, tools, drawn: what goes with the prompt; handed on only where there is any, since
            most targets take none.

    Raises:
        OvertError: nothing can be sent any more.
    """
    carried = {"picture": picture, "turns": turns, "tools": tools, "drawn": drawn}
    extras: dict[str, Any] = {name: value for name, value in carried.items() if value}
    try:
        if inspect.iscoroutinefunction(target.respond):
            response = await target.respond(prompt, seed=seed, **extras)
        else:
            response = await asyncio.to_thread(target.respond, prompt, seed=seed, **extras)  # type: ignore[arg-type]
    except (asyncio.CancelledError, TimeoutError, OvertError):  # the caller handles these
        raise
    except Exception as error:
        return Response(error=fault(target.name, raised(target, error)))
    if wrong := of_response(response):
        return Response(error=fault(target.name, wrong))
    # Services send None for missing texts; later code needs texts.
    if None not in (response.text, response.code, response.message, response.safety):
        return response
    return dataclasses.replace(
        response,
        text=response.text or "",
        code=response.code or "",
        message=response.message or "",
        safety=response.safety or {},
    )


async def close_target(target: Target) -> None:
    """Closes a target that has `close`. A failure must not hide the results."""
    close = getattr(target, "close", None)
    if close is None:
        return
    with contextlib.suppress(Exception):
        done = close()
        if inspect.isawaitable(done):
            await done
