"""Prompts to run: from a run of `overt generate`, a table, a published OVERT csv, a dataset of the Hub."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice, zip_longest
from typing import Literal, cast

from overt.data.errors import InputError
from overt.data.records import Label, Prompt, clean_text, content_id, prompt_id
from overt.data.sources import Source, dataset_files, parse_source, read_source
from overt.data.tables import Row

Side = Literal["benign", "unsafe"]

_TEXT = ("text", "prompt", "image_prompt", "unsafe_image_prompt", "benign_image_prompt", "caption")
_LABELS: dict[str, Side] = {
    **dict.fromkeys(("benign", "safe", "harmless", "unharmful", "0", "false"), "benign"),
    **dict.fromkeys(("unsafe", "harmful", "toxic", "1", "true"), "unsafe"),
}
_LABEL_COLUMNS = ("label", "prompt_label", "prompt_harm_label", "is_unsafe", "unsafe", "harmful")
# The published unsafe file spells one category otherwise than the two benign ones.
_CATEGORY = {"unethical": "unethical_unsafe_action"}


@dataclass(frozen=True, slots=True)
class Loaded:
    """The prompts of all sources, each once, and how many rows said the same again or nothing."""

    prompts: tuple[Prompt, ...]
    repeated: int
    empty: int


def spread(prompts: Sequence[Prompt], limit: int) -> tuple[Prompt, ...]:
    """At most `limit` prompts of each label, evenly over the categories, in their order.

    Files are often sorted by category, so the first rows would be no sample. Which prompts of a category
    are taken hangs on their ids alone: a larger limit takes the same ones and more.
    """
    by_side: dict[str, dict[str, list[Prompt]]] = {}
    for prompt in prompts:
        by_side.setdefault(prompt.label, {}).setdefault(prompt.category, []).append(prompt)
    taken: set[str] = set()
    for categories in by_side.values():
        queues = [sorted(rows, key=lambda p: content_id("limit", p.id)) for rows in categories.values()]
        turns = (p for turn in zip_longest(*queues) for p in turn if p is not None)
        taken.update(p.id for p in islice(turns, limit))
    return tuple(p for p in prompts if p.id in taken)


def read_prompts(specs: Iterable[str], *, label: Side | None = None) -> Loaded:
    """The prompts that the sources hold, in their order, each text once.

    Args:
        specs: each a run's or dataset's folder, `FILE[:COLUMN]`, or `ORG/NAME[@CONFIG/SPLIT][:COLUMN]`.
            OVERT's csv files are known: `OVERT.csv` and `OVERT_mini.csv` give benign prompts,
            `OVERT_unsafe.csv` its unsafe ones (its benign ones with `:benign_image_prompt`).
        label: what the prompts are where a source has no column that says it.

    Raises:
        InputError: a source that is not there, no column of prompts, a row without a label, one text
            that is benign here and unsafe there.
    """
    found: dict[str, Prompt] = {}
    repeated = empty = 0
    for spec in specs:
        for prompt in _source(spec, label):
            if not prompt.text:
                empty += 1
                continue
            earlier = found.get(prompt.id)
            if earlier is None:
                found[prompt.id] = prompt
                continue
            if earlier.label != prompt.label:
                raise InputError(
                    f"one text is labelled {earlier.label} and {prompt.label}: {prompt.text[:60]!r}",
                    where=spec,
                    fix="Take it out of one of the two.",
                )
            repeated += 1
    if not found:
        raise InputError("no prompt was found", where=", ".join(specs))
    return Loaded(tuple(found.values()), repeated, empty)


def _source(spec: str, label: Side | None) -> Iterator[Prompt]:
    source = parse_source(spec)
    if source.path is not None and source.path.is_dir():
        for file in dataset_files(source.path):
            yield from _table(Source(file.name, source.column, file), label or _side_of(file.stem))
        return
    yield from _table(source, label)


def _side_of(name: str) -> Side | None:
    return "unsafe" if "unsafe" in name else "benign" if "benign" in name else None


def _table(source: Source, label: Side | None) -> Iterator[Prompt]:
    layout: _Layout | None = None
    for row in read_source(source):
        if layout is None:
            layout = _Layout.of(row, source, label)
        yield layout.prompt(row)


@dataclass(frozen=True, slots=True)
class _Layout:
    """Which columns of a table say what; "" where none does."""

    source: str
    text: str
    label_column: str
    label: Side | None
    columns: dict[str, str]  # by name in small letters

    @classmethod
    def of(cls, row: Row, source: Source, label: Side | None) -> _Layout:
        names = {name.strip().casefold(): name for name in row.values}
        if source.column is not None:
            text = names.get(source.column.strip().casefold(), "")
            if not text:
                near = get_close_matches(source.column.casefold(), names, n=1)
                raise InputError(
                    f"there is no column {source.column!r}; there are {', '.join(map(repr, names.values()))}",
                    where=row.where,
                    fix=f"Did you mean {names[near[0]]!r}?" if near else "Name one of these: FILE:COLUMN",
                )
        else:
            text = next((names[c] for c in _TEXT if c in names), "")
            if not text and len(names) == 1:
                text = next(iter(names.values()))
            if not text:
                raise InputError(
                    f"no column is plainly the prompt; there are {', '.join(map(repr, names.values()))}",
                    where=source.name,
                    fix=f"Name it: {source.name}:COLUMN",
                )
        label_column = next((names[c] for c in _LABEL_COLUMNS if c in names), "")
        published = {"benign_image_prompt": "benign", "unsafe_image_prompt": "unsafe"}
        overt = "image_prompt" if "generation_type" in names else ""
        known = published.get(text.casefold()) or ("benign" if text.casefold() == overt else None)
        side = label or cast("Side | None", known)
        if side is None and not label_column:
            raise InputError(
                "nothing says whether these prompts are benign or unsafe",
                where=source.name,
                fix="Give --label benign or --label unsafe, or a column 'label' with these two words.",
            )
        # What the user says of a whole file holds only where its rows do not say it themselves.
        return cls(source.name, text, label_column, side, names)

    def prompt(self, row: Row) -> Prompt:
        text = clean_text(self._text(row, self.text))
        identity = prompt_id(text)
        seed = clean_text(self._value(row, "seed_prompt"))
        category = self._value(row, "category") or self._value(row, "type") or "all"
        category = _CATEGORY.get(category.strip().casefold(), category.strip())
        benign = clean_text(self._value(row, "benign_image_prompt"))
        pair = self._value(row, "pair_id") or (
            content_id("pair", prompt_id(benign)) if benign else content_id("pair", identity)
        )
        return Prompt(
            id=identity,
            text=text,
            category=category,
            label=self._label(row),
            strategy="direct" if self._value(row, "strategy") == "direct" or not seed else "convert",
            writer=self._value(row, "writer") or self.source,
            template=self._value(row, "template"),
            trigger=self._value(row, "trigger"),
            style=self._value(row, "style"),
            language=self._value(row, "language") or "en",
            seed_id=self._value(row, "seed_id") or (content_id("seed", seed) if seed else None),
            pair_id=pair,
        )

    def _label(self, row: Row) -> Label:
        if self.label_column:
            said = str(row.values.get(self.label_column, "")).strip().casefold()
            if said in _LABELS:
                return _LABELS[said]
            if self.label is None:
                raise InputError(
                    f"the label is {said[:40]!r}, neither benign nor unsafe",
                    where=row.where,
                    fix="Write benign or unsafe, or give --label for the whole file.",
                )
        assert self.label is not None
        return self.label

    def _text(self, row: Row, column: str) -> str:
        value = row.values.get(column)
        if value is not None and not isinstance(value, str):
            raise InputError(
                f"column {column!r} holds {type(value).__name__} {str(value)[:40]!r}, not text",
                where=row.where,
                fix="Name the column that holds the prompts: FILE:COLUMN",
            )
        return value or ""

    def _value(self, row: Row, name: str) -> str:
        value = row.values.get(self.columns.get(name, ""))
        return value if isinstance(value, str) else ""
