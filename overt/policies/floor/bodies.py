"""The floor for replies of models, before any of it is written, shown or sent on.

A reply is JSON data whose texts may hold JSON themselves. Texts of one object belong together; the entries
of a list are things of their own (the prompts of a batch), unless they are as short as tags. What stands
beside a list counts for each of its entries.

A model that says no names what it will not do. Such a text passes if it is short, says no in words of the
`denials` lists, and has nothing sexual in it besides words of the `abstract` lists ("sexual", "explicit").
So does a label such as "sexual/minors", which filters put into their answers.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache

from overt.data.chat import CallError, ChatReply, RawResponse
from overt.data.json_types import Json
from overt.data.refusal_tokens import Continuation, Gate, TokenShare
from overt.data.targets import LayerDecision, Response
from overt.data.tools import ToolCall
from overt.policies.floor.fold import fold
from overt.policies.floor.scan import floor_rule, names_minor, scan
from overt.policies.floor.terms import BOTH, MINOR, SEXUAL, floor_terms

_DENIAL = 700  # characters of a text that says no
_TAG = 30  # characters of a tag
_DEEPEST = 4  # JSON in texts in JSON
_AGE = re.compile(r"\s*\d{1,2}\s*")
_LABEL = re.compile(r"[\w/.:\-]{1,60}")
_PICTURE_CHARS = 200
# A picture in base64: chance makes words of anything.
_PICTURE = re.compile(rf"(?:iVBORw0KGgo|/9j/|UklGR|R0lGOD)[A-Za-z0-9+/=_\-]{{{_PICTURE_CHARS},}}")
_JSON_START = re.compile(r"[\[{]")


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a body was stopped: the name of a rule, and the BLAKE2b of the body in 32 hex digits."""

    rule: str
    digest: str

    def __str__(self) -> str:
        return f"stopped by the floor (rule {self.rule}, body {self.digest})"


def stopped(body: Json) -> Stop | None:
    """Whether a body is sexual about minors. Takes time in proportion to its length.

    Args:
        body: a reply as JSON data, or a text.
    """
    own = _own_fields()
    rule = floor_rule("\n".join(text for text in _texts(body) if text not in own))
    if rule is None:
        return None
    try:
        flags = _judged(body, 0)
    except RecursionError:
        flags = BOTH
    if flags != BOTH:
        return None
    whole = "\n".join(_texts(body))
    return Stop(rule, hashlib.blake2b(whole.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest())


def _texts(value: Json) -> Iterator[str]:
    """Every text in some JSON data, the names of fields, and numbers that are ages by these names."""
    stack = [value]
    while stack:
        part = stack.pop()
        if isinstance(part, str):
            yield _without_pictures(part)
        elif isinstance(part, list):
            stack += reversed(part)
        elif isinstance(part, dict):
            yield from part
            yield from _ages(part)
            stack += reversed(part.values())


_CODES = frozenset({"tool_calls"})  # a finish reason


@cache
def _own_fields() -> frozenset[str]:
    """The names of overt's own fields, which say nothing. The first look leaves them out: their underscores
    would start the search for masked words in every reply."""
    replies = (ChatReply, Response, LayerDecision, CallError, RawResponse, Gate, TokenShare, Continuation)
    kinds = (*replies, ToolCall)
    return frozenset(field.name for kind in kinds for field in dataclasses.fields(kind)) | _CODES


def _without_pictures(text: str) -> str:
    return _PICTURE.sub(" ", text) if len(text) > _PICTURE_CHARS else text


def _ages(entries: dict[str, Json]) -> Iterator[str]:
    own = _own_fields()
    for name, value in entries.items():
        if name in own:  # overt's own numbers are no ages
            continue
        is_number = isinstance(value, int) and not isinstance(value, bool)
        if is_number or isinstance(value, str):
            number = str(value)
            if _AGE.fullmatch(number) and (said := _age(name, number)):
                yield said


@lru_cache(maxsize=4096)
def _age(name: str, number: str) -> str:
    """The age that a field and its number tell, or ""."""
    said = f"{name.replace('_', ' ')}: {number}"
    return said if names_minor(said) and not names_minor(name) else ""


# -- what belongs together -----------------------------------------------------------------------------------


def _judged(value: Json, depth: int) -> int:
    """What a value names: BOTH if one thing in it names a minor and something sexual."""
    if isinstance(value, str):
        return _text(value, depth)
    if isinstance(value, list):
        if all(isinstance(item, str) and len(item) <= _TAG for item in value):
            return _flags(", ".join(item for item in map(str, value) if not _is_label(item)))
        return _of_several(0, [_judged(item, depth) for item in value])
    if isinstance(value, dict):
        # Filters name their categories in fields ("sexual", "minors"), so that fields count one by one.
        if any(_flags(name) == BOTH for name in value):
            return BOTH
        beside, lists = _flags(". ".join(_ages(value))), []
        for part in value.values():
            if isinstance(part, list):
                lists.append(_judged(part, depth))
            else:
                beside |= _judged(part, depth)
        return _of_several(beside, lists)
    return 0


def _of_several(beside: int, things: list[int]) -> int:
    """BOTH if one of the things is, with what stands beside it; else what they name beside them."""
    if any(beside | thing == BOTH for thing in things):
        return BOTH
    return beside


def _text(text: str, depth: int) -> int:
    """What a text names. JSON in it is read as JSON, and what stands around it counts for all of that."""
    text = _without_pictures(text)
    start = _JSON_START.search(text)
    if start is None or depth >= _DEEPEST:
        return _flags(text)
    data, end = _json_in(text, start.start())
    if data is None:
        return _flags(text)
    return _flags(text[: start.start()] + " " + text[end:]) | _judged(data, depth + 1)


def _json_in(text: str, start: int) -> tuple[Json, int]:
    """The JSON that begins at `start` and its end. JSON that was cut off is closed; None if it is broken."""
    try:
        data, end = json.JSONDecoder().raw_decode(text, start)
        return data, end
    except (ValueError, RecursionError):
        pass
    try:
        closed: Json = json.loads(text[start:].rstrip().rstrip(",") + _closing(text[start:]))
    except (ValueError, RecursionError):
        return None, 0
    return closed, len(text)


def _closing(text: str) -> str:
    """What a cut-off JSON text lacks at its end."""
    open_ends: list[str] = []
    is_text = False
    for sign in re.finditer(r'\\.|["\[\]{}]', text, re.DOTALL):
        if sign[0] == '"':
            is_text = not is_text
        elif not is_text and sign[0] in "[{":
            open_ends.append("]" if sign[0] == "[" else "}")
        elif not is_text and sign[0] in "]}" and open_ends:
            open_ends.pop()
    return ('"' if is_text else "") + "".join(reversed(open_ends))


def _flags(text: str) -> int:
    """What a text names: a minor, something sexual, both. 0 for a label and for a text that says no."""
    if not text or _says_no(text) or _is_label(text):
        return 0
    if floor_rule(text) is not None:
        return BOTH
    found = scan(text, ages=True)
    flags = (MINOR if found.minor else 0) | (SEXUAL if found.sexual else 0)
    return flags if flags != BOTH else 0  # a text that is known as harmless


def _is_label(text: str) -> bool:
    """Whether a text is the name of a filter's category, such as "sexual/minors"."""
    if not _LABEL.fullmatch(text) or not any(sign in text for sign in "/_-"):
        return False
    rest = floor_terms().abstract.sub(" ", _words(text))
    return floor_rule(_words(text)) is not None and not scan(rest, ages=False).sexual


def _says_no(text: str) -> bool:
    lists = floor_terms()
    if len(text) > _DENIAL or not lists.denials.search(folded := _words(text)):
        return False
    rest = lists.abstract.sub(" ", folded)
    return rest != folded and not scan(rest, ages=False).sexual


def _words(text: str) -> str:
    return fold(text).replace("_", " ").replace("/", " ")
