"""The protocol of environments, in which a target acts over many turns, and of their figures.

    task -> seeded start -> observation;  action -> observation, or the end

An environment knows no model, no network and no run folder: `overt.tasks.playing` asks the target, journals,
repairs one malformed call a turn, and ends what does not end. A new environment is one file and a YAML:

    class Greeting:
        name, version, takes = "greeting", 1, ()

        def tasks(self, settings, prompts):
            yield Task(Prompt(...), {"turns": 2})

        def start(self, task, seed):
            return _Session(...)

        def figures(self, episodes, level):
            return [Section("greeted", "How often it greets", rows=(...))]

    # greeting.yaml
    environment: my_module:Greeting
    settings: {turns: 4}

    overt run --suite greeting.yaml --target openai/MODEL
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from overt.data.episodes import Episode
from overt.data.json_types import Json, JsonObject
from overt.data.records import Prompt
from overt.data.results.episodes import Section
from overt.data.targets import Extra
from overt.data.tools import Call, Tool

Settings = Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Task:
    """What one episode is about. `prompt` is what is asked (its label, category and pair join the outcome to
    all else; each task has a prompt of its own); `facts` is what the session needs beside it, as JSON data.
    `trials` is how often it is played, each with a seed of its own; None: `--samples`."""

    prompt: Prompt
    facts: JsonObject = field(default_factory=dict)
    trials: int | None = None


@dataclass(frozen=True, slots=True)
class Action:
    """What the target did in one turn: its words without the thinking, and its calls with their arguments.

    `refusal` is the code of a service that refused to answer at all; then there is nothing else. Only
    sessions that say `survives_refusal` see such a turn; in others it ends the episode.
    """

    text: str = ""
    calls: tuple[Call, ...] = ()
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Observation:
    """What the target is told next.

    text: the user's next turn; "" where the results of its calls say everything.
    results: of each call of the action, in order. Missing ones are told as "ok".
    facts: typed facts of the turn that led here, as JSON data; kept with the step.
    end: why the episode ends, in one word ("done", "gave_up", "over"); "" while it goes on.
    is_asked: whether the reply to this is what the outcome of the whole episode is read from (its words are
        judged); where no observation says so, the outcome is read from how the episode ended.
    forgets: whether the conversation begins anew with this observation.
    """

    text: str = ""
    results: tuple[str, ...] = ()
    facts: JsonObject = field(default_factory=dict)
    end: str = ""
    is_asked: bool = False
    forgets: bool = False


class Session(Protocol):
    """One episode in play. It is deterministic: the same task, seed and actions give the same observations.

    Optional: `system: str`, the system turn; `tools: tuple[Tool, ...]`, what may be called (by default
    nothing: the target just talks); `needs_call: bool`, whether a turn without a call is malformed;
    `survives_refusal: bool`, whether the episode goes on after a service refused a turn.
    """

    def begin(self) -> Observation:
        """The first observation."""
        ...

    def step(self, action: Action) -> Observation:
        """What comes of an action.

        Raises:
            overt.data.tools.NotACall: the action is in form and still means nothing here (a plan with a unit
                that does not exist); it is told to the target once, then the episode is missing.
        """
        ...

    def facts(self) -> JsonObject:
        """What the figures need of the whole episode, at its end or wherever it broke off, as JSON data. With
        "outcome": "done", "half" or "none" it says how much of what was asked came to be."""
        ...


@runtime_checkable
class Environment(Protocol):
    """The extension point for environments.

    `takes`: what of `overt.data.targets.Extra` its sessions need of a target: "tools", "turns".

    Optional: `version: int`, raised where the same actions give other episodes; `picture(episode)`, a
    replay as an SVG without scripts, or None; `wants_prompts: bool`, whether it works on a data set.
    """

    name: str
    takes: tuple[Extra, ...]

    def tasks(self, settings: Settings, prompts: Sequence[Prompt]) -> Iterable[Task]:
        """The episodes to play, in a fixed order.

        Args:
            settings: of the suite's YAML, and of `--setting`.
            prompts: of the data set, where it `wants_prompts`.

        Raises:
            InputError: a setting or the data set cannot be used.
        """
        ...

    def start(self, task: Task, seed: int) -> Session: ...

    def figures(self, episodes: Iterable[Episode], level: float) -> Sequence[Section]:
        """The figures of a run over all its episodes, which are read once, from a file: of a million of them
        only numbers may be kept. Missing ones come as well, so that they can be counted."""
        ...


def tools_of(session: Session) -> tuple[Tool, ...]:
    """The tools of a session."""
    return tuple(getattr(session, "tools", ()))
