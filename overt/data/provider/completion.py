"""Reads a `chat.completion` body field by field, since endpoints differ."""

from __future__ import annotations

import json
from collections.abc import Mapping

from overt.data.chat import CallError, ChatReply, ErrorKind
from overt.data.json_types import Json, JsonObject
from overt.data.jsonpath import texts_at
from overt.data.provider.machine import machine_says
from overt.data.provider.reader import Answered, Failed, Refused, Verdict, judge, read_said
from overt.data.provider.vocabulary import finish_error, finish_stage
from overt.data.tools import ToolCall

SERVICE = "openai"  # endpoints with this protocol use its codes too
# Where the reason stands for which an answer ended. Gateways name the model's own beside their own.
_REASONS = ("finish_reason", "native_finish_reason", "stop_reason")


def read_completion(
    data: Json, status: int = 200, headers: Mapping[str, str] | None = None, text: str = ""
) -> ChatReply:
    """Reads an HTTP response: the model's text, a refusal, or an error with its kind.

    An answer that broke off, or that is a machine's message in the answer's place, is an error.

    Args:
        data: the decoded body, None if it is not JSON.
        headers: with names in lower case.
        text: the beginning of the body, quoted if it is not JSON.
    """
    # Plain look-ups instead of JSON paths, because this runs hundreds of times a second.
    body = _object(data)
    choices, usage = body.get("choices"), _object(body.get("usage"))
    choice = _object(choices[0]) if isinstance(choices, list) and choices else {}
    tokens = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    verdict: Verdict
    filtered = next((why for name in _REASONS if (why := _reason(choice, name))), "")
    if status < 300 and _tells(choice.get("error")) and not _tells(body.get("error")):
        verdict = _of_body({"error": choice["error"]}, status, headers or {}, text)
    elif status < 300 and not _tells(body.get("error")) and _is_answered(choice, filtered):
        verdict = _of_choice(choice, body)
    else:
        verdict = _of_body(data, status, headers or {}, text)
    if isinstance(verdict, Failed):
        return ChatReply(error=verdict.error)
    if isinstance(verdict, Refused):  # a response, not an error
        return _refused(verdict, tokens)
    return _answer(choice, filtered, tokens)


def _is_answered(choice: JsonObject, filtered: str) -> bool:
    return bool(filtered) or isinstance(choice.get("message"), dict)


def _of_body(data: Json, status: int, headers: Mapping[str, str], text: str) -> Verdict:
    """What a body without an answer says."""
    text = text or (data if isinstance(data, str) else json.dumps(data))
    said = read_said(status, headers, data, text)
    return judge(SERVICE, said, missing="the answer holds no choices")


def _answer(choice: JsonObject, filtered: str, tokens: tuple[int | None, int | None]) -> ChatReply:
    """The reply of an answer that is none of a machine's; the model or its filter may have said no."""
    message, finish = _object(choice.get("message")), choice.get("finish_reason")
    refusal = message.get("refusal") or filtered
    return ChatReply(
        text=_text(message.get("content")),
        # The reason that names the refusal, if the usual field does not.
        finish_reason=filtered or (str(finish) if finish is not None else None),
        refusal=str(refusal) if refusal else None,
        input_tokens=tokens[0],
        output_tokens=tokens[1],
        calls=_calls(message),
    )


def _calls(message: JsonObject) -> tuple[ToolCall, ...]:
    """The tools that a message calls. Some servers give no id, or the arguments as an object."""
    listed = message.get("tool_calls")
    found = []
    for number, call in enumerate(listed if isinstance(listed, list) else [], 1):
        function = _object(_object(call).get("function"))
        given = function.get("arguments")
        arguments = given if isinstance(given, str) else "" if given is None else json.dumps(given)
        name, id = function.get("name"), _object(call).get("id")
        found.append(ToolCall(str(id or f"call-{number}"), str(name or ""), arguments))
    return tuple(found)


def _refused(verdict: Refused, tokens: tuple[int | None, int | None]) -> ChatReply:
    return ChatReply(
        refusal=verdict.code.lower(),
        finish_reason="content_filter",
        input_tokens=tokens[0],
        output_tokens=tokens[1],
    )


def _reason(choice: JsonObject, name: str) -> str:
    """The reason in this field for which an answer ended, if it is a refusal's."""
    why = choice.get(name)
    return why if isinstance(why, str) and finish_stage(SERVICE, why) else ""


def _of_choice(choice: JsonObject, body: JsonObject) -> Verdict:
    """Whether a choice is an answer: not broken off, no machine's message, not empty for a known reason."""
    finish = choice.get("finish_reason")
    words = _text(_object(choice.get("message")).get("content"))
    if isinstance(finish, str) and (kind := finish_error(SERVICE, finish)) is not None:
        said = read_said(200, {}, body)
        missing = f"the answer broke off (finish reason {finish})"
        verdict = judge(SERVICE, said, missing=missing)
        return verdict if isinstance(verdict, Refused) else _failed(kind, missing, verdict)
    if words.strip():
        return machine_says(SERVICE, words)
    if _calls(_object(choice.get("message"))):
        return Answered()
    verdict = judge(SERVICE, read_said(200, {}, body))  # beside the empty answer there may be a reason
    return verdict if isinstance(verdict, Refused) else Answered()


def _failed(kind: ErrorKind, missing: str, verdict: Verdict) -> Failed:
    told = verdict.error if isinstance(verdict, Failed) else None
    words = told.message if told and told.message else missing
    return Failed(CallError(kind, words, 200, told.retry_after if told else None))


def _tells(error: Json) -> bool:
    """Whether an error beside an answer says anything; some gateways always send the field."""
    return any(map(_tells, error.values())) if isinstance(error, dict) else bool(error)


def _object(value: Json) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _count(value: Json) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _text(content: Json) -> str:
    if isinstance(content, str):
        return content
    return "".join(texts_at(content, "$[*].text"))  # content parts
