"""Parses and opens sources: files, folders of runs, and datasets on the Hub, each with an optional column.

A source is `FILE`, `FILE:COLUMN`, `FOLDER`, `ORG/NAME`, `ORG/NAME:COLUMN` or `ORG/NAME@CONFIG/SPLIT:COLUMN`.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from overt.data.errors import InputError
from overt.data.hub import first_line, hub_answers, is_hub_id, quiet_hub
from overt.data.plugins.names import missing_package
from overt.data.run.files import digest, speaking_os_errors
from overt.data.tables.files import FORMATS, Row, format_of, read_rows, sample_rows
from overt.data.tables.layouts import HUB_DEFAULTS


@dataclass(frozen=True, slots=True)
class Source:
    """A parsed source. `path` is None for a dataset on the Hub."""

    name: str
    column: str | None
    path: Path | None = None
    config: str | None = None
    split: str | None = None

    @property
    def repo(self) -> str:
        """The id of a dataset on the Hub, without config and split."""
        return self.name.partition("@")[0]

    def tables(self) -> tuple[Source, ...]:
        """The source itself, or the data files of a run's or a dataset's folder.

        Raises:
            InputError: the folder holds no dataset.
        """
        if self.path is None or not self.path.is_dir():
            return (self,)
        places = (
            (self.path / "dataset", "*.jsonl"),
            (self.path, "*.jsonl"),
            (self.path / "data", "*.parquet"),
        )
        for place, pattern in places:
            if files := sorted(place.glob(pattern)):
                return tuple(Source(file.name, self.column, file) for file in files)
        raise InputError(
            "no dataset in this folder",
            where=str(self.path),
            fix="Give a finished run's folder, a dataset's folder, or a file.",
        )

    @property
    def beside(self) -> Path | None:
        """The folder in which a table's names of files are looked up."""
        return self.path.parent if self.path is not None else None

    def rows(self, also: Collection[str] = ()) -> Iterator[Row]:
        """Reads the rows one at a time.

        Args:
            also: columns of pictures or lists that are wanted from Parquet too, in lower case.

        Raises:
            InputError: at the call, for a folder; while reading, if a file or dataset cannot be read.
        """
        if self.path is None:
            return _hub_rows(self)
        if self.path.is_dir():
            raise InputError(
                "this is a folder, not a file",
                where=str(self.path),
                fix="Give a file in it. (Was a dataset on the Hub meant? A folder of its name stands here.)",
            )
        return read_rows(self.path, also=also)

    def sample(self, columns: Collection[str]) -> Iterator[Row] | None:
        """An even sample of the rows of a large file; None for a small one, a folder or the Hub.

        Args:
            columns: those that the rows shall have.

        Raises:
            InputError: as `rows`.
        """
        if self.path is None or self.path.is_dir():
            return None
        return sample_rows(self.path, columns)


def parse_source(spec: str) -> Source:
    """Parses a source. A path that exists wins, even with colons in it.

    Raises:
        InputError: the source is neither a file nor a Hub id.
    """
    if not spec.strip():
        raise InputError("the source is empty", fix="Give FILE, FILE:COLUMN or the id of a Hub dataset.")
    if existing := _existing(spec):
        return existing
    # The column follows the last colon, unless that belongs to a drive or a path.
    left, colon, column = spec.rpartition(":")
    if not colon or (len(left) == 1 and left.isalpha()) or any(c in column for c in "/\\"):
        left, column = spec, ""
    repo, _, at = left.partition("@")
    config, _, split = at.partition("/")
    if is_hub_id(repo) and format_of(Path(repo)) is None:
        return Source(left, column or None, None, config or None, split or None)
    raise _no_such_file(left)


def _existing(spec: str) -> Source | None:
    """The longest existing path that a spec begins with, since names may hold colons."""
    cuts = [len(spec), *(i for i in range(len(spec) - 1, 0, -1) if spec[i] == ":")]
    for cut in cuts:
        path = _at_home(spec[:cut])
        if _exists(path):
            return Source(path.name, spec[cut + 1 :] or None, path)
    return None


def _no_such_file(name: str) -> InputError:
    path = _at_home(name)
    beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, beside, n=1)
    formats = ", ".join(sorted(FORMATS))
    return InputError(
        "there is no such file",
        where=name,
        fix=f"Did you mean {path.parent / near[0]}?"
        if near
        else f"Give FILE, FILE:COLUMN ({formats}) or the id of a dataset on the Hub.",
    )


def _at_home(name: str) -> Path:
    """The path with a leading ~ expanded; "~unknown" stays as it is."""
    with contextlib.suppress(RuntimeError):
        return Path(name).expanduser()
    return Path(name)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # the name is too long or has a NUL in it
        return False


def _hub_rows(source: Source) -> Iterator[Row]:
    """Streams a dataset of the Hub.

    Raises:
        InputError: the Hub does not answer, or the dataset is gated, unknown or needs a config or split.
    """
    config, split = source.config, source.split
    if config is None and source.repo in HUB_DEFAULTS:
        config, split = HUB_DEFAULTS[source.repo]
    answers, reason = hub_answers()
    if not answers:
        raise InputError(
            f"no file of that name is here, and as a dataset of the Hub it cannot be read: {reason}",
            where=source.name,
            fix="Give the path of a file, or a dataset that was downloaded before.",
        )
    with quiet_hub():
        rows = _stream(source.repo, config, split)
        number = 0
        while True:
            try:
                values = next(rows, None)
            except InputError:
                raise
            except Exception as error:
                raise _hub_error(source, error) from error
            if values is None:
                return
            number += 1
            yield Row(number, f"{source.name}, row {number}", dict(values))


def _stream(repo: str, config: str | None, split: str | None) -> Iterator[Mapping[str, object]]:
    try:
        from datasets import load_dataset
    except ModuleNotFoundError as error:
        raise missing_package(f"the dataset {repo} of the Hub", error) from error

    found = load_dataset(repo, config, split=split, streaming=True)
    if isinstance(found, dict):
        names = [name for name in ("train", "test") if name in found] or list(found)
        if len(names) > 1 and "train" not in names:
            raise InputError(
                f"this dataset has several splits: {', '.join(found)}",
                where=repo,
                fix=f"Name one: {repo}@{config or 'default'}/SPLIT",
            )
        found = found[names[0]]
    yield from found


def _hub_error(source: Source, error: Exception) -> InputError:
    kind, text = type(error).__name__, str(error)
    choose = f"Name one: {source.repo}@CONFIG/SPLIT"
    if "gated" in text.casefold() or kind == "GatedRepoError":
        what = "this dataset asks you to accept its terms"
        fix = "Do so on its page on the Hub, then `hf auth login`."
    elif "NotFound" in kind:
        what = f"the Hub has no such dataset, or a key is needed ({first_line(error)})"
        fix = "Look at the id."
    elif "Config name is missing" in text or "BuilderConfig" in text:
        what = "this dataset has several configs, or not this one: " + " ".join(text.split())[:300]
        fix = choose
    elif "split" in text.casefold():
        what, fix = first_line(error), choose
    else:
        what = f"the Hub's dataset cannot be read: {kind}: {first_line(error)}"
        fix = "Try again, or download the file."
    return InputError(what, where=source.name, fix=fix)


# -- hashes of sources ---------------------------------------------------------------------------------------


def digest_source(spec: str | None) -> str | None:
    """BLAKE2b of the file or folder of a source: 32 hex digits. None without a source and for the Hub.

    Raises:
        InputError: the file does not exist.
        RunError: the file cannot be read.
    """
    path = parse_source(spec).path if spec is not None else None
    return None if path is None else digest_files(path)


def digest_files(path: Path) -> str:
    """BLAKE2b of a file, or of all files of a folder in the order of their names: 32 hex digits. Of a run's
    folder only the dataset counts, since the journal and the lock change.

    Raises:
        RunError: a file cannot be read.
    """
    files: Iterable[Path] = [path]
    if path.is_dir():
        data = path / "dataset" if (path / "dataset").is_dir() else path
        files = sorted(p for p in data.rglob("*") if p.is_file())
    with speaking_os_errors("cannot read an input"):
        return digest(*files)
