"""Whether rows of one batch leave each other alone, measured on the loaded model.

A batch fills short rows on the left. Most models are told what is filling and skip it; a few read it (the
linear attention of MiniMax), and RWKV mixes even rows of one length. Which do so changes with the version of
transformers, so no list is kept: a model is asked the same alone, beside a longer row, and beside one of its
length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

# Which rows may share a batch: any; only rows of the same length; or none.
Sharing = Literal["any", "length", "none"]
# Rows of token ids -> what the first row became: its tokens, and float32 logits of shape (steps, vocabulary).
Scores = Callable[[Sequence[Sequence[int]]], "tuple[list[int], torch.Tensor]"]

STEPS = 2  # some models differ only once they go on from their own words
# Root mean square of the difference, in standard deviations of the logits. Rounding gives 1e-6 and 0.02; a
# model that reads what fills a row, or another row, differs by about 1.
_TOLERANCE, _ROUGH = 0.005, 0.1


def measured_sharing(words: Sequence[int], scores: Scores, *, is_exact: bool) -> Sharing:
    """Which rows may share a batch.

    Args:
        words: token ids that are no control tokens, at least one.
        scores: lets the model go on from rows by `STEPS` tokens.
        is_exact: whether the model computes in float32.
    """
    long = [words[(3 + 7 * n * n) % len(words)] for n in range(16)]
    short, same = [words[(1 + 11 * n) % len(words)] for n in range(5)], long[:5]
    tolerance = _TOLERANCE if is_exact else _ROUGH
    alone, beside = scores([short]), {"any": long, "length": same}
    return widest(lambda sharing: _agree(alone, scores([short, beside[sharing]]), tolerance))


def widest(agrees: Callable[[Sharing], bool]) -> Sharing:
    """The widest sharing under which a row is read as it is alone.

    Args:
        agrees: whether it is, beside a row of another length ("any") or of its own ("length").
    """
    kinds: tuple[Sharing, ...] = ("any", "length")
    return next(filter(agrees, kinds), "none")


def _agree(
    one: tuple[list[int], torch.Tensor], other: tuple[list[int], torch.Tensor], tolerance: float
) -> bool:
    """Whether logits differ by rounding only. Once a near tie has tipped, later steps say nothing."""
    for step in range(min(len(one[1]), len(other[1]))):
        a, b = one[1][step], other[1][step]
        real = a.isfinite() & b.isfinite()  # tokens that are never said have minus infinity
        if float((a - b)[real].square().mean().sqrt()) > tolerance * float(a[real].std()):
            return False
        if one[0][: step + 1] != other[0][: step + 1]:
            return True
    return True
