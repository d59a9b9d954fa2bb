"""Dedupe: exact repeats first, then near ones, in input order, within and across categories.

The first of two near-duplicates stays. Two prompts are near-duplicates if their similarity (cosine of
embeddings, or Jaccard of shingles without an encoder) reaches the lower of their two thresholds. A benign
and an unsafe prompt are compared for exact repeats only, since the two of a contrast pair differ by few
words.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from overt.data.records import Drop, Prompt, clean_text, prompt_id
from overt.scoring.diversity import unit_rows
from overt.scoring.near_duplicates import EXACT_TEXTS, EXACT_VECTORS, Match, cosine_matches, jaccard_matches

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from overt.scoring.encoders import Encoder

_AT_ONCE = 16_384  # texts that are encoded at a time


@dataclass(frozen=True, slots=True)
class IndexInfo:
    """The index that compared the prompts, for the manifest and the card.

    `similarity` is "cosine" or "jaccard"; `exact` is whether every pair was compared, not only those that
    an index proposed; `why` is the reason for this encoder.
    """

    similarity: str
    index: str
    encoder: str
    version: str
    exact: bool
    why: str


@dataclass(frozen=True, slots=True)
class DedupeResult:
    """`kept` and one Drop for every other prompt, both in input order."""

    kept: list[Prompt]
    drops: list[Drop]
    index: IndexInfo


def repeat_key(text: str) -> str:
    """Returns a key that exact repeats share: the text without case, punctuation and extra spaces.

    A text of punctuation only is its own key.
    """
    whole = text if text.isascii() else unicodedata.normalize("NFKC", text)
    folded = clean_text(whole).casefold()
    return " ".join(folded.translate(_BARE).split()) or folded


class _Bare(dict[int, int]):
    """A table for `str.translate`: a blank for each mark of punctuation. It fills itself as marks come."""

    def __missing__(self, mark: int) -> int:
        self[mark] = kept = 0x20 if unicodedata.category(chr(mark))[0] == "P" else mark
        return kept


_BARE = _Bare()


def dedupe(
    prompts: Iterable[Prompt],
    *,
    threshold_of: Callable[[Prompt], float],
    encoder: Encoder | None,
    kept: Sequence[Prompt] = (),
    against: Iterable[str] = (),
    why: str = "",
    exact_limit: int | None = None,
) -> DedupeResult:
    """Drops the prompts that repeat an earlier one.

    Up to `exact_limit` prompts (50,000 with an encoder, 20,000 without) no near-duplicates of one label
    stay. Above, an index proposes the pairs and `IndexInfo.exact` is False.

    Args:
        threshold_of: returns the threshold of a prompt's category, in (0, 1].
        encoder: None for the lexical measure.
        kept: prompts of earlier rounds; never dropped, not in the result.
        against: texts of an earlier set, compared with prompts of every label.
        why: the reason for this encoder (from `pick_encoder`).

    Returns:
        Drop.detail names the prompt that stays, the similarity and the threshold.
    """
    todo = list(prompts)
    earlier = list(dict.fromkeys(clean_text(text) for text in against))
    drops = _exact_repeats(todo, kept, earlier)
    compare = _Comparison(encoder, exact_limit, earlier, threshold_of)
    for label in sorted({prompt.label for prompt in todo}):
        rows = [i for i, p in enumerate(todo) if p.label == label and i not in drops]
        before = [prompt for prompt in kept if prompt.label == label]
        details = compare.near_repeats(before, [todo[i] for i in rows])
        drops |= {
            i: _drop(todo[i], "near repeat", detail)
            for i, detail in zip(rows, details, strict=True)
            if detail is not None
        }
    return DedupeResult(
        [prompt for i, prompt in enumerate(todo) if i not in drops],
        [drops[i] for i in sorted(drops)],
        compare.info(why),
    )


def _exact_repeats(todo: Sequence[Prompt], kept: Sequence[Prompt], earlier: Sequence[str]) -> dict[int, Drop]:
    """Returns a Drop for each exact repeat, of any label, by its index in `todo`."""
    seen: dict[str, str] = {}
    for text in earlier:
        seen.setdefault(repeat_key(text), _of_the_earlier_set(text))
    for prompt in kept:
        seen.setdefault(repeat_key(prompt.text), prompt.id)
    drops: dict[int, Drop] = {}
    for i, prompt in enumerate(todo):
        key = repeat_key(prompt.text)
        if key in seen:
            drops[i] = _drop(prompt, "exact repeat", f"of {seen[key]}")
        else:
            seen[key] = prompt.id
    return drops


class _Comparison:
    """Finds near-duplicates, one label after the other, and records the index used."""

    def __init__(
        self,
        encoder: Encoder | None,
        exact_limit: int | None,
        earlier: Sequence[str],
        threshold_of: Callable[[Prompt], float],
    ) -> None:
        self._index, self._is_exact = "", True
        self._encoder, self._exact_limit = encoder, exact_limit
        self._earlier, self._threshold_of = earlier, threshold_of
        self._earlier_vectors = _encode(encoder, earlier) if encoder else None

    def near_repeats(self, before: Sequence[Prompt], prompts: Sequence[Prompt]) -> list[str | None]:
        """Returns for each prompt the detail of its near-duplicate, or None. All prompts have one label."""
        earlier = self._earlier
        # A text of an earlier set has no threshold of its own.
        limits = [1.0] * len(earlier) + [float(self._threshold_of(p)) for p in (*before, *prompts)]
        names = [*map(_of_the_earlier_set, earlier), *(prompt.id for prompt in (*before, *prompts))]
        fixed = len(earlier) + len(before)
        matches = self._matches([p.text for p in (*before, *prompts)], limits, fixed)[fixed:]
        return [
            None
            if match is None
            else f"of {names[match.row]}, similarity {match.score:.3f}, "
            f"threshold {min(limit, limits[match.row]):g}"
            for match, limit in zip(matches, limits[fixed:], strict=True)
        ]

    def _matches(self, texts: Sequence[str], limits: Sequence[float], fixed: int) -> list[Match | None]:
        limit = self._exact_limit
        if self._encoder:
            vectors = _stack(self._earlier_vectors, _encode(self._encoder, texts))
            matches, self._index = cosine_matches(
                vectors, limits, fixed, exact_limit=EXACT_VECTORS if limit is None else limit
            )
        else:
            every = [*self._earlier, *texts]
            matches, self._index = jaccard_matches(
                every, limits, fixed, exact_limit=EXACT_TEXTS if limit is None else limit
            )
        self._is_exact = self._is_exact and self._index.startswith("exact")
        return matches

    def info(self, why: str) -> IndexInfo:
        measure, index = ("cosine", "exact cosine") if self._encoder else ("jaccard", "exact Jaccard")
        name, version = (self._encoder.name, self._encoder.version) if self._encoder else ("", "")
        return IndexInfo(measure, self._index or index, name, version, self._is_exact, why)


def _of_the_earlier_set(text: str) -> str:
    return f"{prompt_id(text)} of the earlier set"


def _drop(prompt: Prompt, reason: str, detail: str) -> Drop:
    return Drop(prompt.id, "dedupe", prompt.category, reason, detail, prompt.text)


def _encode(encoder: Encoder, texts: Sequence[str]) -> NDArray[np.float32] | None:
    """Returns (n, d) float32 unit rows; rows with NaN become zero. Returns None without texts."""
    import numpy as np

    table: NDArray[np.float32] | None = None
    for start in range(0, len(texts), _AT_ONCE):  # so that the rows of a million texts are in memory once
        rows = np.nan_to_num(unit_rows(encoder.encode(texts[start : start + _AT_ONCE])), copy=False)
        if table is None:
            table = np.empty((len(texts), rows.shape[1]), dtype=np.float32)
        table[start : start + len(rows)] = rows
    return table


def _stack(*parts: NDArray[np.float32] | None) -> NDArray[np.float32]:
    import numpy as np

    there = [part for part in parts if part is not None]
    if not there:
        return np.empty((0, 1), dtype=np.float32)
    return np.concatenate(there) if len(there) > 1 else there[0]
