"""What schemas of YAML files are made of: the base of their models, field types, and their JSON Schema."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
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
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from overt.data.json_types import JsonObject
from overt.data.yaml.problems import Mark
from overt.data.yaml.values import About, Ambiguous, Empty, Entries, Path, Real, Step, Text, Whole, named

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that a schema's own rule found wrong.

    Attributes:
        at: the way from the value that is validated to the one that is wrong.
        message: what is wrong; "{found}" in it becomes the value in words.
        hint: what to do.
    """

    message: str
    hint: str = ""
    at: Path = ()

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


@dataclass
class Faults:
    """All that a rule finds wrong, told at once."""

    found: list[Fault] = field(default_factory=list)

    def add(self, message: str, hint: str = "", at: Path = ()) -> None:
        self.found.append(Fault(message, hint, at))

    def raise_any(self) -> None:
        """Raises a validation error if anything was added."""
        if self.found:
            said = "; ".join(map(str, self.found))
            raise PydanticCustomError("faults", "{said}", {"said": said, "faults": tuple(self.found)})


def fault(message: str, hint: str = "", at: Path = ()) -> NoReturn:
    """Raises a validation error for one fault."""
    faults = Faults()
    faults.add(message, hint, at)
    faults.raise_any()
    raise AssertionError


class Schema(BaseModel):
    """A mapping of fields. Frozen; unknown fields are refused; where it was read it knows its places."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    # Where it was read; a slot and not a field, so that it counts neither for equality nor in a dump.
    __slots__ = ("_place",)

    @property
    def _entries(self) -> Entries | None:
        place = getattr(self, "_place", None)
        return place if isinstance(place, Entries) else None

    how_to_begin: ClassVar[str] = "write its fields, each with a ':' after its name"

    @classmethod
    @cache
    def fields(cls) -> dict[str, About]:
        """The fields as they are written, with what messages say of them."""
        return {
            info.alias or name: About(
                str(info.examples[0]) if info.examples else "...", info.description or ""
            )
            for name, info in cls.model_fields.items()
        }

    @classmethod
    def from_short(cls, value: object) -> object:
        """What a value in short form stands for: a trigger may be written as its term alone."""
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
        """Where a field's value stands in the file, or, without a name, the whole mapping."""
        if self._entries is None:
            return Mark("", 0, 0)
        return self._entries.mark_of(name) if name else self._entries.node.mark

    def names(self, name: str) -> bool:
        """Whether the file has this field here, be its value right or wrong."""
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
    """Lets one entry stand without a list around it."""

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
    """A validator: no two entries of a list have the same key, without regard to case.

    Args:
        key: the text by which an entry is told from another.
        step: the way from an entry to that text.
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
# A text that may look like a number, taken as it is written: version: 1.10
AsWritten = BeforeValidator(_as_written)
Label = Annotated[str, AsWritten, WithJsonSchema({"type": ["string", "number"]})]
NoneIfEmpty = BeforeValidator(_none_if_empty)
ListIfEmpty = BeforeValidator(_list_if_empty)
Listed = _Listed()
Filled = Annotated[str, Field(min_length=1)]


def shape(value: object) -> str:
    """The tag by which a union of a mapping and a single value is told apart (pydantic's Discriminator)."""
    return "{mapping}" if isinstance(value, (dict, BaseModel)) else "{value}"


# -- JSON Schema ------------------------------------------------------------------------------------------


class _JsonSchema(GenerateJsonSchema):
    """What may be written: a field that may be left out may not be null; every field has a title."""

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
    """The JSON Schema (draft 2020-12) of a kind of file, for editors that complete and check as one types."""
    made = TypeAdapter(model).json_schema(schema_generator=_JsonSchema)
    urn = f"urn:overt:{what.replace(' ', '-')}"
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": urn, "title": f"overt {what}"}
    return {**made, **head}
