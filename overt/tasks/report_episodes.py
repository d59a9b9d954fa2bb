"""The episodes of the runs of one part of the report: their figures side by side, and those to browse."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from overt.data.results.episodes import EpisodesSummary, Section
from overt.tasks.report_runs import ReportedRun

if TYPE_CHECKING:
    from overt.report.episodes import Episodes

# Options that decide what is played: runs that differ in one are not the same measurement.
_DECIDE = ("setting", "turns", "of", "dataset", "seed", "samples", "limit", "category", "label")


def together(group: Sequence[ReportedRun]) -> EpisodesSummary | None:
    """The figures of all runs, their targets side by side; None where nothing was played."""
    found = [(run, run.episodes) for run in group if run.episodes is not None]
    if not found:
        return None
    first = found[0][1]
    warnings = [
        *_all(one.warnings for _, one in found),
        *_differences([run for run, _ in found], first, found),
    ]
    return dataclasses.replace(
        first,
        targets=tuple(target for _, one in found for target in one.targets),
        sections=_merged(section for _, one in found for section in one.sections),
        warnings=tuple(dict.fromkeys(warnings)),
    )


def _all(lists: Iterable[Iterable[str]]) -> list[str]:
    return [item for found in lists for item in found]


def _merged(sections: Iterable[Section]) -> tuple[Section, ...]:
    """Sections of one kind as one, with the rows of all runs. Those whose columns differ stand apart."""
    merged: dict[tuple[object, ...], Section] = {}
    for section in sections:
        key = section.id, section.title, section.columns
        known = merged.get(key)
        merged[key] = section if known is None else dataclasses.replace(known, rows=known.rows + section.rows)
    return tuple(merged.values())


def _differences(
    runs: Sequence[ReportedRun], first: EpisodesSummary, found: Sequence[tuple[ReportedRun, EpisodesSummary]]
) -> list[str]:
    """What makes the runs different measurements, so that their figures are not to be compared."""
    differ = [f"--{name}" for name in _DECIDE if len({str(run.run.record.value(name)) for run in runs}) > 1]
    if len({str(run.run.record.inputs.get("suite")) for run in runs}) > 1:
        differ.append("the suite's own file")
    if any((one.environment, one.version) != (first.environment, first.version) for _, one in found):
        differ.append("the version of the environment")
    if not differ:
        return []
    return [f"These runs differ in {', '.join(differ)}: their figures are not of the same tasks."]


def to_browse(run: ReportedRun, *, images: bool, share: float) -> Episodes:
    """The episodes of one run that the page has room for.

    Args:
        share: the run's share of the page's bytes, 0 to 1.
    """
    from overt.report import episodes

    if run.episodes is None:
        return episodes.Episodes()
    return episodes.build_episodes(
        run.folder,
        run.names,
        images=images,
        most=max(1, int(episodes.MOST * share)),
        text_budget=int(episodes.TEXT_BUDGET * share),
        page_budget=int(episodes.PAGE_BUDGET * share),
    )
