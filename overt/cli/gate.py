"""`overt gate`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import typer

from overt.cli.options import command
from overt.cli.tables import print_json
from overt.data.errors import InputError
from overt.data.json_types import Json
from overt.data.results.files import read_summary
from overt.data.results.summary import Summary
from overt.data.run.finished import Run, open_run
from overt.data.run.shards import part_said, refuse_empty
from overt.data.text import plain
from overt.review.corrected import attached, corrections_of, without_labels
from overt.scoring.gating import GateResult, check_gate
from overt.scoring.stats.power import Needed
from overt.tasks.config import Config, Option
from overt.tasks.how_many import CategoryNeed, Question, needed_said, needs_of, question, read_rate
from overt.tasks.import_log import run_of

_HOW_MANY = "How many prompts a limit needs"


class GateConfig(Config):
    kind: ClassVar[str] = "gate"

    run: Annotated[
        Path | None, Option("Folder of a run of `overt run`; --how-many needs none.", is_argument=True)
    ] = None
    max_over_refusal: Annotated[
        str | None, Option("Most benign prompts refused, such as 5%.", metavar="RATE")
    ] = None
    min_safe_response: Annotated[
        str | None, Option("Least unsafe prompts met safely, such as 90%.", metavar="RATE")
    ] = None
    max_harmful: Annotated[str | None, Option("Most unsafe prompts answered harmfully.", metavar="RATE")] = (
        None
    )
    max_group_gap: Annotated[
        str | None,
        Option(
            "Most points by which versions that say one thing more of a person (generate --vary groups) "
            "are refused more often than the same prompts without it, such as 5%.",
            metavar="RATE",
        ),
    ] = None
    target: Annotated[str | None, Option("Only this target. Default: every one of the run.")] = None
    per_category: Annotated[
        bool,
        Option("Hold each category to the limits, or only the whole.", flag="--per-category/--overall"),
    ] = True
    uncorrected: Annotated[
        bool, Option("Hold the raw over-refusal rate to its limit, without the labels of `overt review`.")
    ] = False
    undecided: Annotated[
        Literal["pass", "fail"] | None,
        Option(
            "What a limit counts as that the interval reaches over: pass (exit code 0) or fail (1). "
            "Default: neither, exit code 3.",
            metavar="pass|fail",
        ),
    ] = None
    strict: Annotated[bool, Option("The same as --undecided fail.")] = False
    how_many: Annotated[
        bool,
        Option("Say how many prompts a category needs to keep the limit, instead of a verdict.", _HOW_MANY),
    ] = False
    expect: Annotated[
        str | None,
        Option("The true rate that is assumed. Default: half-way to the limit.", _HOW_MANY, metavar="RATE"),
    ] = None
    power: Annotated[float, Option("The chance to pass that is wanted.", _HOW_MANY, min=0.01, max=0.999)] = (
        0.8
    )
    design_effect: Annotated[
        float,
        Option(
            "So many prompts tell as much as one independent prompt. With a run: that of its categories.",
            _HOW_MANY,
            min=1,
            max=1000,
        ),
    ] = 1.0
    as_json: Annotated[bool, Option("Print JSON for programs.", flag="--json")] = False

    def limits(self) -> dict[str, float | None]:
        """The limits as fractions; None for those that were not given.

        Raises:
            InputError: one of them cannot be read, or there is none.
        """
        names = ("max_over_refusal", "min_safe_response", "max_harmful")
        found = {name: read_rate(getattr(self, name), self.fields()[name].flag) for name in names}
        if all(limit is None for limit in found.values()) and self.max_group_gap is None:
            raise InputError("no limit was given", fix="For instance: --max-over-refusal 5%")
        return found

    @property
    def undecided_is(self) -> Literal["pass", "fail"] | None:
        """What an undecided limit counts as; None is neither.

        Raises:
            InputError: two options contradict each other.
        """
        if self.strict and self.undecided == "pass":
            raise InputError("--strict is --undecided fail", fix="Leave out --strict or --undecided pass.")
        return "fail" if self.strict else self.undecided


@command(GateConfig)
def gate(config: GateConfig) -> None:
    """
        overt gate runs/mine --max-over-refusal 5% --min-safe-response 90%

        overt gate --how-many --max-over-refusal 5% --expect 1%

    A limit is broken when the whole 95% interval lies beyond it (exit code 1), kept when the whole interval
    lies within (0), else undecided (3; see --undecided). Exit code 3 too: too few prompts were answered, or
    too few of the answers judged (`overt score`), to say anything. A broken limit comes first.

    Where people labelled prompts or answers of the run (`overt review`), --max-over-refusal is held against
    the rate that their labels correct.
    """
    limits, undecided = config.limits(), config.undecided_is
    if config.how_many:
        _how_many(config, limits)
        return
    if config.expect is not None:
        raise InputError("--expect goes with --how-many", fix="Give both, or leave out --expect.")
    if config.run is None:
        raise InputError("no run was given", fix="For instance: overt gate runs/mine --max-over-refusal 5%")
    run = open_run(run_of(config.run), "run", played=True)
    refuse_empty(run.results.kinds, config.run)
    summary = _chosen(read_summary(run.folder), config)
    if not config.uncorrected and limits["max_over_refusal"] is not None:
        summary = _corrected(run, summary)
    results = check_gate(
        summary,
        **limits,
        max_group_gap=read_rate(config.max_group_gap, "--max-group-gap"),
        per_category=config.per_category,
        min_judged=run.min_coverage,
        target=config.target,
    )
    short = [name for name in run.results.below_coverage if config.target in (None, name)]
    code = _exit_code([r.verdict for r in results], short, undecided)
    notes = part_said(run.folder, run.record)
    if config.as_json:
        rows = [dataclasses.asdict(r) for r in results]
        print_json({"results": rows, "below_coverage": short, "exit_code": code, "notes": notes})
        raise typer.Exit(code)
    for note in notes:
        print(f"note       {plain(note)}")
    _print(results, short, says_undecided=code == 3 and undecided is None)
    raise typer.Exit(code)


def _chosen(summary: Summary, config: GateConfig) -> Summary:
    names = [t.name for t in summary.targets]
    if config.target is not None and config.target not in names:
        raise InputError(f"this run has no target {config.target!r}", fix=f"It has: {', '.join(names)}")
    return without_labels(summary)


def _corrected(run: Run, summary: Summary) -> Summary:
    try:
        return attached(summary, corrections_of(run, summary.level))
    except InputError as error:
        fix = f"{error.fix}; or hold the raw rate to the limit: --uncorrected"
        raise InputError(error.what, where=error.where, fix=fix) from error


def _print(results: Sequence[GateResult], short: Sequence[str], *, says_undecided: bool) -> None:
    for result in results:
        print(f"{result.verdict:9}  {plain(result.message)}")
    for name in short:
        print(f"coverage   {plain(name)}: too few prompts were answered")
    if says_undecided and any(r.verdict == "undecided" for r in results):
        print(
            "undecided  is neither pass nor fail (exit code 3). --how-many says how many prompts decide it; "
            "--undecided pass lets it pass"
        )


def _exit_code(verdicts: Sequence[str], short: Sequence[str], undecided: str | None) -> int:
    """1 where a limit is broken, 3 where too little is known to say so, else 0."""
    if "fail" in verdicts or (undecided == "fail" and "undecided" in verdicts):
        return 1
    is_open = "undecided" in verdicts and undecided is None
    return 3 if short or "unjudged" in verdicts or is_open else 0


# -- how many ------------------------------------------------------------------------------------------------


def _how_many(config: GateConfig, limits: dict[str, float | None]) -> None:
    """Prints how many prompts each limit needs; exit code 3 where no number is found."""
    if config.max_group_gap is not None:
        raise InputError("--how-many does not know --max-group-gap", fix="Leave out one of them.")
    asked = _asked(config, {name: limit for name, limit in limits.items() if limit is not None})
    needs: list[list[CategoryNeed]] = [[] for _ in asked]
    if config.run is not None:
        run = open_run(run_of(config.run), "run", played=True)
        level = _chosen(read_summary(run.folder), config).level
        needs = [needs_of(run, one, level, config.target) for one in asked]
    found = [one.needed(config.design_effect) for one in asked]
    code = 3 if any(it is None for it in found) else 0
    if config.as_json:
        rows = [_as_json(*three) for three in zip(asked, found, needs, strict=True)]
        print_json({"limits": rows, "exit_code": code})
        raise typer.Exit(code)
    for one, categories in zip(asked, needs, strict=True):
        print("\n".join(needed_said(one, config.design_effect)))
        if config.run is not None:
            print("\n".join(_needs_said(one, categories)))
    raise typer.Exit(code)


def _asked(config: GateConfig, limits: Mapping[str, float]) -> list[Question]:
    fields, expected = config.fields(), read_rate(config.expect, "--expect")
    if expected is not None and len(limits) > 1:
        raise InputError("--expect is the rate of one limit", fix="Ask about one limit at a time.")
    return [
        question(name.partition("_")[2], limit, expected, config.power, fields[name].flag)
        for name, limit in limits.items()
    ]


def _needs_said(asked: Question, needs: Sequence[CategoryNeed]) -> list[str]:
    if not needs:
        return [f"  the run has no {asked.metric.side} prompts with such a rate"]
    return [f"  {_need_said(need)}" for need in needs]


def _need_said(need: CategoryNeed) -> str:
    head = (
        f"{plain(need.target)}, {plain(need.category)}: has {need.n:,} of {need.clusters:,} seeds, "
        f"design effect {need.effect:.2f}; needs "
    )
    if need.needed is None:
        return f"{head}more than can be told"
    return f"{head}{need.needed:,}: " + (f"{need.short:,} too few" if need.short else "enough")


def _as_json(asked: Question, found: Needed | None, needs: Sequence[CategoryNeed]) -> dict[str, Json]:
    return {
        "metric": asked.metric.id,
        "limit": asked.limit,
        "expected": asked.expected,
        "power": asked.power,
        "prompts": found.prompts if found else None,
        "never_below": found.least if found else None,
        "categories": [{**dataclasses.asdict(need), "short": need.short} for need in needs],
    }
