"""`overt generate`."""

from __future__ import annotations

import typer

from overt.cli.options import command
from overt.cli.output.generate import print_summary
from overt.data.progress import make_progress
from overt.tasks import generate as task
from overt.tasks.generate import GenerateConfig


@command(GenerateConfig)
def generate(config: GenerateConfig) -> None:
    """No model and no key, from the policy's own words:

        overt generate --policy overt

    With a model behind any OpenAI-compatible endpoint, audited by another one, and kept only where a
    surrogate refuses:

        overt generate --policy my.yaml --model openai/gpt-4.1-mini --judge openai/gpt-4.1
        --probe openai/gpt-4o-mini --seeds seeds.csv:prompt --max-cost 5

    A local server, or a local model:

        overt generate --policy my.yaml --model openai/llama3 --base-url http://localhost:11434/v1

        overt generate --policy my.yaml --model hf/Qwen/Qwen3-4B

    A run that was stopped, by Ctrl-C, a crash or a cap, goes on where it ended:

        overt generate --resume runs/my-1a2b3c4d

    Calls that got no answer are asked again by the same command. Where prompts are missing because of them,
    the exit code is 3.
    """
    run = task.generate(config, make_progress(config.quiet))
    print_summary(run, as_json=config.as_json)
    if run.dataset.is_cut_short:
        raise typer.Exit(3)
