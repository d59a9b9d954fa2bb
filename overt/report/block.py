"""One part of the page: the runs of one policy, with all that is known of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from overt.data.judge_check_history import JudgeCheck
from overt.data.results.boundaries import Boundaries
from overt.data.results.calibration import Calibration
from overt.data.results.episodes import EpisodesSummary
from overt.data.results.explanation import Explanation
from overt.data.results.remedy import Remedy
from overt.data.results.summary import Summary, TargetSummary
from overt.report.cases import GalleryCase, RewriteCase
from overt.report.episodes import EpisodeCase


@dataclass(frozen=True, slots=True)
class JudgeLine:
    """A judge of a run, what it judged, and its last check against human labels (None: never here)."""

    name: str
    role: str
    check: JudgeCheck | None = None


@dataclass(frozen=True)
class Block:
    """One part of the page: runs of one policy, whose rates can be compared.

    `remedy` is None without a rewriting, `boundaries` None without answers at emotional boundaries;
    `explanations` has one for each run that was explained, `calibrations` one for each that was calibrated.
    `suite` is the name of the suite that was asked, "" for none. `plots` are SVG texts by name. `title` is
    read only where the page has several blocks. `rows_left_out` and `rewordings_left_out` count cases that
    had no room.
    `episodes` are the figures of a suite of many turns, and `episode_cases` those to browse.
    """

    summary: Summary
    title: str = ""
    rows: Sequence[GalleryCase] = ()
    plots: Mapping[str, str] = field(default_factory=dict)
    remedy: Remedy | None = None
    rewordings: Sequence[RewriteCase] = ()
    boundaries: Boundaries | None = None
    judges: Sequence[JudgeLine] = ()
    rows_left_out: int = 0
    rewordings_left_out: int = 0
    explanations: Sequence[Explanation] = ()
    calibrations: Sequence[Calibration] = ()
    suite: str = ""
    episodes: EpisodesSummary | None = None
    episode_cases: Sequence[EpisodeCase] = ()
    episodes_left_out: int = 0


def category_titles(targets: Iterable[TargetSummary]) -> dict[str, str]:
    """Category id -> title, in the order in which the targets bring them."""
    found: dict[str, str] = {}
    for target in targets:
        for row in target.categories:
            found.setdefault(row.category, row.heading)
    return found
