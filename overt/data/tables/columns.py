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
# Columns that describe a text and are never one themselves, not even as the only column of a table.
NEVER_TEXTS = frozenset(
    {
        *CATEGORY.names,
        *("label", "labels", "prompt_label", "prompt_harm_label", "response_harm_label", "final_label"),
        *("is_unsafe", "is_safe", "unsafe", "safe", "harmful", "harmless", "toxic", "class", "side"),
        *("id", "index", "prompt_id", "seed_id", "pair_id", "type", "language", "lang", "strategy", "split"),
        *("target", "source", "score", "writer", "template", "trigger", "style", "model", "date"),
    }
)
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
            named = type(value).__name__ if kind == "other" else kind
            what = f"holds {'an' if named[0] in 'aeiou' else 'a'} {named} ({str(value)[:40]!r}), not text"
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
        self._unread = {name.strip().casefold(): name for name in first.unread}
        category = category_key(self._by_usual_name(CATEGORY).value(first))
        self._layouts = [layout for layout in LAYOUTS if layout.fits(self._names.keys(), category)]

    def layout(self, role: Role) -> Layout | None:
        """The published layout that has this role; None for an unknown table."""
        return next((layout for layout in self._layouts if role.name in layout.columns), None)

    def label(self, column: Column) -> Side | None:
        """Whether the prompts in a column of a published table are benign or unsafe; None if unknown."""
        name = column.name.strip().casefold()
        return next((layout.label[name] for layout in self._layouts if name in layout.label), None)

    def types(self) -> tuple[Column, Mapping[str, Side]]:
        """The column whose values say whether prompts are benign or unsafe, and which says what, in a
        published table that has types for labels."""
        found = next((layout for layout in self._layouts if layout.types), None)
        return (self.having([found.told_by])[0], found.types) if found else (Column(), {})

    def having(self, names: Iterable[str], role: Role | None = None) -> list[Column]:
        """The columns of these names that the table has, in their order. Case does not count."""
        present = (self._names.get(name.strip().casefold()) for name in names)
        return [Column(name, prefix=self._prefix(role)) for name in present if name is not None]

    def inside(self, wanted: str, role: Role | None = None) -> Column:
        """The field in a column of objects that `column.field` names; `Column()` if there is none."""
        outer, _, inner = wanted.partition(".")
        for column in self.having([outer], role):
            value = column.value(self._first)
            if isinstance(value, Mapping) and inner in value:
                return Column(column.name, inner, self._prefix(role))
        return Column()

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

    def attack(self) -> str:
        """The attack that dresses the prompts of a published table, where no column says it; else ""."""
        return next((layout.attack for layout in self._layouts if layout.attack), "")

    def columns_of(self, role: Role) -> list[Column]:
        """All columns that may play a role by their names, those of a published layout alone if it has it."""
        layout = self.layout(role)
        return self.having(layout.columns[role.name] if layout else role.names, role)

    def column(self, role: Role, given: str | None = None) -> Column:
        """The first column of a role; `Column()` if the table has none."""
        return next(iter(self.columns(role, given)), Column())

    def needed(self, role: Role, given: str | None = None) -> list[Column]:
        """The columns of a required role.

        Raises:
            InputError: the table has no such column, or its values cannot be read as texts.
        """
        found = self.columns(role, given)
        if given is None:
            self.refuse_unread(role, found[0] if found else Column())
        if not found:
            named = self.examples([role])
            fix = f"Name it: {named}"
            if named.endswith("COLUMN"):
                fix = f"The table needs a column of texts, such as {role.names[0]!r}, or name one: {named}"
            raise self.error(f"no column is plainly the {role.name}", fix)
        return found

    def refuse_unread(self, role: Role, found: Column | None = None) -> None:
        """Says which column has a usual name of the role and values that are not read.

        Args:
            found: the column that would be used instead; it may only have a better name.

        Raises:
            InputError: there is such a column.
        """
        layout = self.layout(role)
        used = found.name.strip().casefold() if found else ""
        for name in layout.columns[role.name] if layout else role.names:
            if name == used:
                return
            if spelled := self._unread.get(name):
                raise self._unreadable(spelled)

    def _unreadable(self, name: str) -> InputError:
        kind, written = self._first.unread[name]
        fix = {
            "bytes": "Save it as text (in pandas: .str.decode('utf-8')), or name another column",
            "object": f"Save the text in it as a column of its own, or give the table as JSONL and name "
            f"{name}.FIELD, or name another column",
        }.get(kind, "Save its texts as a column of text, or give the table as JSONL, or name another column")
        other = _example(self._first, TEXTS, {name})
        named = "" if other == "COLUMN" else f": {_naming(self._prefix(None), other)}"
        return self.error(
            f"column {name!r} holds {_bulk(kind)} ({_cut(written)}), which are not read from Parquet as text",
            fix + (named or "."),
        )

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
        if not found and role.alone and len(self._names) + len(self._unread) == 1:
            found = [c for c in self.having(self._names, role) if self._may_be_text(c, role)]
        fitting = [column for column in found if kind_of(column.value(self._first)) in role.kinds]
        return next(iter(fitting or found), Column())

    def _may_be_text(self, column: Column, role: Role) -> bool:
        """Whether the only column of a table may be one of texts, by its name and its first value."""
        name = column.name.strip().casefold()
        return name not in NEVER_TEXTS and kind_of(column.value(self._first)) in role.kinds

    def _given(self, role: Role, wanted: str) -> Column:
        prefix = self._prefix(role)
        if wanted in self._first.values:
            return Column(wanted, prefix=prefix)
        if found := self.having([wanted], role):
            return found[0]
        if inside := self.inside(wanted, role):
            return inside
        outer = wanted.partition(".")[0]
        unread = self._unread.get(wanted.strip().casefold()) or self._unread.get(outer.strip().casefold())
        if unread is not None:
            raise self._unreadable(unread)
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
    shown += [f"{n[:40]!r} ({c.kind}, {_cut(c.type)}, not read from Parquet)" for n, c in row.unread.items()]
    more = f" and {len(shown) - _MOST} more" if len(shown) > _MOST else ""
    return ", ".join(shown[:_MOST]) + more if shown else "none"


def _bulk(kind: Kind) -> str:
    """A kind in the plural."""
    return {"object": "objects", "list": "lists"}.get(kind, kind)


def _cut(written: str) -> str:
    return written if len(written) <= 60 else written[:57] + "..."


def _example(row: Row, kinds: frozenset[Kind], taken: Container[str]) -> str:
    """An unused column of one of the kinds."""
    free = ((n, value) for n, value in row.values.items() if n not in taken)
    if "list" in kinds:  # the column of a text
        free = ((n, value) for n, value in free if n.strip().casefold() not in NEVER_TEXTS)
    fitting = (n for n, value in free if kind_of(value) in kinds)
    return next(fitting, "COLUMN")


def _naming(prefix: str, name: str) -> str:
    shown = name if name.isprintable() else "COLUMN"
    return prefix + shlex.quote(shown) if prefix.endswith(" ") else shlex.quote(prefix + shown)
