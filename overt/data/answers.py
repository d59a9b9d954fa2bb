"""Reads the JSON that a model was asked for, out of what it said. Tolerant in form, strict in substance."""

from __future__ import annotations

import json
import re
from typing import Any

from overt.data.chat import AnswerError, ChatReply

_THINKING = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL | re.IGNORECASE)
_FENCE = re.compile(r"```(?:json)?\s*\n(.*?)(?:\n\s*```|\Z)", re.DOTALL | re.IGNORECASE)
MAX_CHARS = 200_000  # no answer that was asked for comes near it; the repairer is slow on hostile megabytes


def parse_answer(reply: ChatReply, schema: dict[str, Any]) -> dict[str, Any]:
    """The JSON object in an answer, checked against `schema`.

    Strict JSON first; then the repairer of `json_repair` for fences, missing commas, single quotes and
    answers cut off at the token limit. Of a list that was cut off the last entry is left out: half a
    sentence reads like a whole one.

    Args:
        schema: the part of JSON Schema that the stages use: object, array, string, enum, required.
            Fields that the schema does not name are dropped, not refused.

    Raises:
        AnswerError: nothing usable, with a reason that can be sent back to the model.
    """
    text = _THINKING.sub("", reply.text).strip()
    if not text:
        raise AnswerError("the answer is empty")
    if len(text) > MAX_CHARS:
        raise AnswerError(f"the answer is longer than {MAX_CHARS:,} characters")
    data, is_whole = _load(text)
    # Asked for an object with one list in it, models now and then give the bare list.
    properties = schema.get("properties", {})
    only = next(iter(properties)) if len(properties) == 1 else ""
    if isinstance(data, list) and only:
        data = {only: data}
    if reply.is_cut_off and not is_whole and isinstance(data, dict) and isinstance(data.get(only), list):
        data = {**data, only: data[only][:-1]}
    return dict(_checked(data, schema, "the answer"))


def _load(text: str) -> tuple[Any, bool]:
    """The JSON, and whether it stood there whole; else it was repaired."""
    fenced = _FENCE.search(text)
    candidates = [text] + ([fenced.group(1).strip()] if fenced else [])
    for candidate in candidates:
        try:
            return json.loads(candidate), True
        except (ValueError, RecursionError):
            continue
    body = candidates[-1]
    starts = [i for i in (body.find("{"), body.find("[")) if i >= 0]
    if not starts:
        raise AnswerError("the answer holds no JSON")
    try:
        data, end = json.JSONDecoder().raw_decode(body, min(starts))
        if data and not {"{", "["} & set(body[end:]):  # whole, with words around it
            return data, True
    except (ValueError, RecursionError):
        pass
    try:
        from json_repair import repair_json

        data = repair_json(body[min(starts) :], return_objects=True, skip_json_loads=True)
    except (ValueError, RecursionError, IndexError, TypeError) as error:
        raise AnswerError(f"the answer is not valid JSON ({type(error).__name__})") from error
    if not isinstance(data, (dict, list)) or not data:
        raise AnswerError("the answer is not valid JSON")
    # Of several objects in one answer the repairer makes a list: the last one is what was settled on.
    if isinstance(data, list) and body[min(starts)] == "{":
        data = data[-1]
    return data, False


def _joined(text: str) -> str:
    """The text with surrogate pairs made whole: the repairer reads an emoji's two escapes one by one."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _checked(data: Any, schema: dict[str, Any], name: str) -> Any:
    kind = schema.get("type")
    if kind == "object":
        if not isinstance(data, dict):
            raise AnswerError(f"{name} must be a JSON object")
        found: dict[str, Any] = {}
        for key, rule in schema.get("properties", {}).items():
            if key in data and data[key] is not None:
                found[key] = _checked(data[key], rule, f"{key!r}")
            elif key in schema.get("required", ()):
                if rule.get("type") != "string" or "enum" in rule or key == "text":
                    raise AnswerError(f"{name} lacks {key!r}")
                found[key] = ""  # a missing reason or style is no ground for another call
        return found
    if kind == "array":
        if not isinstance(data, list):
            raise AnswerError(f"{name} must be a list")
        rule = schema.get("items", {})
        return [_checked(item, rule, f"an entry of {name}") for item in data]
    if kind == "string":
        if isinstance(data, (dict, list)):
            raise AnswerError(f"{name} must be a text")
        text = _joined(str(data))
        if "enum" in schema:
            for allowed in schema["enum"]:
                if text.strip().strip("\"'.").casefold() == allowed.casefold():
                    return allowed
            raise AnswerError(f"{name} must be one of: {', '.join(schema['enum'])}")
        return text
    return data
