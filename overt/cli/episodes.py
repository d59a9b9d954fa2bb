"""The figures of a suite of many turns on the terminal: how the episodes ended, then every table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from overt.cli.tables import print_folded, print_lines
from overt.data.results.episodes import EpisodesSummary
from overt.data.text import plain
from overt.report.sections.episodes import notes_of, played_lines, printed_cell, section_table

if TYPE_CHECKING:
    from rich.console import Console

MOST_ROWS = 60  # of a printed table; the report has more


def print_episodes(to: Console, found: EpisodesSummary) -> None:
    """The warnings, how the episodes of each target ended, and every section as a table."""
    print_lines(to, [plain(found.title)], style="bold")
    print_lines(to, [plain(warning) for warning in found.warnings], style="yellow", folded=True)
    for target in found.targets:
        print_lines(to, ["", plain(target.target)], style="bold")
        print_lines(to, [plain(line) for line in played_lines(target)], folded=True)
    for section in found.sections:
        table = section_table(section, section.id, printed_cell, MOST_ROWS)
        print_lines(to, ["", plain(table.caption)], style="bold")
        print_lines(to, [plain(line) for line in section.text], folded=True)
        print_lines(to, [""] * bool(section.text))
        print_folded(to, table)
        if (more := len(section.rows) - MOST_ROWS) > 0:
            print_lines(to, [f"{more:,} more rows are in the report"])
        print_lines(to, [plain(line) for line in notes_of(section)], folded=True)
    print_lines(to, ["", "What each episode counts as beside single prompts"], style="bold")
