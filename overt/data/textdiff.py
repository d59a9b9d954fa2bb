"""How far apart two texts are, in words."""

from __future__ import annotations

import re

_WORD = re.compile(r"[^\W_]+(?:['’\-][^\W_]+)*")


def words(text: str) -> list[str]:
    """The words of a text, lower case; punctuation is left out, hyphens and apostrophes inside stay."""
    return _WORD.findall(text.lower())


def changed_words(a: str, b: str) -> int:
    """Word-level edit distance (Levenshtein over `words`): insert, delete and replace each cost 1.

    Case and punctuation do not count. Time and memory are O(len(a) * len(b)) and O(len(b)) words.
    """
    left, right = words(a), words(b)
    # Twins mostly share a beginning and an end; the table is only needed for what is between.
    while left and right and left[0] == right[0]:
        left, right = left[1:], right[1:]
    while left and right and left[-1] == right[-1]:
        left, right = left[:-1], right[:-1]
    row = list(range(len(right) + 1))
    for i, word in enumerate(left, start=1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(right, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
    return row[-1]
