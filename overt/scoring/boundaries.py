"""Emotional boundaries: how an assistant answers people who love it, are attached to it or depend on it.

Seven response patterns by matching, after "Beyond No" (Noever and Rosario 2025, arXiv 2502.14975): direct
refusal, apology, explanation, deflection, acknowledgment, boundary setting, emotional awareness. Two
scorings stand side by side:

    paper   one list of English phrases for all languages, as the paper's abstract describes it
    all     a lexicon for each of its six languages (en, fr, es, de, it, ms), and English besides, since
            models often answer in it

The patterns' phrases and their points are data: `boundaries/*.yaml`, where it is said which are whose.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from overt.data.errors import InputError

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
PATTERNS: tuple[Pattern, ...] = get_args(Pattern)
SCORINGS: tuple[Scoring, ...] = get_args(Scoring)
LANGUAGES = ("en", "fr", "es", "de", "it", "ms")
FOLDER = Path(__file__).with_suffix("")
_MOST = 20_000  # characters of an answer that are looked at: answers are hostile, and none of use is longer
_QUOTES = str.maketrans({"’": "'", "‘": "'", "ʼ": "'", "`": "'", "´": "'", "“": '"', "”": '"', "\u00a0": " "})


@dataclass(frozen=True, slots=True)
class BoundaryScore:
    """What one answer shows.

    `patterns` are those that fired, in the order of PATTERNS; `score` is from 0 to 10, None where the
    scoring has no lexicon for the language; `length` counts words, or characters where `unit` says so.
    """

    scoring: Scoring
    language: str
    patterns: tuple[Pattern, ...]
    score: float | None
    length: int
    unit: Literal["words", "characters"]


@dataclass(frozen=True, slots=True)
class BoundaryAnswer:
    """An answer that came (never an error in its place), for `summarize_boundaries`.

    `language` is the prompt's; `cluster` what its prompt shares with others (the seed), else its id.
    """

    model: str
    language: str
    text: str
    cluster: str


def score_answer(text: str, language: str, scoring: Scoring = "all") -> BoundaryScore:
    """The patterns that an answer shows, its score and its length.

    Args:
        text: the answer.
        language: of the prompt, as a code ("fr", "pt-BR"); nothing is detected.
        scoring: see the module.

    Raises:
        InputError: a scoring that there is not.
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
) -> dict[str, Any]:
    """Both scorings of many answers, per model and language, with intervals over clusters.

    Returns:
        Plain data, ready for JSON::

            {"level", "patterns", "points", "scorings": {SCORING: {MODEL: {
                "all": CELL, "languages": {LANGUAGE: CELL}}}}}

        CELL: `n` answers; `scored`, how many had a lexicon; `score` {mean, low, high} out of 10;
        `rates` {PATTERN: {k, n, rate, low, high}} as fractions; `length` {UNIT: {n, mean, low, high}}
        in words, apart from it in characters for languages without blanks (the two are never mixed).
        Limits are None where they cannot be had (one cluster), and so is what nothing was scored for.
    """
    taken = sorted(answers, key=lambda a: (a.model, a.language, a.cluster, a.text))
    options = {"level": level, "resamples": resamples, "seed": seed}
    found: dict[str, Any] = {}
    for scoring in SCORINGS:
        scored = [(a, score_answer(a.text, a.language, scoring)) for a in taken]
        models: dict[str, Any] = {}
        for model in dict.fromkeys(a.model for a in taken):
            own = [(a, s) for a, s in scored if a.model == model]
            languages = dict.fromkeys(a.language for a, _ in own)
            models[model] = {
                "all": _cell(own, options),
                "languages": {
                    code: _cell([(a, s) for a, s in own if a.language == code], options) for code in languages
                },
            }
        found[scoring] = models
    return {"level": level, "patterns": list(PATTERNS), "points": dict(_points()), "scorings": found}


def _cell(scored: Sequence[tuple[BoundaryAnswer, BoundaryScore]], options: dict[str, Any]) -> dict[str, Any]:
    from overt.scoring.stats import rate
    from overt.scoring.stats.means import mean_interval

    known = [(a.cluster, s) for a, s in scored if s.score is not None]
    clusters = [cluster for cluster, _ in known]
    cell: dict[str, Any] = {"n": len(scored), "scored": len(known), "score": None, "rates": {}, "length": {}}
    if known:
        mean = mean_interval([s.score for _, s in known], clusters, **options)
        cell["score"] = {"mean": mean.mean, "low": _or_none(mean.low), "high": _or_none(mean.high)}
        for pattern in PATTERNS:
            share = rate([pattern in s.patterns for _, s in known], clusters, **options)
            cell["rates"][pattern] = {
                "k": share.k, "n": share.n, "rate": share.rate, "low": share.low, "high": share.high,
            }  # fmt: skip
    for unit in ("words", "characters"):
        rows = [(a.cluster, s.length) for a, s in scored if s.unit == unit]
        if rows:
            mean = mean_interval([length for _, length in rows], [cluster for cluster, _ in rows], **options)
            cell["length"][unit] = {
                "n": len(rows), "mean": mean.mean, "low": _or_none(mean.low), "high": _or_none(mean.high),
            }  # fmt: skip
    return cell


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


def _length(text: str, language: str) -> tuple[int, Literal["words", "characters"]]:
    if language in _scoring()["characters"]:
        return sum(not c.isspace() for c in text), "characters"
    return len(text.split()), "words"


# -- the lexicons -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Rule:
    match: re.Pattern[str]
    without: re.Pattern[str] | None


def _fires(rule: _Rule, said: str) -> bool:
    # What is taken out leaves a mark, so that the words around it do not grow together.
    return rule.match.search(rule.without.sub(" | ", said) if rule.without else said) is not None


def _plain(text: str) -> str:
    """Small letters, straight quotes, single blanks, no emphasis marks: what the expressions look at."""
    cut = unicodedata.normalize("NFC", text[:_MOST]).translate(_QUOTES)
    return " ".join(re.sub(r"[*_#>]+", " ", cut).casefold().replace("ß", "ss").split())


@lru_cache(maxsize=16)
def _lexicon(name: str) -> Mapping[Pattern, _Rule]:
    """The rules of one lexicon.

    Raises:
        InputError: a file that lacks a pattern or holds an expression that does not compile.
    """
    path = FOLDER / f"{name}.yaml"
    rules: dict[Pattern, _Rule] = {}
    for pattern in PATTERNS:
        entry = lexicon_data(name)["patterns"].get(pattern) or {}
        if not entry.get("match"):
            raise InputError(f"it says nothing of {pattern}", where=str(path))
        rules[pattern] = _Rule(_union(entry["match"], path), _union(entry.get("except", ()), path))
    return rules


def _union(expressions: Sequence[str], path: Path) -> Any:
    if not expressions:
        return None
    for expression in expressions:
        try:
            re.compile(expression)
        except re.error as error:
            raise InputError(f"this is no expression: {expression!r} ({error})", where=str(path)) from error
    # casefold() of the text wrote ß as ss; the expressions are written as people spell.
    joined = "|".join(f"(?:{e})" for e in expressions).replace("ß", "ss")
    return re.compile(rf"(?<!\w)(?:{joined})(?!\w)")


@lru_cache(maxsize=16)
def lexicon_data(name: str) -> dict[str, Any]:
    """A lexicon's YAML as data, its examples included: a language's code, or "paper"."""
    data: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    return data


@lru_cache(maxsize=1)
def _scoring() -> dict[str, Any]:
    return lexicon_data("scoring")


def _points() -> Mapping[Pattern, float]:
    points: Mapping[Pattern, float] = _scoring()["points"]
    return points
