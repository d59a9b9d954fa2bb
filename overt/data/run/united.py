"""What the folders of several shards hold, united: journals, pictures, counts of calls, addresses, notes.

Every step may be repeated: a process that was killed in the middle goes on with the same steps.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from overt.data.errors import InputError, RunError
from overt.data.json_types import Json, JsonObject
from overt.data.run.batch_rows import BatchRow, open_rows
from overt.data.run.files import speaking_os_errors
from overt.data.run.folder import JOURNAL, Addresses
from overt.data.run.journal import FAILED, Journal

# -- journals ------------------------------------------------------------------------------------------------

# A row that `Journal` can read. What is found damaged all the same is made again when it is asked for.
_SOUND = (
    "(json_valid(reply) AND substr(reply, 1, 1) = '{' AND typeof(cost) IN ('real', 'integer') AND cost >= 0)"
)
_UNITE = f"""
INSERT INTO main.calls SELECT * FROM shard.calls WHERE {_SOUND}
ON CONFLICT (key) DO UPDATE SET
    model = excluded.model, purpose = excluded.purpose, category = excluded.category,
    request = excluded.request, reply = excluded.reply, cost = excluded.cost, created = excluded.created
WHERE main.calls.reply LIKE '{FAILED}' AND excluded.reply NOT LIKE '{FAILED}'
"""
_DAMAGED = f"SELECT count(*) FROM shard.calls WHERE {_SOUND} IS NOT 1"
_TAKEN = "CREATE TABLE IF NOT EXISTS main.taken (key TEXT PRIMARY KEY) WITHOUT ROWID"


def unite_journals(run: Path, shards: Sequence[Path]) -> dict[Path, int]:
    """Puts the calls of all shards into the journal of `run`, one after the other. Of two calls with one key
    the earlier stays, unless it only failed and the other was answered.

    Returns:
        by shard the damaged rows, which are left out; without shards that have none.

    Raises:
        InputError: a shard's journal is gone or cannot be read.
        RunError: disk full, folder not writable.
    """
    Journal(run / JOURNAL).close()  # makes its table
    damaged: dict[Path, int] = {}
    with contextlib.closing(sqlite3.connect(run / JOURNAL, isolation_level=None, uri=True)) as db:
        for shard in shards:
            with _attached(db, shard):
                (count,) = db.execute(_DAMAGED).fetchone()
                if count:
                    damaged[shard] = int(count)
                with _in_one_step(db, run):
                    db.execute(_UNITE)
                    if _has(db, "taken"):
                        db.execute(_TAKEN)
                        db.execute("INSERT OR IGNORE INTO main.taken SELECT key FROM shard.taken")
    return damaged


@contextlib.contextmanager
def _attached(db: sqlite3.Connection, shard: Path) -> Iterator[None]:
    """Opens a shard's journal for reading, as `shard`."""
    path = shard / JOURNAL
    try:
        db.execute("ATTACH ? AS shard", (read_only(path),))
        db.execute("SELECT count(*) FROM shard.calls")
    except sqlite3.Error as error:
        raise InputError(f"cannot read the journal: {error}", where=str(path)) from error
    try:
        yield
    finally:
        db.execute("DETACH shard")


def read_only(path: Path) -> str:
    """A journal as SQLite opens it without writing beside it: its folder may be read-only."""
    # A closed journal has no write-ahead log; of any other the log must be read too.
    is_closed = not path.with_name(f"{path.name}-wal").exists()
    return f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if is_closed else ''}"


@contextlib.contextmanager
def _in_one_step(db: sqlite3.Connection, run: Path) -> Iterator[None]:
    try:
        db.execute("BEGIN IMMEDIATE")
        yield
        db.execute("COMMIT")
    except sqlite3.Error as error:
        with contextlib.suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        what = "the disk is full" if "full" in str(error) else str(error)
        raise RunError(
            f"cannot write the journal: {what}",
            where=str(run / JOURNAL),
            fix="Mend this and run the same command again.",
        ) from error


def _has(db: sqlite3.Connection, table: str) -> bool:
    found = db.execute("SELECT 1 FROM shard.sqlite_master WHERE name = ?", (table,)).fetchone()
    return found is not None


def batches_left(shard: Path) -> list[BatchRow]:
    """The batches of a shard that may hold answers which are paid for and not in its journal.

    Raises:
        InputError: the journal is gone or cannot be read.
    """
    try:
        with contextlib.closing(sqlite3.connect(read_only(shard / JOURNAL), uri=True)) as db:
            return list(open_rows(db))
    except sqlite3.Error as error:
        raise InputError(
            f"cannot read the journal: {error}",
            where=str(shard / JOURNAL),
            fix="Put it back: it holds what was answered and paid for.",
        ) from error


# -- pictures ------------------------------------------------------------------------------------------------


def link_files(old: Path, new: Path, only: Collection[str] = ()) -> int:
    """Links every file of a folder into another one, or copies it where it cannot be linked; their number.
    What is there stays. A folder that does not exist is an empty one.

    Args:
        only: files of these names; empty: all.

    Raises:
        RunError: disk full, folder not writable.
    """
    count = 0
    with speaking_os_errors("cannot link or copy a file"):
        for path in sorted(old.rglob("*")):
            # A link could lead anywhere, and a temporary file is half a file.
            if not path.is_file() or path.is_symlink() or path.name.startswith("."):
                continue
            if only and path.name not in only:
                continue
            count += 1
            place = new / path.relative_to(old)
            if not place.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                _link(path, place)
    return count


def _link(path: Path, place: Path) -> None:
    try:
        os.link(path, place)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        # Another disk, or a file system without links.
        half = place.with_name(f".{place.name}.{os.getpid()}.tmp")
        shutil.copyfile(path, half)
        half.replace(place)


# -- counts, addresses, notes --------------------------------------------------------------------------------


def added(one: Json, other: Json) -> Json:
    """Two counts of calls as one: numbers are added, mappings united."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        both = {name: added(value, other[name]) for name, value in one.items() if name in other}
        return {**one, **other, **both}
    if isinstance(one, int | float) and isinstance(other, int | float):
        total = one + other
        return total if isinstance(total, int) else round(total, 6)
    return one


def added_all(counts: Sequence[JsonObject]) -> dict[str, Json]:
    """Several counts of calls as one."""
    total: Json = {}
    for one in counts:
        total = added(total, one)
    return dict(total) if isinstance(total, Mapping) else {}


def united_addresses(found: Sequence[Addresses]) -> tuple[dict[str, dict[str, str]], list[str]]:
    """The addresses of all shards, the first one of each role, and the roles of which they have several."""
    united: dict[str, dict[str, str]] = {}
    several: dict[str, None] = {}
    for addresses in found:
        for what, by_role in addresses.items():
            known = united.setdefault(what, {})
            for role, value in by_role.items():
                if known.setdefault(role, value) != value:
                    several[f"{what} of {role or 'every role'}"] = None
    return united, list(several)


def united_notes(found: Mapping[str, Sequence[str]]) -> list[str]:
    """The notes of all shards: those of every shard once, others with the shard's name before them.

    Args:
        found: the notes by the shard's name.
    """
    common = [note for note in dict.fromkeys(n for notes in found.values() for n in notes)
              if all(note in notes for notes in found.values())]  # fmt: skip
    own = [f"{name}: {note}" for name, notes in found.items() for note in notes if note not in common]
    return [*common, *own]
