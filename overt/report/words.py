"""Figures and hostile text, written so that a person can read them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard

STATES = {
    "refused": "refused",
    "generated": "let through",
    "softened": "softened",
    "error": "error",
}
STAGES = {"prompt_filter": "prompt filter", "model": "model", "image_filter": "image filter"}
KINDS = {
    "image": "draws images",
    "text": "answers in text",
    "none": "bare filter: nothing is drawn",
}

# Control, direction and other invisible marks, surrogates, noncharacters and tag characters. The joiners
# (U+200C, U+200D) stay: Persian, Indic scripts and emoji cannot be written without them.
_SUSPECT = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufdd0-\ufdef"
    "\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff\U000e0000-\U000e0fff]"
)


def visible(text: object) -> str:
    """The text with every character that hides or reorders others written as its number, "[U+202E]".

    A reviewer must see that such a mark is there, and must not see what it does.
    """
    return _SUSPECT.sub(lambda found: f"[U+{ord(found[0]):04X}]", str(text))


def short(text: object, length: int) -> str:
    """One line of at most `length` characters."""
    line = " ".join(visible(text).split())
    return line if len(line) <= length else line[: length - 1] + "…"


def short_name(text: object, length: int) -> str:
    """Like `short`, cut in the middle: names of one filter often differ in their last option only."""
    line = " ".join(visible(text).split())
    if len(line) <= length:
        return line
    tail = (length - 1) * 3 // 5
    return f"{line[: length - 1 - tail]}…{line[-tail:]}"


def has_words(targets: Iterable[Mapping[str, Any]]) -> bool:
    """Whether any of them is a language model."""
    return any(target.get("kind") == "text" for target in targets)


def has_pictures(targets: Iterable[Mapping[str, Any]]) -> bool:
    """Whether any of them draws."""
    return any(target.get("kind", "image") == "image" for target in targets)


def is_figure(value: object) -> TypeGuard[float]:
    """Whether it is a number that can be shown: not None, NaN or infinite."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def percent(value: Any, *, sign: bool = True) -> str:
    """A fraction as a percentage with one decimal, "-" for none."""
    if not is_figure(value):
        return "-"
    figure = f"{100 * value:.1f}"
    figure = "0.0" if figure == "-0.0" else figure
    return f"{figure}%" if sign else figure


def interval(rate: Mapping[str, Any] | None) -> str:
    """The interval of a rate or a difference in percent or points, "10.9 to 13.8"; "" for none."""
    if not rate or not (is_figure(rate.get("low")) and is_figure(rate.get("high"))):
        return ""
    return f"{percent(rate['low'], sign=False)} to {percent(rate['high'], sign=False)}"


def points(value: Any) -> str:
    """A difference of fractions in percentage points, with its sign."""
    if not is_figure(value):
        return "-"
    figure = f"{100 * value:+.1f}"
    return "0.0" if figure in {"+0.0", "-0.0"} else figure.replace("-", "\u2212")


def p_value(value: Any) -> str:
    """A p-value with three decimals, or that it lies below them."""
    if not is_figure(value):
        return "-"
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def decimals(value: Any, digits: int = 3) -> str:
    """A plain figure such as a correlation or a threshold; "-" for none, "∞" for infinity."""
    if isinstance(value, float) and math.isinf(value):
        return "∞" if value > 0 else "\u2212∞"
    return f"{value:.{digits}f}".replace("-", "\u2212") if is_figure(value) else "-"


def mean_interval(mean: Mapping[str, Any] | None, digits: int = 3) -> str:
    """The interval of a mean in the mean's own unit, "0.102 to 0.145"; "" for none."""
    if not mean or not (is_figure(mean.get("low")) and is_figure(mean.get("high"))):
        return ""
    return f"{decimals(mean['low'], digits)} to {decimals(mean['high'], digits)}"


def signed(value: Any, digits: int = 3) -> str:
    """A difference in its own unit, with its sign; "-" for none."""
    if not is_figure(value):
        return "-"
    figure = f"{value:+.{digits}f}"
    return figure[1:] if not figure.strip("+-0.") else figure.replace("-", "\u2212")


def duration(seconds: Any) -> str:
    """Seconds as a person would say them."""
    if not is_figure(seconds):
        return "-"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
