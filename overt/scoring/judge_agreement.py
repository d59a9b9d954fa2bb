"""Agreement of a judge with human labels: accuracy, kappa, figures per class, confusion, intervals.

Labels are names, compared for equality, for judges of text and of pictures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from overt.scoring.stats import cohen_kappa, rate

_REFUSALS = ("full_refusal", "partial_refusal", "safe_completion", "refusal")


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its interval; each is None if undefined."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """A judge's figures for one label: shares from 0 to 1 (None if undefined) and counts."""

    precision: float | None
    recall: float | None
    f1: float | None
    support: int
    predicted: int


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well a judge's labels agree with human ones.

    Attributes:
        n, judged, coverage: rows; rows with a label of the judge; their share.
        accuracy, kappa: over the judged rows, with intervals at `level`.
        classes: by label.
        confusion: human label -> judge's label -> count.
    """

    n: int
    judged: int
    coverage: float
    accuracy: Estimate
    kappa: Estimate
    classes: Mapping[str, ClassFigures]
    confusion: Mapping[str, Mapping[str, int]]
    level: float


@dataclass(frozen=True, slots=True)
class _Resampling:
    clusters: Sequence[Hashable] | None
    level: float
    resamples: int
    seed: int


def refused(label: str) -> str:
    """Merges full and partial refusals, and safe completions, none of which does what was asked: where people
    labelled answers with fewer names they are all refusals. Keeps other labels."""
    return "refusal" if label in _REFUSALS else label


def in_their_words(labels: Sequence[str], said: Sequence[str]) -> list[str]:
    """What a judge said, in the words that people had: where they had none for a safe completion, they called
    it a full refusal, since nothing of what was asked was given."""
    if "safe_completion" in labels:
        return list(said)
    return ["full_refusal" if one == "safe_completion" else one for one in said]


def check(
    labels: Sequence[str],
    predictions: Sequence[str | None],
    *,
    clusters: Sequence[Hashable] | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Agreement:
    """Computes how well a judge's labels agree with human ones.

    Args:
        labels: n human labels.
        predictions: n labels of the judge; None or "unclear" if it gave none. Such rows count in `coverage`
            and in the confusion, but not in accuracy, kappa and classes.
        clusters: n cluster labels (e.g. of one prompt answered by several models); None: independent rows.
            Intervals take the rows of a cluster as rows that share their fate.
        level: of the intervals.
        resamples, seed: of the bootstrap of kappa; the same input gives the same numbers.

    Raises:
        ValueError: nothing to check, lengths that differ, a human label that is missing.
    """
    _check_input(labels, predictions, clusters)
    said = [p if p and p != "unclear" else None for p in predictions]
    kept = [i for i, p in enumerate(said) if p is not None]
    truth, guess = [labels[i] for i in kept], [said[i] or "" for i in kept]
    drawn = _Resampling(None if clusters is None else [clusters[i] for i in kept], level, resamples, seed)
    names = sorted({*labels, *guess})
    return Agreement(
        n=len(labels),
        judged=len(kept),
        coverage=len(kept) / len(labels),
        accuracy=_accuracy(truth, guess, drawn),
        kappa=_kappa(truth, guess, drawn),
        classes={name: _class(name, truth, guess) for name in names},
        confusion=_confusion(labels, said),
        level=level,
    )


def _check_input(
    labels: Sequence[str], predictions: Sequence[str | None], clusters: Sequence[Hashable] | None
) -> None:
    if not len(labels):
        raise ValueError("labels is empty: there is nothing to check")
    if len(predictions) != len(labels):
        raise ValueError(f"predictions has {len(predictions)} rows and labels has {len(labels)}")
    if clusters is not None and len(clusters) != len(labels):
        raise ValueError(f"clusters has {len(clusters)} rows and labels has {len(labels)}")
    for place, label in enumerate(labels):
        if not label:
            raise ValueError(f"labels[{place}] is missing")


def _confusion(labels: Sequence[str], said: Sequence[str | None]) -> dict[str, dict[str, int]]:
    """Human label -> judge's label -> count, in the order of their names and "unclear" last."""
    counts = Counter((label, p or "unclear") for label, p in zip(labels, said, strict=True))
    names = [*sorted({*labels, *filter(None, said)}), "unclear"]
    return {label: {p: counts[label, p] for p in names if counts[label, p]} for label in sorted(set(labels))}


def _accuracy(truth: list[str], guess: list[str], drawn: _Resampling) -> Estimate:
    if not truth:
        return Estimate()
    hits = [a == b for a, b in zip(truth, guess, strict=True)]
    found = rate(hits, drawn.clusters, level=drawn.level)
    return Estimate(found.rate, found.low, found.high)


def _kappa(truth: list[str], guess: list[str], drawn: _Resampling) -> Estimate:
    value = cohen_kappa(truth, guess) if truth else float("nan")
    if not np.isfinite(value):
        return Estimate()
    kappas = _resampled_kappas(_tables(truth, guess, drawn.clusters), drawn.resamples, drawn.seed)
    kappas = kappas[np.isfinite(kappas)]
    if not len(kappas):
        return Estimate(value)
    low, high = np.quantile(kappas, [(1 - drawn.level) / 2, (1 + drawn.level) / 2])
    return Estimate(value, float(low), float(high))


def _tables(truth: list[str], guess: list[str], groups: Sequence[Hashable] | None) -> npt.NDArray[np.int64]:
    """One confusion table a cluster: clusters x labels x labels."""
    names = {name: number for number, name in enumerate(sorted({*truth, *guess}))}
    codes: dict[Hashable, int] = {}
    places = [codes.setdefault(g, len(codes)) for g in (range(len(truth)) if groups is None else groups)]
    tables = np.zeros((len(codes), len(names), len(names)), dtype=np.int64)
    for place, a, b in zip(places, truth, guess, strict=True):
        tables[place, names[a], names[b]] += 1
    return tables


def _resampled_kappas(tables: npt.NDArray[np.int64], resamples: int, seed: int) -> npt.NDArray[np.float64]:
    """Returns kappas of resampled clusters. Clusters with equal tables are interchangeable, so the draws are
    multinomial counts of the distinct tables."""
    count, width = tables.shape[:2]
    kinds, many = np.unique(tables.reshape(count, -1), axis=0, return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(count, many / count, size=resamples) @ kinds
    drawn = drawn.reshape(resamples, width, width).astype(float)
    total = drawn.sum(axis=(1, 2))
    seen = np.trace(drawn, axis1=1, axis2=2) / total
    chance = (drawn.sum(axis=1) * drawn.sum(axis=2)).sum(axis=1) / total**2
    with np.errstate(divide="ignore", invalid="ignore"):
        kappas: npt.NDArray[np.float64] = np.where(chance < 1 - 1e-12, (seen - chance) / (1 - chance), np.nan)
    return kappas


def _class(name: str, truth: list[str], guess: list[str]) -> ClassFigures:
    both = sum(a == b == name for a, b in zip(truth, guess, strict=True))
    support, predicted = truth.count(name), guess.count(name)
    return ClassFigures(
        precision=both / predicted if predicted else None,
        recall=both / support if support else None,
        f1=2 * both / (support + predicted) if support + predicted else None,
        support=support,
        predicted=predicted,
    )
