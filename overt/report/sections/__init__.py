"""What the page shows: the figures of a block turned into tables and sentences, not yet into HTML.

One module for each section of the page. `build_view` calls them in the order of the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from overt.data.table_model import Table
from overt.data.versions import Difference
from overt.report.block import Block, category_titles
from overt.report.sections import attacks
from overt.report.sections.attacks import attack_tables
from overt.report.sections.boundaries import BoundaryView, build_boundaries
from overt.report.sections.calibration import CalibrationView, build_calibration
from overt.report.sections.comparisons import (
    LayerView,
    agreement_said,
    build_layers,
    category_pair_tables,
    check_table,
    correlation_said,
    judge_table,
    not_compared,
    operating_point_tables,
    pair_table,
)
from overt.report.sections.corrected import corrected_table
from overt.report.sections.episodes import EpisodesView, build_episodes
from overt.report.sections.forms import FormsView, build_forms
from overt.report.sections.groups import difference_in, group_tables
from overt.report.sections.remedy import RemedyView, build_remedy
from overt.report.sections.targets import (
    Headline,
    build_headlines,
    category_tables,
    coverage_table,
    notes_of,
    prompts_said,
    reason_table,
    stage_table,
    state_table,
)
from overt.report.sections.words import WordsView, build_words
from overt.scoring.summary.f1 import f1_notes
from overt.scoring.summary.metrics import metrics_of, safety_metric, shown_metrics, value_of


@dataclass(frozen=True, slots=True)
class View:
    """All that the template needs besides the rows of the gallery. Missing rates say why they are missing."""

    counts: str
    level: str
    episodes: EpisodesView | None
    metrics: Sequence[str]
    headlines: Sequence[Headline]
    corrected: Table | None
    notes: Sequence[str]
    correlation: str
    not_scattered: Sequence[str]
    categories: Sequence[tuple[str, Table]]
    groups: Sequence[Table]
    groups_in: Difference  # what the versions differ in
    forms: FormsView | None
    attacks: Sequence[Table]
    attacks_said: str
    boundaries: BoundaryView | None
    remedy: RemedyView | None
    words: Sequence[WordsView]
    layers: Sequence[LayerView]
    pairs: Table | None
    not_compared: Sequence[str]
    pair_categories: Sequence[tuple[str, Table]]
    judges_said: Sequence[str]
    checks: Table | None
    judges: Table | None
    sweeps: Sequence[Table]
    calibration: CalibrationView | None
    coverage: Table
    states: Table
    stages: Table | None
    reasons: Table | None


def build_view(block: Block) -> View:
    """The figures of a block in tables and sentences."""
    summary = block.summary
    targets = summary.targets
    shown, metrics, safety = shown_metrics(targets), metrics_of(targets), safety_metric(targets)
    return View(
        counts=prompts_said(summary.prompts, difference_in(targets)),
        level=f"{100 * summary.level:g}%",
        episodes=build_episodes(block.episodes) if block.episodes else None,
        metrics=[metrics[name].title for name in shown],
        headlines=build_headlines(targets, shown),
        corrected=corrected_table(targets),
        notes=[*notes_of(summary), *f1_notes(targets, block.suite)],
        correlation=correlation_said(summary.rank_correlation),
        not_scattered=[t.name for t in targets if not (t.over_refusal and value_of(t, safety))],
        categories=category_tables(targets, shown),
        groups=group_tables(targets, summary.level),
        groups_in=difference_in(targets),
        forms=build_forms(targets, block.rows),
        attacks=attack_tables(targets),
        attacks_said=attacks.MEANING,
        boundaries=build_boundaries(block.boundaries) if block.boundaries else None,
        remedy=build_remedy(block.remedy, category_titles(targets)) if block.remedy else None,
        words=build_words(block.explanations),
        layers=build_layers(targets),
        pairs=pair_table(summary.pairs),
        not_compared=not_compared(summary),
        pair_categories=category_pair_tables(summary.pairs),
        judges_said=agreement_said(summary.judges),
        checks=check_table(block.judges),
        judges=judge_table(summary.judges),
        sweeps=operating_point_tables(targets),
        calibration=build_calibration(block.calibrations, category_titles(targets)),
        coverage=coverage_table(targets),
        states=state_table(targets),
        stages=stage_table(targets),
        reasons=reason_table(targets),
    )
