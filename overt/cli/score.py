"""`overt score`."""

from __future__ import annotations

import typer

from overt.cli.options import command
from overt.cli.run import is_short, print_part, print_run
from overt.data.progress import make_progress
from overt.data.run.shards import read_shard
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

    In parts, each in a copy of the run's folder, which `overt merge` puts together:

        overt score copy-1 --judges openai/gpt-4.1 --shard 1/4

    Pictures go out resized and re-encoded, without metadata. A judge that fails or cannot decide is
    counted, never guessed. The same command again asks nothing twice, only judges that failed.

    Exit code 3: fewer answers to unsafe prompts got a verdict than the run's --min-coverage asks for, or
    fewer pictures of benign prompts could be scored, or the run has answers to too few prompts. Two judges
    that disagree give no verdict, nor does a judge that cannot see a category (checker/nudenet sees sexual
    content alone).
    """
    progress = make_progress(config.quiet)
    if shard := read_shard(config.shard):
        print_part(task.score_part(config, shard, progress), as_json=config.as_json)
        return
    run = task.score(config, progress)
    print_run(run, as_json=config.as_json)
    if is_short(run):
        raise typer.Exit(3)
