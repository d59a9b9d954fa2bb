"""Formats figures and untrusted text for the terminal, Markdown and HTML.

Unknown figures become "-" (or "" if the docstring says so), never NaN.
"""

from __future__ import annotations

import html
import json
import math
import re
import unicodedata
from typing import Protocol, TypeGuard

STATES = {
    "refused": "refused",
    "generated": "let through",
    "softened": "softened",
    "error": "error",
}
STAGES = {
    "prompt_filter": "prompt filter",
    "input_filter": "filter of the input picture",
    "model": "model",
    "image_filter": "image filter",
}
KINDS = {
    "image": "draws images",
    "text": "answers in text",
    "none": "bare filter: nothing is drawn",
}

# Control, direction and other invisible marks, surrogates, noncharacters and tag characters. The joiners
# (U+200C, U+200D) stay, because Persian, Indic scripts and emoji need them.
_SUSPECT = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufdd0-\ufdef"
    "\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff\U000e0000-\U000e0fff]"
)


_FORMULA = frozenset("=+-@|%\u2212\u00ac")
_SPLITTING = frozenset("\t\r\n\v\f\x1c\x1d\x1e\x85")
_BEFORE_FORMULA = re.compile(r"[\s\x00-\x20\u200c\u200d'\"`\u2018\u2019\u201c\u201d\u00ab\uff07\uff02]*")


class Limits(Protocol):
    """A rate, a difference or a mean with its interval. An unknown limit is None or NaN."""

    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...


# -- untrusted text ---------------------------------------------------------------------------------------


def plain(text: str) -> str:
    """One line that is safe to print, without control and format characters (escape codes, bidi marks)."""
    kept = (" " if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} else c for c in text)
    return " ".join("".join(kept).split())


def visible(text: object) -> str:
    """The text with every character that hides or reorders others replaced by its number, "[U+202E]".

    A reviewer sees the mark but not its effect.
    """
    return _SUSPECT.sub(lambda mark: f"[U+{ord(mark[0]):04X}]", str(text))


def visible_json(text: str) -> str:
    """JSON text with an escape for every such character, which reads back as the same data."""
    return _SUSPECT.sub(lambda mark: json.dumps(mark[0])[1:-1], text)


def short(text: object, length: int) -> str:
    """One line of at most `length` characters."""
    line = " ".join(visible(text).split())
    return line if len(line) <= length else line[: length - 1] + "…"


def short_name(text: object, length: int) -> str:
    """Like `short`, but cuts in the middle, since names often differ only in their last option."""
    line = " ".join(visible(text).split())
    if len(line) <= length:
        return line
    tail = (length - 1) * 3 // 5
    return f"{line[: length - 1 - tail]}…{line[-tail:]}"


def begins_like_formula(text: str) -> bool:
    """Whether a spreadsheet may run a cell as a formula, or would once it has dropped a leading quote."""
    if not text:
        return False
    start = _BEFORE_FORMULA.sub("", _SUSPECT.sub("", text), count=1)[:1]
    return text[0] in _SPLITTING or bool(start and unicodedata.normalize("NFKC", start) in _FORMULA)


def guarded(text: str) -> str:
    """The text as a cell that no spreadsheet runs as a formula: with an apostrophe before it, if it begins
    like one. `without_guard` takes it away.

    After OWASP's page on CSV injection. Spreadsheets skip white space and marks that nobody sees, take the
    full-width forms for the plain ones, and split a cell at a tab or a line's end.
    """
    return f"'{text}" if begins_like_formula(text) else text


def without_guard(text: str) -> str:
    """A text as it was before `guarded`."""
    return text[1:] if text.startswith("'") and begins_like_formula(text[1:]) else text


# -- text as rules and lists of words read it ------------------------------------------------------------


def _numbered(ranges: str) -> dict[str, str]:
    """Characters, and ranges of them by number, that are left out."""
    found: dict[str, str] = {}
    for part in ranges.split():
        first, _, last = part.partition("-")
        found |= {chr(n): "" for n in range(int(first, 16), int(last or first, 16) + 1)}
    return found


# Unicode's Default_Ignorable_Code_Point (the tag characters in one range below), strokes through letters, and
# the vowel marks and the stretching line of Arabic, which most writers leave out.
_LEFT_OUT = _numbered(
    "AD 34F 61C 115F-1160 17B4-17B5 180B-180F 200B-200F 202A-202E 2060-206F 3164 FE00-FE0F FEFF FFA0"
    " FFF0-FFF8 335-338 20D0-20F0 640 64B-652 670 1BCA0-1BCA3 1D173-1D17A"
)
_FOLDS: dict[str, str] = (
    _LEFT_OUT
    | dict.fromkeys("’‘‛ʼʻʽʹˈˊˋ′‵´＇ꞌ՚׳", "'")
    | dict.fromkeys("“”„‟«»‹›″＂「」『』｢｣〝〞", '"')
    | dict.fromkeys("‐‑‒−﹣－", "-")
    | dict.fromkeys("–—―⸺﹘", " - ")
    | {"ı": "i", "İ": "I", "ё": "е", "Ё": "Е"}  # letters that people write either way
)
_ODD = re.compile(f"[{re.escape(''.join(_FOLDS))}\U000e0000-\U000e0fff]")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
_BACKTICK = re.compile(r"(?<=[^\W\d_])`(?=[^\W\d_])")
# UTF-8 that was read as Windows-1252 or Latin-1.
_MOJIBAKE = (("â€™", "'"), ("â\x80\x99", "'"), ("â€˜", "'"), ("â€œ", '"'), ("â€", '"'), ("Â\u00a0", " "))


def folded(text: str) -> str:
    """The text as rules and lists of words read it, whatever its typography. Case and line ends stay.

    HTML entities and escapes are read; characters that show nothing are left out; apostrophes, quotation
    marks, hyphens and dashes become those of ASCII; full-width, ligature and mathematical letters become
    plain ones (NFKC). Linear in the text's length; plain ASCII comes back as it is.
    """
    if "&" in text:
        text = _ENTITY.sub(lambda entity: html.unescape(entity[0]), text)
        if "&" in text:  # escaped twice
            text = _ENTITY.sub(lambda entity: html.unescape(entity[0]), text)
    if "\\u" in text:
        text = _ESCAPE.sub(lambda escape: chr(int(escape[1], 16)), text)
    if "`" in text:
        text = _BACKTICK.sub("'", text)
    if text.isascii():
        return text
    if "â" in text or "Â" in text:
        for wrong, right in _MOJIBAKE:
            text = text.replace(wrong, right)
    text = _ODD.sub(lambda odd: _FOLDS.get(odd[0], ""), text)
    return text if unicodedata.is_normalized("NFKC", text) else unicodedata.normalize("NFKC", text)


# -- figures ----------------------------------------------------------------------------------------------


def is_figure(value: object) -> TypeGuard[float]:
    """Whether the value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def percent(value: float | None, *, sign: bool = True) -> str:
    """A fraction as a percentage with one decimal."""
    if not is_figure(value):
        return "-"
    figure = f"{100 * value:.1f}"
    figure = "0.0" if figure == "-0.0" else figure
    return f"{figure}%" if sign else figure


def short_percent(value: float) -> str:
    """A fraction in percent, with no more digits than it needs: "5%"."""
    return f"{100 * value:.4g}%"


def percent_limits(limits: Limits | None) -> tuple[str, str] | None:
    """The limits of a rate or a difference in percent or points, ("10.9", "13.8"); None if unknown."""
    if limits is None or not (is_figure(limits.low) and is_figure(limits.high)):
        return None
    return percent(limits.low, sign=False), percent(limits.high, sign=False)


def interval(limits: Limits | None) -> str:
    """The interval of a rate or a difference in percent or points, "10.9 to 13.8"; "" if unknown."""
    return " to ".join(percent_limits(limits) or ())


def points(value: float | None) -> str:
    """A difference of fractions in percentage points, with its sign."""
    if not is_figure(value):
        return "-"
    figure = f"{100 * value:+.1f}"
    return "0.0" if figure in {"+0.0", "-0.0"} else figure.replace("-", "\u2212")


def p_value(value: float | None) -> str:
    """A p-value with three decimals, or "<0.001"."""
    if not is_figure(value):
        return "-"
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def decimals(value: float | None, digits: int = 3) -> str:
    """A plain figure such as a correlation or a threshold; "∞" for infinity."""
    if isinstance(value, float) and math.isinf(value):
        return "∞" if value > 0 else "\u2212∞"
    return f"{value:.{digits}f}".replace("-", "\u2212") if is_figure(value) else "-"


def mean_limits(limits: Limits | None, digits: int = 3) -> tuple[str, str] | None:
    """The limits of a mean in the mean's own unit, ("0.102", "0.145"); None if unknown."""
    if limits is None or not (is_figure(limits.low) and is_figure(limits.high)):
        return None
    return decimals(limits.low, digits), decimals(limits.high, digits)


def mean_interval(limits: Limits | None, digits: int = 3) -> str:
    """The interval of a mean in the mean's own unit, "0.102 to 0.145"; "" if unknown."""
    return " to ".join(mean_limits(limits, digits) or ())


def signed(value: float | None, digits: int = 3) -> str:
    """A difference in its own unit, with its sign."""
    if not is_figure(value):
        return "-"
    figure = f"{value:+.{digits}f}"
    return figure[1:] if not figure.strip("+-0.") else figure.replace("-", "\u2212")


def duration(seconds: float | None) -> str:
    """Seconds as "5.0 s", "2 min 5 s" or "1 h 2 min"."""
    if not is_figure(seconds):
        return "-"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def money(cost: float | None) -> str:
    """US dollars with four decimals below one dollar; a dash for zero."""
    return "-" if not cost else f"{cost:,.4f}" if cost < 1 else f"{cost:,.2f}"


# -- the distance of two texts -------------------------------------------------------------------------------


_WORD = re.compile(r"[^\W_]+(?:['’\-][^\W_]+)*")


def words(text: str) -> list[str]:
    """The words of a text in lower case, with inner hyphens and apostrophes but no other punctuation."""
    return _WORD.findall(text.lower())


def changed_words(a: str, b: str) -> int:
    """Word-level edit distance (Levenshtein over `words`): insert, delete and replace each cost 1.

    Case and punctuation do not count. Time and memory are O(len(a) * len(b)) and O(len(b)) words.
    """
    left, right = words(a), words(b)
    # Twins mostly share a beginning and an end, which need no table.
    while left and right and left[0] == right[0]:
        left, right = left[1:], right[1:]
    while left and right and left[-1] == right[-1]:
        left, right = left[:-1], right[:-1]
    row = list(range(len(right) + 1))
    for i, word in enumerate(left, start=1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(right, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
    return row[-1]


# -- text that can be encoded --------------------------------------------------------------------------------


def encodable(text: str) -> str:
    """The text with "?" for each lone surrogate, which UTF-8 cannot encode."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def writable(text: str) -> str:
    """The text as a file may hold it: `encodable`, and with "?" for each NUL, at which many readers stop."""
    return encodable(text).replace("\0", "?")
