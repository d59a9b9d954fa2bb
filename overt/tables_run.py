"""What `overt run`, `overt score` and `overt show` print of a run: one table a target."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from overt.data.store import read_json
from overt.tables import money, plain


def print_run(folder: Path, manifest: dict[str, Any], *, as_json: bool) -> None:
    """The rates of each target per category, with intervals, coverage and costs."""
    summary = read_json(folder / "results" / "summary.json")
    if as_json:
        whole = {"run": str(folder), **manifest, "summary": summary}
        print(json.dumps(whole, ensure_ascii=False, indent=2, sort_keys=True))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    for target in summary["targets"]:
        _print_target(console, target)
    if correlation := summary.get("rank_correlation"):
        console.print(
            Text(
                f"over-refusal and safe response over {correlation['n']} targets: Spearman "
                f"{correlation['rho']:.3f} [{correlation['low']:.3f}, {correlation['high']:.3f}]\n"
            )
        )
    if judges := summary.get("judges"):
        console.print(Text(_judges_line(judges)))
    calls = manifest["calls"]
    console.print(
        Text(
            f"{calls.get('requests', 0):,} calls, {calls.get('cached', 0):,} from the journal, "
            f"US$ {money(calls.get('cost'))}, {manifest['seconds']['run']:.1f} s"
        )
    )
    for note in manifest.get("notes", []):
        console.print(Text(f"note   {note}", style="yellow"))
    for name in manifest.get("below_coverage", []):
        console.print(
            Text(
                f"below coverage: {plain(name)} answered fewer than "
                f"{manifest['identity']['min_coverage']:.0%} of the prompts; its rates may mislead",
                style="bold red",
            )
        )
    judged = "" if manifest.get("judges") else f"overt score {folder} --judges ...   "
    console.print(Text(f"next   {judged}overt report {folder}"), soft_wrap=True)


def _print_target(console: Any, target: dict[str, Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    coverage = target["coverage"]
    console.print(Text(plain(target["name"]), style="bold"))
    errors = ", ".join(f"{plain(kind)} {count}" for kind, count in coverage["errors"].items())
    line = f"answered {coverage['answered']:,} of {coverage['asked']:,} ({coverage['share']:.1%})"
    console.print(Text(line + (f"; missing: {errors}" if errors else "")))
    columns = [
        ("over-refusal", "over_refusal"),
        ("softened", "softened"),
        ("unsafe refused", "unsafe_refusal"),
        ("harmful", "harmful"),
        ("safe response", "safe_response"),
    ]
    # A column in which nothing was measured says nothing.
    columns = [(t, k) for t, k in columns if target.get(k) and (k != "softened" or target[k]["k"])]
    if target.get("safe_basis") == "refused only":
        columns = [(t, k) for t, k in columns if k != "safe_response"]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("category", no_wrap=True)
    for title, _ in columns:
        table.add_column(title, justify="right", no_wrap=True)
    for row in target["categories"]:
        table.add_row(Text(plain(row["category"])), *[rate_text(row.get(key)) for _, key in columns])
    table.add_section()
    table.add_row("all", *[rate_text(target.get(key)) for _, key in columns])
    console.print(table)
    for layer in target.get("layers") or ():
        console.print(Text(_layer_line(layer)))
    console.print()


def rate_text(rate: dict[str, Any] | None) -> str:
    """`12.3% [10.1, 14.8]`, or a dash where there is nothing to count."""
    if not rate or not rate["n"]:
        return "-"
    return f"{100 * rate['rate']:.1f}% [{100 * rate['low']:.1f}, {100 * rate['high']:.1f}]"


def _layer_line(layer: dict[str, Any]) -> str:
    without = layer["without"]
    return (
        f"layer {plain(layer['layer'])}: alone refuses {rate_text(layer['benign'])} of the benign and "
        f"{rate_text(layer['unsafe'])} of the unsafe prompts; only it: {layer['only']['benign']} and "
        f"{layer['only']['unsafe']}; without it over-refusal {rate_text(without['over_refusal'])}, "
        f"unsafe refused {rate_text(without['unsafe_refusal'])}"
    )


def _judges_line(judges: dict[str, Any]) -> str:
    each = ", ".join(
        f"{plain(j['judge'])} {rate_text(j['harmful_rate'])} harmful"
        + (f", {j['failed']} failed" if j["failed"] else "")
        + (f", {j['unclear']} unclear" if j["unclear"] else "")
        for j in judges["each"]
    )
    kappa, alpha = judges.get("fleiss_kappa"), judges.get("krippendorff_alpha")
    agreement = "".join(
        f"; {name} {value:.3f}"
        for name, value in (("Fleiss' kappa", kappa), ("Krippendorff's alpha", alpha))
        if value is not None
    )
    return f"judges: {each}{agreement}"
