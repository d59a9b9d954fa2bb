"""The effect of rewriting: refusal before and after, faithfulness, and the unsafe control.

The paper's table (arXiv 2505.21347, section 6) has refusal before and after and fidelity by category.
A prompt counts as refused after the remedy if the target refused it and every wording of it, or if there was
no wording. Unknown prompts (no response, or a wording without a response and no other accepted) are left out
before and after.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from overt.data.outcomes import Outcome
from overt.data.records import Prompt
from overt.data.results.remedy import (
    BeforeAfter,
    Mean,
    MeasureCategory,
    MeasureRow,
    MissingElement,
    Remedy,
    RemedyCategory,
    RemedyRate,
    RemedySide,
    RemedyTarget,
    StrategyRow,
)
from overt.data.results.summary import SideCounts
from overt.data.rewrites import Candidate, Choice, Faithfulness
from overt.scoring.summary.rows import Settings

R = TypeVar("R", bound=BeforeAfter)
M = TypeVar("M", MeasureRow, MeasureCategory)
T = TypeVar("T")

MOST_REASONS = 5  # for a missing score, in the summary
MOST_MISSING = 20  # elements of the originals
FROM_ZERO = ("vqa", "judge")  # measures from 0 to 1; the others are cosines


def summarize_remedy(
    prompts: Sequence[Prompt],
    before: Sequence[Outcome],
    candidates: Sequence[Candidate],
    after: Sequence[Outcome],
    scores: Sequence[Faithfulness],
    choices: Sequence[Choice],
    *,
    level: float = 0.95,
) -> Remedy:
    """Summarizes the remedy for each target in `choices`.

    Args:
        before: outcomes of the originals, all targets; the first sample counts.
        after: outcomes of the candidates; `Outcome.prompt_id` is the candidate's id.
    """
    settings = Settings(level)
    by_id = {p.id: p for p in prompts}
    worded = {c.id: c for c in candidates}
    targets = tuple(
        _target(
            target,
            prompts,
            {o.prompt_id: o for o in before if o.target == target and o.sample == 0},
            worded,
            [o for o in after if o.target == target],
            [s for s in scores if s.target == target],
            {c.prompt_id: c for c in choices if c.target == target},
            by_id,
            settings,
        )
        for target in dict.fromkeys(choice.target for choice in choices)
    )
    return Remedy(level=level, targets=targets)


def _target(
    name: str,
    prompts: Sequence[Prompt],
    first: Mapping[str, Outcome],
    worded: Mapping[str, Candidate],
    tries: Sequence[Outcome],
    scores: Sequence[Faithfulness],
    choices: Mapping[str, Choice],
    by_id: Mapping[str, Prompt],
    settings: Settings,
) -> RemedyTarget:
    """Summarizes one target. `first` has the outcomes of the originals by prompt id."""
    unknown = _unknown(choices.values(), tries, worded)
    told = [p for p in prompts if p.id in first and first[p.id].state != "error" and p.id not in unknown]
    sides = {label: [p for p in told if p.label == label] for label in ("benign", "unsafe")}
    # Without an unsafe choice there was no control.
    is_controlled = any(by_id[i].label == "unsafe" for i in choices)
    counts = Counter(by_id[i].label for i in unknown)
    benign = [choice for i, choice in choices.items() if by_id[i].label == "benign"]
    mine = _side(sides["benign"], first, choices, settings)
    control = _side(sides["unsafe"], first, choices, settings) if is_controlled else None
    return RemedyTarget(
        name=name,
        benign=mine,
        unsafe=control,
        untried=_untried(mine, control),
        unknown=SideCounts(counts["benign"], counts["unsafe"]),
        strategies=_strategies(tries, worded, benign, by_id),
        faithfulness=_faithfulness(scores, benign, by_id, settings),
        missing=_missing(scores, benign),
    )


def _untried(benign: RemedySide, unsafe: RemedySide | None) -> SideCounts:
    """Returns how many refused prompts of each side had no wording to try."""
    return SideCounts(benign.untried or 0, (unsafe.untried or 0) if unsafe else 0)


def _unknown(
    choices: Iterable[Choice], tries: Iterable[Outcome], worded: Mapping[str, Candidate]
) -> set[str]:
    """Returns the prompts with an unanswered wording and no accepted one."""
    unanswered = {worded[o.prompt_id].prompt_id for o in tries if o.state == "error"}
    return {c.prompt_id for c in choices if c.candidate_id is None and c.prompt_id in unanswered}


def _grouped(rows: Iterable[T], key: Callable[[T], str]) -> dict[str, list[T]]:
    groups: dict[str, list[T]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return dict(sorted(groups.items()))


def _side(
    prompts: Sequence[Prompt],
    first: Mapping[str, Outcome],
    mine: Mapping[str, Choice],
    settings: Settings,
) -> RemedySide:
    return _before_after(
        RemedySide,
        prompts,
        first,
        mine,
        settings,
        categories=tuple(
            _before_after(RemedyCategory, rows, first, mine, settings, category=category)
            for category, rows in _grouped(prompts, lambda p: p.category).items()
        ),
    )


def _before_after(
    kind: Callable[..., R],
    prompts: Sequence[Prompt],
    first: Mapping[str, Outcome],
    mine: Mapping[str, Choice],
    settings: Settings,
    **more: object,
) -> R:
    """Computes refusal before and after, and the share of retried refused prompts with an accepted wording.
    `more` has the fields of `kind` besides those of `BeforeAfter`."""
    refused = [first[p.id].state == "refused" for p in prompts]
    still = [
        was and not (p.id in mine and mine[p.id].candidate_id is not None)
        for p, was in zip(prompts, refused, strict=True)
    ]
    tried = [
        (p, s)
        for p, was, s in zip(prompts, refused, still, strict=True)
        if was and p.id in mine and mine[p.id].tried
    ]
    untried = sum(was for was in refused) - len(tried)
    return kind(
        untried=untried,
        before=_rate([(was, p.cluster) for p, was in zip(prompts, refused, strict=True)], settings),
        after=_rate([(s, p.cluster) for p, s in zip(prompts, still, strict=True)], settings),
        won=_rate([(not s, p.cluster) for p, s in tried], settings),
        **more,
    )


def _rate(rows: Sequence[tuple[bool, str]], settings: Settings) -> RemedyRate | None:
    found = settings.rate(rows)
    if found is None:
        return None
    return RemedyRate(found.k, found.n, found.rate, found.low, found.high, found.method)


def _strategies(
    tries: Sequence[Outcome],
    worded: Mapping[str, Candidate],
    choices: Sequence[Choice],
    by_id: Mapping[str, Prompt],
) -> tuple[StrategyRow, ...]:
    """Counts each strategy's tried, accepted and chosen wordings of benign prompts."""
    chosen: Counter[str] = Counter(worded[c.candidate_id].strategy for c in choices if c.candidate_id)
    tried: Counter[str] = Counter()
    accepted: Counter[str] = Counter()
    for outcome in tries:
        candidate = worded[outcome.prompt_id]
        if by_id[candidate.prompt_id].label == "benign":
            tried[candidate.strategy] += 1
            accepted[candidate.strategy] += outcome.state == "generated"
    return tuple(StrategyRow(s, tried[s], accepted[s], chosen[s]) for s in sorted(tried))


def _faithfulness(
    scores: Sequence[Faithfulness],
    choices: Sequence[Choice],
    by_id: Mapping[str, Prompt],
    settings: Settings,
) -> tuple[MeasureRow, ...]:
    """Computes, per measure and model, the mean over the chosen wordings and the mean difference to the
    baseline where there is one; overall and by category."""
    mine = _of_chosen(scores, choices)
    return tuple(
        _means(
            MeasureRow,
            group,
            by_id,
            settings,
            measure=group[0].measure,
            model=group[0].model,
            unscored=sum(s.value is None for s in group),
            windowed=sum(s.windows > 1 for s in group),
            why_unscored=dict(Counter(s.detail for s in group if s.value is None).most_common(MOST_REASONS)),
            categories=tuple(
                _means(MeasureCategory, part, by_id, settings, category=category)
                for category, part in _grouped(group, lambda s: by_id[s.prompt_id].category).items()
            ),
        )
        for group in _grouped(mine, lambda s: f"{s.measure} {s.model}").values()
    )


def _means(
    kind: Callable[..., M],
    scores: Sequence[Faithfulness],
    by_id: Mapping[str, Prompt],
    settings: Settings,
    **more: object,
) -> M:
    def mean(pick: Callable[[Faithfulness], float | None], scale: tuple[float, float]) -> Mean | None:
        rows = [(value, by_id[s.prompt_id].cluster) for s in scores if (value := pick(s)) is not None]
        return settings.mean(rows, scale)

    least = 0.0 if scores[0].measure in FROM_ZERO else -1.0
    return kind(
        value=mean(lambda s: s.value, (least, 1.0)),
        difference=mean(lambda s: s.difference, (least - 1, 1 - least)),
        **more,
    )


def _missing(scores: Sequence[Faithfulness], choices: Sequence[Choice]) -> tuple[MissingElement, ...]:
    """Counts the elements of the originals that are missing in the pictures of the chosen wordings."""
    counts = Counter(m for s in _of_chosen(scores, choices) for m in s.missing)
    return tuple(MissingElement(element, count) for element, count in counts.most_common(MOST_MISSING))


def _of_chosen(scores: Sequence[Faithfulness], choices: Sequence[Choice]) -> list[Faithfulness]:
    chosen = {c.candidate_id for c in choices if c.candidate_id}
    return [s for s in scores if s.candidate_id in chosen]
