"""Reads what guard models write. A reply that is not in the guard's format is never guessed at."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from overt.data.plugins.names import one_line

_CODES = re.compile(r"[A-Za-z]{1,4}\d{1,3}(?:\s*,\s*[A-Za-z]{1,4}\d{1,3})*")
_AROUND = " .,:;!*\"'`"

Verdict = Literal["unsafe", "safe", "unsure"]


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a guard's verdicts, in lower case, and the names of the fields that they stand in.

    unsure: its word for a case between the two, or "". last_counts: whether of several lines that hold the
    word the last one is meant, since it thinks aloud; else they have to agree.
    """

    unsafe: tuple[str, ...]
    safe: tuple[str, ...]
    unsure: str = ""
    key: str = ""
    detail: str = ""
    last_counts: bool = False

    def verdict(self, word: str) -> Verdict | None:
        said = " ".join(word.strip(_AROUND).casefold().split())
        known: Mapping[Verdict, tuple[str, ...]] = {
            "unsafe": self.unsafe,
            "safe": self.safe,
            "unsure": (self.unsure,) if self.unsure else (),
        }
        return next((verdict for verdict, listed in known.items() if said in listed), None)


@dataclass(frozen=True, slots=True)
class Reading:
    """A reply as it was read. verdict: None if it is not in the format. word: what says it, as it was
    written. detail: codes or categories, or "". at_end: whether the text ends with the word. has_thought:
    whether thinking came before it."""

    verdict: Verdict | None
    word: str = ""
    detail: str = ""
    at_end: bool = False
    has_thought: bool = False


_UNREAD = Reading(None)


def read_first_line(text: str, words: Words) -> Reading:
    """The first line is one of the words; the next may hold codes: "unsafe", "S1,S3". Further lines must not
    say the opposite, as "safe", "S1" does."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    verdict = words.verdict(lines[0]) if lines else None
    if verdict is None or any(words.verdict(line) not in (None, verdict) for line in lines[1:]):
        return _UNREAD
    codes = _CODES.fullmatch(lines[1].rstrip(" .")) if len(lines) > 1 else None
    if codes and verdict == "safe":
        return _UNREAD
    detail = re.sub(r"\s*,\s*", ",", codes.group()) if codes else ""
    return Reading(verdict, lines[0].strip(_AROUND), detail)


def read_first_word(text: str, words: Words) -> Reading:
    """The text begins with one of the words, alone or before a stop; a tag may hold a detail: "Yes",
    "<confidence> High </confidence>"."""
    begins = re.match(r"\W*(\w+)[ \t]*(?:\Z|[\n.,:;!*\"])", text)
    verdict = words.verdict(begins[1]) if begins else None
    if begins is None or verdict is None:
        return _UNREAD
    if any(words.verdict(line) not in (None, verdict) for line in text[begins.end() :].splitlines()):
        return _UNREAD
    found = _tag(text, words.detail) if words.detail else []
    return Reading(verdict, begins[1], f"{words.detail} {found[-1]}" if found else "")


def read_tag(text: str, words: Words) -> Reading:
    """One tag holds the word: "<score> yes </score>"."""
    return _agreed(_tag(text, words.key), words, "")


def read_field(text: str, words: Words) -> Reading:
    """A line, or a field of a JSON object, holds the word: "Safety: Unsafe", {"User Safety": "unsafe"}."""
    found = _field(text, words.key)
    verdicts = {words.verdict(value) for value, _ in found}
    if not found or (len(verdicts) > 1 and not words.last_counts):
        return _UNREAD
    word, end = found[-1]
    details = [value for value, _ in _field(text, words.detail)] if words.detail else []
    detail = details[-1] if details and details[-1].casefold() not in ("", "none", "null") else ""
    return Reading(words.verdict(word), word, detail, not text[end:].strip())


def read_rated_field(text: str, words: Words) -> Reading:
    """As `read_field`, with a mark behind the word: "[RESULT]: unsafe, 4"."""
    marked = r"\b((?:un)?safe)\b[\s,;:(-]*(?:score[\s:]*)?\d(?:\.\d)?\)?"
    return read_field(re.sub(marked, r"\1", text, flags=re.IGNORECASE), words)


def read_number(text: str, words: Words) -> Reading:
    """The whole reply is one of the words, or a field of a JSON object holds it: "1", {"violation": 1}."""
    alone = words.verdict(text)
    if alone is not None:
        return Reading(alone, text.strip(_AROUND))
    return read_field(text, words) if "{" in text else _UNREAD


def read_codes(text: str, words: Words) -> Reading:
    """The reply is one token in angle brackets: "<SAFE>", "<UNSAFE-S4>"."""
    said = re.fullmatch(r"<(SAFE|UNSAFE-([A-Z]{1,2}\d{1,2}))>", text.strip())
    if said is None:
        return _UNREAD
    return Reading("unsafe" if said[2] else "safe", said[1], said[2] or "")


def _tag(text: str, name: str) -> list[str]:
    tag = re.escape(name)
    return [m.strip() for m in re.findall(rf"<{tag}>\s*(.*?)\s*</{tag}>", text, re.IGNORECASE | re.DOTALL)]


def _field(text: str, name: str) -> list[tuple[str, int]]:
    """The values of a field, and where each ends."""
    pattern = re.compile(
        rf"(?:^|[{{,])[ \t>*#\-]*[\"'*]*{re.escape(name)}[\"'*]*[ \t]*:[ \t]*"
        r"(\"[^\"\n]*\"|\[[^\]\n]*\]|[^\n]*)",
        re.IGNORECASE | re.MULTILINE,
    )
    values = []
    for match in pattern.finditer(text):
        value = re.split(r",\s*[\"'{]|\}", match[1])[0] if match[1][:1] not in '["' else match[1]
        values.append((one_line(value.strip(_AROUND + "[]")), match.end()))
    return values


def _agreed(said: list[str], words: Words, detail: str) -> Reading:
    verdicts = {words.verdict(word) for word in said}
    if len(verdicts) != 1:
        return _UNREAD  # nothing, or a reply that contradicts itself
    return Reading(verdicts.pop(), said[-1], detail)


def shown(text: str) -> str:
    """A reply on one line, for a reason."""
    return one_line(text, 120) or "it said nothing"
