"""Tells a machine's message where an answer should stand from the answer of a model."""

from __future__ import annotations

import re

from overt.data.json_types import Json, JsonObject
from overt.data.provider import vocabulary
from overt.data.provider.reader import (
    Answered,
    Refused,
    Said,
    Verdict,
    decoded_text,
    judge,
    line_of,
    read_said,
)
from overt.data.provider.waits import in_words

_MOST_CHARS = 2000  # of a machine's message
_HEAD = re.compile(
    r"\W{0,2}(?:api |upstream |request )?error\W{0,3}(?:\(?\d{3}\)?)?\s*[:\uff1a]", re.IGNORECASE
)
_STATUS = re.compile(r"\b(?:status(?: code)?|error code|http)\W{0,3}([45]\d\d)\b", re.IGNORECASE)
# What an error object may hold besides its error.
_ENVELOPE = {"error", "object", "status", "code", "message", "type", "id", "success", "detail", "details"}
_ENVELOPE |= {"request_id", "requestid", "user_id", "trace_id", "timestamp", "path", "param"}
_ENVELOPE |= {"error_code", "error_msg"}


def machine_says(service: str, text: str) -> Verdict:
    """What a whole answer in words is: a machine's message where an answer should be, or an answer.

    Only clear forms count: an error object as the whole text, a row `content:` of the vocabulary, or "Error:"
    before a sentence with which services refuse. What reads like a model's own sentence is an answer.
    """
    text = text.strip()
    if not text or len(text) > _MOST_CHARS:
        return Answered()
    body = _error_object(text)
    if body is not None:
        verdict = judge(service, read_said(200, {}, body, text))
        return verdict if isinstance(verdict, Refused) or _is_machines(service, body) else Answered()
    is_form = vocabulary.of_content(service, text) is not None
    if not is_form and not _HEAD.match(text):
        return Answered()
    status = _STATUS.search(text)
    said = Said(int(status[1]) if status else 200, message=line_of(text), retry_after=in_words(text))
    verdict = judge(service, said)
    return verdict if is_form or isinstance(verdict, Refused) else Answered()


def _error_object(text: str) -> JsonObject | None:
    """The text as a JSON object that holds an error and nothing else."""
    body: Json = decoded_text(text)
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    if not isinstance(body, dict) or not {name.lower() for name in body} <= _ENVELOPE:
        return None
    if isinstance(body.get("error"), dict | str) and body["error"]:
        return body
    is_marked = body.get("object") == "error" or body.get("success") is False or set(body) == {"detail"}
    return body if is_marked or any(_is_failure(body.get(name)) for name in ("status", "code")) else None


def _is_failure(status: Json) -> bool:
    return status in ("error", "failed", "fail") or (type(status) is int and 400 <= status < 600)


def _is_machines(service: str, body: JsonObject) -> bool:
    """Whether an error object is a machine's. One with a sentence alone may be a model's no in JSON."""
    error = body.get("error")
    if body.get("object") == "error" or type(body.get("code")) is int or type(body.get("status")) is int:
        return True
    if isinstance(error, dict):
        return bool({"code", "type", "status"} & set(error))
    said = str(error or body.get("message") or body.get("detail"))
    return any(vocabulary.of_content(service, form) is not None for form in (said, f"Error: {said}"))
