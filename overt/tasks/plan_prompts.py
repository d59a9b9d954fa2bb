"""How many prompts a decision needs: by simulation with the clusters of a small run, or by the formula."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from overt.data.errors import InputError
from overt.data.progress import Progress
from overt.data.results.plan import Asked, Decided, PowerPoint, PromptNeed
from overt.data.run.finished import Run
from overt.data.text import plain
from overt.report.sections.wording import counted
from overt.scoring import stats
from overt.scoring.stats.clusters import ASSUMED_INTRACLASS
from overt.scoring.stats.inputs import Ints
from overt.scoring.stats.simulated_power import (
    Found,
    Point,
    Shape,
    keeps_limit,
    most_rows,
    rows_needed,
    tells_difference,
)
from overt.scoring.summary.metrics import METRICS, Metric
from overt.scoring.summary.rows import Rows, keys_of, rate_record
from overt.scoring.summary.stored import gathered
from overt.tasks.how_many import Question, question, read_rate
from overt.tasks.plan_needs import LIMITS, NeedsConfig
from overt.tasks.plan_pilot import samples_of

_METRIC = "over_refusal"  # of a difference
_APART = 3.0  # without a pilot: on so many times the difference do two targets differ, either way


def decided_by(config: NeedsConfig, run: Run | None, progress: Progress) -> tuple[Decided, ...]:
    """What each decision that was asked for needs, by target and category of the small run.

    Raises:
        InputError: a limit, a rate or a target that there is not; options that contradict each other.
    """
    limits = config.limits()
    expected = read_rate(config.expect, "--expect")
    if expected is not None and len(limits) != 1:
        raise InputError(
            "--expect is the rate of one limit",
            fix="Ask about one limit at a time." if limits else "Give a limit: --max-over-refusal 5%",
        )
    if run is not None and config.design_effect is not None:
        raise InputError(
            "--design-effect is for a plan without a small run, whose own is taken",
            fix="Leave out one of them.",
        )
    if run is not None and config.samples not in (None, samples_of(run)):
        raise InputError(
            f"the small run has {counted(samples_of(run), 'answer')} to each prompt, so it does not show how "
            f"alike {config.samples} are",
            fix="Leave --samples out, or ask the small run as often.",
        )
    rows = gathered(run, progress).counted() if run is not None else None
    found = []
    for metric, limit in limits.items():
        flag = next(f"--{name.replace('_', '-')}" for name in LIMITS if name.endswith(metric))
        asked = question(metric, limit, expected, config.power, flag)
        found.append(_of_limit(config, asked, rows and _chosen(rows, config.target), progress))
    if config.difference is not None:
        found.append(_of_difference(config, rows, progress))
    elif config.between:
        raise InputError("--between goes with --difference", fix="Give both, such as --difference 5%.")
    return tuple(found)


def planned_prompts(decided: tuple[Decided, ...]) -> dict[str, int] | None:
    """The prompts of each category that all decisions need; None where one of them is not known."""
    most: dict[str, int] = {}
    for need in (need for one in decided for need in one.needs):
        if need.prompts is None:
            return None
        most[need.category] = max(need.prompts, most.get(need.category, 0))
    return most or None


def _chosen(rows: Mapping[str, Rows], targets: tuple[str, ...]) -> Mapping[str, Rows]:
    """The rows of the targets that are planned; of all where none of them was in the small run."""
    return {name: rows[name] for name in targets if name in rows} or rows


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is known of the prompts of a category before a number is sought: the record without the number,
    how its clusters look, and how many prompts make one of the rows that are simulated: more than one where a
    design effect is stated or where not every answer tells something, less where a prompt has several."""

    need: PromptNeed
    shape: Shape
    scale: float = 1.0


def _stated(config: NeedsConfig) -> _Seen:
    """Without a small run: independent prompts, or a stated design effect."""
    effect = config.design_effect or 1.0
    return _Seen(PromptNeed(target="", category="", effect=effect), Shape(), effect)


def _shown(target: str, category: str, prompts: int, clusters: Ints, effect: float) -> _Seen:
    """What a small run shows. Its design effect is that of intervals, so the correlation leans towards the
    one that is assumed of clusters that were not seen.

    Args:
        prompts: that the small run asked.
        clusters: of each answer that tells something.
    """
    counts = np.unique(clusters, return_counts=True)[1]
    shape = Shape(sizes=tuple(int(size) for size in counts))
    if not shape.is_independent:
        # One cluster alone tells nothing of how much clusters share.
        told = (effect - 1) / (shape.seen_size - 1) if len(counts) > 1 else ASSUMED_INTRACLASS
        shape = dataclasses.replace(shape, correlation=min(max(told, 0.0), 1.0))
    need = PromptNeed(
        target=target,
        category=category,
        n=prompts,
        answers=len(clusters),
        clusters=len(counts),
        effect=shape.effect,
        correlation=shape.correlation,
    )
    return _Seen(need, shape, prompts / len(clusters))


def _answered(seen: _Seen, found: Found, *, formula: int | None, exact: bool = False) -> PromptNeed:
    """Args:
    formula: the rows by the formula, where there is one.
    """
    formula = math.ceil(formula * seen.scale) if formula is not None else None
    if found.needed is None:
        most = f"{round(most_rows(seen.shape) * seen.scale):,}"
        told = f"; the formula says {formula:,}" if formula is not None else ""
        why = f"more than {most} prompts, and no more are simulated{told}"
        return dataclasses.replace(seen.need, formula=formula, why=why)
    return dataclasses.replace(
        seen.need,
        prompts=math.ceil(found.needed.rows * seen.scale),
        by="exact" if exact else "simulated",
        formula=formula,
        found=_point(found.needed, seen.scale),
        curve=tuple(_point(point, seen.scale) for point in found.curve),
    )


def _point(point: Point, scale: float) -> PowerPoint:
    power = rate_record(stats.wilson(point.k, point.n))
    return PowerPoint(prompts=math.ceil(point.rows * scale), power=power)


# -- a limit ------------------------------------------------------------------------------------------------


def _of_limit(
    config: NeedsConfig, asked: Question, rows: Mapping[str, Rows] | None, progress: Progress
) -> Decided:
    about = Asked(
        decision="limit",
        metric=asked.metric.id,
        power=asked.power,
        level=config.level,
        limit=asked.limit,
        at_most=asked.at_most,
        expected=asked.expected,
        is_default=asked.is_default,
    )
    if rows is None:
        return Decided(asked=about, needs=(_limit_need(config, asked, _stated(config)),))
    parts = [(name, *part) for name, some in rows.items() for part in some.by_category().items()]
    needs = []
    with progress.stage("prompts", len(parts)) as advance:
        for name, category, some in parts:
            events, clusters = some.told(asked.metric.told)
            if len(events):
                effect = stats.design_effect(events, clusters).effect
                prompts = len(_asked_of(asked.metric, some))
                seen = _shown(name, category, prompts, clusters, effect)
                rate = rate_record(stats.rate(events, clusters, level=config.level))
                need = dataclasses.replace(seen.need, seen=rate)
                needs.append(_limit_need(config, asked, dataclasses.replace(seen, need=need)))
            advance(1)
    return Decided(asked=about, needs=tuple(needs))


def _asked_of(metric: Metric, rows: Rows) -> Ints:
    """The prompts of a metric's side, answered or not."""
    return np.unique(rows.prompt[rows.asked.has_label(metric.side)[rows.prompt]])


def _limit_need(config: NeedsConfig, asked: Question, seen: _Seen) -> PromptNeed:
    """Of clusters by simulation; of independent prompts by the formula, which a simulation confirms."""
    alone, formula = asked.needed(1.0, config.level), asked.needed(seen.shape.effect, config.level)
    limit, expected = asked.limit, asked.expected
    if not asked.at_most:  # the rate of what is not wanted, from the other side
        limit, expected = 1 - limit, 1 - expected
    start = formula.prompts if formula else most_rows(seen.shape)
    decision = keeps_limit(limit, expected, asked.power, start, config.level)
    known = formula.prompts if formula else None
    if not seen.shape.is_independent:
        return _answered(seen, rows_needed(decision, seen.shape, seed=config.seed), formula=known)
    if alone is None:
        return _answered(seen, Found(needed=None), formula=known)
    found = rows_needed(decision, seen.shape, seed=config.seed, exact=alone.prompts)
    return _answered(seen, found, formula=known, exact=True)


# -- a difference -------------------------------------------------------------------------------------------


def _of_difference(config: NeedsConfig, rows: Mapping[str, Rows] | None, progress: Progress) -> Decided:
    difference = read_rate(config.difference, "--difference") or 0.0
    if not 0 < difference < 1:
        raise InputError(
            f"--difference is {config.difference!r}: no number of prompts tells it", fix="For instance: 5%"
        )
    names = _two(config, rows) if rows is not None else ()
    about = Asked(
        decision="difference",
        metric=_METRIC,
        power=config.power,
        level=config.level,
        difference=difference,
        between=names,
    )
    if rows is None:
        apart = min(1.0, _APART * difference)
        return Decided(asked=about, needs=(_difference_need(config, difference, _stated(config), apart),))
    first, second = (rows[name].by_category() for name in names)
    needs = []
    shared = [category for category in first if category in second]
    with progress.stage("prompts", len(shared)) as advance:
        for category in shared:
            gaps, clusters = _gaps(first[category], second[category])
            if len(gaps):
                told = stats.paired_difference(gaps > 0, gaps < 0, clusters, level=config.level)
                effect = len(gaps) / told.n_effective
                sides = [_asked_of(METRICS[_METRIC], part[category]) for part in (first, second)]
                prompts = len(np.union1d(*sides))
                seen = _shown(" and ".join(names), category, prompts, clusters, effect)
                apart = min(1.0, max(difference, float(np.abs(gaps).mean())))
                needs.append(_difference_need(config, difference, seen, apart))
            advance(1)
    return Decided(asked=about, needs=tuple(needs))


def _two(config: NeedsConfig, rows: Mapping[str, Rows]) -> tuple[str, str]:
    known = ", ".join(map(plain, rows))
    names = config.between or (tuple(rows) if len(rows) == 2 else ())
    for name in names:
        if name not in rows:
            raise InputError(
                f"--between names {plain(name)!r}, which the run did not ask", fix=f"It has: {known}"
            )
    if len(names) != 2 or names[0] == names[1]:
        raise InputError(
            "a difference is one between two targets", fix=f"Give --between twice. The run has: {known}"
        )
    return names[0], names[1]


def _gaps(a: Rows, b: Rows) -> tuple[Ints, Ints]:
    """Of each prompt and sample that both answered the first event less the second, -1 to 1, and its
    cluster."""
    told = METRICS[_METRIC].told
    first, second = keys_of(a, b)
    (before, at), (after, to) = a.events(told), b.events(told)
    _, mine, others = np.intersect1d(first[at], second[to], return_indices=True)
    gaps = before[mine].astype(np.int64) - after[others].astype(np.int64)
    return gaps, a.cluster[at[mine]].astype(np.int64)


def _difference_need(config: NeedsConfig, difference: float, seen: _Seen, apart: float) -> PromptNeed:
    decision = tells_difference(difference, apart, config.power, config.level)
    found = rows_needed(decision, seen.shape, seed=config.seed)
    return dataclasses.replace(_answered(seen, found, formula=None), apart=apart)
