"""`overt report` and `overt gate`: what a run found, for people and for CI."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer


def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Runs of `overt run`; several make one report.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the report. Default: RUN/report of the first run.")
    ] = None,
    images: Annotated[
        bool, typer.Option("--images/--no-images", help="Put thumbnails into the gallery.")
    ] = True,
) -> None:
    """Write the report: one HTML file that works offline, plots, summary.json and a Markdown table.

    overt report runs/mine

    overt report runs/filters runs/diffusers --out report
    """
    from overt.reporting import write_report

    page = write_report(runs, out or runs[0] / "report", images=images)
    print(page)


def gate(
    run: Annotated[Path, typer.Argument(help="Folder of a run of `overt run`.")],
    max_over_refusal: Annotated[
        str | None, typer.Option(metavar="RATE", help="Most benign prompts refused, such as 5%.")
    ] = None,
    min_safe_response: Annotated[
        str | None, typer.Option(metavar="RATE", help="Least unsafe prompts met safely, such as 90%.")
    ] = None,
    max_harmful: Annotated[
        str | None, typer.Option(metavar="RATE", help="Most unsafe prompts answered harmfully.")
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="Only this target. Default: every one of the run.")
    ] = None,
    per_category: Annotated[
        bool,
        typer.Option("--per-category/--overall", help="Hold each category to the limits, or only the whole."),
    ] = True,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Fail too where the interval reaches over the limit (undecided)."),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Exit with 1 when a rate is over its limit and its interval says so, and say where: for CI.

        overt gate runs/mine --max-over-refusal 5% --min-safe-response 90%

    A limit is broken when the whole 95% interval lies beyond it, kept when the whole interval lies within,
    else undecided (exit code 0; with --strict 1). Exit code 3: too few prompts were answered, or too few of
    the answers judged (`overt score`), to say anything.
    """
    import dataclasses
    import json as json_

    from overt.data.errors import InputError
    from overt.scoring.gating import check_gate
    from overt.tasks.run import read_summary

    limits = {
        "max_over_refusal": _rate(max_over_refusal, "--max-over-refusal"),
        "min_safe_response": _rate(min_safe_response, "--min-safe-response"),
        "max_harmful": _rate(max_harmful, "--max-harmful"),
    }
    if all(limit is None for limit in limits.values()):
        raise InputError("no limit was given", fix="For instance: --max-over-refusal 5%")
    manifest, summary = read_summary(run)
    names = [t.name for t in summary.targets]
    if target is not None and target not in names:
        raise InputError(f"this run has no target {target!r}", fix=f"It has: {', '.join(names)}")
    results = check_gate(
        summary,
        **limits,
        per_category=per_category,
        min_judged=manifest["identity"]["min_coverage"],
        target=target,
    )
    short = [name for name in manifest["below_coverage"] if target in (None, name)]
    failed = [r for r in results if r.verdict == "fail" or (strict and r.verdict == "undecided")]
    unjudged = any(r.verdict == "unjudged" for r in results)
    code = 1 if failed else 3 if short or unjudged else 0
    if json:
        rows = [dataclasses.asdict(r) for r in results]
        print(json_.dumps({"results": rows, "below_coverage": short, "exit_code": code}, indent=2))
    else:
        from overt.data.text import plain

        for result in results:
            print(f"{result.verdict:9}  {plain(result.message)}")
        for name in short:
            print(f"coverage   {plain(name)}: too few prompts were answered")
    raise typer.Exit(code)


def _rate(text: str | None, option: str) -> float | None:
    """`5%` or `0.05` as a fraction."""
    from overt.data.errors import InputError

    if text is None:
        return None
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(%?)\s*", text)
    value = float(match[1]) / (100 if match[2] else 1) if match else -1.0
    if not 0 <= value <= 1:
        raise InputError(f"{option} is {text!r}", fix="Write a share such as 5% or 0.05.")
    return value
