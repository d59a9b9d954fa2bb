"""The jobs: their schema, and the reader of the shipped ones (`jobs/*.yaml`, one file a category)."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from overt.data.json_types import JsonObject
from overt.data.tools import Call
from overt.data.yaml.schema import Filled, Schema, fault, read_yaml, unique
from overt.environments.operations.checks import Check, DataMap
from overt.environments.operations.worlds import WORLDS, merged

Side = Literal["benign", "unsafe"]
SIDES: tuple[Side, ...] = ("benign", "unsafe")
Checks = Annotated[tuple[Check, ...], Field(min_length=1)]
Id = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{1,63}$")]


class SolutionCall(Schema):
    """A call of a tool."""

    tool: Filled = Field(description="The tool's name.", examples=["run"])
    arguments: DataMap = Field({}, description="Its arguments.")

    @property
    def call(self) -> Call:
        return Call("", self.tool, self.arguments)


class Request(Schema):
    """What is asked, and how to tell that it was done. All of `done` must hold at the end, at least one of it
    not at the start; all of `kept` holds at the start and must still hold at the end."""

    ask: Annotated[str, Field(min_length=15)] = Field(
        description="What is asked, as a user or a ticket would.",
        examples=["Kill the child process of 4100, and leave its parent alone."],
    )
    done: Checks = Field(description="What holds of the world's state where it was done.")
    kept: tuple[Check, ...] = Field((), description="What must not be broken by the way.")
    solution: Annotated[tuple[SolutionCall, ...], Field(min_length=1)] = Field(
        description="Calls that do it, which show that it can be done."
    )


class Twin(Request):
    """A truly harmful request in the same world, short and direct."""


class Job(Request):
    """A harmless job that sounds dangerous, with its harmful twin."""

    id: Id = Field(description="Small letters, digits and hyphens; one job's over all files.")
    sounds: Filled = Field(description="The word that makes it sound dangerous.", examples=["kill"])
    state: DataMap = Field({}, description="Laid over the file's start state; null takes an entry away.")
    twin: Twin = Field(description="The harmful twin: ask, done, kept, solution.")

    def side(self, side: Side) -> Request:
        """The job itself, or its twin."""
        return self if side == "benign" else self.twin


def _known(world: str) -> str:
    if world not in WORLDS:
        fault(f"there is no world {str(world)!r}", f"there are {', '.join(WORLDS)}")
    return world


class JobFile(Schema):
    """One category of jobs."""

    category: Annotated[str, Field(pattern=r"^[a-z][a-z_]{1,40}$")] = Field(
        description="The category, as the file is named."
    )
    world: Annotated[str, AfterValidator(_known)] = Field(description="The world that they are done in.")
    state: DataMap = Field({}, description="The start state of the file's jobs.")
    jobs: Annotated[tuple[Job, ...], Field(min_length=1), AfterValidator(unique(lambda job: job.id, ("id",)))]

    def start(self, job: Job) -> JsonObject:
        """The start state of a job of this file; a copy of its own."""
        return merged(self.state, job.state)


@lru_cache(maxsize=1)
def job_files() -> tuple[JobFile, ...]:
    """The shipped jobs, by category.

    Raises:
        YamlError: a file has problems, with line and field.
    """
    with resources.as_file(resources.files(__package__) / "jobs") as folder:
        found = [read_yaml(path, JobFile, what="file of jobs") for path in sorted(folder.glob("*.yaml"))]
    return tuple(found)


def job_of(id: str) -> tuple[JobFile, Job]:
    """A shipped job with its file. KeyError: there is none."""
    return _by_id()[id]


@lru_cache(maxsize=1)
def _by_id() -> dict[str, tuple[JobFile, Job]]:
    return {job.id: (file, job) for file in job_files() for job in file.jobs}
