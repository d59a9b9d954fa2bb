"""The over-refusal rate that people's labels of a sample correct: two phases, two kinds of chance.

In the first phase a run asks n prompts and refuses a share p of those answered. In the second phase people
label a sample of the refused and one of the answered ones (double sampling for stratification: Cochran 1977,
Sampling Techniques, ch. 12). With the shares that are truly benign, d1 of the refused and d0 of the answered
ones, the share of truly benign prompts that is refused follows by Bayes' rule:

    q = p d1 / (p d1 + (1 - p) d0),   that is   logit q = logit p + log d1 - log d0

If people also say whether an answer is a refusal, with t1 the share of the run's refusals that are and t0 the
share of its other answers that are, the rate is q t1 + (1 - q) t0.

Limits of such sums come from the limits of their terms by the method of variance estimates recovery (Zou &
Donner 2008, Stat. Med. 27): each limit is as far from the estimate as the root of the summed squares of the
terms' own distances. So each term keeps its own, lopsided interval: the rate's with the prompts' clusters
(overt/scoring/stats/rates.py), the labels' with the draw's strata (overt/review/estimate.py). With
independent prompts the terms are uncorrelated; with clusters they are not, and `joint_effect` widens or
narrows the sum.
benchmarks/interval_coverage.py has the coverage.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from overt.scoring.stats.clusters import ASSUMED_INTRACLASS
from overt.scoring.stats.inputs import Floats

_LEAST = 1e-12  # stands for a share of 0, whose logarithm there is not
_ASSUMED_CLUSTERS = 2.0  # as for rates: overt/scoring/stats/rates.py


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimated share with its limits, all in 0..1; arrays hold one sample each."""

    value: Floats | float
    low: Floats | float
    high: Floats | float


ALL = Estimate(1.0, 1.0, 1.0)
LEAST_JOINT = 0.5
NONE = Estimate(0.0, 0.0, 0.0)


def refused_of_benign(
    refused: Estimate, of_refused: Estimate, of_answered: Estimate, together: float | Floats = 1.0
) -> Estimate:
    """The share refused among the truly benign prompts.

    Args:
        together: what `joint_effect` says of the three terms, in logarithms.
        refused: the share of the answered prompts that the run says were refused.
        of_refused: the share of those that are truly benign.
        of_answered: the share of the others that are truly benign.
    """
    terms = [
        _mapped(refused, _logit),
        _mapped(of_refused, _log),
        _mapped(Estimate(of_answered.value, of_answered.high, of_answered.low), lambda x: -_log(x)),
    ]
    value = _total([np.asarray(term.value) for term in terms])
    down = _total([np.square(np.asarray(term.value) - term.low) for term in terms])
    up = _total([np.square(np.asarray(term.high) - term.value) for term in terms])
    low, high = value - np.sqrt(together * down), value + np.sqrt(together * up)
    found = Estimate(_share(value), _share(low), _share(high))
    # The logarithm's stand-in for 0 must not show.
    is_none = (np.asarray(refused.value) <= 0) | (np.asarray(of_refused.value) <= 0)
    is_all = ~is_none & ((np.asarray(refused.value) >= 1) | (np.asarray(of_answered.value) <= 0))
    middle = np.where(is_none, 0.0, np.where(is_all, 1.0, found.value))
    return Estimate(
        middle,
        np.where(is_none, 0.0, np.minimum(found.low, middle)),
        np.where(is_all, 1.0, np.maximum(found.high, middle)),
    )


def truly_refused(
    refused: Estimate, confirmed: Estimate, missed: Estimate, together: float | Floats = 1.0
) -> Estimate:
    """The share that is truly refused.

    Args:
        together: what `joint_effect` says of all terms.
        refused: the share that the run says was refused.
        confirmed: the share of those that truly was.
        missed: the share of the others that truly was.
    """
    q, yes, no = np.asarray(refused.value), np.asarray(confirmed.value), np.asarray(missed.value)
    value = q * yes + (1 - q) * no
    apart = yes - no
    # Where the run's refusals are refused less often than its answers, more of them lower the rate.
    toward_low = np.where(apart >= 0, q - refused.low, refused.high - q)
    toward_high = np.where(apart >= 0, refused.high - q, q - refused.low)
    down = (apart * toward_low) ** 2 + (q * (yes - confirmed.low)) ** 2 + ((1 - q) * (no - missed.low)) ** 2
    up = (apart * toward_high) ** 2 + (q * (confirmed.high - yes)) ** 2 + ((1 - q) * (missed.high - no)) ** 2
    low = np.maximum(value - np.sqrt(together * down), 0.0)
    return Estimate(value, low, np.minimum(value + np.sqrt(together * up), 1.0))


def joint_effect(terms: Sequence[Floats]) -> Floats:
    """The variance of a sum over the sum of the variances of its terms, by linearisation over clusters.

    The terms are uncorrelated where prompts are independent. But a seed whose benign prompts are refused
    raises the share refused and, among those refused, the share that is benign.

    Args:
        terms: for each term, the sum over each cluster's rows of what they pull it away from its estimate;
            clusters along the last axis, leading axes are samples.
    """
    apart, whole = _total([(term * term).sum(axis=-1) for term in terms]), _total(terms)
    with np.errstate(divide="ignore", invalid="ignore"):
        effect = np.where(apart > 0, (whole * whole).sum(axis=-1) / apart, 1.0)
    return np.asarray(np.maximum(effect, LEAST_JOINT))


def label_effect(yes: Floats, rows: Floats) -> Floats:
    """The design effect of labels that share clusters; at least 1.

    As `precision` (overt/scoring/stats/clusters.py) by linearisation alone, since a draw leaves most clusters
    with no label or one: it is averaged over the clusters that show the rarer label and two assumed ones.

    Args:
        yes: labels that say yes in each cluster, along the last axis; leading axes are samples.
        rows: labels in each cluster; 0 where none was drawn.
    """
    n, groups = rows.sum(axis=-1), (rows > 0).sum(axis=-1)
    share = yes.sum(axis=-1) / np.maximum(n, 1.0)
    residual = yes - rows * share[..., None]
    size = (rows * rows).sum(axis=-1) / np.maximum(n, 1.0)
    spread = n * share * (1 - share)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = groups / np.maximum(groups - 1, 1) * (residual * residual).sum(axis=-1)
        told = np.where(spread > 1e-12, between / spread, 0.0)
    telling = np.minimum((yes > 0).sum(axis=-1), (yes < rows).sum(axis=-1))
    assumed = np.maximum(told, 1 + (size - 1) * ASSUMED_INTRACLASS)
    effect = (telling * told + _ASSUMED_CLUSTERS * assumed) / (telling + _ASSUMED_CLUSTERS)
    return np.asarray(np.maximum(np.where(groups < 2, size, effect), 1.0))


def _total(terms: Sequence[Floats]) -> Floats:
    found = np.zeros(())
    for term in terms:
        found = found + term
    return found


def _mapped(estimate: Estimate, by: Callable[[Floats | float], Floats]) -> Estimate:
    return Estimate(by(estimate.value), by(estimate.low), by(estimate.high))


def _log(share: Floats | float) -> Floats:
    return np.asarray(np.log(np.maximum(share, _LEAST)))


def _logit(share: Floats | float) -> Floats:
    inside = np.clip(share, _LEAST, 1 - _LEAST)
    return np.asarray(np.log(inside) - np.log1p(-inside))


def _share(logit: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-logit)))
