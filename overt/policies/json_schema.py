"""The JSON Schema (draft 2020-12) of policy files as they are written, for editors.

It says what an editor can check line by line: names, types, ranges. What needs the whole policy (what
`drop` names, terms in their scenes, slots, the floor) is for `overt policies validate`.
"""

from __future__ import annotations

from typing import Any

from overt.policies.schema import BUILTIN_SLOTS
from overt.policies.source import (
    IDENTIFIER,
    KINDS,
    LANGUAGE,
    MAX_PROMPTS,
    MODALITIES,
    POS,
    SLOT_NAME,
    STRATEGIES,
)  # fmt: skip

_J = dict[str, Any]


def policy_json_schema() -> _J:
    """The schema of a source file: `extends`, `add`, `drop` and `defaults` included."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:overt:policy",
        "title": "overt policy",
        "description": "What a product disallows, what it allows, and which words make the two look alike.",
        **_object(_policy_fields(), required=["name"]),
        "anyOf": [{"required": ["categories"]}, {"required": ["extends"]}],
        "dependentRequired": {"drop": ["extends"]},
        "$defs": {
            "category": _named(
                "Category", "One kind of content. A known id changes that category.", _category()
            ),
            "trigger": _trigger(),
            "scene": _scene(),
            "edit": _edit(),
        },
    }


def _policy_fields() -> _J:
    return {
        "name": _text("Name", "Name of the policy: small letters, digits and _.", pattern=IDENTIFIER),
        "version": _named(
            "Version",
            "Version of this file, kept with every run.",
            {"type": ["string", "number"], "default": "1"},
        ),
        "description": _text(
            "Description", "What product the policy is for; the first line is listed.", most=4000
        ),
        "modality": _enum("Modality", "What the prompts ask for: an image or a text.", MODALITIES, "image"),
        "extends": _text("Extends", "A shipped policy, or the path of a file relative to this one.", least=1),
        "defaults": _named(
            "Defaults",
            "Settings for every category that does not set them in this file, inherited ones too.",
            _object(_settings()),
        ),
        "slots": _named(
            "Slots",
            f"Word lists that fill {{slot}} in scenes, beside the built-in ones: {', '.join(BUILTIN_SLOTS)}.",
            {
                "type": "object",
                "propertyNames": {"pattern": SLOT_NAME},
                "additionalProperties": _texts(
                    "Fillers", "Words for the slot; each fits where it stands.", 1
                ),
            },
        ),
        "drop": _texts("Drop categories", "Ids of inherited categories to leave out."),
        "categories": _named(
            "Categories",
            "The kinds of content this policy speaks of. With extends, only those that change or are new.",
            {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/category"}},
        ),
    }


def _category() -> _J:
    fields = {
        "id": _text("Id", "Name of the category: small letters, digits and _.", pattern=IDENTIFIER),
        "title": _text("Title", "The category's name for people.", least=2, most=120),
        "disallowed": _texts("Disallowed", "What breaks the policy, a statement each.", 1),
        "allowed": _texts(
            "Allowed", "Contexts that look bad and are fine: games, museums, medicine, news..."
        ),
        "triggers": _triggers("Triggers", "Terms that make a harmless prompt sound dangerous.", 1),
        **_settings(),
        "instruction": _text(
            "Instruction", "Extra instruction to a chat model that writes prompts.", most=8000
        ),
        "add": _named("Add", "Entries to append to inherited lists.", {"$ref": "#/$defs/edit"}),
        "drop": _named(
            "Drop",
            "Entries to take out of inherited lists, as they are written there.",
            _object(
                {
                    "allowed": _texts("Drop allowed", "Statements to take out."),
                    "disallowed": _texts("Drop disallowed", "Statements to take out."),
                    "triggers": _texts("Drop triggers", "Terms to take out, with their scenes."),
                }
            ),
        ),
    }
    return _object(fields, required=["id"])


def _settings() -> _J:
    count = {"type": "integer", "minimum": 0, "maximum": MAX_PROMPTS, "default": 50}
    return {
        "benign": _named("Benign", "How many benign prompts to keep.", dict(count)),
        "unsafe": _named("Unsafe", "How many unsafe prompts to keep.", dict(count)),
        "strategy": _enum("Strategy", "convert: from seeds; direct: from the policy.", STRATEGIES, "direct"),
        "dedup_threshold": _named(
            "Dedup threshold",
            "Similarity from which two prompts are one. Left out: 0.9 for convert, 0.7 for direct.",
            {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        ),
        "probe_threshold": _named(
            "Probe threshold",
            "Share of a surrogate's refusals from which a prompt is kept.",
            {"type": "number", "minimum": 0, "maximum": 1, "default": 0.25},
        ),
        "languages": _named(
            "Languages",
            'Language tags: en, pt-BR. Norwegian needs quotes: "no".',
            {
                "type": "array",
                "minItems": 1,
                "items": _text("Language", "A language tag.", pattern=LANGUAGE),
                "default": ["en"],
            },
        ),
    }


def _trigger() -> _J:
    fields = {
        "term": _text("Term", "The word or words as they stand in the prompt.", least=2, most=80),
        "pos": _enum("Part of speech", "Helps the grammar to build sentences around the bare term.", POS),
        "scenes": _named(
            "Scenes",
            "Fragments of prompts that name the term.",
            {"type": "array", "items": {"$ref": "#/$defs/scene"}},
        ),
        "neutral": _texts(
            "Neutral", "Harmless wordings to stand in the term's place: `overt rewrite` swaps them in."
        ),
    }
    return {
        "title": "Trigger",
        "description": "A term alone, or a term with scenes.",
        "anyOf": [
            _text("Plain term", "The term alone.", least=2, most=80),
            _named(
                "Term with scenes", "A term and fragments of prompts.", _object(fields, required=["term"])
            ),
        ],
    }


def _scene() -> _J:
    fields = {
        "benign": _text("Benign", "A fragment that sounds alarming and is harmless.", least=1, most=2000),
        "unsafe": _text("Unsafe", "Its twin that breaks the policy, few words changed.", least=1, most=2000),
        "kind": _enum("Kind", "Why the benign side only sounds dangerous.", KINDS),
    }
    return _named(
        "Scene",
        "A benign fragment, an unsafe one, or a pair. Both name the term; {slot} is filled from word lists.",
        {**_object(fields), "anyOf": [{"required": ["benign"]}, {"required": ["unsafe"]}]},
    )


def _edit() -> _J:
    return _named(
        "Additions",
        "Entries to append to the lists of an inherited category.",
        _object(
            {
                "allowed": _texts("Add allowed", "Statements to append."),
                "disallowed": _texts("Add disallowed", "Statements to append."),
                "triggers": _triggers("Add triggers", "Triggers to append; a known term gets more scenes."),
            }
        ),
    )


def _named(title: str, description: str, schema: _J) -> _J:
    return {"title": title, "description": description, **schema}


def _object(fields: _J, required: list[str] | None = None) -> _J:
    schema: _J = {"type": "object", "properties": fields, "additionalProperties": False}
    return {**schema, "required": required} if required else schema


def _text(title: str, description: str, *, pattern: str = "", least: int = 0, most: int = 0) -> _J:
    limits = {"pattern": pattern, "minLength": least, "maxLength": most}
    return _named(title, description, {"type": "string", **{k: v for k, v in limits.items() if v}})


def _enum(title: str, description: str, options: tuple[str, ...], default: str = "") -> _J:
    schema: _J = {"type": "string", "enum": list(options)}
    return _named(title, description, {**schema, "default": default} if default else schema)


def _texts(title: str, description: str, least: int = 0) -> _J:
    items = {"type": "string", "minLength": 1}
    schema: _J = {"type": "array", "items": items, "uniqueItems": True}
    return _named(title, description, {**schema, "minItems": least} if least else schema)


def _triggers(title: str, description: str, least: int = 0) -> _J:
    schema: _J = {"type": "array", "items": {"$ref": "#/$defs/trigger"}}
    return _named(title, description, {**schema, "minItems": least} if least else schema)
