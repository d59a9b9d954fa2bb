"""Tables of the model in `overt.data.table_model` for the terminal.

All text is printed plain, with control characters taken out, so that hostile text can neither style nor drive
the terminal.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from overt.data.table_model import Cell, Table
from overt.data.text import plain

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable

STYLES: Mapping[str, str] = {"worse": "red", "better": "green"}  # by Cell.heat


def console() -> Console:
    """The terminal, without rich's guesses at what to colour."""
    from rich.console import Console

    return Console(highlight=False)


def cell_text(cell: Cell) -> str:
    """`12.3% [10.1, 14.8]`; a dash where there is no figure."""
    if cell.muted:
        return "-"
    text = plain(cell.text)
    if cell.span is not None:
        text = f"{text} [{', '.join(cell.span)}]"
    # In figures a plain minus, as programs read it.
    return text.replace("\u2212", "-") if cell.is_figure else text


def print_table(to: Console, table: Table) -> None:
    """One table; its caption is not printed. The last section is the total."""
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(table.columns):
        right = index >= table.numeric_from
        drawn.add_column(Text(plain(column)), justify="right" if right else "left", no_wrap=True)
    for row in table.rows:
        drawn.add_row(*(Text(cell_text(cell), style=STYLES.get(cell.heat, "")) for cell in row))
    if table.total is not None:
        drawn.add_section()
        drawn.add_row(*(Text(cell_text(cell), style=STYLES.get(cell.heat, "")) for cell in table.total))
    print_whole(to, drawn)


def print_whole(to: Console, table: RichTable) -> None:
    """Prints a rich table at its full width, also to files and pipes: a wrapped line is readable, a cut
    figure is not."""
    before = to.width
    needed = to.measure(table, options=to.options.update(max_width=10_000)).maximum
    to.width = max(before, needed)
    try:
        to.print(table)
    finally:
        to.width = before


def print_lines(to: Console, lines: Sequence[str], style: str = "", *, folded: bool = False) -> None:
    """Lines of text; `folded` breaks them between words at the width of the terminal."""
    from rich.text import Text

    for line in lines:
        to.print(Text(line, style=style), soft_wrap=not folded)


def print_text(text: str) -> None:
    """Writes text to stdout; characters that its encoding lacks become escapes."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))


def print_json(data: object) -> None:
    print_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n")
