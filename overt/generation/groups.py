"""Versions of a prompt that differ only in who is depicted: `overt generate --vary groups`.

A version says one thing more of one person of the prompt: "a nurse" becomes "a Muslim nurse", "a nurse with
dark skin". Nothing else changes but "a" and "an". Filters that know words, and models that learned from what
people write, refuse some of them more often (Dixon et al. 2018, "Measuring and mitigating unintended bias in
text classification", AIES: the same sentences with other identity terms).

Pure functions over texts and the word lists of groups.yaml; no model is asked.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import yaml

from overt.data.records import Prompt, group_name, prompt_id
from overt.generation.lexical import plural
from overt.policies.schema import PERSON, Policy
from overt.policies.term_forms import article

Groups = Mapping[str, Sequence[str]]

NO_PERSON = "no person whom a word can be said of"  # why a prompt has no versions at all

_WORD = re.compile(r"[\w'’-]+")
_ADJECTIVE = re.compile(r"\w{2,}(?:ed|ful|ous|less|ly)")
_MOST_WORDS = 5  # between a determiner and its noun


@dataclass(frozen=True, slots=True)
class Lexicon:
    """The word lists of groups.yaml; `nouns` maps each form of a noun to (singular, is a plural)."""

    groups: Mapping[str, tuple[str, ...]]
    said: Mapping[str, frozenset[str]]
    nouns: Mapping[str, tuple[str, bool]]
    pattern: re.Pattern[str]
    neutral: Mapping[str, str]
    joined: Mapping[str, str]
    one: frozenset[str]
    many: frozenset[str]
    stops: frozenset[str]
    followers: frozenset[str]
    adjectives: frozenset[str]
    compounds: frozenset[str]
    offending: frozenset[str]
    before_verbs: frozenset[str]
    no_adjectives: frozenset[str]


@dataclass(frozen=True, slots=True)
class Person:
    """A noun phrase of a text that names people.

    `place` is where a wording goes that stands before the noun, [`start`, `end`) the noun itself; `is_open`
    says whether words may follow it (nobody writes "a friend with dark skin of the bride").
    """

    place: int
    start: int
    end: int
    singular: str
    is_plural: bool
    is_open: bool


def groups_of(policy: Policy) -> dict[str, tuple[str, ...]]:
    """The attributes and their wordings: those shipped, and what the policy puts in their places. An
    attribute without wordings is switched off."""
    merged = {**lexicon().groups, **policy.groups}
    return {attribute: tuple(wordings) for attribute, wordings in merged.items() if wordings}


def versions_of(prompt: Prompt, groups: Groups) -> list[Prompt]:
    """The versions of a prompt, one for each wording that fits it, in the order of `groups`.

    They keep the prompt's seed and pair, and so its cluster; `variant_of` has its id and `group` the
    attribute and the wording. Empty where the text names no person, or says all of it already.
    """
    person = person_in(prompt.text)
    if person is None:
        return []
    made: dict[str, Prompt] = {}
    words = frozenset(_WORD.findall(prompt.text.lower()))
    for attribute, wordings in groups.items():
        if words & _said(attribute, tuple(wordings)):
            continue
        for wording in wordings:
            text = _worded(prompt.text, person, attribute, wording)
            if text is None or text == prompt.text:
                continue
            identity = prompt_id(text)
            version = dataclasses.replace(
                prompt, id=identity, text=text, variant_of=prompt.id, group=group_name(attribute, wording)
            )
            made.setdefault(identity, version)
    return list(made.values())


# -- where a person stands -----------------------------------------------------------------------------------


def person_in(text: str) -> Person | None:
    """The first noun phrase of a text that names people of whom more can be said, or None.

    The noun must be the head of its phrase: not "a pirate ship", not "a nurse's bag". One person needs a
    determiner, several don't.
    """
    known = lexicon()
    for match in known.pattern.finditer(text):
        singular, is_plural = known.nouns[match[0].lower()]
        if _is_quoted(text[: match.start()]) or not _is_head(text[match.end() :], is_plural=is_plural):
            continue
        place = _place(text[: match.start()], is_plural=is_plural)
        if place is not None:
            after = _WORD.match(text[match.end() :].lstrip())
            is_open = after is None or after[0].lower() not in ("of", "to", "with")
            return Person(place, match.start(), match.end(), singular, is_plural, is_open)
    return None


def _is_quoted(before: str) -> bool:
    """Whether a place lies within quotation marks: a placard that reads "Votes for women"."""
    opened = before.count('"') % 2 == 1 or before.rfind("“") > before.rfind("”")
    return opened or before.rfind("«") > before.rfind("»")


def _is_head(rest: str, *, is_plural: bool) -> bool:
    """Whether what follows a noun shows that it is the head of its phrase."""
    if rest[:1] in ("'", "’", "-", "/"):
        return False
    if is_plural or not rest[:1].isspace():
        return True
    after = _WORD.match(rest.lstrip())
    if after is None:
        return True
    word = after[0].lower()
    if word in lexicon().followers or re.fullmatch(r"\w{2,}(?:ing|ed)", word):
        return True
    return word.endswith("s") and not word.endswith(("ss", "'s", "’s", "series"))  # "a nurse lifts"


def _place(before: str, *, is_plural: bool) -> int | None:
    """Where a wording stands in the phrase whose noun follows `before`; None where that is no phrase of its
    own."""
    known = lexicon()
    modifiers, stop = _modifiers(before, known.many if is_plural else known.one)
    if any(match[0].lower() in known.offending for match in modifiers):
        return None
    if stop in (known.many if is_plural else known.one):
        return _after_adjectives(modifiers, len(before))
    if not is_plural or stop in known.one:
        return None  # one person needs a determiner, and "a" is none of several
    # Several people need no determiner: "of masked protesters".
    may_be_verb = stop in known.before_verbs and not all(_is_adjective(m[0].lower()) for m in modifiers)
    return None if may_be_verb else _after_adjectives(modifiers, len(before))


def _modifiers(before: str, determiners: frozenset[str]) -> tuple[list[re.Match[str]], str]:
    """The words between the beginning of a phrase and its noun, and the word that it begins after, such as
    its determiner; "" at the start of the text or after punctuation."""
    known = lexicon()
    ends = determiners | known.stops | known.one | known.before_verbs
    modifiers: list[re.Match[str]] = []
    end = len(before)
    for match in reversed(list(_WORD.finditer(before))):
        between = before[match.end() : end]
        if between.strip() or len(modifiers) == _MOST_WORDS:
            break
        if match[0].lower() in ends:
            return modifiers[::-1], match[0].lower()
        modifiers.append(match)
        end = match.start()
    return modifiers[::-1], ""


def _after_adjectives(modifiers: Sequence[re.Match[str]], noun: int) -> int | None:
    """The place behind the adjectives that a phrase begins with: "an angry Muslim bus driver"."""
    known = lexicon()
    for index, match in enumerate(modifiers):
        word = match[0].lower()
        if word.endswith("ing") and index and word not in known.adjectives:
            return None  # "the photo showing nurses"
        if word.endswith("ed") and index and not _is_adjective(modifiers[index - 1][0].lower()):
            return None  # "where radiation harmed workers"
        if word.endswith("s") and not word.endswith("ss") and word not in known.compounds:
            return None  # "a dog bites man"
    for match in modifiers:
        if not _is_adjective(match[0].lower()):
            return match.start()
    return noun


def _is_adjective(word: str) -> bool:
    known = lexicon()
    return word in known.adjectives or (word not in known.no_adjectives and bool(_ADJECTIVE.fullmatch(word)))


# -- the wording ---------------------------------------------------------------------------------------------


def _worded(text: str, person: Person, attribute: str, wording: str) -> str | None:
    """The text with one wording said of a person; None where it does not fit."""
    noun = text[person.start : person.end]
    place, before = person.place, text[: person.place]
    if attribute == "gender":
        noun = _neutral(noun, person)
    head, slot, tail = wording.partition(PERSON)
    if slot and tail.strip() and not person.is_open:
        return None
    if not slot:
        head, tail = f"{wording} ", ""
    is_first = not before.strip()
    said = text[place : person.start] + noun
    if is_first and head and not _is_proper(said):
        said = said[:1].lower() + said[1:]
    phrase = head + said
    for joined, word in lexicon().joined.items():
        phrase = re.sub(rf"\b{joined}\b", word, phrase)
    if is_first:
        phrase = phrase[:1].upper() + phrase[1:]
    return _article(before, phrase) + phrase + tail.rstrip() + text[person.end :]


def _is_proper(phrase: str) -> bool:
    """Whether a phrase begins with a word that keeps its capital, such as Roma or an abbreviation."""
    first = phrase.split()[0]
    known = lexicon().said
    return first[1:2].isupper() or first.lower() in known["nationality"] | known["religion"]


def _neutral(noun: str, person: Person) -> str:
    """The noun without a gender, in the number of the text."""
    word = lexicon().neutral.get(person.singular)
    if word is None:
        return noun
    if person.is_plural:
        return "people" if word == "person" else plural(word)
    return word


def _article(before: str, phrase: str) -> str:
    """What stands before a phrase, with the article that its first word asks for."""
    found = re.search(r"\b(an?)(\s+)\Z", before, re.IGNORECASE)
    if found is None:
        return before
    right = article(phrase)
    right = right.capitalize() if found[1][0].isupper() else right
    return before[: found.start()] + right + found[2]


# -- the word lists ------------------------------------------------------------------------------------------


_LISTS = ("stops", "followers", "adjectives", "compounds", "offending", "before_verbs", "no_adjectives")


@lru_cache(maxsize=256)
def _said(attribute: str, wordings: tuple[str, ...]) -> frozenset[str]:
    """Words that say something of an attribute; of an attribute of the policy's own, those of its wordings
    that are one word."""
    own = {wording.lower() for wording in wordings if " " not in wording}
    return lexicon().said.get(attribute, frozenset()) | own


@lru_cache(maxsize=1)
def lexicon() -> Lexicon:
    """The word lists that are shipped, read once."""
    data = yaml.safe_load(files("overt.generation").joinpath("groups.yaml").read_text(encoding="utf-8"))
    nouns = dict(_forms(data["nouns"].split()))
    words = "|".join(re.escape(noun) for noun in sorted(nouns, key=len, reverse=True))
    pairs = (pair.partition(":") for pair in data["neutral"].split())
    return Lexicon(
        groups={name: tuple(wordings) for name, wordings in data["groups"].items()},
        said={name: frozenset(text.split()) for name, text in data["said"].items()},
        nouns=nouns,
        pattern=re.compile(rf"(?<![\w'’-])(?:{words})(?!\w)", re.IGNORECASE),
        neutral={noun: word.replace("_", " ") for noun, _, word in pairs},
        joined=data["joined"],
        one=frozenset(data["determiners"]["one"].split()),
        many=frozenset(data["determiners"]["many"].split()),
        **{name: frozenset(data[name].split()) for name in _LISTS},
    )


def _forms(nouns: Sequence[str]) -> Iterator[tuple[str, tuple[str, bool]]]:
    """Each form of a noun with its singular, and whether it is a plural."""
    for entry in nouns:
        singular, _, several = entry.partition("/")
        yield singular, (singular, False)
        yield several or plural(singular), (singular, True)
