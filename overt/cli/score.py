"""`overt score`."""

from __future__ import annotations

import typer

from overt.cli.options import command
from overt.cli.run import print_run
from overt.data.progress import make_progress
from overt.tasks import score as task
from overt.tasks.score import ScoreConfig


@command(ScoreConfig)
def score(config: ScoreConfig) -> None:
    """Three vision models vote, as in the OVERT paper:

        overt score runs/mine --judges openai/gpt-4.1,openai/gpt-4o,openai/gpt-4.1-mini --max-cost 10

    A local vision model, and a checker that knows no policy but is free:

        overt score runs/mine --judges "openai/qwen2.5vl?base_url=http://localhost:11434/v1,checker/nudenet"

    Pictures go out resized and re-encoded, without metadata. A judge that fails or cannot decide is
    counted, never guessed. The same command again asks nothing twice, only judges that failed.

    Exit code 3: fewer answers to unsafe prompts got a verdict than the run's --min-coverage asks for. Two
    judges that disagree give none.
    """
    run = task.score(config, make_progress(config.quiet))
    print_run(run, as_json=config.as_json)
    if run.results.judges and run.results.judges.below_coverage:
        raise typer.Exit(3)
