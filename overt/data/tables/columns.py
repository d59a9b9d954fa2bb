"""Finds the columns of seeds, prompts, suites and labels in a table.

A consumer declares its roles. The order is: a column that the user named, a published layout (`layouts`), the
usual names of the role, columns of the right kind first. Errors list the columns and their kinds.
"""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from overt.data.errors import InputError
from overt.data.tables.files import Row
from overt.data.tables.layouts import LAYOUTS, Kind, Layout, Side, category_key, kind_of

TEXTS: frozenset[Kind] = frozenset({"text", "chat messages", "list", "empty"})
WORDS: frozenset[Kind] = frozenset({"text", "number", "truth value", "empty"})


@dataclass(frozen=True, slots=True)
class Role:
    """The role of a column, such as the prompt or the label.

    Attributes:
        name: its name in layouts and messages.
        names: the usual column names in lower case, the best one first.
        kinds: the kinds of its values. A column of another kind is used only if no column fits.
        option: the option that names its column; "" if the user writes `SOURCE:COLUMN`.
        alone: whether the only column of a table may play it.
    """

    name: str
    names: tuple[str, ...] = ()
    kinds: frozenset[Kind] = WORDS
    option: str = ""
    alone: bool = False


CATEGORY = Role("category", ("category", "subcategory"))
_MOST = 12  # columns listed in an error


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. `Column()` stands for a missing column, which is empty in every row.

    Attributes:
        name: as the table spells it.
        inner: a field in a column of objects (`prompt.text`); "" for the whole value.
        prefix: the text before a column's name in hints: `FILE:` or an option.
    """

    name: str = ""
    inner: str = ""
    prefix: str = ""

    def __bool__(self) -> bool:
        return bool(self.name)

    def __str__(self) -> str:
        return f"{self.name}.{self.inner}" if self.inner else self.name

    def value(self, row: Row) -> object:
        """The value in this column, or None."""
        value = row.values.get(self.name) if self.name else None
        if not self.inner:
            return value
        return value.get(self.inner) if isinstance(value, Mapping) else None

    def string(self, row: Row) -> str:
        """The value in this column if it is a text, else ""."""
        value = self.value(row)
        return value if isinstance(value, str) else ""

    def words(self, row: Row) -> str:
        """The value in this column as text; "" if it is empty."""
        value = self.value(row)
        return "" if kind_of(value) == "empty" else str(value)

    def key(self, row: Row) -> str:
        """The value in this column for comparison: stripped and casefolded."""
        return self.words(row).strip().casefold()

    def label(self, row: Row) -> str:
        """The value in this column as a label. pandas writes 1.0 for 1 if some labels are empty."""
        return self.key(row).removesuffix(".0")

    def text(self, row: Row) -> str:
        """The text in this column, also from a list of one turn or one user message.

        Raises:
            InputError: the value has several turns or no text.
        """
        value = self.value(row)
        if value is None or isinstance(value, str):
            return value or ""
        kind = kind_of(value)
        if kind in ("list", "chat messages") and isinstance(value, Sequence):
            text = _one_turn(value)
            if text is not None:
                return text
            what = f"holds {len(value)} turns, not one text or one message of a user"
        else:
            what = f"holds {'an' if kind[0] in 'aeiou' else 'a'} {kind} ({str(value)[:40]!r}), not text"
        raise InputError(
            f"column {str(self)!r} {what}; there are {_described(row)}",
            where=row.where,
            fix=f"Name the column that holds the texts: {_naming(self.prefix, self._instead(row))}",
        )

    def _instead(self, row: Row) -> str:
        """A suggestion: a text inside the objects of this column, or another column."""
        value = self.value(row)
        fields = value.items() if isinstance(value, Mapping) and not self.inner else ()
        inner = (f"{self.name}.{name}" for name, field in fields if kind_of(field) == "text")
        return next(inner, None) or _example(row, TEXTS, {self.name})


def _one_turn(turns: Sequence[object]) -> str | None:
    if len(turns) != 1:
        return None
    turn = turns[0]
    if isinstance(turn, Mapping):
        said = turn.get("content", turn.get("value"))
        by = turn.get("role", turn.get("from"))
        return said if isinstance(said, str) and by in ("user", "human") else None
    return turn if isinstance(turn, str) else None


class Table:
    """The columns of a table, from its first row.

    Args:
        source: the user's name for the table, for errors.
    """

    def __init__(self, first: Row, source: str) -> None:
        self._first, self._source = first, source
        self._names = {name.strip().casefold(): name for name in first.values}
        category = category_key(self._by_usual_name(CATEGORY).value(first))
        self._layouts = [layout for layout in LAYOUTS if layout.fits(self._names.keys(), category)]

    def layout(self, role: Role) -> Layout | None:
        """The published layout that has this role; None for an unknown table."""
        return next((layout for layout in self._layouts if role.name in layout.columns), None)

    def label(self, column: Column) -> Side | None:
        """Whether the prompts in a column of a published table are benign or unsafe; None if unknown."""
        name = column.name.strip().casefold()
        return next((layout.label[name] for layout in self._layouts if name in layout.label), None)

    def having(self, names: Iterable[str], role: Role | None = None) -> list[Column]:
        """The columns of these names that the table has, in their order. Case does not count."""
        present = (self._names.get(name.strip().casefold()) for name in names)
        return [Column(name, prefix=self._prefix(role)) for name in present if name is not None]

    def columns(self, role: Role, given: str | None = None) -> list[Column]:
        """The columns of a role. A published layout may have several; the list is empty if nothing fits.

        Raises:
            InputError: the table lacks the column that the user named.
        """
        if given is not None:
            return [self._given(role, given)]
        if layout := self.layout(role):
            return self.having(layout.columns[role.name], role)
        column = self._by_usual_name(role)
        return [column] if column else []

    def column(self, role: Role, given: str | None = None) -> Column:
        """The first column of a role; `Column()` if the table has none."""
        return next(iter(self.columns(role, given)), Column())

    def needed(self, role: Role, given: str | None = None) -> list[Column]:
        """The columns of a required role.

        Raises:
            InputError: the table has no such column.
        """
        found = self.columns(role, given)
        if not found:
            raise self.error(f"no column is plainly the {role.name}", f"Name it: {self.examples([role])}")
        return found

    def error(self, what: str, fix: str) -> InputError:
        """An error that lists the columns and their kinds."""
        return InputError(f"{what}; there are {_described(self._first)}", where=self._first.where, fix=fix)

    def examples(self, roles: Iterable[Role], taken: Iterable[Column] = ()) -> str:
        """Example options that name a different column of a fitting kind for each role."""
        examples, used = [], {column.name for column in taken}
        for role in roles:
            name = _example(self._first, role.kinds, used)
            used.add(name)
            examples.append(_naming(self._prefix(role), name))
        return " ".join(examples)

    def _by_usual_name(self, role: Role) -> Column:
        found = self.having(role.names, role)
        if not found and role.alone and len(self._names) == 1:
            found = self.having(self._names, role)
        fitting = [column for column in found if kind_of(column.value(self._first)) in role.kinds]
        return next(iter(fitting or found), Column())

    def _given(self, role: Role, wanted: str) -> Column:
        prefix = self._prefix(role)
        if wanted in self._first.values:
            return Column(wanted, prefix=prefix)
        if found := self.having([wanted], role):
            return found[0]
        outer, _, inner = wanted.partition(".")
        for column in self.having([outer], role):
            value = column.value(self._first)
            if isinstance(value, Mapping) and inner in value:
                return Column(column.name, inner, prefix)
        if wanted in self._first.unread:
            raise self.error(
                f"column {wanted!r} holds values that are not read from a Parquet file",
                "Give the table as JSONL.",
            )
        near = difflib.get_close_matches(wanted.casefold(), self._names, n=1)
        named = _naming(prefix, self._names[near[0]]) if near else ""
        raise self.error(
            f"there is no column {wanted!r}",
            f"Did you mean {named}?" if named else f"Name another: {self.examples([role])}",
        )

    def _prefix(self, role: Role | None) -> str:
        return f"{role.option} " if role and role.option else f"{self._source}:"


def _described(row: Row) -> str:
    """The columns of a row and their kinds, for errors."""
    shown = []
    for name, value in row.values.items():
        kind: str = kind_of(value)
        if kind == "object" and isinstance(value, Mapping):
            kind = f"object with {', '.join(repr(str(key)[:20]) for key in list(value)[:5])}"
        shown.append(f"{name[:40]!r} ({kind})")
    shown += [f"{name[:40]!r} ({kind}, not read from Parquet)" for name, kind in row.unread.items()]
    more = f" and {len(shown) - _MOST} more" if len(shown) > _MOST else ""
    return ", ".join(shown[:_MOST]) + more if shown else "none"


def _example(row: Row, kinds: frozenset[Kind], taken: Container[str]) -> str:
    """An unused column of one of the kinds."""
    fitting = (n for n, value in row.values.items() if n not in taken and kind_of(value) in kinds)
    return next(fitting, "COLUMN")


def _naming(prefix: str, name: str) -> str:
    shown = name if name.isprintable() else "COLUMN"
    return prefix + shlex.quote(shown) if prefix.endswith(" ") else shlex.quote(prefix + shown)
