"""The figures of suites of many turns as tables and sentences, whatever the environment; the terminal prints
the same tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import get_args

from overt.data.episodes import EpisodeState
from overt.data.results.episodes import Column, EpisodesSummary, Figure, Played, Row, Section
from overt.data.table_model import Cell, Table, count_cell
from overt.data.text import STAGES, decimals, is_figure, mean_limits, money, percent, percent_limits, points
from overt.report.sections.wording import counted, name_cell

MEANING = (
    "An episode is one task played by one target over many turns. Each is in exactly one state: it ended, it "
    "was refused (the service or the model refused, and what was asked was not done), the cap on turns ended "
    "it, or it is missing (an error, or an answer that could not be read); a missing one is in no rate."
)
STATES: tuple[EpisodeState, ...] = get_args(EpisodeState)
MOST_ROWS = 300  # of a table; results/episodes.json has all
OfFigure = Callable[[Figure, Column, int], Cell]  # the last is how many decimals numbers of its column have


@dataclass(frozen=True, slots=True)
class SectionView:
    """One table of figures. `meanings` has what each column counts; `plot` is the id of its plot, "" for
    none."""

    title: str
    text: Sequence[str]
    table: Table
    rows_left_out: int
    meanings: Sequence[tuple[str, str]]
    plot: str


@dataclass(frozen=True, slots=True)
class EpisodesView:
    """The episodes of one part of the page."""

    title: str
    about: str
    warnings: Sequence[str]
    played: Table
    sections: Sequence[SectionView]


def build_episodes(found: EpisodesSummary) -> EpisodesView:
    """The section's tables and sentences."""
    plots = plotted(found)
    return EpisodesView(
        found.title,
        f"Environment {found.environment}, version {found.version}; {100 * found.level:g}% intervals.",
        found.warnings,
        played_table(found.targets),
        [
            SectionView(
                section.title,
                section.text,
                _with_caption(section, section_table(section, f"episodes-{number}")),
                max(0, len(section.rows) - MOST_ROWS),
                [(column.title, column.means) for column in section.columns if column.means],
                next((name for name, one in plots.items() if one is section), ""),
            )
            for number, section in enumerate(found.sections, 1)
        ],
    )


def _with_caption(section: Section, table: Table) -> Table:
    """The table below a heading that says what it shows: its caption says by what."""
    heads = " and ".join(table.columns[: table.numeric_from]).lower()
    whose = table.caption.removeprefix(section.title).removeprefix(": ")
    return replace(table, caption=f"By {heads}" + (f", of {whose}" if whose else ""))


def plotted(found: EpisodesSummary) -> dict[str, Section]:
    """The sections that are drawn, by the name of their plot."""
    return {
        f"episodes-{number}": section
        for number, section in enumerate(found.sections, 1)
        if section.plot == "lines" and section.rows and section.columns
    }


def lines_said(section: Section) -> str:
    """What a plot shows, for those who cannot see it."""
    return f"{section.title}: a line for each target over {section.group}, with intervals."


# -- how they ended --------------------------------------------------------------------------------------


def played_table(targets: Sequence[Played]) -> Table:
    """A row for each target: in which state its episodes are, and why."""
    return Table(
        "episodes-played",
        "How the episodes ended: each is in exactly one state",
        [
            "Target", "Episodes", *map(str.capitalize, STATES), "Turns", "Refused turns", "Repaired",
            "The environment's word",
        ],
        [
            [
                name_cell(target.target),
                replace(count_cell(target.episodes), note=_cost(target.cost)),
                *(_state_cell(target, state) for state in STATES),
                count_cell(target.turns),
                replace(
                    count_cell(sum(target.refused_turns.values())), note=_listed(target.refused_turns, STAGES)
                ),
                count_cell(target.repaired),
                Cell(_listed(target.ends) or "-", muted=not target.ends),
            ]
            for target in targets
        ],
        dense=True,
    )  # fmt: skip


def _state_cell(target: Played, state: EpisodeState) -> Cell:
    more = _listed(target.missing) if state == "missing" else ""
    return replace(count_cell(target.states.get(state, 0)), note=more)


def _cost(cost: float) -> str:
    return f"US$ {money(cost)}" if cost else ""


def _listed(counts: Mapping[str, int], names: Mapping[str, str] | None = None) -> str:
    return ", ".join(f"{(names or {}).get(name, name)} {count:,}" for name, count in counts.items())


def played_lines(target: Played) -> Iterator[str]:
    """For the terminal: how the episodes of a target ended."""
    states = ", ".join(f"{target.states.get(state, 0):,} {state}" for state in STATES)
    yield f"{counted(target.episodes, 'episode')}, {counted(target.turns, 'turn')}: {states}"
    if target.ends:
        yield f"the environment's word at the end: {_listed(target.ends)}"
    if target.missing:
        yield f"missing: {_listed(target.missing)}"
    if target.refused_turns:
        refused = sum(target.refused_turns.values())
        yield f"{counted(refused, 'refused turn')}: {_listed(target.refused_turns, STAGES)}"
    if target.repaired:
        yield f"{counted(target.repaired, 'turn')} could be read only after one repair"


# -- figures ---------------------------------------------------------------------------------------------


def section_table(section: Section, id_: str, cell: OfFigure | None = None, most: int = MOST_ROWS) -> Table:
    """The figures of a section: a row for each target and group.

    Args:
        cell: makes the cell of a figure; by default with interval and counts on its second line.
        most: rows.
    """
    make = cell or figure_cell
    shows_target = len({row.target for row in section.rows}) > 1 or not _has_groups(section)
    heads = ["Target"] * shows_target + [section.group.capitalize()] * _has_groups(section)

    def named(row: Row) -> list[Cell]:
        target, group = [name_cell(row.target)], [Cell(row.group)]
        return target * shows_target + group * _has_groups(section)

    columns = list(enumerate(section.columns))
    digits = [_digits([row.figures[i] for row in section.rows if i < len(row.figures)]) for i, _ in columns]

    def figures(row: Row) -> Iterator[Cell]:
        return (
            make(row.figures[i], c, digits[i]) if i < len(row.figures) else Cell("-", muted=True)
            for i, c in columns
        )

    whose = "" if shows_target else f": {next((row.target for row in section.rows), '')}"
    return Table(
        id_,
        f"{section.title}{whose}",
        [*heads, *(column.title for column in section.columns)],
        [[*named(row), *figures(row)] for row in section.rows[:most]],
        numeric_from=len(heads),
        dense=len(section.columns) > 4,
    )


def _has_groups(section: Section) -> bool:
    return len({row.group for row in section.rows}) > 1


def figure_cell(figure: Figure, column: Column, digits: int) -> Cell:
    """A figure with its tint; interval, counts, what is missing and the note are its second line."""
    # No-break spaces keep a narrow column from breaking inside the count.
    counts = counts_of(figure).replace(" of ", "\u00a0of\u00a0").replace("n ", "n\u00a0")
    beside = " · ".join(filter(None, (counts, figure.note)))
    if not is_figure(figure.value):
        return Cell("-", beside or "undefined", muted=True)
    heat = ""
    if figure.unit == "share" and column.tone != "plain":
        heat = f"{column.tone}-{min(10, max(0, round(10 * figure.value)))}"
    low, high = limits_of(figure, digits) or ("", "")
    span = (low.replace("-", "\u2212"), high.replace("-", "\u2212")) if low else None  # as the figure has it
    return Cell(value_of(figure, digits), beside, sort=figure.value, heat=heat, span=span)


def printed_cell(figure: Figure, _: Column, digits: int) -> Cell:
    """A figure for the terminal: `12.3% (7 of 57; 2 missing) [10.1, 14.8]`. Notes stand below the table."""
    if not is_figure(figure.value):
        return Cell("-", muted=True)
    counts = counts_of(figure)
    text = value_of(figure, digits) + (f" ({counts})" if counts else "")
    return Cell(text, sort=figure.value, span=limits_of(figure, digits))


def counts_of(figure: Figure) -> str:
    """`7 of 57; 2 missing`."""
    if figure.k is not None:
        counts = f"{figure.k:,} of {figure.n:,}"
    else:
        counts = f"n {figure.n:,}" if figure.n else ""
    missing = f"{figure.missing:,} missing" if figure.missing else ""
    return "; ".join(filter(None, (counts, missing)))


def value_of(figure: Figure, digits: int) -> str:
    """The number in its unit; a dash where it is undefined."""
    if figure.unit == "share":
        return percent(figure.value)
    return points(figure.value) if figure.unit == "difference" else decimals(figure.value, digits)


def limits_of(figure: Figure, digits: int) -> tuple[str, str] | None:
    """The limits of its interval in its unit; None where there is none."""
    return mean_limits(figure, digits) if figure.unit == "number" else percent_limits(figure)


def _digits(figures: Sequence[Figure]) -> int:
    """Decimals of the numbers of a column: none of counts, else about three figures of the largest."""
    numbers = [(it.value, it.low) for it in figures if it.unit == "number" and is_figure(it.value)]
    if all(float(value).is_integer() and low is None for value, low in numbers):
        return 0
    largest = max(abs(value) for value, _ in numbers)
    return 3 if largest < 1 else 2 if largest < 100 else 1


def notes_of(section: Section) -> Iterator[str]:
    """What stands beside figures, a line for each note and column, with the rows that it is of unless it is
    of all."""
    for place, column in enumerate(section.columns):
        found: dict[tuple[str, bool], list[Row]] = {}
        for row in section.rows:
            if place < len(row.figures):
                figure = row.figures[place]
                is_undefined = not is_figure(figure.value)
                if note := figure.note or ("undefined" if is_undefined else ""):
                    found.setdefault((note, is_undefined), []).append(row)
        for (note, is_undefined), rows in found.items():
            dash = "-, " if is_undefined else ""
            yield f"{column.title}: {dash}{note}{_of_rows(rows, section)}"


_MOST_NAMED = 4


def _of_rows(rows: Sequence[Row], section: Section) -> str:
    """The rows in parentheses: a target of which all rows are meant alone, else its rows by group."""
    if len(rows) == len(section.rows):
        return ""
    names = []
    for target in dict.fromkeys(row.target for row in rows):
        mine = [row for row in rows if row.target == target]
        if len(mine) == sum(row.target == target for row in section.rows):
            names.append(target)
        else:
            names += [f"{target}, {row.group}" for row in mine]
    if len({row.target for row in section.rows}) == 1:
        names = [row.group for row in rows]
    more = f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
    return f" ({'; '.join(names[:_MOST_NAMED])}{more})"
