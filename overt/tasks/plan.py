"""`overt plan`: what a run needs, before it is made, and how many servers a power budget carries.

1. The source is a small run, whose journal is read, or a data set. 2. How many prompts a decision needs,
where one was asked for. 3. What so many prompts take. 4. The row under a budget, where one was asked for, is
simulated. 5. plan.json and the plots are written.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, ClassVar

import overt
from overt.data.asked import prompts_to_ask
from overt.data.errors import InputError
from overt.data.progress import Progress
from overt.data.records import Prompt
from overt.data.results.plan import Amount, By, Decided, Needs, Plan
from overt.data.run import brief
from overt.data.run.files import dump_json, text_bytes, write_atomic
from overt.data.run.finished import Run
from overt.data.text import plain
from overt.data.typed_json import to_json
from overt.report.sections.wording import counted
from overt.scoring.summary.metrics import METRICS
from overt.tasks.config import RUN, Option, OutputConfig
from overt.tasks.plan_needs import NeedsConfig
from overt.tasks.plan_pilot import Pilot, is_run, open_pilot, read_pilot
from overt.tasks.plan_prompts import decided_by, planned_prompts
from overt.tasks.plan_row import RowConfig, planned_row, row_asked
from overt.tasks.plan_run import run_needed

FILE = "plan.json"
PLOT, ROW_PLOT = "plan-needs.svg", "plan-row.svg"


class PlanConfig(NeedsConfig, RowConfig, OutputConfig):
    kind: ClassVar[str] = "plan"

    out: Annotated[Path, Option("Folder of plan.json and its plots.", RUN)] = Path("plan")


def plan(config: PlanConfig, progress: Progress) -> Plan:
    """Plans a run, and writes what was found.

    Raises:
        InputError: bad input, a run without calls, a folder that holds something else.
        RunError: the folder cannot be written.
    """
    refuse_strangers(config.out)
    needs, notes = needed(config, progress)
    row = planned_row(config, progress) if row_asked(config) else None
    if needs is None and row is None:
        raise InputError(
            "nothing was asked",
            fix="Name a small run or a data set, a decision (--max-over-refusal 5%), or a row of servers "
            "(--row 40)",
        )
    found = Plan(
        overt=overt.__version__, level=config.level, seed=config.seed, needs=needs, row=row, notes=notes
    )
    _write(config.out, found)
    return found


def refuse_strangers(folder: Path) -> None:
    """Refuses a folder that holds something else than an earlier plan, or that nobody may write: a plan may
    take hours, and all of it would be lost.

    Raises:
        InputError: it does, or it is no folder.
    """
    there = next(part for part in (folder.absolute(), *folder.absolute().parents) if part.exists())
    if there.is_dir() and not os.access(there, os.W_OK | os.X_OK):
        raise InputError(
            "nothing can be written here: no permission",
            where=str(there),
            fix="Give another folder: --out FOLDER",
        )
    if not folder.exists():
        return
    if not folder.is_dir() or (any(folder.iterdir()) and not (folder / FILE).is_file()):
        raise InputError(
            "this folder holds something else than a plan" if folder.is_dir() else "this is a file",
            where=str(folder),
            fix="Give another folder: --out FOLDER",
        )


def _write(folder: Path, found: Plan) -> None:
    from overt.report.plots import draw_needs, draw_row

    plots = {
        PLOT: draw_needs(found) if found.needs is not None else None,
        ROW_PLOT: draw_row(found.row) if found.row is not None else None,
    }
    for name, svg in plots.items():
        if svg is not None:
            write_atomic(folder / name, text_bytes(svg))
        else:
            (folder / name).unlink(missing_ok=True)
    write_atomic(folder / FILE, dump_json(to_json(found)))  # the last, so that it is there with its plots


# -- what a run needs ---------------------------------------------------------------------------------------


def needed(config: NeedsConfig, progress: Progress) -> tuple[Needs | None, tuple[str, ...]]:
    """What the run needs that the options describe, and notes; None where they describe none.

    Raises:
        InputError: as `plan`.
    """
    run = _small_run(config)
    asked = _asked(config, run)
    if run is None and asked is None and not config.asks_for_prompts:
        return None, ()
    decided = _decided(config, run, progress)
    pilot = read_pilot(run) if run is not None else None
    notes = list(pilot.notes) if pilot is not None else []
    prompts = _prompts(config, asked, pilot, decided, notes)
    found = None
    if prompts is not None and (pilot is not None or _is_told(config)):
        found, more = run_needed(config, pilot, prompts, config.samples or (pilot.samples if pilot else 1))
        notes += more
    folder = str(run.folder) if run is not None else ""
    needs = Needs(source=config.source or "", pilot=folder, decided=decided, run=found)
    return needs, tuple(notes)


def _decided(config: NeedsConfig, run: Run | None, progress: Progress) -> tuple[Decided, ...]:
    """What the decisions need that were asked for.

    Raises:
        InputError: as `decided_by`, or options without the decision that they belong to.
    """
    if config.asks_for_prompts:
        return decided_by(config, _of_results(run), progress)
    if config.expect is not None or config.between:
        raise InputError(
            "--expect and --between belong to a decision", fix="Give one, such as --max-over-refusal 5%"
        )
    return ()


def _is_told(config: NeedsConfig) -> bool:
    """Whether the user states what a call takes."""
    return config.seconds is not None or config.tokens is not None


def _small_run(config: NeedsConfig) -> Run | None:
    """The run whose journal is read; None where there is none.

    Raises:
        InputError: two are named, or what is named is none.
    """
    if config.pilot is not None:
        if config.source is None:
            raise InputError(
                "--pilot goes with a data set", fix=f"For a small run alone: overt plan {config.pilot}"
            )
        return open_pilot(config.pilot)
    if config.source is None or not is_run(Path(config.source)):
        return None
    run = open_pilot(Path(config.source))
    is_dataset = run.kind == "generate" and bool(config.target or _is_told(config))
    return None if is_dataset else run


def _of_results(run: Run | None) -> Run | None:
    """The run whose results show how prompts hang together; None of a data set that was only made.

    Raises:
        InputError: its results are not there yet.
    """
    if run is None:
        return None
    if run.kind != "run":
        raise InputError(
            f"this is a run of `overt {run.kind}`, which tested nothing, so it shows no rates",
            where=str(run.folder),
            fix="Name a run of `overt run`, or ask about a decision without a run.",
        )
    if not run.is_complete:
        raise InputError(
            "this run is not complete, and a decision is planned by its results",
            where=str(run.folder),
            fix=f"Go on with it: overt run --resume {run.folder}",
        )
    return run


def _asked(config: NeedsConfig, run: Run | None) -> list[Prompt] | None:
    """The prompts of the data set; None where the source is none.

    Raises:
        InputError: it cannot be read, or nothing is known of what its calls take.
    """
    if config.source is None or (run is not None and config.pilot is None):
        return None
    found = prompts_to_ask((config.source,), suite=None, label=config.label, category=(), limit=None)
    if run is None and not (_is_told(config) or config.asks_for_prompts):
        raise InputError(
            "nothing is known of what a call takes",
            where=config.source,
            fix="Ask a few prompts first and name that run (--pilot RUN), or state it: --seconds-per-call "
            "1.5 --tokens-per-call 250,120",
        )
    return found.prompts


def _prompts(
    config: NeedsConfig,
    asked: Sequence[Prompt] | None,
    pilot: Pilot | None,
    decided: tuple[Decided, ...],
    notes: list[str],
) -> Amount | None:
    """How many prompts are planned, and by what that is known; None where nothing says it.

    Args:
        asked: those of the data set.
    """
    unit = pilot.unit if pilot is not None else "prompts"
    if config.prompts is not None:
        return Amount(unit=unit, value=float(config.prompts), by="stated", how="--prompts")
    by_category = planned_prompts(decided)
    if by_category is not None:
        return _of_decision(by_category, decided, asked, pilot, notes)
    if decided:
        notes.append("what the decision needs is not known for every category, so it plans no prompts")
    if asked is not None:
        return Amount(unit=unit, value=float(len(asked)), by="counted", how="as many as the data set has")
    if pilot is None:
        return None
    return Amount(unit=unit, value=float(pilot.asked), by="counted", how="as many as in the small run")


def _of_decision(
    by_category: Mapping[str, int],
    decided: tuple[Decided, ...],
    asked: Sequence[Prompt] | None,
    pilot: Pilot | None,
    notes: list[str],
) -> Amount:
    """The prompts that a decision needs in each category, and those of the other side as they are."""
    sides = {METRICS[one.asked.metric].side for one in decided}
    rows: Iterable[Prompt | brief.Prompt] = asked or ()
    if asked is None and pilot is not None:
        rows = brief.prompts_of(pilot.run.folder)
    others, categories = 0, set()
    for prompt in rows:
        others += prompt.label not in sides
        if prompt.label in sides:
            categories.add(prompt.category)
    value, count = sum(by_category.values()), len(by_category)
    if "" in by_category:  # without a small run one number holds for each category
        count = max(1, len(categories))
        value *= count
    elif unseen := sorted(map(plain, categories - set(by_category))):
        notes.append(
            f"nothing shows what the decision needs in {', '.join(unseen)}, so no prompts of it are planned"
        )
    how = f"what the decision needs, in {count} {'category' if count == 1 else 'categories'}"
    rest = f", and {counted(others, 'prompt')} of the other side" if others else ""
    by: By = "exact" if {n.by for one in decided for n in one.needs} == {"exact"} else "simulated"
    return Amount(unit="prompts", value=float(value + others), by=by, how=how + rest)
