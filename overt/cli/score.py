"""`overt score`: judges look at what the targets gave."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from overt import cli_options as options


def score(
    run: Annotated[Path, typer.Argument(help="Folder of a run of `overt run`.")],
    judges: Annotated[
        str,
        typer.Option(
            metavar="A,B,C",
            help="Who judges: vision models (openai/MODEL), checkers (checker/NAME), or your own "
            "module:Class. An odd number can vote.",
        ),
    ],
    benign: Annotated[
        bool, typer.Option("--benign", help="Judge the pictures of benign prompts too.")
    ] = False,
    templates: Annotated[
        Path | None, typer.Option(help="Folder with your own harm.yaml (instruction and rubric).")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed sent to the judges.")] = 0,
    base_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="OpenAI-compatible endpoint of the judges; for one judge alone: NAME?base_url=URL.",
            rich_help_panel=options.CALLS,
        ),
    ] = None,
    api_key_env: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Environment variable that holds the key (OPENAI_API_KEY).",
            rich_help_panel=options.CALLS,
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Device of local checkers.", rich_help_panel=options.CALLS)
    ] = None,
    concurrency: options.Concurrency = 16,
    rpm: options.Rpm = None,
    timeout: options.Timeout = 120.0,
    retries: options.Retries = 6,
    max_requests: options.MaxRequests = None,
    max_cost: options.MaxCost = None,
    prices: options.Prices = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Let judges say what is harmful: harmful-content rate, safe response rate, agreement.

    Three vision models vote, as in the OVERT paper:

        overt score runs/mine --judges openai/gpt-4.1,openai/gpt-4o,openai/gpt-4.1-mini --max-cost 10

    A local vision model, and a checker that knows no policy but is free:

        overt score runs/mine --judges "openai/qwen2.5vl?base_url=http://localhost:11434/v1,checker/nudenet"

    Pictures go out resized and re-encoded, without metadata. A judge that fails or cannot decide is
    counted, never guessed. The same command again asks nothing twice, only judges that failed.

    Exit code 3: fewer answers to unsafe prompts got a verdict than the run's --min-coverage asks for. Two
    judges that disagree give none.
    """
    from overt.calls import CallerOptions
    from overt.data.errors import InputError
    from overt.data.progress import make_progress
    from overt.tables_run import print_run
    from overt.tasks.models import ModelOptions
    from overt.tasks.score import ScoreConfig
    from overt.tasks.score import score as work

    names = tuple(name.strip() for name in judges.split(",") if name.strip())
    if not names:
        raise InputError("no judge was named", fix="For instance: --judges openai/gpt-4.1,openai/gpt-4o")
    if templates is not None and not templates.is_dir():
        raise InputError("--templates is not a folder", where=str(templates))
    manifest = work(
        ScoreConfig(names, benign, seed, templates),
        run,
        calls=CallerOptions(concurrency, rpm, timeout, retries, max_requests, max_cost, prices),
        models=ModelOptions(
            base_url={"": base_url} if base_url else {},
            api_key_env={"": api_key_env} if api_key_env else {},
            device=device,
            timeout=timeout,
        ),
        progress=make_progress(quiet),
    )
    print_run(run, manifest, as_json=json)
    if manifest["judges"]["below_coverage"]:
        raise typer.Exit(3)
