"""Reads HTTP responses of chat and image services.

`read_said` collects codes, message and waiting time from status, headers and body. `judge` decides whether
the service answered, refused (stage, code) or failed (kind of error), by the codes in vocabulary.yaml. A new
shape of error bodies is one more path in the tables below.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from overt.data.chat import CallError, ErrorKind
from overt.data.json_types import Json, JsonObject
from overt.data.jsonpath import first, object_at, parse_path, text_at, texts_at
from overt.data.provider import vocabulary
from overt.data.provider.http import retry_after, status_kind
from overt.data.targets import RefusalStage

MESSAGE_CHARS = 500
_CODE_CHARS = 100

# The places in error bodies. Codes are recorded; types only help to classify.
_CODES = ("$.error.code", "$.error.status", "$.detail[*].type", "$.error_type", "$.code", "$.name")
_TYPES = (
    "$.error.innererror.code",
    "$.error.inner_error.code",
    "$.error.details[*].reason",
    "$.error.type",
    "$.type",
)
_MESSAGES = ("$.error.message", "$.error.detail", "$.error")
_LISTED_MESSAGES = ("$.detail[*].msg", "$.errors[*]")
_SIDES = (
    "$.error.moderation_details.moderation_stage",
    "$.moderation_details.moderation_stage",
)  # "input" or "output"
_WAITS = ("$.retry_after", "$.error.retry_after", "$.error.details[*].retryDelay")
_CODE_HEADERS = ("x-fal-error-type",)
_TYPE_HEADERS = ("x-fal-retryable",)  # read as "name:value"

_OF_A_PICTURE = re.compile("generated image", re.IGNORECASE)
_SUPPORT_CODES = re.compile(r"support codes?:\s*((?:\d{6,}[\s,]*)+)", re.IGNORECASE)
_SECONDS = re.compile(r"(\d+(?:\.\d+)?)s?")
_DEPTH = 3  # levels of JSON inside strings


@dataclass(frozen=True, slots=True)
class Said:
    """The status information of a response. `codes` and `types` are ordered by weight."""

    status: int | None = None
    codes: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    message: str = ""
    retry_after: float | None = None
    is_page: bool = False  # a web page, from a proxy or firewall and not from the service


@dataclass(frozen=True, slots=True)
class Answered:
    """The service answered; `code` is a code beside the answer, or ""."""

    code: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """The service refused the content at a stage."""

    stage: RefusalStage
    code: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """The service did not answer. `code` is the provider's own code, or ""."""

    error: CallError
    code: str = ""


Verdict = Answered | Refused | Failed


def judge(service: str, said: Said, *, has_content: bool = False, missing: str = "") -> Verdict:
    """Decides whether the service answered, refused or failed.

    Args:
        service: the part before the slash in the name of a target or model.
        has_content: whether the response holds the requested content. Then only a refusal code counts.
        missing: the message for a response with neither content nor a reason.
    """
    candidates = (*said.codes, *said.types)
    own = next(iter(said.codes), "")[:_CODE_CHARS]
    if refusal := vocabulary.find(service, candidates, said.message, said.status, of="refusals"):
        stage = cast("RefusalStage", refusal.meaning)
        return Refused(stage, refusal.code[:_CODE_CHARS], said.message)
    status = said.status or 0
    if has_content and status < 400:
        return Answered(own)
    error = vocabulary.find(service, candidates, said.message, said.status, of="errors")
    kind: ErrorKind = status_kind(status) if status >= 300 else "server"
    if said.is_page and status == 403:  # a firewall's page says nothing about the key
        kind = "server"
    if error is not None:
        kind = cast("ErrorKind", error.meaning)
    if status >= 400:
        missing = f"HTTP {status}"
    words = said.message or missing or "the answer cannot be used"
    return Failed(CallError(kind, words, said.status, said.retry_after), own)


def read_said(status: int | None, headers: Mapping[str, str], body: Json, text: str = "") -> Said:
    """Collects the status information of an HTTP response. Header names are in lower case.

    Args:
        body: the decoded JSON, None if the body is not JSON.
        text: the beginning of the body as text, quoted if the body has no message.
    """
    if isinstance(body, str):
        body = _decoded(body)
    if isinstance(body, list) and body:  # Vertex AI wraps some errors in a list
        body = body[0]
    wait = retry_after(headers)
    if not isinstance(body, dict):
        words = _named(status, _quoted(text))
        return Said(status, message=words, retry_after=wait, is_page=text.lstrip()[:1] == "<")
    said, status = _read_object(body), _status_within(body, status)
    message = said.message
    if not message and (body.get("error") or (status or 0) >= 400):
        message = _named(status, text)
    return Said(
        status,
        (*said.codes, *(headers[name] for name in _CODE_HEADERS if name in headers)),
        (*said.types, *(f"{name}:{headers[name]}" for name in _TYPE_HEADERS if name in headers)),
        message,
        said.retry_after if wait is None else wait,
    )


def _status_within(body: JsonObject, status: int | None) -> int | None:
    """The status in the body of a gateway that wraps errors in a 200, else the HTTP status."""
    own = first(body, "$.error.code", "$.code")
    if isinstance(own, int) and 400 <= own < 600 and (status or 0) < 400:
        return own
    return status


def _read_object(body: JsonObject, depth: int = _DEPTH) -> Said:
    """Reads one JSON object and the JSON inside its message."""
    message = _message(body)
    codes = (*support_codes(message), *texts_at(body, *_CODES))
    types = tuple(texts_at(body, *_TYPES))
    if _blocks_the_prompt(body):
        types += ("prompt blocked",)
    side = text_at(body, *_SIDES) or ("output" if _OF_A_PICTURE.search(message) else "")
    if side in ("input", "output"):
        codes = tuple(word for code in codes for word in (f"{code}:{side}", code))
    said = Said(None, codes, types, _line(message), _wait(body))
    inner = _decoded(message) if depth else None
    if not isinstance(inner, dict):
        return said
    within = _read_object(inner, depth - 1)
    wait = within.retry_after if said.retry_after is None else said.retry_after
    return Said(
        None, said.codes + within.codes, said.types + within.types, within.message or said.message, wait
    )


def _message(body: JsonObject) -> str:
    if said := text_at(body, *_MESSAGES):
        return said
    for path in _LISTED_MESSAGES:
        if listed := texts_at(body, path):
            return "; ".join(listed)
    head, detail = text_at(body, "$.title"), text_at(body, "$.detail")
    return ": ".join(filter(None, (head, detail))) or text_at(body, "$.message")


def support_codes(message: str) -> tuple[str, ...]:
    """The numbers with which Google's Imagen names the reason of a refusal."""
    return tuple(re.findall(r"\d+", " ".join(_SUPPORT_CODES.findall(message))))


def _blocks_the_prompt(body: JsonObject) -> bool:
    """Whether a response without choices says that the prompt was blocked."""
    feedback = object_at(body, "$.promptFeedback") or body.get("prompt_filter_results")
    return bool(feedback) and "block" in json.dumps(feedback).casefold()


def _wait(body: JsonObject) -> float | None:
    for path in _WAITS:
        for value in parse_path(path).find(body):
            if isinstance(value, str) and (found := _SECONDS.fullmatch(value)):
                return float(found[1])
            if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 86_400:
                return float(value)
    return None


def _decoded(text: str) -> Json:
    """The JSON object or list in a text. Returns None if the text holds no JSON."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        data: Json = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return data


def _quoted(text: str) -> str:
    """A message for a body that is not a JSON object."""
    start = _line(text)[:200]
    if start[:1] == "<":
        return f"a page instead of an answer: {start}"
    return f"the body is no JSON object: {start}" if start else "an empty body"


def _named(status: int | None, words: str) -> str:
    return _line(f"HTTP {status}: {words}" if status and status >= 300 else words)


def _line(text: str) -> str:
    return " ".join(text.split())[:MESSAGE_CHARS]
