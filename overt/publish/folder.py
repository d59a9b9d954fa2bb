"""A publication on disk: one folder per repository, exactly what the upload sends, file by file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from overt.data.errors import InputError, RunError
from overt.data.run.files import dump_json, read_json, speaking_os_errors, text_bytes, write_atomic
from overt.publish.card import Facts, render_card
from overt.publish.croissant import describe, problems
from overt.publish.parquet import SHARD_BYTES, write_table
from overt.publish.pictures import Pictures
from overt.publish.tables import Repo

MARK = "publish.json"  # says that a folder is ours, and which files in it are


@dataclass(frozen=True)
class Prepared:
    """A repository ready for upload; `files` are relative to `folder`."""

    repo: Repo
    folder: Path
    files: tuple[str, ...]
    run: str

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum((self.folder / name).stat().st_size for name in self.files)


def claim(out: Path) -> None:
    """Empties a folder that an earlier call filled; refuses one that holds anything else.

    Raises:
        InputError: the folder is in use for something else.
        RunError: it cannot be written.
    """
    mark = out / MARK
    with speaking_os_errors("cannot write the folder"):
        out.mkdir(parents=True, exist_ok=True)
        if not mark.exists():
            if stranger := next(iter(sorted(out.iterdir())), None):
                raise InputError(
                    f"the folder is not empty (it holds {stranger.name!r})",
                    where=str(out),
                    fix="Give --out a new folder.",
                )
            return
        for name in read_json(mark).get("files", ()):
            inside = PurePosixPath(str(name))
            if not inside.is_absolute() and ".." not in inside.parts:
                (out / inside).unlink(missing_ok=True)


def write_repo(
    repo: Repo,
    facts: Facts,
    out: Path,
    pictures: Pictures,
    *,
    unsafe: Sequence[str] = (),
    shard_bytes: int = SHARD_BYTES,
) -> tuple[Prepared, list[str]]:
    """Writes one repository into `out/NAME`; the card last. Also returns notes for whoever publishes it.

    Args:
        unsafe: texts that must stand in no file of a repository that holds nothing unsafe.

    Raises:
        RunError: disk full; or an unsafe text turned up where none may be.
    """
    folder = out / repo.name
    notes: list[str] = []
    shards = {
        table.config: write_table(table, folder, pictures, shard_bytes=shard_bytes) for table in repo.tables
    }
    described = describe(repo, facts, shards, folder)
    found = problems(described)
    if found is None:
        notes.append(
            "croissant.json was not validated: mlcroissant is missing (pip install 'overt[publish]')"
        )
    elif found:
        raise RunError("croissant.json is not valid: " + "; ".join(found[:5]))
    texts = {
        **repo.texts,
        "croissant.json": dump_json(described).decode("utf-8", "replace"),
        "README.md": render_card(repo, facts),
    }
    if not repo.holds_unsafe:
        _hold_back(texts, unsafe)
    for name, text in texts.items():
        write_atomic(folder / name, text_bytes(text))
    files = [*(path.as_posix() for paths in shards.values() for path in paths), *texts]
    return Prepared(repo, folder, tuple(files), facts.run), notes


def mark(out: Path, prepared: Sequence[Prepared]) -> None:
    """Lists the written files in MARK."""
    names = [f"{one.repo.name}/{name}" for one in prepared for name in one.files]
    write_atomic(out / MARK, dump_json({"files": names, "repos": [one.repo.id for one in prepared]}))


def contains_any(text: str, needles: Sequence[str]) -> bool:
    """Whether one of these texts stands in it, however it is broken into lines."""
    flat = _flat(text)
    return any(needle in flat for needle in (_flat(n) for n in needles) if len(needle) >= 12)


def _flat(text: str) -> str:
    return re.sub(r"[\s\\\"']+", " ", text).casefold()


def _hold_back(texts: dict[str, str], unsafe: Sequence[str]) -> None:
    for name, text in texts.items():
        if contains_any(text, unsafe):
            raise RunError(
                f"an unsafe prompt stands in {name} of the open repository",
                fix="Nothing was sent. Look whether a benign prompt repeats it word for word.",
            )
