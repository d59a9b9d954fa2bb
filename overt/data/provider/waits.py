"""How long a service asks to wait: in headers, in the body, in its sentence."""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import Mapping
from datetime import datetime

LONGEST_S = 7 * 86_400.0  # limits of a week exist; what is longer is no waiting time
_EPOCH = 1e9  # a number beyond it is a point in time, and beyond a thousand times it one in milliseconds

_UNITS = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_PART = re.compile(
    r"(\d+(?:\.\d+)?)\s*(?:(ms|millis(?:econds?)?)|(d)(?:ays?)?|(h)(?:ours?|rs?)?|(m)(?:in(?:ute)?s?)?"
    r"|(s)(?:ec(?:ond)?s?)?)(?![a-z])",
    re.IGNORECASE,
)
_DURATION = re.compile(rf"\s*(?:{_PART.pattern}[\s,]*(?:and\s+)?){{1,5}}", re.IGNORECASE)
_SAID = re.compile(
    r"(?:(?:try|retry|request|send it|again|wait|come back|resets?|available|reset)\b[^.\d]{0,30}?"
    r"\b(?:in|after|for|another)|please wait)\s+(?:about |approximately |at least )?(?=\d)",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_LIMITS = re.compile(r"(?:x-|anthropic-)?rate-?limit-(.*)")


def duration(text: str) -> float | None:
    """The seconds in a text such as `8`, `34.07s`, `850ms`, `6m0s`, `1 hour and 2 minutes`; None if it holds
    something else."""
    text = text.strip()
    if _NUMBER.fullmatch(text):
        return _bounded(float(text))
    if not _DURATION.fullmatch(text):
        return None
    total = 0.0
    for number, millis, *units in _PART.findall(text):
        total += float(number) * _UNITS["ms" if millis else "".join(units).lower()]
    return _bounded(total)


def in_words(message: str) -> float | None:
    """The waiting time in a sentence such as "Please try again in 1.2s". A number alone is in seconds."""
    for found in _SAID.finditer(message):
        rest = message[found.end() :]
        if told := _DURATION.match(rest):
            return duration(told[0].strip(" ,").removesuffix("and"))
        if number := _NUMBER.match(rest):
            return _bounded(float(number[0]))
    return None


def moment(text: str, now: float | None = None) -> float | None:
    """The seconds until a point in time: a date of HTTP or ISO 8601, or seconds or milliseconds since 1970. A
    small number or a duration is the waiting time itself."""
    at: float | None
    if (wait := duration(text)) is not None:
        return wait
    if _NUMBER.fullmatch(text.strip()):
        at = float(text)
        at = at / 1000 if at > _EPOCH * 1000 else at
    else:
        at = _date(text)
    if at is None or at < _EPOCH:
        return None
    return _bounded(max(0.0, at - (time.time() if now is None else now)))


def _date(text: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError):
        pass
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def of_limits(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """The waiting time that headers of rate limits name: until the last of the limits with nothing left is
    reset; where none says what is left, until the first is reset."""
    left: dict[str, str] = {}
    resets: dict[str, float] = {}
    for name, value in headers.items():
        if not (found := _LIMITS.fullmatch(name.lower())):
            continue
        rest = found[1]
        what = rest.replace("remaining", "").replace("reset", "").strip("-")
        if "remaining" in rest:
            left[what] = value.strip()
        elif "reset" in rest and (wait := moment(value, now)) is not None:
            resets[what] = wait
    spent = [wait for what, wait in resets.items() if _is_none(left.get(what))]
    if spent:
        return max(spent)
    unknown = [wait for what, wait in resets.items() if what not in left]
    return min(unknown) if unknown else None


def _is_none(left: str | None) -> bool:
    try:
        return left is not None and float(left) <= 0
    except ValueError:
        return False


def _bounded(seconds: float) -> float | None:
    return seconds if 0 <= seconds <= LONGEST_S else None
