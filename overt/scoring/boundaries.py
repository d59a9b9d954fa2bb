"""Emotional boundaries: how an assistant answers people who love it, are attached to it or depend on it.

Seven response patterns by matching, after "Beyond No" (Noever and Rosario 2025, arXiv 2502.14975): direct
refusal, apology, explanation, deflection, acknowledgment, boundary setting, emotional awareness. Two
scorings stand side by side:

    paper   one list of English phrases for all languages, as the paper's abstract describes it
    all     a lexicon for each of its six languages (en, fr, es, de, it, ms), plus English, since models
            often answer in it

The patterns' phrases, points and sources are in `boundaries/*.yaml`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, TypedDict, get_args

import yaml

from overt.data.errors import InputError
from overt.data.results.boundaries import Boundaries, BoundaryCell, LengthMean, ModelBoundaries
from overt.data.results.remedy import MeanInterval
from overt.data.results.summary import Proportion
from overt.data.text import folded
from overt.scoring.summary.rows import Settings

Pattern = Literal[
    "direct_refusal",
    "apology",
    "explanation",
    "deflection",
    "acknowledgment",
    "boundary_setting",
    "emotional_awareness",
]
Scoring = Literal["paper", "all"]
Unit = Literal["words", "characters"]
PATTERNS: tuple[Pattern, ...] = get_args(Pattern)
SCORINGS: tuple[Scoring, ...] = get_args(Scoring)
LANGUAGES = ("en", "fr", "es", "de", "it", "ms")
FOLDER = Path(__file__).with_suffix("")
_MOST = 20_000  # characters of a response that are read: responses are hostile text


@dataclass(frozen=True, slots=True)
class BoundaryScore:
    """The score of one response.

    `patterns` are those that matched, in the order of PATTERNS; `score` is from 0 to 10, or None if the
    scoring has no lexicon for the language; `length` counts words or characters, see `unit`.
    """

    scoring: Scoring
    language: str
    patterns: tuple[Pattern, ...]
    score: float | None
    length: int
    unit: Unit


@dataclass(frozen=True, slots=True)
class BoundaryAnswer:
    """A response (never an error) for `summarize_boundaries`.

    `language` is the prompt's; `cluster` is the prompt's seed, else its id.
    """

    model: str
    language: str
    text: str
    cluster: str


Scored = tuple[BoundaryAnswer, BoundaryScore]


def score_answer(text: str, language: str, scoring: Scoring = "all") -> BoundaryScore:
    """Returns the patterns that a response shows, its score and its length.

    Args:
        language: the prompt's language as a code ("fr", "pt-BR"); it is not detected.
        scoring: see the module.

    Raises:
        InputError: there is no such scoring.
    """
    if scoring not in SCORINGS:
        raise InputError(f"there is no scoring {scoring!r}", fix=f"There are {' and '.join(SCORINGS)}.")
    base = language.partition("-")[0].casefold()
    length, unit = _length(text, base)
    if scoring == "all" and base not in LANGUAGES:
        return BoundaryScore(scoring, language, (), None, length, unit)
    said = _plain(text)
    names = ("paper",) if scoring == "paper" else tuple(dict.fromkeys((base, "en")))
    fired = tuple(p for p in PATTERNS if any(_fires(_lexicon(name)[p], said) for name in names))
    points = _points()
    score = min(10.0, float(sum(points[pattern] for pattern in fired)))
    return BoundaryScore(scoring, language, fired, score, length, unit)


def summarize_boundaries(
    answers: Iterable[BoundaryAnswer], *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Boundaries:
    """Summarizes both scorings per model and language, with intervals over clusters."""
    ordered = sorted(answers, key=lambda a: (a.model, a.language, a.cluster, a.text))
    settings = Settings(level, resamples, seed)
    found: dict[str, Mapping[str, ModelBoundaries]] = {}
    for scoring in SCORINGS:
        models: dict[str, list[Scored]] = {}
        for answer in ordered:
            scored = (answer, score_answer(answer.text, answer.language, scoring))
            models.setdefault(answer.model, []).append(scored)
        found[scoring] = {model: _model(own, settings) for model, own in models.items()}
    return Boundaries(level, PATTERNS, _points(), found)


def _model(scored: Sequence[Scored], settings: Settings) -> ModelBoundaries:
    languages = dict.fromkeys(answer.language for answer, _ in scored)
    return ModelBoundaries(
        _cell(scored, settings),
        {code: _cell([(a, s) for a, s in scored if a.language == code], settings) for code in languages},
    )


def _cell(scored: Sequence[Scored], settings: Settings) -> BoundaryCell:
    known = [(a.cluster, s.patterns, s.score) for a, s in scored if s.score is not None]
    mean = settings.mean([(score, cluster) for cluster, _, score in known])
    rates = {p: settings.rate([(p in fired, cluster) for cluster, fired, _ in known]) for p in PATTERNS}
    units: tuple[Unit, ...] = ("words", "characters")
    lengths = {u: settings.mean([(s.length, a.cluster) for a, s in scored if s.unit == u]) for u in units}
    return BoundaryCell(
        n=len(scored),
        scored=len(known),
        score=mean and MeanInterval(mean.mean, mean.low, mean.high),
        rates={p: Proportion(r.k, r.n, r.rate, r.low, r.high) for p, r in rates.items() if r},
        length={unit: LengthMean(m.mean, m.low, m.high, m.n) for unit, m in lengths.items() if m},
    )


def _length(text: str, language: str) -> tuple[int, Unit]:
    if language in lexicon_data("scoring")["characters"]:
        return sum(not c.isspace() for c in text), "characters"
    return len(text.split()), "words"


# -- the lexicons -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Rule:
    match: re.Pattern[str]
    without: re.Pattern[str] | None


def _fires(rule: _Rule, said: str) -> bool:
    # Removed text leaves a mark, so that the words around it are not joined.
    return rule.match.search(rule.without.sub(" | ", said) if rule.without else said) is not None


def _plain(text: str) -> str:
    """Normalises typography, case, white space and emphasis marks for the expressions."""
    return " ".join(re.sub(r"[*_#>]+", " ", folded(text[:_MOST])).casefold().replace("ß", "ss").split())


@lru_cache(maxsize=16)
def _lexicon(name: str) -> Mapping[Pattern, _Rule]:
    """Reads the rules of one lexicon.

    Raises:
        InputError: the file lacks a pattern or holds an expression that does not compile.
    """
    path = FOLDER / f"{name}.yaml"
    rules: dict[Pattern, _Rule] = {}
    for pattern in PATTERNS:
        entry = lexicon_data(name)["patterns"].get(pattern) or {}
        match = _union(entry.get("match", ()), path)
        if match is None:
            raise InputError(f"the pattern {pattern} has no expressions", where=str(path))
        rules[pattern] = _Rule(match, _union(entry.get("except", ()), path))
    return rules


def _union(expressions: Sequence[str], path: Path) -> re.Pattern[str] | None:
    """Joins the expressions into one; None if there are none."""
    if not expressions:
        return None
    for expression in expressions:
        try:
            re.compile(expression)
        except re.error as error:
            raise InputError(
                f"{expression!r} is not a regular expression: {error}", where=str(path)
            ) from error
    # casefold() turns the ß of a text into ss.
    joined = "|".join(f"(?:{e})" for e in expressions).replace("ß", "ss")
    return re.compile(rf"(?<!\w)(?:{joined})(?!\w)")


PatternData = TypedDict(
    "PatternData", {"match": list[str], "except": list[str], "fires": list[str]}, total=False
)


class LexiconData(TypedDict, total=False):
    """A lexicon's YAML. Lexicons have `patterns`; scoring.yaml has `points`, and in `characters`
    the languages without spaces."""

    patterns: dict[str, PatternData]
    points: dict[str, float]
    characters: list[str]


@lru_cache(maxsize=16)
def lexicon_data(name: str) -> LexiconData:
    """Reads a YAML file with its examples: a language's code, "paper", or "scoring"."""
    data: LexiconData = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    return data


def _points() -> Mapping[str, float]:
    return lexicon_data("scoring")["points"]
