"""Building blocks of the grammar: a trigger's scenes, generic frames, and the fillers of their slots."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from overt.data.errors import InputError
from overt.generation import wording
from overt.policies.floor import floor_reason
from overt.policies.schema import Category, Policy, Trigger

# Categories about groups of people or suffering: only careful frames are used.
_DELICATE = re.compile(
    r"discriminat|hate|hatred|racis|racial|religio|ethnic|minorit|slur|demean|suicid|self[-_ ]harm|sexual",
    re.IGNORECASE,
)
# Products for children: no pubs, no thrillers.
_YOUNG = re.compile(r"(?<![a-z])(?:child|kid|pupil|primary school|toddler)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Frame:
    """A scene fragment or a generic frame, with unfilled slots."""

    text: str
    group: str  # "scene", or the name of the frame list
    whole: bool = False  # a full sentence that needs no opening


def scenes_of(trigger: Trigger) -> list[Frame]:
    return [Frame(scene.benign, "scene") for scene in trigger.scenes if scene.benign]


def walk(
    policy: Policy, category: Category, trigger: Trigger, rng: random.Random, used: dict[str, int]
) -> Iterator[Frame]:
    """Yields a trigger's frames without end: all scenes once, then generic frames and scenes in turn.

    `used` counts generic frames across the category, so that two triggers seldom share one.
    """
    scenes = scenes_of(trigger)
    rng.shuffle(scenes)
    yield from scenes
    generic = generic_frames(policy, category, trigger)
    rng.shuffle(generic)
    rank = {frame.text: i for i, frame in enumerate(generic)}
    again = 0
    while True:
        frame = min(generic, key=lambda f: (used.get(f.text, 0), rank[f.text]))
        used[frame.text] = used.get(frame.text, 0) + 1
        yield frame
        if scenes:
            yield scenes[again % len(scenes)]
            again += 1


def generic_frames(policy: Policy, category: Category, trigger: Trigger) -> list[Frame]:
    """Returns the generic frames that fit the trigger's part of speech and the category."""
    table = wording.table("frames")[policy.modality]
    subject = " ".join((category.id, category.title, *category.disallowed))
    if _DELICATE.search(subject) or _YOUNG.search(f"{policy.name} {policy.description}"):
        groups = ["careful"]
    else:
        groups = ["any", trigger.pos or wording.part_of_speech(trigger.term)]
    if allowed(category):
        groups.append("allowed")
    whole = policy.modality == "text"
    return [Frame(t, g, whole) for g in dict.fromkeys(groups) for t in table[g]]


def generic_unsafe(policy: Policy, category: Category, trigger: Trigger) -> list[list[str]]:
    """Returns short unsafe requests that name the trigger, one list for each disallowed line."""
    table = wording.table("frames")[policy.modality]["unsafe"]
    cased = wording.sentence_cased(category.disallowed)
    texts = []
    for line in category.disallowed:
        if floor_reason(f"{category.title}: {line}"):
            continue
        form, phrase = wording.forbidden(wording.core(line, sentence_case=cased))
        fills = {**term_slots(trigger), "disallowed": phrase}
        texts.append([wording.fill(t, fills.__getitem__) for t in table[form]])
    return texts


def term_slots(trigger: Trigger) -> dict[str, str]:
    """Returns the slots that stand for the trigger in generic frames."""
    term = trigger.term
    title = " ".join(w[:1].upper() + w[1:] for w in term.split())
    return {"term": term, "quote": f'"{term}"', "title": f'"{title}"'}


def context(
    policy: Policy, category: Category, trigger: Trigger, text: str, slots: wording.Slots
) -> tuple[str, str, dict[str, str]]:
    """Returns the text before and after the frame in a prompt, and the fillers of its slots."""
    own = term_slots(trigger)
    known = {**slots, **{k: [v] for k, v in own.items()}}
    frames = scenes_of(trigger) + generic_frames(policy, category, trigger)
    best: tuple[int, int, dict[str, str]] | None = None
    for frame in frames:
        found = wording.locate(frame.text, text, known)
        # The longest frame wins: a short fragment can stand inside a long one.
        if found and (best is None or found[1] - found[0] > best[1] - best[0]):
            best = found
    if best is None:
        return "", "", {}
    start, end, fills = best
    return text[:start], text[end:], {k: v for k, v in fills.items() if k not in own}


def slots_of(policy: Policy, category: Category) -> dict[str, list[str]]:
    """Returns the fillers of every slot. The policy's own fillers override the lexicon's."""
    lexicon: dict[str, list[str]] = wording.table("lexicon")
    return {**lexicon, **{k: list(v) for k, v in policy.slots.items()}, "allowed": allowed(category)}


@lru_cache(maxsize=512)
def allowed(category: Category) -> list[str]:
    """Returns the allowed contexts that are a noun phrase or a gerund, so that they fit after "about"."""
    cased = wording.sentence_cased(category.allowed)
    phrases = [wording.core(line, sentence_case=cased) for line in category.allowed]
    return [p for p in phrases if 1 <= len(p.split()) <= 12 and wording.forbidden(p)[0] in ("np", "gerund")]


def check_slots(policy: Policy, category: Category) -> None:
    """Checks every slot of a category's scenes.

    Raises:
        InputError: neither the lexicon nor the policy fills a slot.
    """
    known = slots_of(policy, category)
    sides = (
        (trigger, side)
        for trigger in category.triggers
        for scene in trigger.scenes
        for side in (scene.benign, scene.unsafe)
        if side
    )
    for trigger, side in sides:
        for name in wording.slot_names(side):
            if not known.get(name):
                raise InputError(
                    f"a scene of {trigger.term!r} has the slot {{{name}}}, which nothing fills",
                    where=f"policy {policy.name}, category {category.id}",
                    fix=f"Define it under slots:, or use one of {', '.join(sorted(known))}.",
                )


@lru_cache(maxsize=4096)
def _term(term: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(term)}(?!\w)", re.IGNORECASE)


def names_term(term: str, text: str) -> bool:
    """Returns whether the text contains the term as whole words."""
    return bool(_term(term).search(text))
