"""A threshold for each target of a run: found on the calibration split, tried on the held-out one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from overt.data.results.calibration import (
    CalibratedTarget,
    Calibration,
    CategoryAt,
    GridRow,
    Threshold,
)
from overt.data.results.summary import SideCounts
from overt.scoring.calibration.baseline import Fitted, baseline_of
from overt.scoring.calibration.columns import Population, ScoredRows, ScoredTarget
from overt.scoring.calibration.thresholds import GRID, Wanted, area_of, curve_of, measured, threshold_of
from overt.scoring.calibration.tokens import facts_of
from overt.scoring.stats.inputs import Ints
from overt.scoring.summary.rows import Bools, in_order


def why_not(target: ScoredTarget) -> str:
    """Why a target has no threshold to choose, in a sentence; "" where it has."""
    if len(target.layers) > 1 and not target.with_gate:
        return (
            f"{len(target.layers)} layers give scores ({', '.join(target.layers)}), and one threshold "
            "cannot serve "
            "two scales: test each of them alone"
        )
    if target.regardless and any("threshold=" in layer for layer in target.layers):
        return (
            "its layer decides by more than its score, and by a threshold of this run, so which of the two "
            "blocked a row is not known: run it without a threshold"
        )
    if not target.answered:
        return "nothing was answered"
    if not len(target.rows):
        return "it gives no score, so there is no threshold to choose"
    return ""


def calibrated(
    population: Population,
    targets: Sequence[ScoredTarget],
    calibration: Bools,
    wanted: Wanted,
    *,
    by_category: bool,
    baseline: Fitted | str,
    seed: int = 0,
) -> Calibration:
    """The thresholds of all targets.

    Args:
        calibration: which prompts are on the calibration split (`split_of`).
        by_category: whether each category gets a threshold of its own.
        baseline: or why there is none.
    """
    used = population.asked.cluster[population.counted]
    on_it = calibration[population.counted]
    counts = len(np.unique(used[on_it])), len(np.unique(used[~on_it]))
    return Calibration(
        limit=wanted.limit,
        level=wanted.settings.level,
        share=wanted.share,
        seed=seed,
        by_category=by_category,
        clusters=counts,
        targets=tuple(
            _target(population, target, calibration, wanted, by_category=by_category, baseline=baseline)
            for target in targets
        ),
    )


def _target(
    population: Population,
    target: ScoredTarget,
    calibration: Bools,
    wanted: Wanted,
    *,
    by_category: bool,
    baseline: Fitted | str,
) -> CalibratedTarget:
    rows, settings = target.rows, wanted.settings
    count = SideCounts(int((~rows.unsafe).sum()), int(rows.unsafe.sum()))
    unscored = target.answered - len(rows)
    if why := why_not(target):
        return CalibratedTarget(
            name=target.name, why=why, rows=count, unscored=unscored, missing=target.missing
        )
    on_it = calibration[rows.prompt]
    first, second = rows.part(on_it), rows.part(~on_it)
    whole = threshold_of(first, second, wanted)
    beside = baseline if isinstance(baseline, str) else baseline_of(second, baseline, settings)
    category = population.asked.category[rows.prompt]
    return CalibratedTarget(
        name=target.name,
        score="tokens" if target.with_gate else "layer",
        layer=target.layers[0] if target.layers and not target.with_gate else "",
        others=target.others,
        rows=count,
        unscored=unscored,
        missing=target.missing,
        regardless=target.regardless,
        whole=whole,
        categories=_each(rows, on_it, category, population.asked.categories, wanted) if by_category else (),
        tokens=_each(rows, on_it, rows.top, rows.tokens, wanted) if len(rows.tokens) > 1 else (),
        by_category=_by_category(population, second, whole, wanted),
        grid=tuple(GridRow(threshold=t, held_out=measured(second, t, settings)) for t in GRID),
        calibration=curve_of(first),
        held_out=curve_of(second),
        auc=area_of(second, settings),
        baseline=None if isinstance(beside, str) else beside,
        no_baseline=beside if isinstance(beside, str) else "",
        facts=facts_of(rows, settings) if target.with_gate else None,
    )


def _each(
    rows: ScoredRows, calibration: Bools, codes: Ints, names: Sequence[str], wanted: Wanted
) -> tuple[Threshold, ...]:
    """A threshold for the rows of each code, in the order in which the codes first appear."""
    found = []
    for code in in_order(codes):
        mine = codes == code
        found.append(
            threshold_of(rows.part(mine & calibration), rows.part(mine & ~calibration), wanted, names[code])
        )
    return tuple(found)


def _by_category(
    population: Population, held_out: ScoredRows, whole: Threshold, wanted: Wanted
) -> tuple[CategoryAt, ...]:
    """What the threshold for all prompts gives in each category; nothing without one."""
    if whole.threshold is None:
        return ()
    codes = population.asked.category[held_out.prompt]
    return tuple(
        CategoryAt(
            category=population.asked.categories[code],
            held_out=measured(held_out.part(codes == code), whole.threshold, wanted.settings),
        )
        for code in in_order(codes)
    )
