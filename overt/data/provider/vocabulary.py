"""The meaning of the providers' codes and messages. vocabulary.yaml holds and explains the rows."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib import resources
from typing import Literal, cast, get_args

import yaml

from overt.data.chat import ErrorKind
from overt.data.targets import RefusalStage

Meaning = RefusalStage | ErrorKind
STAGES: frozenset[str] = frozenset(get_args(RefusalStage))
MEANINGS = STAGES | frozenset(get_args(ErrorKind))
FIELDS = frozenset({"code", "says", "unless", "content", "status", "as"})
ANY = "any"
WORDS = "words"
_OWN_RULES = "declared"  # what a target's own file declares; the common rows refuse nothing for it
# Endpoints with this protocol may hand on the answers of any other service.
_GATEWAYS = ("openai",)
_WORD = re.compile(r"(?<!\?)(?<!\?P)<(\w+)>")

Table = Mapping[str, "tuple[Row, ...]"]


@dataclass(frozen=True, slots=True)
class Row:
    """One row. A response must fit all its conditions: code, pattern in the message, status."""

    meaning: Meaning
    code: str = ""  # casefolded; * stands for any characters
    says: re.Pattern[str] | None = None
    status: tuple[int, ...] = ()
    name: str = ""  # the code to record instead of the provider's
    unless: re.Pattern[str] | None = None  # in the message, it makes the row not hold
    content: re.Pattern[str] | None = None  # of the whole answer of a chat model

    def holds(self, code: str, message: str, status: int | None) -> bool:
        """Whether a response with this code, message and HTTP status fits the row."""
        if self.content is not None or (self.code and not fnmatchcase(code.casefold(), self.code)):
            return False
        if self.status and status not in self.status:
            return False
        if self.unless is not None and self.unless.search(message):
            return False
        return self.says is None or self.says.search(message) is not None

    def is_content(self, text: str) -> bool:
        """Whether the row is for this whole answer of a chat model."""
        if self.content is None or not self.content.fullmatch(text):
            return False
        return self.unless is None or not self.unless.search(text)

    def is_named(self, code: str, status: int | None) -> bool:
        """Whether this recorded code (casefolded) comes from the row."""
        if self.name:
            return self.name.casefold() == code
        return bool(self.code) and self.holds(code, "", status)


@dataclass(frozen=True, slots=True)
class Match:
    """The meaning of the row that a response fits, and the code to record, or ""."""

    meaning: Meaning
    code: str

    @property
    def is_refusal(self) -> bool:
        return self.meaning in STAGES


def find(
    service: str,
    codes: Iterable[str],
    message: str = "",
    status: int | None = None,
    *,
    of: Literal["refusals", "errors", "taught"],
) -> Match | None:
    """The first row that a response fits, by its codes in their order, then by its message.

    Args:
        service: the part before the slash in a target's name. An unknown service (a user's class) has the
            rows of all services, since gateways copy them.
        codes: the provider's codes, types, statuses and finish reasons, the most specific first.
        of: "taught": the rows of the user's own file, whatever they mean.
    """
    rows: Sequence[Row]
    if of == "taught":
        rows = _own_rows(service)
    else:
        wanted = of == "refusals"
        rows = [row for row in _rows(service) if (row.meaning in STAGES) == wanted]
    for code in filter(None, map(str.strip, codes)):
        for row in rows:
            if row.code and row.holds(code, message, status):
                return Match(row.meaning, row.name or code)
    for row in rows:
        if not row.code and row.holds("", message, status):
            return Match(row.meaning, row.name)
    return None


def of_content(service: str, text: str) -> Match | None:
    """The row for an answer that is nothing but a machine's message, such as "502 Bad Gateway".

    Args:
        text: the whole answer of a chat model.
    """
    for row in (*_own_rows(service), *_content_rows(service)):
        if row.is_content(text):
            return Match(row.meaning, row.name)
    return None


@lru_cache(maxsize=4096)
def refusal_stage(service: str, code: str, status: int | None = None) -> RefusalStage | None:
    """The stage at which this service's `code` refuses; None if the code is not a refusal.

    The code is the provider's, or the name that a row gives to a message.
    """
    code = code.strip().casefold()
    if not code:
        return None
    for row in _own_rows(service):
        if row.is_named(code, status):
            return cast("RefusalStage", row.meaning) if row.meaning in STAGES else None
    for row in _rows(service):
        if row.meaning in STAGES and not row.code.startswith("finish:") and row.is_named(code, status):
            return cast("RefusalStage", row.meaning)
    return None


def finish_stage(service: str, reason: str) -> RefusalStage | None:
    """The stage of a refusal with this finish reason; None if the reason is not a refusal."""
    if stage := refusal_stage(service, reason):
        return stage
    found = _of_finish(service, reason)
    return cast("RefusalStage", found) if found in STAGES else None


def finish_error(service: str, reason: str) -> ErrorKind | None:
    """The kind of error with which an answer broke off, by its finish reason; None if it did not."""
    found = _of_finish(service, reason)
    return cast("ErrorKind", found) if found is not None and found not in STAGES else None


@lru_cache(maxsize=1024)
def _of_finish(service: str, reason: str) -> Meaning | None:
    if not reason.strip():  # so that an answer without a reason does not load the vocabulary
        return None
    code = f"finish:{reason.strip()}"
    found = find(service, [code], of="taught") or find(service, [code], of="refusals")
    found = found or find(service, [code], of="errors")
    return found.meaning if found else None


def refusal_codes(service: str) -> frozenset[str]:
    """All refusal codes of this service that do not depend on the HTTP status, in lower case."""
    rows = (row for row in _table().get(service, ()) if row.meaning in STAGES)
    return frozenset((row.name or row.code).casefold() for row in rows if row.says or not row.status)


def tells(service: str, stage: RefusalStage) -> bool:
    """Whether a service has words of its own for a refusal at this stage, and so says where it was."""
    return any(row.meaning == stage for row in _table().get(service, ()))


# -- the user's own rows ------------------------------------------------------------------------------------

_taught: Table = {}


@contextmanager
def teaching(rows: Table) -> Iterator[None]:
    """Puts rows of the user's own before the shipped ones, in this process and while the context lasts."""
    global _taught
    before, _taught = _taught, rows
    _forget()
    try:
        yield
    finally:
        _taught = before
        _forget()


def _own_rows(service: str) -> tuple[Row, ...]:
    return (*_taught.get(service, ()), *_taught.get(ANY, ())) if _taught else ()


def _forget() -> None:
    refusal_stage.cache_clear()
    _of_finish.cache_clear()


# -- the shipped rows ----------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def _rows(service: str) -> tuple[Row, ...]:
    """The rows of a service in their order; then what it may hand on from others; then the common rows."""
    table = _table()
    common = table[ANY]
    if service == ANY:
        return common
    if service == _OWN_RULES:
        return table[service] + tuple(row for row in common if row.meaning not in STAGES)
    others = tuple(row for name, rows in table.items() if name not in (ANY, service) for row in rows)
    if service not in table:
        return others + common
    if service not in _GATEWAYS:
        return table[service] + common
    known = {row.code for row in table[service]}
    handed_on = (row for row in others if row.meaning in STAGES and row.code and row.code not in known)
    return table[service] + tuple(handed_on) + common


@lru_cache(maxsize=64)
def _content_rows(service: str) -> tuple[Row, ...]:
    return tuple(row for row in _rows(service) if row.content is not None)


@lru_cache(maxsize=1)
def _table() -> Table:
    text = (resources.files("overt.data.provider") / "vocabulary.yaml").read_text("utf-8")
    return table_of(yaml.safe_load(text))


@lru_cache(maxsize=1)
def words() -> Mapping[str, str]:
    """The lists of words that a sentence may name in angle brackets: name -> regular expression."""
    text = (resources.files("overt.data.provider") / "vocabulary.yaml").read_text("utf-8")
    return joined(yaml.safe_load(text)[WORDS])


@lru_cache(maxsize=1)
def digest() -> str:
    """The hash of the shipped rows: whether kept responses are worth reading again."""
    data = (resources.files("overt.data.provider") / "vocabulary.yaml").read_bytes()
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def services() -> tuple[str, ...]:
    """The services that have rows of their own."""
    return tuple(_table())


def table_of(data: Mapping[str, Mapping[str, Iterable[object]]]) -> Table:
    """The rows of a decoded file, by service.

    Raises:
        ValueError: a row cannot be read.
    """
    lists = joined(data.get(WORDS, {}))
    return {
        service: tuple(row(meaning, entry, lists) for meaning, entries in groups.items() for entry in entries)
        for service, groups in data.items()
        if service != WORDS
    }


def joined(lists: Mapping[str, Iterable[object]]) -> Mapping[str, str]:
    """Lists of words as regular expressions."""
    return {name: f"(?:{'|'.join(map(str, entries))})" for name, entries in lists.items()}


def row(meaning: str, entry: object, lists: Mapping[str, str] | None = None) -> Row:
    """Reads one entry.

    Raises:
        ValueError: an unknown meaning or field, or a pattern that is no regular expression.
    """
    fields: dict[object, object] = dict(entry) if isinstance(entry, dict) else {"code": entry}
    if meaning not in MEANINGS or not set(fields) <= FIELDS:
        raise ValueError(f"vocabulary.yaml: cannot read {entry!r} under {meaning}")
    status = fields.get("status", ())
    return Row(
        cast("Meaning", meaning),
        str(fields.get("code", "")).casefold(),
        pattern(fields.get("says"), lists or {}),
        tuple(status) if isinstance(status, (list, tuple)) else (),
        str(fields.get("as", "")),
        pattern(fields.get("unless"), lists or {}),
        pattern(fields.get("content"), lists or {}),
    )


def pattern(text: object, lists: Mapping[str, str]) -> re.Pattern[str] | None:
    """A regular expression without case, in which `<name>` stands for one of the words of a list.

    Raises:
        ValueError: there is no such list, or the text is no regular expression.
    """
    if not text:
        return None

    def listed(found: re.Match[str]) -> str:
        if found[1] not in lists:
            raise ValueError(f"there is no list of words <{found[1]}>; known: {', '.join(lists)}")
        return lists[found[1]]

    try:
        return _compiled(_WORD.sub(listed, str(text)))
    except re.error as error:
        raise ValueError(f"{text!r} is no regular expression: {error}") from error


@lru_cache(maxsize=512)
def _compiled(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)
