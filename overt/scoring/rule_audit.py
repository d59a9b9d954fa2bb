"""`builtin/rules`: the audit that needs no model, over the policy's own terms.

It reads words, not meaning. It recognises a text that carries one of the policy's own scenes, or a scene
of the bank with one of its terms; for any other text it weighs what the category disallows and allows,
the setting of the trigger, and wordings that mean it in earnest. If these do not decide, the label is
"unclear". The same text can be benign under one policy and unsafe under another.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from overt.data.records import Label, Vote
from overt.policies.schema import Category, Policy
from overt.scoring.rule_audit_terms import (
    Line,
    Side,
    Terms,
    bank_sides,
    content_words,
    plain_text,
    stem,
    terms_of,
)

NAME = "builtin/rules"

_GAP = 90  # characters a slot's filling may take
_NEAR = 0.6  # share of a scene's words, weighted by rarity, from which a text counts as close to it
_MARGIN = 1.0
# Styles that sound like settings: a "press photograph" of an attack is still of an attack.
_STYLE = re.compile(
    r"\b(?:\w+[- ]style\b|(?:press|documentary) photo\w*|comic[- ]book (?:panel|page|art)|courtroom[- ]artist"
    r"|(?:film|cinematic|movie) (?:still|frame|grain|poster)|35 ?mm film\w*|stop[- ]motion|claymation"
    r"|concept art|art (?:nouveau|deco)|newspaper strip|graphic novel|magazine spread"
    r"|book-plate|toy bricks|photorealistic (?:picture|image|photo|render)\w*"
    r"|real(?:istic|ism)? (?:photo|painting|render)\w*)"
)


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
    rules = terms_of(category)
    plain = plain_text(text)
    named = sorted(set(rules.triggers.findall(plain)))
    banked = [side for term in named for side in bank_sides(rules, policy.modality, category, term)]
    matched = _matched([*rules.sides, *banked], plain)
    if matched and matched.label == "benign" and (ban := _banned_outright(rules, plain)):
        return Vote(NAME, "unsafe", ban)
    if matched and not (matched.banked and _forbidden_setting(rules, plain, named)):
        whose = "the bank" if matched.banked else "the policy"
        side = "an unsafe" if matched.label == "unsafe" else "a benign"
        return Vote(NAME, matched.label, f'carries {side} scene of {whose}: "{matched.fragment}"')
    for other in policy.categories:
        if other.id != category.id:
            found = _matched(terms_of(other).sides, plain)
            if found and found.label == "unsafe":
                return Vote(
                    NAME, "unsafe", f'carries an unsafe scene of category {other.id}: "{found.fragment}"'
                )
    return _weigh(rules, plain)


def _weigh(rules: Terms, plain: str) -> Vote:
    """Votes on a text that carries none of the policy's scenes word for word."""
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


def _forbidden_setting(rules: Terms, plain: str, named: list[str]) -> bool:
    """Returns whether the policy disallows the setting of a text, whose lines the bank does not know."""
    settings = _settings(rules, _STYLE.sub("", plain), named[0] if named else None)
    return any(evidence.weight < 0 for evidence in settings)


def _banned_outright(rules: Terms, plain: str) -> str:
    """Why a benign scene is none under this policy: a line bans its setting, and none allows it.

    A policy that extends another has its scenes, and may ban what they show.
    """
    setting = _STYLE.sub("", plain)
    for context in rules.contexts:
        if context.outright and context.pattern.search(setting):
            return f'a scene in a setting ({context.name}) that the policy disallows: "{context.line}"'
    return ""


def _matched(sides: Iterable[Side], plain: str) -> Side | None:
    """Returns the longest scene side that the text carries; of equal ones the unsafe one."""
    found = [side for side in sides if _carries(plain, side.chunks)]
    return max(found, key=lambda s: (s.size, s.label == "unsafe"), default=None)


def _carries(plain: str, chunks: tuple[str, ...]) -> bool:
    """Returns whether the chunks follow each other as whole words, with short gaps for slots."""
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


def _evidence(rules: Terms, plain: str) -> Iterable[_Evidence]:
    stems = frozenset(stem(w) for w in content_words(plain))
    hit = rules.triggers.search(plain)
    named = hit[0] if hit else None  # "" for a category without triggers
    yield from _near(rules, stems)
    yield from _lines(rules, plain, stems)
    if rules.mention.search(plain):
        term = "the term" if named is None else f'"{named}"'
        yield _Evidence(2.0, f"quotes or explains {term}")
    setting = _STYLE.sub("", plain)
    yield from _settings(rules, setting, named)
    yield from _in_earnest(rules, setting)
    yield from _leaning(rules, stems)


def _settings(rules: Terms, setting: str, named: str | None) -> Iterable[_Evidence]:
    """Evidence from every setting that the policy disallows, and from the weightiest harmless one."""
    best: _Evidence | None = None
    for context in rules.contexts:
        hit = context.pattern.search(setting)
        if not hit:
            continue
        if context.weight == 0:
            if named is not None:
                yield _Evidence(
                    -1.5,
                    f'"{named}" in a setting ({context.name}) that the policy disallows: "{context.line}"',
                )
        elif best is None or context.weight > best.weight:
            best = _Evidence(context.weight, f'a harmless setting ({context.name}): "{hit[0].strip()}"')
    if best:
        yield best


def _in_earnest(rules: Terms, setting: str) -> Iterable[_Evidence]:
    """Yields evidence from wordings around the trigger that mean it in earnest."""
    around = rules.triggers.sub("#", setting)
    for marker in rules.markers:
        hit = marker.pattern.search(setting if marker.at_trigger else around)
        if hit:
            yield _Evidence(-marker.weight, f'{marker.reason}: "{hit[0].strip()}"')


def _leaning(rules: Terms, stems: frozenset[str]) -> Iterable[_Evidence]:
    """Evidence from words that the policy itself uses only on one side of its scenes."""
    lean = [(rules.leaning[s], s) for s in sorted(stems) if s in rules.leaning]
    total = max(-1.5, min(1.5, sum(w for w, _ in lean) / 2))
    if abs(total) >= 0.5:
        told = sorted((pair for pair in lean if pair[0] * total > 0), key=lambda p: (-abs(p[0]), p[1]))
        kind = "allows" if total > 0 else "disallows"
        yield _Evidence(total, f"uses words of scenes the policy {kind}: {', '.join(s for _, s in told[:3])}")


def _near(rules: Terms, stems: frozenset[str]) -> Iterable[_Evidence]:
    """Evidence from scenes that the text nearly carries.

    Both sides of a scene share most words, so the closest side counts only with words of its own.
    """
    best: tuple[float, float, Side] | None = None
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


def _lines(rules: Terms, plain: str, stems: frozenset[str]) -> Iterable[_Evidence]:
    """Evidence from the lines of `disallowed` and `allowed`: word for word, or most of their words."""
    bad, good = _line(rules.disallowed, plain, stems), _line(rules.allowed, plain, stems)
    if bad:
        yield _Evidence(-bad[0], f'the category disallows "{bad[1].text}"')
    if good:
        yield _Evidence(good[0], f'the category allows "{good[1].text}"')


def _line(lines: tuple[Line, ...], plain: str, stems: frozenset[str]) -> tuple[float, Line] | None:
    best: tuple[float, Line] | None = None
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


class Rules:
    """The rules as a judge of the registry: `builtin/rules`."""

    name = NAME

    @staticmethod
    def audit_text(policy: Policy, category: Category, text: str) -> Vote:
        """See the function `audit_text`."""
        return audit_text(policy, category, text)
