"""A finished run's records as columns, read from its files one at a time."""

from __future__ import annotations

from overt.data.run import brief
from overt.data.run.finished import Run
from overt.scoring.summary.gather import asked_of
from overt.scoring.summary.summarize import Gathered


def gathered(run: Run) -> Gathered:
    """What a complete run of `overt run` holds."""
    folder = run.folder
    found = Gathered(asked_of(brief.prompts_of(folder).placed()))
    found.add(
        brief.outcomes_of(folder).placed(),
        brief.harms_of(folder).placed(),
        brief.as_asked_of(folder),
        run.results.kinds,
    )
    return found
