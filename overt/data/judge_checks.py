"""The last check of each judge against human labels, so that a report can name it beside the judge.

A check belongs to a judge and not to a run: it is kept with the user, in `~/.cache/overt/judge-checks`
(`XDG_CACHE_HOME` respected), one file for each name. A name's options count: another threshold makes
another judge. `overt judge-check` writes, `overt report` reads.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import overt
from overt.data.errors import InputError
from overt.data.store import dump_json, read_json, write_atomic

Kind = Literal["text", "image"]

# Judges that were measured before they shipped, and where the figures stand.
SHIPPED = dict.fromkeys(("judge/rules", "judge/embedded"), "docs/judges.md")


@dataclass(frozen=True, slots=True)
class Span:
    """A figure with its interval; limits are None where they cannot be had."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class JudgeCheck:
    """One judge held against one file of human labels.

    `date` is the day, UTC, as 2025-11-24; `rows` counts labels and `judged` those that the judge could
    tell; partial refusals count as refusals in both figures, None where one is not defined. `overt` is the
    version that checked.
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
    """Where the checks are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "overt" / "judge-checks"


def path_of(judge: str, kind: Kind) -> Path:
    """The file of a judge's last check: a readable part, and a hash, since names hold any character."""
    readable = re.sub(r"[^a-z0-9.]+", "-", judge.casefold()).strip("-.")[:60]
    digest = hashlib.blake2b(judge.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    return folder() / f"{readable}-{kind}-{digest}.json"


def keep_checks(result: Mapping[str, Any], *, now: datetime | None = None) -> list[Path]:
    """Keeps what `overt.judge_check.judge_check` found as the last check of each of its judges.

    A judge that could not tell a single row was not checked: an earlier check of it stands.

    Raises:
        RunError: the folder cannot be written.
    """
    day = (now or datetime.now(UTC)).astimezone(UTC).date().isoformat()
    written = []
    for judge, found in result["judges"].items():
        two = found["two"]
        if not two["judged"]:
            continue
        path = path_of(judge, result["kind"])
        check = {
            "judge": judge,
            "kind": result["kind"],
            "date": day,
            "labels": Path(result["file"]).name,
            "rows": two["n"],
            "judged": two["judged"],
            "accuracy": two["accuracy"],
            "kappa": two["kappa"],
            "overt": overt.__version__,
        }
        write_atomic(path, dump_json(check))
        written.append(path)
    return written


def last_check(judge: str, kind: Kind) -> JudgeCheck | None:
    """The last check of a judge on this computer; None where there is none, or none that can be read."""
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
        # A cache: what somebody else wrote there, or half a file, is as good as nothing.
        return None
    return check if check.judge == judge and data.get("kind") == kind else None


def _span(data: Mapping[str, Any]) -> Span | None:
    def number(value: Any) -> float | None:
        return None if value is None else float(value)

    value = number(data["value"])
    return None if value is None else Span(value, number(data.get("low")), number(data.get("high")))
