"""What differs between two policies, line by line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from overt.policies.schema import Category, Policy, Scene, Trigger

_LINES = ("disallowed", "allowed", "languages")
_VALUES = (
    *("title", "topic", "strategy", "instruction", "benign", "unsafe"),
    *("dedup_threshold", "probe_threshold"),
)


@dataclass(frozen=True, slots=True)
class Change:
    """One changed part: of a category, or of the whole policy ("").

    Attributes:
        part: the field, such as "disallowed", or "scenes of 'gun'".
        gone, new: its lines that only the first and only the second policy has.
    """

    category: str
    part: str
    gone: tuple[str, ...] = ()
    new: tuple[str, ...] = ()


def changes(old: Policy, new: Policy) -> list[Change]:
    """The differences between two effective policies: of the policy, then by category in the order of the
    first. Name, version, description and the order of lines count as changes of the policy only."""
    found = [
        Change("", name, (str(before),), (str(after),))
        for name in ("name", "version", "description", "modality")
        if (before := getattr(old, name)) != (after := getattr(new, name))
    ]
    for slot in dict.fromkeys((*old.slots, *new.slots)):
        lines = _lines(old.slots.get(slot, ()), new.slots.get(slot, ()))
        if any(lines):
            found.append(Change("", f"slot {{{slot}}}", *lines))
    there = {c.id: c for c in new.categories}
    here = {c.id: c for c in old.categories}
    for name in dict.fromkeys((*here, *there)):
        if name not in there:
            found.append(Change(name, "category", (here[name].title,)))
        elif name not in here:
            found.append(Change(name, "category", (), (there[name].title,)))
        else:
            found += _within(here[name], there[name])
    return found


def touched(found: list[Change], old: Policy, new: Policy) -> set[str]:
    """The categories whose prompts the changes may concern: all of them where a slot or the modality is
    another."""
    ids = {c.id for c in (*old.categories, *new.categories)}
    if any(not c.category and c.part not in ("name", "version", "description") for c in found):
        return ids
    return {c.category for c in found if c.category}


def _within(old: Category, new: Category) -> Iterator[Change]:
    for name in _LINES:
        lines = _lines(getattr(old, name), getattr(new, name))
        if any(lines):
            yield Change(old.id, name, *lines)
    for name in _VALUES:
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            yield Change(old.id, name, _said(before), _said(after))
    here, there = ({t.term: t for t in c.triggers} for c in (old, new))
    lines = _lines(tuple(here), tuple(there))
    if any(lines):
        yield Change(old.id, "triggers", *lines)
    for term in here.keys() & there.keys():
        yield from _of_trigger(old.id, here[term], there[term])


def _of_trigger(category: str, old: Trigger, new: Trigger) -> Iterator[Change]:
    scenes = _lines(tuple(map(_scene, old.scenes)), tuple(map(_scene, new.scenes)))
    if any(scenes):
        yield Change(category, f"scenes of {old.term!r}", *scenes)
    for name in ("pos", "topic"):
        if getattr(old, name) != getattr(new, name):
            yield Change(
                category, f"{name} of {old.term!r}", _said(getattr(old, name)), _said(getattr(new, name))
            )
    neutral = _lines(old.neutral, new.neutral)
    if any(neutral):
        yield Change(category, f"neutral of {old.term!r}", *neutral)


def _scene(scene: Scene) -> str:
    return " / ".join(side or "-" for side in (scene.benign, scene.unsafe))


def _lines(old: tuple[str, ...], new: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The lines that only the first, and those that only the second has."""
    return tuple(x for x in old if x not in new), tuple(x for x in new if x not in old)


def _said(value: object) -> tuple[str, ...]:
    return () if value is None else (str(value),)
