"""Texts as numbers: their words, the letter triples of each word, and the exact Jaccard similarity.

A word is worked on once, however many texts hold it.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from array import array
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]

_WORD = re.compile(r"\w+")
_WORDS_AT_ONCE = 1_000_000  # of texts that are compared at a time, with some eight members each
_DENSE = 8  # pairs of one text, from which marks are quicker than sorting


def words_of(text: str) -> list[str]:
    """The lower-case words of a text; one without words is its own single word."""
    folded = text.casefold()
    return _WORD.findall(folded) or [folded.strip()]


def members_of(word: str) -> set[str]:
    """The shingles of one word: `^dog$`, and `^do`, `dog`, `og$`. What holds no letter is its own."""
    if not _WORD.search(word):
        return {word}
    edged = f"^{word}$"
    return {edged, *(edged[i : i + 3] for i in range(len(edged) - 2))}


class Words:
    """The words of n texts.

    `flat` holds the numbers of the words of all texts, each once a text: those of text i from `ends[i]` to
    `ends[i + 1]`; `tokens` the numbers of the shingles of word w from `token_ends[w]` to `token_ends[w + 1]`;
    `hashes` a 64-bit hash of each shingle, the same in every process.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        import numpy as np

        known = _Numbered()
        flat, ends = array("i"), array("q", [0])
        for text in texts:
            flat.extend(dict.fromkeys(map(known.__getitem__, words_of(text))))
            ends.append(len(flat))
        self.flat = np.frombuffer(flat, dtype=np.intc)
        self.ends = np.frombuffer(ends, dtype=np.int64)
        self.counts = np.diff(self.ends)
        ids = _Numbered()
        tokens, token_ends = array("i"), array("q", [0])
        for word in known:
            tokens.extend(sorted(map(ids.__getitem__, members_of(word))))
            token_ends.append(len(tokens))
        self.tokens = np.frombuffer(tokens, dtype=np.intc)
        self.token_ends = np.frombuffer(token_ends, dtype=np.int64)
        self.members = len(ids)
        coded = (token.encode("utf-8", "surrogatepass") for token in ids)
        digests = b"".join(hashlib.blake2b(token, digest_size=8).digest() for token in coded)
        self.hashes = np.frombuffer(digests, dtype="<u8").astype(np.uint64)

    def __len__(self) -> int:
        return len(self.counts)

    def sets(self, rows: Numbers) -> tuple[Numbers, Numbers]:
        """The shingles of some texts, each once and sorted in a text: (their numbers, ends)."""
        import numpy as np

        counts = self.counts[rows]
        words = self.flat[spans(self.ends[rows], counts)]
        widths = self.token_ends[words + 1] - self.token_ends[words]
        holder = np.repeat(np.repeat(np.arange(len(rows)), counts), widths)
        keys = np.sort(holder << 32 | self.tokens[spans(self.token_ends[words], widths)])
        keys = keys[np.concatenate([[True], keys[1:] != keys[:-1]])] if len(keys) else keys
        sizes = np.bincount(keys >> 32, minlength=len(rows))
        return keys & 0xFFFFFFFF, np.concatenate([[0], np.cumsum(sizes)])

    def jaccard(self, left: Numbers, right: Numbers) -> NDArray[np.float64]:
        """The exact Jaccard similarity of each pair of texts. Quickest if `left` is in order."""
        import numpy as np

        found = [np.empty(0)]
        for start, stop in self._portions(right):
            mine, theirs = left[start:stop], right[start:stop]
            turns = np.flatnonzero(mine[1:] != mine[:-1]) + 1
            if stop - start >= _DENSE * (len(turns) + 1):
                found.append(self._by_marks(mine, theirs, [0, *turns.tolist(), stop - start]))
            else:
                found.append(self._by_sorting(mine, theirs))
        return np.concatenate(found)

    def _portions(self, rows: Numbers) -> Iterator[tuple[int, int]]:
        """Cuts pairs so that the members of a portion fit into a bounded memory."""
        import numpy as np

        total = np.cumsum(self.counts[rows])
        start = 0
        while start < len(rows):
            done = int(total[start - 1]) if start else 0
            stop = max(start + 1, int(np.searchsorted(total, done + _WORDS_AT_ONCE, side="right")))
            yield start, stop
            start = stop

    def _by_sorting(self, left: Numbers, right: Numbers) -> NDArray[np.float64]:
        """The members of both texts of a pair side by side: what stands there twice is shared."""
        import numpy as np

        rows, place = np.unique(np.concatenate([left, right]), return_inverse=True)
        tokens, ends = self.sets(rows)
        sizes = np.diff(ends)
        count = len(left)
        pair = np.concatenate([np.arange(count), np.arange(count)])
        keys = np.repeat(pair, sizes[place]) << 32 | tokens[spans(ends[place], sizes[place])]
        keys.sort()
        twice = keys[1:][keys[1:] == keys[:-1]] >> 32
        return _similarity(np.bincount(twice, minlength=count), sizes[place[:count]], sizes[place[count:]])

    def _by_marks(self, left: Numbers, right: Numbers, cuts: list[int]) -> NDArray[np.float64]:
        """For runs of pairs with one left text: its members are marked, and those of the others counted.
        cuts: where the runs begin, and the end."""
        import numpy as np

        rows, place = np.unique(np.concatenate([left, right]), return_inverse=True)
        tokens, ends = self.sets(rows)
        sizes = np.diff(ends)
        count = len(left)
        shared = np.empty(count, dtype=np.int64)
        mark = np.zeros(self.members, dtype=bool)
        for start, stop in itertools.pairwise(cuts):
            mine = tokens[ends[place[start]] : ends[place[start] + 1]]
            others = place[count + start : count + stop]
            theirs = tokens[spans(ends[others], sizes[others])]
            mark[mine] = True
            starts = np.cumsum(sizes[others]) - sizes[others]
            shared[start:stop] = np.add.reduceat(mark[theirs], starts, dtype=np.int64)
            mark[mine] = False
        return _similarity(shared, sizes[place[:count]], sizes[place[count:]])


def _similarity(shared: Numbers, first: Numbers, second: Numbers) -> NDArray[np.float64]:
    similarity: NDArray[np.float64] = shared / (first + second - shared)
    return similarity


class _Numbered(dict[str, int]):
    """Numbers what it is asked for in the order of the first asking."""

    def __missing__(self, key: str) -> int:
        number = self[key] = len(self)
        return number


def spans(starts: Numbers, counts: Numbers) -> Numbers:
    """The places `starts[k]`, `starts[k] + 1`, ... of each span, one span after the other."""
    import numpy as np

    before = np.cumsum(counts, dtype=starts.dtype) - counts
    places: Numbers = np.repeat(starts - before, counts)
    places += np.arange(len(places), dtype=places.dtype)
    return places
