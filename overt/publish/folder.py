"""A publication on disk: one folder per repository, exactly what the upload sends, file by file."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from overt.data.errors import InputError, RunError
from overt.data.plugins.install import how_to_install
from overt.data.run.files import dump_json, read_json, speaking_os_errors, text_bytes, write_atomic
from overt.publish import benchmark
from overt.publish.card import Facts, render_card
from overt.publish.croissant import describe, problems
from overt.publish.parquet import SHARD_BYTES, write_table
from overt.publish.pictures import Pictures
from overt.publish.tables import Repo

MARK = "publish.json"  # says that a folder is ours, and which files in it are
# What a call writes into the folder of a repository, and the temporary files of one that was killed.
_TEMPORARY = r"\.[^/]+\.tmp"
# Beside the data and the card, in a folder as on the Hub.
BESIDE = r"croissant\.json|eval\.yaml|policy\.yaml|summary\.json|eval_results/[^/]+/[^/]+\.yaml"
_WRITTEN = re.compile(
    rf"data/[^/]+/(?:[^/]+\.parquet|{_TEMPORARY})|README\.md|{BESIDE}|(?:eval_results/[^/]+/)?{_TEMPORARY}"
)
_MARK_TEMPORARY = re.compile(rf"\.{re.escape(MARK)}\.\d+\.\d+\.tmp")


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


def claim(out: Path, repos: Sequence[Repo], *, is_default: bool = False) -> None:
    """Empties a folder that an earlier call filled, or was filling when it was killed; refuses one that holds
    anything else.

    Args:
        repos: those that will be written. Their names are noted first, so that what a killed call leaves
            is known as ours.
        is_default: whether it is the folder that overt itself chose, inside the run.

    Raises:
        InputError: the folder is in use for something else.
        RunError: it cannot be written.
    """
    path = out / MARK
    with speaking_os_errors("cannot write the folder"):
        out.mkdir(parents=True, exist_ok=True)
        known = read_json(path) if path.exists() else {}
        names = {str(repo).rpartition("/")[2] for repo in known.get("repos", ())}
        names |= {repo.name for repo in repos}
        remains, strangers = _sorted(out, names)
        for name in known.get("files", ()):
            inside = PurePosixPath(str(name))
            if not inside.is_absolute() and ".." not in inside.parts:
                (out / inside).unlink(missing_ok=True)
        if not path.exists() and (strangers or (remains and not is_default)):
            held = (strangers or [remains[0].relative_to(out).parts[0]])[0]
            raise InputError(
                f"the folder is not empty (it holds {held!r})",
                where=str(out),
                fix="Give --out a new folder, or remove this one if it is of no use.",
            )
        for file in remains:
            file.unlink(missing_ok=True)
        mark(out, repos)


def _sorted(out: Path, names: Collection[str]) -> tuple[list[Path], list[str]]:
    """The files of a folder that only a call of ours can have left there, and the first parts of the others.

    Args:
        names: of the repositories' folders.
    """
    remains, strangers = [], []
    for path in sorted(p for p in out.rglob("*") if not p.is_dir()):
        inside = path.relative_to(out)
        in_repo = inside.parts[0] in names and not path.is_symlink()
        if inside.as_posix() == MARK or (len(inside.parts) == 1 and _MARK_TEMPORARY.fullmatch(inside.name)):
            continue
        if in_repo and _WRITTEN.fullmatch(PurePosixPath(*inside.parts[1:]).as_posix()):
            remains.append(path)
        else:
            strangers.append(inside.parts[0])
    return remains, strangers


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
            f"croissant.json was not validated: mlcroissant is missing ({how_to_install('mlcroissant')})"
        )
    elif found:
        raise RunError("croissant.json is not valid: " + "; ".join(found[:5]))
    texts = {
        **repo.texts,
        "croissant.json": dump_json(described).decode("utf-8", "replace"),
        **({benchmark.FILE: evaluation} if (evaluation := benchmark.eval_yaml(repo, facts)) else {}),
        "README.md": render_card(repo, facts),
    }
    if not repo.holds_unsafe:
        _hold_back(texts, unsafe)
    for name, text in texts.items():
        write_atomic(folder / name, text_bytes(text))
    files = [*(path.as_posix() for paths in shards.values() for path in paths), *texts]
    return Prepared(repo, folder, tuple(files), facts.run), notes


def mark(out: Path, repos: Sequence[Repo], prepared: Sequence[Prepared] = ()) -> None:
    """Lists the repositories and the written files in MARK."""
    names = [f"{one.repo.name}/{name}" for one in prepared for name in one.files]
    write_atomic(out / MARK, dump_json({"files": names, "repos": [repo.id for repo in repos]}))


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
