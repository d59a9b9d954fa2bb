"""Keeps the last check of each judge against human labels, for reports.

The checks are in `~/.cache/overt/judge-checks` (`XDG_CACHE_HOME` respected), one file for each judge's name
with its options. `overt judge-check` writes them and `overt report` reads them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from overt.data.errors import InputError
from overt.data.run.files import dump_json, read_json, write_atomic

Kind = Literal["text", "image"]

# The judges that are measured in the documentation, and the file with their figures.
SHIPPED = dict.fromkeys(("judge/rules", "judge/embedded"), "docs/judges.md")


@dataclass(frozen=True, slots=True)
class Span:
    """A figure with its interval; unknown limits are None."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class JudgeCheck:
    """One judge compared with one file of human labels.

    `date` is the day in UTC, as 2025-11-24; `rows` counts labels and `judged` those that the judge could
    decide. Partial refusals count as refusals; undefined figures are None. `overt` is the version.
    """

    judge: str
    kind: Kind
    date: str
    labels: str
    rows: int
    judged: int
    accuracy: Span | None
    kappa: Span | None
    overt: str


def folder() -> Path:
    """The folder of the checks."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "overt" / "judge-checks"


def path_of(judge: str, kind: Kind) -> Path:
    """The file of a judge's last check. Its name has a hash, since a judge's name may hold any character."""
    readable = re.sub(r"[^a-z0-9.]+", "-", judge.casefold()).strip("-.")[:60]
    digest = hashlib.blake2b(judge.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    return folder() / f"{readable}-{kind}-{digest}.json"


def keep_checks(checks: Iterable[JudgeCheck]) -> list[Path]:
    """Writes each check as the last one of its judge, and returns the files.

    If the judge decided no row, its earlier check stays.

    Raises:
        RunError: the folder cannot be written.
    """
    undefined = {"value": None, "low": None, "high": None}
    written = []
    for check in checks:
        if not check.judged:
            continue
        figures = {
            name: undefined if span is None else dataclasses.asdict(span)
            for name, span in (("accuracy", check.accuracy), ("kappa", check.kappa))
        }
        path = path_of(check.judge, check.kind)
        write_atomic(path, dump_json(dataclasses.asdict(check) | figures))
        written.append(path)
    return written


def last_check(judge: str, kind: Kind) -> JudgeCheck | None:
    """The last check of a judge on this computer; None if it is missing or unreadable."""
    path = path_of(judge, kind)
    try:
        data = read_json(path)
        check = JudgeCheck(
            judge=str(data["judge"]),
            kind=kind,
            date=datetime.fromisoformat(data["date"]).date().isoformat(),
            labels=str(data["labels"]),
            rows=int(data["rows"]),
            judged=int(data["judged"]),
            accuracy=_span(data["accuracy"]),
            kappa=_span(data["kappa"]),
            overt=str(data.get("overt", "")),
        )
    except (InputError, KeyError, TypeError, ValueError, AttributeError):
        # It is only a cache, so an invalid file counts as missing.
        return None
    return check if check.judge == judge and data.get("kind") == kind else None


def _span(data: Mapping[str, object]) -> Span | None:
    value = _number(data["value"])
    return None if value is None else Span(value, _number(data.get("low")), _number(data.get("high")))


def _number(value: object) -> float | None:
    if value is None:
        return None
    if not isinstance(value, (int, float)):
        raise TypeError(f"{value!r} is not a number")
    return float(value)
