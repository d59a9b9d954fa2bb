"""Near-duplicate search: which rows are too similar to an earlier row that stays.

`cosine_matches` takes unit vectors, `jaccard_matches` takes texts. Both walk the rows in order and match a
row against earlier rows without a match; a pair's threshold is the lower of the two rows'. Small inputs are
compared exactly. For large ones keys propose pairs (`overt.scoring.neighbours`) whose scores are exact, so
that a pair can be missed but is never invented.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from overt.scoring.neighbours.walk import Match, walked
from overt.scoring.neighbours.words import Words, members_of, words_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "EXACT_TEXTS",
    "EXACT_VECTORS",
    "Match",
    "cosine_matches",
    "jaccard",
    "jaccard_links",
    "jaccard_matches",
    "shingles",
]

# Above these sizes keys propose the pairs. The exact ways take about eight seconds there.
EXACT_VECTORS = 50_000
EXACT_TEXTS = 20_000

# Slack for float32 rounding: equal texts may score 0.9999999.
ROUNDING = 1e-6


def cosine_matches(
    vectors: NDArray[np.float32],
    thresholds: Sequence[float],
    fixed: int = 0,
    *,
    exact_limit: int = EXACT_VECTORS,
) -> tuple[list[Match | None], str]:
    """Returns for each row its most similar earlier near-duplicate or None, and the index used.

    Args:
        vectors: (n, d) float32 of unit length; overwritten to save memory. A zero row has no near-duplicate.
        thresholds: n cosines in (0, 1].
        fixed: the first `fixed` rows always stay (an earlier set).
        exact_limit: up to this many rows every pair is compared.
    """
    import numpy as np

    from overt.scoring.neighbours.exact import cosine_exact
    from overt.scoring.neighbours.planes import plane_finder

    if len(vectors) == 0:
        return [], "exact cosine"
    limits = np.asarray(thresholds, dtype=np.float32) - np.float32(ROUNDING)
    if len(vectors) <= exact_limit:
        return cosine_exact(vectors, limits, fixed), "exact cosine"
    return walked(plane_finder(vectors, limits), len(vectors), fixed), "random planes (exact scores)"


def shingles(text: str) -> frozenset[str]:
    """Returns the words of a text and their letter triples: `^dog$`, and `^do`, `dog`, `og$`.

    Word order and punctuation are ignored. A changed ending ("soldier", "soldiers") changes few members. A
    text without words is its own single member.
    """
    return frozenset(token for word in words_of(text) for token in members_of(word))


def jaccard(a: str, b: str) -> float:
    """Returns the Jaccard similarity of the two texts' shingles, 0 to 1."""
    first, second = shingles(a), shingles(b)
    return len(first & second) / len(first | second)


def jaccard_matches(
    texts: Sequence[str],
    thresholds: Sequence[float],
    fixed: int = 0,
    *,
    exact_limit: int = EXACT_TEXTS,
) -> tuple[list[Match | None], str]:
    """Like `cosine_matches`, for texts and the Jaccard similarity of their shingles.

    Up to `exact_limit` texts every pair is compared. Above, bands of MinHash signatures propose the pairs,
    set so that a pair at the lowest threshold is proposed with probability 0.9995 or more.
    """
    import numpy as np

    from overt.scoring.neighbours.exact import jaccard_exact
    from overt.scoring.neighbours.minhash import minhash_finder

    if not texts:
        return [], "exact Jaccard"
    limits = np.asarray(thresholds, dtype=np.float64) - ROUNDING
    words = Words(texts)
    if len(texts) <= exact_limit:
        return jaccard_exact(words, limits, fixed), "exact Jaccard"
    return walked(minhash_finder(words, limits), len(words), fixed), "MinHash (exact Jaccard of candidates)"


def jaccard_links(
    texts: Sequence[str], threshold: float, *, exact_limit: int = EXACT_TEXTS
) -> tuple[list[tuple[int, int]], bool]:
    """Pairs of texts that are near each other by the Jaccard similarity of their shingles, and whether all
    are there.

    Up to `exact_limit` texts all pairs are given. Above, each text is paired with the nearest of those that
    stay in `jaccard_matches`, so that some near pairs are linked through others and some are not.
    """
    from overt.scoring.neighbours.exact import jaccard_pairs

    if not texts:
        return [], True
    if len(texts) <= exact_limit:
        return list(jaccard_pairs(Words(texts), threshold - ROUNDING)), True
    matches, _ = jaccard_matches(texts, [threshold] * len(texts), exact_limit=exact_limit)
    return [(row, match.row) for row, match in enumerate(matches) if match is not None], False
