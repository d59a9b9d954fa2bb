"""Reads a `chat.completion` body field by field, since endpoints differ."""

from __future__ import annotations

import json
from collections.abc import Mapping

from overt.data.chat import ChatReply
from overt.data.json_types import Json, JsonObject
from overt.data.jsonpath import texts_at
from overt.data.provider.reader import Failed, judge, read_said
from overt.data.provider.vocabulary import refusal_stage

SERVICE = "openai"  # endpoints with this protocol use its codes too


def read_completion(
    data: Json, status: int = 200, headers: Mapping[str, str] | None = None, text: str = ""
) -> ChatReply:
    """Reads an HTTP response: the model's text, a refusal, or an error with its kind.

    Args:
        data: the decoded body, None if it is not JSON.
        headers: with names in lower case.
        text: the beginning of the body, quoted if it is not JSON.
    """
    # Plain look-ups instead of JSON paths, because this runs hundreds of times a second.
    body = _object(data)
    choices, usage = body.get("choices"), _object(body.get("usage"))
    choice = _object(choices[0]) if isinstance(choices, list) and choices else {}
    finish, message = choice.get("finish_reason"), choice.get("message")
    filtered = finish if finish is not None and refusal_stage(SERVICE, str(finish)) else None
    sent, received = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    if status < 300 and (isinstance(message, dict) or filtered):
        said = _object(message)
        refusal = said.get("refusal") or filtered
        return ChatReply(
            text=_text(said.get("content")),
            finish_reason=str(finish) if finish is not None else None,
            refusal=str(refusal) if refusal else None,
            input_tokens=sent,
            output_tokens=received,
        )
    text = text or (data if isinstance(data, str) else json.dumps(data))
    said_of_itself = read_said(status, headers or {}, data, text)
    verdict = judge(SERVICE, said_of_itself, missing="the answer holds no choices")
    if isinstance(verdict, Failed):
        return ChatReply(error=verdict.error)
    # A refusal by the provider's filter is a response, not an error.
    return ChatReply(
        refusal=verdict.code.lower(),
        finish_reason="content_filter",
        input_tokens=sent,
        output_tokens=received,
    )


def _object(value: Json) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _count(value: Json) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _text(content: Json) -> str:
    if isinstance(content, str):
        return content
    return "".join(texts_at(content, "$[*].text"))  # content parts
