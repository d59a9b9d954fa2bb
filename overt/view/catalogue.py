"""The runs below a folder, and what the list says of each."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from overt.data.errors import InputError, OvertError
from overt.data.json_types import Json
from overt.data.results.files import read_summary, summary_file
from overt.data.results.summary import Summary, TargetSummary
from overt.data.run.finished import Manifest, Run
from overt.data.run.folder import MANIFEST
from overt.data.run.record import FILE, RunRecord, read_record
from overt.data.text import interval, money, percent, visible
from overt.scoring.summary.metrics import METRICS

KINDS = ("generate", "run")
HEADLINES = ("over_refusal", "unsafe_refusal", "harmful", "safe_response")
DEPTH = 8  # folders below the one that was named
MOST = 5000
# The files that what the list says of a run is made of.
_READ = (FILE, MANIFEST, "results/summary.json")

T = TypeVar("T")
Signature = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One run of the list. `name` is its path below the folder, "/" between the parts, and how requests call
    it; `facts` is what the page reads. `record` is None where run.json cannot be read."""

    name: str
    folder: Path
    record: RunRecord | None
    facts: Mapping[str, Json]

    @property
    def is_complete(self) -> bool:
        return bool(self.facts.get("complete"))


class Catalogue:
    """The runs below a folder. What was read of a run is kept as long as its files stay the same. Safe for
    several threads."""

    def __init__(self, root: Path) -> None:
        """
        Raises:
            InputError: there is no such folder.
        """
        if not root.is_dir():
            raise InputError(
                "this is a file, not a folder" if root.exists() else "there is no such folder",
                where=str(root),
                fix="Give the folder that holds the runs.",
            )
        self.root = root.resolve()
        self._lock = threading.Lock()
        self._known: dict[str, tuple[Signature, Entry]] = {}

    def entries(self) -> list[Entry]:
        """Every run, found anew."""
        with self._lock:
            found = {}
            for name, folder in _runs(self.root):
                signature = _signature(folder, _READ)
                known = self._known.get(name)
                if known is None or known[0] != signature:
                    known = (signature, _entry(name, folder))
                found[name] = known
            self._known = found
            return [entry for _, entry in found.values()]

    def entry(self, name: str) -> Entry | None:
        """The run of this name, read anew where its files have changed; None if there is none."""
        with self._lock:
            known = self._known.get(name)
            if known is None:
                return None
            if not (known[1].folder / FILE).exists():  # deleted since
                del self._known[name]
                return None
            signature = _signature(known[1].folder, _READ)
            if signature != known[0]:
                known = self._known[name] = (signature, _entry(name, known[1].folder))
            return known[1]


def _runs(root: Path) -> Iterator[tuple[str, Path]]:
    """The folders with a run.json, without those inside another run, behind links or hidden."""
    if (root / FILE).exists():
        yield visible(root.name) or "run", root
        return
    count = 0
    for folder, below, files in os.walk(root, onerror=lambda error: None):
        path = Path(folder)
        if FILE in files and path != root:
            below.clear()
            count += 1
            yield visible(path.relative_to(root).as_posix()), path
            if count >= MOST:
                return
            continue
        depth = len(path.relative_to(root).parts)
        below[:] = sorted(name for name in below if not name.startswith(".")) if depth < DEPTH else []


def _signature(folder: Path, names: tuple[str, ...]) -> Signature:
    found = []
    for name in names:
        try:
            stat = (folder / name).stat()
        except OSError:
            found.append((-1, 0))
        else:
            found.append((stat.st_size, stat.st_mtime_ns))
    return tuple(found)


def _entry(name: str, folder: Path) -> Entry:
    """What the list says of a run. A fault is told, not raised: the others are still to be seen."""
    facts: dict[str, Json] = {
        "name": name,
        "kind": "",
        "policy": "",
        "targets": [],
        "cost": None,
        "created": _created(folder),
        "complete": False,
        "faults": [],
    }
    faults: list[str] = []
    record = _tried(lambda: read_record(folder), faults, folder)
    if record is not None and record.kind not in KINDS:
        faults.append(f"run.json: overt view shows runs of {' and '.join(KINDS)}; this is {record.kind!r}")
        record = None
    if record is not None:
        facts |= {"kind": record.kind, "policy": visible(record.policy.name), "overt": visible(record.overt)}
        facts["targets"] = [{"name": target} for target in targets_of(record)]
        run = Run(folder, record)
        facts["complete"] = run.is_complete
        if run.is_complete:
            _tried(lambda: facts.update(_of_manifest(run)), faults, folder)
            if record.kind == "run" and summary_file(folder).exists():
                summary = _tried(lambda: read_summary(folder), faults, folder)
                facts |= _of_summary(summary) if summary is not None else {}
    facts["faults"] = [visible(fault) for fault in faults]
    return Entry(name, folder, record, facts)


def _tried(work: Callable[[], T], faults: list[str], folder: Path) -> T | None:
    try:
        return work()
    except OvertError as error:
        where = error.where.replace(f"{folder}{os.sep}", "")
        faults.append(f"{where}: {error.what}" if where and not error.what.startswith(where) else error.what)
    except (OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        faults.append(f"cannot be read: {type(error).__name__}: {error}")
    return None


def _created(folder: Path) -> float | None:
    """Seconds since 1970. Policy and identity are written first; run.json may be written again."""
    times = []
    for name in ("policy.yaml", FILE):
        try:
            times.append((folder / name).stat().st_mtime)
        except OSError:
            continue
    return min(times, default=None)


def targets_of(record: RunRecord) -> list[str]:
    """The names of the targets of a run of `overt run`, as its identity has them."""
    rows = record.inputs.get("targets")
    names = [row.get("name") for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []
    return [visible(name) for name in names if isinstance(name, str)]


def _of_manifest(run: Run) -> dict[str, Json]:
    manifest: Manifest = run.dataset if run.kind == "generate" else run.results
    found: dict[str, Json] = {
        "cost": manifest.calls.cost,
        "cost_said": f"{'about ' if manifest.calls.estimated else ''}US$ {money(manifest.calls.cost)}",
        "requests": manifest.calls.requests + manifest.calls.cached,
        "retriable": manifest.retriable,
        "notes": [visible(note) for note in manifest.notes],
    }
    if run.kind == "generate":
        counts = run.dataset.counts
        sides = {side: sum(by.get(side, 0) for by in counts.values()) for side in ("benign", "unsafe")}
        found |= {"prompts": sum(sides.values()), "sides": sides, "missing": run.dataset.missing}
    return found


def _of_summary(summary: Summary) -> dict[str, Json]:
    counts = summary.prompts
    return {
        "prompts": counts.benign + counts.unsafe,
        "sides": {"benign": counts.benign, "unsafe": counts.unsafe},
        "level": f"{100 * summary.level:g}%",
        "targets": [_target(target) for target in summary.targets],
    }


def _target(target: TargetSummary) -> dict[str, Json]:
    rates: dict[str, Json] = {}
    for name in HEADLINES:
        rate = getattr(target, name)
        if rate is not None:
            rates[name] = {
                "rate": rate.rate,
                "said": percent(rate.rate),
                "of": f"{rate.k:,} of {rate.n:,}",
                "interval": interval(rate),
            }
    coverage = target.coverage
    return {
        "name": visible(target.name),
        "kind": target.kind,
        "rates": rates,
        "answered": coverage.answered,
        "asked": coverage.asked,
    }


def headline_titles() -> dict[str, Json]:
    """What the columns of rates are called, and what they mean."""
    return {name: {"title": METRICS[name].title, "meaning": METRICS[name].meaning} for name in HEADLINES}
