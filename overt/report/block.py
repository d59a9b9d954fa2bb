"""One part of the page: the runs of one policy, with all that is known of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from overt.data.judge_checks import JudgeCheck
from overt.report.gallery import GalleryRow
from overt.report.rewordings import RewordedRow

Summary = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class JudgeLine:
    """A judge of a run, what it judged, and its last check against human labels (None: never here)."""

    name: str
    role: str
    check: JudgeCheck | None = None


@dataclass(frozen=True)
class Block:
    """What stands under one heading of the page: runs of one policy, whose rates can be held together.

    `summary` is that of `overt.scoring.summary`, `remedy` that of `overt.scoring.remedy` (None: nothing was
    reworded), `boundaries` that of `overt.scoring.boundaries`. `plots` are SVG texts by name. `title` is
    read only where the page has several blocks.
    """

    summary: Summary
    title: str = ""
    rows: Sequence[GalleryRow] = ()
    plots: Mapping[str, str] = field(default_factory=dict)
    remedy: Mapping[str, Any] | None = None
    rewordings: Sequence[RewordedRow] = ()
    boundaries: Mapping[str, Any] | None = None
    judges: Sequence[JudgeLine] = ()

    @property
    def titles(self) -> dict[str, str]:
        """Category id -> title."""
        return {
            row["category"]: row.get("title") or row["category"]
            for target in self.summary["targets"]
            for row in target.get("categories") or ()
        }
