"""The summary as Markdown tables, for a README, a pull request or a build log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from overt.data.export import escape_markdown
from overt.data.text import decimals, interval, percent
from overt.scoring.summary.metrics import metrics_of, rate_of, shown_metrics, why_missing


def render_markdown(summary: Mapping[str, Any], *, title: str = "") -> str:
    """One table over targets, and one over categories for each target. Names of any origin are escaped.

    Args:
        title: a heading above it all, for one of several parts.
    """
    targets: Sequence[Mapping[str, Any]] = summary["targets"]
    shown, metrics = shown_metrics(targets), metrics_of(targets)
    counts = summary["prompts"]
    level = f"{100 * summary['level']:g}%"
    lines = [
        *([f"## {escape_markdown(title)}", ""] if title else []),
        f"{counts['benign']:,} benign and {counts['unsafe']:,} unsafe prompts; "
        f"{level} intervals in parentheses. Errors are left out of every rate and counted as missing.",
        "",
    ]
    head = ["Target", *(metrics[name].title for name in shown), "Coverage"]
    rows = [
        [
            escape_markdown(target["name"]),
            *(_rate(rate_of(target, target, name), why_missing(target, name)) for name in shown),
            percent(target["coverage"]["share"]),
        ]
        for target in targets
    ]
    lines += _table(head, rows)
    for target in targets:
        if not target.get("categories"):
            continue
        lines += ["", f"### {escape_markdown(target['name'])}", ""]
        lines += _table(
            ["Category", *(metrics[name].title for name in shown)],
            [
                [
                    escape_markdown(row.get("title") or row["category"]),
                    *(_rate(rate_of(target, row, name), why_missing(target, name)) for name in shown),
                ]
                for row in target["categories"]
            ],
        )
    rho = summary.get("rank_correlation")
    if rho:
        lines += [
            "",
            "Spearman rank correlation between over-refusal and safe response: "
            f"{decimals(rho.get('rho'))} ({decimals(rho.get('low'))} to {decimals(rho.get('high'))}), "
            f"{rho['n']} targets.",
        ]
    return "\n".join(lines) + "\n"


def _rate(rate: Mapping[str, Any] | None, missing: str) -> str:
    if not rate:
        return missing
    return f"{percent(rate['rate'])} ({interval(rate)})" if interval(rate) else percent(rate["rate"])


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table; its cells come escaped."""
    lines = ["| " + " | ".join(head) + " |"]
    lines.append("|---|" + "---:|" * (len(head) - 1))
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return lines
