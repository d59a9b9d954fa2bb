"""Makes columns (overt/scoring/summary/rows.py) of records, in one pass over each kind of them.

Records may be whole ones of a list, or brief ones of a file (`overt.data.run.brief`). Each comes with a
number that says where it is, by which the caller finds it again.
"""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from overt.data import outcomes, records
from overt.data.outcomes import HarmLabel, State
from overt.data.records import Label
from overt.data.results.likeness import AsAsked
from overt.data.results.summary import Kind
from overt.data.run import brief
from overt.data.targets import RefusalStage
from overt.scoring.answer_forms import FormCode
from overt.scoring.stats.inputs import Ints
from overt.scoring.summary.forms import form_of_outcome
from overt.scoring.summary.rows import Asked, Case, Rows, Said, in_order

AnyPrompt = records.Prompt | brief.Prompt
AnyOutcome = outcomes.Outcome | brief.Outcome
AnyHarm = outcomes.Harm | brief.Harm

H = TypeVar("H", bound=Hashable)
Size = type[np.int8] | type[np.int32] | type[np.int64]


class Codes(dict[H, int]):
    """Numbers values from 0 in the order in which they first appear."""

    def __missing__(self, value: H) -> int:
        self[value] = code = len(self)
        return code


# -- prompts -------------------------------------------------------------------------------------------------


def asked_of(prompts: Iterable[tuple[int, AnyPrompt]]) -> Asked:
    """The prompts as columns, with where each record is. Of several with one id the last one counts."""
    found = Prompts()
    for at, prompt in prompts:
        found.add(at, prompt)
    return found.asked()


class Prompts:
    """Gathers the prompts of one run, or of several."""

    def __init__(self) -> None:
        self.places: dict[str, int] = {}
        self._labels = Codes[Label]()
        self._categories, self._groups, self._clusters = Codes[str](), Codes[str](), Codes[str]()
        self._label, self._category, self._group = array("b"), array("i"), array("i")
        self._cluster, self._at = array("i"), array("q")
        self._attacks, self._attack, self._has_vanilla = Codes[str](), array("i"), array("b")
        self._sources: dict[int, str] = {}
        self._versions = 0

    def label_of(self, id: str) -> Label | None:
        """The label of a prompt that was added; None of one that was not."""
        place = self.places.get(id)
        if place is None:
            return None
        return list(self._labels)[self._label[place]]

    def add(self, at: int, prompt: AnyPrompt) -> None:
        known = len(self.places)
        place = self.places.setdefault(prompt.id, known)
        row = (
            self._labels[prompt.label], self._categories[prompt.category], self._groups[prompt.group or ""],
            self._clusters[prompt.cluster], self._attacks[prompt.attack or ""],
            prompt.vanilla is not None, at,
        )  # fmt: skip
        columns = (
            self._label, self._category, self._group,
            self._cluster, self._attack, self._has_vanilla, self._at,
        )  # fmt: skip
        for column, value in zip(columns, row, strict=True):
            if place == known:
                column.append(value)
            else:
                column[place] = value
        self._versions += prompt.variant_of is not None
        if prompt.variant_of:
            self._sources[place] = prompt.variant_of
        elif place != known:
            self._sources.pop(place, None)

    def asked(self) -> Asked:
        count = len(self.places)
        is_version, variant_of = np.zeros(count, dtype=np.bool_), np.full(count, -1, dtype=np.int64)
        for place, source in self._sources.items():
            is_version[place], variant_of[place] = True, self.places.get(source, -1)
        return Asked(
            places=self.places,
            labels=tuple(self._labels),
            label=column(self._label, np.int8),
            categories=tuple(self._categories),
            category=column(self._category, np.int32),
            cluster=column(self._cluster, np.int32),
            is_version=is_version,
            variant_of=variant_of,
            groups=tuple(self._groups),
            group=column(self._group, np.int32),
            versions=self._versions,
            attacks=tuple(self._attacks),
            attack=column(self._attack, np.int32),
            has_vanilla=column(self._has_vanilla, np.int8) > 0,
            at=column(self._at, np.int64),
        )


def column(values: array[int], kind: Size) -> Ints:
    """The values as an array, without a copy."""
    found: Ints = np.frombuffer(values, dtype=kind) if len(values) else np.empty(0, dtype=kind)
    return found


# -- what is known of an outcome by its id -------------------------------------------------------------------


def number_of(id: str) -> int:
    """A number of 64 bits for an outcome's id: of ids that overt made the hash that stands in them, so that
    two outcomes share it as seldom as they share an id."""
    if len(id) == 24 and id.startswith("outcome-"):
        try:
            return int(id[8:], 16) & 0xFFFF_FFFF_FFFF_FFFF
        except ValueError:
            pass
    return int.from_bytes(blake2b(id.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


class ById(Generic[H]):
    """A value for each outcome's id, in 16 bytes: millions of ids as texts would take a gigabyte. Of several
    values of one id the last one counts."""

    def __init__(self) -> None:
        self._numbers, self._codes = array("Q"), array("b")
        self._values = Codes[H]()
        self._at = array("q")

    def __len__(self) -> int:
        return len(self._numbers)

    def add(self, id: str, value: H, at: int = -1) -> None:
        self._numbers.append(number_of(id))
        self._codes.append(self._values[value])
        self._at.append(at)

    @property
    def values(self) -> list[H]:
        return list(self._values)

    def of(self, numbers: NDArray[np.uint64]) -> Ints:
        """The place in `values` of what each outcome has, -1 where it has none."""
        return self._found(numbers, self._codes, np.int8)

    def at(self, numbers: NDArray[np.uint64]) -> Ints:
        """Where the record of each outcome is, -1 where there is none."""
        return self._found(numbers, self._at, np.int64)

    @cached_property
    def _ranked(self) -> tuple[Ints, NDArray[np.uint64]]:
        """The order of the numbers, and the numbers in it; of equal ones the last one is last."""
        numbers = np.frombuffer(self._numbers, dtype=np.uint64)
        order = np.argsort(numbers, kind="stable")
        return order, numbers[order]

    def _found(self, numbers: NDArray[np.uint64], column: array[int], kind: Size) -> Ints:
        if not len(self):
            return np.full(len(numbers), -1, dtype=np.int64)
        order, ranked = self._ranked
        places = np.maximum(np.searchsorted(ranked, numbers, "right") - 1, 0)
        values = np.frombuffer(column, dtype=kind)[order[places]]
        return np.where(ranked[places] == numbers, values, -1).astype(np.int64)


@dataclass(slots=True)
class Verdicts:
    """What judges and scorers said of each outcome. `judged` has the targets that judges were asked about."""

    harm: ById[HarmLabel] = field(default_factory=ById)
    as_asked: ById[bool | None] = field(default_factory=ById)
    judged: set[str] = field(default_factory=set)

    def add(self, at: int, harm: AnyHarm) -> None:
        self.harm.add(harm.outcome_id, harm.label, at)
        self.judged.add(harm.target)

    def add_as_asked(self, row: AsAsked) -> None:
        self.as_asked.add(row.outcome_id, row.as_asked)


# -- outcomes ------------------------------------------------------------------------------------------------


class _Base(NamedTuple):
    """What a record says of what became of a prompt."""

    state: State
    stage: RefusalStage | None
    code: str
    has_images: bool
    has_text: bool
    layers: tuple[Said, ...]
    form: FormCode | None


_NO_SCORE = float("nan")


class _Columns:
    """The rows of one target while they are read."""

    def __init__(self) -> None:
        self.bases = Codes[_Base]()
        self.base, self.prompt, self.sample = array("i"), array("i"), array("q")
        self.score, self.number, self.at = array("d"), array("Q"), array("q")

    def add(self, at: int, place: int, outcome: AnyOutcome) -> None:
        layers = tuple(
            [
                Said(one.layer, one.stage, one.blocked, one.was_asked, one.score is not None)
                for one in outcome.layers
            ]
        )
        base = _Base(
            outcome.state,
            outcome.stage,
            outcome.code,
            bool(outcome.images),
            bool(outcome.text),
            layers,
            form_of_outcome(outcome.state, outcome.code, outcome.text),
        )
        self.base.append(self.bases[base])
        self.prompt.append(place)
        self.sample.append(outcome.sample)
        self.score.append(_NO_SCORE if outcome.score is None else outcome.score)
        self.number.append(number_of(outcome.id))
        self.at.append(at)

    def rows(self, asked: Asked, kind: Kind, verdicts: Verdicts) -> Rows:
        prompt = column(self.prompt, np.int32)
        number = np.frombuffer(self.number, dtype=np.uint64) if len(prompt) else np.empty(0, dtype=np.uint64)
        harm, as_asked = verdicts.harm.of(number), verdicts.as_asked.of(number)
        voted, liked = len(verdicts.harm.values) + 1, len(verdicts.as_asked.values) + 1
        # One number for what is the same in all, so that each case is looked at once.
        whole = column(self.base, np.int32).astype(np.int64)
        whole = whole * len(asked.labels) + asked.label[prompt]
        whole = (whole * voted + harm + 1) * liked + as_asked + 1
        known, inverse = np.unique(whole, return_inverse=True)
        order = in_order(inverse)
        rank: Ints = column(array("i", bytes(4 * len(known))), np.int32)
        rank[order] = np.arange(len(known))
        bases = list(self.bases)
        cases = []
        for code in order:
            rest, seen = divmod(int(known[code]), liked)
            rest, vote = divmod(rest, voted)
            place, label = divmod(rest, len(asked.labels))
            cases.append(
                _case(
                    bases[place],
                    asked.labels[label],
                    kind,
                    verdicts.harm.values[vote - 1] if vote else None,
                    verdicts.as_asked.values[seen - 1] if seen else None,
                )
            )
        return Rows(
            asked,
            kind,
            cases,
            rank[inverse],
            prompt,
            column(self.sample, np.int64),
            np.frombuffer(self.score) if len(prompt) else np.empty(0),
            number,
            column(self.at, np.int64),
        )


def _case(base: _Base, label: Label, kind: Kind, harm: HarmLabel | None, as_asked: bool | None) -> Case:
    return Case(
        label,
        kind,
        base.state,
        base.stage,
        base.code,
        base.has_images,
        base.has_text,
        base.layers,
        harm,
        as_asked if base.state == "generated" else None,
        base.form,
    )


def rows_of(
    asked: Asked,
    outcomes: Iterable[tuple[int, AnyOutcome]],
    verdicts: Verdicts,
    kinds: Mapping[str, Kind],
    names: Mapping[str, str] | None = None,
) -> dict[str, Rows]:
    """The rows by target: those of `kinds` in that order, then others in the order in which they appear.
    Outcomes of prompts that are not among `asked` are left out.

    Args:
        kinds: what each target gives, by its new name; of targets that are not named, pictures.
        names: new names of targets, by the old ones.
    """
    found: dict[str, _Columns] = {name: _Columns() for name in kinds}
    renamed = names or {}
    places = asked.places
    for at, outcome in outcomes:
        place = places.get(outcome.prompt_id)
        if place is None:
            continue
        name = renamed.get(outcome.target, outcome.target)
        if (columns := found.get(name)) is None:
            columns = found[name] = _Columns()
        columns.add(at, place, outcome)
    made = {}
    for name in list(found):
        made[name] = found.pop(name).rows(asked, kinds.get(name, "image"), verdicts)
    return made
