"""Thresholds for a limit on over-refusal, in sentences and tables, for the page and the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from overt.data.results.calibration import (
    Baseline,
    CalibratedTarget,
    Calibration,
    Measured,
    Threshold,
    TokenFacts,
)
from overt.data.results.summary import Area, Proportion
from overt.data.table_model import Cell, Table
from overt.data.text import decimals, interval, mean_interval, percent, short_percent, signed
from overt.report.sections.wording import counted, counted_rate_cell, name_cell
from overt.scoring.token_gates import LEAST_MASS

Titles = Mapping[str, str]  # category id -> title


@dataclass(frozen=True, slots=True)
class CalibratedView:
    """One target. `says` are sentences, `warnings` speak against using the threshold, `notes` say what is
    left open."""

    name: str
    says: Sequence[str]
    warnings: Sequence[str]
    notes: Sequence[str]
    thresholds: Table | None
    grid: Table | None
    categories: Table | None
    tokens: Table | None


@dataclass(frozen=True, slots=True)
class CalibrationView:
    """`about` says what was asked for and how it was split; `wide` that the plot has more than two panels."""

    about: Sequence[str]
    targets: Sequence[CalibratedView]
    wide: bool


def build_calibration(found: Sequence[Calibration], titles: Titles) -> CalibrationView | None:
    """The section of all runs that were calibrated; None without one."""
    if not found:
        return None
    targets = [(one, target) for one in found for target in one.targets]
    return CalibrationView(
        list(dict.fromkeys(about_said(one) for one in found)),
        [
            CalibratedView(
                target.name,
                target_said(one, target),
                warnings_of(one, target),
                notes_of(target),
                thresholds_table(target, index, titles),
                grid_table(target, index),
                categories_table(target, index, titles),
                tokens_table(target.facts, index) if target.facts else None,
            )
            for index, (one, target) in enumerate(targets)
        ],
        sum(bool(target.held_out) for _, target in targets) > 2,
    )


# -- in sentences --------------------------------------------------------------------------------------------


def threshold_said(threshold: float | None) -> str:
    """A threshold as it is written into a target's name."""
    return "none" if threshold is None else repr(threshold)


def about_said(found: Calibration) -> str:
    """How the splits were made."""
    first, second = found.clusters
    return (
        f"At most {short_percent(found.limit)} of benign prompts refused. The threshold was found on "
        f"{first:,} seeds and "
        f"tried on {second:,} others that took no part in it (seed {found.seed}, "
        f"{short_percent(found.share)} "
        "for "
        "calibration); all prompts of a seed or pair are on one side."
    )


def target_said(found: Calibration, target: CalibratedTarget) -> list[str]:
    """What came of one target."""
    if target.why:
        return [f"Not calibrated: {target.why}."]
    said = [_whole_said(found, target.whole)] if target.whole else []
    if options := _options(target):
        said.append(f"As an option in the target's name: {options}.")
    if target.auc:
        said.append(f"AUC on the held-out split: {area_said(target.auc)}.")
    if target.baseline:
        said.append(baseline_said(target, target.baseline))
    elif target.no_baseline:
        said.append(f"No baseline: {target.no_baseline}.")
    if target.facts:
        said += list(_facts_said(target.facts))
    if target.layer.partition("?")[0] not in ("", target.name.partition("?")[0]):
        said.append(f"The score is that of the layer {target.layer}, and the rates are what it does alone.")
    if target.unscored:
        said.append(f"{counted(target.unscored, 'answered row')} without a score took no part.")
    return said


def _whole_said(found: Calibration, one: Threshold) -> str:
    if one.status == "too few":
        return f"No threshold: {one.why}."
    if one.threshold is None:
        return f"No threshold keeps over-refusal at {short_percent(found.limit)}: {one.why}."
    out = one.held_out
    said = (
        f"Threshold {threshold_said(one.threshold)}: on the held-out split it refuses "
        f"{rate_said(out.over_refusal)} of the benign"
    )
    if out.unsafe_refusal is None:
        return f"{said} prompts; what it costs is not known, since no unsafe prompt with a score is there."
    return (
        f"{said} and {rate_said(out.unsafe_refusal)} of the unsafe prompts; the cost, unsafe prompts let "
        f"through: {rate_said(out.unsafe_compliance)}."
    )


def _options(target: CalibratedTarget) -> str:
    """The thresholds that can be used, as a target's name spells them; of categories of prompts it knows
    none. Those of tokens are named where each token has one: beside the threshold for all prompts they would
    be a mixture that was never tried."""
    ways = [[target.whole] if target.whole else [], target.tokens]
    return ", or ".join(
        "&".join(
            f"threshold{f'.{one.name}' if one.name else ''}={threshold_said(one.threshold)}" for one in way
        )
        for way in ways
        if way and all(one.status == "found" for one in way)
    )


def rate_said(rate: Proportion | None) -> str:
    """`3.1% (6 of 192; 1.4 to 6.6)`, "none" where there was nothing to count."""
    if rate is None:
        return "none"
    return f"{percent(rate.rate)} ({rate.k:,} of {rate.n:,}; {interval(rate)})"


def area_said(area: Area) -> str:
    return f"{decimals(area.auc)} ({decimals(area.low)} to {decimals(area.high)})"


def baseline_said(target: CalibratedTarget, base: Baseline) -> str:
    """Whether the curve is better than what a linear model on embeddings gets."""
    what = "The refuse token's curve" if target.score == "tokens" else "The curve"
    vectors = "counts of words" if base.encoder == "words" else f"embeddings of {base.encoder}"
    gap = f"{signed(base.difference)} ({signed(base.low)} to {signed(base.high)})"
    beside = (
        f"than plain logistic regression on {vectors}, fitted on the calibration split "
        f"({counted(base.fitted.benign, 'benign prompt')}, {base.fitted.unsafe:,} unsafe): AUC "
        f"{decimals(base.target_auc.auc)} against {area_said(base.auc)}, difference {gap}"
    )
    verdict = {"better": "is better", "worse": "is worse", "not better": "is not shown to be better"}[
        base.verdict
    ]
    return f"{what} {verdict} {beside}."


def _facts_said(facts: TokenFacts) -> Iterator[str]:
    if facts.mass:
        limits = mean_interval(facts.mass)
        least = "at least " if facts.bounds else ""  # of what was not listed nothing is counted
        yield (
            f"Token mass: {least}{decimals(facts.mass.mean)}{f' ({limits})' if limits else ''} of the "
            f"probability lies on the tokens; below one half in {rate_said(facts.thin)} of the rows."
        )
    if facts.bounds:
        yield (
            f"In {facts.bounds:,} of {counted(facts.rows, 'row')} the service did not list the refuse "
            "token: its "
            "probability is an upper bound there."
        )


def warnings_of(found: Calibration, target: CalibratedTarget) -> list[str]:
    """What speaks against using the thresholds."""
    said = []
    for one in (target.whole, *target.categories, *target.tokens):
        if one is not None and one.status == "contradicted":
            of = f" of {one.name}" if one.name else ""
            said.append(f"The threshold{of} is not to be used: {one.why} of {short_percent(found.limit)}.")
    if target.facts and target.facts.mass and target.facts.mass.mean < LEAST_MASS:
        said.append(
            "The model does not use these tokens: more than half of the probability lies on other words."
        )
    return said


def notes_of(target: CalibratedTarget) -> list[str]:
    """What the figures of a target leave open."""
    said = []
    whole, facts = target.whole, target.facts
    if whole is not None and (lost := whole.held_out.unknown).benign + lost.unsafe:
        said.append(
            f"For {lost.benign:,} benign and {lost.unsafe:,} unsafe held-out rows the continuation that this "
            "threshold chooses is not known: not asked for, failed, or unclear to the judge. They count "
            "against it, as refused and as answered: run the target with --both."
        )
    elif facts and facts.one_sided:
        said.append(
            f"Of {facts.one_sided:,} of {counted(facts.rows, 'row')} one continuation only is known, so the "
            "curve away from the threshold is a bound: run the target with --both."
        )
    if target.missing:
        said.append(
            f"{counted(target.missing, 'row')} without an answer took no part: how a threshold does on such "
            "prompts is not known."
        )
    if target.regardless:
        said.append(
            f"Blocked at a lower score than that of a row which was let through: "
            f"{counted(target.regardless, 'row')}. So the layer decides by more than its score, and what it "
            "blocked counts as refused at every threshold."
        )
    if target.others:
        said.append(
            f"What {', '.join(target.others)} refuse comes on top: these layers decide without a score, and "
            "no threshold moves them."
        )
    return said


# -- in tables -----------------------------------------------------------------------------------------------


_GIVES = ("Over-refusal", "Unsafe refused", "Unsafe let through")


def thresholds_table(target: CalibratedTarget, index: int, titles: Titles) -> Table | None:
    """The thresholds for all prompts, by category and by token."""
    if target.whole is None:
        return None
    rows = [
        [Cell("All prompts", sort=""), *_threshold_cells(target.whole)],
        *([name_cell(titles.get(one.name) or one.name), *_threshold_cells(one)] for one in target.categories),
        *([name_cell(f"token {one.name}"), *_threshold_cells(one)] for one in target.tokens),
    ]
    return Table(
        f"calibrated-{index}",
        "Thresholds, and what they give: over-refusal on the split that they were found on, and all rates "
        "on the "
        "held-out one",
        [
            "For",
            "Threshold",
            "Benign seeds",
            "Over-refusal, calibration",
            *(f"{title}, held out" for title in _GIVES),
        ],
        rows,
        dense=True,
    )


def _threshold_cells(one: Threshold) -> list[Cell]:
    why = "" if one.status == "found" else one.status
    threshold = (
        Cell("-", one.why, muted=True)
        if one.threshold is None
        else Cell(threshold_said(one.threshold), why, sort=one.threshold)
    )
    seeds = Cell(f"{one.clusters:,}", f"{one.needed:,} needed", sort=one.clusters)
    return [threshold, seeds, _over(one.calibration), *_gives(one.held_out)]


def _gives(found: Measured) -> list[Cell]:
    refused = (
        f"at most {percent(found.unsafe_refusal_most)}: {found.unknown.unsafe:,} unknown"
        if found.unsafe_refusal_most is not None
        else ""
    )
    return [
        _over(found),
        counted_rate_cell(found.unsafe_refusal, "gain", refused),
        counted_rate_cell(found.unsafe_compliance, "cost"),
    ]


def _over(found: Measured) -> Cell:
    least = (
        f"at least {percent(found.over_refusal_least)}: {found.unknown.benign:,} unknown"
        if found.over_refusal_least is not None
        else ""
    )
    return counted_rate_cell(found.over_refusal, "cost", least)


def grid_table(target: CalibratedTarget, index: int) -> Table | None:
    """False and true positive rates at round thresholds."""
    if not target.grid:
        return None
    return Table(
        f"grid-{index}",
        "Round thresholds on the held-out split: over-refusal is the false positive rate, unsafe refused "
        "the true one",
        ["Threshold", *_GIVES],
        [[Cell(f"{row.threshold:g}", sort=row.threshold), *_gives(row.held_out)] for row in target.grid],
    )


def categories_table(target: CalibratedTarget, index: int, titles: Titles) -> Table | None:
    """The threshold for all prompts in each category; None for one category."""
    if len(target.by_category) < 2:
        return None
    return Table(
        f"calibrated-categories-{index}",
        "The threshold for all prompts by category (of a suite: by type), on the held-out split",
        ["Category", *_GIVES],
        [
            [name_cell(titles.get(row.category) or row.category), *_gives(row.held_out)]
            for row in target.by_category
        ],
    )


def tokens_table(facts: TokenFacts, index: int) -> Table:
    """Text against token."""
    rows = (
        ("Respond token forced, and refused in words all the same", facts.refused_in_words),
        ("Refuse token forced, and answered all the same", facts.answered_anyway),
    )
    return Table(
        f"text-against-token-{index}",
        "Text against token: the judge's word on what stands behind a token that was forced. All rates of "
        "refusal "
        "here are the judge's, never the token's",
        ["Behind the token", "Benign prompts", "Unsafe prompts"],
        [
            [
                Cell(title, sort=title.casefold()),
                counted_rate_cell(found.benign, "cost"),
                counted_rate_cell(found.unsafe, "gain" if found is facts.refused_in_words else "cost"),
            ]
            for title, found in rows
        ],
    )
