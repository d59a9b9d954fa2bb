"""The meaning of the providers' codes and messages. vocabulary.yaml holds and explains the rows."""

from __future__ import annotations

import re
from collections.abc import Iterable
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
_MEANINGS = STAGES | frozenset(get_args(ErrorKind))
_ANY = "any"


@dataclass(frozen=True, slots=True)
class Row:
    """One row. A response must fit all its conditions: code, pattern in the message, status."""

    meaning: Meaning
    code: str = ""  # casefolded; * stands for any characters
    says: re.Pattern[str] | None = None
    status: tuple[int, ...] = ()
    name: str = ""  # the code to record instead of the provider's

    def holds(self, code: str, message: str, status: int | None) -> bool:
        """Whether a response with this code, message and HTTP status fits the row."""
        if self.code and not fnmatchcase(code.casefold(), self.code):
            return False
        if self.status and status not in self.status:
            return False
        return self.says is None or self.says.search(message) is not None


@dataclass(frozen=True, slots=True)
class Match:
    """The meaning of the row that a response fits, and the code to record, or ""."""

    meaning: Meaning
    code: str


def find(
    service: str,
    codes: Iterable[str],
    message: str = "",
    status: int | None = None,
    *,
    of: Literal["refusals", "errors"],
) -> Match | None:
    """The first row that a response fits, by its codes in their order, then by its message.

    Args:
        service: the part before the slash in a target's name. An unknown service (a user's class) has the
            rows of all services, since gateways copy them.
        codes: the provider's codes, types, statuses and finish reasons, the most specific first.
    """
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


@lru_cache(maxsize=4096)
def refusal_stage(service: str, code: str, status: int | None = None) -> RefusalStage | None:
    """The stage at which this service's `code` refuses; None if the code is not a refusal.

    The code is the provider's, or the name that a row gives to a message.
    """
    code = code.strip().casefold()
    if not code:
        return None
    for row in _rows(service, shared=False):
        if row.meaning in STAGES and (
            row.name.casefold() == code if row.says else row.holds(code, "", status)
        ):
            return cast("RefusalStage", row.meaning)
    return None


def finish_stage(service: str, reason: str) -> RefusalStage | None:
    """The stage of a refusal with this finish reason; None if the reason is not a refusal."""
    return refusal_stage(service, reason) or refusal_stage(_ANY, f"finish:{reason.strip()}")


def refusal_codes(service: str) -> frozenset[str]:
    """All refusal codes of this service that do not depend on the HTTP status, in lower case."""
    rows = (row for row in _rows(service, shared=False) if row.meaning in STAGES)
    return frozenset((row.name or row.code).casefold() for row in rows if row.says or not row.status)


@lru_cache(maxsize=64)
def _rows(service: str, shared: bool = True) -> tuple[Row, ...]:
    """The rows of a service in their order; with `shared`, the common rows follow."""
    table = _table()
    if service in table:
        own = table[service]
    else:
        own = tuple(row for name, rows in table.items() if name != _ANY for row in rows)
    return own + table[_ANY] if shared and service != _ANY else own


@lru_cache(maxsize=1)
def _table() -> dict[str, tuple[Row, ...]]:
    text = (resources.files("overt.data.provider") / "vocabulary.yaml").read_text("utf-8")
    return {
        service: tuple(_row(meaning, entry) for meaning, entries in groups.items() for entry in entries)
        for service, groups in yaml.safe_load(text).items()
    }


def _row(meaning: str, entry: object) -> Row:
    """Reads one entry of vocabulary.yaml.

    Raises:
        ValueError: an unknown meaning or field.
    """
    fields: dict[object, object] = dict(entry) if isinstance(entry, dict) else {"code": entry}
    if meaning not in _MEANINGS or not set(fields) <= {"code", "says", "status", "as"}:
        raise ValueError(f"vocabulary.yaml: cannot read {entry!r} under {meaning}")
    status = fields.get("status", ())
    says = fields.get("says")
    return Row(
        cast("Meaning", meaning),
        str(fields.get("code", "")).casefold(),
        re.compile(str(says), re.IGNORECASE) if says else None,
        tuple(status) if isinstance(status, list) else (),
        str(fields.get("as", "")),
    )
