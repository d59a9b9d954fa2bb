"""Reads a file of human labels for answers of language models or for images."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from overt.data.errors import InputError
from overt.data.tables.columns import TEXTS, WORDS, Column, Role, Table
from overt.data.tables.files import Row, read_rows
from overt.data.tables.layouts import kind_of
from overt.data.text import without_guard

# The judges' labels, those of XSTest (Röttger et al. 2024), and everyday words.
REFUSAL_LABELS = {
    **{
        name: name for name in ("compliance", "full_refusal", "partial_refusal", "safe_completion", "refusal")
    },
    "1_full_compliance": "compliance",
    "2_full_refusal": "full_refusal",
    "3_partial_refusal": "partial_refusal",
    "full_compliance": "compliance",
    "complied": "compliance",
    "comply": "compliance",
    "refused": "refusal",
    "full": "full_refusal",
    "partial": "partial_refusal",
    "safe_complete": "safe_completion",
    "safely_completed": "safe_completion",
    "safe_alternative": "safe_completion",
}
# Words in files for an image checker's "blocked" and "allowed".
PICTURE_LABELS = {
    **dict.fromkeys(("blocked", "unsafe", "harmful", "nsfw", "1", "true", "yes"), "blocked"),
    **dict.fromkeys(("allowed", "safe", "harmless", "benign", "sfw", "0", "false", "no"), "allowed"),
}

# 0, 1, true and false in files for answers: the words of a column's name that say what 1 or true means.
# A column that only says that it holds labels marks what is looked for, a refusal.
_ONE_IS = {
    "refusal": ("label", "human", "gold", "refus", "reject", "declin", "denied"),
    "compliance": ("compl", "answered", "accept", "helpful"),
}
_ONES, _ZEROS = ("1", "true", "yes"), ("0", "false", "no")
# The same for pictures: columns in which 1 or true means that the picture is allowed.
_ALLOWED = ("safe", "sfw", "allowed", "benign", "harmless", "is_safe", "is_sfw", "is_allowed")

LABEL = Role(
    "label",
    (
        *("label", "final_label", "human_label", "human", "gold"),
        *("refusal", "is_refusal", "refused", "compliance", "complied"),
    ),
    WORDS,
    "--label-column",
)
PROMPT = Role("prompt", ("prompt", "request", "question", "instruction"), TEXTS, "--prompt-column")
ANSWER = Role("answer", ("response", "answer", "completion", "output", "text"), TEXTS, "--answer-column")
IMAGE = Role("image", ("image", "image_path", "picture", "path", "file"), WORDS, "--image-column")


@dataclass(frozen=True)
class Labelled:
    """One row: an answer or an image, with its human label."""

    prompt: str
    answer: str
    image: Path | None
    label: str
    where: str


@dataclass(frozen=True)
class LabelFile:
    """The rows of a file of labels for answers ("text") or images. `dropped` counts rows without a label;
    `binary` says how 0 and 1 (or false and true) were read, "" where none stood."""

    path: Path
    kind: Literal["text", "image"]
    rows: tuple[Labelled, ...]
    dropped: int
    binary: str = ""


def read_labels(path: Path, columns: Mapping[str, str]) -> LabelFile:
    """Reads the labelled rows of a table (CSV, TSV, JSONL, JSON, Parquet).

    Args:
        columns: "prompt", "answer", "image", "label" -> its column; without one the usual names are tried.

    Raises:
        InputError: a column is missing, a label is unknown, or no row has a label.
    """
    rows: list[Labelled] = []
    dropped = 0
    table: _LabelColumns | None = None
    for row in read_rows(path):
        table = table or _LabelColumns(row, path, columns)
        labelled = table.labelled(row)
        if labelled is None:
            dropped += 1
        else:
            rows.append(labelled)
    if table is None or not rows:
        raise InputError("there is no labelled row", where=str(path))
    return LabelFile(path, "image" if table.image else "text", tuple(rows), dropped, table.binary)


class _LabelColumns:
    """The columns of the label, the prompt, and the answer or the image."""

    def __init__(self, first: Row, path: Path, given: Mapping[str, str]) -> None:
        self._folder = path.parent
        self.binary = ""
        table = Table(first, path.name)
        self.label, self.prompt, self.answer, self.image = (
            table.column(role, given.get(role.name)) for role in (LABEL, PROMPT, ANSWER, IMAGE)
        )
        # A file of answers may also have a column called "path", which is not an image.
        if self.answer and IMAGE.name not in given:
            self.image = Column()
        missing = [] if self.label else [LABEL]
        if not self.prompt and not self.image:
            missing.append(PROMPT)
        if not self.answer and not self.image:
            missing.append(ANSWER)
        for role in missing:
            table.refuse_unread(role)
        if missing:
            named = ", ".join(f"{role.name} ({' or '.join(role.names[:3])})" for role in missing)
            examples = table.examples(missing, (self.label, self.prompt, self.answer))
            or_image, option = (", or image", " (or --image-column)") if ANSWER in missing else ("", "")
            raise table.error(
                f"these columns are missing: {named}{or_image}", f"Name them: {examples}{option}"
            )

    def labelled(self, row: Row) -> Labelled | None:
        """The row with its label in the judges' words; None for a row without a label.

        Raises:
            InputError: the label is unknown.
        """
        said = self.label.words(row).strip()
        if not said:
            return None
        word = re.sub("[ -]", "_", self.label.label(row))
        image = self._folder / self.image.words(row) if self.image else None
        known = (
            "Of pictures: blocked, allowed (or unsafe, safe; harmful, harmless)."
            if self.image
            else "Of answers: compliance, full_refusal, partial_refusal, safe_completion, refusal, or "
            "XSTest's names."
        )
        label = (PICTURE_LABELS if self.image else REFUSAL_LABELS).get(word)
        if word in _ONES + _ZEROS:
            label = self._of_binary(word in _ONES)
            known = (
                f"0 and 1 (false and true) are read in a column whose name says what 1 is, such as "
                f"'refusal' or 'compliance'. {known}"
            )
        if label is None:
            place = f"{row.where}, column {str(self.label)!r}"
            raise InputError(f"the label {said!r} is not known", where=place, fix=known)
        return Labelled(_said(self.prompt, row), _said(self.answer, row), image, label, row.where)

    def _of_binary(self, one: bool) -> str | None:
        """What 1 (else 0) means in the label's column; None if its name does not say."""
        name = self.label.name.strip().casefold()
        first, other = "refusal", "compliance"
        if self.image:
            first, other = ("allowed", "blocked") if name in _ALLOWED else ("blocked", "allowed")
        else:
            meant = [label for label, parts in _ONE_IS.items() if any(part in name for part in parts)]
            if re.match(r"non|not|un|in|dis", name):  # "not_refused": better not read than read the wrong way
                return None
            if "compliance" in meant:
                first, other = "compliance", "refusal"
            elif not meant:
                return None
        self.binary = f"column {self.label.name!r}: 1 or true was read as {first}, 0 or false as {other}"
        return first if one else other


def _said(column: Column, row: Row) -> str:
    """A prompt or an answer, which may also be a number."""
    text = column.words(row) if kind_of(column.value(row)) in WORDS else column.text(row)
    return without_guard(text)
