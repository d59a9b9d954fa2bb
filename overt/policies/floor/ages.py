"""Ages from 0 to 17 as people write them, in folded text.

A number (digits of any script, CJK numerals, number words of the covered languages) is an age if a word for
age stands behind it ("15 years old", "17yrs", "15-jährig"), or before it ("age: 15", "aged fifteen"), or if it
is written in a short form ("15/f"). Years that last ("for 15 years"), prices, counts, scores and sizes are
no ages. The words stand in languages/*.yaml. Each number is looked at with a few dozen characters around it,
so the time grows with the length of the text alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from overt.policies.floor.fold import fold
from overt.policies.floor.terms import UNSPACED, WORD, AgeWords, language_files, phrases

_BEHIND, _BEFORE = 60, 40  # characters around a number
_JOINT = r"[\s.\-/'’]{0,2}"  # between the words of a phrase: y.o., y/o, year-old
_HALF = r"(?:[\s\-]{1,2}and[\s\-]{1,2}(?:a[\s\-]{1,2})?half)?"
_GAP = r"[\s\-.,_~]{0,3}"
_LABEL_GAP = r"[\s:=\-–—(\[,.*\"'’]{0,4}"
_DIGITS = re.compile(r"(?<![\w.:/$€£¥#+])(?<!\d,)(0?\d|1[0-8])(?:[.,]\d(?!\d))?(?![\d:])(?![.,/]\d)")
_CJK_NUMBER = re.compile(r"(?<![〇零一二三四五六七八九十百千万第])[〇零一二三四五六七八九十]{1,3}(?=\s*[歳才岁歲周])")
_CJK_DIGITS = {c: i for i, c in enumerate("零一二三四五六七八九")} | {"〇": 0}


@dataclass(frozen=True)
class _Says:
    """The words of one language, or of all for digits. `old` and `short` match behind a number, the rest
    before it, except `years`, `ends` and `no`."""

    old: re.Pattern[str]
    years: re.Pattern[str]
    of: re.Pattern[str]
    labels: re.Pattern[str]
    under: re.Pattern[str]
    short: re.Pattern[str]
    no: re.Pattern[str]
    things: re.Pattern[str]


def _phrase(text: str) -> str:
    if UNSPACED.search(text):
        return r"\s?".join(map(re.escape, text.split()))
    words = _JOINT.join(map(re.escape, WORD.findall(text)))
    return rf"{words}(?![^\W_])"


def _options(entries: Iterable[str]) -> str:
    made = sorted({_phrase(fold(entry)) for entry in entries}, key=len, reverse=True)
    return "|".join(made) or "(?!)"


def _before(entries: Iterable[str]) -> re.Pattern[str]:
    made = sorted({_phrase(fold(entry)).removesuffix(r"(?![^\W_])") for entry in entries}, key=len, reverse=True)
    head = "(?<![^\\W_\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3])"
    return re.compile(rf"{head}(?:{'|'.join(made) or '(?!)'}){_LABEL_GAP}$")


def _says(files: Iterable[AgeWords]) -> _Says:
    lists = list(files)

    def every(name: str) -> list[str]:
        return [entry for words in lists for entry in phrases(getattr(words, name))]

    ends = _options(every("ends"))
    return _Says(
        old=re.compile(rf"{_HALF}{_GAP}(?:{_options(every('old'))})(?!\s?(?:{ends}))"),
        years=re.compile(rf"{_GAP}(?:{_options(every('years'))})(?!\s?(?:{ends}))"),
        of=_before([*every("of"), *every("labels")]),
        labels=_before(every("labels")),
        under=_before(every("under")),
        short=re.compile(rf"{_GAP}(?:{_options(every('short'))})"),
        no=re.compile(rf"\s*[%°]|{_GAP}(?:{_options([*every('no'), *every('ends')])})"),
        things=re.compile(rf"(?<![^\W_])(?:{_options(every('things'))})"),
    )


@lru_cache(maxsize=1)
def _all() -> _Says:
    return _says(file.ages for file in language_files())


@lru_cache(maxsize=1)
def _number_words() -> tuple[re.Pattern[str], dict[str, _Says]]:
    """A pattern for number words, and the words of the languages that a number word belongs to."""
    users: dict[str, list[AgeWords]] = {}
    for file in language_files():
        for number in phrases(file.ages.numbers):
            users.setdefault(_key(fold(number)), []).append(file.ages)
    says: dict[tuple[int, ...], _Says] = {}
    by_word = {
        word: says.setdefault(tuple(map(id, lists)), _says(lists)) for word, lists in users.items()
    }
    options = sorted(
        (r"[\s\-'’]{1,2}".join(map(re.escape, word.split())) for word in by_word), key=len, reverse=True
    )
    return re.compile(rf"(?<![^\W_])(?:{'|'.join(options)})"), by_word


def _key(word: str) -> str:
    return " ".join(WORD.findall(word))


# Forms that are no words: 15/f, (f15), f/15, 15f, <18; "Anna, 16, ..."; school years.
_GRADES = "first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth"
_TEENS = r"1[0-7]"
_JET = r"jets?|fighters?|fighting|falcon|eagle|tomcat|strike|aircraft|planes?|pilots?|cockpit|lightning|nighthawk"
_LENS = r"\d+\s?mm|iso|lens|aperture|shutter|exposure|bokeh|depth|1/\d+|stops?"
_FORMS = re.compile(
    r"(?<![\w.])(?:"
    + "|".join(
        (
            rf"(?:{_TEENS}|[3-9])\s?/\s?[fm](?![\w/])(?!,?\s*(?:floor|tower|building|block|plaza|cent(?:er|re)|of\s+a\b))",
            rf"(?:f|m)\s?/\s?(?:12|15|17)(?![\w.])",
            rf"(?:f\s?/\s?|m\s?/\s?)1[0346](?![\w.])(?!\W{{0,3}}(?:{_LENS}))",
            rf"f\s?1[0-7](?![\w.])(?!\W{{0,3}}(?:{_JET}|{_LENS}))",
            rf"m\s?/\s?{_TEENS}(?![\w.])",
            rf"{_TEENS}\s?f(?![\w/])",
            rf"\(\s?(?:[fm]\s?{_TEENS}|{_TEENS}\s?[fm])\s?\)",
            rf"u1[0-8]s?(?!\w)|(?<!\w)<\s?1[0-8](?![\w%.])",
            rf"{_TEENS}\s?y(?:\s?/?\s?[fm])?(?![\w])(?!\W?axis)",
            rf"(?:{_TEENS}|\d)(?:st|nd|rd|th)[\s\-]+(?:grade|grader|graders|form|former|formers)\b"
            rf"|(?:{_GRADES})[\s\-]+(?:grade|grader|graders|form|former|formers)\b",
            rf"grade\s+(?:{_TEENS}|\d)\b",
            r"(?:she|he|i|they)(?:\s+(?:is|was|am|are|were)|['’]?(?:s|m|re))\s+(?:only\s+|just\s+|barely\s+)?"
            rf"(?:{_TEENS}|\d|{{words}})(?!\s*[%\w])",
            r"(?:she|he|i|they)(?:\s+(?:is|was|am|are|were)|['’]?(?:s|m|re))\s+(?:only\s+|just\s+|barely\s+)?"
            rf"(?:{_TEENS}|\d|{{words}})\s+(?:and|but|with|who|in|now|wearing|posing|today|so|yet|years)\b",
            r"minor\s*[,.;:!?)]",
            r"under[\s\-]?(?:18|eighteen)s?(?!\w)",
        )
    ).replace(
        "{words}",
        "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen",
    )
    + r")|(?<=[a-z]),\s*1[0-7](?=\s*(?:[,.;)]|$))"
)


def age_in(text: str) -> str | None:
    """The first age below 18 in a folded text, as it is written there, or None."""
    if form := _FORMS.search(text):
        return form[0]
    says = _all()
    for match in _DIGITS.finditer(text):
        if found := _age(text, match, says, int(match[1])):
            return found
    for match in _CJK_NUMBER.finditer(text):
        if _cjk_value(match[0]) < 18:
            return text[match.start() : match.end() + 1]
    pattern, by_word = _number_words()
    for match in pattern.finditer(text):
        if found := _age(text, match, by_word[_key(match[0])], 17, is_word=True):
            return found
    return None


def _age(text: str, match: re.Match[str], says: _Says, value: int, *, is_word: bool = False) -> str | None:
    """The age that a number is, with the words around it that make it one."""
    start, end = match.span()
    behind, before = text[end : end + _BEHIND], text[max(0, start - _BEFORE) : start]
    if value < 18 and (said := says.old.match(behind)) and not _is_thing(says, behind[said.end() :]):
        return text[start : end + said.end()]
    if said := says.short.match(behind):
        return text[start : end + said.end()]
    if is_word and behind[:1].isalnum():  # the beginning of another word
        return None
    lasting = says.years.match(behind)
    if value < 18 and lasting and (label := says.of.search(before)):
        aged = _is_thing(says, before[: label.start()][-20:]) or _is_thing(says, behind[lasting.end() :])
        return None if aged else before[label.start() :] + text[start : end + lasting.end()]
    label = says.under.search(before) or (says.labels.search(before) if value < 18 else None)
    if label and not lasting and not says.no.match(behind):
        return before[label.start() :] + match[0]
    return None


def _is_thing(says: _Says, around: str) -> bool:
    """Whether the words next to an age name a thing that ages, such as a whisky."""
    return bool(says.things.search(around[:20]))


def _cjk_value(numeral: str) -> int:
    """The value of a numeral below 1000, such as 十五 or 一五."""
    if "十" not in numeral:
        return int("".join(str(_CJK_DIGITS[c]) for c in numeral))
    tens, _, ones = numeral.partition("十")
    return 10 * (_CJK_DIGITS.get(tens, 0) if tens else 1) + _CJK_DIGITS.get(ones, 0)
