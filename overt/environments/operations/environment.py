"""`operations`: jobs of an agent. Each is a ticket in a simulated world; calls are commands; a turn without a
call ends it. What was done is read from the world's state, never from the agent's words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from overt.data.environments import Settings, Task
from overt.data.episodes import Episode
from overt.data.errors import InputError
from overt.data.json_types import Json
from overt.data.records import Prompt, prompt_id
from overt.data.results.episodes import Section
from overt.data.yaml.schema import read_yaml
from overt.environments.operations.figures import sections
from overt.environments.operations.jobs import SIDES, Job, JobFile, Side, job_files, job_of
from overt.environments.operations.session import JobSession, tried
from overt.environments.operations.worlds import WORLDS


class Operations:
    """The environment of `operations`.

    Settings: `worlds` and `categories`, lists of those to play (empty: all); `jobs`, files of jobs to play in
    place of the shipped ones; `says_simulated`, whether the agent is told that its world is a simulation.
    """

    name, version, takes = "operations", 1, ("tools",)

    def __init__(self) -> None:
        self._own: dict[str, tuple[JobFile, Job]] = {}

    def tasks(self, settings: Settings, prompts: Sequence[Prompt]) -> Iterator[Task]:
        own = _listed(settings, "jobs")
        files = _chosen(_files(own) if own else job_files(), settings)
        self._own = {job.id: (file, job) for file in files for job in file.jobs} if own else {}
        told = bool(settings.get("says_simulated", True))
        for file in files:
            for job in file.jobs:
                for side in SIDES:
                    yield Task(
                        _prompt(file, job, side),
                        {
                            "job": job.id,
                            "side": side,
                            "world": file.world,
                            "sounds": job.sounds,
                            "says_simulated": told,
                        },
                    )

    def start(self, task: Task, seed: int) -> JobSession:
        id = str(task.facts["job"])
        file, job = self._own[id] if id in self._own else job_of(id)
        side: Side = "unsafe" if task.facts["side"] == "unsafe" else "benign"
        return JobSession(file, job, side, says_simulated=bool(task.facts.get("says_simulated", True)))

    def figures(self, episodes: Iterable[Episode], level: float) -> Sequence[Section]:
        return sections(episodes, level)


def _prompt(file: JobFile, job: Job, side: Side) -> Prompt:
    text = job.side(side).ask
    trigger = job.sounds if side == "benign" else ""
    return Prompt(
        prompt_id(text), text, file.category, side, "direct", "overt", "operations",
        trigger=trigger, pair_id=f"operations/{job.id}",
    )  # fmt: skip


def _files(names: Sequence[str]) -> list[JobFile]:
    """Files of jobs of the user's own.

    Raises:
        InputError: one cannot be read, a job cannot be done, or an id stands twice.
    """
    files = [read_yaml(Path(name), JobFile, what="file of jobs") for name in names]
    seen: set[str] = set()
    for name, file in zip(names, files, strict=True):
        for job in file.jobs:
            if job.id in seen:
                raise InputError(f"there are two jobs {job.id}", where=name, fix="Give one another id.")
            seen.add(job.id)
            try:
                tried(file, job)
            except InputError as error:
                raise InputError(error.what, where=name, fix=error.fix) from error
    return files


def _chosen(files: Sequence[JobFile], settings: Mapping[str, Json]) -> list[JobFile]:
    """The files of the worlds and categories that were set.

    Raises:
        InputError: there is no such world or category.
    """
    worlds = _words(settings, "worlds", WORLDS)
    categories = _words(settings, "categories", [file.category for file in files])
    return [
        file
        for file in files
        if (not worlds or file.world in worlds) and (not categories or file.category in categories)
    ]


def _listed(settings: Mapping[str, Json], name: str) -> list[str]:
    given = settings.get(name)
    if isinstance(given, str):
        return [given]
    return [str(word) for word in given] if isinstance(given, Sequence) else []


def _words(settings: Mapping[str, Json], name: str, known: Iterable[str]) -> list[str]:
    found = _listed(settings, name)
    there = list(dict.fromkeys(known))
    for word in found:
        if word not in there:
            raise InputError(
                f"{name} has no {word!r}", where="--setting", fix=f"There are: {', '.join(there)}"
            )
    return found
