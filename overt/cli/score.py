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

    Whether the pictures of benign prompts show what was asked, or silently something else:

        overt score runs/mine --faithfulness clip/ViT-B-32:laion2b_s34b_b79k

    Pictures go out resized and re-encoded, without metadata. A judge that fails or cannot decide is
    counted, never guessed. The same command again asks nothing twice, only judges that failed.

    Exit code 3: fewer answers to unsafe prompts got a verdict than the run's --min-coverage asks for, or
    fewer pictures of benign prompts could be scored, or the run has answers to too few prompts. Two judges
    that disagree give no verdict, nor does a judge that cannot see a category (checker/nudenet sees sexual
    content alone).
    """
    run = task.score(config, make_progress(config.quiet))
    print_run(run, as_json=config.as_json)
    judged, likened = run.results.judges, run.results.faithfulness
    short = run.results.below_coverage or (judged and judged.below_coverage)
    if short or (likened and likened.scored < run.min_coverage * likened.drawn):
        raise typer.Exit(3)
