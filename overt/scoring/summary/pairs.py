"""The targets of a run against each other, on the prompts that both answered."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from overt.data.results.summary import Pair, PairCategory
from overt.scoring import stats
from overt.scoring.stats.inputs import Ints
from overt.scoring.summary.metrics import METRICS, Metric
from overt.scoring.summary.rows import Asked, Rows, Settings, parts_of

MOST_TARGETS = 8  # 28 pairs, twice, over ten sets of prompts each

# Whether something happened, 1 or 0, of each prompt and each of its samples; -1 where that is not known.
Cells = NDArray[np.int8]


def pair_table(
    rows: Mapping[str, Rows],
    settings: Settings,
    categories: Sequence[str],
    *,
    judged: Mapping[str, bool],
) -> tuple[Pair, ...]:
    """Each pair of targets on each metric, over the prompts that both answered. At most the first
    `MOST_TARGETS` targets are compared."""
    names = list(rows)[:MOST_TARGETS]
    if not names:
        return ()
    asked = rows[names[0]].asked
    samples = np.unique(np.concatenate([rows[name].sample for name in names]))
    metrics = [metric for metric in METRICS.values() if metric.in_pairs]
    cells = {
        m.id: {name: _cells(m, rows[name], samples, judged=judged[name]) for name in names} for m in metrics
    }
    found = (
        _pair(a, b, metric, by_name[a], by_name[b], asked, settings, categories)
        for a, b in itertools.combinations(names, 2)
        for metric, by_name in cells.items()
    )
    return tuple(pair for pair in found if pair is not None)


def _cells(metric: Metric, rows: Rows, samples: Ints, *, judged: bool) -> Cells:
    """Whether the metric's event happened; without judges nothing that rests on them is known, except of a
    bare filter."""
    found = np.full(len(rows.asked.label) * len(samples), -1, dtype=np.int8)
    if judged or not metric.needs_verdict or rows.kind == "none":
        events, places = rows.events(metric.told)
        samples_of = np.searchsorted(samples, rows.sample[places])
        found[rows.prompt[places].astype(np.int64) * len(samples) + samples_of] = events
    return found


def _pair(
    a: str,
    b: str,
    metric: str,
    first: Cells,
    second: Cells,
    asked: Asked,
    settings: Settings,
    categories: Sequence[str],
) -> Pair | None:
    keys = np.flatnonzero((first >= 0) & (second >= 0))
    if not len(keys):
        return None
    prompts = keys // (len(first) // len(asked.label))
    by_category = {asked.categories[code]: places for code, places in parts_of(asked.category[prompts])}

    def difference(places: Ints) -> stats.PairedDifference:
        mine = keys[places]
        clusters = asked.cluster[prompts[places]]
        return stats.paired_difference(first[mine], second[mine], clusters, level=settings.level)

    parts = [
        (category, difference(by_category[category])) for category in categories if category in by_category
    ]
    corrected = stats.holm([part.p_value for _, part in parts]) if parts else []
    whole = difference(np.arange(len(keys)))
    return Pair(
        n=whole.n, difference=whole.difference, low=whole.low, high=whole.high,
        p=whole.p_value, method=whole.method, test=whole.test,
        a=a, b=b, metric=metric,
        categories=tuple(
            PairCategory(
                n=part.n, difference=part.difference, low=part.low, high=part.high,
                p=part.p_value, method=part.method, test=part.test,
                category=category, p_holm=p_holm,
            )
            for (category, part), p_holm in zip(parts, corrected, strict=True)
        ),
    )  # fmt: skip
