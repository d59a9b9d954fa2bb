"""Reads HTTP responses of chat and image services.

`read_said` collects codes, sentences and waiting time from status, headers and body. `judge` decides whether
the service answered, refused (stage, code) or failed (kind of error), by the codes in vocabulary.yaml. A new
shape of error bodies is one more name in the tables of overt/data/provider/places.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, cast

from overt.data.chat import CallError, ErrorKind
from overt.data.json_types import Json, JsonObject
from overt.data.jsonpath import first, object_at, parse_path, text_at, texts_at
from overt.data.provider import places, vocabulary
from overt.data.provider.http import retry_after, status_kind
from overt.data.provider.waits import LONGEST_S, duration, in_words
from overt.data.targets import RefusalStage

MESSAGE_CHARS = 500
_WORDS_CHARS = 4000  # of all sentences together, in which the vocabulary looks for its own
_CODE_CHARS = 100

_SIDES = (
    "$.error.moderation_details.moderation_stage",
    "$.moderation_details.moderation_stage",
)  # "input" or "output"
_WAITS = (
    "$.retry_after",
    "$.error.retry_after",
    "$.error.details[*].retryDelay",
    "$.error.metadata.retry_after",
)
_WAIT_HEADERS = "$.error.metadata.headers"  # OpenRouter hands on those of the model's host
_CODE_HEADERS = ("x-fal-error-type", "x-amzn-errortype")
_TYPE_HEADERS = ("x-fal-retryable",)  # read as "name:value"

_OF_AN_OUTPUT = re.compile("generated image|output (?:text |image )?data", re.IGNORECASE)
_SUPPORT_CODES = re.compile(r"(?:support|error) codes?:?\s*((?:\d{8}\b[\s,]*)+)", re.IGNORECASE)
_DEPTH = 3  # levels of JSON inside strings
_STATUSES = ("$.error.code", "$.code", "$.error.status_code", "$.error.status", "$.status")
_WITHIN = frozenset({400, 402, 403, 422, 429, 451})  # statuses in the body of a 5xx that say more than it


@dataclass(frozen=True, slots=True)
class Said:
    """The status information of a response. `codes` and `types` are ordered by weight. `message` is the main
    sentence; `words` are all, with those of the wrapped bodies."""

    status: int | None = None
    codes: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    message: str = ""
    retry_after: float | None = None
    is_page: bool = False  # a web page, from a proxy or firewall and not from the service
    words: str = ""


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
    found = _Found(service, said)
    own = next(iter(said.codes), "")[:_CODE_CHARS]
    is_answer = has_content and (said.status or 0) < 400
    taught = found.row("taught")
    if taught is not None and (taught.is_refusal or not is_answer):
        if taught.is_refusal:
            return _refused(taught, said)
        return Failed(_error(said, cast("ErrorKind", taught.meaning), missing))
    if (refusal := found.row("refusals")) is not None:
        return _refused(refusal, said)
    if is_answer:
        return Answered(own)
    # A code that says no in other answers is none here, so nobody may read it as one later.
    is_no = vocabulary.refusal_stage(service, own, said.status) is not None
    return Failed(_error(said, _kind(said, found.row("errors")), missing), "" if is_no else own)


def _kind(said: Said, row: vocabulary.Match | None) -> ErrorKind:
    """The kind of an error: the row's, or what the status stands for."""
    status = said.status or 0
    if row is not None:
        if row.meaning == "billing" and not row.code and status == 429 and said.retry_after is not None:
            return "rate_limit"  # who says when to come again has a limit in mind, whatever the sentence says
        return cast("ErrorKind", row.meaning)
    if status in (401, 403):
        if said.is_page:  # of a firewall, not of the service
            return "server"
        if said.words:  # they speak of no key
            return "forbidden"
    return status_kind(status) if status >= 300 else "server"


@dataclass(frozen=True, slots=True)
class _Found:
    """The look-up of one response in the vocabulary."""

    service: str
    said: Said

    def row(self, of: Literal["refusals", "errors", "taught"]) -> vocabulary.Match | None:
        said = self.said
        if said.is_page and of == "refusals":  # a firewall's page blocks more than one prompt
            return None
        words = f"{said.message}\n{said.words}" if said.words else said.message
        return vocabulary.find(self.service, (*said.codes, *said.types), words, said.status, of=of)


def _refused(row: vocabulary.Match, said: Said) -> Refused:
    return Refused(cast("RefusalStage", row.meaning), row.code[:_CODE_CHARS], said.message)


def _error(said: Said, kind: ErrorKind, missing: str) -> CallError:
    status = said.status or 0
    words = said.message or (f"HTTP {status}" if status >= 400 else missing) or "the answer cannot be used"
    return CallError(kind, words, said.status, said.retry_after)


def read_said(status: int | None, headers: Mapping[str, str], body: Json, text: str = "") -> Said:
    """Collects the status information of an HTTP response. Header names are in lower case.

    Args:
        body: the decoded JSON, None if the body is not JSON.
        text: the beginning of the body as text, quoted if the body has no message.
    """
    if isinstance(body, str):
        body = decoded_text(body)
    if isinstance(body, list) and body:  # Vertex AI wraps some errors in a list
        body = body[0]
    said = _of_object(status, headers, body, text) if isinstance(body, dict) else _of_text(status, text)
    wait = retry_after(headers)
    if wait is None:
        wait = said.retry_after
    if wait is None:
        wait = in_words(f"{said.message}\n{said.words}")
    return replace(said, retry_after=wait)


def _of_text(status: int | None, text: str) -> Said:
    """Reads a body that is no JSON object."""
    is_page = text.lstrip()[:1] == "<"
    named = () if is_page else tuple(places.named_codes(text))
    plain = "" if is_page else line_of(text)
    return Said(status, (), named, _named(status, _quoted(text)), is_page=is_page, words=plain)


def _of_object(status: int | None, headers: Mapping[str, str], body: JsonObject, text: str) -> Said:
    said, status = _read_object(body), _status_within(body, status)
    message = said.message
    if not message and (body.get("error") or (status or 0) >= 400):
        message = _named(status, text)
    return replace(
        said,
        status=status,
        codes=(*said.codes, *(headers[name].partition(":")[0] for name in _CODE_HEADERS if name in headers)),
        types=(*said.types, *(f"{name}:{headers[name]}" for name in _TYPE_HEADERS if name in headers)),
        message=message,
    )


def _status_within(body: JsonObject, status: int | None) -> int | None:
    """The status in the body of a gateway that wraps errors in a 200 or a 5xx, else the HTTP status."""
    http = status or 0
    for value in (
        first(body, path) for path in ("$.error.code", "$.code", "$.error.status_code", "$.status")
    ):
        own = int(value) if isinstance(value, str) and value.isdecimal() and len(value) == 3 else value
        if not isinstance(own, int) or isinstance(own, bool) or not 400 <= own < 600:
            continue
        return own if http < 400 or (http >= 500 and own in _WITHIN) else status
    return status


def _read_object(body: JsonObject, depth: int = _DEPTH) -> Said:
    """Reads one JSON object and the JSON inside its sentences."""
    also, sentences = places.walked(body)
    message = places.message_of(body) or next(iter(sentences), "")
    codes = (*support_codes(" ".join((message, *sentences))), *texts_at(body, *places.CODES))
    types = (*texts_at(body, *places.TYPES), *places.signs(body))
    side = text_at(body, *_SIDES) or ("output" if _OF_AN_OUTPUT.search(message) else "")
    if side in ("input", "output"):
        codes = tuple(word for code in codes for word in (f"{code}:{side}", code))
    types += tuple(code for code in also if code not in codes)
    said = Said(None, codes, types, line_of(message), _wait(body), words=_joined(sentences))
    for sentence in (message, *sentences) if depth else ():
        if (inner := places.embedded(sentence)) is not None:
            said = _with_inner(said, _read_object(inner, depth - 1), is_whole=sentence.lstrip()[:1] in "{[")
        elif "{" in sentence:
            said = replace(said, types=(*said.types, *places.named_codes(sentence)))
    return said


def _with_inner(said: Said, within: Said, *, is_whole: bool) -> Said:
    """What a body says, together with one inside of it. `is_whole`: its message is nothing but that one."""
    return Said(
        None,
        said.codes + tuple(code for code in within.codes if code not in said.codes),
        said.types + tuple(code for code in within.types if code not in said.types),
        (within.message if is_whole else "") or said.message,
        within.retry_after if said.retry_after is None else said.retry_after,
        words=_joined((said.words, within.message, within.words)),
    )


def support_codes(message: str) -> tuple[str, ...]:
    """The numbers with which Google's Imagen names the reason of a refusal."""
    return tuple(dict.fromkeys(re.findall(r"\d+", " ".join(_SUPPORT_CODES.findall(message)))))


def _wait(body: JsonObject) -> float | None:
    for path in _WAITS:
        for value in parse_path(path).find(body):
            if isinstance(value, str) and (told := duration(value)) is not None:
                return told
            if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= LONGEST_S:
                return float(value)
    named = object_at(body, _WAIT_HEADERS)
    return retry_after({name.lower(): str(value) for name, value in named.items()})


def decoded_text(text: str) -> Json:
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
    start = line_of(text)[:200]
    if start[:1] == "<":
        return f"a page instead of an answer: {start}"
    return f"the body is no JSON object: {start}" if start else "an empty body"


def _named(status: int | None, words: str) -> str:
    return line_of(f"HTTP {status}: {words}" if status and status >= 300 else words)


def line_of(text: str) -> str:
    return " ".join(text.split())[:MESSAGE_CHARS]


def _joined(sentences: Iterable[str]) -> str:
    return "\n".join(dict.fromkeys(line_of(one) for one in sentences if one))[:_WORDS_CHARS]
