"""What goes between the driver and its workers: which model, where it stands, what it says of itself, and how
a seat or a batch is lost."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import overt

# What a model is asked, and what it gives: of the types of its group, which only its stand-in knows.
Item = Any
Answer = Any
# What of a model its stand-in has as well, where the model has it.
ATTRIBUTES = (
    "name",
    "modality",
    "takes",
    "notes",
    "facts",
    "blank_is_refusal",
    "priced_as",
    "max_concurrency",
    "batch_size",
    "sees_pictures",
    "why_blind",
    "covers",
    "context",
    "precision",
    "reads_prompt",
    "is_free",
    "version",
)


TRIES = 4  # how often a batch is given to a worker before it is lost


@dataclass(frozen=True, slots=True)
class Part:
    """One model of a command.

    id: tells it from other parts of the same name.
    group: its entry-point group, such as "overt.targets". text: its name. options: for its class.
    """

    id: str
    group: str
    text: str
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Facts:
    """What a model says of itself, once it is loaded: those of `ATTRIBUTES` that it has."""

    attributes: Mapping[str, Answer]

    @property
    def batch_size(self) -> int:
        """How many items it works on at once."""
        return max(1, int(self.attributes.get("batch_size") or 1))

    @property
    def batches_in_flight(self) -> int:
        """Batches that one device should have: the next one is there when one ends."""
        own = int(self.attributes.get("max_concurrency") or 0)
        return max(2, -(-own // self.batch_size))


@dataclass(frozen=True, slots=True)
class Place:
    """Where the driver stands: relative names of models and a user's own modules are found from there."""

    folder: str
    path: tuple[str, ...]
    version: str

    def take(self) -> None:
        """Stands there, as far as this machine has it."""
        if os.path.isdir(self.folder):
            os.chdir(self.folder)
        sys.path[:] = [*self.path, *(known for known in sys.path if known not in self.path)]


def here() -> Place:
    """The place of this process."""
    return Place(os.getcwd(), tuple(path or os.getcwd() for path in sys.path), overt.__version__)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a worker answers. error: an OvertError, which the driver raises, or another failure in words.
    warnings: what the worker's log said meanwhile."""

    value: Answer = None
    error: Exception | str | None = None
    warnings: tuple[str, ...] = ()


class SeatLost(Exception):
    """A worker ended. words: how, for a person."""

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words


class BatchLost(Exception):
    """Each worker that was given a batch ended."""

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words


class Seat(Protocol):
    """One worker, as the driver sees it. Its calls may be made in several threads.

    `call` names a method of `Worker`. Raises SeatLost where the worker ended, and OvertError as the method
    does.
    """

    def call(self, method: str, *arguments: object) -> Reply: ...

    def close(self) -> None: ...


class SeatMaker(Protocol):
    """An engine: it makes seats. `tries`: see `TRIES`."""

    count: int
    tries: int

    def seat(self, number: int) -> Seat:
        """Starts the worker of this number.

        Raises:
            SeatLost: it did not start.
            InputError: it cannot be started here.
        """
        ...

    def close(self) -> None: ...
