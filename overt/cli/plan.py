"""`overt plan`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import typer

from overt.cli.options import command
from overt.cli.plan_row import print_row
from overt.cli.tables import console, print_folded, print_json, print_lines
from overt.data.progress import make_progress
from overt.data.results.plan import Amount, Decided, Needs, Plan, PromptNeed, RunNeed, StageNeed, Unit
from overt.data.table_model import Cell, Table, counted_cell
from overt.data.text import duration, percent, plain, short_percent
from overt.data.typed_json import to_json
from overt.report.plots.needs import decision_title
from overt.report.sections.wording import counted
from overt.tasks import plan as task
from overt.tasks.plan import FILE, PlanConfig

if TYPE_CHECKING:
    from rich.console import Console

_MONEY: Unit = "US dollars"
_SECONDS: Mapping[Unit, float] = {"hours": 3600.0, "seconds": 1.0}
_SPELLED: Mapping[Unit, str] = {"calls": "", "hours": "", "seconds": ""}  # what is said beside a figure


@command(PlanConfig)
def plan(config: PlanConfig) -> None:
    """
        overt run prompts.csv --limit 30 --target openai/gpt-4o-mini --out runs/small

        overt plan runs/small --prompts 5000 --servers 4

    What a small run took tells what a large one takes, with intervals. Without one it can be stated:

        overt plan prompts.csv --target openai/gpt-4o-mini --seconds-per-call 1..4 --tokens-per-call 60,200

    How many prompts decide a limit or a difference at a stated power, with the clusters of a small run:

        overt plan runs/small --max-over-refusal 5% --expect 2% --power 0.9

        overt plan runs/small --difference 5% --between openai/gpt-4o --between openai/gpt-4o-mini

    How many servers a row's power budget carries, simulated after POLCA (arXiv 2308.12908):

        overt plan --row 40 --trace AzureLLMInferenceTrace_conv.csv

    plan.json and the plots go into the folder of --out. What nobody measured or stated is missing, with
    the reason. Exit code 3: the number of prompts that a decision needs was not found, or no row keeps
    the limits.
    """
    found = task.plan(config, make_progress(config.quiet))
    if config.as_json:
        print_json(to_json(found))
    else:
        print_plan(found)
        print(f"wrote      {plain(str(config.out / FILE))}")
    unknown = any(need.prompts is None for one in _decided(found) for need in one.needs)
    carries_none = found.row is not None and not any(answer.servers for answer in found.row.answers)
    if unknown or carries_none:
        raise typer.Exit(3)


def _decided(found: Plan) -> tuple[Decided, ...]:
    return found.needs.decided if found.needs is not None else ()


def print_plan(found: Plan) -> None:
    """What was found, for the terminal."""
    to = console()
    if found.needs is not None:
        _print_needs(to, found.needs)
    if found.row is not None:
        print_row(to, found.row)
    print_lines(to, [f"note   {plain(note)}" for note in found.notes], style="yellow", folded=True)


def _print_needs(to: Console, needs: Needs) -> None:
    for one in needs.decided:
        _print_decided(to, one)
    if needs.run is not None:
        _print_run(to, needs.run)


# -- prompts ------------------------------------------------------------------------------------------------


def _print_decided(to: Console, one: Decided) -> None:
    print_lines(
        to,
        [f"To decide {decision_title(one)}, with a chance of {short_percent(one.asked.power)}:"],
        style="bold",
        folded=True,
    )
    if not one.needs:
        print_lines(to, ["  the run has no prompts with such a rate"])
    print_folded(
        to,
        Table(
            id="prompts",
            caption="",
            columns=(
                "target",
                "category",
                "prompts",
                "power in simulations",
                "by formula",
                "the small run has",
                "and shows",
            ),
            rows=[_need_row(need) for need in one.needs],
            numeric_from=2,
        ),
    )
    print_lines(to, [plain(said) for said in _why(one)], folded=True)
    to.print()


def _need_row(need: PromptNeed) -> list[Cell]:
    told = f", {counted(need.answers, 'answer')} that tell" if need.answers != need.n else ""
    clusters = f"{counted(need.clusters, 'seed')}, design effect {need.effect:.2f}"
    seen = f"{counted(need.n, 'prompt')}{told}, {clusters}"
    return [
        Cell(need.target or "any"),
        Cell(need.category or "each category"),
        Cell("-" if need.prompts is None else f"{need.prompts:,}"),
        counted_cell(need.found.power if need.found else None),
        Cell("-" if need.formula is None else f"{need.formula:,}"),
        Cell(seen if need.n else "-"),
        counted_cell(need.seen),
    ]


def _why(one: Decided) -> Iterator[str]:
    for need in one.needs:
        name = ", ".join(filter(None, (need.target, need.category)))
        if need.why:
            yield f"{name or 'each category'}: {need.why}"
        assumed = one.asked.expected
        if need.seen is not None and assumed is not None and not need.seen.low <= assumed <= need.seen.high:
            yield (
                f"{name}: the small run shows {percent(need.seen.rate)}, and its interval leaves out the "
                f"{short_percent(assumed)} that are assumed: the number holds only if they are true"
            )
    if one.asked.decision == "limit" and len(one.needs) > 1:
        yield "The chance is that of each row alone; that all of them keep the limit at once is less likely."
    if one.asked.decision == "difference":
        apart = [f"{short_percent(need.apart)}" for need in one.needs if need.apart is not None]
        source = (
            "in the small run, or the difference itself" if one.asked.between else "assumed: three times it"
        )
        if apart:
            yield (
                f"The two differ, either way, on {', '.join(apart)} of the prompts ({source}). One test, "
                "uncorrected."
            )


# -- the run ------------------------------------------------------------------------------------------------


def _print_run(to: Console, run: RunNeed) -> None:
    count = counted(round(run.prompts.value or 0), run.prompts.unit.removesuffix("s"))
    again = f", each {run.samples} times" if run.samples > 1 else ""
    fleet = f", on {run.servers} servers" if run.servers > 1 else ""
    print_lines(
        to, [f"A run of {count}{again}{fleet} ({plain(run.prompts.how)}):"], style="bold", folded=True
    )
    rows = [_stage_row(stage) for stage in run.stages]
    columns = ("stage", "calls", "time", "tokens in", "tokens out", _MONEY, "a call")
    print_folded(to, Table(id="stages", caption="", columns=columns, rows=rows))
    to.print()
    several = len(run.stages) > 1
    totals = [("calls", run.calls), ("cost", run.cost), ("energy", run.energy)]
    totals.insert(1, ("time", run.hours))
    if several and run.longest.value is not None:
        totals.insert(2, ("at least", run.longest))
    for name, amount in totals:
        said = _said(amount, run.prompts.unit.removesuffix("s"))
        if name == "at least":
            said += ": the longest stage, if all others go beside it"
        elif name == "time" and several and amount.value is not None:
            said += ": all stages one after the other"
        print_lines(to, [f"{name:10} {plain(said)}"], folded=True)
    print_lines(to, [f"  {plain(said)}" for said in _found_how(run.stages, run.energy)], folded=True)


def _stage_row(stage: StageNeed) -> list[Cell]:
    return [
        Cell(stage.title or "the target"),
        _cell(stage.calls),
        _cell(stage.hours),
        _cell(stage.input_tokens),
        _cell(stage.output_tokens),
        _cell(stage.cost),
        _cell(stage.seconds_per_call),
    ]


def _cell(amount: Amount) -> Cell:
    if amount.value is None:
        return Cell("-", muted=True)
    span = None
    if amount.low is not None and amount.high is not None and amount.by != "free":
        span = (_figure(amount.low, amount), _figure(amount.high, amount))
    return Cell(_figure(amount.value, amount), sort=amount.value, span=span)


def _figure(value: float, amount: Amount) -> str:
    """As many digits as an estimate deserves: whole calls and tokens, cents, else three digits."""
    if amount.unit in ("calls", "tokens", "prompts", "episodes", "rows"):
        return f"{value:,.0f}"
    if amount.unit in _SECONDS:
        seconds = value * _SECONDS[amount.unit]
        if seconds >= 10 or not seconds:
            return duration(seconds)
        return f"{seconds:.3g} s" if seconds >= 0.001 else "<0.001 s"
    if amount.unit == _MONEY:
        return f"{value:,.2f}" if value >= 1 or not value else f"{value:,.4f}"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


_WORDS = {
    "measured": "measured",
    "stated": "stated",
    "price list": "at listed prices",
    "free": "free: on this machine",
    "counted": "counted",
}


def _said(amount: Amount, unit_of_n: str) -> str:
    """An amount with its interval and by what it is known; or why it is not.

    Args:
        unit_of_n: what is counted of the small run.
    """
    if amount.value is None:
        return f"not known: {amount.why}"
    cell = _cell(amount)
    unit = _SPELLED.get(amount.unit, f" {amount.unit}")
    span = f" [{cell.span[0]} to {cell.span[1]}]" if cell.span else ""
    parts = [_WORDS.get(amount.by or "", "")]
    if amount.n is not None:
        what = "device" if amount.unit == "kWh" else unit_of_n
        parts.append(f"from {counted(amount.n, what)} of the small run")
    if not span and amount.why:
        parts.append(f"no interval: {amount.why}")
    return f"{cell.text}{unit}{span} ({', '.join(filter(None, parts))})"


def _found_how(stages: Sequence[StageNeed], energy: Amount) -> Iterator[str]:
    """How hours, cost and energy were found."""
    for stage in stages:
        name = stage.title or "the target"
        found = (("time", stage.hours), ("cost", stage.cost))
        said = [f"{what}: {amount.how}" for what, amount in found if amount.how and amount.value is not None]
        if stage.failed is not None and stage.failed.k:
            said.append(
                f"{percent(stage.failed.rate)} of its calls failed ({stage.failed.k:,} of {stage.failed.n:,})"
            )
        if stage.tried_again:
            said.append(f"{stage.tried_again:.2g} retries for each call")
        if said:
            yield f"{name}: {'; '.join(said)}"
    if energy.how and energy.value is not None:
        yield f"energy: {energy.how}"
