"""The folders that `overt merge` is given: shards of one run, or copies of a whole one, and what is wrong
with them; and the folder of the whole run that they become."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from overt.data.errors import InputError
from overt.data.json_types import Json
from overt.data.progress import Progress
from overt.data.run.files import differences, read_json
from overt.data.run.finished import Run, open_run
from overt.data.run.folder import MANIFEST, RunFolder, read_addresses
from overt.data.run.power import unite_power
from overt.data.run.record import RunRecord
from overt.data.run.shards import OPTION, Shard, shard_of
from overt.data.run.united import batches_left, link_files, unite_journals, united_addresses
from overt.policies.load import dump_policy, load_policy

MERGED = "merged"  # of the manifest: what a run was merged of
_STAYS = ("explain",)  # what is not merged, and so what GPUs drew for it neither


@dataclass(frozen=True)
class Piece:
    """One of the folders. `shard` is None for a copy of a whole run."""

    run: Run
    shard: Shard | None

    @property
    def folder(self) -> Path:
        return self.run.folder

    @property
    def name(self) -> str:
        return f"shard {self.shard}" if self.shard is not None else str(self.folder)


@dataclass(frozen=True)
class Merging:
    """The pieces in the order of their shards, and the record of the whole run."""

    pieces: tuple[Piece, ...]
    record: RunRecord
    of_shards: bool

    def stamps(self) -> list[dict[str, Json]]:
        """What the manifest of the whole run says of each piece. Another state of it has another hash."""
        return [_stamp(piece) for piece in self.pieces]


def _stamp(piece: Piece) -> dict[str, Json]:
    parts = sorted(piece.folder.glob("parts/*/facts.json"))
    state = b"".join(path.read_bytes() for path in (piece.folder / MANIFEST, *parts))
    calls = piece.run.manifest_data.get("calls")
    made = calls if isinstance(calls, Mapping) else {}
    return {
        "name": piece.folder.name,
        "shard": None if piece.shard is None else str(piece.shard),
        "hash": hashlib.blake2b(state, digest_size=16).hexdigest(),
        "requests": made.get("requests"),
        "cost": made.get("cost"),
    }


# -- what is given -------------------------------------------------------------------------------------------


def checked(folders: Sequence[Path]) -> Merging:
    """The pieces, once they are known to be all shards of one run, or copies of one.

    Raises:
        InputError: they are not; or one is not complete, or has batches at a provider.
    """
    if not folders:
        raise InputError("no folder was named", fix="For instance: overt merge runs/part-* --out runs/whole")
    unique = {folder.resolve(): folder for folder in folders}
    runs = [open_run(folder, "run", "generate") for folder in unique.values()]
    pieces = tuple(Piece(run, shard_of(run.record)) for run in runs)
    _check_same(pieces)
    of_shards = pieces[0].shard is not None
    if of_shards:
        check_all(
            {piece.folder: piece.shard for piece in pieces if piece.shard is not None},
            lambda shard: f"Make it with the command of the others, and --shard {shard}.",
        )
    for piece in pieces:
        _check_batches(piece)
    first = runs[0].record
    config = {**first.config, OPTION: None} if of_shards else first.config
    ordered = tuple(sorted(pieces, key=lambda piece: piece.shard.number if piece.shard else 0))
    return Merging(ordered, dataclasses.replace(first, config=config), of_shards)


def _check_same(pieces: Sequence[Piece]) -> None:
    first = pieces[0]
    for other in pieces[1:]:
        if other.run.record.kind != first.run.record.kind:
            raise InputError(
                f"this is a run of `overt {other.run.record.kind}`, and {first.folder} is one of "
                f"`overt {first.run.record.kind}`",
                where=str(other.folder),
                fix="Give shards of one run alone.",
            )
        if (first.shard is None) != (other.shard is None):
            whole, part = (first, other) if first.shard is None else (other, first)
            raise InputError(
                f"{whole.folder} is a whole run, and {part.folder} is {part.name}",
                fix="Give shards of one run alone, or copies of a whole one alone.",
            )
        if found := differences(_unsharded(first), _unsharded(other)):
            lines = [f"{name}: there {old}, here {new}" for name, old, new in found[:6]]
            raise InputError(
                f"this run and {first.folder} are not of one run:\n    " + "\n    ".join(lines),
                where=str(other.folder),
                fix="Shards are made by one command that differs in --shard alone, by one version of overt.",
            )


def _unsharded(piece: Piece) -> dict[str, Json]:
    record = piece.run.record
    config = {name: value for name, value in record.config.items() if name != OPTION}
    return dataclasses.replace(record, config=config).identity()


def check_all(found: dict[Path, Shard], fix: Callable[[Shard], str]) -> None:
    """Checks that every shard is there once.

    Args:
        found: the shards by their folders.
        fix: how a missing one is made.

    Raises:
        InputError: one is missing or there twice, or they are parts of different numbers.
    """
    (first, shard), *_ = found.items()
    seen: dict[int, Path] = {}
    for folder, other in found.items():
        if other.of != shard.of:
            raise InputError(
                f"{first} is shard {shard}, and {folder} is shard {other}",
                fix="All shards must be of one number of shards.",
            )
        if (earlier := seen.setdefault(other.number, folder)) != folder:
            raise InputError(f"{earlier} and {folder} are both shard {other}", fix="Leave one of them out.")
    if missing := [n for n in range(1, shard.of + 1) if n not in seen]:
        some = ", ".join(f"{number}/{shard.of}" for number in missing[:12])
        more = f" and {len(missing) - 12} more" if len(missing) > 12 else ""
        are = "shard is" if len(missing) == 1 else "shards are"
        raise InputError(f"{len(missing)} {are} missing: {some}{more}", fix=fix(Shard(missing[0], shard.of)))


def _check_batches(piece: Piece) -> None:
    if left := batches_left(piece.folder):
        resume = f"overt {piece.run.kind} --resume {piece.folder}"
        raise InputError(
            f"{len(left)} batches of this run are at a provider, and may hold answers that are paid for",
            where=str(piece.folder),
            fix=f"Fetch them first: {resume} --batch   (or end them: {resume} --batch-cancel)",
        )


def check_apart(merging: Merging, out: Path) -> None:
    for piece in merging.pieces:
        if out.resolve() == piece.folder.resolve():
            raise InputError(
                "--out is one of the folders that are merged", where=str(out), fix="Give it a new folder."
            )


# -- the whole run's folder ----------------------------------------------------------------------------------


def is_new(merging: Merging, folder: RunFolder, progress: Progress) -> bool:
    """Claims the folder of the whole run. Returns whether there is something to do.

    Raises:
        InputError: it holds another run, or was merged of other states of these folders.
    """
    first = merging.pieces[0].run
    addresses, several = united_addresses([read_addresses(piece.folder) for piece in merging.pieces])
    folder.claim(merging.record, dump_policy(load_policy(str(first.policy_file))), addresses or None)
    for what in several:
        progress.note(f"the shards have more than one {what}; the whole run keeps the first")
    if not folder.is_complete:
        return True
    known = read_json(folder.path / MANIFEST).get(MERGED)
    if known is not None and known != merging.stamps():
        raise InputError(
            "this run was merged of other folders, or of earlier states of these",
            where=str(folder.path),
            fix="Give --out a new folder.",
        )
    progress.note(f"{folder.path} is complete; nothing to do")
    return False


def united(merging: Merging, folder: RunFolder, progress: Progress) -> list[str]:
    """Unites journals, pictures and what GPUs drew in the folder of the whole run. Returns notes on what is
    damaged or gone."""
    notes = []
    folders = [piece.folder for piece in merging.pieces]
    with progress.stage("merge", len(folders)) as advance:
        damaged = unite_journals(folder.path, folders)
        for piece in merging.pieces:
            link_files(piece.folder / "images", folder.path / "images")
            advance(1)
            if count := damaged.get(piece.folder):
                notes.append(
                    f"{piece.name}: {count} damaged rows of its journal were left out; what they held is "
                    "asked again when the run is resumed"
                )
    lost = unite_power(folder.path, folders, keep=lambda work: work not in _STAYS)
    notes += [f"what GPUs drew for {one} is not in the whole run: its power.jsonl is gone" for one in lost]
    if any(RunFolder(one).decision("calls") for one in folders):
        folder.note_calls()
    return notes
