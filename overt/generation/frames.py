"""Building blocks of the grammar: scenes of the policy, scenes of the bank, and frames that name a term."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from overt.data.errors import InputError
from overt.data.tiers import Tier
from overt.generation import wording
from overt.policies.bank import scenes_for
from overt.policies.schema import Category, Policy, Trigger
from overt.policies.term_forms import part_of_speech

# Categories about groups of people or suffering: only careful frames are used.
_DELICATE = re.compile(
    r"discriminat|hate|hatred|racis|racial|religio|ethnic|minorit|slur|demean|suicid|self[-_ ]harm|sexual",
    re.IGNORECASE,
)
# Products for children: no pubs, no thrillers.
_YOUNG = re.compile(r"(?<![a-z])(?:child|kid|pupil|primary school|toddler)", re.IGNORECASE)
_GROWN_UP = re.compile(
    r"\b(?:pubs?|bars?|taverns?|cocktails?|thriller|slasher|zombie|noir|brothel|casino)\b", re.IGNORECASE
)

# So many scenes of the bank a trigger has of the tier "bank". Without a limit a term that is alone with its
# topic would fill the category.
_BANK_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class Frame:
    """A scene or a frame, with unfilled slots; `key` is the same for scenes that differ only in the term."""

    text: str
    tier: Tier
    key: str
    unsafe: str | None = None  # the other side of a scene
    whole: bool = False  # a full sentence that needs no opening
    is_loose: bool = False  # a scene of the bank for any part of speech


Turn = tuple[Trigger, Frame, Tier]


def for_the_young(policy: Policy) -> bool:
    """Whether a policy's product is for children."""
    return bool(_YOUNG.search(f"{policy.name} {policy.description}"))


def scenes_of(trigger: Trigger) -> list[Frame]:
    """The benign scenes that the policy gives a trigger."""
    return [Frame(s.benign, "scene", s.benign, s.unsafe) for s in trigger.scenes if s.benign]


def bank_of(policy: Policy, category: Category, trigger: Trigger) -> list[Frame]:
    """The bank's scenes for a trigger, those for its part of speech first."""
    filled = scenes_for(policy.modality, category, trigger)
    if for_the_young(policy):
        filled = tuple(f for f in filled if not _GROWN_UP.search(f.benign))
    return [Frame(f.benign, "bank", f.key, f.unsafe, is_loose=f.is_loose) for f in filled]


def unsafe_sides(policy: Policy, category: Category, trigger: Trigger) -> list[str]:
    """The unsafe sides of a trigger's own scenes; where there are none, those of the bank."""
    own = [scene.unsafe for scene in trigger.scenes if scene.unsafe]
    return own or [frame.unsafe for frame in bank_of(policy, category, trigger) if frame.unsafe]


def mentions(policy: Policy, category: Category, trigger: Trigger) -> list[Frame]:
    """The frames that only name a term, which fit its part of speech and the category."""
    table = wording.table("frames")[policy.modality]
    subject = " ".join((category.id, category.title, *category.disallowed))
    if _DELICATE.search(subject) or for_the_young(policy):
        groups = ["careful"]
    else:
        groups = ["any", trigger.pos or part_of_speech(trigger.term)]
    whole = policy.modality == "text"
    return [Frame(t, "mention", t, whole=whole) for g in dict.fromkeys(groups) for t in table[g]]


def turns(policy: Policy, category: Category, triggers: Sequence[Trigger], key: str) -> Iterator[Turn]:
    """Yields what is written next, without end: a trigger, a scene or frame, and its tier.

    The triggers take turns. Every scene of the category comes before every scene of the bank, a scene of
    the bank comes once before it comes with another term, and all of them come again before the first frame
    that only names its term. From then on frames and scenes take turns.

    Args:
        key: tells the seed and the category, for the order of scenes and frames.
    """
    own = {t.term: _ordered(scenes_of(t), key, t) for t in triggers}
    yield from _rounds(triggers, {term: list(frames) for term, frames in own.items()}, {}, "scene")
    # Those for a term's part of speech come before those for any, which are weaker.
    bank = {t.term: _mixed(bank_of(policy, category, t), key, t) for t in triggers}
    used: dict[str, int] = {}
    left = {term: list(frames) for term, frames in bank.items()}
    yield from _rounds(triggers, left, used, "bank", once=True, rounds=_BANK_ROUNDS)
    refilled = {term: [f for f in frames if wording.slot_names(f.text)] for term, frames in own.items()}
    yield from _rounds(triggers, {t.term: refilled[t.term] + left[t.term] for t in triggers}, used, "again")
    frames = {t.term: _ordered(mentions(policy, category, t), key, t) for t in triggers}
    used = {}
    while True:
        for number in range(max(map(len, frames.values()))):
            for trigger in triggers:
                frame = min(frames[trigger.term], key=lambda f: used.get(f.key, 0))
                used[frame.key] = used.get(frame.key, 0) + 1
                yield trigger, frame, "mention"
                if scenes := own[trigger.term] + bank[trigger.term]:
                    yield trigger, scenes[number % len(scenes)], "again"


def _rounds(
    triggers: Sequence[Trigger],
    left: dict[str, list[Frame]],
    used: dict[str, int],
    tier: Tier,
    *,
    once: bool = False,
    rounds: int | None = None,
) -> Iterator[Turn]:
    """Gives each trigger its least used frame in turn, and takes it out of `left`, until none is left.

    Args:
        used: how often each frame was used in the category, with any term.
        once: leave the frames that another term has used.
        rounds: at most so many frames for each trigger.
    """
    done = 0
    while rounds is None or done < rounds:
        done += 1
        count = 0
        for trigger in triggers:
            frames = [f for f in left[trigger.term] if not once or not used.get(f.key)]
            if not frames:
                continue
            frame = min(frames, key=lambda f: used.get(f.key, 0))
            left[trigger.term].remove(frame)
            used[frame.key] = used.get(frame.key, 0) + 1
            count += 1
            yield trigger, frame, tier
        if not count:
            return


def _mixed(frames: Sequence[Frame], key: str, trigger: Trigger) -> list[Frame]:
    return sorted(_ordered(frames, key, trigger), key=lambda frame: frame.is_loose)


def _ordered(frames: Sequence[Frame], key: str, trigger: Trigger) -> list[Frame]:
    """A shuffle in which each frame has its own place: one more or less moves none of the others."""
    return sorted(frames, key=lambda frame: place(key, trigger.term, frame.key))


def place(*parts: str) -> bytes:
    """The place of something in a shuffle, from its own parts alone."""
    return hashlib.blake2b("\x1f".join(parts).encode("utf-8", "surrogatepass"), digest_size=8).digest()


def term_slots(trigger: Trigger) -> dict[str, str]:
    """Returns the slots that stand for the trigger in frames."""
    term = trigger.term
    title = " ".join(w[:1].upper() + w[1:] for w in term.split())
    return {"term": term, "quote": f'"{term}"', "title": f'"{title}"'}


@dataclass(frozen=True, slots=True)
class Found:
    """What a prompt is made of: the text around its frame, the fillers of the frame's slots, and the unsafe
    side of its scene if it has one."""

    before: str = ""
    after: str = ""
    fills: tuple[tuple[str, str], ...] = ()
    unsafe: str | None = None


@dataclass(frozen=True, slots=True)
class Located:
    """A frame in a text: its characters from `start` to `end`, and the fillers of its slots, the term's among
    them."""

    frame: Frame
    start: int
    end: int
    fills: dict[str, str]


def located(
    policy: Policy, category: Category, trigger: Trigger, text: str, slots: wording.Slots
) -> Located | None:
    """Finds the scene or the frame in a prompt's text; of several the longest, since a short fragment can
    stand inside a long one."""
    known = {**slots, **{name: [value] for name, value in term_slots(trigger).items()}}
    best: Located | None = None
    frames = scenes_of(trigger) + bank_of(policy, category, trigger) + mentions(policy, category, trigger)
    for frame in frames:
        found = wording.locate(frame.text, text, known)
        if found and (best is None or found[1] - found[0] > best.end - best.start):
            best = Located(frame, *found)
    return best


def context(policy: Policy, category: Category, trigger: Trigger, text: str, slots: wording.Slots) -> Found:
    """What a prompt is made of; nothing where no scene or frame is found in its text."""
    at = located(policy, category, trigger, text, slots)
    if at is None:
        return Found()
    own = term_slots(trigger)
    fillers = tuple((name, filler) for name, filler in at.fills.items() if name not in own)
    return Found(text[: at.start], text[at.end :], fillers, at.frame.unsafe)


def slots_of(policy: Policy) -> dict[str, list[str]]:
    """Returns the fillers of every slot. The policy's own fillers override the lexicon's."""
    lexicon: dict[str, list[str]] = wording.table("lexicon")
    return {**lexicon, **{k: list(v) for k, v in policy.slots.items()}}


def check_slots(policy: Policy, category: Category) -> None:
    """Checks every slot of a category's scenes.

    Raises:
        InputError: neither the lexicon nor the policy fills a slot.
    """
    known = slots_of(policy)
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
