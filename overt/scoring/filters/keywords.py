"""`filter/keywords?path=FILE`: a word list. One term a line, # for comments."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from pathlib import Path

from overt.data.errors import InputError
from overt.data.filters import FilterDecision
from overt.data.plugins.names import in_name

# Invisible characters: soft hyphen, zero-width spaces and joiners, direction marks.
_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
# Scripts without spaces between words: a term matches anywhere.
_UNSPACED = ("CJK ", "HIRAGANA", "KATAKANA", "THAI", "LAO ", "KHMER", "MYANMAR", "TIBETAN")


class Keywords:
    """Blocks a text that holds a term of the list as whole words.

    Case, width and encoding of accents (NFKC, case folded), invisible characters and the number of spaces are
    ignored. Stems and disguises are not matched.

    Args:
        path: the list, UTF-8, one term a line; empty lines and lines that start with # are skipped.

    Raises:
        InputError: no list, an unreadable one, or one without terms.
    """

    is_quick = True

    def __init__(self, *, path: str = "") -> None:
        if not path:
            raise InputError(
                "filter/keywords needs a word list", fix="Name it: filter/keywords?path=words.txt"
            )
        try:
            lines = Path(path).expanduser().read_text("utf-8-sig").splitlines()
        except (OSError, ValueError) as error:
            raise InputError(f"cannot read the word list: {error}", where=path) from error
        terms = {_fold(line) for line in lines if not line.lstrip().startswith("#")} - {""}
        if not terms:
            raise InputError("the word list holds no term", where=path, fix="Write one term a line.")
        self.name = f"filter/keywords?path={in_name(path)}"
        self._tokens = re.compile(rf"[{_word()}]+|[^\s{_word()}]")
        self._letter = re.compile(f"[{_word()}]")
        # Indexed by first word, so that a list of 100,000 terms is as fast as one of ten. Longest first:
        # "kill switch" is a better reason than "kill".
        self._by_word: dict[str, list[str]] = {}
        anywhere = []
        for term in sorted(terms, key=lambda t: (-len(t), t)):
            if _unspaced(term[0]) or _unspaced(term[-1]):
                anywhere.append(term)
            else:
                first = self._tokens.match(term)
                self._by_word.setdefault(first.group() if first else term, []).append(term)
        self._anywhere = re.compile("|".join(map(_edged, anywhere))) if anywhere else None

    def decide(self, text: str) -> FilterDecision:
        """Blocks a text that holds a term; the reason is the first term found."""
        folded = _fold(text)
        found = self._first(folded)
        return FilterDecision(bool(found), None, found)

    def _first(self, folded: str) -> str:
        unspaced = self._anywhere.search(folded) if self._anywhere else None
        for token in self._tokens.finditer(folded):
            if unspaced is not None and unspaced.start() <= token.start():
                break
            for term in self._by_word.get(token.group(), ()):
                if folded.startswith(term, token.start()) and self._is_whole(folded, token.start(), term):
                    return term
        return unspaced.group() if unspaced is not None else ""

    def _is_whole(self, folded: str, start: int, term: str) -> bool:
        """Returns whether no letter, digit or mark touches the term on either side."""
        end = start + len(term)
        before = start > 0 and self._letter.match(folded, start - 1)
        return not before and not self._letter.match(folded, end)


def _fold(text: str) -> str:
    plain = unicodedata.normalize("NFKC", _UNSEEN.sub("", text)).replace("\u2019", "'")
    return " ".join(unicodedata.normalize("NFKC", plain.casefold()).split())


def _unspaced(character: str) -> bool:
    return unicodedata.name(character, "").startswith(_UNSPACED)


def _edged(term: str) -> str:
    """Returns a pattern for a term that may touch other letters at its unspaced ends."""
    left = "" if _unspaced(term[0]) else rf"(?<![{_word()}])"
    right = "" if _unspaced(term[-1]) else rf"(?![{_word()}])"
    return left + re.escape(term) + right


@lru_cache(maxsize=1)
def _word() -> str:
    r"""Returns the inside of a character class of letters, digits and combining marks. `\w` alone has no
    combining marks, so it would split Hindi words at their vowel signs."""
    marks = [n for n in range(0x10000) if unicodedata.category(chr(n))[0] == "M"]
    runs: list[list[int]] = []
    for n in marks:
        if runs and runs[-1][1] == n - 1:
            runs[-1][1] = n
        else:
            runs.append([n, n])
    return r"\w" + "".join(f"\\u{low:04x}-\\u{high:04x}" for low, high in runs)
