"""The statistics of a run as plain JSON data: for the report, the table in the terminal and the gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from overt.data.outcomes import Harm, Outcome
from overt.data.records import Prompt
from overt.scoring.summary.judges import judge_table
from overt.scoring.summary.layers import layer_table
from overt.scoring.summary.pairs import correlation, pair_table
from overt.scoring.summary.rates import counts, figures, is_judged
from overt.scoring.summary.rows import SIDES, Kind, Settings, clusters_of, rows_of
from overt.scoring.summary.sweeps import sweep_of

__all__ = ["summarize"]


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
) -> dict[str, Any]:
    """All rates of all targets with their intervals. What each rate means: overt/scoring/summary/rates.py.

    Prompts of one seed (else of one pair) are one cluster of the bootstrap; without clusters intervals are
    Wilson's. Where several samples were drawn of a prompt each is a row, and they are one cluster too.

    Args:
        categories: (id, title) in the order of the tables.
        kinds: what each target gives, in the order of the tables; "none" for a bare filter.
        level: confidence level as a fraction.
        resamples: bootstrap draws, at least 100.
        seed: of the draws.

    Returns:
        {level, resamples, seed, prompts: {benign, unsafe, clusters}, targets, pairs, rank_correlation,
        judges}. A rate is {k, n, rate, low, high, method, clusters}, or None where there is nothing to
        count. Nothing in it is NaN or infinite.

    Raises:
        ValueError: a bad level, fewer than 100 resamples.
    """
    settings = Settings(level, resamples, seed)
    clusters = clusters_of(prompts)
    by_id = {prompt.id: prompt for prompt in prompts}
    rows = rows_of(prompts, outcomes, harms, clusters, dict(kinds))
    judged = {name: is_judged(found, any_harm=bool(harms)) for name, found in rows.items()}

    targets = []
    for name, found in rows.items():
        parts: dict[str, list[Any]] = {category: [] for category, _ in categories}
        for row in found:
            parts.setdefault(row.prompt.category, []).append(row)
        titles = dict(categories)
        targets.append(
            {
                "name": name,
                "kind": kinds.get(name, "image"),
                **figures(found, settings, judged=judged[name]),
                **counts(found),
                "categories": [
                    {
                        "category": category,
                        "title": titles.get(category, category),
                        **figures(part, settings, judged=judged[name]),
                    }
                    for category, part in parts.items()
                    if part
                ],
                "layers": layer_table(found, settings, judged=judged[name]),
                "sweep": sweep_of(found, settings),
            }
        )
    used = {prompt.id for prompt in prompts if prompt.label in SIDES}
    return {
        "level": level,
        "resamples": resamples,
        "seed": seed,
        "prompts": {
            **{side: sum(by_id[i].label == side for i in used) for side in SIDES},
            "clusters": len({clusters[i] for i in used}),
        },
        "targets": targets,
        "pairs": pair_table(
            rows, settings, list(dict.fromkeys([c for c, _ in categories] + [p.category for p in prompts])),
            judged=judged,
        ),
        "rank_correlation": correlation(targets, level),
        "judges": judge_table(harms, by_id, clusters, settings),
    }  # fmt: skip
