"""The rates on top of the page, and what a reader must know before reading them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from overt.data.results.summary import PromptCounts, Proportion, Summary, TargetSummary
from overt.data.table_model import Cell
from overt.data.text import KINDS, percent, percent_limits
from overt.report.sections.wording import counted
from overt.scoring.summary.metrics import METRICS, has_pictures, has_words, rate_of, why_missing


@dataclass(frozen=True, slots=True)
class Headline:
    """One target on top of the page."""

    name: str
    notes: Sequence[str]
    cells: Sequence[Cell]


def prompts_said(counts: PromptCounts) -> str:
    """How many prompts there are, and from how many seeds where those are fewer."""
    said = f"{counts.benign:,} benign and {counts.unsafe:,} unsafe prompts"
    if counts.clusters and counts.clusters < counts.benign + counts.unsafe:
        said += f" from {counts.clusters:,} seeds"
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
        counts=f"{rate.k:,} of {rate.n:,}",
        heat=METRICS[metric].tone,
        strip=_strip(rate),
    )


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
    unjudged = not summary.judges
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
            any(layer.missing for t in targets for layer in t.layers),
            "Some layers did not decide on every prompt. These prompts are shown as unchecked; they are "
            "never counted as passed.",
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
