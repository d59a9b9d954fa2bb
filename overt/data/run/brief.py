"""The records of a finished run as figures need them: without what was said, read anew each time.

A million prompts at three targets are three million outcomes: 2.7 GB as objects, and files of text that
`jq` reads. So figures go through the files line by line and keep numbers. These records have the names and
the fields of the whole ones (`overt.data.records`, `overt.data.outcomes`); a line is read as one of them in
two microseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from overt.data import outcomes, records
from overt.data.outcomes import HarmLabel, State
from overt.data.progress import Progress
from overt.data.records import Label, cluster_of
from overt.data.refusal_tokens import Gate
from overt.data.results import likeness
from overt.data.results.likeness import AsAsked
from overt.data.run.files import line_reader, placed_records
from overt.data.targets import LayerDecision, RefusalStage

T = TypeVar("T", covariant=True)
W = TypeVar("W", covariant=True)


@dataclass(frozen=True, slots=True)
class Prompt:
    """Whose outcome counts where."""

    id: str
    category: str
    label: Label
    seed_id: str | None = None
    pair_id: str | None = None
    variant_of: str | None = None
    group: str | None = None
    vanilla: str | None = None
    attack: str | None = None

    @property
    def cluster(self) -> str:
        """As `overt.data.records.Prompt.cluster`."""
        return cluster_of(self.id, self.seed_id, self.pair_id, self.variant_of, self.vanilla)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a prompt at a target."""

    id: str
    prompt_id: str
    target: str
    sample: int
    state: State
    stage: RefusalStage | None = None
    code: str = ""
    images: tuple[str, ...] = ()
    text: str = ""
    score: float | None = None
    layers: tuple[LayerDecision, ...] = ()


@dataclass(frozen=True, slots=True)
class Scored:
    """An outcome as thresholds need it: with what a model with refusal tokens made of the prompt."""

    id: str
    prompt_id: str
    target: str
    sample: int
    state: State
    code: str = ""
    score: float | None = None
    layers: tuple[LayerDecision, ...] = ()
    gate: Gate | None = None


@dataclass(frozen=True, slots=True)
class HarmVote:
    """One judge's label."""

    judge: str
    label: HarmLabel
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Harm:
    """The judges' labels of an outcome."""

    outcome_id: str
    prompt_id: str
    target: str
    label: HarmLabel
    votes: tuple[HarmVote, ...]


@dataclass(frozen=True, slots=True)
class Stored(Generic[T, W]):
    """The records of a JSONL file, none if the file does not exist. They are read anew each time.

    `kind` is what is read of each line, `whole` the record that the line holds.
    """

    path: Path
    kind: type[T]
    whole: type[W]

    @property
    def size(self) -> int:
        """Bytes of the file; 0 if it does not exist."""
        return self.path.stat().st_size if self.path.exists() else 0

    def __iter__(self) -> Iterator[T]:
        for _, record in self.placed():
            yield record

    def placed(self) -> Iterator[tuple[int, T]]:
        """Each record with the byte at which its line begins.

        Raises:
            InputError: a line is not such a record; has the line number.
        """
        for at, _, record in placed_records(self.path, self.kind):
            yield at, record

    def wholes(self) -> Iterator[W]:
        """Each record whole."""
        for _, _, record in placed_records(self.path, self.whole):
            yield record

    def at(self, places: Iterable[int]) -> Iterator[W]:
        """The whole records whose lines begin at these bytes, in the order of `places`."""
        read = line_reader(self.whole)
        with self.path.open("rb") as file:
            for place in places:
                file.seek(place)
                yield read(file.readline())


LARGE = 10_000_000  # bytes of a file whose reading is told


def told(records: Stored[T, W], progress: Progress) -> Iterator[tuple[int, T]]:
    """`Stored.placed`; of a large file `progress` is told, before it is read, and again while it is."""
    if records.size < LARGE:
        yield from records.placed()
        return
    name = records.path.name
    progress.note(f"reading {records.path} ({records.size / 1e6:,.0f} MB)")
    known = 0
    with progress.stage(f"MB of {name}", records.size // _MB) as advance:
        for at, record in records.placed():
            if at - known > _MB:
                advance((at - known) // _MB)
                known += (at - known) // _MB * _MB
            yield at, record
        advance((records.size - known) // _MB)


_MB = 1_000_000


def prompts_of(folder: Path) -> Stored[Prompt, records.Prompt]:
    """The prompts of a run of `overt run`."""
    return Stored(folder / "stages" / "prompts.jsonl", Prompt, records.Prompt)


def outcomes_of(folder: Path) -> Stored[Outcome, outcomes.Outcome]:
    return Stored(folder / "stages" / "outcomes.jsonl", Outcome, outcomes.Outcome)


def scored_of(folder: Path) -> Stored[Scored, outcomes.Outcome]:
    return Stored(folder / "stages" / "outcomes.jsonl", Scored, outcomes.Outcome)


def harms_of(folder: Path) -> Stored[Harm, outcomes.Harm]:
    """The results of `overt score`."""
    return Stored(folder / "results" / "harm.jsonl", Harm, outcomes.Harm)


def as_asked_of(folder: Path) -> Stored[AsAsked, AsAsked]:
    """The results of `overt score --faithfulness`."""
    return Stored(folder / "results" / likeness.FILE, AsAsked, AsAsked)
