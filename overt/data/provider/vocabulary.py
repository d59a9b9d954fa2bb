"""The vocabulary: what the words of the providers mean. vocabulary.yaml holds and explains the rows."""

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
    """One row. All that it asks for must hold: a code, a pattern in the message, one of some statuses."""

    meaning: Meaning
    code: str = ""  # without case; * stands for any characters
    says: re.Pattern[str] | None = None
    status: tuple[int, ...] = ()
    name: str = ""  # the code that the finding is handed on with

    def holds(self, code: str, message: str, status: int | None) -> bool:
        """Whether an answer with this code, these words and this HTTP status meets the row."""
        if self.code and not fnmatchcase(code.casefold(), self.code):
            return False
        if self.status and status not in self.status:
            return False
        return self.says is None or self.says.search(message) is not None


@dataclass(frozen=True, slots=True)
class Match:
    """A row that an answer met, and the code that it met it with ("" for none)."""

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
    """The first row that an answer meets: by its codes in their order, then by its words.

    Args:
        service: what stands before the slash of a target's name. The rows of an unknown one (a vendor's own
            class) are those of all services, since gateways copy them.
        codes: the provider's codes, types, statuses and finish reasons, the most telling first.
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
    """The stage at which this service's `code` refuses; None where the code is no refusal.

    The code is spelled as the provider does, or as a row names what the provider put into a sentence.
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
    """The stage at which an answer that ended for this reason was refused; None where it was not."""
    return refusal_stage(service, reason) or refusal_stage(_ANY, f"finish:{reason.strip()}")


def refusal_codes(service: str) -> frozenset[str]:
    """All codes in lower case that are refusals of this service, whatever the HTTP status."""
    rows = (row for row in _rows(service, shared=False) if row.meaning in STAGES)
    return frozenset((row.name or row.code).casefold() for row in rows if row.says or not row.status)


@lru_cache(maxsize=64)
def _rows(service: str, shared: bool = True) -> tuple[Row, ...]:
    """The rows of a service in their order; with `shared`, those of all services behind them."""
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
    """One entry of vocabulary.yaml.

    Raises:
        ValueError: a meaning or a field that there is none of. The file ships with overt.
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
