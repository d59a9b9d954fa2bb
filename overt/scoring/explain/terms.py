"""Which terms make a target refuse, counted over prompts."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from overt.data.outcomes import Outcome
from overt.data.records import Prompt
from overt.data.results.explanation import (
    STATUSES,
    Cause,
    ExplainedTarget,
    PromptExplanation,
    Term,
    TermDifference,
    WordFall,
)
from overt.data.results.remedy import Mean
from overt.data.results.summary import Rate
from overt.scoring.explain.search import Found
from overt.scoring.explain.units import contains, folded, key_of
from overt.scoring.stats import holm, holm_level, rate
from overt.scoring.stats.means import mean_interval
from overt.scoring.stats.unpaired import GroupDifference, group_difference
from overt.scoring.summary.rows import rate_record


@dataclass(frozen=True)
class Asked:
    """One target as it was explained: its name, what it returns, the kind of edit, its first outcomes of
    benign prompts (errors left out), and what was found of those that were to be explained."""

    name: str
    kind: str
    edit: str
    rows: Sequence[tuple[Prompt, Outcome]]
    found: Sequence[tuple[Prompt, Outcome, Found]]


def explained_target(asked: Asked, *, level: float = 0.95) -> ExplainedTarget:
    """The figures of one target."""
    prompts = tuple(_explanation(prompt, outcome, found) for prompt, outcome, found in asked.found)
    counts = Counter(prompt.status for prompt in prompts)
    refused = [prompt for prompt, outcome in asked.rows if outcome.state == "refused"]
    layers = Counter(
        layer
        for prompt in prompts
        if prompt.status == "explained"
        for layer in {cause.layer for cause in prompt.causes}
    )
    return ExplainedTarget(
        name=asked.name,
        kind=asked.kind,
        benign=len(asked.rows),
        refused=len(refused),
        tried=len(prompts),
        edit=asked.edit,
        statuses={status: counts[status] for status in STATUSES if counts[status]},
        layers=dict(layers.most_common()),
        terms=tuple(_terms(asked, prompts, level)),
        falls=tuple(_falls(asked, level)),
        prompts=prompts,
    )


def _explanation(prompt: Prompt, outcome: Outcome, found: Found) -> PromptExplanation:
    return PromptExplanation(
        prompt_id=prompt.id,
        text=prompt.text,
        category=prompt.category,
        status=found.status or "not reached",
        causes=found.causes,
        edited=found.edited,
        calls=found.calls,
        missing=found.missing,
        score_before=outcome.score,
        score_after=found.score_after,
    )


# -- terms ---------------------------------------------------------------------------------------------------


def _terms(asked: Asked, prompts: Sequence[PromptExplanation], level: float) -> list[Term]:
    """Every term in a smallest edit; the one that explains most prompts first."""
    causes: dict[str, list[tuple[str, Cause]]] = defaultdict(list)
    explained = {prompt.prompt_id for prompt in prompts if prompt.status == "explained"}
    for prompt in prompts:
        if prompt.prompt_id in explained:
            for cause in prompt.causes:
                causes[key_of(cause.term) or folded(cause.term)].append((prompt.prompt_id, cause))
    keys = [(key_of(prompt.text), prompt, outcome) for prompt, outcome in asked.rows]
    falls = _by_word(asked)
    tested: dict[str, GroupDifference] = {}
    terms: list[Term] = []
    for key, found in causes.items():
        marks = [contains(text, key) for text, *_ in keys]
        rows = list(zip(marks, keys, strict=True))
        difference = _difference(rows, level)
        if difference is not None:
            tested[key] = difference
        terms.append(_term(key, found, rows, explained, _mean(falls.get(key, []), level), level))
    terms = _corrected(terms, tested, level)
    return sorted(terms, key=lambda term: (-term.causes, -term.refused, term.key))


_Rows = Sequence[tuple[bool, tuple[str, Prompt, Outcome]]]


def _term(
    key: str,
    found: Sequence[tuple[str, Cause]],
    rows: _Rows,
    explained: set[str],
    fall: Mean | None,
    level: float,
) -> Term:
    inside = [(prompt, outcome) for mark, (_, prompt, outcome) in rows if mark]
    outside = [(prompt, outcome) for mark, (_, prompt, outcome) in rows if not mark]
    by_prompt = dict(found)
    spelt = Counter(" ".join(cause.term.casefold().split()) for _, cause in found)
    return Term(
        term=min(spelt, key=lambda text: (-spelt[text], text)),
        key=key,
        causes=len(by_prompt),
        explained=sum(prompt.id in explained for prompt, _ in inside),
        refused=sum(outcome.state == "refused" for _, outcome in inside),
        alone=sum(cause.alone is True for cause in by_prompt.values()),
        rate=_rate(inside, level),
        rate_without=_rate(outside, level),
        layers=dict(Counter(cause.layer for cause in by_prompt.values()).most_common()),
        score_fall=fall,
    )


def _rate(rows: Sequence[tuple[Prompt, Outcome]], level: float) -> Rate | None:
    if not rows:
        return None
    refused = [outcome.state == "refused" for _, outcome in rows]
    return rate_record(rate(refused, [prompt.cluster for prompt, _ in rows], level=level))


def _difference(rows: _Rows, level: float) -> GroupDifference | None:
    marks = [mark for mark, _ in rows]
    if all(marks) or not any(marks):
        return None
    return group_difference(
        [outcome.state == "refused" for _, (_, _, outcome) in rows],
        marks,
        [prompt.cluster for _, (_, prompt, _) in rows],
        level=level,
    )


def _corrected(terms: Sequence[Term], tested: Mapping[str, GroupDifference], level: float) -> list[Term]:
    """The terms with their differences, corrected by Holm for how many were tested."""
    corrected = dict(zip(tested, holm([t.p_value for t in tested.values()]), strict=True)) if tested else {}
    done = []
    for term in terms:
        found = tested.get(term.key)
        if found is not None:
            p_holm = corrected[term.key]
            low, high = found.at(holm_level(found.p_value, p_holm, level))
            term = replace(
                term,
                difference=TermDifference(
                    difference=found.difference,
                    low=found.low,
                    high=found.high,
                    p=found.p_value,
                    p_holm=p_holm,
                    low_holm=low,
                    high_holm=high,
                    method=found.method,
                ),
            )
        done.append(term)
    return done


# -- scores --------------------------------------------------------------------------------------------------


def _by_word(asked: Asked) -> dict[str, list[tuple[float, str]]]:
    """By folded word, the falls of the score and the cluster of each prompt. A word that stands in a prompt
    twice counts once, with the larger fall."""
    found: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for prompt, _, search in asked.found:
        best: dict[str, float] = {}
        for word, fall in search.falls:
            if key := key_of(word):
                best[key] = max(fall, best.get(key, -math.inf))
        for key, fall in best.items():
            found[key].append((fall, prompt.cluster))
    return found


def _falls(asked: Asked, level: float) -> list[WordFall]:
    falls = [
        WordFall(word, mean)
        for word, values in _by_word(asked).items()
        if (mean := _mean(values, level)) is not None
    ]
    return sorted(falls, key=lambda row: (-row.fall.mean, row.word))


def _mean(values: Sequence[tuple[float, str]], level: float) -> Mean | None:
    """A mean with its interval over clusters; limits are None where there is only one cluster."""
    if not values:
        return None
    found = mean_interval([v for v, _ in values], [cluster for _, cluster in values], level=level)
    low, high = (None if math.isnan(x) else x for x in (found.low, found.high))
    return Mean(found.mean, low, high, found.n, found.clusters, found.level)
