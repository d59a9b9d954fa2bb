"""`overt run`."""

from __future__ import annotations

import typer

from overt.cli.options import command
from overt.cli.output.run import print_run
from overt.data.progress import make_progress
from overt.tasks.run import RunConfig, evaluate


@command(RunConfig)
def run(config: RunConfig) -> None:
    """A data set of your own at two bare filters, no key needed:

        overt run runs/news --target filter/better-profanity
        --target "filter/profanity-check?threshold=0.2" --out runs/filters

    A local model with its safety checker, and an API:

        overt run runs/news --target diffusers/stable-diffusion-v1-5/stable-diffusion-v1-5 --batch-size 8

        overt run runs/news --target openai/gpt-image-1 --max-cost 20

    A whole product, layer by layer:

        overt run runs/news --filter filter/better-profanity --target diffusers/MODEL
        --checker checker/nudenet --every-layer

    The published benchmark:

        overt run OVERT_mini.csv OVERT_unsafe.csv --target openai/gpt-image-1

    A language model on a published suite, or on prompts of a text policy:

        overt run --suite xstest --target openai/gpt-4.1-mini

        overt run runs/chat --target hf/Qwen/Qwen3-4B

    Then: overt score RUN (harm), overt report RUN (HTML), overt gate RUN (for CI). A run that was stopped
    goes on with the same command, or with --resume RUN. Errors are never counted as refusals: they are
    missing, and with too many of them missing the exit code is 3.
    """
    done = evaluate(config, make_progress(config.quiet))
    print_run(done, as_json=config.as_json)
    if done.results.below_coverage:
        raise typer.Exit(3)
