"""What a model may do beside talking: tools, its calls of them, and how both are written.

Where an endpoint takes tools, they and the calls are sent in OpenAI's function-calling shape. Where it does
not, the tools are described in words (`overt.data.tool_words`), and the model writes each action as a block
of its answer:

    <action>
    {"tool": "NAME", "arguments": {...}}
    </action>

Both are read strictly: a call that is not exactly in form is an `AnswerError`, whose text can be sent to the
model. Nothing is guessed or repaired here.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from overt.data.json_types import Json, JsonObject

IN_WORDS = "tools_in_words"  # in `adapted` of a reply whose tools were described in words
_OPENS, _CLOSES = "<action>", "</action>"
_BLOCK = re.compile(r"<action>(.*?)</action>", re.DOTALL)
# Bounds for what a model may ask an environment to work on.
MOST_CALLS = 100  # in one turn
_DEEPEST = 32  # of lists and objects in each other
_LARGEST = 2**63


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call as the model wrote it. `arguments` is the JSON text, unread."""

    id: str
    name: str
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool. `parameters` is the JSON Schema of its arguments, an object with `properties`."""

    name: str
    description: str
    parameters: JsonObject = field(default_factory=lambda: {"type": "object", "properties": {}})

    def __hash__(self) -> int:
        return hash((self.name, self.description))


@dataclass(frozen=True, slots=True)
class Call:
    """A call whose arguments were read."""

    id: str
    name: str
    arguments: Mapping[str, Json]


class NotACall(ValueError):
    """A call is not in form. The text gives the reason and can be sent to the model."""


# -- reading -------------------------------------------------------------------------------------------------


def read_calls(calls: Iterable[ToolCall], tools: Sequence[Tool]) -> tuple[Call, ...]:
    """Reads the arguments of calls and checks them against the tools' parameters.

    Raises:
        NotACall: there is no such tool; the arguments are no JSON object; one is missing, unknown, of a
            wrong type or none of the words that it may be; there are too many calls.
    """
    known = {tool.name: tool for tool in tools}
    found: list[Call] = []
    for call in calls:
        if len(found) == MOST_CALLS:
            raise NotACall(f"at most {MOST_CALLS} calls may be made in one turn")
        tool = known.get(call.name)
        if not call.name:
            raise NotACall(f"no call of a tool could be read in it ({call.arguments[:200]})")
        if tool is None:
            raise NotACall(f"there is no tool {call.name[:60]!r}; there are {', '.join(known)}")
        found.append(Call(call.id, call.name, _arguments(call, tool)))
    return tuple(found)


def read_actions(text: str) -> tuple[ToolCall, ...]:
    """Reads the actions of an answer in words; none where it holds no block.

    Raises:
        NotACall: a block is not closed, or does not hold exactly one action.
    """
    blocks = _BLOCK.findall(text)
    rest = _BLOCK.sub("", text)
    if _OPENS in rest or _CLOSES in rest:
        raise NotACall(f"an action stands between {_OPENS} and {_CLOSES}, and one of the two is missing")
    return tuple(_action(block, number) for number, block in enumerate(blocks, 1))


def without_actions(text: str) -> str:
    """An answer in words without its actions."""
    return _BLOCK.sub("", text).strip()


def _action(block: str, number: int) -> ToolCall:
    try:
        data = _json(block)
    except (ValueError, RecursionError) as error:
        raise NotACall(f"action {number} is no JSON ({str(error)[:80]})") from error
    if not isinstance(data, dict) or not isinstance(data.get("tool"), str):
        raise NotACall(f'action {number} is no object with a "tool"')
    if extra := sorted(data.keys() - {"tool", "arguments"}):
        raise NotACall(f"action {number} holds {', '.join(map(repr, extra))}; it has only tool and arguments")
    return ToolCall(f"action-{number}", data["tool"], json.dumps(data.get("arguments", {})))


def _arguments(call: ToolCall, tool: Tool) -> dict[str, Json]:
    try:
        data = _json(call.arguments or "{}")
    except (ValueError, RecursionError) as error:
        raise NotACall(f"the arguments of {tool.name} are no JSON ({str(error)[:80]})") from error
    if not isinstance(data, dict):
        raise NotACall(f"the arguments of {tool.name} are no JSON object")
    check_value(data, tool.parameters, tool.name)
    return data


def _json(text: str) -> Json:
    """Reads JSON of a model. What Python's reader takes beyond JSON (NaN, Infinity), numbers of hundreds of
    digits and lists within hundreds of lists are errors: who works with them would fail or never end.

    Raises:
        ValueError, RecursionError: it is no such JSON.
    """
    data: Json = json.loads(text, parse_int=_integer, parse_float=_finite, parse_constant=_finite)
    if _is_deeper(data, _DEEPEST):
        raise ValueError(f"it is nested more than {_DEEPEST} deep")
    return data


def _integer(digits: str) -> int:
    if len(digits) > len(str(_LARGEST)) + 1 or abs(int(digits)) > _LARGEST:
        raise ValueError(f"{digits[:20]}... is too large a number")
    return int(digits)


def _finite(written: str) -> float:
    number = float(written)
    if not math.isfinite(number):
        raise ValueError(f"{written[:20]} is no number of JSON")
    return number


def _is_deeper(value: Json, most: int) -> bool:
    if not isinstance(value, (dict, list)):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return most == 0 or any(_is_deeper(one, most - 1) for one in inner)


_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
    "null": type(None),
}


def check_value(value: Json, schema: Mapping[str, Json], where: str) -> None:
    """Checks a value against the part of JSON Schema that tools use: type, enum, properties, required, items,
    minimum, maximum, minItems and maxItems.

    Raises:
        NotACall: it does not fit.
    """
    kind = schema.get("type")
    wanted = _TYPES.get(kind, object) if isinstance(kind, str) else object
    is_flag = isinstance(value, bool) and kind in ("integer", "number")
    if not isinstance(value, wanted) or is_flag:
        raise NotACall(f"{where} must be of type {kind}")
    words = schema.get("enum")
    if isinstance(words, (list, tuple)) and value not in words:
        raise NotACall(f"{where} must be one of {', '.join(map(str, words))}")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        _check_bounds(value, schema, ("minimum", "maximum"), where)
    if isinstance(value, dict):
        _check_object(value, schema, where)
    if isinstance(value, list):
        _check_bounds(len(value), schema, ("minItems", "maxItems"), f"the number of {where}")
        items = schema.get("items")
        if isinstance(items, Mapping):
            for number, item in enumerate(value):
                check_value(item, items, f"{where}[{number}]")


def _check_bounds(value: float, schema: Mapping[str, Json], names: tuple[str, str], where: str) -> None:
    least, most = (schema.get(name) for name in names)
    if isinstance(least, (int, float)) and not value >= least:
        raise NotACall(f"{where} must be at least {least}")
    if isinstance(most, (int, float)) and not value <= most:
        raise NotACall(f"{where} must be at most {most}")


def _check_object(value: Mapping[str, Json], schema: Mapping[str, Json], where: str) -> None:
    properties, required = schema.get("properties"), schema.get("required")
    known = properties if isinstance(properties, Mapping) else None
    if missing := [name for name in (required if isinstance(required, list) else []) if name not in value]:
        raise NotACall(f"{where} lacks {', '.join(map(repr, missing))}")
    if known is None:
        return
    if unknown := [name for name in value if name not in known]:
        raise NotACall(f"{where} knows no {', '.join(repr(name[:60]) for name in unknown[:5])}")
    for name, inner in value.items():
        part = known[name]
        if isinstance(part, Mapping):
            check_value(inner, part, f"{where}.{name}")


# -- writing -------------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def tool_json(tool: Tool) -> JsonObject:
    """A tool in OpenAI's shape."""
    function: JsonObject = {
        "name": tool.name, "description": tool.description, "parameters": tool.parameters
    }  # fmt: skip
    return {"type": "function", "function": function}


def call_json(call: ToolCall) -> JsonObject:
    """A call in OpenAI's shape."""
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def action_text(call: ToolCall) -> str:
    """A call as a model without tools writes it."""
    try:
        arguments: Json = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError):
        arguments = call.arguments
    written = json.dumps({"tool": call.name, "arguments": arguments}, ensure_ascii=False)
    return f"{_OPENS}\n{written}\n{_CLOSES}"
