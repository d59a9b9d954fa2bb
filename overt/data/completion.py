"""A `chat.completion` body as a reply. It is read field by field, since endpoints differ."""

from __future__ import annotations

import json
from collections.abc import Mapping

from overt.data.chat import ChatReply
from overt.data.codes import refusal_stage
from overt.data.json_types import Json
from overt.data.jsonpath import count_at, first, object_at, texts_at
from overt.data.provider import Failed, judge, read_said

SERVICE = "openai"  # endpoints that speak this protocol have copied its words, too


def read_completion(
    data: Json, status: int = 200, headers: Mapping[str, str] | None = None, text: str = ""
) -> ChatReply:
    """The reply that an HTTP answer holds: the model's words, a refusal, or an error with its kind.

    Args:
        data: the decoded body, None where it is no JSON.
        headers: with names in lower case.
        text: the beginning of the body, to quote from where it is no JSON.
    """
    usage = object_at(data, "$.usage")
    sent, received = count_at(usage, "$.prompt_tokens"), count_at(usage, "$.completion_tokens")
    choice = object_at(data, "$.choices[0]")
    finish, message = choice.get("finish_reason"), choice.get("message")
    filtered = finish if refusal_stage(SERVICE, str(finish)) else None
    if status >= 300 or not (isinstance(message, dict) or filtered):
        said = read_said(
            status, headers or {}, data, text or (data if isinstance(data, str) else json.dumps(data))
        )
        verdict = judge(SERVICE, said, missing="the answer holds no choices")
        if isinstance(verdict, Failed):
            return ChatReply(error=verdict.error)
        # A request that a provider's filter turned away is an answer, not an error.
        return ChatReply(
            finish_reason="content_filter",
            refusal=verdict.code.lower(),
            input_tokens=sent,
            output_tokens=received,
        )
    refusal = first(message, "$.refusal") or filtered
    return ChatReply(
        text=_text(first(message, "$.content")),
        finish_reason=str(finish) if finish is not None else None,
        refusal=str(refusal) if refusal else None,
        input_tokens=sent,
        output_tokens=received,
    )


def _text(content: Json) -> str:
    if isinstance(content, str):
        return content
    return "".join(texts_at(content, "$[*].text"))  # content parts
