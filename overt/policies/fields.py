"""The types of a policy's fields: texts, names, language tags, and lists without repeats."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, ValidatorFunctionWrapHandler, WrapValidator

from overt.data.yaml.problems import shorten
from overt.data.yaml.schema import fault, itself, unique
from overt.data.yaml.values import Text

IDENTIFIER = r"^[a-z][a-z0-9_]{0,63}$"
SLOT_NAME = r"^[a-z][a-z_]{0,31}$"
LANGUAGE = r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$"
_LANGUAGE_NAMES = {
    "english": "en", "german": "de", "french": "fr", "spanish": "es", "italian": "it", "portuguese": "pt",
    "norwegian": "no", "chinese": "zh", "japanese": "ja", "russian": "ru", "arabic": "ar", "hindi": "hi",
    "korean": "ko", "dutch": "nl", "polish": "pl", "turkish": "tr", "swedish": "sv", "danish": "da",
}  # fmt: skip


# -- texts ------------------------------------------------------------------------------------------------


def _cleaned(value: object, text: str, handler: ValidatorFunctionWrapHandler) -> str:
    """The text after the checks of its type; one that knew its place in a file still does."""
    for char in "" if text.isprintable() else text:
        if unicodedata.category(char) in ("Cc", "Cs") and char not in "\n\t":
            fault(f"the control character U+{ord(char):04X} is in the text", "remove it")
    made = str(handler(text))
    return Text(made, value.node) if isinstance(value, Text) else made


def _one_line(value: object, handler: ValidatorFunctionWrapHandler) -> str:
    if not isinstance(value, str):
        return str(handler(value))
    return _cleaned(value, " ".join(value.split()), handler)


def _several_lines(value: object, handler: ValidatorFunctionWrapHandler) -> str:
    if not isinstance(value, str):
        return str(handler(value))
    return _cleaned(value, value.strip(), handler)


OneLine = WrapValidator(_one_line)  # runs of white space become one blank
SeveralLines = WrapValidator(_several_lines)


# -- names ------------------------------------------------------------------------------------------------


def _identifier(value: object, handler: ValidatorFunctionWrapHandler) -> str:
    if isinstance(value, str) and value.strip() and not re.match(IDENTIFIER, value.strip()):
        plain = unicodedata.normalize("NFKD", value).encode("ascii", "ignore").decode().lower()
        slug = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:64].lstrip("0123456789_")
        hint = f"for instance {slug or 'my_policy'!r}"
        fault("expected small letters, digits and _ (at most 64, a letter first), found {found}", hint)
    return _one_line(value, handler)


def _slot_name(value: object) -> object:
    if isinstance(value, str) and not re.match(SLOT_NAME, value):
        fault(f"{shorten(value)!r} cannot be a slot's name", "small letters and _, as in: street_food")
    return value


def _language(value: object, handler: ValidatorFunctionWrapHandler) -> str:
    if value is False:
        hint = 'for Norwegian write it in quotes, "no" (or nb, nn): YAML takes the bare word for false'
        fault("expected a language tag, found {found}", hint)
    if isinstance(value, str) and value.strip() and not re.match(LANGUAGE, value.strip()):
        code, dashed = _LANGUAGE_NAMES.get(value.strip().lower()), value.strip().replace("_", "-")
        hint = "for instance en, de, pt-BR, zh-Hans"
        if code or re.match(LANGUAGE, dashed):
            hint = f'write "{code}"' if code else f"write {dashed}"
        fault("expected a language tag such as en or pt-BR, found {found}", hint)
    return _one_line(value, handler)


def _filler(text: str) -> str:
    if "{" in text or "}" in text:
        fault("a filler cannot have { } in it", "write the words out")
    return text


Identifier = Annotated[str, Field(pattern=IDENTIFIER), WrapValidator(_identifier)]
SlotName = Annotated[str, Field(pattern=SLOT_NAME), BeforeValidator(_slot_name)]
Language = Annotated[str, Field(pattern=LANGUAGE), WrapValidator(_language)]

# -- statements and lists of them -------------------------------------------------------------------------

Different = AfterValidator(unique(itself))
Statement = Annotated[str, Field(min_length=1, max_length=1000), OneLine]
# The entries of `add` and `drop` may repeat what is there: only an editor's check tells it.
Edits = Annotated[tuple[Statement, ...], Field(json_schema_extra={"uniqueItems": True})]
Statements = Annotated[Edits, Different]
SomeStatements = Annotated[
    tuple[Statement, ...], Field(min_length=1, json_schema_extra={"uniqueItems": True}), Different
]
Fillers = Annotated[
    tuple[Annotated[Statement, AfterValidator(_filler)], ...],
    Field(min_length=1, json_schema_extra={"uniqueItems": True}),
    Different,
]
Languages = Annotated[
    tuple[Language, ...], Field(min_length=1, json_schema_extra={"uniqueItems": True}), Different
]
