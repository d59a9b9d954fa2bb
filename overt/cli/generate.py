"""`overt generate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import typer

from overt.cli.options import command
from overt.cli.power import power_lines
from overt.cli.tables import console, print_json, print_lines, print_table
from overt.data.errors import RunError
from overt.data.gold_table import gold_table
from overt.data.progress import make_progress
from overt.data.run.finished import AllCalls, Calls, DatasetManifest, Flow, Run
from overt.data.run.plain_facts import flat_identity, manifest_of
from overt.data.run.shards import shard_of
from overt.data.run.stage_counts import STAGES
from overt.data.table_model import Cell, Table, count_cell
from overt.data.text import money, plain
from overt.report.sections.wording import counted
from overt.tasks import generate as task
from overt.tasks.generate_config import GenerateConfig
from overt.tasks.generate_gold import PURPOSE as GOLD_PURPOSE
from overt.tasks.generate_gold import in_words

# -- what is printed -----------------------------------------------------------------------------------------


MOST_REASONS = 5  # that are printed of each stage


def print_summary(run: Run, *, as_json: bool) -> None:
    """The account of a complete run: stages, costs, judges, time, reasons, notes, and what comes next."""
    if as_json:
        whole = {"run": str(run.folder), **manifest_of(run)}
        print_json(whole, sort_keys=True)
        return
    to, manifest = console(), run.dataset
    gold = manifest.gold
    figures = gold_table(gold) if gold is not None and gold.items else None
    stages = _stages(manifest, run.record.policy.name)
    for table in (stages, _published(manifest), figures, _costs(manifest.calls)):
        if table is not None:
            to.print(table.caption, markup=False)
            print_table(to, table)
            to.print()
    print_lines(to, [*_facts(run), *_gold(manifest), *power_lines(run.folder, 12)])
    print_lines(to, [f"note        {note}" for note in manifest.notes], style="yellow")
    if manifest.missing:
        wanted = manifest.kept + manifest.missing
        print_lines(to, [f"short       {manifest.kept} of {wanted} prompts were kept"], style="yellow")
        print_lines(to, [f"            {plain(line)}" for line in manifest.why_short], style="yellow")
    to.print()
    if manifest.kept:
        print_lines(
            to, [f"data set    {run.folder / 'dataset'}", f"next        overt show {run.folder} --samples 5"]
        )


def _facts(run: Run) -> list[str]:
    """One line each: who wrote and judged, how near-duplicates were found, the time, the reasons of drops."""
    manifest, value = run.dataset, run.record.value
    given = value("judge")
    judges = ", ".join(map(str, given)) if isinstance(given, Sequence) else ""
    lines = [f"written by  {value('model')}   audited by  {judges}   probe  {value('probe') or 'none'}"]
    if index := manifest.index:
        named = f"{index['encoder']}, " if index.get("encoder") else ""
        lines.append(f"duplicates  {named}{index['index']}")
    lines += _extras(manifest)
    clock = [f"{stage} {manifest.seconds[stage]:.1f} s" for stage in STAGES if stage in manifest.seconds]
    lines.append("time        " + "  ".join(clock))
    for stage, reasons in manifest.reasons.items():
        if stage != "select":  # "not among the most diverse" is no fault to look at
            first = list(reasons.items())[:MOST_REASONS]
            said = ", ".join(f"{plain(reason)} {count}" for reason, count in first)
            lines.append(f"dropped     {stage}: {said}")
    return lines


def _extras(manifest: DatasetManifest) -> list[str]:
    """The recipe that was followed, how varied the prompts are, and what the search did."""
    lines = []
    if recipe := manifest.recipe:
        ours = f"; {len(recipe.ours)} points that it does not tell are ours (dataset/README.md)"
        lines.append(f"recipe      {recipe.name} ({recipe.source}){ours if recipe.ours else ''}")
    if manifest.distinct_2 is not None:
        lines.append(f"distinct-2  {manifest.distinct_2:.3f} over the benign prompts")
    if told := manifest.search:
        edits = ", ".join(f"{kind} {count}" for kind, count in told.kept.items()) or "none"
        lines.append(
            f"search      {told.calls:,} calls of the surrogate in {counted(told.rounds, 'round')}; refused "
            f"before {told.refused_before}, after {told.refused_after} of {told.prompts}; edits kept: {edits}"
        )
    return lines


def _gold(manifest: DatasetManifest) -> list[str]:
    """The number and the cost of the gold items, and the judges that were not tested."""
    gold = manifest.gold
    if gold is None:
        return []
    calls = manifest.calls.purposes.get(GOLD_PURPOSE, Calls())
    made = calls.requests + calls.cached
    lines = []
    if gold.items:
        sources = ", ".join(dict.fromkeys(gold.sources.values()))
        cost = f", US${money(calls.cost)}" if calls.cost else ""
        lines = [f"gold items  {gold.items} from {plain(sources)}: {made} calls{cost}"]
    untested = [f"{plain(judge.judge)} {plain(in_words(judge))}" for judge in gold.judges if judge.untested]
    return lines + [f"judge       {line}" for line in untested]


def _stages(manifest: DatasetManifest, policy: str) -> Table:
    """What went into each stage and what came out, by category and in total."""
    rows = [
        (str(row["category"]), {name: flow for name, flow in row.items() if isinstance(flow, Flow)})
        for row in manifest.stages
    ]
    stages = [stage for stage in STAGES if any(stage in flows for _, flows in rows)]
    counts = manifest.counts

    def cells(
        name: str, parts: Sequence[Mapping[str, Flow]], kept: Sequence[Mapping[str, int]]
    ) -> list[Cell]:
        ways = []
        for stage in stages:
            flows = [part[stage] for part in parts if stage in part]
            text = f"{sum(f.entered for f in flows)}/{sum(f.left for f in flows)}" if flows else "-"
            ways.append(Cell(text))
        return [
            Cell(name),
            *ways,
            *(Cell(str(sum(k[label] for k in kept))) for label in ("benign", "unsafe")),
        ]

    return Table(
        "stages",
        f"{policy} - in / out of each stage",
        ["category", *stages, "benign", "unsafe"],
        [cells(category, [flows], [counts[category]]) for category, flows in rows],
        total=cells("total", [flows for _, flows in rows], list(counts.values())),
    )


def _published(manifest: DatasetManifest) -> Table | None:
    """The counts of the recipe's source beside this run's; None without any."""
    recipe = manifest.recipe
    if recipe is None or not recipe.counts:
        return None
    stages = list(dict.fromkeys(count.stage for count in recipe.counts))
    rows: dict[str, dict[str, str]] = {}
    for count in recipe.counts:
        rows.setdefault(count.category, {})[count.stage] = f"{count.published:,} / {count.here:,}"
    cells = [[Cell(c), *(Cell(row.get(s, "-")) for s in stages)] for c, row in rows.items()]
    return Table(
        "published",
        f"published in {recipe.source or recipe.title} / this run, after each stage",
        ["category", *stages],
        [row for row in cells if row[0].text != "all"],
        total=next((row for row in cells if row[0].text == "all"), None),
    )


def _costs(calls: AllCalls) -> Table | None:
    """Calls, retries, cost and time by category, by purpose and in total; None where no call was made."""
    if not calls.requests and not calls.cached:
        return None
    return Table(
        "calls",
        "calls (their cost is an estimate)" if calls.estimated else "calls",
        ["", "calls", "retries", "US$", "model seconds"],
        [_cost(name or "(no category)", part) for name, part in _parts(calls)],
        total=_cost("total", calls),
    )


def _parts(calls: AllCalls) -> list[tuple[str, Calls]]:
    return [*calls.categories.items(), *calls.purposes.items()]


def _cost(name: str, calls: Calls) -> list[Cell]:
    made = calls.requests + calls.cached
    dollars, seconds = Cell(money(calls.cost)), Cell(f"{calls.seconds:,.1f}")
    return [Cell(name), count_cell(made), count_cell(calls.retries), dollars, seconds]


def print_unfinished(run: Run, *, as_json: bool) -> None:
    """A run without a manifest: how to go on with it."""
    if as_json:
        found = {"run": str(run.folder), "complete": False, "identity": flat_identity(run.record)}
        print_json(found)
        return
    print(f"{run.folder}: not complete. Go on with:\n    overt {run.kind} --resume {run.folder}")
    print_lines(console(), list(power_lines(run.folder)))


def print_samples(folder: Path, samples: int, drops: int) -> None:
    """Pairs of the data set per category, and dropped records with their reasons."""
    from overt.data.records import Drop, Prompt
    from overt.data.run.files import read_records

    to = console()
    benign = read_records(folder / "dataset" / "benign.jsonl", Prompt)
    unsafe = read_records(folder / "dataset" / "unsafe.jsonl", Prompt)
    twins = {p.pair_id: p for p in unsafe if p.pair_id}
    for category in dict.fromkeys(p.category for p in benign) if samples else ():
        print_lines(to, [f"\n{category}"], style="bold")
        for prompt in [p for p in benign if p.category == category][:samples]:
            print_lines(to, [f"  benign  {plain(prompt.text)}   [{plain(prompt.trigger)}]"], folded=True)
            if prompt.pair_id in twins:
                print_lines(to, [f"  unsafe  {plain(twins[prompt.pair_id].text)}"], style="dim", folded=True)
    if drops:
        print_lines(to, ["\ndropped"], style="bold")
        for drop in read_records(folder / "stages" / "drops.jsonl", Drop)[:drops]:
            print_lines(
                to, [f"  {drop.stage}: {plain(drop.reason)} {plain(drop.detail)}: {plain(drop.text)}"]
            )


# -- the command ---------------------------------------------------------------------------------------------


@command(GenerateConfig)
def generate(config: GenerateConfig) -> None:
    """No model and no key, from the policy's own words:

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

    Judges that are chat models get gold items, prompts whose label is known, among the others: the policy's
    own scenes, or those of a file. One that is right too seldom makes the exit code 3:

        overt generate --policy overt --judge openai/gpt-4.1 --gold OVERT_mini.csv --gold OVERT_unsafe.csv

    Calls that got no answer are asked again by the same command. Where there are fewer prompts than the
    policy asks for, the exit code is 3, and what each stage dropped is said. It is 1 where none is left and
    asking again would change nothing.
    """
    end(task.generate(config, make_progress(config.quiet)), as_json=config.as_json)


def end(run: Run, *, as_json: bool) -> None:
    """Prints what was made, and exits with another code than 0 where it is too little.

    Raises:
        RunError: no prompt was kept, and asking again would change nothing.
    """
    print_summary(run, as_json=as_json)
    manifest = run.dataset
    # A shard may have no category.
    asked = manifest.missing or shard_of(run.record) is None
    if not manifest.kept and not manifest.retriable and asked:
        raise RunError(
            "no prompt was kept: " + ("; ".join(manifest.why_short) or "none was asked for"),
            where=str(run.folder),
            fix=f"Look at what was dropped: overt show {run.folder} --drops 20",
        )
    if manifest.missing or (manifest.gold is not None and manifest.gold.trusted is False):
        raise typer.Exit(3)
