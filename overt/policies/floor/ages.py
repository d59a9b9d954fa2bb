"""Ages from 0 to 17 as people write them, in folded text.

A number (digits of any script, CJK numerals, number words of the covered languages) is an age if a word for
age stands behind it ("15 years old", "17yrs", "15-jährig"), or before it ("age: 15", "aged fifteen"), or if
it is written in a short form ("15/f"). Years that last ("for 15 years"), prices, counts, scores and sizes are
no ages. The words stand in languages/*.yaml. Each number is looked at with a few dozen characters around it,
so the time grows with the length of the text alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache

from overt.policies.floor.fold import fold
from overt.policies.floor.terms import UNSPACED, WORD, AgeWords, language_files, phrases

_BEHIND, _BEFORE = 60, 40  # characters around a number
_JOINT = r"[\s.\-/_'’]{0,3}"  # between the words of a phrase: y.o., y/o, year-old
_END = r"(?![^\W_]|[\u0900-\u0963])"  # vowel signs of Devanagari go on with the word
_HALF = r"(?:[\s\-]{1,2}and[\s\-]{1,2}(?:a[\s\-]{1,2})?half)?"
_GAP = r"[\s\-.,_~]{0,3}"
_LABEL_GAP = r"[\s:=\-–—(\[,.*\"'’]{0,4}"
_DIGITS = re.compile(
    r"(?<![^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3])(?<![$€£¥#+])(?<!\d[.,:/])"
    r"(0?\d|1[0-8])(?:[.,]\d(?!\d))?(?![\d:])(?![.,/]\d)"
)
_CJK_NUMBER = re.compile(
    r"(?<![〇零一二三四五六七八九十百千万第])[〇零一二三四五六七八九十]{1,3}(?=\s*[歳才岁歲周])"
)
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
    thing_behind: re.Pattern[str]
    thing_before: re.Pattern[str]


def _phrase(text: str) -> str:
    if UNSPACED.search(text):
        return r"\s?".join(map(re.escape, text.split()))
    words = _JOINT.join(map(re.escape, WORD.findall(text)))
    return words + _END


def _options(entries: Iterable[str]) -> str:
    made = sorted({_phrase(fold(entry)) for entry in entries}, key=len, reverse=True)
    return "|".join(made) or "(?!)"


def _before(entries: Iterable[str]) -> re.Pattern[str]:
    made = sorted({_phrase(fold(entry)).removesuffix(_END) for entry in entries}, key=len, reverse=True)
    head = "(?<![^\\W_\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3])"
    return re.compile(rf"{head}(?:{'|'.join(made) or '(?!)'}){_LABEL_GAP}$")


def _says(files: Iterable[AgeWords]) -> _Says:
    lists = list(files)

    def every(name: str) -> list[str]:
        return [entry for words in lists for entry in phrases(getattr(words, name))]

    ends, things = _options(every("ends")), _options(every("things"))
    return _Says(
        old=re.compile(rf"{_HALF}{_GAP}(?:{_options(every('old'))})(?!\s?(?:{ends}))"),
        years=re.compile(rf"{_GAP}(?:{_options(every('years'))})(?!\s?(?:{ends}))"),
        of=_before(every("of")),
        labels=_before(every("labels")),
        under=_before(every("under")),
        short=re.compile(rf"{_GAP}(?:{_options(every('short'))})"),
        no=re.compile(rf"\s*[%°]|{_GAP}(?:{_options([*every('no'), *every('ends')])})"),
        thing_behind=re.compile(rf"\W{{0,3}}(?:{things})"),
        thing_before=re.compile(rf"(?<![^\W_])(?:{things})[\s,]*(?:(?:is|was|were|been)\s+)?$"),
    )


@lru_cache(maxsize=1)
def _all() -> _Says:
    return _says(file.ages for file in language_files())


@cache
def _one(index: int) -> _Says:
    """The words of one language."""
    return _says([language_files()[index].ages])


@lru_cache(maxsize=1)
def _number_words() -> tuple[re.Pattern[str], dict[str, tuple[int, ...]]]:
    """A pattern for number words, and the languages that each of them belongs to."""
    by_word: dict[str, tuple[int, ...]] = {}
    for index, file in enumerate(language_files()):
        for number in phrases(file.ages.numbers):
            word = _key(fold(number))
            by_word[word] = (*by_word.get(word, ()), index)
    options = [r"[\s\-'’]{1,2}".join(map(re.escape, word.split())) for word in by_word]
    longest_first = "|".join(sorted(options, key=len, reverse=True))
    return re.compile(rf"(?<![^\W_])(?:{longest_first})"), by_word


def _key(word: str) -> str:
    return " ".join(WORD.findall(word))


# Short forms. F-15 and F-16 are jets, f/16 is a lens, 15/F may be a storey of a building.
_TEENS, _YEARS = r"1[0-7]", r"(?:1[0-7]|\d)"
_JET = r"jets?|fighters?|fighting|falcon|eagle|tomcat|strike|aircraft|planes?|pilots?|cockpit|nighthawk"
_LENS = r"\d+\s?mm|iso|lens|aperture|shutter|exposure|bokeh|depth|1/\d+|stops?"
_PLACE = r"floor|tower|building|block|plaza|cent(?:er|re)|of\s+a\b"
_ORDINAL = (
    rf"(?:{_YEARS}(?:st|nd|rd|th)"
    "|first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth)"
)
_IS = r"(?:she|he|i|they)(?:\s+(?:is|was|am|are|were)|['’]?(?:s|m|re))\s+(?:only\s+|just\s+|barely\s+)?"
_IS_NEXT = r"(?!\s*[%\w])|\s+(?:and|but|with|who|in|now|wearing|posing|today|so|yet|years)\b"
_CRAFT = re.compile(rf"(?:{_JET}|{_LENS})\W{{0,3}}(?:\d{{1,5}}\W{{0,3}})?$")
_LISTED_BEFORE, _LISTED_BEHIND = re.compile(r"[,(;]\s?$"), re.compile(r"\s?(?:[,.;:!?)]|$)")
# "Anna (15)", but not "Table (15)".
_NAMED = re.compile(
    r"(?<!\w)(?!Fig|Tab|Sec|Eq|Chap|Step|Note|Ref|Page|Part|Item|Day|Week|Level|Art|App|Vol|No)"
    r"[A-ZÀ-ÝА-ЯІЇЄ][a-zß-ÿа-яіїєё'’-]+\s\(\s?1[0-7]\s?\)"
)


@lru_cache(maxsize=1)
def _forms() -> re.Pattern[str]:
    english = next(file.ages for file in language_files() if file.language == "en")
    number = rf"(?:{_YEARS}|{'|'.join(phrases(english.numbers))})"
    forms = (
        rf"(?:{_TEENS}|[3-9])\s?/\s?[fm](?![\w/])(?!,?\s*(?:{_PLACE}))",
        rf"(?:m\s?/\s?{_TEENS}|f\s?/\s?1[257])(?![\w.])",
        rf"f\s?/?\s?{_TEENS}(?![\w.])(?!\W{{0,3}}(?:{_JET}|{_LENS}))",
        rf"{_TEENS}\s?f(?![\w/])",
        rf"aged?{_YEARS}(?!\w)|{_TEENS}years?(?!\w)(?!\s+\w)",
        rf"\(\s?(?:[fm]\s?{_TEENS}|{_TEENS}\s?[fm])\s?\)",
        rf"{_TEENS}\s?y(?:\s?/?\s?[fm])?(?!\w)(?!\W?axis)",
        rf"{_TEENS}\s?(?:&|and|or)\s?(?:under|younger)(?!\w)",
        r"u1[0-8]s?(?!\w)|(?<!\w)<\s?1[0-8](?![\w%.])",
        rf"{_ORDINAL}[\s\-]+(?:grade|grader|graders|form|former|formers)\b|grade\s+{_YEARS}\b",
        rf"{_IS}{number}(?:{_IS_NEXT})",
        r"minor\s*[,.;:!?)]",
    )
    listed = r"(?<=[^\W\d_]),\s*1[0-7](?=\s*(?:[,.;)]|$))"  # "Anna, 16, ..."
    return re.compile(rf"(?<![\w.])(?:{'|'.join(forms)})|{listed}")


def age_in(text: str, original: str) -> str | None:
    """The first age below 18 in a folded text, as it is written there, or None.

    Args:
        original: the text before it was folded, where capitals show names.
    """
    if named := _NAMED.search(original):
        return named[0].lower()
    for form in _forms().finditer(text):
        if form[0][0] != "f" or not _CRAFT.search(text[max(0, form.start() - 20) : form.start()]):
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
        for index in by_word[_key(match[0])]:
            if found := _age(text, match, _one(index), 17, is_word=True):
                return found
    return None


def _age(text: str, match: re.Match[str], says: _Says, value: int, *, is_word: bool = False) -> str | None:
    """The age that a number is, with the words around it that make it one."""
    start, end = match.span()
    behind, before = text[end : end + _BEHIND], text[max(0, start - _BEFORE) : start]
    said = _told_behind(says, behind, value)
    if said is not None:
        return text[start : end + said]
    if is_word and behind[:1].isalnum():  # the beginning of another word
        return None
    label = _told_before(says, before, behind, value)
    return None if label is None else before[label:] + match[0]


def _told_behind(says: _Says, behind: str, value: int) -> int | None:
    """How many characters behind a number say that it is an age, such as "years old"."""
    said = says.old.match(behind) if value < 18 else None
    if said and not says.thing_behind.match(behind, said.end()):  # a whisky is no minor
        return said.end()
    said = says.short.match(behind)
    return said.end() if said else None


def _told_before(says: _Says, before: str, behind: str, value: int) -> int | None:
    """Where the words before a number begin that say that it is an age, such as "aged"."""
    label = says.under.search(before) or (says.labels.search(before) if value < 18 else None)
    lasting = says.years.match(behind)
    if lasting:
        if label is None and value < 18:
            label = next(filter(None, (tongue.of.search(before) for tongue in _lasting_in(behind))), None)
            if label is None and _LISTED_BEHIND.match(behind, lasting.end()):
                label = _LISTED_BEFORE.search(before)  # "Anna, 15 ans"
        no_age = says.thing_behind.match(behind, lasting.end())
    else:
        no_age = says.no.match(behind)
    if label is None or no_age or says.thing_before.search(before[: label.start()]):
        return None
    return label.start()


def _lasting_in(behind: str) -> list[_Says]:
    """The languages whose word for years follows a number. "15 anos" is no age after an Italian word."""
    each = (_one(index) for index in range(len(language_files())))
    return [says for says in each if says.years.match(behind)]


def _cjk_value(numeral: str) -> int:
    """The value of a numeral below 1000, such as 十五 or 一五."""
    if "十" not in numeral:
        return int("".join(str(_CJK_DIGITS[c]) for c in numeral))
    tens, _, ones = numeral.partition("十")
    return 10 * (_CJK_DIGITS.get(tens, 0) if tens else 1) + _CJK_DIGITS.get(ones, 0)
