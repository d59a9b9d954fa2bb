"""What `overt compare` prints: what changed, by metric and category, and the prompts that flipped."""

from __future__ import annotations

from overt.cli.output.tables import console, print_lines, print_table
from overt.data.results.comparison import Comparison
from overt.data.text import plain
from overt.report.comparison import comparison_table


def print_comparison(found: Comparison, *, flips: int) -> None:
    """All tables, the notes, and the first `flips` prompts that flipped."""
    to = console()
    for row in found.differences:
        table = comparison_table(row)
        print_lines(to, [plain(table.caption)], style="bold")
        print_table(to, table)
        to.print()
    print_lines(to, [f"note   {plain(note)}" for note in found.notes], style="yellow")
    if any(pair.shared for pair in found.pairs):
        print_lines(to, [f"{len(found.flips)} prompts flipped"])
    for flip in found.flips[:flips]:
        mark, style = ("worse ", "red") if flip.worse else ("better", "green")
        said = f"{mark} {flip.label:6} {flip.before} -> {flip.after}: {plain(flip.text)}"
        print_lines(to, [said], style=style, folded=True)
