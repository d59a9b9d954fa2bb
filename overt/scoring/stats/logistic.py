"""Logistic regression by Newton's method: numpy alone, the same numbers in every process."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from overt.scoring.stats.inputs import Floats, Ints

_STEPS = 50
_STILL = 1e-8


@dataclass(frozen=True, slots=True)
class Logistic:
    """A linear model: (d,) weights and an intercept."""

    weights: Floats
    intercept: float

    def scores(self, rows: Floats) -> Floats:
        """The log odds of (n, d) rows."""
        found: Floats = rows @ self.weights + self.intercept
        return found


def fit_logistic(rows: Floats, outcomes: Ints, penalty: float = 1.0) -> Logistic:
    """The weights that make sum(log loss) + penalty / 2 * |weights|**2 least; the intercept is free.

    Iteratively reweighted least squares with halved steps (McCullagh & Nelder 1989, Generalized Linear
    Models, ch. 2).

    Args:
        rows: (n, d) finite numbers.
        outcomes: (n,) 0 or 1, at least one of each.
        penalty: above 0, in the unit of one row's log loss.

    Raises:
        ValueError: lengths that differ, one kind of outcome only, a penalty that is not positive.
    """
    if len(rows) != len(outcomes):
        raise ValueError(f"rows has {len(rows)} rows and outcomes has {len(outcomes)}")
    if not len(outcomes) or outcomes.min() == outcomes.max():
        raise ValueError("outcomes are all alike; a fit needs both kinds")
    if penalty <= 0:
        raise ValueError(f"penalty is {penalty!r}; it must be above 0")
    x = np.column_stack([rows, np.ones(len(rows))]).astype(np.float64)
    y = outcomes.astype(np.float64)
    ridge = np.full(x.shape[1], penalty)
    ridge[-1] = 1e-9  # so that the system has a solution however few rows there are
    found = np.zeros(x.shape[1])
    loss = _loss(x, y, ridge, found)
    for _ in range(_STEPS):
        shares = 1 / (1 + np.exp(-np.clip(x @ found, -500, 500)))
        slope = x.T @ (shares - y) + ridge * found
        bend = (x * (shares * (1 - shares))[:, None]).T @ x + np.diag(ridge)
        step = np.linalg.solve(bend, slope)
        size = 1.0
        while size > _STILL and _loss(x, y, ridge, found - size * step) > loss:
            size /= 2
        found = found - size * step
        before, loss = loss, _loss(x, y, ridge, found)
        if before - loss < _STILL:
            break
    return Logistic(found[:-1], float(found[-1]))


def _loss(x: Floats, y: Floats, ridge: Floats, found: Floats) -> float:
    odds = x @ found
    return float(np.logaddexp(0, odds).sum() - y @ odds + (ridge * found * found).sum() / 2)
