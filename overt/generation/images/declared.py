"""Builds the requests of a declared HTTP target and applies its rules to responses.

Prompts and responses are hostile text: a prompt enters the decoded request as a value and never becomes part
of a template, an address or a header; an address in a response is followed only if it is http(s).
"""

from __future__ import annotations

import os
import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import replace
from typing import get_args

from overt.data.chat import CallError
from overt.data.errors import InputError
from overt.data.json_types import Json
from overt.data.jsonpath import Path, parse_path
from overt.data.provider.http import retry_after
from overt.data.provider.reader import Failed, Refused, read_said
from overt.data.secrets import VARIABLE, filled, learn_from, values_of
from overt.data.targets import NOT_ASKED, LayerDecision, RefusalStage
from overt.generation.images.engine import Answer, Asked, Found, Request
from overt.generation.images.http_file import (
    PICTURES,
    PLACEHOLDER,
    Condition,
    ErrorRule,
    HTTPFile,
    Poll,
    RefusalRule,
)
from overt.generation.images.pictures import as_file, base64_of, data_address, picture_kind
from overt.generation.transport import Reply, Upload, absolute

_SEARCHED_BYTES = 1 << 20  # of a body that `contains` searches
_CODE_CHARS = 100
# When a product asks its layers.
_ORDER: dict[RefusalStage, int] = {stage: n for n, stage in enumerate(get_args(RefusalStage))}


# -- what is sent ------------------------------------------------------------------------------------------


def headers(spec: HTTPFile) -> tuple[dict[str, str], list[str]]:
    """Returns the headers with environment variables filled in, and the variables' values.

    Raises:
        InputError: a variable is not set, or holds a character that a header cannot contain.
    """
    secrets: list[str] = []

    def value_of(header: str, variable: str) -> str:
        mark = spec.header_marks[header]
        place = f"{mark.file}:{mark.line}:{mark.column}"
        secret = os.environ.get(variable, "").strip()
        if not secret:
            raise InputError(
                f"headers.{header}: the environment variable {variable} is not set",
                where=place,
                fix=f"export {variable}=...",
            )
        if not secret.isprintable():
            raise InputError(
                f"headers.{header}: {variable} holds a character that no header may hold", where=place
            )
        secrets.append(secret)
        return secret

    def with_values(header: str, text: str) -> str:
        return VARIABLE.sub(lambda found: value_of(header, found[1]), text)

    found = {header: with_values(header, text) for header, text in spec.headers.items()}
    address(spec)  # a variable that is not set is told before a request is made
    for name, text in spec.query.items():
        filled(text, f"query.{name}", in_url=False)
    learn_from(spec.url)  # a key that was written into the file all the same
    learn_from("?" + "&".join(f"{name}={text}" for name, text in spec.query.items()))
    return found, [*secrets, *values_of(spec.query.values())]


def request(spec: HTTPFile, headers: Mapping[str, str], asked: Asked) -> Request:
    values: dict[str, Json] = {"prompt": asked.prompt, "seed": asked.seed}
    values |= dict.fromkeys(PICTURES)
    if asked.picture is not None:
        values |= {"picture": base64_of(asked.picture), "picture_address": data_address(asked.picture)}
    url = address(spec)
    if spec.query:
        query = {name: _parameter(name, text, values) for name, text in spec.query.items()}
        url += ("&" if "?" in url else "?") + urllib.parse.urlencode(query)
    form = _form(spec.form, values, asked.picture)
    return Request(url, headers, json=fill(spec.json_body, values), form=form or None, method=spec.method)


def _form(
    fields: Mapping[str, str], values: Mapping[str, Json], picture: bytes | None
) -> dict[str, str | Upload]:
    """The fields of a form; one that is the picture alone is a file, and left out where there is none."""
    form: dict[str, str | Upload] = {}
    for name, text in fields.items():
        whole = PLACEHOLDER.fullmatch(text)
        if whole is None or whole[1] != "picture":
            form[name] = str(fill(text, values))
        elif picture is not None:
            form[name] = as_file(picture)
    return form


def address(spec: HTTPFile) -> str:
    """Returns where requests go, with environment variables filled in.

    Raises:
        InputError: a variable is not set.
    """
    return filled(spec.url, "url")


def _parameter(name: str, text: str, values: Mapping[str, Json]) -> str:
    """Variables before placeholders, so that a prompt's own ${...} stays its text."""
    parts = PLACEHOLDER.split(filled(text, f"query.{name}", in_url=False))
    return "".join(str(values[part]) if n % 2 else part for n, part in enumerate(parts))


def fill(template: Json, values: Mapping[str, Json]) -> Json:
    """Fills the placeholders of a decoded JSON template. A text that is a single placeholder becomes the
    value itself, so a number stays a number. Filled values are not searched for placeholders."""
    if isinstance(template, dict):
        return {name: fill(value, values) for name, value in template.items()}
    if isinstance(template, list):
        return [fill(value, values) for value in template]
    if not isinstance(template, str):
        return template
    if whole := PLACEHOLDER.fullmatch(template):
        return values[whole[1]]
    return PLACEHOLDER.sub(lambda found: str(values[found[1]]), template)


# -- jobs --------------------------------------------------------------------------------------------------


def job_address(poll: Poll, base: str, data: Json) -> str | CallError:
    """Returns the address at which the job of a response is polled."""
    if isinstance(poll.url, Path):
        url = poll.url.first(data)
        if not isinstance(url, str):
            return CallError("server", f"the answer holds no address at {poll.url.text}")
        return absolute(base, url)
    missing: list[str] = []

    def part_of(found: re.Match[str]) -> str:
        part = parse_path(found[1]).first(data)
        if isinstance(part, bool) or not isinstance(part, str | int) or part in ("", ".", ".."):
            missing.append(found[1])
            return ""
        return urllib.parse.quote(str(part), safe="")

    url = PLACEHOLDER.sub(part_of, poll.url)
    return CallError("server", f"the answer holds nothing at {missing[0]}") if missing else url


def is_done(spec: HTTPFile, reply: Reply) -> bool:
    """Returns whether a response says that the job is done."""
    poll = spec.poll
    return poll is not None and any(
        _same(value, wanted) for value in poll.path.find(json_of(reply)) for wanted in poll.values
    )


# -- what comes back ---------------------------------------------------------------------------------------


def rule_of(spec: HTTPFile, reply: Reply) -> tuple[RefusalRule | ErrorRule | None, Json]:
    """Returns the first rule that a response meets, refusals before errors, and the value it matched."""
    rules: tuple[RefusalRule | ErrorRule, ...] = (*spec.refusals, *spec.errors)
    for rule in rules:
        met, value = _meets(rule.when, reply)
        if met:
            return rule, value
    return None, None


def code_of(rule: RefusalRule, value: Json, reply: Reply) -> str:
    """Returns a refusal's code: the rule's word, the value at its path, or the value it matched."""
    code = rule.code.first(json_of(reply)) if isinstance(rule.code, Path) else rule.code
    code = value if code is None else code
    if isinstance(code, bool) or not isinstance(code, str | int) or code == "":
        return "refused"
    return " ".join(str(code).split())[:_CODE_CHARS]


def message(spec: HTTPFile, reply: Reply) -> str:
    """Returns the provider's message from the declared path, or else from the usual places."""
    if picture_kind(reply.body) is not None:
        return ""
    if spec.message is not None and isinstance(said := spec.message.first(reply.data), str):
        return said
    return read_said(reply.status, reply.headers, reply.data, reply.text).message


def pictures(spec: HTTPFile, reply: Reply) -> list[Json] | list[bytes]:
    if spec.encoding == "body":
        return [reply.body]
    return spec.image.find(json_of(reply)) if spec.image is not None else []


def found(spec: HTTPFile, layer: str, headers: Mapping[str, str], answer: Answer) -> Found:
    """Interprets a response: first the rules, refusals before errors, then its content.

    Args:
        layer: the name of the refusing layer if the rule names none.
        headers: sent when a picture is fetched from the service's own host.
    """
    reply = answer.reply
    rule, value = rule_of(spec, reply)
    if isinstance(rule, ErrorRule):
        error = CallError(rule.kind, message(spec, reply), reply.status, retry_after(reply.headers))
        return Found(verdict=Failed(error))
    if rule is None:
        return replace(_content(spec, headers, answer), layers=_passed(spec, layer, reply))
    code = code_of(rule, value, reply)
    mine = LayerDecision(rule.layer or layer, rule.stage, True, reason=code)
    return Found(
        pictures(spec, reply),  # a flagged picture is evidence, if it came
        by_address=spec.encoding == "url",
        headers=headers,
        layers=tuple(_beside(mine, known) for known in _layers(spec, layer)),
        verdict=Refused(rule.stage, code, message(spec, reply)),
    )


def _layers(spec: HTTPFile, layer: str) -> list[LayerDecision]:
    """Returns the layers that the file's refusals name, each once and without a decision, in the order in
    which a product asks them. A layer with rules of several stages stands at the first."""
    found: dict[str, RefusalStage] = {}
    for rule in sorted(spec.refusals, key=lambda rule: _ORDER[rule.stage]):
        found.setdefault(rule.layer or layer, rule.stage)
    return [LayerDecision(name, stage, None) for name, stage in found.items()]


def _beside(refused: LayerDecision, known: LayerDecision) -> LayerDecision:
    """What a layer of the file said where one of them refused: it passed the prompt if it stands before that
    one; else it may not have seen it."""
    if known.layer == refused.layer:
        return refused
    if _ORDER[known.stage] < _ORDER[refused.stage]:
        return replace(known, blocked=False)
    return replace(known, reason=f"{NOT_ASKED}{refused.layer} refused"[:200])


def _passed(spec: HTTPFile, layer: str, reply: Reply) -> tuple[LayerDecision, ...]:
    """What the layers said where no refusal's rule was met: they passed what came with success."""
    if reply.status < 400:
        return tuple(replace(known, blocked=False) for known in _layers(spec, layer))
    why = f"HTTP {reply.status}, which no rule of the file explains"
    return tuple(replace(known, reason=why) for known in _layers(spec, layer))


def _content(spec: HTTPFile, headers: Mapping[str, str], answer: Answer) -> Found:
    """Reads a response that meets no rule."""
    reply = answer.reply
    made, text = pictures(spec, reply), _text_at(spec.text, reply).strip()
    has_content = bool(text) or any(one not in (None, "") for one in made)
    what, place = ("text" if spec.modality == "text" else "picture"), spec.image or spec.text
    missing = f"the answer holds no {what}" + (f" at {place.text}" if place else "")
    words = message(spec, reply)
    if reply.status < 400:
        words = f"{missing}: {words}" if words else missing
    return Found(
        made,
        by_address=spec.encoding == "url",
        headers=headers,
        text=_text_at(spec.text, reply) if text else "",
        message="" if has_content and reply.status < 300 else words,
        revised_prompt=_text_at(spec.revised_prompt, reply) or None,
        seed=_seed(spec, answer),
        missing=missing,
    )


def _text_at(path: Path | None, reply: Reply) -> str:
    value = path.first(json_of(reply)) if path else None
    return value if isinstance(value, str) else ""


def _seed(spec: HTTPFile, answer: Answer) -> int | None:
    """Returns the seed in the response, or else the seed that was sent, if any."""
    told = spec.seed.first(json_of(answer.reply)) if spec.seed else None
    if isinstance(told, int) and not isinstance(told, bool):
        return told
    return answer.asked.seed if "seed" in spec.placeholders else None


def json_of(reply: Reply) -> Json:
    """Returns the decoded body, or None if it is not JSON."""
    return reply.data if picture_kind(reply.body) is None else None


def _meets(when: Condition, reply: Reply) -> tuple[bool, Json]:
    """Returns whether a response meets a condition, and the matched value (None for the whole body)."""
    if when.status and reply.status not in when.status:
        return False, None
    if when.path is None and not when.header:
        return not when.contains or when.contains.casefold() in _body_text(reply).casefold(), None
    values = _values(when, reply)
    if when.exists is False:
        return not values, None
    for value in values:
        is_equal = not when.equals or any(_same(value, wanted) for wanted in when.equals)
        if is_equal and (not when.contains or _holds(value, when.contains)):
            return True, value
    return False, None


def _values(when: Condition, reply: Reply) -> list[Json]:
    """Returns the values at the condition's path or header."""
    if when.path is not None:
        return [value for value in when.path.find(json_of(reply)) if value is not None]
    return [reply.headers[when.header]] if when.header in reply.headers else []


def _body_text(reply: Reply) -> str:
    if picture_kind(reply.body) is not None:
        return ""
    return reply.body[:_SEARCHED_BYTES].decode("utf-8", "replace")


def _same(value: Json, wanted: Json) -> bool:
    """Compares two values, ignoring case; true does not equal 1."""
    if isinstance(value, str) and isinstance(wanted, str):
        return value.casefold() == wanted.casefold()
    return isinstance(value, bool) == isinstance(wanted, bool) and bool(value == wanted)


def _holds(value: Json, part: str) -> bool:
    if isinstance(value, list):
        return any(_same(entry, part) for entry in value)
    return isinstance(value, str | int) and part.casefold() in str(value).casefold()
