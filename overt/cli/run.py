"""`overt run`: fire a data set at models, filters and products, and see what is refused where."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from overt import cli_options as options

_DATA = "What goes in"
_TARGET = "What is tested"
_TEXT = "Language models"


def run(
    dataset: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="DATASET...",
            help="Runs of `overt generate`, CSV/JSONL/Parquet files (FILE:COLUMN), OVERT's csv files, or "
            "Hub ids. Benign and unsafe ones together.",
        ),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            help="provider/model, filter/NAME, guarded/PRODUCT.yaml, http/MODEL.yaml, or your own "
            "module:Class. Repeatable.",
            rich_help_panel=_TARGET,
        ),
    ] = None,
    filter: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A text filter in front of every target, such as filter/better-profanity. Repeatable.",
            rich_help_panel=_TARGET,
        ),
    ] = None,
    checker: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="An image checker behind every target, such as checker/nudenet. Repeatable.",
            rich_help_panel=_TARGET,
        ),
    ] = None,
    every_layer: Annotated[
        bool,
        typer.Option(
            "--every-layer",
            help="Let each layer decide even where an earlier one said no, so that the report can say what "
            "each one adds. Costs more calls.",
            rich_help_panel=_TARGET,
        ),
    ] = False,
    policy: Annotated[
        str | None,
        typer.Option(
            help="Policy to judge by. Default: that of the run given as DATASET, else overt.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            metavar="benign|unsafe",
            help="What the prompts are, where the file does not say it.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    category: Annotated[
        list[str] | None, typer.Option(help="Only these categories. Repeatable.", rich_help_panel=_DATA)
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option(
            help="A published suite for language models (overt suites list), or a YAML of your own. DATASET "
            "then names its local files; without any it comes from the Hub.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="At most so many prompts of each label, evenly over the categories.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    samples: Annotated[
        int, typer.Option(min=1, max=100, help="Draws per prompt.", rich_help_panel=_TARGET)
    ] = 1,
    seed: Annotated[int, typer.Option(help="Seed of every draw.", rich_help_panel=_TARGET)] = 0,
    device: Annotated[
        str | None, typer.Option(help="Device of local models: cuda, mps, cpu.", rich_help_panel=_TARGET)
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Batch of local models.", rich_help_panel=_TARGET)
    ] = None,
    trust_remote_code: Annotated[
        bool,
        typer.Option(
            "--trust-remote-code", help="Run code that a model's repo brings.", rich_help_panel=_TARGET
        ),
    ] = False,
    judge: Annotated[
        str | None,
        typer.Option(
            help="Who tells refusals in words: judge/rules, judge/embedded, or judge/PROVIDER/MODEL. "
            "Default: the suite's own, else judge/rules.",
            rich_help_panel=_TEXT,
        ),
    ] = None,
    system: Annotated[
        Path | None, typer.Option(help="File with a system prompt.", rich_help_panel=_TEXT)
    ] = None,
    max_tokens: Annotated[
        int, typer.Option(min=1, help="Longest answer, in tokens.", rich_help_panel=_TEXT)
    ] = 512,
    temperature: Annotated[float, typer.Option(min=0.0, max=2.0, rich_help_panel=_TEXT)] = 0.0,
    base_url: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[ROLE=]URL",
            help="Where the API stands; a role is target or judge. For one target alone: NAME?base_url=URL.",
            rich_help_panel=options.CALLS,
        ),
    ] = None,
    api_key_env: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[ROLE=]NAME",
            help="Environment variable that holds the key. For one target alone: NAME?api_key_env=NAME.",
            rich_help_panel=options.CALLS,
        ),
    ] = None,
    concurrency: options.Concurrency = 32,
    rpm: options.Rpm = None,
    timeout: options.Timeout = 180.0,
    retries: options.Retries = 6,
    max_requests: options.MaxRequests = None,
    max_cost: options.MaxCost = None,
    prices: options.Prices = None,
    min_coverage: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Share of prompts that must have been answered; below it the exit code is 3.",
            rich_help_panel=options.RUN,
        ),
    ] = 0.95,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the run. Default: runs/run-HASH.", rich_help_panel=options.RUN),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Go on with this run, as it was started, at the addresses that it had (unless --base-url or "
            "--api-key-env is given). --max-cost and --max-requests hold for one process: give them again.",
            rich_help_panel=options.RUN,
        ),
    ] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Fire prompts at models, filters and products; tell refusals from errors; see which layer refused.

    A data set of your own at two bare filters, no key needed:

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
    from overt.calls import CallerOptions
    from overt.data.errors import InputError
    from overt.data.progress import make_progress
    from overt.data.suites import load_suite
    from overt.tables_run import print_run
    from overt.tasks.models import ModelOptions
    from overt.tasks.run import RunConfig, config_of_run, default_folder, evaluate
    from overt.tasks.targets import TargetOptions, read_spec

    if resume is not None:
        if dataset or target or out is not None:
            raise InputError(
                "--resume goes on with a run as it was started",
                fix="Leave out DATASET, --target and --out, or leave out --resume.",
            )
        config, folder = config_of_run(resume), resume
    else:
        if not dataset and suite is None:
            raise InputError(
                "no data set was named",
                fix="For instance: overt run runs/first --target filter/better-profanity",
            )
        names = list(target or [])
        if not names and filter:  # filters alone are a product that draws nothing
            names, filter = [filter[-1]], filter[:-1]
        if not names:
            raise InputError(
                "no target was named",
                fix="For instance: --target filter/better-profanity, --target openai/gpt-image-1",
            )
        if label not in (None, "benign", "unsafe"):
            raise InputError(f"--label is {label!r}", fix="Give benign or unsafe.")
        config = RunConfig(
            policy=_policy(policy, dataset or [], "chat_assistant" if suite else "overt"),
            datasets=tuple(dataset or ()),
            targets=tuple(read_spec(name, filter or (), checker or ()) for name in names),
            label=label,  # type: ignore[arg-type]
            limit=limit,
            only=tuple(category or ()),
            every_layer=every_layer,
            samples=samples,
            seed=seed,
            min_coverage=min_coverage,
            suite=suite,
            judge=judge or (load_suite(suite).judge if suite else "judge/rules"),
            system=_text(system),
            max_tokens=max_tokens,
            temperature=temperature,
        )
        folder = out or default_folder(config)
    urls, keys = options.reached(base_url, api_key_env, {"target", "judge"}, resume)
    manifest = evaluate(
        config,
        folder,
        calls=CallerOptions(concurrency, rpm, timeout, retries, max_requests, max_cost, prices),
        options=TargetOptions(
            urls.get("target", urls.get("")),
            keys.get("target", keys.get("")),
            device,
            batch_size,
            trust_remote_code,
            timeout,
            concurrency,
        ),
        models=ModelOptions(urls, keys, device, batch_size or 8, trust_remote_code, timeout),
        progress=make_progress(quiet),
    )
    print_run(folder, manifest, as_json=json)
    if manifest["below_coverage"]:
        raise typer.Exit(3)


def _policy(name: str | None, datasets: list[str], standard: str):  # type: ignore[no-untyped-def]
    """The policy named, else the one that a data set was generated for, else the standard one."""
    from overt.policies.load import load_policy

    if name is not None:
        return load_policy(name)
    for dataset in datasets:
        if (file := Path(dataset) / "policy.yaml").is_file():
            return load_policy(str(file))
    return load_policy(standard)


def _text(path: Path | None) -> str:
    from overt.data.errors import InputError

    if path is None:
        return ""
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the system prompt: {error}", where=str(path)) from error
