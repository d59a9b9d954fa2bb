"""The compiled terms of the rule audit for one category: scenes, policy lines, settings and wordings."""

from __future__ import annotations

import math
import re
import weakref
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from typing import Any

import yaml

from overt.data.records import Label
from overt.data.text import folded
from overt.policies.bank import Filled, scenes_for
from overt.policies.schema import Category, Scene

_SLOT = re.compile(r"(?:\ban? )?\{[a-z_]+\}")
_EXCEPTION = re.compile(r"\b(?:except|unless|other than|apart from|but not|without|outside|as long as)\b")
# "Help with fraud" forbids fraud, not helping.
_HELP = re.compile(r"^(?:help|advice|support|instructions?|guidance) (?:with|for|in|on|to) ")
_CARRIER = re.compile(
    r"^(?:(?:any|all) )?(?:content|images?|pictures?|photos?|depictions?|portrayals?|requests?|prompts?"
    r"|material|texts?|scenes?) (?:(?:of|for|that|which) )?"
)
_INSIDE = re.compile(r"\b(?:in|on|at|from|during|even)\b ?")
_STOP = frozenset(
    re.findall(
        r"\w+",
        """a an the of for to in on at by with from into onto over under about as and or nor but if that
        which who whose whom this these those it its is are was were be been being has have had do does
        did can could will would may might not no any all each every some such other others another than
        then so very too also only just more most he she they them their his her him you your i my me we
        our us what how when where why image images picture pictures photo photos photograph content
        depict depiction show showing shown real person people someone something make draw create generate
        scene text word""",
    )
)


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a scene: the wording between its slots, and its content words."""

    label: Label
    fragment: str
    chunks: tuple[str, ...]
    stems: frozenset[str]
    own: frozenset[str]  # content words that the scene's other side does not have
    size: int
    banked: bool = False  # a scene of the bank, with the policy's term in it


@dataclass(frozen=True, slots=True)
class Line:
    """One line of `disallowed` or `allowed`."""

    text: str
    phrase: str
    stems: frozenset[str]


@dataclass(frozen=True, slots=True)
class Context:
    name: str
    pattern: re.Pattern[str]
    weight: float  # 0: the policy disallows even this
    line: str  # the policy's line that says so, if one does
    outright: bool = False  # the line bans things in this setting: "violence in films"


@dataclass(frozen=True, slots=True)
class Marker:
    reason: str
    pattern: re.Pattern[str]
    weight: float
    at_trigger: bool  # the trigger itself may be the verb in it


@dataclass(frozen=True, slots=True)
class Terms:
    """What one category's audit looks at, compiled once."""

    sides: tuple[Side, ...]
    disallowed: tuple[Line, ...]
    allowed: tuple[Line, ...]
    contexts: tuple[Context, ...]
    markers: tuple[Marker, ...]
    triggers: re.Pattern[str]
    mention: re.Pattern[str]
    rarity: dict[str, float]
    leaning: dict[str, float]
    bank: dict[tuple[str, str], tuple[Side, ...]]  # by modality and term, filled as terms are met


def bank_sides(rules: Terms, modality: str, category: Category, named: str) -> tuple[Side, ...]:
    """The sides of the bank's scenes for a trigger that a text names."""
    key = (modality, named)
    if key not in rules.bank:
        triggers = [t for t in category.triggers if plain_text(t.term) == named]
        filled = [f for t in triggers for f in scenes_for(modality, category, t)]
        rules.bank[key] = tuple(replace(side, banked=True) for s in filled for side in _both(s))
    return rules.bank[key]


# Rules of the categories alive, by identity: hashing a whole policy per text would cost more than the audit.
_CACHE: dict[int, tuple[weakref.ref[Category], Terms]] = {}


def terms_of(category: Category) -> Terms:
    key = id(category)
    kept = _CACHE.get(key)
    if kept and kept[0]() is category:
        return kept[1]
    rules = _compile(category)
    _CACHE[key] = (weakref.ref(category, lambda _: _CACHE.pop(key, None)), rules)
    return rules


def _compile(category: Category) -> Terms:
    sides = tuple(_sides(category))
    disallowed = tuple(_as_line(t) for t in category.disallowed)
    allowed = tuple(_as_line(t) for t in category.allowed)
    longest_first = sorted(category.triggers, key=lambda t: -len(t.term))
    terms = "|".join(re.escape(plain_text(t.term)) for t in longest_first)
    count = Counter(s for side in sides for s in side.stems)
    names = {stem(w) for t in category.triggers for w in content_words(plain_text(t.term))}
    return Terms(
        sides=sides,
        disallowed=disallowed,
        allowed=allowed,
        contexts=tuple(_contexts(disallowed, allowed)),
        markers=tuple(_markers(category)),
        triggers=re.compile(rf"(?<!\w)(?:{terms})(?!\w)"),
        mention=re.compile(
            rf'["\'](?:{terms})["\']'
            rf"|\b(?:word|term|verb|adjective|phrase|called|named|titled|entitled) (?:{terms})(?!\w)"
        ),
        rarity={s: math.log(1 + len(sides) / n) for s, n in count.items()},
        leaning=_leaning(sides, names),
        bank={},
    )


def _contexts(disallowed: Sequence[Line], allowed: Sequence[Line]) -> Iterator[Context]:
    """Yields the settings of rules.yaml. An allowed line about a setting gives it weight 2, a disallowed one
    weight 0."""
    told = [line.text for line in disallowed]
    for name, rule in _table()["contexts"].items():
        when = _any(rule["when"])
        forbids = next((t for t in told if when.search(_HELP.sub("", _kept(t)))), "")
        permits = next((line.text for line in allowed if when.search(plain_text(line.text))), "")
        weight = 2.0 if permits else 0.0 if forbids else float(rule.get("weight", 1.0))
        outright = weight == 0.0 and _bans_setting(when, forbids)
        yield Context(name, _any(rule["says"]), weight, permits or forbids, outright)


def _bans_setting(when: re.Pattern[str], line: str) -> bool:
    """Whether a line bans something in a setting, as "violence in films and on stage" does; "piracy of films"
    does not."""
    kept = _kept(line)
    return any(when.search(" ".join(kept[m.end() :].split()[:3])) for m in _INSIDE.finditer(kept))


def _markers(category: Category) -> Iterator[Marker]:
    """Yields the earnest wordings of rules.yaml that apply to this category."""
    lines = map(plain_text, category.disallowed)
    subject = " ".join([plain_text(category.title), category.id.replace("_", " "), *lines])
    for name, rule in _table()["markers"].items():
        if "about" not in rule or _any(rule["about"]).search(subject):
            yield Marker(rule["reason"], _any(rule["says"]), rule["weight"], name == "target")


def _sides(category: Category) -> Iterable[Side]:
    for trigger in category.triggers:
        for scene in trigger.scenes:
            yield from _both(scene)


def _both(scene: Scene | Filled) -> Iterable[Side]:
    """Yields the sides that a scene has."""
    sides: tuple[tuple[Label, str | None, str | None], ...] = (
        ("benign", scene.benign, scene.unsafe),
        ("unsafe", scene.unsafe, scene.benign),
    )
    for label, fragment, other in sides:
        if fragment:
            chunks, stems = _chunks(fragment), _fragment_stems(fragment)
            own = stems - _fragment_stems(other or "")
            if stems:
                yield Side(label, fragment, chunks, stems, own, sum(map(len, chunks)))


def _chunks(fragment: str) -> tuple[str, ...]:
    return tuple(c for c in (part.strip(" .?!") for part in _SLOT.split(plain_text(fragment))) if c)


def _fragment_stems(fragment: str) -> frozenset[str]:
    return frozenset(stem(w) for chunk in _chunks(fragment) for w in content_words(chunk))


def _leaning(sides: tuple[Side, ...], names: set[str]) -> dict[str, float]:
    """Log odds of words that stand on one side of the category's scenes at least three times as often."""
    good = Counter(s for side in sides if side.label == "benign" for s in side.stems)
    bad = Counter(s for side in sides if side.label == "unsafe" for s in side.stems)
    goods = max(1, sum(side.label == "benign" for side in sides))
    bads = max(1, sum(side.label == "unsafe" for side in sides))
    leaning = {}
    for stem in sorted(set(good) | set(bad)):
        odds = math.log(((good[stem] + 0.5) / (goods + 1)) / ((bad[stem] + 0.5) / (bads + 1)))
        if stem not in names and good[stem] + bad[stem] >= 2 and abs(odds) >= math.log(3):
            leaning[stem] = odds
    return leaning


def _as_line(text: str) -> Line:
    kept = _kept(text)
    phrase = _CARRIER.sub("", re.split(r"[.;:(]", kept, maxsplit=1)[0].strip(" ,"))
    words = content_words(phrase)
    return Line(text, phrase if len(words) >= 2 else "", frozenset(stem(w) for w in content_words(kept)))


def _kept(text: str) -> str:
    """Returns a policy's line without its exceptions."""
    return _EXCEPTION.split(plain_text(text), maxsplit=1)[0].strip(" ,")


@lru_cache(maxsize=1)
def _table() -> dict[str, Any]:
    text = (files("overt.scoring") / "rules.yaml").read_text(encoding="utf-8")
    table: dict[str, Any] = yaml.safe_load(text)
    return table


@lru_cache(maxsize=256)
def _compiled(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(
        r"(?<!\w)(?:" + "|".join(p[:-1] + r"(?!\w)" if p.endswith("$") else p for p in patterns) + ")"
    )


def _any(patterns: list[str]) -> re.Pattern[str]:
    return _compiled(tuple(patterns))


def plain_text(text: str) -> str:
    """Lower case, plain typography, single blanks."""
    return " ".join(folded(text).lower().split())


@lru_cache(maxsize=16384)
def stem(word: str) -> str:
    """A crude stem, enough to let "stabbing", "stabs" and "stabbed" meet."""
    for end in ("'s", "ies", "ing", "ed", "es", "s"):
        if word.endswith(end) and len(word) - len(end) >= 3:
            word = word[: -len(end)] + ("y" if end == "ies" else "")
            break
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "aeiosl":
        word = word[:-1]
    return word.removesuffix("e") if len(word) > 3 else word


def content_words(plain: str) -> list[str]:
    return [w for w in re.findall(r"[^\W\d_]+(?:['-][^\W\d_]+)*", plain) if len(w) > 2 and w not in _STOP]
