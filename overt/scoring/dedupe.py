"""Dedupe: exact repeats first, then near ones, in input order, within and across categories.

The first of two similar prompts stays. Two prompts are too similar when their similarity (cosine of
embeddings, or Jaccard of shingles where there is no encoder) reaches the stricter, that is lower, of
their two thresholds. A benign prompt and an unsafe one are compared for exact repeats only: an unsafe
twin is meant to differ from its benign prompt by a word or two.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from overt.data.records import Drop, Prompt, clean_text, prompt_id
from overt.scoring.near import EXACT_TEXTS, EXACT_VECTORS, cosine_matches, jaccard_matches

if TYPE_CHECKING:
    from overt.scoring.encoders import Encoder


@dataclass(frozen=True, slots=True)
class IndexInfo:
    """What compared the prompts, for the manifest and the card.

    `similarity` is "cosine" or "jaccard"; `exact` whether every pair was decided, not only the pairs
    an index proposed; `why` says why this one was taken.
    """

    similarity: str
    index: str
    encoder: str
    version: str
    exact: bool
    why: str


@dataclass(frozen=True, slots=True)
class DedupeResult:
    """`kept` in input order; one Drop for every other prompt, in input order; what compared them."""

    kept: list[Prompt]
    drops: list[Drop]
    index: IndexInfo


def repeat_key(text: str) -> str:
    """What two exact repeats share: letters, digits and signs, without case, punctuation and blanks.

    A text of nothing but punctuation is its own key.
    """
    folded = clean_text(unicodedata.normalize("NFKC", text)).casefold()
    bare = "".join(" " if unicodedata.category(c)[0] == "P" else c for c in folded)
    return " ".join(bare.split()) or folded


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
    """The prompts that repeat no earlier one, and a Drop for each that does.

    No two prompts of one label stay whose similarity reaches their threshold: certain up to
    `exact_limit` prompts (200,000 with an encoder, 20,000 without, unless set); above, an index
    proposes the pairs and `IndexInfo.exact` is False.

    Args:
        prompts: in order; the first of similar ones stays.
        threshold_of: the similarity of a prompt's category, in (0, 1].
        encoder: makes the embeddings; None for the lexical measure.
        kept: prompts of earlier rounds: compared with, never dropped, not in the result.
        against: texts of an earlier set, compared with prompts of every label.
        why: why this encoder or none (from `pick_encoder`), for the record.

    Returns:
        Drop.detail names the prompt that stays, the similarity and the threshold.
    """
    todo = list(prompts)
    earlier = list(dict.fromkeys(clean_text(text) for text in against))
    drops: dict[int, Drop] = {}

    seen: dict[str, str] = {}
    for text in earlier:
        seen.setdefault(repeat_key(text), f"{prompt_id(text)} of the earlier set")
    for prompt in kept:
        seen.setdefault(repeat_key(prompt.text), prompt.id)
    for i, prompt in enumerate(todo):
        key = repeat_key(prompt.text)
        if key in seen:
            drops[i] = _drop(prompt, "exact repeat", f"of {seen[key]}")
        else:
            seen[key] = prompt.id

    shared = _encode(encoder, earlier) if encoder else None
    info: tuple[str, bool] = ("", True)
    for label in sorted({prompt.label for prompt in todo}):
        rows = [i for i, p in enumerate(todo) if p.label == label and i not in drops]
        before = [prompt for prompt in kept if prompt.label == label]
        texts = [*earlier, *(p.text for p in before), *(todo[i].text for i in rows)]
        # A text of an earlier set has no threshold of its own: the prompt's holds.
        limits = [1.0] * len(earlier) + [float(threshold_of(p)) for p in before]
        limits += [float(threshold_of(todo[i])) for i in rows]
        fixed = len(earlier) + len(before)
        if encoder:
            matches, index = cosine_matches(
                _stack(shared, _encode(encoder, texts[len(earlier) :])),
                limits,
                fixed,
                exact_limit=EXACT_VECTORS if exact_limit is None else exact_limit,
            )
        else:
            matches, index = jaccard_matches(
                texts, limits, fixed, exact_limit=EXACT_TEXTS if exact_limit is None else exact_limit
            )
        info = (index, info[1] and index.startswith("exact"))
        names = [f"{prompt_id(text)} of the earlier set" for text in earlier]
        names += [prompt.id for prompt in before] + [todo[i].id for i in rows]
        for k, i in enumerate(rows, fixed):
            if match := matches[k]:
                limit = min(limits[k], limits[match.row])
                detail = f"of {names[match.row]}, similarity {match.score:.3f}, threshold {limit:g}"
                drops[i] = _drop(todo[i], "near repeat", detail)

    return DedupeResult(
        [prompt for i, prompt in enumerate(todo) if i not in drops],
        [drops[i] for i in sorted(drops)],
        IndexInfo(
            similarity="cosine" if encoder else "jaccard",
            index=info[0] or ("exact cosine" if encoder else "exact Jaccard"),
            encoder=encoder.name if encoder else "",
            version=encoder.version if encoder else "",
            exact=info[1],
            why=why,
        ),
    )


def _drop(prompt: Prompt, reason: str, detail: str) -> Drop:
    return Drop(prompt.id, "dedupe", prompt.category, reason, detail, prompt.text)


def _encode(encoder: Encoder, texts: Sequence[str]) -> Any:
    """(n, d) float32 rows of unit length; a row that the encoder could not make is zero."""
    import numpy as np

    if not texts:
        return None
    vectors = np.array(encoder.encode(texts), dtype=np.float32, order="C")
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    lengths[lengths == 0] = 1.0
    vectors /= lengths
    return np.nan_to_num(vectors, copy=False)


def _stack(first: Any, second: Any) -> Any:
    import numpy as np

    parts = [part for part in (first, second) if part is not None]
    if not parts:
        return np.empty((0, 1), dtype=np.float32)
    return np.concatenate(parts) if len(parts) > 1 else parts[0]
