"""The words of the refusal judges: one file per language in languages/ (its README describes the fields).

A language is one more file there; nothing in the code names a language.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Literal, NamedTuple

from pydantic import Field

from overt.data.errors import InputError
from overt.data.text import folded
from overt.data.yaml.schema import Schema, parse_yaml
from overt.scoring.refusal_judges.acts import ACTS, Act, ActPattern, Gates, factored

Texts = tuple[str, ...]
_UNCOVERED = "uncovered.yaml"
# Fields that all languages share -> the pattern around theirs.
_SHARED = {
    "written": " (?:{})",
    "letters": " (?:{})",
    "offers": "(?:{})",
    "stances": " (?:{})",
    "abstains": " (?:{})",
    "lacks": r"[^.]{0,40}\b(?:{})\b",
    "loaded.should": r"\b(?:{})\b",
    "loaded.things": r"\b(?:{})\b",
    "loaded.belittled": r"\b(?:{})\b",
    "loaded.negations": r"\b(?:{})\b",
    "loaded.because": r" (?:{})\b",
    "loaded.but": r" (?:{})\b",
}
_LISTS = (
    "\n1. ",
    " 1. ",
    "\n1) ",
    " 1) ",
    "\n- ",
    "\n* ",
    "\n• ",
    "```",
)  # lists and code look alike in every language


class Asks(Schema):
    """How prompts ask, as patterns."""

    why: Texts = ()
    fact: Texts = ()
    polar: Texts = ()
    way: Texts = ()
    compose: Texts = ()
    guard: Texts = ()
    wrong: Texts = ()
    declining: Texts = ()


class Loaded(Schema):
    """Words of questions that take a judgement for granted, and of the answers to them."""

    should: Texts = ()
    things: Texts = ()
    belittled: Texts = ()
    negations: Texts = ()
    because: Texts = ()
    but: Texts = ()
    denial: Texts = ()


class Support(Schema):
    """Patterns of the ways in which an answer stands by a person."""

    care: Texts = ()
    company: Texts = ()
    contact: Texts = ()
    urgent: Texts = ()


class LanguageFile(Schema):
    """One file, as it is written."""

    language: str
    name: str = ""
    rank: int = 1_000
    scripts: Texts = ("latin",)
    spaced: bool = True
    marks: str = ""
    never: str = ""
    endings: Texts = ()
    words: Texts = ()
    asks: Asks = Asks()
    macros: dict[str, str] = Field({})
    gates: dict[Act, str] = Field({})
    contractions: dict[str, str] = Field({})
    lists: Texts = ()
    written: Texts = ()
    offers: Texts = ()
    conduct: Texts = ()
    stances: Texts = ()
    abstains: Texts = ()
    letters: Texts = ()
    lacks: Texts = ()
    limits: Texts = ()
    aids: Texts = ()
    loaded: Loaded = Loaded()
    support: Support = Support()
    acts: dict[Act, Texts]


class Uncovered(Schema):
    """A language that is recognised and not covered."""

    language: str
    name: str
    scripts: Texts = ("latin",)
    marks: str = ""
    never: str = ""
    endings: Texts = ()
    words: Texts = ()


class UncoveredFile(Schema):
    """The languages of uncovered.yaml."""

    languages: tuple[Uncovered, ...]


@dataclass(frozen=True, slots=True)
class Language:
    """One language. A language without acts is recognised and not covered.

    `marks`: letters that others of its scripts lack; `never`: letters that it lacks and others have;
    `endings`: of its words; `own`: words that no other language has; `limits`: what every machine lacks,
    unless `aids`, words of help, stand beside it; `support`: each way to stand by a person that the language
    has words for, with its pattern; `gates`: of the acts.
    """

    tag: str
    name: str
    scripts: frozenset[str]
    marks: frozenset[str]
    never: frozenset[str]
    endings: Texts
    words: frozenset[str]
    own: frozenset[str]
    acts: tuple[ActPattern, ...]
    limits: re.Pattern[str] | None = None
    aids: re.Pattern[str] | None = None
    support: tuple[tuple[str, re.Pattern[str]], ...] = ()
    gates: Gates = dataclass_field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "gates", Gates(self.acts))

    @property
    def deliver(self) -> ActPattern | None:
        """The patterns of an answer that begins."""
        return next((act for act in self.acts if act.act == "deliver"), None)

    @property
    def demur(self) -> ActPattern | None:
        """The patterns of weak signs of a no."""
        return next((act for act in self.acts if act.act == "demur"), None)

    @property
    def is_covered(self) -> bool:
        return bool(self.acts)


class AskPatterns(NamedTuple):
    """How prompts ask in one language, or in all."""

    why: re.Pattern[str]
    fact: re.Pattern[str]
    polar: re.Pattern[str]
    way: re.Pattern[str]
    compose: re.Pattern[str]
    guard: re.Pattern[str]
    wrong: re.Pattern[str]
    declining: re.Pattern[str]


@dataclass(frozen=True, slots=True, eq=False)
class Vocabulary:
    """All languages by rank, those without patterns last, and the patterns shared by all; see the README of
    the folder.

    `covered`: how many languages have patterns; `numbers`: a tag -> the language's number; `words`: a word ->
    the numbers of the languages that have it, each with the word's weight; `marks`: a letter -> the languages
    that have it; `asks`: a language's tag, or "" for all -> how prompts ask.
    """

    languages: tuple[Language, ...]
    words: Mapping[str, tuple[tuple[int, float], ...]]
    marks: Mapping[str, tuple[int, ...]]
    numbers: Mapping[str, int]
    covered: int
    asks: Mapping[str, AskPatterns]
    contractions: tuple[tuple[str, str], ...]
    lists: Texts
    written: re.Pattern[str]
    letters: re.Pattern[str]
    offers: re.Pattern[str]
    conduct: Texts
    stances: re.Pattern[str]
    abstains: re.Pattern[str]
    lacks: re.Pattern[str]
    should: re.Pattern[str]
    things: re.Pattern[str]
    belittled: re.Pattern[str]
    negations: re.Pattern[str]
    because: re.Pattern[str]
    but: re.Pattern[str]
    denials: Texts


@lru_cache(maxsize=1)
def vocabulary() -> Vocabulary:
    """Loads the shipped languages on first use."""
    return load_vocabulary(files("overt.scoring.refusal_judges") / "languages")


def load_vocabulary(folder: Traversable) -> Vocabulary:
    """Loads the languages of all `*.yaml` files in a folder.

    Raises:
        InputError: a file does not fit the schema, or a pattern is not a regular expression.
    """
    found = _files(folder)
    languages = _languages(found, folder / _UNCOVERED)
    return Vocabulary(
        languages=languages,
        words=_weighted(_by(languages, "words")),
        marks=_by(languages, "marks"),
        covered=len(found),
        numbers={language.tag: n for n, language in enumerate(languages)},
        asks={file.language: _asks({name: file}) for name, file in found.items()} | {"": _asks(found)},
        contractions=tuple(pair for file in found.values() for pair in file.contractions.items()),
        lists=_LISTS + _texts(found, "lists"),
        conduct=_texts(found, "conduct"),
        denials=tuple(f" {word} " for word in _texts(found, "loaded.denial")),
        **{field.rpartition(".")[2]: _every(found, field, within) for field, within in _SHARED.items()},
    )


def _files(folder: Traversable) -> dict[str, LanguageFile]:
    """Reads the files of the languages with patterns, by rank."""
    names = [file for file in folder.iterdir() if file.name.endswith(".yaml") and file.name != _UNCOVERED]
    found = {file.name: _read(file) for file in names}
    return dict(sorted(found.items(), key=lambda item: (item[1].rank, item[1].language)))


def _every(files: Mapping[str, LanguageFile], field: str, within: str = "(?:{})") -> re.Pattern[str]:
    """Joins the patterns of one field of several languages."""
    return _compiled(within, {f"{name}: {field}": _field(file, field) for name, file in files.items()})


def _asks(files: Mapping[str, LanguageFile]) -> AskPatterns:
    return AskPatterns(*(_every(files, f"asks.{field}") for field in AskPatterns._fields))


def _texts(found: Mapping[str, LanguageFile], field: str) -> Texts:
    return tuple(text for file in found.values() for text in _field(file, field))


def _languages(files: Mapping[str, LanguageFile], uncovered: Traversable) -> tuple[Language, ...]:
    covered = tuple(_language(name, file) for name, file in files.items())
    every = covered + _uncovered(uncovered, {language.tag for language in covered})
    shared = {word for word, numbers in _by(every, "words").items() if len(numbers) > 1}
    return tuple(replace(language, own=language.words - shared) for language in every)


def _weighted(words: Mapping[str, Sequence[int]]) -> dict[str, tuple[tuple[int, float], ...]]:
    """A word of several languages says less about each."""
    return {word: tuple((n, 1 / len(of)) for n in of) for word, of in words.items()}


def _uncovered(file: Traversable, covered: Set[str]) -> tuple[Language, ...]:
    read = parse_yaml(file.read_bytes(), file.name, UncoveredFile, what="list of languages")
    return tuple(_bare(entry, ()) for entry in read.languages if entry.language not in covered)


def _bare(file: LanguageFile | Uncovered, acts: tuple[ActPattern, ...]) -> Language:
    scripts, words = frozenset(file.scripts), frozenset(map(folded, file.words))
    name = file.name or file.language
    marks, never = frozenset(folded(file.marks)), frozenset(folded(file.never))
    endings = tuple(map(folded, file.endings))
    return Language(file.language, name, scripts, marks, never, endings, words, words, acts)


def _by(languages: Sequence[Language], what: Literal["words", "marks"]) -> dict[str, tuple[int, ...]]:
    """Words or letters with the numbers of their languages."""
    found: dict[str, list[int]] = {}
    for number, language in enumerate(languages):
        for word in language.words if what == "words" else language.marks:
            found.setdefault(word, []).append(number)
    return {word: tuple(numbers) for word, numbers in found.items()}


def _read(file: Traversable) -> LanguageFile:
    return parse_yaml(file.read_bytes(), file.name, LanguageFile, what="language of the refusal judge")


def _field(file: LanguageFile, path: str) -> Texts:
    value: object = file
    for name in path.split("."):
        value = getattr(value, name)
    assert isinstance(value, tuple)
    return value


def _language(name: str, file: LanguageFile) -> Language:
    acts = []
    for act in ACTS:
        if act in file.acts:
            every = [_filled(source, file.macros) for source in file.acts[act]]
            gate = frozenset(file.gates.get(act, "").split())
            where = f"{name}: acts.{act}"
            says = [source for source in every if not source.startswith("^")]
            patterns = (
                _joined(" (?:{})" if file.spaced else "(?:{})", factored(says), where),
                _joined(" (?:{})", [p[1:] for p in every if p.startswith("^") and p[1:2] != "^"], where),
                _joined(" (?:{})", [p[2:] for p in every if p.startswith("^^")], where),
            )
            acts.append(ActPattern(act, gate, *patterns))
    limits, aids = (
        _joined("(?:{})", _field(file, name_), f"{name}: {name_}") for name_ in ("limits", "aids")
    )
    support = tuple(
        (way, pattern)
        for way in Support.model_fields
        if (pattern := _joined("(?:{})", _field(file, f"support.{way}"), f"{name}: support.{way}"))
    )
    return replace(_bare(file, tuple(acts)), limits=limits, aids=aids, support=support)


def _compiled(within: str, sources: Mapping[str, Texts]) -> re.Pattern[str]:
    """Joins patterns into one, folded as texts are; it never matches if there are none.

    Args:
        within: the surrounding pattern, with "{}" for the joined ones.
        sources: location (for errors) -> patterns.
    """
    every = [folded(source) for patterns in sources.values() for source in patterns]
    try:
        return re.compile(within.replace("{}", "|".join(every)) if every else "(?!)")
    except re.error:
        for where, patterns in sources.items():
            for source in patterns:
                _must_compile(source, where)
        raise


def _must_compile(source: str, where: str) -> None:
    try:
        re.compile(source)
    except re.error as error:
        raise InputError(f"{source!r:.80} is not a regular expression: {error}", where=where) from error


def _joined(within: str, patterns: Sequence[str], where: str) -> re.Pattern[str] | None:
    return _compiled(within, {where: tuple(patterns)}) if patterns else None


def _filled(pattern: str, macros: dict[str, str]) -> str:
    for _ in range(3):  # macros may hold macros
        for key, value in macros.items():
            pattern = pattern.replace("{" + key + "}", value)
    return pattern
