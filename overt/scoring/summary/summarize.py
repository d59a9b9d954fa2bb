"""The statistics of a run as typed records: for the report, the terminal, the gate and the leaderboard."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from overt.data.results.likeness import AsAsked, AsAskedTable
from overt.data.results.summary import (
    SIDES,
    CategoryRates,
    Correlation,
    JudgeTable,
    Kind,
    PromptCounts,
    Summary,
    TargetSummary,
)
from overt.data.run.finished import Modality
from overt.policies.schema import Policy
from overt.scoring import stats
from overt.scoring.as_asked import Likenesses
from overt.scoring.summary.attacks import attack_table
from overt.scoring.summary.forms import form_rates
from overt.scoring.summary.gather import AnyHarm, AnyOutcome, AnyPrompt, Verdicts, asked_of, rows_of
from overt.scoring.summary.groups import group_table, unanswered_groups
from overt.scoring.summary.judges import Judged
from overt.scoring.summary.layers import layer_table, sweep_of
from overt.scoring.summary.pairs import pair_table
from overt.scoring.summary.rates import coverage, figures, is_judged, reasons_of, stages_of, states_of
from overt.scoring.summary.rows import Asked, Rows, Settings, finite

FEWEST_TARGETS = 3  # two values always correlate perfectly


def correlation(targets: Sequence[TargetSummary], level: float) -> Correlation | None:
    """Spearman's correlation of over-refusal and safe response over the targets that have both; None for
    fewer than three, or where one side does not vary."""
    both = [
        (t.over_refusal.rate, t.safe_response.rate) for t in targets if t.over_refusal and t.safe_response
    ]
    if len(both) < FEWEST_TARGETS:
        return None
    found = stats.spearman([x for x, _ in both], [y for _, y in both], level=level)
    if finite(found.rho) is None:
        return None
    return Correlation(found.rho, found.low, found.high, found.n, finite(found.p_value), found.note)


class Gathered:
    """The records of one run or of several as columns, each kind of them read once.

    Args:
        asked: all prompts.
    """

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.rows: dict[str, Rows] = {}
        self.kinds: dict[str, Kind] = {}
        self._judged, self._likenesses = Judged(asked), Likenesses()

    def add(
        self,
        outcomes: Iterable[tuple[int, AnyOutcome]],
        harms: Iterable[tuple[int, AnyHarm]],
        as_asked: Iterable[AsAsked],
        kinds: Mapping[str, Kind],
        names: Mapping[str, str] | None = None,
    ) -> tuple[dict[str, Rows], Verdicts]:
        """Reads a run's records, each with where it is. Returns its rows by target, and what judges and
        scorers said of them.

        Args:
            kinds: what each target gives, in the order of the tables; "none" for a bare filter.
            names: new names of targets, by the old ones.
        """
        verdicts = Verdicts()
        for at, harm in harms:
            verdicts.add(at, harm)
            self._judged.add(harm)
        for row in as_asked:
            verdicts.add_as_asked(row)
            self._likenesses.add(row)
        self.kinds |= kinds
        found = rows_of(self.asked, outcomes, verdicts, kinds, names)
        for name, rows in found.items():
            self.rows[name] = self.rows[name].joined(rows) if name in self.rows else rows
        return found, verdicts

    def counted(self, *, with_versions: bool = False) -> dict[str, Rows]:
        """The rows that figures count, by target. Prompts that are neither benign nor unsafe are left out,
        and so are versions of prompts (`Prompt.variant_of`), which would count a person's prompt many
        times."""
        which = self.asked.has_label(*SIDES) & (with_versions | ~self.asked.is_version)
        found = {name: rows.part(which[rows.prompt]) for name, rows in self.rows.items()}
        return {name: rows for name, rows in found.items() if len(rows) or name in self.kinds}

    @property
    def any_harm(self) -> bool:
        """Whether judges were asked about any outcome."""
        return self._judged.any

    def judges(self, settings: Settings) -> JudgeTable | None:
        return self._judged.table(settings)

    def as_asked(self) -> AsAskedTable | None:
        return self._likenesses.table()


def summarize(
    prompts: Iterable[AnyPrompt],
    outcomes: Iterable[AnyOutcome],
    harms: Iterable[AnyHarm],
    *,
    categories: Sequence[tuple[str, str]],
    kinds: Mapping[str, Kind],
    as_asked: Iterable[AsAsked] = (),
    level: float = 0.95,
) -> Summary:
    """All rates of all targets with their intervals. What each rate means: overt/scoring/summary/metrics.py.

    Prompts of one seed (else of one pair) are one cluster (overt/scoring/stats/clusters.py). Where several
    samples were drawn of a prompt each is a row, and they are one cluster too.

    Args:
        categories: (id, title) in the order of the tables.
        as_asked: of pictures of benign prompts, whether they show what was asked.
        kinds: what each target gives, in the order of the tables; "none" for a bare filter.
        level: confidence level as a fraction.

    Returns:
        The record of `results/summary.json`. A rate is None if there is nothing to count. Nothing in it is
        NaN or infinite.

    Raises:
        ValueError: a bad level.
    """
    found = Gathered(asked_of(enumerate(prompts)))
    found.add(enumerate(outcomes), enumerate(harms), as_asked, kinds)
    return summary_of_rows(found, categories, level)


def summary_of_rows(found: Gathered, categories: Sequence[tuple[str, str]], level: float = 0.95) -> Summary:
    """The summary of what was gathered; arguments and errors as of `summarize`."""
    settings, asked, rows = Settings(level), found.asked, found.counted()
    judged = {name: is_judged(mine, any_harm=found.any_harm) for name, mine in rows.items()}
    titles = dict(categories)
    targets = tuple(_target(name, mine, settings, titles, judged=judged[name]) for name, mine in rows.items())
    if asked.versions:
        everything = found.counted(with_versions=True)
        targets = tuple(_with_groups(target, everything[target.name], settings) for target in targets)
    order = list(dict.fromkeys([*titles, *asked.categories]))
    plain = ~asked.is_version
    return Summary(
        level=level,
        prompts=PromptCounts(
            int((plain & asked.has_label("benign")).sum()),
            int((plain & asked.has_label("unsafe")).sum()),
            len(np.unique(asked.cluster[plain & asked.has_label(*SIDES)])),
            asked.versions or None,
        ),
        targets=targets,
        pairs=pair_table(rows, settings, order, judged=judged),
        rank_correlation=correlation(targets, level),
        judges=found.judges(settings),
        as_asked=found.as_asked(),
    )


def _with_groups(target: TargetSummary, rows: Rows, settings: Settings) -> TargetSummary:
    """The target with its table by who is depicted; `rows` with the versions, which were asked too."""
    groups = group_table(rows, settings)
    silent = unanswered_groups(rows, groups)
    return dataclasses.replace(target, coverage=coverage(rows), groups=groups, groups_unanswered=silent)


def _target(
    name: str, rows: Rows, settings: Settings, titles: Mapping[str, str], *, judged: bool
) -> TargetSummary:
    """One target as a whole and by category; categories that `titles` does not name come last."""
    parts = rows.by_category()
    return figures(
        TargetSummary,
        rows,
        settings,
        judged=judged,
        name=name,
        kind=rows.kind,
        states=states_of(rows),
        stages=stages_of(rows),
        reasons=reasons_of(rows),
        categories=tuple(
            figures(
                CategoryRates,
                parts[category],
                settings,
                judged=judged,
                category=category,
                title=titles.get(category, category),
            )
            for category in dict.fromkeys([*titles, *parts])
            if category in parts
        ),
        layers=layer_table(rows, settings, judged=judged),
        attacks=attack_table(rows, settings, judged=judged),
        sweep=sweep_of(rows, settings),
        forms=form_rates(name, rows, settings),
    )


# -- of a run ------------------------------------------------------------------------------------------------


def summary_of(
    policy: Policy,
    prompts: Iterable[AnyPrompt],
    outcomes: Iterable[AnyOutcome],
    harms: Iterable[AnyHarm],
    kinds: Mapping[str, Modality],
    as_asked: Iterable[AsAsked] = (),
) -> Summary:
    """The statistics; categories in the policy's order, others after them. Records are read once, so that
    readers of files will do."""
    found = Gathered(asked_of(enumerate(prompts)))
    found.add(enumerate(outcomes), enumerate(harms), as_asked, kinds)
    return summary_of_rows(found, categories_of(policy, found.asked))


def categories_of(policy: Policy, asked: Asked) -> list[tuple[str, str]]:
    """(id, title) of the categories that prompts have: in the policy's order, others after them."""
    titles = {c.id: c.title for c in policy.categories}
    present = set(asked.categories)
    order = [c for c in titles if c in present] + sorted(present - titles.keys())
    return [(c, titles.get(c, c)) for c in order]
