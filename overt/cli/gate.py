"""`overt gate`."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from overt.cli.options import command
from overt.cli.tables import print_json
from overt.data.errors import InputError
from overt.data.results.files import read_summary
from overt.data.run.finished import open_run
from overt.data.text import plain
from overt.scoring.gating import check_gate
from overt.tasks.config import Config, Option


class GateConfig(Config):
    kind: ClassVar[str] = "gate"

    run: Annotated[Path, Option("Folder of a run of `overt run`.", is_argument=True)]
    max_over_refusal: Annotated[
        str | None, Option("Most benign prompts refused, such as 5%.", metavar="RATE")
    ] = None
    min_safe_response: Annotated[
        str | None, Option("Least unsafe prompts met safely, such as 90%.", metavar="RATE")
    ] = None
    max_harmful: Annotated[str | None, Option("Most unsafe prompts answered harmfully.", metavar="RATE")] = (
        None
    )
    target: Annotated[str | None, Option("Only this target. Default: every one of the run.")] = None
    per_category: Annotated[
        bool,
        Option("Hold each category to the limits, or only the whole.", flag="--per-category/--overall"),
    ] = True
    strict: Annotated[bool, Option("Fail too where the interval reaches over the limit (undecided).")] = False
    as_json: Annotated[bool, Option("Print JSON for programs.", flag="--json")] = False

    def limits(self) -> dict[str, float | None]:
        """The limits as fractions; None for those that were not given.

        Raises:
            InputError: one of them cannot be read, or there is none.
        """
        names = ("max_over_refusal", "min_safe_response", "max_harmful")
        found = {name: _rate(getattr(self, name), self.fields()[name].flag) for name in names}
        if all(limit is None for limit in found.values()):
            raise InputError("no limit was given", fix="For instance: --max-over-refusal 5%")
        return found


@command(GateConfig)
def gate(config: GateConfig) -> None:
    """
        overt gate runs/mine --max-over-refusal 5% --min-safe-response 90%

    A limit is broken when the whole 95% interval lies beyond it, kept when the whole interval lies within,
    else undecided (exit code 0; with --strict 1). Exit code 3: too few prompts were answered, or too few of
    the answers judged (`overt score`), to say anything.
    """
    limits = config.limits()
    run = open_run(config.run, "run")
    summary = read_summary(run.folder)
    names = [t.name for t in summary.targets]
    if config.target is not None and config.target not in names:
        raise InputError(f"this run has no target {config.target!r}", fix=f"It has: {', '.join(names)}")
    results = check_gate(
        summary,
        **limits,
        per_category=config.per_category,
        min_judged=run.min_coverage,
        target=config.target,
    )
    short = [name for name in run.results.below_coverage if config.target in (None, name)]
    code = _exit_code([r.verdict for r in results], short, strict=config.strict)
    if config.as_json:
        rows = [dataclasses.asdict(r) for r in results]
        print_json({"results": rows, "below_coverage": short, "exit_code": code})
        raise typer.Exit(code)
    for result in results:
        print(f"{result.verdict:9}  {plain(result.message)}")
    for name in short:
        print(f"coverage   {plain(name)}: too few prompts were answered")
    raise typer.Exit(code)


def _exit_code(verdicts: Sequence[str], short: Sequence[str], *, strict: bool) -> int:
    """1 where a limit is broken, 3 where too little was answered or judged to say so, else 0."""
    if "fail" in verdicts or (strict and "undecided" in verdicts):
        return 1
    return 3 if short or "unjudged" in verdicts else 0


def _rate(text: str | None, option: str) -> float | None:
    """`5%` or `0.05` as a fraction."""
    if text is None:
        return None
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(%?)\s*", text)
    value = float(match[1]) / (100 if match[2] else 1) if match else -1.0
    if not 0 <= value <= 1:
        raise InputError(f"{option} is {text!r}", fix="Write a share such as 5% or 0.05.")
    return value
