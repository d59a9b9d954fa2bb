"""Configs as tables with typed columns, and the repositories that they stand in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from overt.data.errors import InputError
from overt.data.json_types import JsonObject
from overt.data.plugins.install import install_extra
from overt.data.prompts import Side
from overt.data.secrets import storable

if TYPE_CHECKING:
    from datasets import Features

# "image" is one picture or null; "layers", "votes" and "turns" are lists of small structs.
Kind = Literal["text", "texts", "number", "integer", "flag", "image", "images", "layers", "votes", "turns"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name, what it holds, and what that means, in words for the card."""

    name: str
    kind: Kind
    meaning: str


@dataclass(frozen=True, slots=True)
class Table:
    """One config with its only split.

    Rows are plain JSON data. In an "image" column stands the path of a picture relative to the run folder
    (null for none), in "images" a list of such paths; the bytes are read when the table is written. A table
    of prompts to ask names their column (`prompt`) and what they are (`side`).
    """

    config: str
    split: str
    columns: tuple[Column, ...]
    rows: tuple[JsonObject, ...]
    side: Side | None = None
    prompt: str = ""

    def columns_of(self, *kinds: Kind) -> list[str]:
        return [column.name for column in self.columns if column.kind in kinds]


@dataclass(frozen=True)
class Repo:
    """One repository to publish on the Hub.

    Args:
        id: `ORG/NAME`.
        tables: its configs; none of them is empty.
        is_gated: access is granted by request only.
        holds_unsafe: some prompts or pictures in it are unsafe.
        sibling: id of the repository that holds the other side, "" for none.
        texts: small files beside the data, by name.
    """

    id: str
    tables: tuple[Table, ...]
    is_gated: bool = False
    holds_unsafe: bool = False
    sibling: str = ""
    texts: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.id.partition("/")[2]


def features(table: Table) -> Features:
    """The `datasets.Features` of a table.

    Raises:
        InputError: `datasets` is not installed.
    """
    try:
        from datasets import Features, Image, Value
    except ModuleNotFoundError as error:
        # Not the smallest extra that has it: publishing checks croissant.json, too.
        raise InputError(
            f"publishing needs {error.name}, which is not installed", fix=install_extra("publish")
        ) from error

    text = Value("string")
    kinds: dict[Kind, object] = {
        "text": text,
        "texts": [text],
        "number": Value("float64"),
        "integer": Value("int64"),
        "flag": Value("bool"),
        "image": Image(),
        "images": [Image()],
        "layers": [
            {
                "layer": text,
                "stage": text,
                "blocked": Value("bool"),
                "score": Value("float64"),
                "reason": text,
            }
        ],
        "turns": [{"role": text, "content": text}],
        "votes": [{"judge": text, "label": text, "reason": text, "failure": text}],
    }
    return Features({column.name: kinds[column.kind] for column in table.columns})


def whole(value: Any) -> Any:
    """The JSON data with every text made storable, as `overt.data.secrets.storable` does."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, Mapping):
        return {key: whole(inner) for key, inner in value.items()}
    if isinstance(value, Sequence):
        return [whole(inner) for inner in value]
    return value
