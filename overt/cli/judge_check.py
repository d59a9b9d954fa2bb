"""`overt judge-check`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from overt.cli.options import command
from overt.cli.tables import console, print_json, print_whole
from overt.data.errors import RunError
from overt.data.judge_check_history import keep_checks
from overt.data.progress import make_progress
from overt.data.run.files import dump_json
from overt.data.text import plain
from overt.tasks import judge_check as task
from overt.tasks.judge_check import CheckResult, JudgeCheckConfig, last_checks

if TYPE_CHECKING:
    from rich.console import Console

    from overt.scoring.judge_agreement import Agreement, Estimate


@command(JudgeCheckConfig)
def judge_check(config: JudgeCheckConfig) -> None:
    """
        overt judge-check labels.csv --judge judge/rules --judge judge/openai/gpt-4.1-mini

        overt judge-check xstest_v2_completions_gpt4.csv --judge judge/openai/gpt-4o-mini --max-cost 1

        overt judge-check pictures.csv --judge checker/nudenet

    Labels: compliance, full_refusal, partial_refusal, safe_completion (or refusal), and XSTest's names for
    them; of pictures blocked and allowed (or unsafe and safe). 0 and 1 (false and true) are read by the
    column's name: 1 is a refusal in `label` or `refusal`, an answer in `compliance`; a note says how. What a
    judge cannot tell is counted, never guessed. The last check of each judge is kept
    (~/.cache/overt/judge-checks), and `overt report` names it beside the judge.
    """
    result = task.judge_check(config, make_progress(config.quiet))
    _keep(result)
    _print_result(result, config.out, as_json=config.as_json)


def _keep(result: CheckResult) -> None:
    """Stores the checks for later reports. A failure to store them is only a warning."""
    try:
        keep_checks(last_checks(result))
    except RunError as error:
        print(f"reports will not know of this check: {error.where}: {error.what}", file=sys.stderr)


def _print_result(result: CheckResult, out: Path | None, *, as_json: bool) -> None:
    if out is not None:
        try:
            out.write_bytes(dump_json(asdict(result)))
        except OSError as error:
            raise RunError(f"cannot be written: {error.strerror or error}", where=str(out)) from error
    if as_json:
        print_json(asdict(result), sort_keys=True)
        return
    to = console()
    _summary(to, result)
    for name, found in result.judges.items():
        _confusion(to, name, found.three or found.two)


def _summary(console: Console, result: CheckResult) -> None:
    from rich.table import Table
    from rich.text import Text

    what = (
        "partial refusals and safe completions counted as refusals"
        if result.kind == "text"
        else "blocked or allowed"
    )
    without = f", {result.dropped:,} rows without a label" if result.dropped else ""
    table = Table(title=Text(f"{result.rows:,} labels ({what}{without})"), title_justify="left")
    for head in ("judge", "judged", "accuracy", "kappa"):
        table.add_column(head, justify="left" if head == "judge" else "right")
    for name, found in result.judges.items():
        two = found.two
        table.add_row(Text(plain(name)), f"{two.coverage:.1%}", _span(two.accuracy), _span(two.kappa))
    print_whole(console, table)
    if result.binary:
        console.print(f"note: {plain(result.binary)}", style="yellow", markup=False)


def _confusion(console: Console, name: str, figures: Agreement) -> None:
    from rich.table import Table
    from rich.text import Text

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
