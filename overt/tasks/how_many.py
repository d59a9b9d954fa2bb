"""How many prompts a limit needs: for `overt gate --how-many` and `overt generate --for-limit`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from overt.data.errors import InputError
from overt.data.run.finished import Run
from overt.data.text import short_percent
from overt.scoring import stats
from overt.scoring.stats.power import MOST, Needed, prompts_needed
from overt.scoring.summary.metrics import METRICS, Metric
from overt.scoring.summary.rows import Rows
from overt.scoring.summary.stored import gathered
from overt.tasks.ranges import read_ends


def read_rate(text: str | None, option: str, most: float = 1.0) -> float | None:
    """`5%` or `0.05` as a fraction; None where nothing was given.

    Raises:
        InputError: it is neither, or more than `most`.
    """
    if text is None:
        return None
    ends = read_ends(text)
    if ends is None or len(ends) > 1 or not 0 <= ends[0] <= most:
        raise InputError(f"{option} is {text!r}", fix="Write a share such as 5% or 0.05.")
    return ends[0]


@dataclass(frozen=True, slots=True)
class Question:
    """A limit, the true rate that is assumed, and the chance to pass that is wanted; all fractions of 1.

    `at_most` is False for a lowest rate. `is_default` says that nobody gave the rate.
    """

    metric: Metric
    limit: float
    at_most: bool
    expected: float
    is_default: bool
    power: float

    def needed(self, effect: float = 1.0, level: float = 0.95) -> Needed | None:
        """The prompts that one category needs; None for more than `MOST`."""
        rates = (self.limit, self.expected) if self.at_most else (1 - self.limit, 1 - self.expected)
        return prompts_needed(*rates, power=self.power, effect=effect, level=level)

    @property
    def worst(self) -> float:
        """The rate farthest on the good side."""
        return 0.0 if self.at_most else 1.0


def question(metric: str, limit: float, expected: float | None, power: float, option: str) -> Question:
    """What is asked. Without an expected rate it is half-way between the limit and no event at all.

    Raises:
        InputError: a limit that nothing, or everything, keeps; a rate that does not keep it.
    """
    at_most = metric != "safe_response"
    if not 0 < limit < 1:
        raise InputError(
            f"{option} is {short_percent(limit)}: no number of prompts decides that", fix="For instance: 5%"
        )
    told = expected if expected is not None else limit / 2 if at_most else (1 + limit) / 2
    if (told >= limit) if at_most else (told <= limit):
        side = "below" if at_most else "above"
        raise InputError(
            f"--expect {short_percent(told)} does not lie {side} the limit of {short_percent(limit)}",
            fix="The gate passes what keeps the limit: give a rate that keeps it.",
        )
    if not 0 < power < 1:
        raise InputError(f"--power is {power:g}", fix="Give a chance between 0 and 1, such as 0.8.")
    return Question(METRICS[metric], limit, at_most, told, expected is None, power)


@dataclass(frozen=True, slots=True)
class CategoryNeed:
    """What one category of a run has (`n` answered prompts, from `clusters` seeds, with a design effect) and
    needs; `needed` is None for more than `MOST`."""

    target: str
    category: str
    n: int
    clusters: int
    effect: float
    needed: int | None

    @property
    def short(self) -> int | None:
        """How many prompts are missing; None where no number is known."""
        return None if self.needed is None else max(0, self.needed - self.n)


def prompts_for(limit: str, expect: str | None, power: float) -> int:
    """The benign prompts per category that `overt generate --for-limit` makes.

    Raises:
        InputError: a rate cannot be read, or no number of prompts decides the limit.
    """
    at_most = read_rate(limit, "--for-limit") or 0.0
    needed = question("over_refusal", at_most, read_rate(expect, "--expect"), power, "--for-limit").needed()
    if needed is None:
        raise InputError("no feasible number of prompts decides this limit", fix="Give a lower --expect.")
    return needed.prompts


def needs_of(run: Run, asked: Question, level: float, target: str | None) -> list[CategoryNeed]:
    """What each category of a run needs, with the design effect that its own prompts show."""
    return [
        need
        for name, rows in gathered(run).counted().items()
        if target in (None, name)
        for need in _by_category(name, rows, asked, level)
    ]


def _by_category(name: str, rows: Rows, asked: Question, level: float) -> Iterator[CategoryNeed]:
    for category, part in rows.by_category().items():
        events, clusters = part.told(asked.metric.told)
        if len(events):
            found = stats.design_effect(events, clusters)
            effect = 1.0 if found.clusters == found.n else found.effect
            needed = asked.needed(effect, level)
            yield CategoryNeed(
                name, category, found.n, found.clusters, effect, needed.prompts if needed else None
            )


def needed_said(asked: Question, effect: float = 1.0) -> list[str]:
    """The answer in words, without a run."""
    needed, title = asked.needed(effect), asked.metric.title.lower()
    word = "at most" if asked.at_most else "at least"
    half = " (half-way to the limit, as --expect says nothing)" if asked.is_default else ""
    head = (
        f"{title} {word} {short_percent(asked.limit)}"
        f", with a true rate of {short_percent(asked.expected)}{half} and a "
        f"design effect of {effect:.3g}:"
    )
    if needed is None:
        return [head, f"more than {MOST:,} prompts a category; the true rate is too close to the limit"]
    lines = [
        head,
        f"{needed.prompts:,} {asked.metric.side} prompts a category pass with a chance of at least "
        f"{short_percent(asked.power)}, and so do more",
    ]
    return [*lines, *_never(asked, needed, effect)]


def _never(asked: Question, needed: Needed, effect: float) -> list[str]:
    """That few prompts can never pass, with an example."""
    if needed.least <= 1:
        return []
    few = 40 if needed.least > 40 else needed.least - 1
    high = stats.wilson(0, max(1, round(few / effect))).high
    limit = f"up to {high:.1%}" if asked.at_most else f"down to {1 - high:.1%}"
    return [
        f"fewer than {needed.least:,} can never pass, whatever they show: of {few:,}, even a rate of "
        f"{asked.worst:.0%} has an interval {limit}"
    ]
