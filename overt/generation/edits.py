"""Small edits of benign prompts, for the search of `overt generate --search`.

An edit leaves the prompt harmless by what it is made of: other scenes and terms of the policy or the bank,
settings that say why the scene is harmless (edits.yaml), other openings and fillers of the embedded writer.
Whether it is harmless still is for the judges to say. This module makes edits; it does not know what they are
good for.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Any

from overt.data.records import Prompt, content_id, prompt_id
from overt.data.tiers import TIERS, Tier, label_of, tier_of
from overt.generation import wording
from overt.generation.frames import (
    Frame,
    bank_of,
    for_the_young,
    located,
    names_term,
    scenes_of,
    slots_of,
    term_slots,
)
from overt.policies.bank import reading
from overt.policies.schema import Category, Policy, Trigger
from overt.policies.term_forms import article

KINDS = ("trigger", "scene", "side", "context", "style", "slot", "model")
"""What an edit can change: the term, the scene, a second scene beside it, the setting, the opening, a filler,
or anything (the rewrites of a model)."""

_LONGEST = 45  # words of a prompt with two scenes


@dataclass(frozen=True, slots=True)
class Option:
    """One edit that can be made.

    Attributes:
        kind: one of `KINDS`.
        value: what is put in, by which edits of several prompts can be compared.
        text: the edited text.
        uses: the scenes that the edited prompt is made of.
        make: returns the edited prompt.
    """

    kind: str
    value: str
    text: str
    uses: frozenset[str]
    make: Callable[[], Prompt]


@dataclass(frozen=True, slots=True)
class _Parts:
    """A prompt taken apart: the text before its scene, the scene's frame and fillers, and the text after
    it."""

    before: str
    scene: str
    after: str
    frame: Frame | None
    fills: Mapping[str, str]


def options(policy: Policy, category: Category, prompt: Prompt, *, seed: int) -> list[Option]:
    """Every edit of a benign prompt, without those that leave its text as it is, in an order that does not
    depend on the seed. `seed` draws fillers and the wording around two scenes."""
    return list(_Editor(policy, category, prompt, seed).options())


def scenes_in(policy: Policy, category: Category, prompt: Prompt) -> frozenset[str]:
    """The scenes that a prompt is made of, by key; empty if it is not made of scenes."""
    frame = _Editor(policy, category, prompt, 0).parts.frame
    return frozenset({frame.key}) if frame else frozenset()


class _Editor:
    """The edits of one prompt."""

    def __init__(self, policy: Policy, category: Category, prompt: Prompt, seed: int) -> None:
        self.policy, self.category, self.prompt, self.seed = policy, category, prompt, seed
        self.slots = slots_of(policy)
        self.trigger = next((t for t in category.triggers if t.term == prompt.trigger), None)
        self.parts = self._taken_apart()
        self.uses = frozenset({self.parts.frame.key}) if self.parts.frame else frozenset[str]()

    def options(self) -> Iterator[Option]:
        yield from self._contexts()
        if self.parts.frame is None:
            yield from self._terms()
            return
        yield from self._banked_terms()
        yield from self._scenes()
        yield from self._fillers()
        if self.policy.modality == "image":
            yield from self._openings()
            yield from self._sides()

    # -- the prompt's parts -------------------------------------------------------------------------------

    def _taken_apart(self) -> _Parts:
        text, trigger = self.prompt.text, self.trigger
        at = located(self.policy, self.category, trigger, text, self.slots) if trigger else None
        if at is None:
            return _Parts("", text, "", None, {})
        # The scene as it stands within a text: at the start its first letter is a capital.
        scene = wording.fill(at.frame.text, at.fills.__getitem__)
        return _Parts(text[: at.start], scene, text[at.end :], at.frame, at.fills)

    def _edited(self, text: str, **changes: str) -> Prompt:
        return _with_text(dataclasses.replace(self.prompt, **changes), text)  # type: ignore[arg-type]

    def _option(
        self, kind: str, value: str, text: str, uses: frozenset[str] | None = None, **changes: str
    ) -> Iterator[Option]:
        if text != self.prompt.text and text[:1].upper() + text[1:] != self.prompt.text:
            made = self.uses if uses is None else uses
            yield Option(kind, value, text, made, lambda: self._edited(text, **changes))

    # -- settings and openings ------------------------------------------------------------------------------

    def _contexts(self) -> Iterator[Option]:
        """A harmless setting is added, put in the place of another or of an ending, or taken away."""
        parts = self.parts
        if self.policy.modality == "text":
            before = "" if parts.before in _leads() | set(_settings("text")) else parts.before
            for setting in self._fit("text"):
                yield from self._option("context", setting, setting + before + parts.scene + parts.after)
            if parts.before and not before:
                yield from self._option("context", "", parts.scene + parts.after)
            return
        scene, mark = (parts.scene, "") if parts.frame else _unmarked(parts.scene)
        found = next((s for s in _settings("image") if s in parts.after), "")
        after = parts.after.replace(found, "", 1) if found else parts.after
        after = next(("" for ending in _endings() if after == ending), after)
        for setting in self._fit("image"):
            yield from self._option("context", setting, parts.before + scene + setting + after + mark)
        if found or after != parts.after:
            yield from self._option("context", "", parts.before + scene + after + mark)

    def _fit(self, modality: str) -> Iterator[str]:
        """The settings that the policy's readers may meet and that do not repeat the term."""
        for setting in _settings(modality, young=for_the_young(self.policy)):
            if setting not in self.prompt.text and not names_term(self.prompt.trigger, setting):
                yield setting

    def _openings(self) -> Iterator[Option]:
        """Another way to ask for the picture. A plain one stays plain, since its scene may name a medium."""
        kept = next((s for s in _settings("image") if s in self.parts.after), "")
        is_plain = any(o["text"] == "{scene}" or o["style"] == self.prompt.style for o in _styles("plain"))
        for name in ("plain",) if is_plain else ("common", "plain", "other"):
            for opening in _styles(name):
                text = opening["text"].replace("{scene}", self.parts.scene + kept)
                if not names_term(self.prompt.trigger, opening["text"]):
                    yield from self._option("style", opening["text"], text, style=opening["style"])

    # -- terms, fillers, scenes -----------------------------------------------------------------------------

    def _kin(self) -> Iterator[Trigger]:
        """The other terms with the same topic, part of speech and number."""
        mine = reading(self.category, self.trigger) if self.trigger else None
        for other in self.category.triggers if mine else ():
            if other is not self.trigger and reading(self.category, other) == mine:
                yield other

    def _terms(self) -> Iterator[Option]:
        """Another term in a prompt that another writer made."""
        if self.trigger is None:
            return
        term = re.compile(rf"(?:\b(an?) )?(?<!\w){re.escape(self.trigger.term)}(?!\w)", re.IGNORECASE)
        for other in self._kin():

            def put(match: re.Match[str], new: str = other.term) -> str:
                return f"{article(new)} {new}" if match[1] else new

            yield from self._option(
                "trigger", other.term, term.sub(put, self.prompt.text), trigger=other.term
            )

    def _banked_terms(self) -> Iterator[Option]:
        """The same scene of the bank with another term."""
        frame = self.parts.frame
        if frame is None or frame.tier != "bank":
            return
        for other in self.category.triggers:
            if other is self.trigger:
                continue
            for same in bank_of(self.policy, self.category, other):
                if same.key == frame.key and not same.is_loose:
                    yield from self._placed("trigger", other.term, other, same, self.parts.fills)

    def _fillers(self) -> Iterator[Option]:
        """Other fillers of the scene's slots."""
        frame, trigger = self.parts.frame, self.trigger
        if frame is None or trigger is None:
            return
        for name in sorted(self.parts.fills):
            if name in term_slots(trigger):
                continue
            for filler in self.slots[name]:
                fills = {**self.parts.fills, name: filler}
                yield from self._placed("slot", filler, trigger, frame, fills)

    def _scenes(self) -> Iterator[Option]:
        """Another scene of the same term, or of a term with the same topic, in the same opening."""
        for trigger in (t for t in (self.trigger, *self._kin()) if t is not None):
            for frame in _made_of_scenes(self.policy, self.category, trigger):
                if frame.key not in self.uses:
                    yield from self._placed("scene", frame.key, trigger, frame, {}, frozenset({frame.key}))

    def _placed(
        self,
        kind: str,
        value: str,
        trigger: Trigger,
        frame: Frame,
        fills: Mapping[str, str],
        uses: frozenset[str] | None = None,
    ) -> Iterator[Option]:
        scene = self._filled(trigger, frame, fills)
        text = self.parts.before + scene + self.parts.after
        if names_term(trigger.term, text):
            tier: Tier = frame.tier if uses else TIERS[tier_of(self.prompt)]
            yield from self._option(
                kind, value, text, uses, trigger=trigger.term, template=_labelled(self.prompt, tier)
            )

    def _sides(self) -> Iterator[Option]:
        """The scene beside another one of the category, both in one picture.

        The second scene is shorter than the first one's unsafe side: the rules go by the longest.
        """
        frame = self.parts.frame
        if frame is None or frame.unsafe is None or any(_wraps(self.prompt.text)):
            return
        for trigger in self.category.triggers:
            for other in _made_of_scenes(self.policy, self.category, trigger):
                if other.key in self.uses or len(other.text) >= len(frame.unsafe):
                    continue
                if any(names_term(t.term, other.text) for t in (self.trigger,) if t):
                    continue
                second = self._filled(trigger, other, {})
                rng = Random(content_id("side", self.seed, self.prompt.id, other.key))
                around: str = rng.choice(_table()["sides"]["image"])
                text = around.replace("{scene}", self.parts.scene).replace("{other}", second)
                if len(text.split()) <= _LONGEST:
                    yield from self._option("side", other.key, text, self.uses | {other.key})

    def _filled(self, trigger: Trigger, frame: Frame, fills: Mapping[str, str]) -> str:
        rng = Random(content_id("fillers", self.seed, self.prompt.id, frame.key))
        known = {**fills, **term_slots(trigger)}

        def choose(name: str) -> str:
            if name not in known:
                known[name] = rng.choice(list(self.slots[name]))
            return known[name]

        return wording.fill(frame.text, choose)


def _with_text(prompt: Prompt, text: str) -> Prompt:
    text = text[:1].upper() + text[1:]
    return dataclasses.replace(prompt, id=prompt_id(text), text=text)


def _made_of_scenes(policy: Policy, category: Category, trigger: Trigger) -> list[Frame]:
    """The scenes that an edit may put in: those in which the term stands well."""
    return scenes_of(trigger) + [f for f in bank_of(policy, category, trigger) if not f.is_loose]


def _labelled(prompt: Prompt, tier: Tier) -> str:
    return label_of(tier) if prompt.template.startswith("grammar/") else prompt.template


def _unmarked(text: str) -> tuple[str, str]:
    """A text without its end mark, and the mark."""
    return (text[:-1], text[-1]) if text[-1:] in ".?!" else (text, "")


# -- the tables --------------------------------------------------------------------------------------------


def _table() -> dict[str, Any]:
    table: dict[str, Any] = wording.table("edits")
    return table


@lru_cache(maxsize=4)
def _settings(modality: str, *, young: bool = False) -> tuple[str, ...]:
    """Settings that say why a scene is harmless; products for children get those of `young` alone."""
    groups: Mapping[str, Sequence[str]] = _table()["contexts"][modality]
    return tuple(s for name in (("young",) if young else ("calm", "dark")) for s in groups[name])


@lru_cache(maxsize=1)
def _endings() -> frozenset[str]:
    styles = wording.table("styles")
    return frozenset(e for group in styles["endings"].values() for e in group) | frozenset(styles["light"])


@lru_cache(maxsize=1)
def _leads() -> frozenset[str]:
    return frozenset(lead for leads in wording.table("styles")["lead_ins"].values() for lead in leads)


def _styles(name: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = wording.table("styles")[name]
    return found


def _wraps(text: str) -> Iterator[bool]:
    """For each wording around two scenes, whether the text is made with it."""
    for around in _table()["sides"]["image"]:
        head, middle, tail = re.split(r"\{\w+\}", around)
        yield text.startswith(head) and middle in text and text.endswith(tail)
