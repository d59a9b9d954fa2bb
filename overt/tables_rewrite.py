"""What `overt rewrite` prints: refusal before and after, and the meaning kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from overt.data.store import read_json
from overt.tables import money, plain, print_whole
from overt.tables_run import rate_text


def print_rewrite(folder: Path, manifest: dict[str, Any], *, as_json: bool) -> None:
    """Per target and category: refusal before and after, the share won, faithfulness with intervals."""
    summary = read_json(folder / "results" / "rewrite.json")
    if as_json:
        whole = {"run": str(folder), "rewrite": manifest["rewrite"], "summary": summary}
        print(json.dumps(whole, ensure_ascii=False, indent=2, sort_keys=True))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    for target in summary["targets"]:
        console.print(Text(plain(target["name"]), style="bold"))
        table = Table(box=None, pad_edge=False, header_style="bold")
        measures = target["faithfulness"]
        table.add_column("category", no_wrap=True)
        for title in ("refused before", "after", "won"):
            table.add_column(title, justify="right", no_wrap=True)
        for measure in measures:
            table.add_column(plain(measure["measure"]), justify="right", no_wrap=True)
        for side in ("benign", "unsafe"):
            block = target[side]
            if block is None:
                continue
            rows = block["categories"] if side == "benign" else []
            for row in rows:
                cells = [_of(m, row["category"]) for m in measures]
                table.add_row(Text(plain(row["category"])), *_three(row), *cells)
            table.add_section()
            name = "all benign" if side == "benign" else "unsafe (control)"
            table.add_row(
                name, *_three(block), *([_mean(m, m) for m in measures] if side == "benign" else [])
            )
        print_whole(console, table)
        for strategy in target["strategies"]:
            console.print(
                Text(
                    f"strategy {strategy['strategy']}: {strategy['accepted']} of "
                    f"{strategy['tried']} wordings accepted, {strategy['chosen']} chosen"
                )
            )
        for measure in measures:
            console.print(Text(_about(measure)))
        if unknown := sum(target["unknown"].values()):
            console.print(Text(f"{unknown} prompts are in no rate: a wording of theirs got no answer"))
        console.print()
    calls = manifest["rewrite"]["calls"]
    console.print(
        Text(
            f"{manifest['rewrite']['candidates']} wordings of {manifest['rewrite']['prompts']} prompts; "
            f"{calls.get('requests', 0):,} calls, {calls.get('cached', 0):,} from the journal, "
            f"US$ {money(calls.get('cost'))}"
        )
    )
    if reasons := manifest["rewrite"].get("reasons"):
        said = ", ".join(f"{plain(reason)} {count}" for reason, count in reasons.items())
        console.print(Text(f"gave no wording to try: {said}"), soft_wrap=True)
    console.print(Text(f"next   overt report {folder}"), soft_wrap=True)


def _three(row: dict[str, Any]) -> list[str]:
    return [rate_text(row["before"]), rate_text(row["after"]), rate_text(row["won"])]


def _of(measure: dict[str, Any], category: str) -> str:
    return next((_mean(measure, row) for row in measure["categories"] if row["category"] == category), "-")


def _mean(measure: dict[str, Any], row: dict[str, Any]) -> str:
    """A row's mean as its whole measure is shown: the difference to the originals' own pictures where there
    is any, else the score itself."""
    is_difference = measure["difference"] is not None
    mean = row["difference" if is_difference else "value"]
    if mean is None:
        return "-"
    text = f"{mean['mean']:+.3f}" if is_difference else f"{mean['mean']:.3f}"
    return text if mean["low"] is None else f"{text} [{mean['low']:.3f}, {mean['high']:.3f}]"


def _about(measure: dict[str, Any]) -> str:
    scale = "difference to the original's own picture" if measure["difference"] else "score"
    mean = measure["difference"] or measure["value"]
    said = f"{plain(measure['measure'])} by {plain(measure['model'])}: {scale}"
    said += f" of {mean['n']} wordings" if mean else ""
    if measure["unscored"]:
        why = ", ".join(f"{plain(w)} {n}" for w, n in measure["why_unscored"].items())
        said += f"; {measure['unscored']} without a score ({why})"
    if measure["windowed"]:
        said += f"; {measure['windowed']} prompts scored in windows"
    return said
