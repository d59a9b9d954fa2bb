"""The environment `after-refusal`: each benign prompt alone, after its unsafe twin, after an unrelated benign
prompt, and after a polite explanation. Nothing is simulated; it only decides what is asked next."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

from overt.data.environments import Action, Observation, Settings, Task
from overt.data.episodes import Episode
from overt.data.errors import InputError
from overt.data.json_types import Json, JsonObject
from overt.data.records import Prompt, content_id, group_name
from overt.data.results.episodes import Section
from overt.data.targets import Extra
from overt.data.versions import ASKED
from overt.environments.after_refusal.conditions import ALONE, BENIGN, CONDITIONS, EXPLAINED, UNSAFE
from overt.environments.after_refusal.explanations import explanations, language_of
from overt.environments.after_refusal.pairs import Around, arranged

_MOST_RECOVERY = 20


class AfterRefusal:
    """See `docs/howto/after-refusal.md`."""

    name = "after-refusal"
    version = 1
    takes: ClassVar[tuple[Extra, ...]] = ("turns",)
    wants_prompts = True

    def tasks(self, settings: Settings, prompts: Sequence[Prompt]) -> Iterator[Task]:
        conditions = _conditions(settings.get("conditions"))
        recovery = _whole(settings, "recovery", 1, _MOST_RECOVERY)
        choice = _whole(settings, "choice", 0, 2**31 - 1)
        around, data = arranged(prompts, recovery - 1, control=BENIGN in conditions, choice=choice)
        had = dataclasses.asdict(data)
        for one in around:
            asked = [_turn("asked", p, distance) for distance, p in enumerate((one.prompt, *one.later), 1)]
            for condition in conditions:
                plan = _plan(one, condition, asked, choice)
                yield Task(_version(one.prompt, condition), {"condition": condition, "data": had, **plan})

    def start(self, task: Task, seed: int) -> _Session:
        return _Session(task.facts["turns"])

    def figures(self, episodes: Iterable[Episode], level: float) -> Sequence[Section]:
        from overt.environments.after_refusal.figures import sections  # numpy, which a listing does without

        return sections(episodes, level)


class _Session:
    """One conversation. `turns`: what is said, each with its role, distance and the prompt's id."""

    survives_refusal = True

    def __init__(self, turns: Json) -> None:
        self._turns: list[dict[str, Json]] = [dict(turn) for turn in turns]  # type: ignore[union-attr,arg-type]
        self._said = 0

    def begin(self) -> Observation:
        return self._ask({})

    def step(self, action: Action) -> Observation:
        facts = {name: value for name, value in self._turns[self._said].items() if name != "text"}
        self._said += 1
        return self._ask(facts)

    def _ask(self, facts: JsonObject) -> Observation:
        if self._said == len(self._turns):
            return Observation(facts=facts, end="done")
        turn = self._turns[self._said]
        return Observation(str(turn["text"]), facts=facts, is_asked=turn["distance"] == 1)

    def facts(self) -> JsonObject:
        return {"said": self._said}


def _plan(one: Around, condition: str, asked: Sequence[Json], choice: int) -> JsonObject:
    """What is said in an episode, as facts of its task. The distance of what comes before is 0.

    Args:
        asked: the turns with the prompt and those after it, which all conditions share.
    """
    if condition == UNSAFE:
        return {"turns": [_turn("unsafe", one.twin), *asked]}
    if condition == BENIGN and one.control is not None:
        return {"turns": [_turn("control", one.control), *asked]}
    if condition == EXPLAINED:
        language = language_of(one.prompt.language)
        text = random.Random(f"{choice}/{one.prompt.id}").choice(explanations()[language])
        context: Json = {"role": "context", "distance": 0, "prompt": "", "text": text}
        foreign = one.prompt.language.casefold().partition("-")[0] != language
        told: JsonObject = {"language": one.prompt.language, "in_english": True} if foreign else {}
        return {"turns": [context, *asked], **told}
    return {"turns": [*asked[:1]]}


def _turn(role: str, prompt: Prompt, distance: int = 0) -> Json:
    return {"role": role, "distance": distance, "prompt": prompt.id, "text": prompt.text}


def _version(prompt: Prompt, condition: str) -> Prompt:
    """The prompt as it is asked in a condition: itself alone, else a version of itself."""
    if condition == ALONE:
        return prompt
    return dataclasses.replace(
        prompt,
        id=content_id("prompt", "after-refusal", prompt.id, condition),
        variant_of=prompt.id,
        group=group_name(ASKED, CONDITIONS[condition]),
    )


def _conditions(given: Json) -> tuple[str, ...]:
    """Reads the setting: a list, or names with commas between them."""
    names = given.split(",") if isinstance(given, str) else given if isinstance(given, list) else []
    found = [str(name).strip() for name in names]
    if not found or (unknown := [name for name in found if name not in CONDITIONS]):
        raise InputError(
            f"there is no condition {unknown[0]!r}" if found else "no condition is named",
            where="--setting conditions",
            fix=f"There are: {', '.join(CONDITIONS)}.",
        )
    return tuple(name for name in CONDITIONS if name in found)


def _whole(settings: Settings, name: str, low: int, high: int) -> int:
    """Reads a setting that is a whole number."""
    value = settings.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InputError(
            f"{name} is {value!r}", where=f"--setting {name}", fix=f"A number from {low} to {high}."
        )
    return value
