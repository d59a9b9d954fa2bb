"""What was scored and reworded in shards or in parts, united: votes, faithfulness, rewordings.

Records are put into the order that they have in a whole run, which is that of its prompts and outcomes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from overt.data.errors import InputError
from overt.data.json_types import Json, JsonObject
from overt.data.outcomes import Harm, Outcome
from overt.data.records import Drop, Failure, Prompt, from_json
from overt.data.results.files import read_remedy
from overt.data.results.likeness import FILE as AS_ASKED
from overt.data.results.likeness import AsAsked
from overt.data.results.remedy import MeasureScale
from overt.data.rewrites import Candidate, Choice, Faithfulness
from overt.data.run.files import read_records
from overt.data.run.finished import RESULTS
from overt.data.run.partial_results import FOLDER as PARTS
from overt.data.run.partial_results import Part, What, parts_of
from overt.data.run.united import added_all
from overt.tasks.merge_pieces import Merging, check_all
from overt.tasks.rewrite_results import FOLDER as REWRITES
from overt.tasks.rewrite_results import Reworded

T = TypeVar("T")

# Of what a command adds to the manifest: the counts, which add up. All else must be the same everywhere.
_COUNTS: Mapping[str, tuple[str, ...]] = {
    "judges": ("judged", "failed", "not_covered", "calls"),
    "faithfulness": ("drawn", "scored", "calls"),
    "rewrite": ("prompts", "candidates", "lost", "unanswered", "reasons", "calls"),
}
# What follows from the results, and is counted anew.
_ANEW = frozenset({"below_coverage", "scales"})
_COMMANDS = {"judges": "overt score", "faithfulness": "overt score", "rewrite": "overt rewrite"}


@dataclass(frozen=True)
class Order:
    """The places of prompts, outcomes and targets in the whole run."""

    prompts: Mapping[str, int]
    outcomes: Mapping[str, int]
    targets: Mapping[str, int]

    @classmethod
    def of(cls, prompts: Sequence[Prompt], outcomes: Sequence[Outcome]) -> Order:
        """The order of these."""
        targets = dict.fromkeys(outcome.target for outcome in outcomes)
        return cls(
            {prompt.id: place for place, prompt in enumerate(prompts)},
            {outcome.id: place for place, outcome in enumerate(outcomes)},
            {target: place for place, target in enumerate(targets)},
        )

    def at_target(self, target: str, prompt_id: str) -> tuple[int, int]:
        """The place of a prompt at a target."""
        return self.targets.get(target, -1), self.prompts.get(prompt_id, -1)


@dataclass(frozen=True)
class _Source:
    """The folder with the records of a shard or a part, and what its manifest says of them."""

    name: str
    folder: Path
    facts: JsonObject


def _sources(merging: Merging, what: What, folder: str) -> list[_Source]:
    """Where the records lie: in each shard; of copies in the parts, or, without parts, in the first copy.

    Raises:
        InputError: a part is missing, or there twice; or copies have no parts at all.
    """
    if merging.of_shards:
        return [_Source(p.name, p.folder / folder, p.run.manifest_data) for p in merging.pieces]
    found = [(piece, part) for piece in merging.pieces for part in parts_of(piece.folder, what)]
    if not found:
        first = merging.pieces[0]
        _refuse_mere_copies(merging)
        return [_Source(first.name, first.folder / folder, first.run.manifest_data)]
    named = {part.folder: part.shard for _, part in found}
    command = f"overt {what} {found[0][0].folder}"
    check_all(named, lambda shard: f"Make it: {command} --shard {shard}, with the options of the others")
    parts: list[Part] = sorted((part for _, part in found), key=lambda part: part.shard.number)
    return [_Source(f"part {part.shard}", part.folder, part.facts) for part in parts]


def _refuse_mere_copies(merging: Merging) -> None:
    if any((piece.folder / PARTS).is_dir() for piece in merging.pieces):
        return
    first = merging.pieces[0].folder
    raise InputError(
        "this is a whole run, of which nothing was scored or reworded in parts",
        where=str(first),
        fix="Give shards (`overt run ... --shard 1/4`), or score its copies in parts: "
        f"overt score {first} --judges ... --shard 1/4",
    )


# -- the same everywhere -------------------------------------------------------------------------------------


def _facts(
    merging: Merging, sources: Sequence[_Source], name: str, notes: list[str]
) -> dict[str, Json] | None:
    """What the whole run's manifest says of this, with counts added up; None where it was not done everywhere
    alike, which `notes` then tell.

    Raises:
        InputError: parts were made with different options.
    """
    found = [source.facts.get(name) for source in sources]
    there = [one for one in found if isinstance(one, Mapping)]
    if not there:
        return None
    why = ""
    if len(there) < len(sources):
        names = [s.name for s, one in zip(sources, found, strict=True) if not isinstance(one, Mapping)]
        why = f"{', '.join(names)} lack it"
    elif differing := _differing(there, name):
        why = f"it was done with different {', '.join(differing)}"
    if not why:
        counts = {n: _added([one.get(n) for one in there]) for n in _COUNTS[name]}
        return {**{n: v for n, v in there[0].items() if n not in _ANEW}, **counts}
    command = _COMMANDS[name]
    if not merging.of_shards:
        raise InputError(
            f"the parts of `{command}` do not go together ({name}): {why}",
            where=str(sources[0].folder),
            fix="Make all parts with the same options; what the journals hold is not asked again.",
        )
    notes.append(
        f"not merged: the {name} of `{command}`, since {why}; `{command}` on the whole run makes it anew, "
        "and what the journal holds is not asked again"
    )
    return None


def _differing(found: Sequence[JsonObject], name: str) -> list[str]:
    """The settings that are not the same everywhere."""
    settings = dict.fromkeys(n for one in found for n in one if n not in _COUNTS[name] and n not in _ANEW)
    return [n for n in settings if any(one.get(n) != found[0].get(n) for one in found[1:])]


def _added(values: Sequence[Json]) -> Json:
    return added_all([{"n": value} for value in values if value is not None]).get("n")


# -- votes and faithfulness ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scores:
    """What `overt score` found. `facts` are what the manifest says of it, by name."""

    harms: list[Harm] = field(default_factory=list)
    as_asked: list[AsAsked] = field(default_factory=list)
    facts: dict[str, Json] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def scores_of(merging: Merging, order: Order) -> Scores:
    """Unites votes and faithfulness, where all shards or parts were scored alike.

    Raises:
        InputError: parts are missing or were scored with different options, or a record cannot be read.
    """
    scores = Scores()
    sources = _sources(merging, "score", RESULTS)
    whole = [_Source(p.name, p.folder / RESULTS, p.run.manifest_data) for p in merging.pieces[:1]]
    for name in ("judges", "faithfulness"):
        mine = sources if any(name in source.facts for source in sources) else whole
        facts = _facts(merging, mine, name, scores.notes)
        if facts is None:
            continue
        scores.facts[name] = facts
        if name == "judges":
            scores.harms.extend(_in_order(mine, "harm.jsonl", Harm, lambda h: order.outcomes[h.outcome_id]))
            continue
        scores.as_asked.extend(_in_order(mine, AS_ASKED, AsAsked, lambda row: order.outcomes[row.outcome_id]))
        if merging.of_shards and any(row.others for row in scores.as_asked):
            scores.notes.append(
                "the pictures of each shard were held against other prompts of that shard; `overt score "
                "--faithfulness` on the whole run holds them against those of all"
            )
    return scores


def _in_order(sources: Sequence[_Source], file: str, kind: type[T], place: Callable[[T], object]) -> list[T]:
    """The records of all sources, in the order of their places; those of one place as they stand."""
    rows = [row for source in sources for row in read_records(source.folder / file, kind)]
    try:
        return sorted(rows, key=place)  # type: ignore[arg-type]
    except KeyError as error:
        raise InputError(
            f"{file} speaks of {error.args[0]}, which this run does not hold", where=str(sources[0].folder)
        ) from error


# -- rewordings ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rewriting:
    """The united rewordings, and what the manifest says of them; both None where there are none."""

    found: Reworded | None = None
    facts: dict[str, Json] | None = None
    notes: list[str] = field(default_factory=list)


def rewriting_of(merging: Merging, order: Order) -> Rewriting:
    """Unites rewordings, where all shards or parts were reworded alike.

    Raises:
        InputError: parts are missing or were reworded with different options, or a record cannot be read.
    """
    sources = _sources(merging, "rewrite", REWRITES)
    notes: list[str] = []
    facts = _facts(merging, sources, "rewrite", notes)
    if facts is None:
        return Rewriting(notes=notes)

    def place(row: Choice | Faithfulness) -> tuple[int, int]:
        return order.at_target(row.target, row.prompt_id)

    candidates = _in_order(sources, "candidates.jsonl", Candidate, lambda c: order.prompts[c.prompt_id])
    worded = {candidate.id: candidate.prompt_id for candidate in candidates}
    scores = _in_order(sources, "faithfulness.jsonl", Faithfulness, place)
    scorers = {key: number for number, key in enumerate(dict.fromkeys(map(_scorer, scores)))}
    scores.sort(key=lambda row: scorers[_scorer(row)])
    losses = [loss for source in sources for loss in _losses(source.folder / "lost.jsonl")]
    found = Reworded(
        candidates,
        sorted(losses, key=lambda loss: order.prompts.get(loss.record_id, -1)),
        _in_order(
            sources, "outcomes.jsonl", Outcome, lambda o: order.at_target(o.target, worded[o.prompt_id])
        ),
        scores,
        _in_order(sources, "choices.jsonl", Choice, place),
        _scales([scale for source in sources for scale in _scales_in(source)]),
    )
    return Rewriting(found, facts, notes)


def _scorer(row: Faithfulness) -> tuple[str, str]:
    """What tells the rows of one scorer from those of others: a model may answer for two of them."""
    return row.model, row.measure if row.measure in ("vqa", "judge") else ""


def _losses(path: Path) -> list[Drop | Failure]:
    """The drops and failures of a file, which holds both.

    Raises:
        InputError: a line is neither.
    """
    lines = path.read_bytes().splitlines() if path.exists() else []
    try:
        return [_loss(json.loads(line)) for line in lines]
    except (ValueError, TypeError) as error:
        raise InputError(f"a line is no record: {error}", where=str(path)) from error


def _loss(row: object) -> Drop | Failure:
    if isinstance(row, dict) and "kind" in row:
        return from_json(Failure, row)
    return from_json(Drop, row)


def _scales_in(source: _Source) -> Sequence[MeasureScale]:
    said = source.facts.get("scales")
    if isinstance(said, list):  # of a part
        return [from_json(MeasureScale, row) for row in said]
    return read_remedy(source.folder.parent).scales


def _scales(found: Sequence[MeasureScale]) -> tuple[MeasureScale, ...]:
    """The scale of each measure over all shards: means weighted by the number of prompts behind them."""
    by_measure: dict[tuple[str, str], list[MeasureScale]] = {}
    for scale in found:
        by_measure.setdefault((scale.measure, scale.model), []).append(scale)
    united = []
    for (measure, model), rows in by_measure.items():
        total = sum(row.prompts for row in rows)
        matched, mismatched = (
            sum(getattr(row, name) * row.prompts for row in rows) / max(total, 1)
            for name in ("matched", "mismatched")
        )
        united.append(rows[0] if len(rows) == 1 else MeasureScale(measure, model, matched, mismatched, total))
    return tuple(united)
