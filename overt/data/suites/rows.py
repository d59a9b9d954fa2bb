"""Reads the rows of a suite and turns them into prompts."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import TypeVar

from overt.data.errors import InputError
from overt.data.records import Label, Prompt, clean_text, content_id, prompt_id
from overt.data.suites.schema import Part, Suite, folded
from overt.data.tables.attacks import attack_name, dressed
from overt.data.tables.columns import TEXTS, Column, Role, Table
from overt.data.tables.extras import extras_in
from overt.data.tables.files import Row, format_of
from overt.data.tables.sources import Source, parse_source

Mapped = TypeVar("Mapped", bound=str)
_TEXT = Role("text", kinds=TEXTS)
_MOST = 64 << 20  # bytes of a downloaded file
_PATIENCE = 30.0  # seconds


def labelled_rows(suite: Suite, part: Part, file: str | None) -> Iterator[tuple[SuiteColumns, Row, Label]]:
    """Yields the rows of a part that the suite keeps, each with its columns and its label.

    Raises:
        InputError: the part cannot be read, lacks a column, has no row, or has an unknown label.
    """
    columns: SuiteColumns | None = None
    also = frozenset(folded(name) for name in (*suite.columns.image, *suite.columns.turns))
    for row in _rows(suite, part, file, also):
        columns = columns or SuiteColumns(suite, part, row, file)
        label = columns.label(row)
        if label is not None and columns.keeps(row):
            yield columns, row, label
    if columns is None:
        raise InputError("there is no row in it", where=file or _place(part))


class SuiteColumns:
    """The columns of one table that the suite's YAML names."""

    def __init__(self, suite: Suite, part: Part, first: Row, file: str | None) -> None:
        self._suite, self._part = suite, part
        source = parse_source(file) if file else None
        self._beside = source.beside if source else None
        table = Table(first, source.name if source else part.name)
        missing: list[str] = []

        def one(*names: str) -> Column:
            return _first_of(names, table, missing)

        columns, pairs = suite.columns, suite.pairs
        given = source.column if source else None
        self._text = table.column(_TEXT, given) if given else one(*suite.text_of(part))
        self._category, self._trigger = one(*columns.category), one(*columns.trigger)
        self._style, self._language = one(*columns.style), one(*columns.language)
        self._picture, self._turns = one(*columns.image), one(*columns.turns)
        self._vanilla, self._attack = one(*columns.vanilla), one(*columns.attack)
        self._seed = [one(name) for name in columns.seed]
        self._keep = [(one(name), values) for name, values in suite.keep.items()]
        self._label = Column() if isinstance(part.label, str) else one(part.label.column)
        self._pair = one(pairs.column) if pairs else Column()
        self._pair_by = one(pairs.by) if pairs and pairs.by else Column()
        if missing:
            fix = f"{suite.title} is published as {', '.join(part.files) or suite.homepage}: give that file."
            if first.unread:
                fix += " (Columns of lists in a Parquet file are not read: give the JSONL one.)"
            lacks = " and no ".join(dict.fromkeys(missing))
            raise table.error(f"this is no file of {suite.title}: it has no column {lacks}", fix)

    def label(self, row: Row) -> Label | None:
        """The label of a row; None if the row is to be skipped.

        Raises:
            InputError: a label that the suite does not map.
        """
        rule = self._part.label
        if isinstance(rule, str):
            return rule
        label = self._mapped(row, self._label, self._label.words(row), rule.values)
        return None if label == "skip" else label

    def keeps(self, row: Row) -> bool:
        """Whether the suite keeps this row."""
        return all(column.key(row) in values for column, values in self._keep)

    def prompt(self, row: Row, label: Label) -> tuple[Prompt, bytes | None]:
        """Makes the prompt of a row; also the encoded picture that it carries.

        Raises:
            InputError: no text, several turns, or a value that the suite does not map.
        """
        suite = self._suite
        asked = dressed(
            clean_text(self._text.text(row)),
            clean_text(self._vanilla.text(row)),
            attack_name(self._value(row, self._attack, suite.columns.attack)) or self._part.attack,
        )
        extras = extras_in(self._picture, self._turns, row, self._beside)
        identity = prompt_id(asked.text, extras.image, extras.turns)
        twin = prompt_id(asked.vanilla) if asked.vanilla else identity
        seed = [clean_text(column.words(row)) for column in self._seed]
        prompt = Prompt(
            id=identity,
            text=asked.text,
            category=_slug(self._value(row, self._category, suite.columns.category)) or "all",
            label=label,
            strategy="direct",
            writer=f"suite/{suite.name}",
            template="",
            trigger=clean_text(self._value(row, self._trigger, suite.columns.trigger)),
            style=clean_text(self._value(row, self._style, suite.columns.style)),
            language=self._value(row, self._language, suite.columns.language) or suite.language,
            seed_id=content_id("seed", suite.name, *seed) if any(seed) else None,
            pair_id=self._pair_id(row) or content_id("pair", twin),
            image=extras.image,
            turns=extras.turns,
            vanilla=asked.vanilla,
            attack=asked.attack,
        )
        return prompt, extras.picture

    def _value(self, row: Row, column: Column, names: Sequence[str]) -> str:
        """The value of a column: the first of several, mapped if the suite maps it."""
        said = column.words(row)
        sign = next((self._suite.first_of[name] for name in names if name in self._suite.first_of), None)
        if sign is not None:
            value = column.value(row)
            said = next(map(str, value), "") if isinstance(value, Mapping) else said.partition(sign)[0]
        mapped = next((self._suite.values[name] for name in names if name in self._suite.values), None)
        return said if mapped is None else self._mapped(row, column, said, mapped)

    def _mapped(self, row: Row, column: Column, said: str, known: Mapping[str, Mapped]) -> Mapped:
        value = known.get(folded(said))
        if value is None:
            raise InputError(
                f"the column {column.name!r} says {said[:40]!r}; known are {', '.join(map(repr, known))}",
                where=row.where,
                fix=f"Is this the file of {self._suite.title} as published?",
            )
        return value

    def _pair_id(self, row: Row) -> str:
        rule = self._suite.pairs
        said = self._pair.words(row).strip()
        if rule is None or not said:
            return ""
        if rule.by is None:
            return content_id("pair", self._suite.name, said)
        digits = re.search(r"\d+$", said)
        if digits is None:
            return ""
        offset = rule.offsets.get(self._pair_by.key(row), 0)
        return content_id("pair", self._suite.name, int(digits[0]) - offset)


def _first_of(names: Sequence[str], table: Table, missing: list[str]) -> Column:
    """The first of these columns that the table has. If it has none, adds them to `missing`."""
    found = next(iter(table.having(names, _TEXT)), None) or next(
        filter(None, (table.inside(name, _TEXT) for name in names)), Column()
    )
    if names and not found:
        missing.append(" or ".join(map(repr, names)))
    return found


def _slug(text: str) -> str:
    """Letters, digits and _ of a category. Marks count as letters: without them Hindi words fall apart."""
    kept = (c if c == "_" or unicodedata.category(c)[0] in "LMN" else " " for c in text.casefold())
    return "_".join("".join(kept).split()).strip("_")


def parts_of(suite: Suite, files: Sequence[str]) -> list[tuple[Part, str | None]]:
    """The parts to read, each with its local file; without files, all parts.

    Raises:
        InputError: the name of a file does not tell its part.
    """
    if not files:
        return [(part, None) for part in suite.parts]
    parts = {part.name: part for part in suite.parts}
    found: list[tuple[Part, str | None]] = []
    for spec in files:
        name, equals, rest = spec.partition("=")
        if equals and name in parts and rest:
            found.append((parts[name], rest))
        else:
            found += [(part, spec) for part in _parts_in(suite, spec)]
    return found


def file_of(suite: Suite | None, spec: str) -> str:
    """The file that a part's file names: without `PART=` in front of it."""
    name, equals, rest = spec.partition("=")
    is_part = suite is not None and any(part.name == name for part in suite.parts)
    return rest if is_part and equals and rest else spec


def _parts_in(suite: Suite, spec: str) -> Sequence[Part]:
    """The parts that a file holds, by its published name. Parts that have a column of their own for the text
    stand in one file.

    Raises:
        InputError: its name does not tell.
    """
    if len(suite.parts) == 1 or all(part.text for part in suite.parts):
        return suite.parts
    source = parse_source(spec)
    path = source.path if source.path is not None else Path(source.name)
    fitting = [part for part in suite.parts if any(_ends_with(path, file) for file in part.files)]
    if len(fitting) == 1:
        return fitting
    raise InputError(
        f"{suite.title} has the parts {', '.join(part.name for part in suite.parts)}; the file's name does "
        "not tell which it is",
        where=spec,
        fix=f"Write it before the file: {suite.parts[0].name}={spec}",
    )


def _ends_with(path: PurePath, name: str) -> bool:
    """Whether a path ends with a published name, folders included; .gz may follow."""
    parts = [*path.parts[:-1], path.name.removesuffix(".gz")]
    wanted = PurePath(name).parts
    return tuple(parts[-len(wanted) :]) == wanted


def _place(part: Part) -> str:
    if part.hub is None:
        return part.url or part.name
    return part.hub + (f"@{part.config}/{part.split or ''}" if part.config else "")


def _rows(suite: Suite, part: Part, file: str | None, also: Collection[str]) -> Iterator[Row]:
    """Yields the rows of a part from the file, or else from the first of Hub and address that answers."""
    if file is not None:
        yield from parse_source(file).rows(also)
        return
    first: InputError | None = None
    for kind in ("hub", "url"):
        if getattr(part, kind) is None:
            continue
        begun = False
        try:
            for row in _hub(part) if kind == "hub" else _fetched(part.url or "", also):
                begun = True
                yield row
            return
        except InputError as error:
            if begun:
                raise  # do not mix rows of two sources
            first = first or error
    raise _away(suite, part, first) from first


def _hub(part: Part) -> Iterator[Row]:
    return Source(part.hub or "", None, None, part.config, part.split).rows()


def _away(suite: Suite, part: Part, error: InputError | None) -> InputError:
    files = f"Give the file as published ({', '.join(part.files)})" if part.files else "Give a file"
    again = suite.gated or f"{files}, from {suite.homepage}, or try again when the network is there."
    if error and isinstance(error.__cause__, ModuleNotFoundError):
        again = f"{error.fix}\n  {again}"  # what reads the Hub is not installed
    what = error.what if error else "it is published nowhere that can be read from here"
    return InputError(f"{suite.title} cannot be read: {what}", where=_place(part), fix=again)


def _fetched(url: str, also: Collection[str]) -> Iterator[Row]:
    """The rows of the file at an address. The file is cached, so that a resumed run needs no network.

    Raises:
        InputError: the file cannot be downloaded or is not a table.
    """
    name = PurePath(url.partition("?")[0]).name
    if format_of(Path(name)) is None:
        raise InputError("the address names no table that can be read", where=url)
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    digest = hashlib.blake2b(url.encode(), digest_size=8).hexdigest()
    path = Path(base).expanduser() / "overt" / "suites" / digest / name
    if not path.exists():
        data = _download(url)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
                file.write(data)
            os.replace(file.name, path)
        except OSError as error:
            raise InputError(f"cannot be written: {error.strerror or error}", where=str(path)) from error
    return Source(name, None, path).rows(also)


def _download(url: str) -> bytes:
    import http.client
    import urllib.request

    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise InputError("HF_HUB_OFFLINE is set", where=url)
    try:
        with urllib.request.urlopen(url, timeout=_PATIENCE) as answer:
            data: bytes = answer.read(_MOST + 1)
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise InputError(f"the address did not give the file ({reason})", where=url) from error
    if len(data) > _MOST:
        raise InputError(f"the file is larger than {_MOST >> 20} MiB", where=url)
    if PurePath(url).suffix in (".csv", ".tsv", ".jsonl", ".json", ".txt"):
        try:
            data.decode("utf-8")
        except UnicodeDecodeError:  # spreadsheets on Windows write cp1252
            data = data.decode("cp1252", "replace").encode("utf-8")
    return data
