"""`overt dedupe`: the rows of plain files without those that repeat an earlier row."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Annotated, ClassVar, Literal

from overt.data.errors import InputError
from overt.data.json_types import Json
from overt.data.progress import Progress
from overt.data.prompts import PROMPT
from overt.data.records import Prompt, clean_text
from overt.data.run.files import speaking_os_errors, writing
from overt.data.secrets import storable_json
from overt.data.tables.columns import Column, Table
from overt.data.tables.files import Row, format_of
from overt.data.tables.sources import parse_source
from overt.policies.schema import DEDUP_DEFAULT
from overt.scoring.dedupe import dedupe as dedupe_in_memory
from overt.tasks.config import RUN, Config, Option

Engines = Literal["memory", "local", "ray"]
_HOW = "What counts as a repeat"


class DedupeConfig(Config):
    kind: ClassVar[str] = "dedupe"

    sources: Annotated[
        tuple[str, ...],
        Option(
            "CSV, JSONL, JSON, Parquet or text files (FILE:COLUMN names the column of texts). The first of "
            "two repeats stays, in the order of files and rows.",
            metavar="FILE...",
            is_argument=True,
        ),
    ]
    out: Annotated[
        Path,
        Option(
            "JSONL file for the rows that stay. Lists and bytes in columns of Parquet are left out.",
            metavar="FILE",
        ),
    ]
    threshold: Annotated[
        float | None,
        Option(
            "Similarity from which two texts are near repeats, above 0 and up to 1.",
            _HOW,
            min=0.05,
            max=1,
            shown_default=str(DEDUP_DEFAULT["direct"]),
        ),
    ] = None
    encoder: Annotated[
        str,
        Option(
            "What compares the texts: lexical (their words and letter triples), auto, minilm, a folder or a "
            "Hub id of a sentence encoder. With --engine local or ray: lexical.",
            _HOW,
        ),
    ] = "lexical"
    drops: Annotated[
        Path | None, Option("JSONL file that says for each row that goes what it repeats.", metavar="FILE")
    ] = None
    engine: Annotated[
        Engines,
        Option(
            "memory: all texts in memory. local: from files, in little memory. ray: the same on a Ray "
            "cluster (RAY_ADDRESS) or this machine's cores.",
            RUN,
            metavar="memory|local|ray",
        ),
    ] = "memory"
    scratch: Annotated[
        Path | None,
        Option(
            "Folder for the files of --engine local and ray, which every machine must see. Default: beside "
            "--out.",
            RUN,
            metavar="FOLDER",
        ),
    ] = None
    quiet: Annotated[bool, Option("No progress display.", RUN, flag="--quiet/-q")] = False
    as_json: Annotated[bool, Option("Print the counts as JSON.", RUN, flag="--json")] = False

    @property
    def limit(self) -> float:
        """The threshold in force."""
        return DEDUP_DEFAULT["direct"] if self.threshold is None else self.threshold


@dataclass(frozen=True, slots=True)
class Deduped:
    """The counts, and what compared the texts (`index`)."""

    out: Path
    rows: int
    empty: int
    exact: int
    near: int
    index: str

    @property
    def kept(self) -> int:
        return self.rows - self.empty - self.exact - self.near

    def to_json(self) -> dict[str, Json]:
        """Plain JSON data."""
        counts: dict[str, Json] = {
            "rows": self.rows,
            "kept": self.kept,
            "empty": self.empty,
            "exact_repeats": self.exact,
            "near_repeats": self.near,
        }
        return {"out": str(self.out), **counts, "index": self.index}


@dataclass(frozen=True, slots=True)
class _Gone:
    """Why a row goes: the row that stays, if it is known, and what was found."""

    reason: str
    of: int | None
    similarity: float | None


def dedupe(config: DedupeConfig, progress: Progress) -> Deduped:
    """Writes the rows that repeat no earlier one.

    Raises:
        InputError: a file cannot be read or has no column of texts; the engine uses no encoder, and one is
            asked for; the result would overwrite a source.
    """
    _check(config)
    if config.engine == "memory":
        gone, index = _in_memory(config, progress)
    else:
        gone, index = _by_files(config, progress)
    rows, empty = _write(config, gone)
    exact = sum(one.reason == "exact repeat" for one in gone.values())
    return Deduped(config.out, rows, empty, exact, len(gone) - exact, index)


def _check(config: DedupeConfig) -> None:
    if config.engine != "memory" and config.encoder != "lexical":
        raise InputError(
            f"--engine {config.engine} compares words and letters alone",
            fix="Leave out --encoder, or take --engine memory.",
        )
    for flag, path in (("--out", config.out), ("--drops", config.drops)):
        for spec in config.sources:
            source = parse_source(spec).path
            if path is not None and source is not None and path.resolve() == source.resolve():
                raise InputError(f"{flag} would overwrite a file that is read", where=str(path))
        if path is not None and (path.suffix.lower() == ".gz" or format_of(path) not in (None, "jsonl")):
            raise InputError(
                f"{flag} is written as JSON lines, and its name ends with {path.suffix}",
                where=str(path),
                fix="Give it a name that ends with .jsonl",
            )
    if config.out == config.drops:
        raise InputError("--out and --drops are the same file", where=str(config.out))


# -- reading ------------------------------------------------------------------------------------------------


def _rows(config: DedupeConfig) -> Iterator[tuple[Row, str]]:
    """Every row of the sources, with its text; "" where it has none."""
    for spec in config.sources:
        source = parse_source(spec)
        column: Column | None = None
        for row in source.rows():
            if column is None:
                column = Table(row, spec).needed(PROMPT, source.column)[0]
            yield row, clean_text(column.text(row))


def _texts(config: DedupeConfig) -> Iterator[str]:
    return (text for _, text in _rows(config) if text)


# -- finding ------------------------------------------------------------------------------------------------


def _in_memory(config: DedupeConfig, progress: Progress) -> tuple[dict[int, _Gone], str]:
    from overt.scoring.encoders import pick_encoder

    encoder, why = pick_encoder(config.encoder)
    prompts = [
        Prompt(str(number), text, "", "benign", "direct", "", "")
        for number, text in enumerate(_texts(config))
    ]
    with progress.stage("dedupe", len(prompts)) as advance:
        result = dedupe_in_memory(prompts, threshold_of=lambda _: config.limit, encoder=encoder, why=why)
        advance(len(prompts))
    used = f"{result.index.index}, {result.index.encoder or 'words and letter triples'}"
    gone = {}
    for drop in result.drops:
        of, _, found = drop.detail.removeprefix("of ").partition(", similarity ")
        similarity = float(found.partition(",")[0]) if found else None
        gone[int(drop.record_id)] = _Gone(drop.reason, int(of), similarity)
    return gone, used


def _by_files(config: DedupeConfig, progress: Progress) -> tuple[dict[int, _Gone], str]:
    from overt.scoring.dedupe_large.engines import Local, Ray
    from overt.scoring.dedupe_large.search import find_repeats

    engine = Ray() if config.engine == "ray" else Local()
    beside = config.scratch or config.out.resolve().parent
    with speaking_os_errors("cannot make the folder for parts"):
        beside.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".dedupe-", dir=beside)).resolve()
    try:
        progress.note(f"texts, signatures and candidates lie in {folder} until the end")
        with speaking_os_errors("cannot write the parts"):
            found = find_repeats(_texts(config), config.limit, folder, engine)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    gone = {row: _Gone("exact repeat", of, None) for row, of in found.repeats.items()}
    gone |= {row: _Gone("near repeat", m.row, round(m.score, 3)) for row, m in found.near.items()}
    return gone, f"MinHash (exact Jaccard of candidates), {config.engine}"


# -- writing ------------------------------------------------------------------------------------------------


def _write(config: DedupeConfig, gone: dict[int, _Gone]) -> tuple[int, int]:
    """Writes what stays and what goes; returns the number of rows, and of those without a text."""
    rows = empty = 0
    with writing(config.out) as kept:
        for row, text in _rows(config):
            rows += 1
            if not text:
                empty += 1
            elif rows - empty - 1 not in gone:
                kept.write((storable_json(_plain(row)) + "\n").encode("utf-8"))
    if config.drops is not None:
        _write_drops(config, config.drops, gone)
    return rows, empty


def _plain(row: Row) -> dict[str, object]:
    """The row as JSON can hold it; dates and the like become texts."""
    plain = (str, int, float, bool, list, dict, NoneType)
    return {name: value if isinstance(value, plain) else str(value) for name, value in row.values.items()}


def _write_drops(config: DedupeConfig, path: Path, gone: dict[int, _Gone]) -> None:
    stays = {one.of for one in gone.values()}
    where: dict[int | None, str] = {}  # of the rows that stay and are repeated
    number = 0
    with writing(path) as file:
        for row, text in _rows(config):
            if not text:
                continue
            if number in stays:
                where[number] = row.where
            if (one := gone.get(number)) is not None:
                said = {
                    "row": row.where,
                    "text": text,
                    "reason": one.reason,
                    "of": where.get(one.of, ""),
                    "similarity": one.similarity,
                }
                file.write((storable_json(said) + "\n").encode("utf-8"))
            number += 1
