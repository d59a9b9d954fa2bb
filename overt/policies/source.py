"""The schema of a policy file, and the merge of a file with the policy that it extends.

A file may leave out the fields that it inherits, so only a category's `id` is required here; `read_source`
checks the rest. Texts keep their place in the file, so that a check after the merge can name the line.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, ConfigDict, Field, create_model

from overt.data.yaml.problems import Mark, Problems, nearest, shorten
from overt.data.yaml.schema import Schema, itself, read_parts, unique
from overt.data.yaml.values import mark_of
from overt.policies.schema import (
    SETTING,
    Category,
    Edits,
    Identifier,
    OneLine,
    Policy,
    SomeStatements,
    SomeTriggers,
    Title,
    Trigger,
    Triggers,
)

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
    """Reads one file without its base. Wrong parts go to `problems`; returns None if nothing is usable."""
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


# -- merging -------------------------------------------------------------------------------------------------


_REQUIRED = ("title", "disallowed", "triggers")
# A draft starts from an empty category or policy.
_CATEGORY = Category.model_construct(None, id="", title="", disallowed=(), triggers=())
_HEAD = Policy.model_construct(None, name="", categories=())


@dataclass(frozen=True, slots=True)
class CategoryDraft:
    """A category, its path in messages, and its place in the last file that names it."""

    category: Category
    path: str
    mark: Mark


@dataclass(frozen=True, slots=True)
class Draft:
    """A policy with `extends` resolved; `head` has all its fields but the categories."""

    head: Policy
    categories: tuple[CategoryDraft, ...]

    def build(self) -> Policy:
        """The effective policy, checked as a whole.

        Raises:
            ValidationError: pydantic found what the earlier checks should have reported.
        """
        head = self.head.model_dump(mode="json", exclude={"categories"})
        categories = [draft.category.model_dump(mode="json") for draft in self.categories]
        return Policy.model_validate({**head, "categories": categories})


def merge(own: PolicySource, base: Draft | None, problems: Problems) -> Draft:
    """Merges a file with the draft that it extends; failures go to `problems`."""
    defaults = _named(own.defaults, own.defaults.model_fields_set)
    drafts = {
        draft.category.id: replace(draft, category=draft.category.model_copy(update=defaults))
        for draft in (base.categories if base else ())
    }
    inherited = set(drafts)
    _check_drops(own, drafts, problems, extends=base is not None)
    for source in own.categories:
        path, mark = f"categories.{source.id}", source.mark_of()
        values = _named(source, source.model_fields_set & Category.model_fields.keys())
        if source.id in inherited:
            category = drafts[source.id].category.model_copy(update=values)
            drafts[source.id] = CategoryDraft(_edited(category, source, path, problems), path, mark)
        else:
            _check_new(source, path, base, problems)
            category = _CATEGORY.model_copy(update=defaults | values)
            drafts[source.id] = CategoryDraft(category, path, mark)
    kept = tuple(draft for id, draft in drafts.items() if id not in own.drop)
    if not kept and drafts and not problems.found:
        problems.add(own.mark_of("drop"), "drop", "no category is left", "keep at least one")
    return Draft(_head(own, base), kept)


def _named(model: Schema, names: Iterable[str]) -> dict[str, object]:
    return {name: getattr(model, name) for name in names}


def _head(own: PolicySource, base: Draft | None) -> Policy:
    values = _named(own, own.model_fields_set & (Policy.model_fields.keys() - {"categories"}))
    if base is not None:
        values.setdefault("modality", base.head.modality)
        values["slots"] = {**base.head.slots, **own.slots}
        values["groups"] = {**base.head.groups, **own.groups}
    return _HEAD.model_copy(update=values)


def _check_drops(own: PolicySource, drafts: Iterable[str], problems: Problems, *, extends: bool) -> None:
    changed = {category.id for category in own.categories}
    for name in own.drop:
        if name not in drafts:
            if extends:
                message = f"no category {shorten(name)!r} to drop"
                problems.add(mark_of(name), "drop", message, nearest(name, drafts))
        elif name in changed:
            message = f"the category {str(name)!r} is dropped here and changed below"
            problems.add(mark_of(name), "drop", message, "do one")


def _check_new(source: CategorySource, path: str, base: Draft | None, problems: Problems) -> None:
    """Reports the fields that a new category lacks."""
    missing = [name for name in _REQUIRED if not source.names(name)]
    if missing:
        hint = f"add {', '.join(missing)}"
        if base is not None:
            known = [draft.category.id for draft in base.categories]
            near = nearest(source.id, known, "categories of the base")
            hint = f"{hint} for a new category, or change one of the base: {near}"
        fields = f"the field{'s' if len(missing) > 1 else ''} {', '.join(missing)}"
        verb = "are" if len(missing) > 1 else "is"
        problems.add(source.mark_of(), path, f"{fields} {verb} missing", hint)
    for name in ("add", "drop"):
        if source.names(name) and not (missing and base is not None):
            why = "the base has no such category" if base is not None else "the file extends nothing"
            message = f"there is nothing to {name}: {why}"
            hint = "write allowed, disallowed and triggers out"
            problems.add(source.mark_of(name), f"{path}.{name}", message, hint)


def _edited(category: Category, source: CategorySource, path: str, problems: Problems) -> Category:
    """Applies `drop`, then `add`, to the inherited lists of a category."""
    values: dict[str, tuple[str | Trigger, ...]] = {}
    for name in EDITS:
        drops, adds = name in source.drop.model_fields_set, name in source.add.model_fields_set
        if source.names(name) or not (drops or adds):  # `read_source` reports a list that is also replaced
            continue
        entries: Sequence[str | Trigger] = getattr(category, name)
        if drops:
            entries = _without(entries, getattr(source.drop, name), f"{path}.drop.{name}", problems)
        if adds:
            entries = _with(entries, getattr(source.add, name))
        if drops and not entries and name in _REQUIRED:
            message = f"no {name} are left"
            problems.add(source.mark_of("drop"), f"{path}.drop.{name}", message, "keep or add at least one")
        values[name] = tuple(entries)
    return category.model_copy(update=values)


def _words(entry: str | Trigger) -> str:
    return entry.term if isinstance(entry, Trigger) else entry


def _without(
    entries: Sequence[str | Trigger], gone: Sequence[str], path: str, problems: Problems
) -> list[str | Trigger]:
    there = {_words(entry).casefold(): str(_words(entry)) for entry in entries}
    for name in gone:
        if name.casefold() not in there:
            what = "trigger" if path.endswith("triggers") else "statement"
            message = f"no {what} {shorten(name)!r} to drop"
            problems.add(mark_of(name), path, message, nearest(name, there.values(), "there are"))
    dropped = {name.casefold() for name in gone}
    return [entry for entry in entries if _words(entry).casefold() not in dropped]


def _with(entries: Sequence[str | Trigger], added: Sequence[str | Trigger]) -> list[str | Trigger]:
    joined = {_words(entry).casefold(): entry for entry in entries}
    for entry in added:
        key = _words(entry).casefold()
        old = joined.setdefault(key, entry)
        if old is not entry and isinstance(old, Trigger) and isinstance(entry, Trigger):
            neutral = {text.casefold(): text for text in (*entry.neutral, *old.neutral)}
            joined[key] = Trigger.model_construct(
                None,
                term=old.term,
                pos=entry.pos or old.pos,
                scenes=old.scenes + entry.scenes,
                topic=entry.topic or old.topic,
                neutral=old.neutral + tuple(t for t in entry.neutral if neutral[t.casefold()] is t),
            )
    return list(joined.values())
