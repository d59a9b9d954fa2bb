"""What the index of a run takes from its records, for each kind of run.

Both kinds have the same shape: prompts, and for each prompt a cell for each column. The columns of `overt
run` are its targets, and a cell is an outcome. `overt generate` has one column, the data set, and its cell
says where the prompt was kept or dropped, and why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from overt.data.outcomes import Harm, Outcome
from overt.data.records import Audit, Drop, Failure, Probe, Prompt
from overt.data.results.likeness import AsAsked
from overt.data.rewrites import Candidate
from overt.data.run.files import placed_records

T = TypeVar("T")
Advance = Callable[[int], None]

DATASET = "data set"  # the only column of a run of `overt generate`
PROMPTS, OUTCOMES, HARM, AS_ASKED = (
    "stages/prompts.jsonl",
    "stages/outcomes.jsonl",
    "results/harm.jsonl",
    "results/as_asked.jsonl",
)
CANDIDATES, REWORDED = "rewrites/candidates.jsonl", "rewrites/outcomes.jsonl"
AUDIT, PROBE = "stages/audit.jsonl", "stages/probe.jsonl"
DROPS, FAILURES = "stages/drops.jsonl", "stages/failures.jsonl"
# The files of prompts of a data set in the making, the last of a prompt's way first, with what it means that
# a prompt is in it and in none before.
WAYS = {
    "dataset/benign.jsonl": ("kept", ""),
    "dataset/unsafe.jsonl": ("kept", ""),
    "stages/vary.jsonl": ("in the making", "vary"),
    "stages/pair.jsonl": ("in the making", "pair"),
    "stages/select.jsonl": ("in the making", "select"),
    "stages/dedupe.jsonl": ("in the making", "dedupe"),
    "stages/synthesize.jsonl": ("in the making", "synthesize"),
}
POLICY = "policy.yaml"
PARTS = {
    "run": (POLICY, PROMPTS, OUTCOMES, HARM, AS_ASKED, CANDIDATES, REWORDED),
    "generate": (POLICY, *WAYS, AUDIT, PROBE, DROPS, FAILURES),
}


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file of the run: which file, at which byte, how many bytes."""

    part: str
    at: int
    size: int


@dataclass(frozen=True, slots=True)
class Cell:
    """What became of a prompt in one column. `text` is what is searched besides the prompt, `place` the line
    that it was read from; None where no line says more."""

    prompt_id: str
    column: str
    sample: int
    state: str
    stage: str
    code: str
    text: str = ""
    pictures: int = 0
    outcome_id: str = ""
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A line that says more of a prompt. `harm` is the judges' label of the outcome `outcome_id`."""

    prompt_id: str
    place: Place
    outcome_id: str = ""
    harm: str = ""


Row = tuple[Prompt, Place | None] | Cell | Line


def rows_of(folder: Path, kind: str, advance: Advance) -> Iterator[Row]:
    """Prompts, then cells, then lines.

    Args:
        advance: is told the bytes that were read.

    Raises:
        InputError: a line is no such record; has the file and the line.
    """
    return (_of_run if kind == "run" else _of_dataset)(_Reader(folder, advance))


@dataclass(frozen=True)
class _Reader:
    folder: Path
    advance: Advance

    def read(self, part: str, kind: type[T]) -> Iterator[tuple[Place, T]]:
        for at, size, record in placed_records(self.folder / part, kind):
            yield Place(part, at, size), record
            self.advance(size)


def _of_run(reader: _Reader) -> Iterator[Row]:
    for place, prompt in reader.read(PROMPTS, Prompt):
        yield prompt, place
    for place, outcome in reader.read(OUTCOMES, Outcome):
        yield _cell(outcome, place)
    for place, harm in reader.read(HARM, Harm):
        yield Line(harm.prompt_id, place, harm.outcome_id, harm.label)
    for place, as_asked in reader.read(AS_ASKED, AsAsked):
        yield Line(as_asked.prompt_id, place, as_asked.outcome_id)
    originals = {}
    for place, candidate in reader.read(CANDIDATES, Candidate):
        originals[candidate.id] = candidate.prompt_id
        yield Line(candidate.prompt_id, place)
    for place, reworded in reader.read(REWORDED, Outcome):
        if reworded.prompt_id in originals:
            yield Line(originals[reworded.prompt_id], place)


def _cell(outcome: Outcome, place: Place) -> Cell:
    said = (outcome.text, outcome.revised_prompt, outcome.evidence)
    return Cell(
        outcome.prompt_id,
        outcome.target,
        outcome.sample,
        outcome.state,
        outcome.stage or "",
        outcome.code,
        " ".join(str(text) for text in said if text),
        len(outcome.images),
        outcome.id,
        place,
    )


def _of_dataset(reader: _Reader) -> Iterator[Row]:
    cells: dict[str, Cell] = {}
    for part, (state, stage) in WAYS.items():
        for place, prompt in reader.read(part, Prompt):
            if prompt.id not in cells:
                cells[prompt.id] = Cell(prompt.id, DATASET, 0, state, stage, "")
                yield prompt, place
    for place, drop in reader.read(DROPS, Drop):
        known = cells.get(drop.record_id)
        if known is None:  # a seed, or what was no prompt yet
            yield _of_drop(drop), None
        elif known.state == "kept":  # dropped in one way, and kept in another
            yield Line(drop.record_id, place)
            continue
        cells[drop.record_id] = Cell(
            drop.record_id, DATASET, 0, "dropped", drop.stage, drop.reason, drop.detail, place=place
        )
    for place, failure in reader.read(FAILURES, Failure):
        if failure.record_id in cells:
            yield Line(failure.record_id, place)
    yield from cells.values()
    for place, audit in reader.read(AUDIT, Audit):
        yield Line(audit.prompt_id, place)
    for place, probe in reader.read(PROBE, Probe):
        yield Line(probe.prompt_id, place)


def _of_drop(drop: Drop) -> Prompt:
    return Prompt(drop.record_id, drop.text, drop.category, "unclear", "direct", "", "")
