"""A policy file as it is written: the fields of the effective policy, and those that say what changes.

Of the effective policy's fields a file may leave out what it inherits, so none is required here but a
category's `id`; `read_source` checks the rest. Texts keep their place in the file, so that a check made after
the merge can still point at the line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, ConfigDict, Field, create_model

from overt.data.yaml.problems import Problems
from overt.data.yaml.read import read_parts
from overt.data.yaml.schema import Schema, itself, unique
from overt.policies.fields import Edits, Identifier, OneLine, SomeStatements
from overt.policies.schema import SETTING, Category, Policy, SomeTriggers, Title, Triggers

EDITS = ("allowed", "disallowed", "triggers")


def _about(model: type[Schema], name: str) -> str:
    return model.model_fields[name].description or ""


if TYPE_CHECKING:
    Defaults = Schema
else:
    Defaults = create_model(
        "Defaults",
        __base__=Schema,
        **{
            name: (info.annotation, info)
            for name, info in Category.model_fields.items()
            if SETTING in info.metadata
        },
    )


class Additions(Schema):
    """Entries to append to the lists of an inherited category."""

    allowed: Edits = Field((), description="Statements to append.")
    disallowed: Edits = Field((), description="Statements to append.")
    triggers: Triggers = Field((), description="Triggers to append; a known term gets more scenes.")


class Removals(Schema):
    """Entries to take out of the lists of an inherited category, as they are written there."""

    allowed: Edits = Field((), description="Statements to take out.")
    disallowed: Edits = Field((), description="Statements to take out.")
    triggers: Edits = Field((), description="Terms to take out, with their scenes.")


class CategorySource(Category):
    """One kind of content. A known id changes that category."""

    model_config = ConfigDict(title="Category")

    title: Title = Field("", description=_about(Category, "title"))
    disallowed: SomeStatements = Field((), description=_about(Category, "disallowed"))
    triggers: SomeTriggers = Field((), description=_about(Category, "triggers"))
    add: Additions = Field(
        title="Entries to add", default_factory=Additions, description="Entries to append to inherited lists."
    )
    drop: Removals = Field(
        title="Entries to drop",
        default_factory=Removals,
        description="Entries to take out of inherited lists.",
    )


def _id(category: CategorySource) -> str:
    return category.id


class PolicySource(Policy):
    """What a product disallows, what it allows, and which words make the two look alike."""

    model_config = ConfigDict(
        json_schema_extra={
            "required": ["name"],
            "anyOf": [{"required": ["categories"]}, {"required": ["extends"]}],
            "dependentRequired": {"drop": ["extends"]},
        }
    )

    name: Identifier = Field("", description=_about(Policy, "name"), examples=["my_policy"])
    extends: Annotated[str, Field(min_length=1, max_length=1000), OneLine] = Field(
        "", description="A shipped policy, or the path of a file relative to this one."
    )
    defaults: Defaults = Field(
        title="Settings of all categories",
        default_factory=Defaults,
        description="Settings for every category that does not set them in this file, inherited ones too.",
    )
    drop: Annotated[Edits, AfterValidator(unique(itself))] = Field(
        (), title="Drop categories", description="Ids of inherited categories to leave out."
    )
    categories: Annotated[
        tuple[CategorySource, ...], Field(min_length=1), AfterValidator(unique(_id, ("id",)))
    ] = Field((), description="With extends, only the categories that change or are new.")


def read_source(data: bytes, file: str, problems: Problems) -> PolicySource | None:
    """The file's own words; what is wrong goes to `problems`, what is right is kept. None if nothing is."""
    source = read_parts(data, file, PolicySource, problems, what="policy", named_by="id")
    if source is None:
        return None
    for name, hint in (("name", "add a line: name: my_policy"), ("categories", _NO_CATEGORIES)):
        if not source.names(name) and not (name == "categories" and source.names("extends")):
            problems.add(source.mark_of(), name, f"the field {name} is missing", hint)
    if source.names("drop") and not source.names("extends"):
        hint = "add extends: NAME, or leave the categories out"
        problems.add(source.mark_of("drop"), "drop", "there is nothing to drop without extends", hint)
    for category in source.categories:
        for edit, edits in (("add", category.add), ("drop", category.drop)):
            for name in sorted(edits.model_fields_set):
                if category.names(name):
                    where = f"categories.{category.id}.{edit}.{name}"
                    message = f"{name} is replaced above, so there is nothing to {edit}"
                    problems.add(
                        category.mark_of(edit), where, message, f"keep either {name} or {edit}.{name}"
                    )
    return source


_NO_CATEGORIES = "add categories, or extends: overt to start from a shipped policy"
