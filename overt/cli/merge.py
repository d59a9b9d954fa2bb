"""`overt merge`."""

from __future__ import annotations

import typer

from overt.cli import generate
from overt.cli.options import command
from overt.cli.run import is_short, print_run
from overt.data.progress import make_progress
from overt.tasks import merge as task
from overt.tasks.merge import MergeConfig


@command(MergeConfig)
def merge(config: MergeConfig) -> None:
    """Four jobs, each on a machine of its own:

        overt run prompts.csv --target openai/gpt-image-1 --shard 1/4 --out runs/part-1

    and then the whole run, with the figures that one process would have found:

        overt merge runs/part-* --out runs/whole

    Shards that were all scored or reworded alike keep their votes and wordings. A whole run can be scored or
    reworded in parts as well, each part in a copy of its folder:

        overt score copy-1 --judges openai/gpt-4.1 --shard 1/2

        overt merge copy-1 copy-2 --out runs/scored

    Nothing is sent, and no model, key or data set is needed here. What failed in a shard is asked again by
    `overt run --resume` on the whole run. The same command goes on where it was stopped. Shards of
    `overt generate` need a data set's own filters and encoder here, since near-duplicates are sought over the
    whole.

    Exit code 3: as that of the command whose shards they are.
    """
    done = task.merge(config, make_progress(config.quiet))
    if done.kind == "generate":
        generate.end(done, as_json=config.as_json)
        return
    print_run(done, as_json=config.as_json)
    if is_short(done):
        raise typer.Exit(3)
