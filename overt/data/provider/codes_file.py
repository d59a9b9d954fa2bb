"""A user's own words for "no", for limits and for errors: a YAML file with the fields of vocabulary.yaml."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from overt.data.provider import vocabulary
from overt.data.yaml.problems import nearest
from overt.data.yaml.schema import Faults, Label, Listed, Schema, parse_yaml, read_bytes
from overt.data.yaml.values import Empty

_PATTERNS = ("says", "unless", "content")


class Entry(Schema):
    """One row. A scalar is a row with a code alone."""

    how_to_begin = "write a code, or a row such as {says: words of the message, as: a-name}"

    code: Label = Field("", description="As the provider spells its code; * stands for any characters.")
    says: str = Field("", description="A regular expression that the message holds.")
    unless: str = Field("", description="A regular expression that the message does not hold.")
    content: str = Field("", description="A regular expression for the whole answer of a chat model.")
    status: Annotated[tuple[int, ...], Listed] = Field((), description="HTTP statuses.", examples=["[400]"])
    name: str = Field("", alias="as", description="The code to record.", examples=["our_rules"])

    @classmethod
    def from_short(cls, value: object) -> object:
        return value if isinstance(value, Mapping) else {"code": value}


def _none_if_empty(value: object) -> object:
    return {} if isinstance(value, Empty) else value


Groups = dict[str, Annotated[tuple[Entry, ...], Listed]]


def _checked(services: dict[str, Groups], info: ValidationInfo) -> dict[str, Groups]:
    """Checks what hangs on the names of services and meanings, and the regular expressions."""
    faults = Faults()
    known = (*vocabulary.services(), vocabulary.WORDS)
    lists = _lists(services)
    for service, groups in services.items():
        if service not in known:
            faults.add(f"there is no service {service!r}", nearest(service, known, "services"), (service,))
            continue
        for meaning, entries in groups.items():
            if service == vocabulary.WORDS:
                continue
            if meaning not in vocabulary.MEANINGS:
                hint = nearest(meaning, sorted(vocabulary.MEANINGS), "meanings")
                faults.add(f"there is no meaning {meaning!r}", hint, (service, meaning))
                continue
            for n, entry in enumerate(entries):
                _check(entry, meaning, lists, faults, (service, meaning, n))
    faults.raise_any()
    return services


def _check(
    entry: Entry, meaning: str, lists: Mapping[str, str], faults: Faults, at: tuple[str | int, ...]
) -> None:
    if not (entry.code or entry.says or entry.content):
        faults.add("this row says nothing", "give it a code, says or content", at)
    if meaning in vocabulary.STAGES and not (entry.code or entry.name):
        hint = "write one behind as: {says: .., as: ..}"
        faults.add("a sentence that refuses needs a code to record", hint, at)
    for field in _PATTERNS:
        try:
            vocabulary.pattern(getattr(entry, field), lists)
        except ValueError as error:
            faults.add(str(error), "write a regular expression of Python", (*at, field))


def _lists(services: Mapping[str, Groups]) -> Mapping[str, str]:
    """The lists of words that a row may name: the shipped ones, and those of the file."""
    own = services.get(vocabulary.WORDS, {})
    return {**vocabulary.words(), **vocabulary.joined({n: [e.code for e in rows] for n, rows in own.items()})}


CodesFile = Annotated[dict[str, Groups], BeforeValidator(_none_if_empty), AfterValidator(_checked)]


def read_codes(path: Path) -> vocabulary.Table:
    """Reads a file of codes: its rows by service.

    Raises:
        InputError: the file cannot be read, or is not valid; each problem with its line and column.
    """
    return parse_codes(read_bytes(path, "code list"), str(path))


@contextmanager
def taught_by(path: Path | None) -> Iterator[None]:
    """Puts the rows of a file, if one is given, before the shipped ones while the context lasts.

    Raises:
        InputError: as `read_codes`.
    """
    with vocabulary.teaching(read_codes(path) if path is not None else {}):
        yield


def parse_codes(data: bytes, file: str) -> vocabulary.Table:
    """Like `read_codes`, for the bytes of a file."""
    services = parse_yaml(data, file, CodesFile, what="code list")
    lists = _lists(services)
    return {
        service: tuple(
            vocabulary.row(meaning, entry.model_dump(by_alias=True, exclude_defaults=True), lists)
            for meaning, entries in groups.items()
            for entry in entries
        )
        for service, groups in services.items()
        if service != vocabulary.WORDS
    }
