"""The whole run of shards of `overt run`: prompts, outcomes, votes and rewordings in its own order.

Nothing is decided anew: each outcome is what its shard decided. What failed stays failed, and the whole run
asks it again when it is resumed, from the united journal.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from overt.data.errors import InputError
from overt.data.json_types import Json, JsonObject
from overt.data.outcomes import Outcome
from overt.data.progress import Progress
from overt.data.records import Prompt
from overt.data.results.files import calibration_file, explanation_file, write_remedy, write_summary
from overt.data.results.likeness import FILE as AS_ASKED
from overt.data.run.counted import counted_from
from overt.data.run.files import read_records, write_records
from overt.data.run.finished import RESULTS, Modality, Run
from overt.data.run.folder import RunFolder
from overt.data.run.shards import RANKS, Rank, shard_said
from overt.data.run.united import added_all, united_notes
from overt.policies.load import load_policy
from overt.scoring.summary.summarize import summary_of
from overt.tasks.merge_pieces import MERGED, Merging, Piece, united
from overt.tasks.merge_results import Order, rewriting_of, scores_of
from overt.tasks.rewrite_results import FOLDER as REWRITES
from overt.tasks.run import results_facts, unanswered_said
from overt.tasks.score import below_coverage

# Of the manifest: numbers of calls and seconds, which add up.
_ADD_UP = ("retriable", "rejected", "kept")


@dataclass
class _Whole:
    """What is known of the whole run; `facts` are those of the manifest that no result decides."""

    prompts: Sequence[Prompt]
    outcomes: Sequence[Outcome]
    kinds: Mapping[str, Modality]
    facts: dict[str, Json]
    notes: list[str] = field(default_factory=list)


def write_whole(merging: Merging, folder: RunFolder, progress: Progress) -> None:
    """Unites the journals, and writes the stages and results of the whole run, the manifest last. The records
    are read first, so that pieces that do not fit leave no folder behind.

    Raises:
        InputError: a record cannot be read, or the pieces do not fit together.
        RunError: disk full, folder not writable.
    """
    whole = _of_shards(merging) if merging.of_shards else _of_copies(merging)
    order = Order.of(whole.prompts, whole.outcomes)
    scores, rewriting = scores_of(merging, order), rewriting_of(merging, order)
    notes = united(merging, folder, progress)
    folder.write_stage("prompts", whole.prompts)
    folder.write_stage("outcomes", whole.outcomes)
    policy = load_policy(str(merging.pieces[0].run.policy_file))
    summary = summary_of(policy, whole.prompts, whole.outcomes, scores.harms, whole.kinds, scores.as_asked)
    results = folder.path / RESULTS
    facts = {**results_facts(merging.record, summary, whole.kinds), **whole.facts, **scores.facts}
    if judges := scores.facts.get("judges"):
        write_records(results / "harm.jsonl", scores.harms)
        least = Run(folder.path, merging.record).min_coverage
        facts["judges"] = {**_mapping(judges), "below_coverage": below_coverage(summary, least)}
    if "faithfulness" in scores.facts:
        write_records(results / AS_ASKED, scores.as_asked)
    if rewriting.found is not None and rewriting.facts is not None:
        control = bool(rewriting.facts.get("unsafe"))
        rewriting.found.write(folder.path / REWRITES)
        write_remedy(folder.path, rewriting.found.remedy(whole.prompts, whole.outcomes, control=control))
        facts["rewrite"] = rewriting.facts
    write_summary(folder.path, summary)
    facts["counted"] = counted_from(folder.path)
    told = [*whole.notes, *scores.notes, *rewriting.notes, *_left_out(merging), *notes]
    facts["counted"] = counted_from(folder.path)
    folder.finish({**facts, MERGED: list(merging.stamps()), "notes": list(dict.fromkeys(told))}, RESULTS)


# -- shards --------------------------------------------------------------------------------------------------


def _of_shards(merging: Merging) -> _Whole:
    prompts = _in_their_order(merging)
    ranks = {prompt.id: rank for rank, prompt in enumerate(prompts)}
    targets = {name: number for number, name in enumerate(_targets(merging))}
    outcomes = [outcome for piece in merging.pieces for outcome in piece.run.outcomes]
    outcomes.sort(key=lambda o: (targets.get(o.target, len(targets)), ranks[o.prompt_id], o.sample))
    kinds: dict[str, Modality] = {}
    for piece in merging.pieces:
        kinds |= piece.run.results.kinds
    facts = _added_up([piece.run.manifest_data for piece in merging.pieces])
    whole = _Whole(
        prompts,
        outcomes,
        {name: kinds[name] for name in sorted(kinds, key=lambda n: targets.get(n, len(targets)))},
        facts,
    )
    whole.notes += _notes(merging, len(prompts))
    if unanswered := facts.get("retriable"):
        whole.notes.append(unanswered_said(int(str(unanswered))))
    return whole


def _in_their_order(merging: Merging) -> list[Prompt]:
    """The prompts of all shards, in the order that the whole run asks them in.

    Raises:
        InputError: a shard's records do not fit together, or the shards do not hold each prompt once.
    """
    ranked: list[tuple[int, Prompt]] = []
    for piece in merging.pieces:
        mine = {rank.prompt_id: rank.rank for rank in _ranks(piece)}
        if [prompt.id for prompt in piece.run.prompts] != list(mine):
            raise _unfit(piece, f"stages/{RANKS}.jsonl")
        if any(outcome.prompt_id not in mine for outcome in piece.run.outcomes):
            raise _unfit(piece, "stages/outcomes.jsonl")
        ranked += [(mine[prompt.id], prompt) for prompt in piece.run.prompts]
    ranked.sort(key=operator.itemgetter(0))
    if [rank for rank, _ in ranked] != list(range(len(ranked))):
        raise InputError(
            "the shards do not hold every prompt of the whole run once",
            fix="They must be shards of the same prompts: the same data set, --limit and --category.",
        )
    return [prompt for _, prompt in ranked]


def _ranks(piece: Piece) -> list[Rank]:
    return read_records(piece.folder / "stages" / f"{RANKS}.jsonl", Rank)


def _unfit(piece: Piece, file: str) -> InputError:
    return InputError(
        f"{file} does not fit stages/prompts.jsonl",
        where=str(piece.folder),
        fix=f"Put the folder back as `overt run` left it, or make {piece.name} again.",
    )


def _targets(merging: Merging) -> list[str]:
    """The targets' names, in the order in which the run asked them."""
    listed = merging.record.inputs.get("targets")
    rows = listed if isinstance(listed, list) else []
    return [str(row.get("name")) for row in rows if isinstance(row, Mapping)]


def _notes(merging: Merging, prompts: int) -> list[str]:
    """The notes of the shards, without those that are true of a shard alone and told anew."""
    found: dict[str, list[str]] = {}
    for piece in merging.pieces:
        assert piece.shard is not None
        own = {
            shard_said(piece.shard, len(piece.run.prompts), prompts),
            unanswered_said(piece.run.results.retriable),
        }
        found[piece.name] = [note for note in piece.run.results.notes if note not in own]
    return united_notes(found)


def _added_up(manifests: Sequence[JsonObject]) -> dict[str, Json]:
    """What the manifests of all shards say of calls, seconds and versions."""
    vocabularies = {str(one.get("vocabulary")) for one in manifests}
    drawn_by: dict[str, Json] = {}
    for one in manifests:
        drawn_by |= _mapping(one.get("drawn_by"))
    return {
        **{name: sum(_number(one.get(name)) for one in manifests) for name in _ADD_UP},
        # Of several it is none of them, so that kept responses are read again.
        "vocabulary": vocabularies.pop() if len(vocabularies) == 1 else "",
        "calls": added_all([_mapping(one.get("calls")) for one in manifests]),
        # Of all machines together.
        "seconds": added_all([_mapping(one.get("seconds")) for one in manifests]),
        "versions": manifests[0].get("versions"),
        **({"drawn_by": drawn_by} if drawn_by else {}),
    }


# -- copies --------------------------------------------------------------------------------------------------


def _of_copies(merging: Merging) -> _Whole:
    first = merging.pieces[0].run
    for piece in merging.pieces[1:]:
        if (piece.run.prompts, piece.run.outcomes) != (first.prompts, first.outcomes):
            raise InputError(
                f"this run and {first.folder} hold other prompts or answers: they are no copies of one run",
                where=str(piece.folder),
                fix="Copy the complete run first, then score or reword the copies by --shard.",
            )
    known = dict(first.manifest_data)
    for name in ("identity", "command", "below_coverage", "notes", "files", "explain", "calibrate", MERGED):
        known.pop(name, None)
    return _Whole(first.prompts, first.outcomes, first.results.kinds, known, list(first.results.notes))


# -- what stays behind ---------------------------------------------------------------------------------------


def _left_out(merging: Merging) -> list[str]:
    """Notes on what lies in the folders and is not merged."""
    found = []
    for what, there in (
        ("what `overt explain` found", [p for p in merging.pieces if explanation_file(p.folder).exists()]),
        ("what `overt calibrate` found", [p for p in merging.pieces if calibration_file(p.folder).exists()]),
        ("labels by people", [p for p in merging.pieces if (p.folder / "review.sqlite").exists()]),
    ):
        if there:
            names = ", ".join(piece.folder.name for piece in there)
            found.append(f"not merged: {what} ({names}); it stays there")
    return found


def _mapping(value: Json) -> dict[str, Json]:
    return dict(value) if isinstance(value, Mapping) else {}


def _number(value: Json) -> int:
    return value if isinstance(value, int) else 0
