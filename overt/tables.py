"""What the commands print: tables for people, JSON for programs. Prompts are printed as plain text,
with control characters taken out, so that hostile text can neither style nor drive the terminal.
"""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

from overt.data.account import STAGES


def plain(text: str) -> str:
    """Text that is safe to print: no control or format characters (escape codes, bidi marks)."""
    kept = (" " if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} else c for c in text)
    return " ".join("".join(kept).split())


def print_summary(folder: Path, manifest: dict[str, Any], *, as_json: bool) -> None:
    """The account of a complete run."""
    if as_json:
        print(json.dumps({"run": str(folder), **manifest}, ensure_ascii=False, indent=2, sort_keys=True))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    identity = manifest["identity"]
    heads, rows = _stage_rows(manifest)
    _print_table(f"{identity['policy']['name']} - in / out of each stage", heads, rows)
    if spent := _cost_rows(manifest["calls"]):
        _print_table("calls", ["", "calls", "retries", "US$", "model seconds"], spent)
    judges = ", ".join(identity["judges"])
    console.print(
        Text(f"written by  {identity['model']}   audited by  {judges}   probe  {identity['probe'] or 'none'}")
    )
    if manifest.get("index"):
        index = manifest["index"]
        named = f"{index['encoder']}, " if index.get("encoder") else ""
        console.print(Text(f"duplicates  {named}{index['index']}"))
    if manifest.get("distinct_2") is not None:
        console.print(Text(f"distinct-2  {manifest['distinct_2']:.3f} over the benign prompts"))
    clock = [(stage, manifest["seconds"][stage]) for stage in STAGES if stage in manifest["seconds"]]
    console.print(Text("time        " + "  ".join(f"{stage} {seconds:.1f} s" for stage, seconds in clock)))
    for stage, reasons in manifest.get("reasons", {}).items():
        if stage == "select":
            continue  # "not among the most diverse" is no fault to look at
        said = ", ".join(f"{plain(reason)} {count}" for reason, count in list(reasons.items())[:5])
        console.print(Text(f"dropped     {stage}: {said}"), soft_wrap=True)
    for note in manifest.get("notes", []):
        console.print(Text(f"note        {note}", style="yellow"), soft_wrap=True)
    console.print()
    console.print(Text(f"data set    {folder / 'dataset'}"), soft_wrap=True)
    console.print(Text(f"next        overt show {folder} --samples 5"), soft_wrap=True)


def _stage_rows(manifest: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """The heads and the rows, total last, of the table of what went in and out of each stage."""
    rows, counts = manifest["stages"], manifest["counts"]
    stages = [s for s in STAGES if any(s in row for row in rows)]
    total: dict[str, Any] = {
        s: {way: sum(row[s][way] for row in rows if s in row) for way in ("in", "out")} for s in stages
    }
    everything = {label: sum(c[label] for c in counts.values()) for label in ("benign", "unsafe")}

    def cells(name: str, row: dict[str, Any], kept: dict[str, int]) -> list[str]:
        ways = [f"{row[s]['in']}/{row[s]['out']}" if s in row else "-" for s in stages]
        return [name, *ways, str(kept["benign"]), str(kept["unsafe"])]

    table = [cells(row["category"], row, counts[row["category"]]) for row in rows]
    return ["category", *stages, "benign", "unsafe"], [*table, cells("total", total, everything)]


def _cost_rows(calls: dict[str, Any]) -> list[list[str]]:
    """Calls, retries, cost and time by category, by purpose and in total; empty where none was made."""

    def cells(name: str, spent: dict[str, Any]) -> list[str]:
        made = spent.get("requests", 0) + spent.get("cached", 0)
        seconds = f"{spent.get('seconds', 0):,.1f}"
        return [name, f"{made:,}", f"{spent.get('retries', 0):,}", money(spent.get("cost")), seconds]

    if not calls.get("requests") and not calls.get("cached"):
        return []
    parts = [*calls.get("categories", {}).items(), *calls.get("purposes", {}).items()]
    return [*(cells(name or "(no category)", spent) for name, spent in parts), cells("total", calls)]


def _print_table(title: str, heads: list[str], rows: list[list[str]]) -> None:
    """Columns two blanks apart, never cut: a line that the terminal wraps can still be read."""
    widths = [max(len(row[i]) for row in (heads, *rows)) for i in range(len(heads))]
    print(title)
    for row in (heads, *rows):
        cells = [
            f"{row[0]:<{widths[0]}}",
            *(f"{cell:>{w}}" for cell, w in zip(row[1:], widths[1:], strict=True)),
        ]
        print("  ".join(cells).rstrip())
    print()


def print_whole(console: Any, table: Any) -> None:
    """A table of rich at the width that it needs: a line that the terminal wraps can still be read, a figure
    that was cut cannot. In a file or a pipe, too, which rich takes to be 80 columns wide."""
    before = console.width
    needed = console.measure(table, options=console.options.update(max_width=10_000)).maximum
    console.width = max(before, needed)
    try:
        console.print(table)
    finally:
        console.width = before


def print_unfinished(folder: Path, identity: dict[str, Any], *, as_json: bool) -> None:
    """A run without a manifest: how far it is, and how to go on."""
    if as_json:
        print(json.dumps({"run": str(folder), "complete": False, "identity": identity}, indent=2))
        return
    kind = identity.get("kind", "generate")
    print(f"{folder}: not complete. Go on with:\n    overt {kind} --resume {folder}")


def print_samples(folder: Path, samples: int, drops: int) -> None:
    """Pairs of the data set per category, and dropped records with their reasons."""
    from rich.console import Console
    from rich.text import Text

    from overt.data.records import Drop, Prompt
    from overt.data.store import read_records

    console = Console(highlight=False)
    benign = read_records(folder / "dataset" / "benign.jsonl", Prompt)
    unsafe = read_records(folder / "dataset" / "unsafe.jsonl", Prompt)
    twins = {p.pair_id: p for p in unsafe if p.pair_id}
    for category in dict.fromkeys(p.category for p in benign) if samples else ():
        console.print(Text(f"\n{category}", style="bold"))
        for prompt in [p for p in benign if p.category == category][:samples]:
            console.print(Text(f"  benign  {plain(prompt.text)}   [{plain(prompt.trigger)}]"))
            if prompt.pair_id in twins:
                console.print(Text(f"  unsafe  {plain(twins[prompt.pair_id].text)}", style="dim"))
    if drops:
        console.print(Text("\ndropped", style="bold"))
        for drop in read_records(folder / "stages" / "drops.jsonl", Drop)[:drops]:
            said = f"  {drop.stage}: {plain(drop.reason)} {plain(drop.detail)}: {plain(drop.text)}"
            console.print(Text(said))


def money(cost: float | None) -> str:
    """US dollars: four digits for cents, a dash for nothing."""
    return "-" if not cost else f"{cost:,.4f}" if cost < 1 else f"{cost:,.2f}"
