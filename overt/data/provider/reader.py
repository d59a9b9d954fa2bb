"""What a provider said: one reader for chat and picture services.

An answer's status, headers and body become `Said`: codes, words and a waiting time, wherever the service
keeps them. `judge` makes of it one of three: answered, refused (stage, code) or failed (kind of error). What
the words mean stands in vocabulary.yaml; a new shape of error bodies is one more path in the tables below.
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

# Where error bodies keep what they say. Codes name the finding; types help to find out what it means.
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
_DEPTH = 3  # of JSON inside of strings


@dataclass(frozen=True, slots=True)
class Said:
    """What an answer says beside its content. `codes` and `types` are in the order of their weight."""

    status: int | None = None
    codes: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    message: str = ""
    retry_after: float | None = None
    is_page: bool = False  # a web page: of something that stands in between, and not of the service


@dataclass(frozen=True, slots=True)
class Answered:
    """The service answered; `code` is what it said beside its answer, "" for nothing."""

    code: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """The service turned the content down, and at which stage."""

    stage: RefusalStage
    code: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """There is no answer. `code` is the provider's own, "" for none."""

    error: CallError
    code: str = ""


Verdict = Answered | Refused | Failed


def judge(service: str, said: Said, *, has_content: bool = False, missing: str = "") -> Verdict:
    """What became of a request.

    Args:
        service: what stands before the slash of a target's or a model's name.
        has_content: whether the answer holds what was asked for; then only a refusal's code outweighs it.
        missing: what to say of an answer that holds neither content nor a reason.
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
    if said.is_page and status == 403:  # a firewall's page says nothing of the key
        kind = "server"
    if error is not None:
        kind = cast("ErrorKind", error.meaning)
    if status >= 400:
        missing = f"HTTP {status}"
    words = said.message or missing or "the answer cannot be used"
    return Failed(CallError(kind, words, said.status, said.retry_after), own)


def read_said(status: int | None, headers: Mapping[str, str], body: Json, text: str = "") -> Said:
    """What a whole HTTP answer says of itself. Header names are in lower case.

    Args:
        body: the decoded JSON, None where it is none.
        text: the beginning of the body as text; it is quoted where the body says nothing in words.
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
    """The status that counts: gateways wrap errors in a 200, and name the status in the body."""
    own = first(body, "$.error.code", "$.code")
    if isinstance(own, int) and 400 <= own < 600 and (status or 0) < 400:
        return own
    return status


def _read_object(body: JsonObject, depth: int = _DEPTH) -> Said:
    """What one JSON object says, and what the JSON inside its strings says."""
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
    """The numbers that Google's Imagen gives for what it filtered."""
    return tuple(re.findall(r"\d+", " ".join(_SUPPORT_CODES.findall(message))))


def _blocks_the_prompt(body: JsonObject) -> bool:
    """Whether an answer without choices says of its prompt that it was blocked."""
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
    """The JSON object or list that a text holds, None where it holds none."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        found: Json = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found


def _quoted(text: str) -> str:
    """A body that is no JSON object, for a person."""
    start = _line(text)[:200]
    if start[:1] == "<":
        return f"a page instead of an answer: {start}"
    return f"the body is no JSON object: {start}" if start else "an empty body"


def _named(status: int | None, words: str) -> str:
    return _line(f"HTTP {status}: {words}" if status and status >= 300 else words)


def _line(text: str) -> str:
    return " ".join(text.split())[:MESSAGE_CHARS]
