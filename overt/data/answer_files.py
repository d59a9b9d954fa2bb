"""Reads the answers that stand beside the prompts of a table: published completions, or one's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from overt.data.labels import LABEL, REFUSAL_LABELS
from overt.data.prompts import PROMPT
from overt.data.records import clean_text, prompt_id
from overt.data.suites.rows import labelled_rows, parts_of
from overt.data.suites.schema import Suite
from overt.data.tables.columns import TEXTS, Column, Role, Table
from overt.data.tables.files import Row
from overt.data.tables.sources import parse_source

_ANSWER = Role("answer", ("completion", "response", "answer", "output"), TEXTS)


@dataclass(frozen=True, slots=True)
class FileAnswer:
    """An answer to a prompt. `label`: what a person said of it, in the words of the refusal judges; "" where
    the table has no such label. `prompt`: the prompt's text, "" of a suite."""

    prompt_id: str
    text: str
    label: str = ""
    prompt: str = ""


def read_answers(specs: Sequence[str], suite: Suite | None = None) -> Iterator[FileAnswer]:
    """The answers in tables, in the order of their rows; none where a table has no column of answers.

    Args:
        specs: sources of prompts (`overt.data.prompts.read_prompts`), or the files of `suite`.

    Raises:
        InputError: a source cannot be read.
    """
    if suite is not None:
        for part, file in parts_of(suite, specs):
            found: _Columns | None = None
            for columns, row, label in labelled_rows(suite, part, file):
                found = found or _Columns(Table(row, file or part.name))
                yield from found.answers(row, columns.prompt(row, label)[0].id)
        return
    for spec in specs:
        source = parse_source(spec)
        for table in source.tables():
            text, found = Column(), None
            for row in table.rows():
                if found is None:
                    named = Table(row, table.name)
                    text = named.needed(PROMPT, source.column)[0]
                    found = _Columns(named, besides=text)
                prompt = clean_text(text.text(row))
                yield from found.answers(row, prompt_id(prompt), prompt)


class _Columns:
    """The columns of the answer, and of what a person said of it."""

    def __init__(self, table: Table, besides: Column | None = None) -> None:
        answer = table.column(_ANSWER)
        self._answer = Column() if besides is not None and answer.name == besides.name else answer
        self._label = table.column(LABEL)

    def answers(self, row: Row, of: str, prompt: str = "") -> Iterator[FileAnswer]:
        if text := _said(self._answer.value(row)).strip():
            yield FileAnswer(of, text, REFUSAL_LABELS.get(self._label.label(row), ""), prompt)


def _said(value: object) -> str:
    """An answer: a text, or the only message of a list."""
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence) and len(value) == 1 and isinstance(value[0], Mapping):
        content = value[0].get("content")
        return content if isinstance(content, str) else ""
    return ""
