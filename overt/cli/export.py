"""`overt export`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from overt.cli.options import command
from overt.cli.run import calls_line
from overt.cli.tables import console, print_json, print_lines
from overt.data.json_types import Json, JsonObject
from overt.data.progress import make_progress
from overt.data.run.finished import AllCalls, Run
from overt.data.run.plain_facts import manifest_of
from overt.data.splits import SPLITS
from overt.data.text import plain
from overt.tasks.export import FORMATS, Export
from overt.tasks.export import export as write
from overt.tasks.export_config import TRAINING_FORMATS, ExportConfig

_MOST_REASONS = 6  # printed of each stage


@command(ExportConfig)
def export(config: ExportConfig) -> None:
    """A task folder for lm-evaluation-harness, and how it is run there:

        overt export runs/chat --format lm-eval --out lm-eval

        lm_eval --model local-chat-completions --model_args model=M,base_url=URL
        --tasks overt_chat --include_path lm-eval --apply_chat_template

    A configuration with tests and an assertion for promptfoo:

        overt export --suite xstest --format promptfoo --out promptfoo

    Over-refusal and unsafe refusal are measured apart. Answers are judged by overt, which has to be installed
    where the harness runs; the README of the folder says how. What an earlier export wrote to the folder is
    replaced.

    Rows for TRL that train refusals of unsafe prompts and answers to benign ones, with a token before each:

        overt export runs/data --format refusal-tokens --answers openai/MODEL --out runs/tokens

    Rows for TRL that teach a model to plan an answer, to check the plan, and then to answer (ReSA):

        overt export runs/data --format resa --answers openai/MODEL --guard openai/GUARD --out runs/resa

    Splits divide no seed, no pair and no type. Calls are journalled; the same command, or --resume, goes on.
    """
    if config.format in TRAINING_FORMATS or config.resume is not None:
        from overt.tasks.export_training import export_training

        _print_training(export_training(config, make_progress(config.quiet)), as_json=config.as_json)
        return
    _print_harness(write(config), as_json=config.as_json)


def _print_harness(done: Export, *, as_json: bool) -> None:
    if as_json:
        print_json(done.to_json())
        return
    for note in done.notes:
        print(f"note      {plain(note)}")
    counts = ", ".join(f"{count:,} {label}" for label, count in done.counts.items())
    print(f"exported  {done.name} for {FORMATS[done.format].harness}: {counts} prompts")
    for name in done.files:
        print(f"wrote     {plain(str(done.folder / name))}")
    print(f"next      {plain(str(done.folder / 'README.md'))} says how it is run")


def _print_training(run: Run, *, as_json: bool) -> None:
    """What was read, what was lost on the way and why, and the rows of each split."""
    facts = run.manifest_data
    if as_json:
        print_json({"run": str(run.folder), **manifest_of(run)}, sort_keys=True)
        return
    to = console()
    print_lines(to, list(_stage_lines(facts)))
    counts = _part(facts, "rows")
    rows = ", ".join(f"{counts[split]:,} {split}" for split in SPLITS if split in counts)
    kinds = ", ".join(f"{count:,} {plain(str(kind))}" for kind, count in _part(facts, "by_kind").items())
    print_lines(to, [f"rows      {rows}  ({kinds}; {facts.get('clusters'):,} clusters, none divided)"])
    print_lines(to, [calls_line(AllCalls.model_validate(facts.get("calls", {})))])
    notes = facts.get("notes")
    told = notes if isinstance(notes, list) else []
    print_lines(to, [f"note      {plain(str(note))}" for note in told], style="yellow")
    folder = plain(str(run.folder / "dataset"))
    print_lines(to, [f"next      {folder} holds the rows; its README.md says what they are"])


def _stage_lines(facts: JsonObject) -> Iterator[str]:
    dropped, stages = _part(facts, "dropped"), _part(facts, "stages")
    order = facts.get("stage_order")
    for stage in map(str, order if isinstance(order, list) else stages):
        flow = stages.get(stage)
        lost = dropped.get(stage)
        why = list(lost.items()) if isinstance(lost, Mapping) else []
        said = "; ".join(f"{count:,} {plain(str(reason))}" for reason, count in why[:_MOST_REASONS])
        more = f"; {len(why) - _MOST_REASONS} other reasons" if len(why) > _MOST_REASONS else ""
        entered, left = (flow.get("in"), flow.get("out")) if isinstance(flow, Mapping) else (0, 0)
        yield f"{plain(stage):9} {left:,} of {entered:,}{f': {said}{more}' if said else ''}"


def _part(facts: JsonObject, name: str) -> Mapping[str, Json]:
    found = facts.get(name)
    return found if isinstance(found, Mapping) else {}
