"""The format of Answer-Then-Check (ReSA, arXiv 2509.11629): a summary of the intended answer, a check of its
safety, then what the user sees.

Everything up to the closing tag of the check is thought. An answer without that tag has no final answer: it
is a failure of the format, never a refusal.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from overt.data.thinking import thoughts_in

CHECK, SUMMARY = "safety_check", "intended_answer_summary"
# The fixed answer of the paper where the check finds the intended answer unsafe (figure 3).
FIXED_REFUSAL = "Sorry, I cannot answer as it violates my output policy."
OPENS = (
    f"<{CHECK}> I'll create an answer planning idea and verify its safety. The planning idea is as follows:"
)
TURNS = "But wait, let me check if the planning idea is safe."


@dataclass(frozen=True, slots=True)
class Checked:
    """An answer in the format. `summary` and `analysis` are the thought, `final` is what the user sees."""

    summary: str
    analysis: str
    final: str


@dataclass(frozen=True, slots=True)
class NotInForm:
    """Why a text is not in the format. `final` is what stands behind the check, where the check ends."""

    why: str
    final: str | None = None


_WHOLE = re.compile(
    rf"\A\s*<{CHECK}>(?P<before>.*?)<{SUMMARY}>(?P<summary>.*?)</{SUMMARY}>(?P<analysis>.*?)</{CHECK}>(?P<final>.*)\Z",
    re.DOTALL,
)
_TAGS = (f"<{CHECK}>", f"<{SUMMARY}>", f"</{SUMMARY}>", f"</{CHECK}>")
# The same as a model may miswrite them, which is no plain answer either.
_LIKE_TAGS = re.compile(rf"(?:<|&lt;)\s?/?\s?(?:{CHECK}|{SUMMARY})\b", re.IGNORECASE)
_AS_ENTITIES = re.compile(rf"&lt;(/?(?:{CHECK}|{SUMMARY}))&gt;")


def read_checked(text: str) -> Checked | NotInForm:
    """Reads an answer: every tag once, in order, and something in each part. A reasoning model's own thinking
    may stand before them, and the tags may be HTML entities, as some gateways send them."""
    text = _from_the_check_on(_with_tags(text))
    missing = [tag for tag in _TAGS if tag not in text]
    final = text.rpartition(f"</{CHECK}>")[2].strip() if _TAGS[-1] in text else None
    if missing:
        return NotInForm(f"{missing[0]} is missing", final)
    if twice := [tag for tag in _TAGS if text.count(tag) > 1]:
        return NotInForm(f"{twice[0]} stands in it {text.count(twice[0])} times", final)
    found = _WHOLE.match(text)
    if found is None:
        return NotInForm("the tags are not in their order, or something stands before them", final)
    parts = {name: found[name].strip() for name in ("summary", "analysis", "final")}
    parts["analysis"] = parts["analysis"].removeprefix(TURNS).strip()
    if empty := [name for name, words in parts.items() if not words]:
        return NotInForm(f"the {empty[0]} is empty", final)
    return Checked(**parts)


def split_at_check(text: str) -> tuple[str, str]:
    """What stands before the end of the check, without the tag that opens it, and what stands behind it; ""
    and the text where no check ends."""
    before, _, final = _with_tags(text).rpartition(f"</{CHECK}>")
    return before.replace(f"<{CHECK}>", "", 1).strip(), final


def _with_tags(text: str) -> str:
    """The text with its tags as tags, where all of them are HTML entities."""
    if "&lt;" not in text or any(tag in text for tag in _TAGS):
        return text
    return _AS_ENTITIES.sub(r"<\1>", text)


def _from_the_check_on(text: str) -> str:
    """The text without thinking in other marks before the check."""
    at = 0
    if not text.lstrip().startswith(f"<{CHECK}>"):
        for thought in thoughts_in(text):
            is_next = not text[at : thought.start].strip() and thought.is_closed
            if not is_next or text.endswith(f"</{CHECK}>", thought.start, thought.end):
                break
            at = thought.end
    return text[at:]


def has_tags(text: str) -> bool:
    """Whether any tag of the format stands in a text, however it is written; without one it is a plain
    answer."""
    # Of a million answers most have neither.
    return ("<" in text or "&lt;" in text) and _LIKE_TAGS.search(text) is not None


def written(checked: Checked) -> str:
    """The text of an answer in the format, as models are trained on it."""
    summary = f"<{SUMMARY}>\n{checked.summary}\n</{SUMMARY}>"
    return f"{OPENS}\n{summary}\n{TURNS} {checked.analysis}</{CHECK}>\n{checked.final}"
