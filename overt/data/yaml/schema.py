"""The base of the models of YAML files, field types, JSON Schema, and validation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, ClassVar, NoReturn, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import CoreSchema, ErrorDetails, PydanticCustomError, core_schema

from overt.data.errors import InputError
from overt.data.json_types import JsonObject
from overt.data.yaml.problems import Mark, Problems, TreeError, YamlError, nearest
from overt.data.yaml.tree import MAX_BYTES, MAX_DEPTH, Scalar, decode, parse
from overt.data.yaml.values import (
    About,
    Ambiguous,
    Document,
    Empty,
    Entries,
    Place,
    Real,
    Step,
    Steps,
    Text,
    Whole,
    found,
    named,
)
from overt.data.yaml.words import explain

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fault:
    """A problem that a schema's own rule found.

    Attributes:
        message: "{found}" in it is replaced by a description of the value.
        at: the steps from the validated value to the wrong one.
    """

    message: str
    hint: str = ""
    at: Steps = ()

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


@dataclass
class Faults:
    """Collects the faults that a rule finds."""

    found: list[Fault] = field(default_factory=list)

    def add(self, message: str, hint: str = "", at: Steps = ()) -> None:
        self.found.append(Fault(message, hint, at))

    def raise_any(self) -> None:
        """Raises a validation error if anything was added."""
        if self.found:
            said = "; ".join(map(str, self.found))
            raise PydanticCustomError("faults", "{said}", {"said": said, "faults": tuple(self.found)})


def fault(message: str, hint: str = "", at: Steps = ()) -> NoReturn:
    """Raises a validation error for one fault."""
    faults = Faults()
    faults.add(message, hint, at)
    faults.raise_any()
    raise AssertionError


class Schema(BaseModel):
    """A mapping of fields. It is frozen, refuses unknown fields, and keeps its places in the file."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    # A slot and not a field, so that the place counts neither in comparisons nor in a dump.
    __slots__ = ("_place",)

    @property
    def _entries(self) -> Entries | None:
        place = getattr(self, "_place", None)
        return place if isinstance(place, Entries) else None

    how_to_begin: ClassVar[str] = "write its fields, each with a ':' after its name"

    @classmethod
    @cache
    def fields(cls) -> dict[str, About]:
        """The fields by their written names, for messages."""
        return {
            info.alias or name: About(
                str(info.examples[0]) if info.examples else "...", info.description or ""
            )
            for name, info in cls.model_fields.items()
        }

    @classmethod
    def from_short(cls, value: object) -> object:
        """Expands a short form: a trigger may be written as its term alone."""
        return value

    @model_validator(mode="wrap")
    @classmethod
    def _with_places(cls, value: object, handler: ModelWrapValidatorHandler[Schema]) -> Schema:
        value = cls.from_short(value)
        if isinstance(value, Entries):
            value.fields = cls.fields()
        elif not isinstance(value, (dict, cls)):
            fault(f"expected a mapping with {', '.join(cls.fields())}, found {{found}}", cls.how_to_begin)
        made = handler(value)
        if isinstance(value, Entries):
            object.__setattr__(made, "_place", value)
        return made

    def mark_of(self, name: str = "") -> Mark:
        """The place of a field's value, or of the mapping if no name is given."""
        if self._entries is None:
            return Mark("", 0, 0)
        return self._entries.mark_of(name) if name else self._entries.node.mark

    def names(self, name: str) -> bool:
        """Whether the file has this field, with a valid value or not."""
        return self._entries is not None and any(key.text == name for key, _ in named(self._entries.node))


# -- field types ------------------------------------------------------------------------------------------


def _as_number(value: object) -> object:
    number = value.number if isinstance(value, Text) else None
    return value if number is None else number


def _as_written(value: object) -> object:
    return value.node.text if isinstance(value, (Whole, Real, Ambiguous)) else value


def _none_if_empty(value: object) -> object:
    return None if isinstance(value, Empty) else value


def _list_if_empty(value: object) -> object:
    return () if isinstance(value, Empty) else value


class _Listed:
    """Accepts one entry without a list around it."""

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._listed, handler(source))

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        made = handler(core)
        return {"anyOf": [made["items"], made]}

    @staticmethod
    def _listed(value: object) -> object:
        return value if isinstance(value, (tuple, list)) else (value,)


def itself(text: str) -> str:
    """The key of `unique` for lists of texts."""
    return text


def unique(key: Callable[[T], str], step: Sequence[Step] = ()) -> Callable[[tuple[T, ...]], tuple[T, ...]]:
    """Makes a validator: no two entries of a list have the same key. Case does not count.

    Args:
        key: entry -> the text that must be unique.
        step: the steps from an entry to that text.
    """

    def check(entries: tuple[T, ...]) -> tuple[T, ...]:
        seen: dict[str, str] = {}
        faults = Faults()
        for n, entry in enumerate(entries):
            name = key(entry)
            first = seen.get(name.casefold())
            if first is None:
                seen[name.casefold()] = name
            else:
                line = f"; the first is in line {first.mark.line}" if isinstance(first, Text) else ""
                faults.add(f"{str(name)!r} stands twice{line}", "keep one of them", (n, *step))
        faults.raise_any()
        return entries

    return check


AsNumber = BeforeValidator(_as_number)
Number = Annotated[float, AsNumber]
# A text that may look like a number and is kept as written: version: 1.10
AsWritten = BeforeValidator(_as_written)
Label = Annotated[str, AsWritten, WithJsonSchema({"type": ["string", "number"]})]
NoneIfEmpty = BeforeValidator(_none_if_empty)
ListIfEmpty = BeforeValidator(_list_if_empty)
Listed = _Listed()
Filled = Annotated[str, Field(min_length=1)]


def shape(value: object) -> str:
    """The tag of pydantic's Discriminator for a union of a mapping and a single value."""
    return "{mapping}" if isinstance(value, (dict, BaseModel)) else "{value}"


# -- JSON Schema ------------------------------------------------------------------------------------------


class _JsonSchema(GenerateJsonSchema):
    """Optional fields may be left out but not null; every field has a title."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        made = super().default_schema(schema)
        if made.get("default", "") in (None, "", [], {}):
            made.pop("default", None)
        return made

    def field_title_should_be_set(self, schema: object) -> bool:
        return True


def json_schema(model: type[object], what: str) -> JsonObject:
    """The JSON Schema (draft 2020-12) of a kind of file, for editors."""
    made = TypeAdapter(model).json_schema(schema_generator=_JsonSchema)
    urn = f"urn:overt:{what.replace(' ', '-')}"
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": urn, "title": f"overt {what}"}
    return {**made, **head}


# -- reading a file ------------------------------------------------------------------------------------------


# Each round of validation leaves out the values that the last one rejected. A rejected value can make its
# mapping invalid, and so on up.
_MAX_ROUNDS = 2 * MAX_DEPTH


def read_yaml(path: Path, model: type[T], *, what: str) -> T:
    """Reads a file into a model.

    Args:
        model: a `Schema`, or any type that pydantic can validate.
        what: the kind of file in messages, such as "policy".

    Raises:
        InputError: the file cannot be read.
        YamlError: the file is not YAML or not valid; the error holds every problem.
    """
    return parse_yaml(read_bytes(path, what), str(path), model, what=what)


def parse_yaml(data: bytes, file: str, model: type[T], *, what: str) -> T:
    """Like `read_yaml`, for the bytes of a file."""
    problems = Problems()
    made = read_parts(data, file, model, problems, what=what)
    if made is None or problems.found:
        raise YamlError(problems.found, what)
    return made


def read_bytes(path: Path, what: str) -> bytes:
    """The bytes of a file, at most one more than allowed.

    Raises:
        InputError: the file does not exist or cannot be read.
    """
    try:
        with path.expanduser().open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except (OSError, ValueError, RuntimeError) as error:  # also a NUL in the name, or an unknown ~user
        reason = getattr(error, "strerror", None) or error
        message = f"cannot read the file of the {what}: {reason}"
        raise InputError(message, where=str(path), fix=similar_file(path)) from error


def similar_file(path: Path) -> str:
    """A hint with the most similar name of a YAML file beside `path`."""
    try:
        folder = path.expanduser().parent
        names = sorted(p.name for p in folder.iterdir() if p.suffix in (".yaml", ".yml"))
    except (OSError, ValueError, RuntimeError):
        return "its folder cannot be read"
    return nearest(path.name, names, "YAML files in that folder")


def read_parts(
    data: bytes, file: str, model: type[T], problems: Problems, *, what: str, named_by: str = ""
) -> T | None:
    """Makes the model from the valid parts of a file and adds the rest to `problems`.

    Args:
        named_by: the field that names the entries of lists in messages, as in "categories.violence".

    Returns:
        None if a required field of the whole file is missing or wrong.
    """
    try:
        root = parse(decode(data, file, what), file, what)
    except TreeError as error:
        problems.add(error.mark, "", error.message, error.hint)
        return None
    document = Document(root if root is not None else Scalar(Mark(file), "", True, "null"), named_by)
    document.check_names(problems)
    adapter = TypeAdapter(model)
    for _ in range(_MAX_ROUNDS):
        try:
            return adapter.validate_python(document.values(), strict=True)
        except ValidationError as error:
            wrong = list(_problems(error, document, problems))
        before = len(document.dropped)
        document.dropped.update(wrong)
        if () in document.dropped or len(document.dropped) == before:
            return None
    return None


def _problems(error: ValidationError, document: Document, problems: Problems) -> Iterator[Steps]:
    """Reports the errors of a round and yields the paths of the wrong values.

    Consequences of reported errors are not reported: an error in a value with a dropped part, and a list
    that is too short because of its wrong entries.
    """
    known = _with_parents(document.dropped)
    errors = list(_placed(error, document))
    inner = _with_parents(place.path[:-1] for _, _, place in errors)
    for details, fault, place in errors:
        if details["type"] == "too_short" and place.path in inner:
            continue
        if place.full not in known:
            _report(details, fault, place, document, problems)
        yield place.path


def _with_parents(paths: Iterable[Steps]) -> set[Steps]:
    return {path[:n] for path in paths for n in range(len(path) + 1)}


def _placed(error: ValidationError, document: Document) -> Iterator[tuple[ErrorDetails, Fault | None, Place]]:
    for details in error.errors(include_url=False, include_input=False):
        for fault in details.get("ctx", {}).get("faults") or (None,):
            at = fault.at if isinstance(fault, Fault) else ()
            yield details, fault, document.place((*details["loc"], *at))


def _report(
    details: ErrorDetails, fault: Fault | None, place: Place, document: Document, problems: Problems
) -> None:
    mark, node = place.node.mark, place.node
    if fault is not None:
        message, hint = fault.message.replace("{found}", found(node)), fault.hint
        if not place.path and isinstance(node, Scalar) and node.type == "null":
            message = f"the file is empty: {message.rpartition(',')[0]}"
    else:
        parent = place.path if place.missing else place.path[:-1]
        if details["type"] == "extra_forbidden" and place.key is not None:
            mark = place.key.mark
        message, hint = explain(details, place, document.fields_at(parent))
    problems.add(mark, place.field, message, hint)
