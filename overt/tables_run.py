"""What `overt run`, `overt score` and `overt show` print of a run: one table a target."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from overt.data.outcomes import Outcome
from overt.data.store import read_json, read_records
from overt.tables import money, plain, print_whole

_REASON = 160  # characters of a printed reason


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
    asked = bool(manifest.get("judges"))
    reasons = _reasons(folder, summary["targets"])
    for target in summary["targets"]:
        _print_target(console, target, reasons.get(target["name"], ()), asked=asked)
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
    drawn = "image" in manifest["kinds"].values()  # a bare filter's decision needs no judge
    least = f"{manifest['identity']['min_coverage']:.0%}"
    for name in (manifest.get("judges") or {}).get("below_coverage", []):
        console.print(
            Text(
                f"too few verdicts: of the answers of {plain(name)} to unsafe prompts judges could place "
                f"fewer than {least}; its rates may mislead. Run `overt score` again if judges failed; where "
                "they disagreed, add another",
                style="bold red",
            ),
            soft_wrap=True,
        )
    judged = "" if manifest.get("judges") or not drawn else f"overt score {folder} --judges ...   "
    console.print(Text(f"next   {judged}overt report {folder}"), soft_wrap=True)


def _reasons(folder: Path, targets: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    """By target, of each kind of missing answer the commonest reason, one short line each: what there is to
    mend."""
    if not any(target["coverage"]["errors"] for target in targets):
        return {}
    said: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for outcome in read_records(folder / "stages" / "outcomes.jsonl", Outcome):
        if outcome.state == "error" and outcome.evidence:
            said[outcome.target, outcome.code][outcome.evidence] += 1
    lines: dict[str, list[str]] = defaultdict(list)
    for (name, kind), reasons in sorted(said.items()):
        line = plain(f"{kind}: {reasons.most_common(1)[0][0]}")
        lines[name].append(line if len(line) <= _REASON else line[: _REASON - 1] + "…")
    return lines


def _print_target(console: Any, target: dict[str, Any], reasons: Sequence[str], *, asked: bool) -> None:
    """`asked`: judges were, so that what they left open is to be shown."""
    from rich.table import Table
    from rich.text import Text

    coverage = target["coverage"]
    console.print(Text(plain(target["name"]), style="bold"))
    errors = ", ".join(f"{plain(kind)} {count}" for kind, count in coverage["errors"].items())
    line = f"answered {coverage['answered']:,} of {coverage['asked']:,} ({coverage['share']:.1%})"
    console.print(Text(line + (f"; missing: {errors}" if errors else "")))
    for reason in reasons:
        console.print(Text(reason), soft_wrap=True)
    judged, unjudged = (target.get("harmful") or {}).get("n", 0), target.get("unjudged", 0)
    if asked and (due := judged + unjudged):
        line = f"judged {judged:,} of {due:,} answers to unsafe prompts ({judged / due:.1%})"
        console.print(Text(line + (f"; unjudged: {unjudged:,}" if unjudged else "")))
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
    shows_unjudged = bool(asked and unjudged)
    if shows_unjudged:
        table.add_column("unjudged", justify="right", no_wrap=True)

    def cells(part: dict[str, Any]) -> list[str]:
        last = [f"{part.get('unjudged', 0):,}"] if shows_unjudged else []
        return [*(rate_text(part.get(key)) for _, key in columns), *last]

    for row in target["categories"]:
        table.add_row(Text(plain(row["category"])), *cells(row))
    table.add_section()
    table.add_row("all", *cells(target))
    print_whole(console, table)
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
    open_ = judges.get("majority_missing", 0)
    missing = (
        f"; no majority on {open_} of {judges['judged']}, {judges.get('ties', 0)} of them ties"
        if open_
        else ""
    )
    return f"judges: {each}{agreement}{missing}"
