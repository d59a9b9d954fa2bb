"""The records that flow through the stages: small, frozen, joined by ids made from their content.

No record grows. A prompt is written once; what judges, the deduper and the surrogate say of it are
records of their own that name it by id. The same content gives the same id on any machine.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from overt.data.json_types import Json

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Label = Literal["benign", "unsafe", "unclear"]
Strategy = Literal["convert", "direct"]

T = TypeVar("T")


def content_id(kind: str, *parts: object) -> str:
    """A stable id: `kind` and 16 hex digits of a BLAKE2b hash over the parts (64 bits)."""
    blob = json.dumps(parts, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return f"{kind}-{hashlib.blake2b(blob.encode('utf-8', 'surrogatepass'), digest_size=8).hexdigest()}"


def clean_text(text: str) -> str:
    """NFC, and runs of white space as one blank: what ids and exact-repeat checks look at."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def prompt_id(text: str) -> str:
    """The id of a prompt is that of its text alone, so results on two datasets join on it."""
    return content_id("prompt", clean_text(text))


@dataclass(frozen=True, slots=True)
class Seed:
    """A text that a prompt is made from. `category` is None until the classifier has placed it."""

    id: str
    text: str
    source: str
    row: int
    category: str | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt as written: never changed after.

    `trigger` is the term that makes it look bad ("" if the writer named none); `writer` the model
    as `provider/model`; `template` the instruction's name and version; `seed_id` and `pair_id` are
    None where there is no seed or no twin. A benign prompt and its unsafe twin share `pair_id`.
    """

    id: str
    text: str
    category: str
    label: Label
    strategy: Strategy
    writer: str
    template: str
    trigger: str = ""
    style: str = ""
    language: str = "en"
    seed_id: str | None = None
    pair_id: str | None = None

    @property
    def cluster(self) -> str:
        """What shares its fate with this prompt: those of one seed, else the two of a pair. Intervals are
        made over clusters, not over prompts."""
        if self.seed_id:
            return f"seed {self.seed_id}"
        return f"pair {self.pair_id}" if self.pair_id else self.id


@dataclass(frozen=True, slots=True)
class Vote:
    """One judge's label for one prompt, with the reason it gave."""

    judge: str
    label: Label
    reason: str


@dataclass(frozen=True, slots=True)
class Audit:
    """What the judges said of a prompt under the effective policy; `label` is the majority."""

    prompt_id: str
    label: Label
    reason: str
    votes: tuple[Vote, ...]


@dataclass(frozen=True, slots=True)
class Probe:
    """What the surrogate did with a prompt: `refused` of `answered` samples (errors are in neither)."""

    prompt_id: str
    surrogate: str
    asked: int
    answered: int
    refused: int

    @property
    def rate(self) -> float | None:
        """Refusals per answered sample; None when no sample was answered."""
        return self.refused / self.answered if self.answered else None


@dataclass(frozen=True, slots=True)
class Drop:
    """Why a record went no further. `detail` names the other record, the score, the judge's reason."""

    record_id: str
    stage: str
    category: str
    reason: str
    detail: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that gave nothing usable, kept as a datum: an error or an unreadable answer."""

    record_id: str
    stage: str
    category: str
    kind: str
    message: str


def to_json(record: DataclassInstance) -> dict[str, Json]:
    """A dataclass record as plain JSON data; tuples become lists."""
    return dataclasses.asdict(record)


def from_json(kind: type[T], data: object) -> T:
    """The record back from `to_json` data. Fields that a newer version wrote are ignored.

    Raises:
        TypeError: it is no JSON object, or a field without a default is missing.
    """
    if not isinstance(data, dict):
        raise TypeError(f"{type(data).__name__} instead of an object")
    if (fields := _FIELDS.get(kind)) is None:
        fields = _FIELDS[kind] = _fields(kind)
    values: dict[str, object] = {}
    for name, inner in fields.items():
        if name in data:
            value = data[name]
            if isinstance(value, list):
                value = tuple(from_json(inner, item) if inner else item for item in value)
            values[name] = value
    return kind(**values)


_FIELDS: dict[type[object], dict[str, type[object] | None]] = {}  # of the records met so far


def _fields(kind: type[object]) -> dict[str, type[object] | None]:
    """The fields of a record, and the records that its tuples hold (None for anything else)."""
    if not dataclasses.is_dataclass(kind):
        raise TypeError(f"{kind.__name__} is not a record")
    hints = typing.get_type_hints(kind)
    found: dict[str, type[object] | None] = {}
    for field in dataclasses.fields(kind):
        inner = next(iter(typing.get_args(hints[field.name])), None)
        found[field.name] = inner if isinstance(inner, type) and dataclasses.is_dataclass(inner) else None
    return found
