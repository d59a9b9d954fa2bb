"""Tells the thinking in a model's text from the answer that a user would see.

Only this module knows how models mark their thinking. A new form is one row of `THINKING_FORMS`.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

_LT, _GT = r"(?:<|&lt;)", r"(?:>|&gt;)"  # some gateways send a tag as HTML entities
_AT_START = r"\A\s*"
_HARMONY = r"(?:<\|start\|>\s?assistant\s?)?<\|channel\|>\s?"
_RECIPIENT = r"[^<\n]{0,40}(?:<\|constrain\|>\s?\w{0,20}\s?)?"


class ThinkingForm(NamedTuple):
    """One way of marking thinking: what opens and what closes it, as regular expressions without case.

    `may_lack_opening`: many chat templates write the opening mark into the prompt, so that the text begins
    with the thinking and only the closing mark is in it. `in_words`: the marks are words; other marks begin
    with one of "<&[◁", which makes them quick to find.
    """

    opens: str
    closes: str
    may_lack_opening: bool = True
    in_words: bool = False


def between(opens: str, closes: str, *, may_lack_opening: bool = True) -> ThinkingForm:
    """A form with an opening and a closing mark. Without a closing mark the thinking reaches to the end."""
    return ThinkingForm(opens, closes, may_lack_opening)


def words(opens: str, closes: str, *, may_lack_opening: bool = False) -> ThinkingForm:
    """A form that begins a text with set words; case counts."""
    return ThinkingForm(rf"{_AT_START}(?:{opens})", closes, may_lack_opening, True)


def tags(names: str) -> ThinkingForm:
    """XML-like tags, with attributes: `<think>`, `<thinking type="hidden">`."""
    return between(rf"{_LT}(?:{names})(?:\s[^<>\n]{{0,80}})?{_GT}", rf"{_LT}/\s?(?:{names}){_GT}")


THINKING_FORMS: tuple[ThinkingForm, ...] = (
    tags("think(?:ing)?|thoughts?|(?:ant|longcat_|seed:|antml:)think(?:ing)?"),
    tags("reason(?:ing)?|thought_process"),
    tags("reflection"),
    tags("scratch_?pad"),
    tags("analysis"),
    tags("safety_check"),  # answer-then-check (overt/data/answer_then_check.py)
    tags("(?:inner|internal)_?monologue"),
    between(r'<details\s[^<>\n]{0,40}type="reasoning"[^<>\n]{0,80}>', r"</details>", may_lack_opening=False),
    between(r"\[THINK\]", r"\[/THINK\]"),  # Magistral
    between("◁think▷", "◁/think▷"),  # Kimi
    between(r"<\|(?:begin_of_thought|START_THINKING|start_thinking|inner_prefix)\|>",
            r"<\|(?:end_of_thought|END_THINKING|end_thinking|inner_suffix)\|>"),  # Sky-T1, Cohere, Apertus
    between(r"<\|think(?:ing)?\|>", r"<\|(?:/think(?:ing)?|content)\|>"),
    between(r"<\|channel>\s?thought", r"<channel\|>|<\|channel>\s?(?:response|final)\b",
            may_lack_opening=False),  # Gemma
    between(r"<unused94>", r"<unused95>"),
    between(r"<\|im_start\|>\s?think\b", r"<\|im_start\|>\s?answer\b", may_lack_opening=False),  # s1
    between(r"<\|open\|>\s?think\s?<\|sep\|>",
            r"<\|close\|>\s?think\s?<\|sep\|>(?:\s?<\|open\|>\s?response\s?<\|sep\|>)?"),  # Kimi K3
    # gpt-oss (harmony): every channel but the last, "final", is hidden.
    between(rf"{_HARMONY}(?:analysis|commentary)\b(?:{_RECIPIENT}<\|message\|>)?",
            rf"{_HARMONY}final\b{_RECIPIENT}(?:<\|message\|>)?"),
    # The same after a server dropped the marks: "analysisThe user asks ...assistantfinalI cannot".
    words(r"(?:<\|message\|>)?analysis(?=[A-Z\n\"'“]|[^\x00-\x7f])",
          r"assistant\s?\n*final(?=[\s\"'“*#A-Z0-9]|[^\x00-\x7f])", may_lack_opening=True),
    words(r"[Hh]ere(?:'s| is) my thought process:?", r"(?i:here(?:'s| is) my response:?)"),  # Granite
    words(r"Here are my reasoning steps:", r"\[BEGIN FINAL RESPONSE\]", may_lack_opening=True),  # Apriel
    words(r"Thinking\.\.\.[ \t]*\n", r"\.\.\.done thinking\."),  # Ollama
)  # fmt: skip


class ThinkingMessage(NamedTuple):
    """Models that think in a message of its own, behind which the answer comes in another one.

    token: a control token that only such models have. ends_message: the token that ends each message, the
    thinking too, and so not the answer. ends_answer: the tokens that do.
    """

    token: str
    ends_message: str
    ends_answer: tuple[str, ...] = ()


THINKING_MESSAGES = (
    ThinkingMessage("<|channel|>", "<|end|>", ("<|return|>", "<|call|>")),  # gpt-oss (harmony)
    ThinkingMessage("<|think|>", "<|end|>"),  # Solar Open
)

# Marks around the answer itself, left out where a text holds thinking.
_AROUND = re.compile(
    r"\A\s*(?:<(?:answer|response|output|solution|final_answer|final)>|<\|(?:begin_of_solution|begin_of_box|START_RESPONSE"
    r"|START_TEXT|start_response|message|begin|start)\|>(?:assistant)?(?:<\|content\|>)?)"
    r"|(?:\[END FINAL RESPONSE\]|</(?:answer|response|output|solution|final_answer|final)>"
    r"|<\|(?:end_of_solution|end_of_box|END_RESPONSE|END_TEXT|end_response|end|return|call|im_end|eot_id|endoftext)\|>|</s>|<｜end▁of▁sentence｜>)\s*\Z",
    re.IGNORECASE,
)
# Marks around an answer that are control tokens and a word: without the tokens the word would stay (Kimi K3).
_WORDED = re.compile(r"<\|(?:open|close)\|>\s?(?:response|message)\s?<\|sep\|>")
# No form occurs in a text without one of these; most answers have none. To look for one character is quick.
_HINTS = "<[▷&"
_BEGINNINGS = ("analysis", "here is my", "here's my", "here are my", "thinking...")
_SENTENCE_GOES_ON = re.compile(r"[a-z,;:] \Z")
_QUOTES = {"`": "`", '"': '"', "'": "'", "“": "”", "‘": "’", "«": "»", "「": "」"}
_FENCE, _TICKS = 1, 2
_NEAR = 40  # marks that are looked at for the end of inline code


class Thought(NamedTuple):
    """Thinking in a text: `text[start:end]` with tags, `words` without them."""

    start: int
    end: int
    words: str
    is_closed: bool


class _Mark(NamedTuple):
    start: int
    end: int
    form: int  # -1: a mark of code
    kind: int  # of forms: 0 opens, 1 closes; of code: _FENCE or _TICKS
    text: str


def thoughts_in(text: str) -> list[Thought]:
    """Finds the thinking in a text, in order, in linear time.

    A mark inside a code block, inline code or quotes is content and marks nothing, and so is one in the
    middle of a sentence ("the <think> tag is ...").
    """
    if not (
        any(map(text.__contains__, _HINTS))
        or "final" in text
        or text[:60].lstrip().lower().startswith(_BEGINNINGS)
    ):
        return []
    marks = _marks(text, THINKING_FORMS)
    if all(mark.form < 0 for mark in marks):
        return []
    return _Scan(text, marks).run()


def opened_thinking(beginning: str) -> str:
    """What a chat template puts before an answer, from the mark of thinking on that it leaves open; "" if it
    leaves none open.

    Args:
        beginning: the end of a prompt, behind the last message; nobody but the template wrote it.
    """
    marks = [mark for mark in _marks(beginning, THINKING_FORMS) if mark.form >= 0]
    for number, form in enumerate(THINKING_FORMS):
        if form.in_words:  # words begin an answer, and there they stand behind the mark of its turn
            bare = form.opens.removeprefix(_AT_START)
            opened = re.finditer(rf"(?:^|(?<=[>\]]))[ \t]*(?={bare})", beginning, re.MULTILINE)
            marks += [_Mark(m.end(), m.end(), number, 0, "") for m in opened]
    marks.sort()
    return beginning[marks[-1].start :] if marks and marks[-1].kind == 0 else ""


def marks_in(text: str) -> list[str]:
    """The marks of thinking in a text, as they stand there."""
    if not any(map(text.__contains__, _HINTS)):
        return []
    return [mark.text for mark in _marks(text, THINKING_FORMS) if mark.form >= 0]


def worded_marks_in(text: str) -> list[str]:
    """The marks around an answer in a text that hold a word; `without_worded_marks` leaves them out."""
    return _WORDED.findall(text)


def without_worded_marks(text: str) -> str:
    """A text without the marks around an answer that hold a word."""
    return _WORDED.sub("", text)


def without_marks(answer: str) -> str:
    """The answer without the marks that some models put around it."""
    for _ in range(3):
        shorter = _AROUND.sub("", answer)
        if shorter == answer:
            break
        answer = shorter
    return answer


@lru_cache(maxsize=8)
def _pattern(forms: tuple[ThinkingForm, ...]) -> re.Pattern[str]:
    """One pattern for all forms: group 2i + 1 opens form i, group 2i + 2 closes it; the last two are code."""
    never = "((?!))|((?!))"
    every = "|".join(never if form.in_words else f"({form.opens})|({form.closes})" for form in forms)
    return re.compile(f"(?=[<&\\[◁`~])(?:{every}|(`{{3,}}|~{{3,}})|(`+))", re.IGNORECASE)


def _marks(text: str, forms: tuple[ThinkingForm, ...]) -> list[_Mark]:
    found = []
    for match in _pattern(forms).finditer(text):
        form, kind = divmod((match.lastindex or 1) - 1, 2)
        start, end = match.span()
        if form < len(forms):
            found.append(_Mark(start, end, form, kind, match[0]))
        else:
            line = text[max(0, start - 20) : start].rpartition("\n")[2]
            is_fence = kind == 0 and not line.strip(" \t>")
            found.append(_Mark(start, end, -1, _FENCE if is_fence else _TICKS, match[0]))
    in_words = [(number, form) for number, form in enumerate(forms) if form.in_words]
    for number, worded in in_words:
        opened = re.match(worded.opens, text)
        if opened:
            found.append(_Mark(*opened.span(), number, 0, opened[0]))
        if opened or worded.may_lack_opening:
            closings = re.finditer(worded.closes, text)
            found += [_Mark(*match.span(), number, 1, match[0]) for match in closings]
    return sorted(found)


class _Scan:
    """One pass over the marks of a text."""

    def __init__(self, text: str, marks: Sequence[_Mark]) -> None:
        self._text, self._marks = text, marks
        self._closings: dict[int, list[int]] = {}  # form -> numbers of its closing marks
        for number, mark in enumerate(marks):
            if mark.form >= 0 and mark.kind == 1:
                self._closings.setdefault(mark.form, []).append(number)
        self._fences = [n for n, mark in enumerate(marks) if mark.form < 0 and mark.kind == _FENCE]
        self._found: list[Thought] = []

    def run(self) -> list[Thought]:
        at, in_cut_off_code = 0, False
        while at < len(self._marks):
            mark = self._marks[at]
            if mark.form < 0:
                end = self._code_end(at)
                in_cut_off_code = in_cut_off_code or (end is None and mark.kind == _FENCE)
                at = at + 1 if end is None else end + 1
            elif self._is_content(mark) or (in_cut_off_code and mark.kind == 0):
                at += 1
            elif mark.kind == 1:
                at += 1
                if THINKING_FORMS[mark.form].may_lack_opening and not self._goes_on(mark):
                    self._all_before(mark)
                    in_cut_off_code = False
            else:
                at = self._opened(at)
        return self._found

    def _opened(self, at: int) -> int:
        """Takes the thinking that a mark opens; returns the number of the next mark to look at."""
        mark = self._marks[at]
        closings = self._closings.get(mark.form, [])
        first = bisect_left(closings, at)
        for number in closings[first : first + _NEAR]:
            closing = self._marks[number]
            if not self._is_content(closing):
                words = self._text[mark.end : closing.start]
                self._found.append(Thought(mark.start, closing.end, words, True))
                return number + 1
        if self._goes_on(mark):
            return at + 1
        self._found.append(Thought(mark.start, len(self._text), self._text[mark.end :], False))
        return len(self._marks)

    def _all_before(self, mark: _Mark) -> None:
        """Everything before a closing mark without an opening one is thinking."""
        words, end = [], 0
        for thought in self._found:
            words += [self._text[end : thought.start], thought.words]
            end = thought.end
        words.append(self._text[end : mark.start])
        self._found = [Thought(0, mark.end, "\n\n".join(filter(None, map(str.strip, words))), True)]

    def _is_content(self, mark: _Mark) -> bool:
        """Whether the mark is quoted."""
        before = self._text[mark.start - 1 : mark.start]
        return before in _QUOTES and self._text[mark.end : mark.end + 1] == _QUOTES[before]

    def _goes_on(self, mark: _Mark) -> bool:
        """Whether the mark stands within a sentence that goes on behind it."""
        if not _SENTENCE_GOES_ON.search(self._text, max(0, mark.start - 2), mark.start):
            return False
        behind = self._text[mark.end : mark.end + 2]
        return behind[:1] in (",", ".", ")", "") or (behind[:1] == " " and not behind[1:].isupper())

    def _code_end(self, at: int) -> int | None:
        """The number of the mark that ends the code which begins at a mark, or None."""
        mark = self._marks[at]
        if mark.kind == _TICKS:
            for number in range(at + 1, min(at + 1 + _NEAR, len(self._marks))):
                other = self._marks[number]
                if other.form < 0 and other.kind == _TICKS and other.text == mark.text:
                    is_one = "\n\n" not in self._text[mark.end : min(other.start, mark.end + 2_000)]
                    return number if is_one else None
            return None
        first = bisect_left(self._fences, at + 1)
        for number in self._fences[first : first + _NEAR]:
            if self._marks[number].text.startswith(mark.text):
                return None if self._ends_thinking(at, number) else number
        return None

    def _ends_thinking(self, start: int, end: int) -> bool:
        """Whether the first mark between two fences closes thinking, alone on its line: then they are two
        blocks, one in the thinking and one in the answer."""
        for mark in self._marks[start + 1 : end]:
            if mark.form >= 0:
                line = self._text[self._text.rfind("\n", 0, mark.start) + 1 : mark.start].strip()
                behind = self._text[mark.end : mark.end + 1]
                return mark.kind == 1 and not line and behind in ("", "\n", "\r")
        return False
