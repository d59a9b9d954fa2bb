"""`overt run` of a suite of many turns: tasks -> episodes, many at once -> outcomes and figures."""

from __future__ import annotations

import dataclasses
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import yaml

from overt import registry
from overt.calls.target_channel import TargetChannel
from overt.data.asked import ToAsk, prompts_to_ask, taken
from overt.data.environments import Environment, Settings, Task
from overt.data.episodes import Episode, Unjudged
from overt.data.errors import InputError
from overt.data.json_types import Json
from overt.data.outcomes import Outcome
from overt.data.plugins.attempts import of_task
from overt.data.prompts import spread
from overt.data.records import Prompt
from overt.data.results.episodes import EpisodesSummary
from overt.data.results.files import write_episodes
from overt.data.run.episodes import episodes_of, stored_episodes
from overt.data.run.files import speaking_os_errors, text_bytes, write_atomic
from overt.data.run.outcome_parts import OutcomeParts
from overt.data.suites.episodes.load import EpisodeSuite
from overt.data.svg import why_unsafe
from overt.scoring.episodes import judged_episodes, outcome_of_episode
from overt.scoring.summary.episodes import played_of
from overt.scoring.text_answers import Judging
from overt.tasks.asking import Asking
from overt.tasks.playing import Ask, Play, played, plays_of, safely

_FIX = "Name a chat model (openai/MODEL, hf/MODEL), or a scripted player: overt suites show "


@dataclass(frozen=True)
class Playing:
    """A suite of many turns with its environment and its tasks."""

    suite: EpisodeSuite
    environment: Environment
    tasks: tuple[Task, ...]
    turns: int
    trials: int
    notes: tuple[str, ...] = ()

    @cached_property
    def count(self) -> int:
        """How many episodes a target plays."""
        return sum(task.trials or self.trials for task in self.tasks)

    @property
    def to_ask(self) -> ToAsk:
        """The prompts that the tasks are about."""
        return ToAsk(list({task.prompt.id: task.prompt for task in self.tasks}.values()))

    def check(self, name: str, takes: object) -> None:
        """Checks that a target can play.

        Args:
            takes: what it says it takes; None: only the loaded model knows.

        Raises:
            InputError: it cannot.
        """
        missing = [what for what in self.environment.takes if what not in taken(takes)]
        if takes is not None and missing:
            words = {
                "tools": "calls no tools",
                "turns": "takes no conversation",
                "picture": "sees no picture",
            }
            raise InputError(
                f"{name} {' and '.join(words[what] for what in missing)}, and {self.suite.name} needs it",
                fix=_FIX + self.suite.name,
            )

    def episodes(self, channel: TargetChannel, ask: Asking, judging: Judging) -> Iterator[Episode]:
        """Plays all episodes with one target, many at once, in the order of the tasks.

        Raises:
            RunError, BudgetReached: the caller stopped.
            InputError: the environment's class is broken.
        """

        async def play(one: Play, send: Ask) -> Unjudged:
            return await played(self.environment, channel, one, send, self.turns, ask.notices)

        plays = plays_of(self.tasks, self.trials, ask.seed)
        found = ask.work.caller.converse(channel, channel.name, plays, play)
        with ask.work.progress.stage(channel.name[:40], self.count) as advance:
            for episode in judged_episodes(found, ask.judge, judging):
                advance(1)
                yield episode

    def outcomes(
        self,
        number: int,
        channel: TargetChannel,
        ask: Asking,
        judging: Judging,
        parts: OutcomeParts,
    ) -> Iterator[Outcome]:
        """The outcomes of one target's episodes; the episodes are written as they pass."""
        self.check(channel.name, getattr(channel.subject, "takes", ()))
        found = parts.passing(number, self.episodes(channel, ask, judging))
        return map(outcome_of_episode, found)


def playing_of(
    suite: EpisodeSuite,
    *,
    settings: Mapping[str, Json],
    dataset: tuple[str, ...],
    of: str | None,
    turns: int | None,
    trials: int,
    label: str | None,
    category: tuple[str, ...],
    limit: int | None,
) -> Playing:
    """Opens a suite's environment and lists its tasks.

    Args:
        settings: those of the user, which go before the suite's.
        dataset, of: prompts for an environment that works on a data set, and the suite that they are of.
        limit: at most so many tasks of each label.

    Raises:
        InputError: there is no such environment, it knows no such setting, or no task is left.
    """
    environment = registry.load_environment(suite.environment)
    wants = getattr(environment, "wants_prompts", False)
    notes: list[str] = []
    prompts: Sequence[Prompt] = ()
    if wants:
        if not dataset and of is None:
            raise InputError(
                f"{suite.name} works on a data set with pairs, and none was named",
                fix=f"For instance: overt run --suite {suite.name} --of overt-pairs --target openai/MODEL, "
                "or name runs and files of your own as DATASET.",
            )
        asked = prompts_to_ask(dataset, suite=of, label=None, category=(), limit=None)
        prompts, notes = asked.prompts, asked.notes
    elif dataset or of is not None:
        raise InputError(
            f"{suite.name} has tasks of its own and takes no data set", fix="Leave DATASET and --of out."
        )
    if unknown := sorted(settings.keys() - suite.settings.keys()):
        there = f"There are: {', '.join(suite.settings)}." if suite.settings else "It has none."
        raise InputError(f"{suite.name} has no setting {unknown[0]!r}", where="--setting", fix=there)
    known = {**suite.settings, **settings}
    every = _tasks(environment, known, prompts)
    tasks = _chosen(every, label, category, limit)
    if tasks and len(tasks) < len(every) and wants:  # its tasks are about each other's prompts, too
        tasks = _tasks(environment, known, _and_twins(tasks, prompts))
    if not tasks:
        raise InputError(f"no task of {suite.name} is left", fix="Leave --label and --category out.")
    return Playing(suite, environment, tuple(tasks), turns or suite.turns, trials, tuple(notes))


def _tasks(environment: Environment, settings: Settings, prompts: Sequence[Prompt]) -> list[Task]:
    """An environment's tasks. Episodes are told apart by their prompts, so each must have its own.

    Raises:
        InputError: the class failed, or gave what cannot be used.
    """

    def wrong(tasks: list[Task]) -> str:
        if said := next(filter(None, map(of_task, tasks)), ""):
            return said
        (id, count), *_ = Counter(task.prompt.id for task in tasks).most_common(1) or [("", 0)]
        return f"tasks() gave {count} tasks with the same prompt {id}" if count > 1 else ""

    return safely(environment, lambda: list(environment.tasks(settings, prompts)), wrong)


def _chosen(
    tasks: Iterable[Task], label: str | None, category: tuple[str, ...], limit: int | None
) -> list[Task]:
    """The tasks of a label and of categories, and of them at most `limit` for each label. Versions of a
    prompt go with it, and pairs stay whole."""
    found = [
        task
        for task in tasks
        if (label is None or task.prompt.label == label)
        and (not category or task.prompt.category in category)
    ]
    if limit is None:
        return found
    about: dict[str, Prompt] = {}  # also of versions whose own prompt is no task
    for task in found:
        about.setdefault(_own_id(task.prompt), dataclasses.replace(task.prompt, id=_own_id(task.prompt)))
    kept = _kept_in_pairs(about.values(), limit)
    return [task for task in found if _own_id(task.prompt) in kept]


def _own_id(prompt: Prompt) -> str:
    """The id of the prompt that a version is of; of any other its own."""
    return prompt.variant_of or prompt.id


def _kept_in_pairs(prompts: Iterable[Prompt], limit: int) -> set[str]:
    """The ids of at most `limit` prompts of each label. Those of a pair's other label go with its first one,
    so that pairs stay whole."""
    first: dict[str, str] = {}
    for prompt in (listed := list(prompts)):
        if prompt.pair_id:
            first.setdefault(prompt.pair_id, prompt.label)
    leading = [p for p in listed if not p.pair_id or first[p.pair_id] == p.label]
    chosen = spread(leading, limit)
    pairs = {p.pair_id for p in chosen if p.pair_id}
    followers = [p for p in listed if p.pair_id in pairs and first[p.pair_id] != p.label]
    return {p.id for p in (*chosen, *followers)}


def _and_twins(tasks: Iterable[Task], prompts: Iterable[Prompt]) -> list[Prompt]:
    """The prompts that tasks are about, with the other labels of their pairs."""
    about = [task.prompt for task in tasks]
    own = {_own_id(prompt) for prompt in about}
    twins = {prompt.pair_id for prompt in about if prompt.pair_id}
    labels = {prompt.label for prompt in about}
    return [p for p in prompts if p.id in own or (p.pair_id in twins and p.label not in labels)]


def settings_of(given: Iterable[str]) -> dict[str, Json]:
    """Reads `--setting NAME=VALUE`; values are read as YAML reads them, so that 3 is a number.

    Raises:
        InputError: one is not of that form, or is named twice.
    """
    found: dict[str, Json] = {}
    for text in given:
        name, mark, value = text.partition("=")
        if not mark or not name.strip() or name.strip() in found:
            raise InputError(f"{text!r} is no NAME=VALUE of its own", where="--setting")
        try:
            found[name.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            found[name.strip()] = value
    return found


def write_replays(folder: Path, environment: Environment) -> list[str]:
    """Writes replays of some of a run's episodes, dealt as the report deals them, where the environment draws
    them. Returns notes on those that cannot be shown.

    Raises:
        InputError: the episodes cannot be read.
        RunError: a file cannot be written.
    """
    from overt.report.episodes import MOST_REPLAYS, dealt, replay_file, replays_folder

    with speaking_os_errors("cannot write the replays"):
        shutil.rmtree(replays_folder(folder), ignore_errors=True)  # those of an earlier end of the run
    picture = getattr(environment, "picture", None)
    if picture is None:
        return []
    records = stored_episodes(folder)
    places, _ = dealt(records.placed(), MOST_REPLAYS)
    unsafe: Counter[str] = Counter()
    for episode in records.at(places) if places else ():
        path = replay_file(folder, episode.id)
        try:
            svg = picture(episode)
            why = why_unsafe(svg) if svg is not None else ""
        except Exception as error:  # no figure hangs on it
            svg, why = None, f"the environment failed ({type(error).__name__})"
        if why:
            unsafe[why] += 1
        elif svg is not None and path is not None:
            write_atomic(path, text_bytes(svg))
    return [f"{count} replays cannot be shown: {why}" for why, count in unsafe.items()]


def write_figures(folder: Path, playing: Playing, level: float = 0.95) -> EpisodesSummary:
    """Computes and writes the figures of a run's episodes.

    Raises:
        InputError: the episodes cannot be read, or the environment's class is broken.
        RunError: the file cannot be written.
    """
    suite, environment = playing.suite, playing.environment
    summary = EpisodesSummary(
        environment.name,
        int(getattr(environment, "version", 1)),
        suite.name,
        suite.title,
        played_of(episodes_of(folder)),
        safely(environment, lambda: tuple(environment.figures(episodes_of(folder), level))),
        suite.warnings,
        level,
    )
    write_episodes(folder, summary)
    return summary
