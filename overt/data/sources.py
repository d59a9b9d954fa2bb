"""Seeds and earlier sets: from files, from run folders, from datasets on the Hub.

A source is `FILE`, `FILE:COLUMN`, `ORG/NAME`, `ORG/NAME:COLUMN` or `ORG/NAME@CONFIG/SPLIT:COLUMN`.
The columns of OVERT's csv files, WildGuardMix and OR-Bench are known; of other tables the column is
found by its name or has to be given.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overt.data.errors import InputError
from overt.data.hub import first_line, hub_answers, is_hub_id, quiet_hub
from overt.data.records import Seed, clean_text, content_id
from overt.data.tables import FORMATS, Row, format_of, read_rows

SEED_COLUMNS = (
    *("seed_prompt", "seed", "prompt", "text", "question", "instruction"),
    *("query", "goal", "behavior", "image_prompt"),
)
TEXT_COLUMNS = (
    *("text", "prompt", "image_prompt", "benign_image_prompt", "unsafe_image_prompt"),
    *("caption", "seed_prompt", "question", "instruction"),
)
_CATEGORY_COLUMNS = ("category", "subcategory")

# Config and split where a dataset has several and one is meant.
_HUB_DEFAULTS = {
    "allenai/wildguardmix": ("wildguardtrain", "train"),
    "bench-llm/or-bench": ("or-bench-80k", "train"),
    "bench-llms/or-bench": ("or-bench-80k", "train"),
}

# Where a name of theirs means one category of the standard policy. Names that could mean two, or none
# (benign, others, cyberattack, misinformation, toxic language, deception, harassment, privacy as a
# whole), are left to the classifier.
_WILDGUARD = {
    "private_information_individual": "privacy_individual",
    "sensitive_information_organization_government": "privacy_public",
    "copyright_violations": "copyright_violations",
    "sexual_content": "sexual_content",
    "fraud_assisting_illegal_activities": "illegal_activities",
    "defamation_encouraging_unethical_or_unsafe_actions": "unethical_unsafe_action",
    "social_stereotypes_and_unfair_discrimination": "discrimination",
    "violence_and_physical_harm": "violence",
}
_OR_BENCH = {
    "self_harm": "self_harm",
    "sexual": "sexual_content",
    "violence": "violence",
    "illegal": "illegal_activities",
    "unethical": "unethical_unsafe_action",
    "hate": "discrimination",
}
_OR_BENCH_NAMES = {*_OR_BENCH, "deception", "harassment", "harmful", "privacy"}
_OVERT = {"unethical": "unethical_unsafe_action"}
_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class Source:
    """A source, taken apart. `path` is None for a dataset on the Hub."""

    name: str
    column: str | None
    path: Path | None = None
    config: str | None = None
    split: str | None = None


def parse_source(spec: str) -> Source:
    """What a source names. A path that exists is a path, whatever colons and slashes it holds.

    Raises:
        InputError: neither a file nor a Hub id, with the nearest file's name.
    """
    if not spec.strip():
        raise InputError("the source is empty", fix="Give FILE, FILE:COLUMN or the id of a Hub dataset.")
    cuts = [len(spec), *(i for i in range(len(spec) - 1, 0, -1) if spec[i] == ":")]
    for cut in cuts:
        path = _at_home(spec[:cut])
        if _exists(path):
            return Source(path.name, spec[cut + 1 :] or None, path)
    # Nothing exists. The last colon parts the column off, unless it is a drive's or stands in the path.
    left, colon, column = spec.rpartition(":")
    if not colon or (len(left) == 1 and left.isalpha()) or any(c in column for c in "/\\"):
        left, column = spec, ""
    repo, _, at = left.partition("@")
    config, _, split = at.partition("/")
    if is_hub_id(repo) and format_of(Path(repo)) is None:
        return Source(left, column or None, None, config or None, split or None)
    path = _at_home(left)
    beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, beside, n=1)
    raise InputError(
        "there is no such file",
        where=left,
        fix=f"Did you mean {path.parent / near[0]}?"
        if near
        else "Give FILE, FILE:COLUMN (" + ", ".join(sorted(FORMATS)) + ") or the id of a dataset on the Hub.",
    )


def _at_home(name: str) -> Path:
    """The path, with a leading ~ made the home folder; "~nobody" has none and stays as it is."""
    with contextlib.suppress(RuntimeError):
        return Path(name).expanduser()
    return Path(name)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name too long, a NUL in it
        return False


def read_table(spec: str) -> Iterator[Row]:
    """The rows of a source, one at a time. See `read_seeds` for what a source may be."""
    return read_source(parse_source(spec))


def read_source(source: Source) -> Iterator[Row]:
    """The rows of a source that was taken apart."""
    if source.path is None:
        return _hub_rows(source)
    if source.path.is_dir():
        raise InputError(
            "this is a folder, not a file",
            where=str(source.path),
            fix="Give a file in it. (Was a dataset on the Hub meant? A folder of its name stands here.)",
        )
    return read_rows(source.path)


class SeedReader(Iterator[Seed]):
    """Seeds, one at a time, and what was passed over.

    Attributes, complete once the last seed is read: `rows` read, `empty` ones, `repeated` ones (the
    first stands), `skipped` ones (of WildGuardMix: harmful prompts and jailbreak wrappings).
    """

    def __init__(self, spec: str, limit: int | None = None) -> None:
        self.rows = self.empty = self.repeated = self.skipped = 0
        self._source = parse_source(spec)
        self._limit = limit
        self._seeds = self._read()

    def __next__(self) -> Seed:
        return next(self._seeds)

    def _read(self) -> Iterator[Seed]:
        source, layout, given = self._source, None, 0
        seen: set[int] = set()
        if self._limit is not None and self._limit <= 0:
            return
        for row in read_source(source):
            self.rows += 1
            layout = layout or _Layout.of(row, source)
            if layout.skips(row):
                self.skipped += 1
                continue
            text = clean_text(layout.text(row))
            if not text:
                self.empty += 1
                continue
            # 64-bit keys instead of texts: the set stays small however long the texts are.
            digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
            key = int.from_bytes(digest, "big")
            if key in seen:
                self.repeated += 1
                continue
            seen.add(key)
            yield Seed(content_id("seed", text), text, source.name, row.number, layout.category(row))
            given += 1
            if given == self._limit:
                return
        if not given:
            column = f"column {' or '.join(layout.columns)!r}" if layout else "the source"
            raise InputError(
                f"{column} holds no text in any of {self.rows} rows",
                where=source.name,
                fix="Name another column: " + source.name + ":COLUMN",
            )


def read_seeds(spec: str, *, limit: int | None = None) -> SeedReader:
    """The seeds of a source, in its order, each text once; at most `limit` of them.

    Args:
        spec: `FILE`, `FILE:COLUMN`, `ORG/NAME`, `ORG/NAME@CONFIG/SPLIT:COLUMN`. Without a column:
            OVERT's csv files give `seed_prompt`, or the prompt itself where a row has none;
            WildGuardMix its unharmful prompts that are no jailbreaks, the ones over-refusal is about
            (name the column to have them all); other tables the column with a telling name.

    Raises:
        InputError: at the call, for a source that is not there; while reading, with file and row.
    """
    return SeedReader(spec, limit)


@dataclass(frozen=True, slots=True)
class _Layout:
    """Which columns of a table are the seed (the first that is not empty) and the category."""

    kind: str
    columns: tuple[str, ...]
    category_column: str | None

    @classmethod
    def of(cls, row: Row, source: Source) -> _Layout:
        names = {name.casefold(): name for name in row.values}
        columns: tuple[str, ...]
        category = next((names[c] for c in _CATEGORY_COLUMNS if c in names), None)
        if {"prompt", "prompt_harm_label"} <= names.keys():
            kind, columns, category = "wildguardmix", (names["prompt"],), names.get("subcategory")
        elif "seed_prompt" in names and {"image_prompt", "benign_image_prompt"} & names.keys():
            kind = "overt"
            theirs = ("seed_prompt", "image_prompt", "benign_image_prompt")
            columns = tuple(names[c] for c in theirs if c in names)
        elif "prompt" in names and category and _slug(row.values[category]) in _OR_BENCH_NAMES:
            kind, columns = "or-bench", (names["prompt"],)
        else:
            kind, columns = "", ()
        if source.column is not None:
            return cls(kind and f"{kind}, column given", (_column(source, names, row.where),), category)
        if not columns:
            found = next((names[c] for c in SEED_COLUMNS if c in names), None)
            if found is None and len(names) == 1:
                found = next(iter(names.values()))
            if found is None:
                raise InputError(
                    f"no column is plainly the seed; there are {_listed(names.values())}",
                    where=source.name,
                    fix=f"Name it: {source.name}:COLUMN",
                )
            columns = (found,)
        return cls(kind, columns, category)

    def skips(self, row: Row) -> bool:
        if self.kind != "wildguardmix":
            return False
        values = {name.casefold(): value for name, value in row.values.items()}
        harm = str(values.get("prompt_harm_label") or "").strip().casefold()
        return harm == "harmful" or str(values.get("adversarial")).strip().casefold() in ("true", "1")

    def text(self, row: Row) -> str:
        for column in self.columns:
            if text := _text(row, column):
                return text
        return ""

    def category(self, row: Row) -> str | None:
        value = row.values.get(self.category_column) if self.category_column else None
        name = _slug(value)
        if self.kind.startswith("wildguardmix"):
            return _WILDGUARD.get(name)
        if self.kind.startswith("or-bench"):
            return _OR_BENCH.get(name)
        name = _OVERT.get(name, name) if self.kind.startswith("overt") else name
        return name if _IDENTIFIER.fullmatch(name) else None


def _slug(value: Any) -> str:
    return re.sub(r"[\s-]+", "_", value.strip().casefold()) if isinstance(value, str) else ""


def _text(row: Row, column: str) -> str:
    value = row.values.get(column)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InputError(
            f"column {column!r} holds {type(value).__name__} {str(value)[:40]!r}, not text",
            where=row.where,
            fix="Name the column that holds the texts: SOURCE:COLUMN",
        )
    return value.strip()


def _column(source: Source, names: dict[str, str], where: str) -> str:
    """The column a user named, in the table's own spelling."""
    wanted = source.column or ""
    if wanted in names.values():
        return wanted
    if wanted.strip().casefold() in names:
        return names[wanted.strip().casefold()]
    near = difflib.get_close_matches(wanted.casefold(), names, n=1)
    raise InputError(
        f"there is no column {wanted!r}; there are {_listed(names.values())}",
        where=where,
        fix=f"Did you mean {source.name}:{names[near[0]]}?" if near else f"Give one: {source.name}:COLUMN",
    )


def _listed(names: Any) -> str:
    shown = [repr(name[:40]) for name in names]
    return ", ".join(shown[:12]) + (f" and {len(shown) - 12} more" if len(shown) > 12 else "")


def read_texts(spec: str) -> Iterator[str]:
    """The prompts of an earlier set: a run's folder, a dataset's folder, or any source of `read_seeds`.

    Of a table with several prompt columns (OVERT's benign and unsafe ones) all are read.

    Raises:
        InputError: at the call, for a source that is not there; while reading, with file and row.
    """
    source = parse_source(spec)
    if source.path is not None and source.path.is_dir():
        files = dataset_files(source.path)
        return (text for file in files for text in _texts(Source(file.name, source.column, file)))
    return _texts(source)


def _texts(source: Source) -> Iterator[str]:
    columns: list[str] | None = None
    for row in read_source(source):
        if columns is None:
            names = {name.casefold(): name for name in row.values}
            if source.column is not None:
                columns = [_column(source, names, row.where)]
            elif {"benign_image_prompt", "unsafe_image_prompt"} <= names.keys():
                columns = [names["benign_image_prompt"], names["unsafe_image_prompt"]]
            else:
                columns = [names[c] for c in TEXT_COLUMNS if c in names][:1]
            if not columns and len(names) == 1:
                columns = list(names.values())
            if not columns:
                raise InputError(
                    f"no column is plainly the prompt; there are {_listed(names.values())}",
                    where=source.name,
                    fix=f"Name it: {source.name}:COLUMN",
                )
        for column in columns:
            if text := _text(row, column):
                yield text


def dataset_files(folder: Path) -> list[Path]:
    """The data files of a run's or a dataset's folder."""
    places = ((folder / "dataset", "*.jsonl"), (folder, "*.jsonl"), (folder / "data", "*.parquet"))
    for place, pattern in places:
        if files := sorted(place.glob(pattern)):
            return files
    raise InputError(
        "no dataset in this folder",
        where=str(folder),
        fix="Give a finished run's folder, a dataset's folder, or a file.",
    )


def _hub_rows(source: Source) -> Iterator[Row]:
    """Streams a dataset of the Hub.

    Raises:
        InputError: the Hub is away, the dataset is gated or unknown, or has several configs or splits.
    """
    repo = source.name.partition("@")[0]
    config, split = source.config, source.split
    if config is None and repo in _HUB_DEFAULTS:
        config, split = _HUB_DEFAULTS[repo]
    answers, reason = hub_answers()
    if not answers:
        raise InputError(
            f"no file of that name is here, and as a dataset of the Hub it cannot be read: {reason}",
            where=source.name,
            fix="Give the path of a file, or a dataset that was downloaded before.",
        )
    with quiet_hub():
        rows = _stream(repo, config, split)
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


def _stream(repo: str, config: str | None, split: str | None) -> Iterator[dict[str, Any]]:
    from datasets import load_dataset

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
    choose = f"Name one: {source.name.partition('@')[0]}@CONFIG/SPLIT"
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
