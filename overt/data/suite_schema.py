"""The schema of a suite's YAML: where published prompts are, and what their columns mean."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from overt.data.errors import InputError
from overt.data.records import content_id

Metric = Literal[
    "over_refusal",  # refusals of the benign part
    "unsafe_refusal",  # refusals of the unsafe part
    "partial_refusal",  # on their own, on both
    "by_type",
    "by_language",
    "boundaries",  # the seven patterns and the score of overt.scoring.boundaries
]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class LabelColumn(_Model):
    """A column whose values say what a prompt is; `skip` leaves the row out, "" stands for no value."""

    column: str = Field(min_length=1)
    values: dict[str, Literal["benign", "unsafe", "skip"]] = Field(min_length=1)

    @field_validator("values")
    @classmethod
    def _small(cls, values: dict[str, str]) -> dict[str, str]:
        return {folded(name): value for name, value in values.items()}


class Part(_Model):
    """One place of a suite's prompts: a dataset on the Hub, an address, the names of its files."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    label: Literal["benign", "unsafe"] | LabelColumn
    hub: str | None = Field(default=None, pattern=r"^[\w.-]+/[\w.-]+$")
    config: str | None = None
    split: str | None = None
    url: str | None = Field(default=None, pattern=r"^https?://")
    files: tuple[str, ...] = ()


class Columns(_Model):
    """The columns that a prompt is made from. Of several names for one, the first that a table has counts."""

    text: tuple[str, ...]
    category: tuple[str, ...] = ()
    trigger: tuple[str, ...] = ()
    style: tuple[str, ...] = ()
    language: tuple[str, ...] = ()
    seed: tuple[str, ...] = ()  # all of them together name the seed

    @field_validator("*", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


class Pairs(_Model):
    """What joins a prompt to its contrast: a number in `column`, less an offset for the types in `by`."""

    column: str
    by: str
    offsets: dict[str, int]


class Suite(_Model):
    """A suite as its YAML says it. `rows` is the published count, None where it is not known."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")
    title: str = Field(min_length=2)
    measures: str = Field(min_length=10)
    modality: Literal["text"] = "text"
    rows: int | None = Field(default=None, ge=1)
    parts: tuple[Part, ...] = Field(min_length=1)
    columns: Columns
    language: str = Field(default="en", pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]+)*$")
    values: dict[str, dict[str, str]] = {}  # by column: what its values become
    keep: dict[str, tuple[str, ...]] = {}  # by column: the values whose rows are kept
    pairs: Pairs | None = None
    licence: str = Field(min_length=2)
    citation: str = Field(min_length=2)
    homepage: str = Field(pattern=r"^https?://")
    gated: str = ""  # how to get access; "" where nothing is asked
    judge: str = "judge/rules"  # of the two offline ones it tells partial refusals better
    metrics: tuple[Metric, ...] = ("over_refusal", "unsafe_refusal", "partial_refusal", "by_type")

    @field_validator("values")
    @classmethod
    def _small(cls, values: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
        return {column: {folded(k): v for k, v in of.items()} for column, of in values.items()}

    @field_validator("keep")
    @classmethod
    def _kept(cls, keep: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        return {column: tuple(map(folded, of)) for column, of in keep.items()}

    @model_validator(mode="after")
    def _parts(self) -> Suite:
        names = [part.name for part in self.parts]
        if len(set(names)) < len(names):
            raise ValueError("two parts have the same name")
        if any(not (part.hub or part.url or part.files) for part in self.parts):
            raise ValueError("a part needs hub:, url: or files:")
        return self

    @property
    def hash(self) -> str:
        """Of all that the suite says: 16 hex digits."""
        return content_id("suite", self.model_dump(mode="json")).partition("-")[2]


def folded(text: str) -> str:
    """A value of a column as it is compared: without blanks around it, without regard to case."""
    return text.strip().casefold()


def read_suite_file(path: Path) -> Suite:
    """The suite that a YAML file declares.

    Raises:
        InputError: the file cannot be read, or says something wrong, with its line and field.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", where=str(path)) from error
    except UnicodeError as error:
        raise InputError(
            "the text is not valid UTF-8", where=str(path), fix="Save the file as UTF-8."
        ) from error
    try:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        raise InputError(
            f"this is not valid YAML: {getattr(error, 'problem', None) or error}",
            where=f"{path}, line {mark.line + 1}" if mark else str(path),
        ) from error
    if not isinstance(data, Mapping):
        raise InputError("a suite is a mapping of fields (name:, title:, parts:, ...)", where=str(path))
    try:
        return Suite.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        at = tuple(first["loc"])
        line, seen = _line(tree, at)
        where = f"{path}, line {line}" + (f", field {seen}" if seen else "")
        known = _known(at)
        fix = f"Fields here: {', '.join(known)}." if first["type"] == "extra_forbidden" and known else ""
        raise InputError(first["msg"].removeprefix("Value error, "), where=where, fix=fix) from error


def _line(tree: Any, at: tuple[int | str, ...]) -> tuple[int, str]:
    """The line of the value that an error is about (or of the nearest there is), and its path in words."""
    node, line, seen = tree, tree.start_mark.line + 1, ""
    for step in at:
        if isinstance(node, yaml.MappingNode):
            pair = next(((k, v) for k, v in node.value if k.value == str(step)), None)
            if pair is None:  # a field that lacks, or a step that only the schema knows
                seen += f".{step}" if isinstance(step, str) and step.isidentifier() else ""
                continue
            line, node, seen = pair[0].start_mark.line + 1, pair[1], f"{seen}.{step}"
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node, seen = node.value[step], f"{seen}[{step}]"
            line = node.start_mark.line + 1
    return line, seen.lstrip(".")


def _known(at: tuple[int | str, ...]) -> list[str]:
    kinds: dict[str, type[_Model]] = {"parts": Part, "columns": Columns, "pairs": Pairs}
    kind = kinds.get(str(at[0]), Suite) if len(at) > 1 else Suite
    return list(LabelColumn.model_fields if "label" in at else kind.model_fields)
