"""Checks of a merged policy: slots, scenes and their terms, and the floor."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from overt.data.yaml.problems import Mark, Problems, nearest, shorten
from overt.data.yaml.values import mark_of
from overt.policies import floor
from overt.policies.schema import BUILTIN_SLOTS, PERSON, Trigger
from overt.policies.source import CategoryDraft, Draft

_SLOT = re.compile(r"\{([^{}]*)\}")
# Scripts without blanks between words, where a term need not be a whole word.
_NO_BLANKS = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
_FLOOR_HINT = (
    "no policy can ask for anything sexual about minors; a ban on it belongs under disallowed, and "
    "a category about sexual content shows adults only"
)


def check(draft: Draft, problems: Problems, *, complete: bool) -> None:
    """Reports the problems of a draft. `complete` is False if its base could not be read."""
    slots = draft.head.slots
    # Without the base not all slots are known.
    known = {*BUILTIN_SLOTS, *slots} if complete else None
    for category in draft.categories:
        for i, trigger in enumerate(category.category.triggers):
            path = f"{category.path}.triggers[{i}]"
            term = _pattern(trigger.term)
            for side, text in _sides(trigger):
                _check_slots(text, f"{path}.{side}", known, problems)
                if not side.startswith("neutral") and not term.search(_SLOT.sub(" ", text).casefold()):
                    message = f"the term {str(trigger.term)!r} does not stand in it as a whole word: "
                    message += repr(shorten(text))
                    hint = "use the term as it is written, or put the scene under the form it uses"
                    problems.add(mark_of(text), f"{path}.{side}", message, hint)
            _check_repeats(trigger, path, problems)
        _Floor(category, slots, problems).check()
    _check_groups(draft.head.groups, problems)


def _check_groups(groups: Mapping[str, Sequence[str]], problems: Problems) -> None:
    """Everybody whom a version of a prompt depicts is an adult."""
    for attribute, wordings in groups.items():
        for i, wording in enumerate(wordings):
            said = wording.replace(PERSON, "person") if PERSON in wording else f"{wording} person"
            if floor.names_minor(said):
                message = f"{str(wording)!r} may say that somebody is a minor"
                hint = "groups show adults only: middle-aged, older, ..."
                problems.add(mark_of(wording), f"groups.{attribute}[{i}]", message, hint)
            elif reason := floor.floor_reason(said):
                problems.add(mark_of(wording), f"groups.{attribute}[{i}]", reason, _FLOOR_HINT)


def _sides(trigger: Trigger) -> Iterator[tuple[str, str]]:
    """Yields the path and the text of each fragment of a trigger."""
    for j, scene in enumerate(trigger.scenes):
        for side, text in (("benign", scene.benign), ("unsafe", scene.unsafe)):
            if text is not None:
                yield f"scenes[{j}].{side}", text
    for j, text in enumerate(trigger.neutral):
        yield f"neutral[{j}]", text


def _pattern(term: str) -> re.Pattern[str]:
    """A pattern for a term as whole words in a casefolded fragment."""
    folded = re.escape(term.casefold())
    return re.compile(folded if _NO_BLANKS.search(term) else rf"(?<!\w){folded}(?!\w)")


def _check_slots(text: str, path: str, known: set[str] | None, problems: Problems) -> None:
    for name in dict.fromkeys(_SLOT.findall(text)):
        if known is not None and name not in known:
            hint = nearest(name, sorted(known), "slots")
            problems.add(mark_of(text), path, f"no slot is called {shorten(name)!r}", hint)
    rest = _SLOT.sub("", text)
    if "{" in rest or "}" in rest:
        problems.add(mark_of(text), path, "a brace without its partner", "a slot is written {person}")


def _check_repeats(trigger: Trigger, path: str, problems: Problems) -> None:
    seen: dict[tuple[str, str], Mark] = {}
    for j, scene in enumerate(trigger.scenes):
        pair = ((scene.benign or "").casefold(), (scene.unsafe or "").casefold())
        if pair in seen:
            message = f"this scene stands twice; the first is in line {seen[pair].line}"
            problems.add(scene.mark_of(), f"{path}.scenes[{j}]", message, "keep one of them")
        elif pair[0] and pair[0] == pair[1]:
            message = "the benign and the unsafe side are the same"
            hint = "change the words that make it unsafe"
            problems.add(scene.mark_of(), f"{path}.scenes[{j}]", message, hint)
        seen.setdefault(pair, scene.mark_of())


@dataclass(frozen=True, slots=True)
class _Asked:
    """A text that goes into prompts, its path in the category, and its slots."""

    path: str
    text: str
    slots: tuple[str, ...] = ()


class _Floor:
    """Checks that no part of a category, alone or combined, is sexual about minors."""

    def __init__(self, draft: CategoryDraft, slots: Mapping[str, Sequence[str]], problems: Problems) -> None:
        self.draft, self.category = draft, draft.category
        self.slots, self.problems = slots, problems
        self.id_words = self.category.id.replace("_", " ")
        parts = (self.id_words, self.category.title, self.category.instruction)
        self.core = ". ".join(part for part in parts if part)

    def check(self) -> None:
        before = len(self.problems.found)
        asked = list(self._asked())
        for step in (self._check_texts, self._check_with_title, self._check_terms):
            if len(self.problems.found) == before:
                step(asked)
        if floor.floor_reason(self.category.title) is None:
            self._check_askable()

    def _refuse(self, mark: Mark, path: str, reason: str) -> None:
        where = f"{self.draft.path}.{path}" if path else self.draft.path
        self.problems.add(mark, where, reason, _FLOOR_HINT)

    def _asked(self) -> Iterator[_Asked]:
        category = self.category
        for name, text in (("title", category.title), ("instruction", category.instruction)):
            if text:
                yield _Asked(name, text)
        for i, text in enumerate(category.allowed):
            yield _Asked(f"allowed[{i}]", text)
        for i, trigger in enumerate(category.triggers):
            yield _Asked(f"triggers[{i}].term", trigger.term)
            for side, text in _sides(trigger):
                yield _Asked(f"triggers[{i}].{side}", text, tuple(_SLOT.findall(text)))

    def _check_texts(self, asked: Sequence[_Asked]) -> None:
        if reason := floor.floor_reason(self.id_words):
            self._refuse(mark_of(self.category.id), "id", reason)
        for part in asked:
            if reason := floor.floor_reason(part.text) or self._reason_once_filled(part):
                self._refuse(mark_of(part.text), part.path, reason)

    def _reason_once_filled(self, part: _Asked) -> str | None:
        """The reason why a fragment fails the floor check with its slots filled."""
        fillers = [filler for name in part.slots for filler in self.slots.get(name, ())]
        hits = [filler for filler in fillers if floor.names_minor(filler) or floor.names_sexual(filler)]
        for filler in hits:
            with_core = f"{part.text}. {self.core}. {filler}"
            with_all = f"{part.text}. {'. '.join(hits)}"
            if reason := floor.floor_reason(with_core) or floor.floor_reason(with_all):
                return f"{reason}, once a slot is filled with {shorten(filler)!r}"
        return None

    def _check_with_title(self, asked: Sequence[_Asked]) -> None:
        sexual, minor = floor.names_sexual(self.core), floor.names_minor(self.core)
        if sexual and minor:
            title = self.category.title
            mark = mark_of(title) if title else self.draft.mark
            self._refuse(mark, "", floor.floor_reason(self.core) or "the floor")
            return
        for part in asked:
            if floor.names_minor(part.text) if sexual else minor and floor.names_sexual(part.text):
                reason = floor.floor_reason(f"{part.text}. {self.core}") or "the floor"
                self._refuse(mark_of(part.text), part.path, f"{reason}, together with the category's title")

    def _check_terms(self, asked: Sequence[_Asked]) -> None:
        terms = [trigger.term for trigger in self.category.triggers]
        reason = floor.floor_reason(f"{self.core}. {'. '.join(terms)}")
        if reason and terms:
            self._refuse(mark_of(terms[0]), "triggers", f"{reason}, in the category's terms together")

    def _check_askable(self) -> None:
        disallowed, title, unsafe = self.category.disallowed, self.category.title, self.category.unsafe
        if disallowed and unsafe and all(floor.floor_reason(f"{title}: {s}") for s in disallowed):
            self.problems.add(
                mark_of(disallowed[0]),
                f"{self.draft.path}.disallowed",
                f"the floor: no writer may be asked for any of this, yet {unsafe} unsafe prompts are wanted",
                "set unsafe: 0, so that the ban is only judged by; or add a statement about something else",
            )
