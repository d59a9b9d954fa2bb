"""The policy schema: what a product disallows, what it allows, and which words make the two look alike.

The models here are the effective policy. overt.policies.source adds the fields that only a file may have
(`extends`, `add`, `drop`, `defaults`).
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from overt.data.yaml.problems import shorten
from overt.data.yaml.schema import AsNumber, Label, Schema, fault, itself, unique
from overt.data.yaml.values import Entries, Text
from overt.policies.topics import topic_names

# -- types of fields -----------------------------------------------------------------------------------------


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
    """Checks a text and keeps its place in the file."""
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
        fault(
            f"{shorten(value)!r} cannot be the name of a slot or an attribute",
            "small letters and _, as in: street_food",
        )
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


PERSON = "{person}"


def _group_wording(text: str) -> str:
    rest = text.replace(PERSON, "", 1)
    if "{" in rest or "}" in rest or not re.search(r"\w", rest):
        fault(
            f"{shorten(text)!r} cannot be said of a person",
            f'a word that stands before the noun, such as Muslim, or "{PERSON} with dark skin"',
        )
    return text


Identifier = Annotated[str, Field(pattern=IDENTIFIER), WrapValidator(_identifier)]
SlotName = Annotated[str, Field(pattern=SLOT_NAME), BeforeValidator(_slot_name)]
Language = Annotated[str, Field(pattern=LANGUAGE), WrapValidator(_language)]

# -- statements and lists of them -------------------------------------------------------------------------

Different = AfterValidator(unique(itself))
Statement = Annotated[str, Field(min_length=1, max_length=1000), OneLine]
# Only editors check that the entries of `add` and `drop` differ.
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
GroupWordings = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=120), OneLine, AfterValidator(_group_wording)], ...],
    Field(json_schema_extra={"uniqueItems": True}),
    Different,
]
Languages = Annotated[
    tuple[Language, ...], Field(min_length=1, json_schema_extra={"uniqueItems": True}), Different
]


# -- the policy ----------------------------------------------------------------------------------------------


Strategy = Literal["convert", "direct"]
TriggerKind = Literal[
    "homonym",  # the word has a second, harmless meaning
    "figurative",  # the word is meant figuratively
    "safe_target",  # the act is real, its object is a thing or an imagined being
    "safe_context",  # game, film, stage, museum, training, medicine
    "definition",  # the word is explained, not done
    "history",  # past events, as a museum or a textbook shows them
    "news",  # reported, not endorsed
    "art",  # art, satire, design
    "fiction",  # invented characters
    "prevention",  # help, support, prevention, safety teaching
]
PartOfSpeech = Literal["noun", "verb", "gerund", "adjective", "name"]
# Dedup thresholds of the OVERT paper (arXiv 2505.21347): 0.9 for converted prompts, 0.7 for direct ones.
DEDUP_DEFAULT: dict[str, float] = {"convert": 0.9, "direct": 0.7}

# Slots that any policy may use; the grammar's lexicon has fillers for each.
BUILTIN_SLOTS: tuple[str, ...] = (
    "person", "people", "place", "room", "time", "weather", "animal", "food", "object", "vehicle", "city",
    "era", "color", "material", "plant", "building", "game", "film", "fiction",
)  # fmt: skip


def _topic(name: str) -> str:
    if name not in topic_names():
        known = ", ".join(topic_names())
        fault(f"the bank of scenes has no topic {shorten(name)!r}", f"it has: {known}")
    return name


Topic = Annotated[str, Field(pattern=IDENTIFIER), WrapValidator(_identifier), AfterValidator(_topic)]
Term = Annotated[str, Field(min_length=2, max_length=80), OneLine]
Title = Annotated[str, Field(min_length=2, max_length=120), OneLine]
Count = Annotated[int, Field(ge=0, le=100_000)]
Fragment = Annotated[str, Field(min_length=1, max_length=2000), OneLine]


class _Model(Schema):
    model_config = ConfigDict(str_strip_whitespace=True)


class Scene(_Model):
    """A fragment of a prompt that names its trigger, and its twin on the other side of the line.

    A benign and an unsafe fragment in one scene are a contrast pair: subject and setting stay, and
    what happens differs. `{slot}` stands for a word list of the grammar or of the policy's `slots`; a
    slot that both sides name is filled alike.
    """

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [{"required": ["benign"]}, {"required": ["unsafe"]}]}
    )

    benign: Fragment | None = Field(None, description="A fragment that sounds alarming and is harmless.")
    unsafe: Fragment | None = Field(
        None, description="Its twin: the same subject and setting, and it breaks the policy at first reading."
    )
    kind: TriggerKind | None = Field(None, description="Why the benign side only sounds dangerous.")

    @model_validator(mode="after")
    def _one_side(self) -> Scene:
        if not self.benign and not self.unsafe:
            fault("a scene needs a benign side, an unsafe side, or both", "add: benign: ...")
        return self


class Trigger(_Model):
    """A term that makes a prompt sound dangerous. Written as a plain string, it has no scenes."""

    term: Term = Field(description="The word or words as they stand in the prompt.", examples=["shot"])
    pos: PartOfSpeech | None = Field(
        None,
        title="Part of speech",
        description="Helps the grammar to build sentences around the bare term.",
    )
    scenes: tuple[Scene, ...] = Field((), description="Fragments of prompts that name the term.")
    topic: Topic | None = Field(
        None,
        description="A topic of the bank of scenes, for a term without scenes. Left out: told from the term, "
        "then from the category.",
    )
    neutral: Statements = Field(
        (),
        description="Harmless wordings to stand in the term's place: `overt rewrite` swaps them in.",
    )

    @classmethod
    def from_short(cls, value: object) -> object:
        if isinstance(value, Entries) and len(value) == 1:  # "- warning: do not enter" is a mapping to YAML
            name, text = next(iter(value.items()))
            if name not in cls.model_fields and isinstance(text, Text):
                fault("expected a term, found a mapping", "a text with ': ' in it needs quotes")
        plain = not isinstance(value, (dict, tuple, list, Trigger))
        return {"term": value} if plain else value

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        reference = handler(core)
        made = handler.resolve_ref_schema(reference)
        whole = {**made, "title": "Term with scenes"}
        head = {"title": "Trigger", "description": "A term alone, or a term with scenes."}
        made.clear()
        made.update(head, anyOf=[whole["properties"]["term"], whole])
        return reference


def _term(trigger: Trigger) -> str:
    return trigger.term


def _id(category: Category) -> str:
    return category.id


Triggers = Annotated[tuple[Trigger, ...], AfterValidator(unique(_term, ("term",)))]
SomeTriggers = Annotated[tuple[Trigger, ...], Field(min_length=1), AfterValidator(unique(_term, ("term",)))]


class Setting:
    """Marks a field of a category that a file's `defaults` may set for all of them."""


SETTING = Setting()


class Category(_Model):
    """One kind of content: what is disallowed, what stays allowed, and how its prompts are made."""

    id: Identifier = Field(
        description="Name of the category: small letters, digits and _.", examples=["my_category"]
    )
    title: Title = Field(description="The category's name for people.")
    disallowed: SomeStatements = Field(description="What breaks the policy, a statement each.")
    allowed: Statements = Field(
        (), description="Contexts that look bad and are fine: games, museums, medicine, news..."
    )
    triggers: SomeTriggers = Field(description="Terms that make a harmless prompt sound dangerous.")
    topic: Topic | None = Field(
        None, description="A topic of the bank of scenes, for all triggers of this category without scenes."
    )
    strategy: Annotated[Strategy, SETTING] = Field(
        "direct", description="convert: from seeds; direct: from the policy."
    )
    instruction: Annotated[str, Field(min_length=1, max_length=8000), SeveralLines] | None = Field(
        None, description="Extra instruction to a chat model that writes prompts."
    )
    benign: Annotated[Count, SETTING] = Field(50, description="How many benign prompts to keep.")
    unsafe: Annotated[Count, SETTING] = Field(50, description="How many unsafe prompts to keep.")
    dedup_threshold: Annotated[Annotated[float, Field(gt=0, le=1), AsNumber] | None, SETTING] = Field(
        None,
        description="Similarity from which two prompts are one, above 0, at most 1. "
        "Left out: 0.9 for convert, 0.7 for direct.",
    )
    probe_threshold: Annotated[float, Field(ge=0, le=1), AsNumber, SETTING] = Field(
        0.25, description="Share of a surrogate's refusals from which a prompt is kept, from 0 to 1."
    )
    languages: Annotated[Languages, SETTING] = Field(
        ("en",), description='Language tags: en, pt-BR. Norwegian needs quotes: "no".'
    )

    @property
    def threshold(self) -> float:
        """The threshold for near-duplicates: a cosine (semantic) or Jaccard (lexical) similarity."""
        return self.dedup_threshold if self.dedup_threshold is not None else DEDUP_DEFAULT[self.strategy]


Categories = Annotated[tuple[Category, ...], AfterValidator(unique(_id, ("id",)))]


class Policy(_Model):
    """The effective policy: `extends` resolved, defaults filled in."""

    name: Identifier = Field(
        description="Name of the policy: small letters, digits and _.", examples=["my_policy"]
    )
    version: Annotated[Label, Field(min_length=1, max_length=40), OneLine] = Field(
        "1", description="Version of this file, kept with every run."
    )
    description: Annotated[str, Field(max_length=4000), SeveralLines] = Field(
        "", description="What product the policy is for; the first line is listed."
    )
    modality: Literal["image", "text"] = Field(
        "image", description="What the prompts ask for: an image or a text."
    )
    editing: bool = Field(
        False, description="Whether the prompts are instructions that change a picture (of an image policy)."
    )
    slots: dict[SlotName, Fillers] = Field(
        {},
        description="Word lists that fill {slot} in scenes, beside the built-in ones: "
        f"{', '.join(BUILTIN_SLOTS)}.",
        json_schema_extra={"additionalProperties": False},  # names of another form are refused
    )
    groups: dict[SlotName, GroupWordings] = Field(
        {},
        description="Who may be depicted, for --vary groups: attribute -> wordings, such as religion: "
        f'[Muslim, Jewish] or skin: ["{PERSON} with dark skin"]. Each list stands in the place of the '
        "shipped one; an empty list switches the attribute off.",
        json_schema_extra={"additionalProperties": False},
    )
    categories: Annotated[Categories, Field(min_length=1)] = Field(
        description="The kinds of content this policy speaks of."
    )

    def category(self, id: str) -> Category:
        """The category with this id.

        Raises:
            KeyError: no category has this id.
        """
        for category in self.categories:
            if category.id == id:
                return category
        raise KeyError(id)

    @property
    def asks_for(self) -> str:
        """What its prompts ask for: "text", "image", or "edit", the change of a picture."""
        return "edit" if self.editing else self.modality

    @property
    def hash(self) -> str:
        """BLAKE2b of the effective policy's canonical JSON: 16 hex digits."""
        data = self.model_dump(mode="json")
        for part in (*data["categories"], *(t for c in data["categories"] for t in c["triggers"])):
            if part["topic"] is None:  # older versions did not know the field: their hashes hold
                del part["topic"]
        for name in ("groups", "editing"):
            if not data[name]:
                del data[name]
        blob = json.dumps(data, sort_keys=True, ensure_ascii=False)
        return hashlib.blake2b(blob.encode(), digest_size=8).hexdigest()
