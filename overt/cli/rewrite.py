"""`overt rewrite`: other wordings for refused prompts, and what they win and cost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from overt import cli_options as options

_HOW = "How it is reworded"


def rewrite(
    run: Annotated[Path, typer.Argument(help="Folder of a run of `overt run`.")],
    llm: Annotated[
        str,
        typer.Option(
            help="Who rewords: builtin/lexical (no model: the policy's neutral words), openai/MODEL, "
            "hf/REPO_OR_FOLDER, or your own module:Class.",
            rich_help_panel=_HOW,
        ),
    ] = "builtin/lexical",
    strategy: Annotated[
        list[str] | None,
        typer.Option(
            help="plain, replace, context, describe. Repeatable; default: all.", rich_help_panel=_HOW
        ),
    ] = None,
    candidates: Annotated[
        int, typer.Option(min=1, max=50, help="Wordings by each strategy.", rich_help_panel=_HOW)
    ] = 2,
    all_prompts: Annotated[
        bool, typer.Option("--all", help="Reword every benign prompt, not only the refused ones.")
    ] = False,
    unsafe: Annotated[
        bool,
        typer.Option(
            "--unsafe",
            help="Reword unsafe prompts too, as a control: a remedy that lets those through must show it.",
        ),
    ] = False,
    faithfulness: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="What tells how much of the meaning is kept: text/minilm, clip/MODEL:PRETRAINED, "
            "vqa/openai/MODEL, judge/openai/MODEL. Repeatable. Default: text/auto.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    templates: Annotated[
        Path | None,
        typer.Option(help="Folder with your own rewrite_*.yaml and others.", rich_help_panel=_HOW),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed sent to the rewriter.", rich_help_panel=_HOW)] = 0,
    base_url: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[ROLE=]URL",
            help="OpenAI-compatible endpoint; a role is model (the rewriter), judge or target. Repeatable.",
            rich_help_panel=options.CALLS,
        ),
    ] = None,
    api_key_env: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[ROLE=]NAME",
            help="Environment variable that holds the key. Repeatable.",
            rich_help_panel=options.CALLS,
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Device of local models.", rich_help_panel=options.CALLS)
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, max=1024, help="Batch of local models.", rich_help_panel=options.CALLS),
    ] = None,
    concurrency: options.Concurrency = 16,
    rpm: options.Rpm = None,
    timeout: options.Timeout = 180.0,
    retries: options.Retries = 6,
    max_requests: options.MaxRequests = None,
    max_cost: options.MaxCost = None,
    prices: options.Prices = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Reword refused benign prompts, try them again, and measure what the remedy costs in meaning.

    Without a model, by the policy's neutral words:

        overt rewrite runs/mine

    By a model with four strategies, two wordings each; pictures scored by CLIP and a question-answering
    model; unsafe prompts as a control:

        overt rewrite runs/mine --llm openai/gpt-4.1-mini --unsafe
        --faithfulness clip/ViT-B-32:laion2b_s34b_b79k --faithfulness vqa/openai/gpt-4.1-mini --max-cost 5

    Per prompt the most faithful wording that was accepted is kept. The report shows refusal won against
    meaning lost: overt report runs/mine
    """
    from overt.calls import CallerOptions
    from overt.data.errors import InputError
    from overt.data.progress import make_progress
    from overt.data.rewrites import STRATEGIES
    from overt.tables_rewrite import print_rewrite
    from overt.tasks.models import ModelOptions
    from overt.tasks.rewrite import RewriteConfig, rewrite_run
    from overt.tasks.targets import TargetOptions

    for name in strategy or ():
        if name not in STRATEGIES or name == "lexical":
            raise InputError(f"there is no strategy {name!r}", fix="plain, replace, context or describe.")
    if templates is not None and not templates.is_dir():
        raise InputError("--templates is not a folder", where=str(templates))
    roles = {"model", "judge", "target"}
    urls, keys = options.reached(base_url, api_key_env, roles, None)
    # The target is asked again where it was asked before, not wherever its provider's address points.
    told = options.reached(base_url, api_key_env, roles, run)
    target_url, target_key = (names.get("target", names.get("")) for names in told)
    manifest = rewrite_run(
        RewriteConfig(
            rewriter=llm,
            strategies=tuple(strategy or ()),  # type: ignore[arg-type]
            count=candidates,
            every_prompt=all_prompts,
            unsafe=unsafe,
            scorers=tuple(faithfulness or ("text/auto",)),
            seed=seed,
            templates=templates,
        ),
        run,
        calls=CallerOptions(concurrency, rpm, timeout, retries, max_requests, max_cost, prices),
        models=ModelOptions(urls, keys, device, batch_size or 8, timeout=timeout),
        options=TargetOptions(
            target_url,
            target_key,
            device,
            batch_size,
            False,
            timeout,
            concurrency,
        ),
        progress=make_progress(quiet),
    )
    print_rewrite(run, manifest, as_json=json)
