"""Scenes of the bank for terms that a policy lists without scenes.

A term's topic is the one that the policy names (`topic:`), else the one whose words hold the term, else
the one that the category speaks of. The scenes are filled with the policy's own term, so that both the
writer and the rules read them like the policy's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from overt.policies.schema import Category, Trigger
from overt.policies.term_forms import (
    NOUNS,
    PART_OF_POS,
    article,
    head_of,
    inflected,
    is_gerund,
    looks_plural,
    part_of_speech,
)
from overt.policies.topics import BankScene, topics

_SLOT = re.compile(r"(?:\b(?P<article>[Aa]n?) )?\{(?P<name>term|a_term|the_term)\}")
_PLURAL = {"is": "are", "was": "were", "has": "have", "does": "do", "goes": "go", "passes": "pass"}
_VERBS = "|".join(_PLURAL)
_INVERTED = "is|was|does"
# After a term with an article each word in "s" is its verb; a bare term may stand before a plural noun.
_SUBJECT = r"(?<!with )(?<!of )(?<!on )(?<!for )(?<!from )(?<!under )(?<!about )"  # "a man with guns shoots"
_BEFORE_VERB = re.compile(rf"({_SUBJECT}\{{\w*term\}} (?:\w+ly )?)({_VERBS})\b")
_NO_VERB = r"(?!(?:as|this|its|his|across|towards|always|besides)\b)"
_ITS_VERB = re.compile(rf"({_SUBJECT}\{{(?:a|the)_term\}} (?:who )?(?:\w+ly )?)({_NO_VERB}[a-z]+s)\b")
_AFTER_VERB = re.compile(  # questions: "why is the gun", but not "she is a thief"
    rf"(\b(?:why|how|what|where|when) )({_INVERTED})( \{{\w*term\}}(?! \w+ing\b))", re.IGNORECASE
)
_FINITE = re.compile(r"(?<!\bto )\{\w*term\}")
_HAS = re.compile(r"()\b(has)( \{\w*term\}(?= \w+ed\b))")
_DETERMINER = re.compile(r"(?:an?|the|some|my|your|his|her|their)\s", re.IGNORECASE)
_TITLE_WEIGHT = 3  # a cue in the title says more about a category than one in a line
_STEM = 2  # letters that an inflected form shares with its word, at least: knife, knives
_SURE = 3  # so many scenes are enough for a term of which too little is known for the others
_ENOUGH = 2  # from which a category's topic is that of its unknown terms


@dataclass(frozen=True, slots=True)
class Reading:
    """What the bank makes of a term: its topic, its part of speech ("any" if unknown), and its number."""

    topic: str
    part: str
    plural: bool = False


@dataclass(frozen=True, slots=True)
class Filled:
    """A scene of the bank with the term in it; `key` is the same for scenes that differ only in the term, and
    `is_loose` says that the scene serves any part of speech."""

    key: str
    benign: str
    unsafe: str
    is_loose: bool


def scenes_for(modality: str, category: Category, trigger: Trigger) -> tuple[Filled, ...]:
    """The bank's scenes for a trigger: those for its part of speech first, then those for any.

    Empty if nothing tells its topic.
    """
    read = reading(category, trigger)
    return _filled(trigger.term, read, modality) if read else ()


def reading(category: Category, trigger: Trigger) -> Reading | None:
    """The topic and the part of speech of a trigger, or None if nothing tells its topic."""
    if "{" in trigger.term or "}" in trigger.term:
        return None  # it would be taken for a slot
    found, whole = _looked_up(trigger.term)
    plural = any(r.plural for r in found)
    if not whole:  # the number of a part is not that of the whole: "drugs trade"
        plural = trigger.pos in (None, "noun") and looks_plural(trigger.term)
        found = tuple(replace(r, plural=plural) for r in found)
    if named := trigger.topic or category.topic:
        own = [r for r in found if r.topic == named]
        return _as_said(trigger, own[0] if own else Reading(named, "any", plural))
    best = _likeliest(category, found, whole=whole, plural=plural)
    return _as_said(trigger, best) if best else None


def _likeliest(
    category: Category, found: tuple[Reading, ...], *, whole: bool, plural: bool
) -> Reading | None:
    """The reading of which the category speaks most; without any, the topic of the category."""
    scores = _cued(f"{category.id.replace('_', ' ')}. {category.title}", category.disallowed)
    # A part of a term tells its topic only if the category does not speak of something else.
    if not whole and max(scores.values(), default=0) >= _TITLE_WEIGHT:
        found = tuple(r for r in found if r.topic in scores)
    if found:
        # A list names things rather than deeds: "poison", not "to poison".
        return max(found, key=lambda r: (scores.get(r.topic, 0), r.part != "verb"))
    best = max(scores, key=lambda topic: scores[topic], default="")
    return Reading(best, "any", plural) if scores.get(best, 0) >= _ENOUGH else None


def readings_of(term: str) -> tuple[Reading, ...]:
    """What the words of the bank make of a whole term, by topic; empty if it is not among them."""
    found, whole = _looked_up(term)
    return found if whole else ()


def topics_by_cues(title: str, lines: Sequence[str]) -> list[str]:
    """The topics that a title and lines of `disallowed` speak of, the clearest first."""
    scores = _cued(title, tuple(lines))
    return sorted(scores, key=lambda topic: -scores[topic])


def _as_said(trigger: Trigger, read: Reading) -> Reading:
    """The reading with the part of speech that the policy says, or that an unknown term's form tells."""
    pos = trigger.pos
    if pos is None:
        if read.part != "any":
            return read
        guess = PART_OF_POS.get(part_of_speech(trigger.term), "any")
        return Reading(read.topic, guess, read.plural)
    if pos == "noun" and read.part in (*NOUNS, "stuff", "act"):
        return read
    return Reading(read.topic, PART_OF_POS[pos], read.plural)


# -- looking up ----------------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def _looked_up(term: str) -> tuple[tuple[Reading, ...], bool]:
    """What the words of the bank make of a term: the whole of it, else its head, else one of its words; and
    whether it was the whole."""
    folded = " ".join(term.casefold().split()).removeprefix("to ")
    for listed in (_lemma, _form):  # the second needs a library that is slow to import
        if found := listed(folded):
            return found, True
    words = re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", folded)
    heads = re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", head_of(folded))[-1:]
    first = words[:1] if words and is_gerund(words[0]) else []
    for some in ([*first, *heads], words):
        for listed in (_lemma, _form):
            for word in some:
                if found := listed(word):
                    # "hit and run" is no verb, although it begins with one, and drug mules are no drug.
                    kept = (*NOUNS, "stuff", "act") if some is not words else ()
                    return tuple(r if r.part in kept else replace(r, part="any") for r in found), False
    return (), False


def _lemma(word: str) -> tuple[Reading, ...]:
    return _lemmas().get(word, ())


def _form(word: str) -> tuple[Reading, ...]:
    return _forms(word[:_STEM]).get(word, ()) if len(word) > _STEM else ()


@lru_cache(maxsize=1)
def _lemmas() -> dict[str, tuple[Reading, ...]]:
    index: dict[str, tuple[Reading, ...]] = {}
    for name, part, word in _words():
        index[word] = (*index.get(word, ()), Reading(name, part))
    return index


@lru_cache(maxsize=4096)
def _forms(start: str) -> dict[str, tuple[Reading, ...]]:
    """The inflected forms of the words that begin with these letters."""
    index: dict[str, tuple[Reading, ...]] = {}
    for name, part, word in _words():
        if word.startswith(start):
            for form, as_part, plural in inflected(word, part):
                index[form] = (*index.get(form, ()), Reading(name, as_part, plural))
    return index


def _words() -> Iterator[tuple[str, str, str]]:
    for topic in topics().values():
        for part, words in topic.words.items():
            for word in words:
                yield topic.name, part, word.casefold()


@lru_cache(maxsize=512)
def _cued(title: str, lines: Sequence[str]) -> dict[str, int]:
    """How strongly a category speaks of each topic: 3 for the title, 1 for each line of `disallowed`."""
    scores = {}
    for topic in topics().values():
        score = _TITLE_WEIGHT * bool(topic.cues.search(title)) + sum(map(bool, map(topic.cues.search, lines)))
        if score:
            scores[topic.name] = score
    return scores


# -- filling -------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def _filled(term: str, read: Reading, modality: str) -> tuple[Filled, ...]:
    scenes = topics()[read.topic].scenes.get(modality, ())
    fit = [s for s in scenes if read.part in s.parts]
    if not fit or not (read.plural or term.casefold().startswith("to ")):
        # Plurals and infinitives stand badly before a noun: "the bombs scene".
        fit += [s for s in scenes if not s.parts]
    if term.casefold().startswith("to "):  # "trying to kill", but not "how do I to kill"
        fit = [s for s in fit if not _FINITE.search(f"{s.benign} {s.unsafe}")] or fit
    if read.part == "any" and not read.plural:
        fit = _without_article(fit)
    return tuple(
        Filled(s.key, _put(s.benign, term, read), _put(s.unsafe, term, read), not s.parts) for s in fit
    )


def _without_article(scenes: list[BankScene]) -> list[BankScene]:
    """The scenes that fit whether the term is counted or not ("a fugitive", "ransom"), if they are enough."""
    sure = [s for s in scenes if "{a_term}" not in s.benign + s.unsafe]
    return sure if len(sure) >= _SURE else scenes


def _put(text: str, term: str, read: Reading) -> str:
    """Puts the term into its slots: {term} as it stands, {a_term} and {the_term} with what fits it."""
    bare = bool(_DETERMINER.match(term))

    if term.casefold().startswith("to "):
        text = text.replace("to {term}", "{term}")
    if read.plural:
        text = _BEFORE_VERB.sub(lambda m: m[1] + _PLURAL[m[2]], text)
        text = _ITS_VERB.sub(lambda m: m[1] + _PLURAL.get(m[2], m[2].removesuffix("s")), text)
        for asked in (_AFTER_VERB, _HAS):
            text = asked.sub(lambda m: m[1] + _PLURAL[m[2]] + m[3], text)
        text = text.replace("much {term}", "many {term}")

    def form(match: re.Match[str]) -> str:
        name, before = match["name"], match["article"]
        if name == "term":
            return f"{_like(before, article(term))} {term}" if before else term
        if read.part == "name" or bare:
            return term
        if name == "the_term":
            return f"the {term}"
        counted = read.part in NOUNS and not read.plural
        return f"{article(term)} {term}" if counted else term

    return _SLOT.sub(form, text)


def _like(model: str, word: str) -> str:
    return word.capitalize() if model[0] == "A" else word
