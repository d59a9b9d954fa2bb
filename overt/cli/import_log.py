"""`overt import-log`."""

from __future__ import annotations

import typer

from overt.cli.options import command
from overt.cli.run import print_run
from overt.data.progress import make_progress
from overt.tasks import import_log as task
from overt.tasks.import_log import ImportLogConfig


@command(ImportLogConfig)
def import_log(config: ImportLogConfig) -> None:
    """An evaluation in Inspect, and its log as a run of overt:

        inspect eval overt/refusal -T dataset=runs/chat --model openai/gpt-4.1-mini

        overt import-log logs/2026-11-29_refusal_G8HB.eval --out runs/inspect

    report, compare, gate, leaderboard and show take a log as well: they make the run themselves, in
    runs/inspect-HASH. No model is asked: the answers are those of the log. Samples that failed are missing
    answers, never refusals; with too many of them missing the exit code is 3.
    """
    done = task.import_log(config, make_progress(config.quiet))
    print_run(done, as_json=config.as_json)
    if done.results.below_coverage:
        raise typer.Exit(3)
