"""The steps, each a function of the folder and of one item: a part of the texts, a band, a portion of pairs.

    texts-00000.arrow    texts of a part, mapped into memory when they are compared
    keys-00000.parquet   of the same texts: a hash of each one's repeat key
    hashes-00000.parquet of those that repeat no earlier text: halves h0, h1, ... and signatures s0, s1, ...
    pairs-00000.npy      likely pairs of one band; none where they are too many
    scores-00000.npy     exact similarities of a portion of all likely pairs

A step writes one file and then it is done, so that a step whose machine died is simply taken again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overt.scoring.dedupe import repeat_key
from overt.scoring.neighbours.bands import Plan, folded
from overt.scoring.neighbours.finder import BandFinder, Looks, distinct
from overt.scoring.neighbours.minhash import HASHES, signatures, signed
from overt.scoring.neighbours.words import Words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.int64]

_SIGNS = HASHES // 64
_SCORED = 1 << 18  # pairs of a portion
_SETUP = "setup.json"


@dataclass(frozen=True, slots=True)
class Setup:
    """What every step has to know: how keys are made, the lowest similarity of near texts, how many texts
    each part has, and how many of those repeat no earlier text (`fresh`)."""

    plan: Plan
    lowest: float
    parts: tuple[int, ...]
    fresh: tuple[int, ...]


def write_setup(folder: Path, setup: Setup) -> None:
    (folder / _SETUP).write_text(json.dumps(asdict(setup)), "utf-8")


def read_setup(folder: Path) -> Setup:
    data = json.loads((folder / _SETUP).read_text("utf-8"))
    plan = Plan(**data["plan"])
    return Setup(plan, data["lowest"], tuple(data["parts"]), tuple(data["fresh"]))


def _file(folder: Path, kind: str, number: int, ending: str) -> Path:
    return folder / f"{kind}-{number:05}.{ending}"


# -- 1: texts -----------------------------------------------------------------------------------------------


def write_texts(folder: Path, part: int, texts: Sequence[str]) -> None:
    import pyarrow as pa

    # A lone surrogate cannot be stored; it would be no letter of any shingle.
    stored = [text.encode("utf-8", "replace").decode() for text in texts]
    table = pa.table({"text": pa.array(stored, type=pa.large_string())})
    path = str(_file(folder, "texts", part, "arrow"))
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=65_536)


@lru_cache(maxsize=256)
def _mapped(path: Path) -> Any:
    """The texts of a part as a column; its pages are read when they are looked at."""
    import pyarrow as pa

    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()["text"]


def texts_of(folder: Path, parts: Sequence[int], rows: Rows) -> list[str]:
    """The texts of some rows, which are in order. parts: how many texts each part has."""
    import numpy as np

    ends = np.cumsum(parts)
    found: list[str] = []
    for part, end in enumerate(ends.tolist()):
        mine = rows[np.searchsorted(rows, end - parts[part]) : np.searchsorted(rows, end)]
        if len(mine):
            column = _mapped(_file(folder, "texts", part, "arrow"))
            found += column.take(mine - (end - parts[part])).to_pylist()
    return found


# -- 2: exact repeats ---------------------------------------------------------------------------------------


def hash_repeats(folder: Path, part: int) -> None:
    """Writes a 64-bit hash of each text's repeat key."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    keys = (repeat_key(text.as_py()) for text in _mapped(_file(folder, "texts", part, "arrow")))
    digests = b"".join(hashlib.blake2b(key.encode(), digest_size=8).digest() for key in keys)
    table = pa.table({"repeat": np.frombuffer(digests, dtype="<u8")})
    pq.write_table(table, _file(folder, "keys", part, "parquet"))


def first_of_repeats(folder: Path, parts: int) -> Rows:
    """For each text the number of the first one with its repeat key; its own, if there is none before it."""
    import numpy as np
    import pyarrow.parquet as pq

    keys = [
        pq.read_table(_file(folder, "keys", part, "parquet"))["repeat"].to_numpy() for part in range(parts)
    ]
    _, first, group = np.unique(np.concatenate(keys), return_index=True, return_inverse=True)
    firsts: Rows = first[group].astype(np.int64)
    return firsts


# -- 3: signatures ------------------------------------------------------------------------------------------


def write_fresh(folder: Path, fresh: Rows) -> None:
    """Writes the numbers of the texts that repeat no earlier one, in order."""
    import numpy as np

    np.save(folder / "fresh.npy", fresh)


def read_fresh(folder: Path) -> Rows:
    import numpy as np

    fresh: Rows = np.load(folder / "fresh.npy", mmap_mode="r")
    return fresh


def hash_part(folder: Path, part: int) -> None:
    """Writes halves and signatures of the fresh texts of a part."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    setup = read_setup(folder)
    start = sum(setup.fresh[:part])
    rows = np.asarray(read_fresh(folder)[start : start + setup.fresh[part]])
    words = Words(texts_of(folder, setup.parts, rows))
    halves = np.empty((setup.plan.halves, len(words)), dtype=np.uint32)
    signs = np.empty((_SIGNS, len(words)), dtype=np.uint64)
    for first, hashes in signatures(words):
        halves[:, first : first + len(hashes)] = folded(hashes, setup.plan).T
        signs[:, first : first + len(hashes)] = signed(hashes)
    columns = {f"h{k}": halves[k] for k in range(len(halves))} | {f"s{k}": signs[k] for k in range(_SIGNS)}
    pq.write_table(pa.table(columns), _file(folder, "hashes", part, "parquet"), use_dictionary=False)


class _Halves:
    """The halves of all fresh texts, one at a time from the parts' files."""

    def __init__(self, folder: Path, setup: Setup) -> None:
        self._folder, self._parts = folder, len(setup.parts)
        self.shape = (setup.plan.halves, sum(setup.fresh))

    def __getitem__(self, half: int) -> NDArray[np.uint32]:
        return self.column(f"h{half}")

    def column(self, name: str) -> NDArray[Any]:
        import numpy as np
        import pyarrow.parquet as pq

        files = [_file(self._folder, "hashes", part, "parquet") for part in range(self._parts)]
        read = (pq.ParquetFile(file).read(columns=[name])[name] for file in files)
        return np.concatenate([column.to_numpy() for column in read])


@lru_cache(maxsize=1)
def finder_of(folder: Path) -> BandFinder:
    """A finder whose halves and texts stay in the files; signatures, 48 bytes a text, are in memory."""
    import numpy as np

    setup = read_setup(folder)
    halves, fresh = _Halves(folder, setup), read_fresh(folder)

    def score(left: Rows, right: Rows) -> NDArray[np.float64]:
        found = [np.empty(0)]
        for start in range(0, len(left), _SCORED):
            some = slice(start, start + _SCORED)
            rows, place = np.unique(np.concatenate([left[some], right[some]]), return_inverse=True)
            words = Words(texts_of(folder, setup.parts, np.asarray(fresh[rows])))
            count = len(left[some])
            found.append(words.jaccard(place[:count], place[count:]))
        return np.concatenate(found)

    looks = Looks(np.stack([halves.column(f"s{k}") for k in range(_SIGNS)]), (1 + setup.lowest) / 2)
    limits = np.broadcast_to(np.float64(setup.lowest), (sum(setup.fresh),))
    return BandFinder(setup.plan, halves, looks, limits, score)


# -- 4: candidates, and their scores ------------------------------------------------------------------------


def pairs_of_band(folder: Path, band: int) -> None:
    """Writes the likely pairs of one band; nothing where they are too many."""
    import numpy as np

    codes = finder_of(folder).likely_in(band)
    if codes is not None:
        np.save(_file(folder, "pairs", band, "npy"), codes)


def all_pairs(folder: Path) -> NDArray[np.uint64] | None:
    """The likely pairs of all bands, each once; None if a band has too many."""
    import numpy as np

    codes = np.empty(0, dtype=np.uint64)
    for band in range(len(read_setup(folder).plan.bands)):
        file = _file(folder, "pairs", band, "npy")
        if not file.exists():
            return None
        codes = distinct(codes, np.load(file))
    np.save(folder / "likely.npy", codes)
    return codes


def portions(codes: NDArray[np.uint64]) -> list[int]:
    return list(range((len(codes) + _SCORED - 1) // _SCORED))


def score_portion(folder: Path, portion: int) -> None:
    """Writes which of a portion of the likely pairs are near, with their exact similarity."""
    import numpy as np

    codes = np.load(folder / "likely.npy", mmap_mode="r")
    near = finder_of(folder).near(np.asarray(codes[portion * _SCORED : (portion + 1) * _SCORED]))
    with _file(folder, "scores", portion, "npy").open("wb") as file:
        for column in near:
            np.save(file, column)


def scored(folder: Path, portion: int) -> tuple[NDArray[Any], ...]:
    import numpy as np

    with _file(folder, "scores", portion, "npy").open("rb") as file:
        return tuple(np.load(file) for _ in range(3))
