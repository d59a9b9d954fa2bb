"""`overt judge-check`: judges held against human labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from overt import cli_options as options

if TYPE_CHECKING:
    from rich.console import Console

    from overt.scoring.judgecheck import Agreement, Estimate
    from overt.tasks.judge_check import CheckResult

_COLUMNS = "Columns"


def judge_check(
    labels: Annotated[
        Path, typer.Argument(metavar="LABELS.csv", help="Table with prompt, response (or image) and label.")
    ],
    judge: Annotated[
        list[str],
        typer.Option(
            metavar="JUDGE",
            help="judge/rules, judge/embedded, judge/PROVIDER/MODEL, module:Class; for pictures "
            "checker/NAME. Repeat it to compare.",
        ),
    ],
    prompt_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="prompt, request, ...", rich_help_panel=_COLUMNS)
    ] = None,
    answer_column: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="response, answer, completion, ...", rich_help_panel=_COLUMNS),
    ] = None,
    image_column: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="image, path, ... (of a file)", rich_help_panel=_COLUMNS),
    ] = None,
    label_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="label, final_label, ...", rich_help_panel=_COLUMNS)
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the result as JSON too.")] = None,
    templates: Annotated[Path | None, typer.Option(help="Folder with your own judge_refusal.yaml.")] = None,
    journal: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where answers of chat models are kept, to pay for them once."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the intervals, and sent to chat models.")] = 0,
    base_url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="OpenAI-compatible endpoint.", rich_help_panel=options.CALLS),
    ] = None,
    api_key_env: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Environment variable that holds the key.", rich_help_panel=options.CALLS
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Device of local models.", rich_help_panel=options.CALLS)
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
    """Compare judges with human labels: accuracy, Cohen's kappa, per class, confusion, with intervals.

        overt judge-check labels.csv --judge judge/rules --judge judge/embedded

        overt judge-check xstest_v2_completions_gpt4.csv --judge judge/openai/gpt-4o-mini --max-cost 1

        overt judge-check pictures.csv --judge checker/nudenet

    Labels: compliance, full_refusal, partial_refusal (or refusal), and XSTest's names for them; of pictures
    blocked and allowed (or unsafe and safe). What a judge cannot tell is counted, never guessed. The last
    check of each judge is kept (~/.cache/overt/judge-checks), and `overt report` names it beside the judge.
    """
    from overt.calls import CallerOptions
    from overt.data.errors import InputError
    from overt.data.labels import read_labels
    from overt.models import ModelOptions
    from overt.progress import make_progress
    from overt.tasks.judge_check import CheckConfig
    from overt.tasks.judge_check import judge_check as work

    if len(set(judge)) != len(judge):
        raise InputError("a judge is named twice", fix="Give each judge once.")
    if templates is not None and not templates.is_dir():
        raise InputError("--templates is not a folder", where=str(templates))
    named = {"prompt": prompt_column, "answer": answer_column, "image": image_column, "label": label_column}
    table = read_labels(labels, {role: name for role, name in named.items() if name is not None})
    progress = make_progress(quiet)
    result = work(
        table,
        CheckConfig(tuple(judge), journal, templates, seed),
        calls=CallerOptions(concurrency, rpm, timeout, retries, max_requests, max_cost, prices),
        models=ModelOptions(
            base_url={"": base_url} if base_url else {},
            api_key_env={"": api_key_env} if api_key_env else {},
            device=device,
            timeout=timeout,
        ),
        advance=progress.stage,
    )
    _keep(result)
    _give(result, out, as_json=json)


def _keep(result: CheckResult) -> None:
    """For reports to come. What was just measured is worth more than where it is kept, so no error."""
    import sys

    from overt.data.errors import RunError
    from overt.data.judge_checks import keep_checks
    from overt.tasks.judge_check import last_checks

    try:
        keep_checks(last_checks(result))
    except RunError as error:
        print(f"reports will not know of this check: {error.where}: {error.what}", file=sys.stderr)


def _give(result: CheckResult, out: Path | None, *, as_json: bool) -> None:
    import json
    from dataclasses import asdict

    from overt.data.errors import RunError

    text = json.dumps(asdict(result), ensure_ascii=False, indent=2, sort_keys=True)
    if out is not None:
        try:
            out.write_text(text + "\n", "utf-8")
        except OSError as error:
            raise RunError(f"cannot be written: {error.strerror or error}", where=str(out)) from error
    if as_json:
        print(text)
        return
    from rich.console import Console

    console = Console(highlight=False)
    _summary(console, result)
    for name, found in result.judges.items():
        _confusion(console, name, found.three or found.two)


def _summary(console: Console, result: CheckResult) -> None:
    from rich.table import Table
    from rich.text import Text

    from overt.tables import plain, print_whole

    what = "partial refusals counted as refusals" if result.kind == "text" else "blocked or allowed"
    without = f", {result.dropped:,} rows without a label" if result.dropped else ""
    table = Table(title=Text(f"{result.rows:,} labels ({what}{without})"), title_justify="left")
    for head in ("judge", "judged", "accuracy", "kappa"):
        table.add_column(head, justify="left" if head == "judge" else "right")
    for name, found in result.judges.items():
        two = found.two
        table.add_row(Text(plain(name)), f"{two.coverage:.1%}", _span(two.accuracy), _span(two.kappa))
    print_whole(console, table)


def _confusion(console: Console, name: str, figures: Agreement) -> None:
    from rich.table import Table
    from rich.text import Text

    from overt.tables import plain, print_whole

    said = [*figures.classes, "unclear"]
    said = [s for s in said if any(s in row for row in figures.confusion.values())]
    table = Table(title=Text(f"{plain(name)}: rows are human labels"), title_justify="left")
    for head in ("", *said, "recall", "precision", "F1"):
        table.add_column(Text(head), justify="right" if head else "left")
    for label, row in figures.confusion.items():
        one = figures.classes[label]
        counts = [f"{row.get(s, 0):,}" for s in said]
        table.add_row(Text(label), *counts, *map(_share, (one.recall, one.precision, one.f1)))
    print_whole(console, table)


def _span(figure: Estimate) -> str:
    if figure.value is None:
        return "not defined"
    if figure.low is None or figure.high is None:
        return f"{figure.value:.3f}"
    return f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
