"""Reads the answers that stand beside the prompts of a table: published completions, or one's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from overt.data.labels import LABEL, REFUSAL_LABELS
from overt.data.prompts import rows_with_prompts
from overt.data.records import Prompt
from overt.data.suites.rows import labelled_rows, parts_of
from overt.data.suites.schema import Suite
from overt.data.tables.columns import TEXTS, Column, Role, Table
from overt.data.tables.files import Row

_ANSWER = Role("answer", ("completion", "response", "answer", "output"), TEXTS)


@dataclass(frozen=True, slots=True)
class FileAnswer:
    """An answer to a prompt. `label`: what a person said of it, in the words of the refusal judges; "" where
    the table has no such label. The prompt's own label is right only where its source says it."""

    prompt: Prompt
    text: str
    label: str = ""


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
                yield from found.answers(row, columns.prompt(row, label)[0])
        return
    for spec in specs:
        at, found = None, None
        for table, row, prompt in rows_with_prompts(spec):
            if found is None or table is not at:
                at, found = table, _Columns(Table(row, table.name), besides=table.column)
            yield from found.answers(row, prompt)


class _Columns:
    """The columns of the answer, and of what a person said of it."""

    def __init__(self, table: Table, besides: str | None = None) -> None:
        answer = table.column(_ANSWER)
        self._answer = Column() if answer.name == besides else answer
        self._labels = table.columns_of(LABEL)  # "label" is often that of the prompt, with another beside it

    def answers(self, row: Row, prompt: Prompt) -> Iterator[FileAnswer]:
        if text := _said(self._answer.value(row)).strip():
            said = (REFUSAL_LABELS.get(column.label(row), "") for column in self._labels)
            yield FileAnswer(prompt, text, next(filter(None, said), ""))


def _said(value: object) -> str:
    """An answer: a text, or the only message of a list."""
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence) and len(value) == 1 and isinstance(value[0], Mapping):
        content = value[0].get("content")
        return content if isinstance(content, str) else ""
    return ""
