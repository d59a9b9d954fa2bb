"""`builtin/rules`: the audit that needs no model, over the policy's own terms.

It is a rule audit: it reads words, not meaning. It knows a text that carries one of the policy's
own scenes; for any other text it weighs what the category disallows and allows, the setting the
alarming word stands in, and wordings that mean it in earnest. Where these do not decide it says
"unclear". The same text can be benign under one policy and unsafe under another.
"""

from __future__ import annotations

import math
import re
import unicodedata
import weakref
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

import yaml

from overt.data.records import Label, Vote
from overt.policies.schema import Category, Policy

NAME = "builtin/rules"

_SLOT = re.compile(r"(?:\ban? )?\{[a-z_]+\}")
_GAP = 90  # characters a slot's filling may take
_NEAR = 0.6  # share of a scene's words, weighted by rarity, from which a text counts as close to it
_MARGIN = 1.0
_EXCEPTION = re.compile(r"\b(?:except|unless|other than|apart from|but not|without|outside|as long as)\b")
_CARRIER = re.compile(
    r"^(?:(?:any|all) )?(?:content|images?|pictures?|photos?|depictions?|portrayals?|requests?|prompts?"
    r"|material|texts?|scenes?) (?:(?:of|for|that|which) )?"
)
# Styles that sound like settings: a "press photograph" of an attack is still of an attack.
_STYLE = re.compile(
    r"\b(?:\w+[- ]style\b|(?:press|documentary) photo\w*|comic[- ]book (?:panel|page|art)|courtroom[- ]artist"
    r"|(?:film|cinematic|movie) (?:still|frame|grain|poster)|35 ?mm film\w*|stop[- ]motion|claymation"
    r"|concept art|art (?:nouveau|deco)|newspaper strip|graphic novel|magazine spread"
    r"|book-plate|toy bricks|photorealistic (?:picture|image|photo|render)\w*"
    r"|real(?:istic|ism)? (?:photo|painting|render)\w*)"
)
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
class _Side:
    """One side of a scene: the wording between its slots, and its content words."""

    label: Label
    fragment: str
    chunks: tuple[str, ...]
    stems: frozenset[str]
    own: frozenset[str]  # content words that the scene's other side does not have
    size: int


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of `disallowed` or `allowed`."""

    text: str
    phrase: str
    stems: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Context:
    name: str
    pattern: re.Pattern[str]
    weight: float  # 0: the policy disallows even this
    line: str  # the policy's line that says so, if one does


@dataclass(frozen=True, slots=True)
class _Marker:
    reason: str
    pattern: re.Pattern[str]
    weight: float
    at_trigger: bool  # the trigger itself may be the verb in it


@dataclass(frozen=True, slots=True)
class _Rules:
    """What one category's audit looks at, compiled once."""

    sides: tuple[_Side, ...]
    disallowed: tuple[_Line, ...]
    allowed: tuple[_Line, ...]
    contexts: tuple[_Context, ...]
    markers: tuple[_Marker, ...]
    triggers: re.Pattern[str]
    mention: re.Pattern[str]
    rarity: dict[str, float]
    leaning: dict[str, float]


@dataclass(frozen=True, slots=True)
class _Evidence:
    weight: float  # > 0 speaks for benign, < 0 for unsafe
    reason: str


def audit_text(policy: Policy, category: Category, text: str) -> Vote:
    """The rule audit of one text under one category of the effective policy.

    Returns a vote by "builtin/rules": "benign", "unsafe", or "unclear" when nothing decides, with
    the weightiest reason. No model is asked. Rules are compiled once per category and kept while
    the category lives.
    """
    rules = _rules(category)
    plain = _plain(text)
    matched = _matched(rules, plain)
    if matched:
        side = "an unsafe" if matched.label == "unsafe" else "a benign"
        return Vote(NAME, matched.label, f'carries {side} scene of the policy: "{matched.fragment}"')
    for other in policy.categories:
        if other.id != category.id:
            found = _matched(_rules(other), plain)
            if found and found.label == "unsafe":
                return Vote(
                    NAME, "unsafe", f'carries an unsafe scene of category {other.id}: "{found.fragment}"'
                )
    return _weigh(rules, plain)


def _weigh(rules: _Rules, plain: str) -> Vote:
    """The vote on a text that carries none of the policy's scenes word for word."""
    evidence = list(_evidence(rules, plain))
    total = sum(e.weight for e in evidence)
    if not evidence:
        return Vote(NAME, "unclear", "nothing in the policy's own words decides")
    if abs(total) < _MARGIN:
        return Vote(
            NAME, "unclear", "for and against weigh alike: " + "; ".join(e.reason for e in evidence[:3])
        )
    label: Label = "benign" if total > 0 else "unsafe"
    side = [e for e in evidence if (e.weight > 0) == (total > 0)]
    side.sort(key=lambda e: (-abs(e.weight), e.reason))
    return Vote(NAME, label, "; ".join(e.reason for e in side[:2]))


def _matched(rules: _Rules, plain: str) -> _Side | None:
    """The scene side that the text carries; the longest one, and the unsafe one of two as long."""
    found = [side for side in rules.sides if _carries(plain, side.chunks)]
    return max(found, key=lambda s: (s.size, s.label == "unsafe"), default=None)


def _carries(plain: str, chunks: tuple[str, ...]) -> bool:
    """Whether the chunks follow each other in the text, as whole words, with slots as short gaps."""
    at, last = 0, -1
    for chunk in chunks:
        start = plain.find(chunk, at)
        while start >= 0 and not _whole(plain, start, start + len(chunk)):
            start = plain.find(chunk, start + 1)
        if start < 0 or (last >= 0 and start - last > _GAP):
            return False
        at = last = start + len(chunk)
    return bool(chunks)


def _whole(text: str, start: int, end: int) -> bool:
    before = start > 0 and text[start - 1].isalnum() and text[start].isalnum()
    after = end < len(text) and text[end].isalnum() and text[end - 1].isalnum()
    return not before and not after


def _evidence(rules: _Rules, plain: str) -> Iterable[_Evidence]:
    stems = frozenset(_stem(w) for w in _words(plain))
    named = rules.triggers.search(plain)
    yield from _near(rules, stems)
    yield from _lines(rules, plain, stems)
    if rules.mention.search(plain):
        yield _Evidence(2.0, f'quotes or explains "{named[0]}"' if named else "quotes or explains the term")
    setting = _STYLE.sub("", plain)
    best: _Evidence | None = None
    for context in rules.contexts:
        hit = context.pattern.search(setting)
        if not hit:
            continue
        if context.weight == 0:
            if named:
                yield _Evidence(
                    -1.5,
                    f'"{named[0]}" in a setting ({context.name}) that the policy disallows: "{context.line}"',
                )
            continue
        if best is None or context.weight > best.weight:
            best = _Evidence(context.weight, f'a harmless setting ({context.name}): "{hit[0].strip()}"')
    if best:
        yield best
    # A trigger is alarming by itself; only what stands around it can show that it is meant in earnest.
    around = rules.triggers.sub("#", setting)
    for marker in rules.markers:
        hit = marker.pattern.search(setting if marker.at_trigger else around)
        if hit:
            yield _Evidence(-marker.weight, f'{marker.reason}: "{hit[0].strip()}"')
    # Words that the policy itself uses only on one side of its scenes.
    lean = [(rules.leaning[s], s) for s in sorted(stems) if s in rules.leaning]
    total = max(-1.5, min(1.5, sum(w for w, _ in lean) / 2))
    if abs(total) >= 0.5:
        told = sorted((pair for pair in lean if pair[0] * total > 0), key=lambda p: (-abs(p[0]), p[1]))
        kind = "allows" if total > 0 else "disallows"
        yield _Evidence(total, f"uses words of scenes the policy {kind}: {', '.join(s for _, s in told[:3])}")


def _near(rules: _Rules, stems: frozenset[str]) -> Iterable[_Evidence]:
    """Evidence from scenes that the text nearly carries.

    Both sides of a scene share most words, so the closest side counts only with words of its own.
    """
    best: tuple[float, float, _Side] | None = None
    for side in rules.sides:
        shared = side.stems & stems
        if len(shared) < 2 or not side.own & stems:
            continue
        share = sum(rules.rarity[s] for s in shared) / sum(rules.rarity[s] for s in side.stems)
        own = len(side.own & stems) / len(side.own)
        if share >= _NEAR and (best is None or (own, share) > best[:2]):
            best = (own, share, side)
    if best and best[0] >= 0.5:
        side = best[2]
        yield _Evidence(
            3.0 if side.label == "benign" else -3.0,
            f'close to the policy\'s {side.label} scene "{side.fragment}"',
        )


def _lines(rules: _Rules, plain: str, stems: frozenset[str]) -> Iterable[_Evidence]:
    """Evidence from the lines of `disallowed` and `allowed`: word for word, or most of their words."""
    bad, good = _line(rules.disallowed, plain, stems), _line(rules.allowed, plain, stems)
    if bad:
        yield _Evidence(-bad[0], f'the category disallows "{bad[1].text}"')
    if good:
        yield _Evidence(good[0], f'the category allows "{good[1].text}"')


def _line(lines: tuple[_Line, ...], plain: str, stems: frozenset[str]) -> tuple[float, _Line] | None:
    best: tuple[float, _Line] | None = None
    for line in lines:
        shared = len(line.stems & stems)
        if line.phrase and line.phrase in plain:
            weight = 4.0 + 0.01 * len(line.phrase)  # of two quoted word for word the longer one counts more
        elif shared >= 2:
            weight = 2.0 if shared / len(line.stems) >= 0.5 else 1.0
        elif shared and len(line.stems) == 1:
            weight = 1.0
        else:
            continue
        if best is None or weight > best[0]:
            best = (weight, line)
    return best


# Rules of the categories alive, by identity: hashing a whole policy per text would cost more than the audit.
_CACHE: dict[int, tuple[weakref.ref[Category], _Rules]] = {}


def _rules(category: Category) -> _Rules:
    key = id(category)
    kept = _CACHE.get(key)
    if kept and kept[0]() is category:
        return kept[1]
    rules = _compile(category)
    _CACHE[key] = (weakref.ref(category, lambda _: _CACHE.pop(key, None)), rules)
    return rules


def _compile(category: Category) -> _Rules:
    table = _table()
    sides = tuple(_sides(category))
    disallowed = tuple(_as_line(t) for t in category.disallowed)
    allowed = tuple(_as_line(t) for t in category.allowed)
    contexts = []
    for name, rule in table["contexts"].items():
        when = _any(rule["when"])
        forbids = next((ln.text for ln in disallowed if when.search(_kept(ln.text))), "")
        permits = next((ln.text for ln in allowed if when.search(_plain(ln.text))), "")
        weight = 2.0 if permits else 0.0 if forbids else float(rule.get("weight", 1.0))
        contexts.append(_Context(name, _any(rule["says"]), weight, permits or forbids))
    subject = " ".join(
        [_plain(category.title), category.id.replace("_", " "), *map(_plain, category.disallowed)]
    )
    markers = [
        _Marker(rule["reason"], _any(rule["says"]), rule["weight"], name == "target")
        for name, rule in table["markers"].items()
        if "about" not in rule or _any(rule["about"]).search(subject)
    ]
    terms = "|".join(re.escape(_plain(t.term)) for t in sorted(category.triggers, key=lambda t: -len(t.term)))
    count = Counter(s for side in sides for s in side.stems)
    names = {_stem(w) for t in category.triggers for w in _words(_plain(t.term))}
    return _Rules(
        sides=sides,
        disallowed=disallowed,
        allowed=allowed,
        contexts=tuple(contexts),
        markers=tuple(markers),
        triggers=re.compile(rf"(?<!\w)(?:{terms})(?!\w)"),
        mention=re.compile(
            rf'["\'](?:{terms})["\']'
            rf"|\b(?:word|term|verb|adjective|phrase|called|named|titled|entitled) (?:{terms})(?!\w)"
        ),
        rarity={s: math.log(1 + len(sides) / n) for s, n in count.items()},
        leaning=_leaning(sides, names),
    )


def _sides(category: Category) -> Iterable[_Side]:
    for trigger in category.triggers:
        for scene in trigger.scenes:
            sides: tuple[tuple[Label, str | None, str | None], ...] = (
                ("benign", scene.benign, scene.unsafe),
                ("unsafe", scene.unsafe, scene.benign),
            )
            for label, fragment, other in sides:
                if fragment:
                    chunks, stems = _chunks(fragment), _fragment_stems(fragment)
                    own = stems - _fragment_stems(other or "")
                    if stems:
                        yield _Side(label, fragment, chunks, stems, own, sum(map(len, chunks)))


def _chunks(fragment: str) -> tuple[str, ...]:
    return tuple(c for c in (part.strip(" .?!") for part in _SLOT.split(_plain(fragment))) if c)


def _fragment_stems(fragment: str) -> frozenset[str]:
    return frozenset(_stem(w) for chunk in _chunks(fragment) for w in _words(chunk))


def _leaning(sides: tuple[_Side, ...], names: set[str]) -> dict[str, float]:
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


def _as_line(text: str) -> _Line:
    kept = _kept(text)
    phrase = _CARRIER.sub("", re.split(r"[.;:(]", kept, maxsplit=1)[0].strip(" ,"))
    words = _words(phrase)
    return _Line(text, phrase if len(words) >= 2 else "", frozenset(_stem(w) for w in _words(kept)))


def _kept(text: str) -> str:
    """A policy's line without what it excepts."""
    return _EXCEPTION.split(_plain(text), maxsplit=1)[0].strip(" ,")


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


def _plain(text: str) -> str:
    """Lower case, straight quotes, single blanks."""
    text = unicodedata.normalize("NFC", text).lower()
    return " ".join(text.translate(_QUOTES).split())


_QUOTES = str.maketrans("‘’“”", "''\"\"")


@lru_cache(maxsize=16384)
def _stem(word: str) -> str:
    """A crude stem, enough to let "stabbing", "stabs" and "stabbed" meet."""
    for end in ("'s", "ies", "ing", "ed", "es", "s"):
        if word.endswith(end) and len(word) - len(end) >= 3:
            word = word[: -len(end)] + ("y" if end == "ies" else "")
            break
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "aeiosl":
        word = word[:-1]
    return word.removesuffix("e") if len(word) > 3 else word


def _words(plain: str) -> list[str]:
    return [w for w in re.findall(r"[^\W\d_]+(?:['-][^\W\d_]+)*", plain) if len(w) > 2 and w not in _STOP]


class Rules:
    """The rules as a judge of the registry: `builtin/rules`."""

    name = NAME

    @staticmethod
    def audit_text(policy: Policy, category: Category, text: str) -> Vote:
        """See the function `audit_text`."""
        return audit_text(policy, category, text)
