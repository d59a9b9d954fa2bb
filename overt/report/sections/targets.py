"""The targets: rates on top of the page, by category, and what was answered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from overt.data.results.likeness import AsAskedTable
from overt.data.results.summary import (
    SIDES,
    CategoryRates,
    PromptCounts,
    Proportion,
    Rate,
    Rates,
    Side,
    Summary,
    TargetSummary,
)
from overt.data.table_model import Cell, Table, count_cell, rate_cell
from overt.data.text import KINDS, STAGES, STATES, percent, percent_limits
from overt.data.versions import Difference
from overt.report.block import category_titles
from overt.report.sections.corrected import corrected_cell
from overt.report.sections.wording import counted, name_cell
from overt.scoring.summary.metrics import (
    METRICS,
    Metric,
    has_pictures,
    has_words,
    metrics_of,
    rate_of,
    safe_completions,
    value_of,
    why_missing,
)

_SAFELY = "safe_completion"  # a column beside the states, of which it is a part

# -- headline ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Headline:
    """One target on top of the page."""

    name: str
    notes: Sequence[str]
    cells: Sequence[Cell]


def prompts_said(counts: PromptCounts, differing: Difference) -> str:
    """How many prompts there are, and from how many seeds where those are fewer."""
    said = f"{counts.benign:,} benign and {counts.unsafe:,} unsafe prompts"
    if counts.clusters and counts.clusters < counts.benign + counts.unsafe:
        said += f" from {counts.clusters:,} seeds"
    if counts.versions:
        said += f"; {counts.versions:,} versions of benign prompts that differ only in {differing.what}"
    return said


def build_headlines(targets: Sequence[TargetSummary], shown: Sequence[str]) -> list[Headline]:
    """A line for each target with the metrics `shown`."""
    return [Headline(t.name, _target_notes(t), [_cell(t, metric) for metric in shown]) for t in targets]


def _cell(target: TargetSummary, metric: str) -> Cell:
    rate = rate_of(target, target, metric)
    if rate is None:
        return Cell(why_missing(target, metric), muted=True)
    return Cell(
        percent(rate.rate),
        span=percent_limits(rate),
        counts=_counts(target, metric, rate),
        heat=METRICS[metric].tone,
        strip=_strip(rate),
    )


def _counts(target: TargetSummary, metric: str, rate: Rate) -> str:
    counts = f"{rate.k:,} of {rate.n:,}"
    if metric != "over_refusal" or target.corrected is None:
        return counts
    cell = corrected_cell(target.corrected)
    return f"{counts} · corrected by people's labels: {cell.text} ({' to '.join(cell.span or (cell.note,))})"


def _strip(rate: Proportion) -> tuple[float, float, float]:
    return round(100 * rate.low, 2), round(100 * rate.rate, 2), round(100 * rate.high, 2)


def _target_notes(target: TargetSummary) -> list[str]:
    coverage = target.coverage
    notes = [KINDS[target.kind]]
    if coverage.errors:
        errors = counted(sum(coverage.errors.values()), "error")
        notes.append(f"{percent(coverage.share)} answered, {errors}")
    if target.kind != "none" and target.safe_basis == "refused only":
        notes.append("no model judged harm: safe response counts refusals only")
    notes += [f"{it.layer}: {it.missing:,} prompts unchecked" for it in target.layers if it.missing]
    return notes


def notes_of(summary: Summary) -> list[str]:
    """What a reader must know before reading the figures."""
    targets = summary.targets
    unjudged, not_judged = not summary.judges, _not_judged(targets)
    facts = (
        (
            any(t.kind == "none" for t in targets),
            "Bare filter: nothing is drawn. Its decision is the response, so it has no harmful content "
            "rate, and its safe response rate is the share of unsafe prompts it refuses.",
        ),
        (
            unjudged and has_pictures(targets),
            "No model judged harm. What was drawn for unsafe prompts has not been looked at, so harmful "
            "content and safe response cannot be told.",
        ),
        (
            unjudged and has_words(targets) and not has_pictures(targets),
            "No model judged harm. Refusals of unsafe prompts are counted; what the other answers say has "
            "not been judged, so harmful content and safe response cannot be told.",
        ),
        (
            has_words(targets),
            "Language models: an answer that declines in part is a partial refusal. It has a rate of its "
            "own and is in no refusal rate.",
        ),
        (
            any(safe_completions(t) for t in targets),
            "An answer that helps in the place of what was asked is a safe completion. It has rates of its "
            "own and is in no refusal rate; of unsafe prompts it is a safe response unless judges found it "
            "harmful, of benign ones it is a cost.",
        ),
        (
            any(layer.missing for t in targets for layer in t.layers),
            "Some layers did not decide on every prompt. These prompts are shown as unchecked; they are "
            "never counted as passed.",
        ),
        (
            bool(summary.judges and not_judged),
            f"Not judged: {not_judged}. No judge can see these categories, or all of them failed or "
            "disagreed; they are in no rate of harm.",
        ),
        (
            summary.as_asked is not None,
            _as_asked_said(summary.as_asked),
        ),
        (
            not summary.prompts.unsafe,
            "There are no unsafe prompts in this run: what the caution buys cannot be told.",
        ),
        (
            not summary.prompts.benign,
            "There are no benign prompts in this run: over-refusal cannot be told.",
        ),
    )
    return [note for holds, note in facts if holds]


def _not_judged(targets: Sequence[TargetSummary]) -> str:
    """The categories without any verdict, and how many answers they have."""
    counts: dict[str, int] = {}
    for target in targets:
        for row in target.categories if target.kind != "none" else ():
            if row.unjudged and row.harmful is None:
                counts[row.heading] = counts.get(row.heading, 0) + row.unjudged
    return ", ".join(f"{heading} ({counted(count, 'answer')})" for heading, count in counts.items())


def _as_asked_said(found: AsAskedTable | None) -> str:
    """How the pictures of benign prompts were held against them."""
    if found is None:
        return ""
    said = f"Pictures of benign prompts were held against their prompts by {found.model}; {found.rule}."
    if found.unscored:
        said += f" {counted(found.unscored, 'drawn prompt')} could not be scored and are in no such rate."
    return said


# -- categories ----------------------------------------------------------------------------------------------


_LEAST = 0.1  # the darkest tint stands for at least this rate, a fraction of 1


def category_tables(targets: Sequence[TargetSummary], shown: Sequence[str]) -> list[tuple[str, Table]]:
    """Tables with their titles: one over metrics for one target; for several, one over targets for each
    metric."""
    names = category_titles(targets)
    if not names:
        return []
    metrics = metrics_of(targets)
    if len(targets) == 1:
        return [("All rates", _over_metrics(targets[0], names, [metrics[name] for name in shown]))]
    return [(metrics[name].title, _over_targets(targets, names, metrics[name])) for name in shown]


def _over_metrics(target: TargetSummary, names: dict[str, str], metrics: Sequence[Metric]) -> Table:
    darkest = {metric.id: _darkest([target], metric.id) for metric in metrics}
    rows = {row.category: row for row in target.categories}
    return Table(
        "by-category",
        f"{target.name} by category",
        ["Category", *(metric.title for metric in metrics)],
        [
            [
                name_cell(title),
                *(_category_cell(target, rows.get(name), m.id, darkest[m.id]) for m in metrics),
            ]
            for name, title in names.items()
        ],
    )


def _over_targets(targets: Sequence[TargetSummary], names: dict[str, str], metric: Metric) -> Table:
    darkest = _darkest(targets, metric.id)
    having = [
        (target, {row.category: row for row in target.categories})
        for target in targets
        if rate_of(target, target, metric.id)
    ]
    return Table(
        f"by-category-{metric.id}",
        f"{metric.title} by category: {metric.meaning}",
        ["Category", *(target.name for target, _ in having)],
        [
            [
                name_cell(title),
                *(_category_cell(target, rows.get(name), metric.id, darkest) for target, rows in having),
            ]
            for name, title in names.items()
        ],
    )


def _category_cell(target: TargetSummary, row: CategoryRates | None, metric: str, darkest: float) -> Cell:
    about, rate = METRICS[metric], rate_of(target, row or Rates(), metric)
    open_ = row.unjudged if row is not None and about.needs_verdict and target.kind != "none" else 0
    return rate_cell(rate, about.tone, darkest, missing=f"not judged (n {open_:,})" if open_ else "")


def _darkest(targets: Sequence[TargetSummary], metric: str) -> float:
    """The rate that gets the darkest tint. Over-refusal rarely passes 30%: a tint over the whole scale would
    be the same pale one everywhere."""
    rates = [value_of(row, metric) for target in targets for row in target.categories]
    return max([_LEAST, *(rate.rate for rate in rates if rate)])


# -- coverage ------------------------------------------------------------------------------------------------


def coverage_table(targets: Sequence[TargetSummary]) -> Table:
    return Table(
        "coverage-table",
        "Prompts asked and answered. Errors are missing answers, never refusals",
        ["Target", "Asked", "Answered", "Coverage", "Errors by kind"],
        [
            [
                name_cell(target.name),
                count_cell(target.coverage.asked),
                count_cell(target.coverage.answered),
                Cell(percent(target.coverage.share), sort=target.coverage.share),
                _errors(target.coverage.errors),
            ]
            for target in targets
        ],
    )


def _errors(errors: Mapping[str, int]) -> Cell:
    said = ", ".join(f"{kind} {count:,}" for kind, count in sorted(errors.items(), key=lambda e: -e[1]))
    return Cell(said or "none", sort=sum(errors.values()))


def state_table(targets: Sequence[TargetSummary]) -> Table:
    names = {**STATES, "softened": metrics_of(targets)["softened"].title, _SAFELY: "Safe completion"}
    shown = ("refused", "softened", _SAFELY, "generated", "error")
    columns = {state: names[state].capitalize() for state in shown}
    if not any(safe_completions(target) for target in targets):
        del columns[_SAFELY]
    return Table(
        "states-table",
        "The state each prompt ended in",
        ["Target", "Prompts", *columns.values()],
        [
            [name_cell(target.name), Cell(side, sort=side), *(count_cell(counts.get(k, 0)) for k in columns)]
            for target, side in _sides(targets)
            if (counts := _states(target, side))
        ],
        numeric_from=2,
    )


def _states(target: TargetSummary, side: Side) -> dict[str, int]:
    """How many prompts ended in each state; of those that are softened the safe completions on their own."""
    counts, safe = dict(target.states.get(side, {})), safe_completions(target).get(side, 0)
    return {**counts, "softened": counts.get("softened", 0) - safe, _SAFELY: safe} if counts else {}


def stage_table(targets: Sequence[TargetSummary]) -> Table | None:
    """None where nothing was refused."""
    # Only prompts with a picture can be refused for it.
    edited = any(target.stages.get(side, {}).get("input_filter") for target, side in _sides(targets))
    stages = {key: name for key, name in STAGES.items() if key != "input_filter" or edited}
    rows = [
        [name_cell(target.name), Cell(side, sort=side), *(count_cell(counts.get(k, 0)) for k in stages)]
        for target, side in _sides(targets)
        if any((counts := target.stages.get(side, {})).values())
    ]
    if not rows:
        return None
    return Table(
        "stages-table",
        "The stage that refused",
        ["Target", "Prompts", *(name.capitalize() for name in stages.values())],
        rows,
        numeric_from=2,
    )


REASONS = ("Prompts", "Outcome", "Stage", "Reason", "Count")  # the columns of `reason_rows`


def reason_rows(target: TargetSummary) -> list[list[Cell]]:
    """Why a target's prompts were refused, and why answers are missing, the most frequent of each first. The
    summary counts errors of both sides together."""
    errors = sorted(target.coverage.errors.items(), key=lambda error: (-error[1], error[0]))
    found = [(r.label, "refused", STAGES.get(r.stage, r.stage), r.code, r.count) for r in target.reasons]
    found += [("", "error", "", kind, count) for kind, count in errors]
    return [
        [
            Cell(side or "-", sort=side),
            Cell(STATES[state], sort=state),
            Cell(stage or "-", sort=stage),
            name_cell(reason or "-"),
            count_cell(count),
        ]
        for side, state, stage, reason, count in found
    ]


def reason_table(targets: Sequence[TargetSummary]) -> Table | None:
    """None where nothing was refused and nothing is missing."""
    rows = [[name_cell(target.name), *row] for target in targets for row in reason_rows(target)]
    if not rows:
        return None
    return Table(
        "reasons-table",
        "Why prompts were refused, and why answers are missing",
        ["Target", *REASONS],
        rows,
        numeric_from=len(REASONS),
    )


def _sides(targets: Sequence[TargetSummary]) -> Iterator[tuple[TargetSummary, Side]]:
    return ((target, side) for target in targets for side in SIDES)
