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
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    identity = manifest["identity"]
    table = Table(
        title=f"{identity['policy']['name']} - in / out of each stage", title_justify="left", box=None
    )
    table.add_column("category")
    rows = manifest["stages"]
    stages = [s for s in STAGES if any(s in row for row in rows)]
    for stage in stages:
        table.add_column(stage, justify="right")
    for name in ("benign", "unsafe", "calls", "US$", "model s"):
        table.add_column(name, justify="right")
    by_category = manifest["calls"].get("categories", {})
    total: dict[str, list[float]] = {}

    def cells(name: str, row: dict[str, Any], counts: dict[str, int], spent: dict[str, Any]) -> list[str]:
        found = [name]
        for stage in stages:
            pair = row.get(stage)
            if pair:
                sums = total.setdefault(stage, [0, 0])
                sums[0] += pair["in"]
                sums[1] += pair["out"]
            found.append(f"{pair['in']}/{pair['out']}" if pair else "-")
        found += [str(counts["benign"]), str(counts["unsafe"])]
        found += [
            f"{spent.get('requests', 0) + spent.get('cached', 0):,}",
            money(spent.get("cost")),
            f"{spent.get('seconds', 0):,.1f}",
        ]
        return found

    for row in rows:
        id_ = row["category"]
        table.add_row(*cells(id_, row, manifest["counts"][id_], by_category.get(id_, {})))
    everything = manifest["calls"]
    table.add_section()
    table.add_row(
        "total",
        *[f"{int(total[s][0])}/{int(total[s][1])}" if s in total else "-" for s in stages],
        str(sum(c["benign"] for c in manifest["counts"].values())),
        str(sum(c["unsafe"] for c in manifest["counts"].values())),
        f"{everything.get('requests', 0) + everything.get('cached', 0):,}",
        money(everything.get("cost")),
        f"{everything.get('seconds', 0):,.1f}",
    )
    console.print(table)
    console.print()
    judges = ", ".join(identity["judges"])
    console.print(
        Text(f"written by  {identity['model']}   audited by  {judges}   probe  {identity['probe'] or 'none'}")
    )
    if manifest.get("index"):
        index = manifest["index"]
        console.print(Text(f"duplicates  {index.get('kind', '')} {index.get('encoder') or ''}".rstrip()))
    if manifest.get("distinct_2") is not None:
        console.print(Text(f"distinct-2  {manifest['distinct_2']:.3f} over the benign prompts"))
    spent = "  ".join(f"{name} {seconds:.1f} s" for name, seconds in manifest["seconds"].items())
    console.print(Text(f"time        {spent}"))
    for stage, reasons in manifest.get("reasons", {}).items():
        if stage == "select":
            continue  # "not among the most diverse" is no fault to look at
        said = ", ".join(f"{plain(reason)} {count}" for reason, count in list(reasons.items())[:5])
        console.print(Text(f"dropped     {stage}: {said}"))
    for note in manifest.get("notes", []):
        console.print(Text(f"note        {note}", style="yellow"))
    console.print()
    console.print(Text(f"data set    {folder / 'dataset'}"), soft_wrap=True)
    console.print(Text(f"next        overt show {folder} --samples 5"), soft_wrap=True)


def print_unfinished(folder: Path, identity: dict[str, Any], *, as_json: bool) -> None:
    """A run without a manifest: how far it is, and how to go on."""
    if as_json:
        print(json.dumps({"run": str(folder), "complete": False, "identity": identity}, indent=2))
        return
    print(f"{folder}: not complete. Go on with:\n    overt generate --resume {folder}")


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
