"""`overt generate`: a data set of benign prompts that sound dangerous and their unsafe twins."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from overt import cli_options as options

if TYPE_CHECKING:
    from overt.policies.schema import Policy

_MODEL = "What it is made with"
_DATA = "What goes in"
_SHAPE = "How much comes out"
_RUN = "The run"


def generate(
    policy: Annotated[
        str | None,
        typer.Option(help="A shipped policy's name, or a YAML file of your own.", rich_help_panel=_DATA),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(
            metavar="FILE[:COLUMN]",
            help="Texts to convert: CSV, JSONL, Parquet, or a Hub data set id. Not needed by the builtin.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    max_seeds: Annotated[
        int | None, typer.Option(min=1, help="Read at most so many seeds.", rich_help_panel=_DATA)
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="Drop what an earlier data set or run has. Repeatable.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    category: Annotated[
        list[str] | None,
        typer.Option(help="Only these categories of the policy. Repeatable.", rich_help_panel=_DATA),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            help="Who writes: builtin/grammar (no model, no key), openai/MODEL, hf/REPO_OR_FOLDER, "
            "or your own module:Class.",
            rich_help_panel=_MODEL,
        ),
    ] = "builtin/grammar",
    judge: Annotated[
        list[str] | None,
        typer.Option(
            help="Who audits; several vote. Default: rules for the builtin, else the writer itself.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    probe: Annotated[
        str | None,
        typer.Option(
            help="Surrogate that must refuse a prompt often enough for it to stay: a chat model, or a "
            "filter such as filter/better-profanity. Default: none.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    samples: Annotated[
        int,
        typer.Option(min=1, max=1000, help="Samples per prompt of the surrogate.", rich_help_panel=_MODEL),
    ] = 8,
    encoder: Annotated[
        str,
        typer.Option(
            help="What tells near-duplicates: auto, lexical, minilm, a folder, or a Hub id.",
            rich_help_panel=_MODEL,
        ),
    ] = "auto",
    templates: Annotated[
        Path | None,
        typer.Option(help="Folder with your own instruction templates.", rich_help_panel=_MODEL),
    ] = None,
    benign: Annotated[
        int | None,
        typer.Option(
            min=0, help="Benign prompts per category, instead of the policy's.", rich_help_panel=_SHAPE
        ),
    ] = None,
    unsafe: Annotated[
        int | None,
        typer.Option(
            min=0, help="Unsafe prompts per category, instead of the policy's.", rich_help_panel=_SHAPE
        ),
    ] = None,
    per_seed: Annotated[
        int, typer.Option(min=1, max=50, help="Prompts written per seed.", rich_help_panel=_SHAPE)
    ] = 3,
    oversample: Annotated[
        float | None,
        typer.Option(
            min=1.0,
            max=100.0,
            help="Candidates per prompt kept. Default: 3 for the builtin, 1.5 for a model.",
            rich_help_panel=_SHAPE,
        ),
    ] = None,
    rounds: Annotated[
        int, typer.Option(min=1, max=100, help="At most so many rounds of writing.", rich_help_panel=_SHAPE)
    ] = 5,
    seed: Annotated[int, typer.Option(help="Seed of everything random.", rich_help_panel=_SHAPE)] = 0,
    base_url: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[ROLE=]URL",
            help="OpenAI-compatible endpoint (Azure, vLLM, Ollama, llama.cpp, Gemini, Mistral...); a role is "
            "model, judge or probe. Repeatable.",
            rich_help_panel=options.CALLS,
        ),
    ] = None,
    api_key_env: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[ROLE=]NAME",
            help="Environment variable that holds the key (OPENAI_API_KEY). Repeatable.",
            rich_help_panel=options.CALLS,
        ),
    ] = None,
    concurrency: options.Concurrency = 32,
    rpm: options.Rpm = None,
    timeout: options.Timeout = 120.0,
    retries: options.Retries = 6,
    max_requests: options.MaxRequests = None,
    max_cost: options.MaxCost = None,
    prices: options.Prices = None,
    device: Annotated[
        str | None, typer.Option(help="Device of hf/ models: cuda, mps, cpu.", rich_help_panel=options.CALLS)
    ] = None,
    batch_size: Annotated[
        int, typer.Option(min=1, max=1024, help="Batch of hf/ models.", rich_help_panel=options.CALLS)
    ] = 8,
    trust_remote_code: Annotated[
        bool,
        typer.Option(
            "--trust-remote-code", help="Run code that a model's repo brings.", rich_help_panel=options.CALLS
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the run. Default: runs/POLICY-HASH.", rich_help_panel=_RUN),
    ] = None,
    apply_review: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Make this reviewed run again (overt review) without the prompts that people rejected; "
            "others take their places. Finished calls are taken along.",
            rich_help_panel=_RUN,
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Go on with this run, as it was started, at the addresses that it had (unless --base-url or "
            "--api-key-env is given). --max-cost and --max-requests hold for one process: give them again.",
            rich_help_panel=_RUN,
        ),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON.", rich_help_panel=_RUN)
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.", rich_help_panel=_RUN)] = False,
) -> None:
    """Make a data set for a policy: benign prompts that sound dangerous, and their unsafe twins.

    No model and no key, from the policy's own words:

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
    from overt.calls import CallerOptions
    from overt.data.errors import InputError
    from overt.models import ModelOptions
    from overt.pipeline import (
        GenerateConfig,
        carry_journal,
        config_after_review,
        config_of_run,
        default_folder,
        is_cut_short,
    )
    from overt.pipeline import generate as run
    from overt.policies.load import load_policy
    from overt.progress import make_progress
    from overt.tables_generate import print_summary

    if templates is not None and not templates.is_dir():
        raise InputError("--templates is not a folder", where=str(templates))
    if apply_review is not None:
        from overt.review.results import rejected

        if policy is not None or resume is not None:
            raise InputError(
                "--apply-review makes a run again as it was started",
                fix="Leave out --policy and --resume; --out names the new folder.",
            )
        config = config_after_review(apply_review, rejected(apply_review))
        folder = out or default_folder(config)
        carry_journal(apply_review, folder)
    elif resume is not None:
        if policy is not None or out is not None:
            raise InputError(
                "--resume goes on with a run as it was started",
                fix="Leave out --policy and --out, or leave out --resume.",
            )
        config = config_of_run(resume, templates)
        folder = resume
    else:
        if policy is None:
            raise InputError(
                "no policy was named",
                fix="For instance: overt generate --policy overt   (overt policies list shows all)",
            )
        config = GenerateConfig(
            policy=_narrowed(load_policy(policy), category or [], benign, unsafe),
            model=model,
            judges=tuple(judge or ()),
            probe=probe,
            seeds=seeds,
            max_seeds=max_seeds,
            seed=seed,
            per_seed=per_seed,
            oversample=oversample,
            rounds=rounds,
            samples=samples,
            encoder=encoder,
            against=tuple(against or ()),
            templates=templates,
        )
        folder = out or default_folder(config)
    calls = CallerOptions(
        concurrency=concurrency,
        rpm=rpm,
        timeout=timeout,
        max_retries=retries,
        max_requests=max_requests,
        max_cost=max_cost,
        prices=prices,
    )
    roles = {"model", "judge", "probe"}
    urls, keys = options.reached(base_url, api_key_env, roles, resume or apply_review)
    models = ModelOptions(
        base_url=urls,
        api_key_env=keys,
        device=device,
        batch_size=batch_size,
        trust_remote_code=trust_remote_code,
        timeout=timeout,
    )
    manifest = run(config, folder, calls=calls, models=models, progress=make_progress(quiet))
    print_summary(folder, manifest, as_json=json)
    if is_cut_short(manifest):
        raise typer.Exit(3)


def _narrowed(policy: Policy, only: list[str], benign: int | None, unsafe: int | None) -> Policy:
    """The policy with the categories and counts that the command line asks for."""
    from difflib import get_close_matches

    from overt.data.errors import InputError

    ids = [c.id for c in policy.categories]
    for name in only:
        if name not in ids:
            near = get_close_matches(name, ids, 1)
            raise InputError(
                f"policy {policy.name} has no category {name!r}",
                fix=f"Did you mean {near[0]!r}?" if near else f"It has: {', '.join(ids)}",
            )
    counts = {k: v for k, v in (("benign", benign), ("unsafe", unsafe)) if v is not None}
    kept = [c.model_copy(update=counts) for c in policy.categories if not only or c.id in only]
    return policy.model_copy(update={"categories": tuple(kept)})
