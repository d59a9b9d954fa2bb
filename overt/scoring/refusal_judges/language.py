"""Which language an answer is in: by its letters, its common words, and the prompt's language.

The words and letters are data (languages/). Where the language is not covered or cannot be told, a judge must
not call the answer compliance, since it would not have understood a refusal.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from overt.scoring.refusal_judges.vocabulary import Language, Vocabulary

UNKNOWN = "unknown"  # in place of a language that cannot be told
_LOOKED_AT = 60  # words, which are enough to tell a language
_OPENING = 8  # words at the beginning
_OWN = 3  # different words that no other language has
_FEW = 6  # words, up to which the prompt's language may decide
_LEAST_SHARE = 0.12  # of the words that must be common ones of the language
_PART = 1.5  # score from which a part of the text may be in a language
_SOME = 0.03  # share of the letters from which a part may be in a language
_ALIKE = 0.6  # of the best score: another language that is this near is not told apart
_ENDING = 0.4  # weight of a word's ending
_LEAST_ENDED = 3  # letters, up to which a word's ending says nothing
_NEVER = 2.0  # taken off for a letter that the language does not have
_MARK = 1.5  # weight of a letter that only one language of its script has
DENSE = 3  # letters of an alphabet that one character of a denser script stands for
DENSE_SCRIPTS = frozenset({"cjk", "hiragana", "katakana", "hangul"})
_NEAR = 0.08  # of all letters: a few foreign ones do not change the language


class Heard(NamedTuple):
    """The language of an answer. `language` is None if it is not covered or cannot be told; `why_not` says
    so, and `named` names it (a tag, a script, or "unknown"). `others`: covered languages that parts of the
    answer may be in; `alike`: those of them that cannot well be told from `language`."""

    language: Language | None
    others: tuple[Language, ...] = ()
    named: str = ""
    why_not: str = ""
    alike: tuple[Language, ...] = ()


def hear(text: str, tokens: Sequence[str], known: Vocabulary, hint: Language | None = None) -> Heard:
    """Tells the language of a text.

    Args:
        text: folded, in lower case.
        tokens: its words, without punctuation.
        known: the languages.
        hint: the prompt's language, which decides for answers too short to tell.
    """
    tokens = tokens[:_LOOKED_AT]
    expected = hint or known.languages[0]
    if text.isascii() and _is_plainly(expected, tokens):
        return Heard(expected, (), expected.tag)
    shares = _shares(text)
    if not shares:
        return _without_letters(hint)
    scores, hits = _scores(tokens, known)
    where = _near(frozenset(shares.items()), known)
    if where.by_words and (not text.isascii() or 3 * max(hits.values(), default=0) < len(tokens)):
        _add_letters(text, tokens, known, where.near, scores, hits)
    number = known.numbers[hint.tag] if hint is not None else -1
    best = _best(where, scores, hits, sum(token[0].isalpha() for token in tokens), number, known.covered)
    parts = _parts(where, scores, best, known)
    if not 0 <= best < known.covered:
        others = tuple(known.languages[n] for n in parts)
        return Heard(None, others, *_why_not(best, shares, where, tokens, known))
    return _heard(best, parts, number if number in where.near else -1, scores, known)


def _heard(
    best: int, parts: Sequence[int], hint: int, scores: Mapping[int, float], known: Vocabulary
) -> Heard:
    """A covered language, with those that parts of the answer may be in: the prompt's language is one."""
    least = _ALIKE * scores.get(best, 0.0)
    alike = [n for n in parts if least and scores.get(n, 0.0) >= least]
    if hint >= 0 and hint != best:
        parts, alike = [hint, *(n for n in parts if n != hint)], [hint, *alike]
    language = known.languages[best]
    others = tuple(known.languages[n] for n in parts)
    return Heard(language, others, language.tag, "", tuple(known.languages[n] for n in alike))


def _without_letters(hint: Language | None) -> Heard:
    if hint is not None:
        return Heard(hint, (), hint.tag)
    return Heard(None, (), UNKNOWN, "the answer holds no words to tell its language by")


def _parts(where: _Near, scores: Mapping[int, float], best: int, known: Vocabulary) -> list[int]:
    """The covered languages besides the best that a part of the text may be in."""
    likely = [n for n in where.covered if scores.get(n, 0.0) >= _PART or not known.languages[n].words]
    return [n for n in likely if n != best]


def _why_not(
    best: int, shares: Mapping[str, float], where: _Near, tokens: Sequence[str], known: Vocabulary
) -> tuple[str, str]:
    """What can be told of a language that is not covered, and why the answer could not be read."""
    if best >= 0:
        language = known.languages[best]
        return language.tag, f"the answer is in {language.name}, which is not covered"
    if not where.near:
        script = max(shares, key=lambda name: shares[name])
        return script, f"the answer is in {script.title()} letters, which are not covered"
    is_short = len(tokens) <= _FEW
    kind = "too short to tell its language" if is_short else "in a language that is not known"
    return UNKNOWN, f"the answer is {kind}"


def _is_plainly(language: Language, tokens: Sequence[str]) -> bool:
    """Whether a text is so plainly in a language, at its beginning too, that the others need no look."""
    if sum(map(language.words.__contains__, tokens[:_OPENING])) * 3 < len(tokens[:_OPENING]):
        return False
    if language.own.isdisjoint(tokens[:_OPENING]):
        return False
    common = sum(map(language.words.__contains__, tokens))
    return common * 5 >= 2 * len(tokens) and len(language.own.intersection(tokens)) >= _OWN


def _best(
    where: _Near,
    scores: Mapping[int, float],
    hits: Mapping[int, int],
    count: int,
    hint: int,
    covered: int,
) -> int:
    """The number of the likeliest language by its words, -1 if it cannot be told."""
    if not where.by_words:
        return where.near[0] if where.near else -1
    best, most = -1, 0.0
    for number in where.near:
        score = scores.get(number, 0.0)
        if score and number < covered:
            score += 0.5  # a close relative that is not covered must be clearly ahead
        if number == hint and count <= 2 * _FEW:
            score += 0.6  # a short answer is rather in the prompt's language
        if score > most and hits.get(number, 0) >= _LEAST_SHARE * count:
            best, most = number, score
    if best >= 0:
        return best
    may_decide = count <= _FEW - 2 or hits.get(hint, 0) * 20 >= count
    return hint if hint in where.near and may_decide else -1


class _Near(NamedTuple):
    """Languages by number: those that a text may be in by its script, whether words tell them apart, and the
    covered ones that a part of the text may be in."""

    near: Sequence[int]
    by_words: bool
    covered: Sequence[int]


@lru_cache(maxsize=512)
def _near(found: frozenset[tuple[str, float]], known: Vocabulary) -> _Near:
    """Finds the languages for scripts with their shares."""
    shares = dict(found)
    by_number = [sum(shares.get(s, 0.0) for s in language.scripts) for language in known.languages]
    most = max(by_number)
    near = [n for n, share in enumerate(by_number) if share >= max(most - _NEAR, 0.3)]
    by_words = any(known.languages[n].words for n in near)
    if not by_words:  # the language with the fewest scripts
        near.sort(key=lambda n: len(known.languages[n].scripts))
    covered = [n for n, share in enumerate(by_number) if known.languages[n].is_covered and share >= _SOME]
    return _Near(near, by_words, covered)


def _scores(tokens: Sequence[str], known: Vocabulary) -> tuple[dict[int, float], dict[int, int]]:
    """For each language the weight of its words, and how many words of the text it has."""
    scores: dict[int, float] = {}
    hits: dict[int, int] = {}
    table = known.words
    for token in tokens:
        if token in table:
            for number, weight in table[token]:
                scores[number] = scores.get(number, 0.0) + weight
                hits[number] = hits.get(number, 0) + 1
    return scores, hits


def _add_letters(
    text: str,
    tokens: Sequence[str],
    known: Vocabulary,
    near: Sequence[int],
    scores: dict[int, float],
    hits: dict[int, int],
) -> None:
    """Adds what letters and endings of words say."""
    letters = set(text)
    for character in known.marks.keys() & letters:
        for number in known.marks[character]:
            scores[number] = scores.get(number, 0.0) + _MARK / len(known.marks[character])
    ended: Counter[int] = Counter()
    for token in tokens:
        ended.update(_by_ending(token, known))
    for number in near:
        language = known.languages[number]
        if language.never:
            scores[number] = scores.get(number, 0.0) - _NEVER * len(language.never & letters)
        own = ended.get(number, 0)
        if own:
            scores[number] = scores.get(number, 0.0) + _ENDING * own
        if marks := language.marks & letters:
            own += sum(
                number not in _by_ending(token, known)
                for token in tokens
                if len(token) > _LEAST_ENDED and not marks.isdisjoint(token) and token not in language.words
            )
        if own or language.endings or marks:
            hits[number] = hits.get(number, 0) + own


@lru_cache(maxsize=16_384)
def _by_ending(token: str, known: Vocabulary) -> frozenset[int]:
    """The languages whose words end as this one does and are not this word. Cached, since words repeat."""
    if len(token) <= _LEAST_ENDED:
        return frozenset()
    return frozenset(
        number
        for number, language in enumerate(known.languages)
        if language.endings and token.endswith(language.endings) and token not in language.words
    )


_LATIN = {"latin": 1.0}


def _shares(text: str) -> Mapping[str, float]:
    """Script -> its share of the letters, rounded; a character of a dense script counts for several."""
    if text.isascii():
        return _LATIN if text.upper() != text else {}
    found: Counter[str] = Counter()
    for character, count in Counter(text).items():
        if script := _script(character):
            found[script] += count * (DENSE if script in DENSE_SCRIPTS else 1)
    total = sum(found.values())
    return {script: round(count / total, 2) for script, count in found.items() if count / total >= 0.01}


@lru_cache(maxsize=4096)
def _script(character: str) -> str:
    """The script of a letter, as the first word of its Unicode name; "" for what is no letter."""
    if not character.isalpha():
        return ""
    return unicodedata.name(character, "").partition(" ")[0].lower()
