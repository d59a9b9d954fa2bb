"""The statistics of a run, computed from its records by `overt run`, `overt score` and `overt report`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from overt.data.outcomes import Harm, Outcome
from overt.data.records import Prompt
from overt.data.results import files
from overt.data.results.summary import Summary
from overt.data.run.finished import Modality
from overt.policies.schema import Policy


def write_summary(
    folder: Path,
    policy: Policy,
    prompts: Sequence[Prompt],
    outcomes: Sequence[Outcome],
    harms: Sequence[Harm],
    kinds: Mapping[str, Modality],
) -> Summary:
    """Computes the statistics of a run and writes `results/summary.json`."""
    summary = summary_of(policy, prompts, outcomes, harms, kinds)
    files.write_summary(folder, summary)
    return summary


def summary_of(
    policy: Policy,
    prompts: Sequence[Prompt],
    outcomes: Sequence[Outcome],
    harms: Sequence[Harm],
    kinds: Mapping[str, Modality],
) -> Summary:
    """The statistics; categories in the policy's order, others after them."""
    from overt.scoring.summary.summarize import summarize

    titles = {c.id: c.title for c in policy.categories}
    present = {p.category for p in prompts}
    order = [c for c in titles if c in present] + sorted(present - titles.keys())
    categories = [(c, titles.get(c, c)) for c in order]
    return summarize(prompts, outcomes, harms, categories=categories, kinds=kinds)
