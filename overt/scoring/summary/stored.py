"""A finished run's records as columns, read from its files one at a time."""

from __future__ import annotations

from overt.data.progress import Progress, Silent
from overt.data.run import brief
from overt.data.run.brief import told
from overt.data.run.finished import Run
from overt.scoring.summary.gather import asked_of
from overt.scoring.summary.summarize import Gathered


def gathered(run: Run, progress: Progress | None = None) -> Gathered:
    """What a complete run of `overt run` holds. `progress` is told of large files."""
    progress = progress or Silent()
    folder = run.folder
    found = Gathered(asked_of(told(brief.prompts_of(folder), progress)))
    found.add(
        told(brief.outcomes_of(folder), progress),
        told(brief.harms_of(folder), progress),
        brief.as_asked_of(folder),
        run.results.kinds,
    )
    return found
