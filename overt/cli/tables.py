"""Tables of the model in `overt.data.table_model` for the terminal.

All text is printed plain, with control characters taken out, so that hostile text can neither style nor drive
the terminal.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

from overt.data.secrets import storable_json
from overt.data.table_model import Cell, Table
from overt.data.table_model import counted_cell as counted_cell
from overt.data.text import plain, visible, visible_json

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, ConsoleRenderable
    from rich.segment import Segment
    from rich.table import Table as RichTable

STYLES: Mapping[str, str] = {"worse": "red", "better": "green"}  # by Cell.heat


def console() -> Console:
    """The terminal, without rich's guesses at what to colour. Texts are printed without control characters,
    so that only rich itself styles and drives the terminal."""
    from rich.console import Console

    made = Console(highlight=False)
    made.push_render_hook(_Cleaning())  # type: ignore[arg-type]  # a RenderHook by its one method
    return made


class _Cleaning:
    """A hook of rich's console."""

    def process_renderables(self, renderables: Sequence[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Clean(one) for one in renderables]


class _Clean:
    """What is printed, with the characters that hide or drive made visible."""

    def __init__(self, inner: ConsoleRenderable) -> None:
        self._inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        from rich.segment import Segment

        for text, style, control in console.render(self._inner, options):
            yield Segment(text if control else visible(text), style, control)


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


_PIPED = 160  # characters of a line of a folded table where nobody says how wide it may be
_GAP = "  "  # between columns


def print_folded(to: Console, table: Table) -> None:
    """One table; where it is wider than the terminal, in parts below each other, each with as many columns as
    there is room for. Each part begins with the names of the rows; of two columns of names the first stands
    as a line above the rows that share it. A table without rows is not printed."""
    if not table.rows:
        return
    room = to.width if to.is_terminal else max(to.width, _PIPED)
    places = range(len(table.columns))
    widths = [_width(table, place) for place in places]
    if sum(widths) + len(_GAP) * (len(widths) - 1) <= room:
        print_table(to, table)
        return
    widths = [_width(table, place, breaks_title=True) for place in places]
    name = table.numeric_from - 1
    parts: list[list[int]] = [[]]
    taken = widths[name] + len(_INDENT)
    for place in range(table.numeric_from, len(table.columns)):
        if parts[-1] and taken + len(_GAP) + widths[place] > room:
            parts.append([])
            taken = widths[name] + len(_INDENT)
        parts[-1].append(place)
        taken += len(_GAP) + widths[place]
    for number, part in enumerate(parts):
        print_lines(to, ["", *_part(table, name, part, widths)][0 if number else 1 :])


_INDENT = "  "  # of rows below a line that names what they share


def _part(table: Table, name: int, part: Sequence[int], widths: Sequence[int]) -> Iterator[str]:
    """The lines of some columns of a table; their titles are broken between words."""

    def line(first: str, *rest: str) -> str:
        texts = [_padded(first, -widths[name])]
        texts += [_padded(text, widths[place]) for text, place in zip(rest, part, strict=True)]
        return _GAP.join(texts).rstrip()

    indent = _INDENT * bool(name)
    titles = [wrap(plain(table.columns[place]), widths[place]) or [""] for place in (name, *part)]
    height = max(map(len, titles))
    for words in zip(*([""] * (height - len(title)) + title for title in titles), strict=True):
        yield indent + line(*words)
    above: list[str] = []
    for row in table.rows:
        shared = [cell_text(cell) for cell in row[:name]]
        if shared != above:
            yield _GAP.join(shared)
            above = shared
        yield indent + line(*(cell_text(row[place]) for place in (name, *part)))


def _padded(text: str, width: int) -> str:
    """The text with blanks before it up to a width, or behind it where the width is negative."""
    from rich.cells import cell_len

    blanks = " " * (abs(width) - cell_len(text))
    return text + blanks if width < 0 else blanks + text


_TITLE = 14  # characters of a broken title's line, where the figures below it are no wider


def _width(table: Table, place: int, *, breaks_title: bool = False) -> int:
    from rich.cells import cell_len

    title = plain(table.columns[place])
    least = wrap(title, _TITLE, break_long_words=False) if breaks_title else [title]
    return max(map(cell_len, [*least, "", *(cell_text(row[place]) for row in table.rows)]))


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


def print_json(data: object, *, sort_keys: bool = False) -> None:
    """Writes JSON to stdout, with an escape for each character that could drive a terminal."""
    print_text(visible_json(storable_json(data, indent=2, sort_keys=sort_keys)) + "\n")
