"""What the formats of training data share: a format is one function from placed prompts to rows.

A new format is a function `make(making) -> Made`, a row of `TRAINING` (overt/tasks/export_formats.py) and its
name in `TRAINING_FORMATS` (overt/tasks/export_config.py). `answered` of export_answers.py gives prompts their
answers; a format that needs other models asks them with `making.ask(...)`, journalled and capped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from overt.data.chat import Ask, ChatModel
from overt.data.json_types import Json
from overt.data.records import Drop, Failure
from overt.data.run.stage_counts import StageCounts
from overt.data.templates import Template, load_template
from overt.data.training import Placed, TrainingRow
from overt.policies.schema import Policy
from overt.scoring.text_answers import Judging
from overt.tasks.asking import Asking
from overt.tasks.export_config import ExportConfig
from overt.tasks.roles import ModelOptions, chat_model, endpoint_of
from overt.tasks.targets import TargetOptions
from overt.tasks.task import Work


@dataclass(frozen=True)
class Making:
    """The state of one export of training data.

    Args:
        modality: "image" where the prompts ask for pictures.
        placed: all prompts, each with its split.
        counts: what entered and left each stage, and why the others did not. A stage is any name.
    """

    config: ExportConfig
    work: Work
    policy: Policy
    modality: str
    placed: Sequence[Placed]
    models: ModelOptions
    counts: StageCounts = field(default_factory=StageCounts)
    _opened: dict[tuple[str, str, str], ChatModel] = field(default_factory=dict)
    _judging: list[Judging] = field(default_factory=list)

    def ask(self, model: str, purpose: str, role: str = "model") -> Ask:
        """A chat model, by its name, at the endpoint that its role has (`ExportConfig.roles`).

        Raises:
            InputError: an unknown name, a missing extra.
        """
        return self.asker(model, role)(purpose)

    def asker(self, model: str, role: str = "model") -> Callable[[str], Ask]:
        """As `ask`, of one model for several purposes."""
        place = (model, *endpoint_of(role, self.models))
        if place not in self._opened:  # a model in two roles is loaded once
            self._opened[place] = chat_model(model, role, self.models)
        return lambda purpose: self.work.ask(purpose, self._opened[place])

    def template(self, name: str) -> Template:
        """A template by its name (`template_of`), of those that `TrainingFormat.templates` lists."""
        return template_of(name, self.config)

    def judging(self) -> Judging:
        """The judge that tells refusals from answers, opened once.

        Raises:
            InputError: there is no such judge.
        """
        if not self._judging:
            judge = self.config.judge or "judge/rules"
            options = TargetOptions(), self.models
            asking = Asking(self.work, "text", False, judge, self.config.seed, *options)
            self._judging.append(asking.judging())
        return self._judging[0]

    def passes(self, stage: str, id: str, category: str, why_not: str) -> bool:
        """Counts a record at a stage. Returns whether it goes on: where nothing is said against it."""
        self.counts.enter(stage, category)
        if why_not:
            self.lose(Drop(id, stage, category, why_not))
        else:
            self.counts.leave(stage, category)
        return not why_not

    def lose(self, loss: Drop | Failure) -> None:
        """Counts a prompt that a stage did not let through."""
        self.counts.lose(loss)


@dataclass(frozen=True)
class Made:
    """What a format made. files: beside the rows, by name. said: paragraphs of the card, in Markdown whose
    values are escaped. columns: of its rows beside the usual ones, with what they mean. who: who wrote the
    completions, as the card says it where that is not as --answers says."""

    rows: Sequence[TrainingRow]
    files: Mapping[str, bytes] = field(default_factory=dict)
    said: Sequence[str] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Json] = field(default_factory=dict)
    who: str = ""


@dataclass(frozen=True)
class TrainingFormat:
    """A format of training data.

    Args:
        title: what it is, for the card.
        make: makes the rows.
        check: raises InputError where the options and the prompts do not do, before anything is paid for.
        templates: the templates of the room generation that `make` uses, for prompts that ask for "text" or
            "image"; their hashes belong to the run.
    """

    title: str
    make: Callable[[Making], Made]
    check: Callable[[ExportConfig, Sequence[Placed], Policy], None] = lambda config, placed, policy: None
    templates: Callable[[ExportConfig, str], Sequence[str]] = lambda config, modality: ()


def template_of(name: str, config: ExportConfig) -> Template:
    """A template of the room generation, or of scoring ("scoring/NAME"); or the user's own of that name."""
    room, _, rest = name.rpartition("/")
    return load_template(room or "generation", rest, config.templates)


def counted(names: Sequence[str]) -> dict[str, Json]:
    """How often each name is there, the commonest first."""
    return dict(Counter(names).most_common())
