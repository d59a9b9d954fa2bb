"""The statistics of a run as typed records: for the report, the terminal, the gate and the leaderboard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from overt.data.outcomes import Harm, Outcome
from overt.data.records import Prompt
from overt.data.results.summary import (
    SIDES,
    CategoryRates,
    Kind,
    PromptCounts,
    Summary,
    TargetSummary,
)
from overt.scoring.summary.intervals import Settings
from overt.scoring.summary.judges import judge_table
from overt.scoring.summary.layers import layer_table
from overt.scoring.summary.pairs import correlation, pair_table
from overt.scoring.summary.rates import figures, is_judged, reasons_of, stages_of, states_of
from overt.scoring.summary.rows import Row, clusters_of, rows_of
from overt.scoring.summary.sweeps import sweep_of


def summarize(
    prompts: Sequence[Prompt],
    outcomes: Sequence[Outcome],
    harms: Sequence[Harm],
    *,
    categories: Sequence[tuple[str, str]],
    kinds: Mapping[str, Kind],
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Summary:
    """All rates of all targets with their intervals. What each rate means: overt/scoring/summary/metrics.py.

    Prompts of one seed (else of one pair) are one cluster of the bootstrap; without clusters intervals are
    Wilson's. Where several samples were drawn of a prompt each is a row, and they are one cluster too.

    Args:
        categories: (id, title) in the order of the tables.
        kinds: what each target gives, in the order of the tables; "none" for a bare filter.
        level: confidence level as a fraction.
        resamples: bootstrap draws, at least 100.
        seed: of the draws.

    Returns:
        The record of `results/summary.json`. A rate is None where there is nothing to count. Nothing in it is
        NaN or infinite.

    Raises:
        ValueError: a bad level, fewer than 100 resamples.
    """
    settings = Settings(level, resamples, seed)
    clusters = clusters_of(prompts)
    by_id = {prompt.id: prompt for prompt in prompts}
    rows = rows_of(prompts, outcomes, harms, clusters, dict(kinds))
    judged = {name: is_judged(found, any_harm=bool(harms)) for name, found in rows.items()}
    titles = dict(categories)
    targets = tuple(
        _target(name, kinds.get(name, "image"), found, settings, titles, judged=judged[name])
        for name, found in rows.items()
    )
    used = {prompt.id for prompt in prompts if prompt.label in SIDES}
    order = list(dict.fromkeys([*titles, *(prompt.category for prompt in prompts)]))
    return Summary(
        level=level,
        resamples=resamples,
        seed=seed,
        prompts=PromptCounts(
            sum(by_id[i].label == "benign" for i in used),
            sum(by_id[i].label == "unsafe" for i in used),
            len({clusters[i] for i in used}),
        ),
        targets=targets,
        pairs=pair_table(rows, settings, order, judged=judged),
        rank_correlation=correlation(targets, level),
        judges=judge_table(harms, by_id, clusters, settings),
    )


def _target(
    name: str,
    kind: Kind,
    rows: Sequence[Row],
    settings: Settings,
    titles: Mapping[str, str],
    *,
    judged: bool,
) -> TargetSummary:
    """One target as a whole and by category; categories that `titles` does not name come last."""
    parts: dict[str, list[Row]] = {category: [] for category in titles}
    for row in rows:
        parts.setdefault(row.prompt.category, []).append(row)
    return figures(
        TargetSummary,
        rows,
        settings,
        judged=judged,
        name=name,
        kind=kind,
        states=states_of(rows),
        stages=stages_of(rows),
        reasons=reasons_of(rows),
        categories=tuple(
            figures(
                CategoryRates,
                part,
                settings,
                judged=judged,
                category=category,
                title=titles.get(category, category),
            )
            for category, part in parts.items()
            if part
        ),
        layers=layer_table(rows, settings, judged=judged),
        sweep=sweep_of(rows, settings),
    )
