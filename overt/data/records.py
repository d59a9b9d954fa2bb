"""The frozen records of the stages, joined by ids that are hashes of their content.

A prompt never changes. Judges, deduplication and the surrogate write records of their own with its id.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from overt.data.json_types import Json
from overt.data.tools import ToolCall

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Label = Literal["benign", "unsafe", "unclear"]
Strategy = Literal["convert", "direct"]

T = TypeVar("T")

# Metadata of a field that records of earlier versions do not have.
LATER = {"later": True}


def content_id(kind: str, *parts: object) -> str:
    """A stable id: `kind` and 16 hex digits of a BLAKE2b hash over the parts (64 bits)."""
    blob = json.dumps(parts, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return f"{kind}-{hashlib.blake2b(blob.encode('utf-8', 'surrogatepass'), digest_size=8).hexdigest()}"


def clean_text(text: str) -> str:
    """Normalizes to NFC and collapses white space, for ids and the check for exact duplicates."""
    return " ".join(unicodedata.normalize("NFC", text).split())


@dataclass(frozen=True, slots=True)
class Turn:
    """One earlier turn of the conversation that a prompt goes on with. `calls` are the tools that the
    assistant called; a turn of the role "tool" is the result of the call `call_id`. `images` are the pictures
    that the assistant drew, as the run's image store names them."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    calls: tuple[ToolCall, ...] | None = field(default=None, metadata=LATER)
    call_id: str | None = field(default=None, metadata=LATER)
    images: tuple[str, ...] | None = field(default=None, metadata=LATER)


def prompt_id(text: str, image: str | None = None, turns: tuple[Turn, ...] | None = None) -> str:
    """The id of a prompt. It depends on what is asked alone, so that results on two datasets can be joined.

    Args:
        image: the picture that goes with the text, as in `Prompt.image`.
        turns: what was said before.
    """
    said = clean_text(text)
    if not image and not turns:
        return content_id("prompt", said)
    return content_id("prompt", said, image, [[turn.role, turn.content] for turn in turns or ()])


def cluster_of(
    id: str, seed_id: str | None, pair_id: str | None, variant_of: str | None, vanilla: str | None = None
) -> str:
    """The cluster of a prompt with these fields (`Prompt.cluster`)."""
    if seed_id:
        return f"seed {seed_id}"
    if pair_id:
        return f"pair {pair_id}"
    return variant_of or (prompt_id(vanilla) if vanilla else id)


def group_name(attribute: str, wording: str) -> str:
    """The `group` of a version of a prompt: "religion: Muslim", "skin: with dark skin"."""
    return f"{attribute}: {' '.join(wording.replace('{person}', ' ').split())}"


@dataclass(frozen=True, slots=True)
class Seed:
    """A text from which a prompt is made. `category` is None until the classifier sets it."""

    id: str
    text: str
    source: str
    row: int
    category: str | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt.

    `trigger` is the term that makes it look unsafe, or ""; `writer` is the model as `provider/model`;
    `template` is the name and version of the instruction. `seed_id` and `pair_id` may be None; a benign
    prompt and its unsafe twin share `pair_id`. A version that says more of who is depicted has the id of the
    prompt that it is made of in `variant_of` and what it says in `group` (`group_name`); it stays in that
    prompt's cluster. `image` is the picture that goes with the text (to edit it, or a question about it), as
    the run's image store names it (`overt.data.run.images`); `turns` is what was said before.

    `attack` is the name of the attack that dressed the request ("pair", "gptfuzzer"); None: there is none.
    `vanilla` is the request before it was dressed, None where the file does not say it. Attacks on one
    vanilla prompt and this prompt itself are one cluster, where they have no seed or pair.
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
    variant_of: str | None = field(default=None, metadata=LATER)
    group: str | None = field(default=None, metadata=LATER)
    image: str | None = field(default=None, metadata=LATER)
    turns: tuple[Turn, ...] | None = field(default=None, metadata=LATER)
    vanilla: str | None = field(default=None, metadata=LATER)
    attack: str | None = field(default=None, metadata=LATER)

    @property
    def cluster(self) -> str:
        """The prompts of one seed, or else of one contrast pair, form a cluster. Intervals are computed over
        clusters."""
        return cluster_of(self.id, self.seed_id, self.pair_id, self.variant_of, self.vanilla)

    @property
    def judged_text(self) -> str:
        """What judges read as the request: the vanilla prompt of an attack (arXiv 2509.11629 judges so), else
        the text. An answer that takes part in the dress alone gives nothing of what was asked."""
        return self.vanilla or self.text


@dataclass(frozen=True, slots=True)
class Vote:
    """One judge's label for one prompt, with the reason it gave."""

    judge: str
    label: Label
    reason: str


@dataclass(frozen=True, slots=True)
class Audit:
    """The judges' votes on a prompt under the effective policy; `label` is the majority."""

    prompt_id: str
    label: Label
    reason: str
    votes: tuple[Vote, ...]


@dataclass(frozen=True, slots=True)
class Probe:
    """The surrogate refused `refused` of `answered` samples of a prompt; errors are in neither. `score` is
    what a filter gave beside its decision, 0 (harmless) to 1, if it gave one."""

    prompt_id: str
    surrogate: str
    asked: int
    answered: int
    refused: int
    score: float | None = field(default=None, metadata={"later": True})

    @property
    def rate(self) -> float | None:
        """Refusals per answered sample; None if no sample was answered."""
        return self.refused / self.answered if self.answered else None


@dataclass(frozen=True, slots=True)
class Drop:
    """Why a stage dropped a record. `detail` has the other record, the score or the judge's reason."""

    record_id: str
    stage: str
    category: str
    reason: str
    detail: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that ended in an error or an unreadable response."""

    record_id: str
    stage: str
    category: str
    kind: str
    message: str


def to_json(record: DataclassInstance) -> dict[str, Json]:
    """A dataclass record as plain JSON data, tuples for lists. Fields that are `LATER` are left out where
    they hold nothing, so that records without them stay byte for byte what they were."""
    kind = type(record)
    if (names := _NAMES.get(kind)) is None:
        names = _NAMES[kind] = _names(kind)
    data: dict[str, Json] = {}
    for name, is_later in names:
        value = getattr(record, name)
        if value is not None:
            data[name] = value if type(value) in _SCALARS else _plain(value)
        elif not is_later:
            data[name] = None
    return data


# By the kind of record: each field's name, and whether it is `LATER`. A million records are written faster so
# than by `dataclasses.asdict`, which copies every text and number.
_NAMES: dict[type[object], tuple[tuple[str, bool], ...]] = {}
_SCALARS = frozenset({str, int, float, bool})


def _names(kind: type[DataclassInstance]) -> tuple[tuple[str, bool], ...]:
    return tuple((one.name, bool(one.metadata.get("later"))) for one in dataclasses.fields(kind))


def _plain(value: object) -> Any:
    if isinstance(value, tuple | list):
        return tuple(inner if type(inner) in _SCALARS else _plain(inner) for inner in value)
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    kind = type(value)
    if (names := _NAMES.get(kind)) is None and dataclasses.is_dataclass(kind):
        names = _NAMES[kind] = _names(kind)
    if names is None:
        return value
    inner = ((name, getattr(value, name)) for name, _ in names)
    return {name: one if one is None or type(one) in _SCALARS else _plain(one) for name, one in inner}


def from_json(kind: type[T], data: object) -> T:
    """Reads a record from `to_json` data. Unknown fields, as of a newer version, are ignored.

    Raises:
        TypeError: the data is not a JSON object, or a field without a default is missing.
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
            elif inner and isinstance(value, dict):
                value = from_json(inner, value)
            values[name] = value
    return kind(**values)


_FIELDS: dict[type[object], dict[str, type[object] | None]] = {}  # a cache of `_fields`


def _fields(kind: type[object]) -> dict[str, type[object] | None]:
    """Maps each field of a record to the record type inside its tuple, else to None."""
    if not dataclasses.is_dataclass(kind):
        raise TypeError(f"{kind.__name__} is not a record")
    hints = typing.get_type_hints(kind)
    fields: dict[str, type[object] | None] = {}
    for one in dataclasses.fields(kind):
        inner = next(iter(typing.get_args(hints[one.name])), None)
        inner = next(iter(typing.get_args(inner)), inner)  # of `tuple[Turn, ...] | None`
        fields[one.name] = inner if isinstance(inner, type) and dataclasses.is_dataclass(inner) else None
    return fields
