"""What `overt generate` and `overt show` print of a run that made a data set."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from overt.data.account import STAGES
from overt.data.table_model import Cell, Table, count_cell
from overt.data.text import money, plain
from overt.tables import console, print_lines, print_table

MOST_REASONS = 5  # that are printed of each stage


def print_summary(folder: Path, manifest: Mapping[str, Any], *, as_json: bool) -> None:
    """The account of a complete run: stages, costs, judges, time, reasons, notes, and what comes next."""
    if as_json:
        print(json.dumps({"run": str(folder), **manifest}, ensure_ascii=False, indent=2, sort_keys=True))
        return
    to = console()
    identity = manifest["identity"]
    for table in (_stages(manifest, identity["policy"]["name"]), _costs(manifest["calls"])):
        if table is not None:
            to.print(table.caption, markup=False)
            print_table(to, table)
            to.print()
    print_lines(to, _facts(manifest))
    print_lines(to, [f"note        {note}" for note in manifest.get("notes", [])], style="yellow")
    to.print()
    print_lines(to, [f"data set    {folder / 'dataset'}", f"next        overt show {folder} --samples 5"])


def _facts(manifest: Mapping[str, Any]) -> list[str]:
    """One line each: who wrote and judged, how near-duplicates were found, the time, the reasons of drops."""
    identity = manifest["identity"]
    judges, probe = ", ".join(identity["judges"]), identity["probe"] or "none"
    lines = [f"written by  {identity['model']}   audited by  {judges}   probe  {probe}"]
    if index := manifest.get("index"):
        named = f"{index['encoder']}, " if index.get("encoder") else ""
        lines.append(f"duplicates  {named}{index['index']}")
    if manifest.get("distinct_2") is not None:
        lines.append(f"distinct-2  {manifest['distinct_2']:.3f} over the benign prompts")
    clock = [(stage, manifest["seconds"][stage]) for stage in STAGES if stage in manifest["seconds"]]
    lines.append("time        " + "  ".join(f"{stage} {seconds:.1f} s" for stage, seconds in clock))
    for stage, reasons in manifest.get("reasons", {}).items():
        if stage != "select":  # "not among the most diverse" is no fault to look at
            first = list(reasons.items())[:MOST_REASONS]
            said = ", ".join(f"{plain(reason)} {count}" for reason, count in first)
            lines.append(f"dropped     {stage}: {said}")
    return lines


def _stages(manifest: Mapping[str, Any], policy: str) -> Table:
    """What went into each stage and what came out, by category and in total."""
    rows, counts = manifest["stages"], manifest["counts"]
    stages = [s for s in STAGES if any(s in row for row in rows)]
    sums = {s: {way: sum(row[s][way] for row in rows if s in row) for way in ("in", "out")} for s in stages}
    kept = {label: sum(c[label] for c in counts.values()) for label in ("benign", "unsafe")}

    def cells(name: str, row: Mapping[str, Any], found: Mapping[str, int]) -> list[Cell]:
        ways = [Cell(f"{row[s]['in']}/{row[s]['out']}" if s in row else "-") for s in stages]
        return [Cell(name), *ways, Cell(str(found["benign"])), Cell(str(found["unsafe"]))]

    return Table(
        "stages",
        f"{policy} - in / out of each stage",
        ["category", *stages, "benign", "unsafe"],
        [cells(row["category"], row, counts[row["category"]]) for row in rows],
        total=cells("total", sums, kept),
    )


def _costs(calls: Mapping[str, Any]) -> Table | None:
    """Calls, retries, cost and time by category, by purpose and in total; None where no call was made."""

    def cells(name: str, spent: Mapping[str, Any]) -> list[Cell]:
        made = spent.get("requests", 0) + spent.get("cached", 0)
        seconds = Cell(f"{spent.get('seconds', 0):,.1f}")
        return [
            Cell(name),
            count_cell(made),
            count_cell(spent.get("retries", 0)),
            Cell(money(spent.get("cost"))),
            seconds,
        ]

    if not calls.get("requests") and not calls.get("cached"):
        return None
    parts = [*calls.get("categories", {}).items(), *calls.get("purposes", {}).items()]
    return Table(
        "calls",
        "calls",
        ["", "calls", "retries", "US$", "model seconds"],
        [cells(name or "(no category)", spent) for name, spent in parts],
        total=cells("total", calls),
    )


def print_unfinished(folder: Path, identity: Mapping[str, Any], *, as_json: bool) -> None:
    """A run without a manifest: how to go on with it."""
    if as_json:
        print(json.dumps({"run": str(folder), "complete": False, "identity": identity}, indent=2))
        return
    kind = identity.get("kind", "generate")
    print(f"{folder}: not complete. Go on with:\n    overt {kind} --resume {folder}")


def print_samples(folder: Path, samples: int, drops: int) -> None:
    """Pairs of the data set per category, and dropped records with their reasons."""
    from overt.data.records import Drop, Prompt
    from overt.data.store import read_records

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
