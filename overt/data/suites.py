"""Published text suites: a YAML says where the prompts are and what their columns mean; no suite needs code.

A suite is made of parts (a config of a dataset on the Hub, a file), each with a label of its own or a
column that gives it. The shipped ones stand in `suites/*.yaml`; a file of yours is read the same way.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any

from overt.data.errors import InputError
from overt.data.prompts import Loaded
from overt.data.records import Label, Prompt, clean_text, content_id, prompt_id
from overt.data.sources import Source, parse_source, read_source
from overt.data.suite_schema import Part, Suite, folded, read_suite_file
from overt.data.tables import Row, format_of

FOLDER = Path(__file__).with_suffix("")
_MOST = 64 << 20  # bytes of a file fetched from an address: no suite's prompts are larger
_PATIENCE = 30.0  # seconds


def list_suites() -> tuple[str, ...]:
    """The names of the shipped suites, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def load_suite(name_or_file: str) -> Suite:
    """A shipped suite by its name, or the one in a YAML file.

    Raises:
        InputError: neither; or a file that says something wrong, with its line and field.
    """
    shipped = list_suites()
    if name_or_file in shipped:
        return _shipped(name_or_file)
    path = Path(name_or_file).expanduser()
    if path.suffix.lower() in (".yaml", ".yml") or path.is_file():
        return read_suite_file(path)
    near = difflib.get_close_matches(name_or_file.casefold().replace("-", "_"), shipped, n=1)
    raise InputError(
        f"there is no suite {name_or_file!r}",
        fix=f"Did you mean {near[0]}?" if near else f"There are {', '.join(shipped)}; or give a YAML file.",
    )


@lru_cache(maxsize=64)
def _shipped(name: str) -> Suite:
    return read_suite_file(FOLDER / f"{name}.yaml")


def read_suite(suite: Suite, files: Sequence[str] = (), *, limit: int | None = None) -> Loaded:
    """The prompts of a suite in their published order, each text once (the first stands).

    Args:
        suite: from `load_suite`.
        files: local files instead of the Hub: `FILE`, known by its published name or because the suite
            has one part only, or `PART=FILE`. With any, only their parts are read.
        limit: at most so many of each part and label.

    Returns:
        Prompts with the suite's type as `category`; benign prompts and their contrasts share `pair_id`,
        prompts of one seed share `seed_id` (None where the suite has no seeds).

    Raises:
        InputError: a file that does not fit a part, a column that is missing (with what is there), a
            label nobody mapped, a Hub that is away or asks for access.
    """
    found: dict[str, Prompt] = {}
    repeated = empty = 0
    chosen = _assign(suite, files) if files else [(part, None) for part in suite.parts]
    for part, file in chosen:
        taken: dict[str, int] = {}
        layout: _Layout | None = None
        for row in _rows(suite, part, file):
            layout = layout or _Layout(suite, part, row, file)
            label = layout.label(row)
            if label is None or not layout.kept(row):
                continue
            if limit is not None and taken.get(label, 0) >= limit:
                if isinstance(part.label, str):
                    break  # nothing further can be wanted of it
                continue
            prompt = layout.prompt(row, label)
            if not prompt.text:
                empty += 1
            elif prompt.id in found:
                repeated += 1
            else:
                found[prompt.id] = prompt
                taken[label] = taken.get(label, 0) + 1
        if layout is None:
            raise InputError("there is no row in it", where=file or _place(part))
    if not found:
        raise InputError(f"no prompt was found for the suite {suite.name}", where=", ".join(files))
    return Loaded(tuple(found.values()), repeated, empty)


class _Layout:
    """Which columns of one table hold what the suite speaks of."""

    def __init__(self, suite: Suite, part: Part, row: Row, file: str | None) -> None:
        self._suite, self._part = suite, part
        names = {name.strip().casefold(): name for name in row.values}
        missing: list[str] = []

        def one(wanted: Sequence[str]) -> str:
            there = next((names[c.casefold()] for c in wanted if c.casefold() in names), None)
            if there is None and wanted:
                missing.append(" or ".join(map(repr, wanted)))
            return there or ""

        columns = suite.columns
        given = parse_source(file).column if file else None
        self._text = one((given,) if given else columns.text)
        self._category, self._trigger = one(columns.category), one(columns.trigger)
        self._style, self._language = one(columns.style), one(columns.language)
        self._seed = [one((name,)) for name in columns.seed]
        self._keep = {one((name,)): values for name, values in suite.keep.items()}
        self._label = "" if isinstance(part.label, str) else one((part.label.column,))
        self._pair, self._pair_by = (
            (one((suite.pairs.column,)), one((suite.pairs.by,))) if suite.pairs else ("", "")
        )
        if missing:
            there = ", ".join(repr(name[:40]) for name in row.values) or "none"
            fix = f"{suite.title} is published as {', '.join(part.files) or suite.homepage}: give that file."
            if row.where.partition(",")[0].lower().endswith((".parquet", ".pq")):
                fix += " (Columns of lists in a Parquet file are not read: give the JSONL one.)"
            raise InputError(
                f"this is no file of {suite.title}: it has no column "
                f"{' and no '.join(dict.fromkeys(missing))}; it has {there}",
                where=row.where,
                fix=fix,
            )

    def label(self, row: Row) -> Label | None:
        """What the prompt is; None for a row to leave out."""
        rule = self._part.label
        if isinstance(rule, str):
            return rule
        said = _key(row.values.get(self._label))
        found = rule.values.get(said)
        if found is None:
            raise InputError(
                f"the column {rule.column!r} says {said[:40]!r}; known are "
                f"{', '.join(repr(name) for name in rule.values)}",
                where=row.where,
                fix=f"Is this the file of {self._suite.title} as published?",
            )
        return None if found == "skip" else found

    def kept(self, row: Row) -> bool:
        return all(_key(row.values.get(column)) in values for column, values in self._keep.items())

    def prompt(self, row: Row, label: Label) -> Prompt:
        suite = self._suite
        text = clean_text(self._one_text(row))
        identity = prompt_id(text)
        seed = [clean_text(_text(row.values.get(column))) for column in self._seed]
        return Prompt(
            id=identity,
            text=text,
            category=_slug(self._value(row, self._category, suite.columns.category)) or "all",
            label=label,
            strategy="direct",
            writer=f"suite/{suite.name}",
            template="",
            trigger=clean_text(self._value(row, self._trigger, suite.columns.trigger)),
            style=clean_text(self._value(row, self._style, suite.columns.style)),
            language=self._value(row, self._language, suite.columns.language) or suite.language,
            seed_id=content_id("seed", suite.name, *seed) if any(seed) else None,
            pair_id=self._pair_id(row) or content_id("pair", identity),
        )

    def _one_text(self, row: Row) -> str:
        value = row.values.get(self._text)
        if isinstance(value, (list, tuple)):  # SORRY-Bench keeps a conversation, of one turn
            turns = [turn for turn in value if isinstance(turn, str)]
            if len(turns) != 1 or len(value) != 1:
                raise InputError(
                    f"column {self._text!r} holds {len(value)} turns; only single-turn prompts can be asked",
                    where=row.where,
                )
            return turns[0]
        if value is not None and not isinstance(value, str):
            raise InputError(
                f"column {self._text!r} holds {type(value).__name__} {str(value)[:40]!r}, not text",
                where=row.where,
            )
        return value or ""

    def _value(self, row: Row, column: str, names: Sequence[str]) -> str:
        if not column:
            return ""
        said = _text(row.values.get(column))
        for name in names:
            mapped = self._suite.values.get(name)
            if mapped is None:
                continue
            if _key(said) not in mapped:
                raise InputError(
                    f"the column {column!r} says {said[:40]!r}; known are {', '.join(map(repr, mapped))}",
                    where=row.where,
                    fix=f"Is this the file of {self._suite.title} as published?",
                )
            return mapped[_key(said)]
        return said

    def _pair_id(self, row: Row) -> str:
        rule = self._suite.pairs
        if rule is None:
            return ""
        digits = re.search(r"\d+$", _text(row.values.get(self._pair)).strip())
        if digits is None:
            return ""
        offset = rule.offsets.get(_key(row.values.get(self._pair_by)), 0)
        return content_id("pair", self._suite.name, int(digits[0]) - offset)


def _key(value: Any) -> str:
    return folded(_text(value))


def _text(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else str(value)


def _slug(text: str) -> str:
    """A type as an id: small letters, digits and underscores."""
    return re.sub(r"[^\w]+", "_", text.strip().casefold()).strip("_")


# -- where the rows come from -----------------------------------------------------------------------------


def _assign(suite: Suite, files: Sequence[str]) -> list[tuple[Part, str | None]]:
    """Each file with the part it is."""
    parts = {part.name: part for part in suite.parts}
    found: list[tuple[Part, str | None]] = []
    for spec in files:
        name, equals, rest = spec.partition("=")
        if equals and name in parts and rest:
            found.append((parts[name], rest))
            continue
        if len(parts) == 1:
            found.append((suite.parts[0], spec))
            continue
        source = parse_source(spec)
        path = source.path if source.path is not None else Path(source.name)
        fitting = [part for part in suite.parts if any(_ends_with(path, file) for file in part.files)]
        if len(fitting) != 1:
            raise InputError(
                f"{suite.title} has the parts {', '.join(parts)}; the file's name does not tell which it is",
                where=spec,
                fix=f"Write it before the file: {suite.parts[0].name}={spec}",
            )
        found.append((fitting[0], spec))
    return found


def _ends_with(path: PurePath, name: str) -> bool:
    """Whether the path ends with the published name, its folders included; .gz may follow."""
    parts = [*path.parts[:-1], path.name.removesuffix(".gz")]
    wanted = PurePath(name).parts
    return tuple(parts[-len(wanted) :]) == wanted


def _place(part: Part) -> str:
    if part.hub is None:
        return part.url or part.name
    return part.hub + (f"@{part.config}/{part.split or ''}" if part.config else "")


def _rows(suite: Suite, part: Part, file: str | None) -> Iterator[Row]:
    """The rows of a part: of the file, else of the Hub, else of the address. The first that begins counts."""
    if file is not None:
        yield from read_source(parse_source(file))
        return
    first: InputError | None = None
    for kind in ("hub", "url"):
        if getattr(part, kind) is None:
            continue
        begun = False
        try:
            for row in _hub(part) if kind == "hub" else _fetched(part.url or ""):
                begun = True
                yield row
            return
        except InputError as error:
            if begun:
                raise  # half a suite from here and half from there would be neither
            first = first or error
    raise _away(suite, part, first) from first


def _hub(part: Part) -> Iterator[Row]:
    return read_source(Source(part.hub or "", None, None, part.config, part.split))


def _away(suite: Suite, part: Part, error: InputError | None) -> InputError:
    files = f"Give the file as published ({', '.join(part.files)})" if part.files else "Give a file"
    again = suite.gated or f"{files}, from {suite.homepage}, or try again when the network is there."
    what = error.what if error else "it is published nowhere that can be read from here"
    return InputError(f"{suite.title} cannot be read: {what}", where=_place(part), fix=again)


def _fetched(url: str) -> Iterator[Row]:
    """The rows of the file at an address, fetched once and kept, so that a resumed run needs no network.

    Raises:
        InputError: the address does not answer, or not with a table.
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
    return read_source(Source(name, None, path))


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
        except UnicodeDecodeError:  # a spreadsheet's file: Windows' letters
            data = data.decode("cp1252", "replace").encode("utf-8")
    return data
