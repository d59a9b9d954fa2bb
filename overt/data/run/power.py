"""What GPUs drew while a run's local models worked: RUN/power.jsonl, some lines a minute for each GPU.

A line holds one stretch of one GPU, and all lines add up: those of the run and of its resumes, so that the
time between two processes is in none. A process that is killed loses its last stretch. Commands that come
back to a complete run, such as `overt score`, name their work, and are told apart. The manifest has the
totals: `power` of the run itself, `power_after` by the work of those commands.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from overt.data.json_types import Json
from overt.data.records import from_json, to_json
from overt.data.run.files import line_of, line_reader, read_json, speaking_os_errors, write_records

FILE = "power.jsonl"
RUN = ""  # the work of the run itself
_MANIFEST, _AFTER = "power", "power_after"
_NAME = "manifest.json"  # overt.data.run.folder imports this module

By = Literal["counter", "samples", "both", ""]


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerLine:
    """One stretch of one GPU; or, with `why` and no device, that a process measured nothing.

    session, number: of the process, and the line's place among its lines; no two lines share both.
    work: `RUN`, or the part of the manifest that a later command writes.
    at: when the stretch ended, in seconds since 1970.
    loading: whether no model was asked in it: models were loaded, or the command did something else.
    is_last: whether the process ended with it; else it was killed, or is at work.
    id: tells GPUs apart: the hash of the UUID, which itself would name the user's hardware.
    All others are as in `DevicePower`, for this stretch.
    """

    session: str
    number: int
    work: str = RUN
    at: float = 0.0
    why: str = ""
    loading: bool = False
    is_last: bool = False
    id: str = ""
    device: str = ""
    index: int = -1
    seconds: float = 0.0
    energy_j: float | None = None
    by: By = ""
    sampled_j: float | None = None
    max_w: float | None = None
    samples: int = 0
    before_w: float | None = None
    limit_w: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicePower:
    """One GPU over the time that a run's local models were there. It is all that the GPU drew, also for other
    processes; the rest of the machine is in none of it.

    device: its name. index: its number, as nvidia-smi counts. id: see `PowerLine`.
    seconds: that were measured, from before the first model was loaded to the end.
    energy_j: joules in these seconds; None where nothing was read. by: "counter": the GPU's own counter of
        energy; "samples": the integral of the readings of its power by trapezoids; "both": some of each.
    sampled_j: joules by trapezoids, also where the counter was there, so that the two can be compared.
    loading_j: joules of energy_j while no model was asked: models were loaded, or the command did something
        else. More prompts do not make them more.
    mean_w: energy_j / seconds, in watts. max_w: the highest reading. samples: the number of readings.
    before_w: what it drew before a model was loaded, in watts; the mean over processes.
    limit_w: at most what it may draw, in watts.
    notes: what must be known of these figures.
    """

    device: str
    seconds: float
    energy_j: float | None
    mean_w: float | None
    max_w: float | None
    samples: int
    index: int = -1
    id: str = ""
    by: By = ""
    sampled_j: float | None = None
    loading_j: float | None = None
    before_w: float | None = None
    limit_w: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredPower:
    """What was measured of all GPUs of a run.

    seconds: that were measured, each counted once however many GPUs there were; of shards, of all together.
    why: why nothing was measured, or, beside `devices`, why a part of it was not; "" if all was.
    processes: that were measured, each of which loaded the models: the run, its resumes, its shards.
    """

    devices: tuple[DevicePower, ...] = ()
    seconds: float = 0.0
    why: str = ""
    processes: int = 0

    @property
    def energy_j(self) -> float | None:
        """Joules of all GPUs; None where none was measured."""
        return _sum(device.energy_j for device in self.devices)


# -- reading -------------------------------------------------------------------------------------------------


def read_power(folder: Path, work: str = RUN) -> MeasuredPower | None:
    """What was measured while a run drew; None: it used no local model that could work on a GPU.

    Args:
        folder: of the run, which may be at work or incomplete.
        work: `RUN`; or "judges", "rewrite", "explain", for what the command that writes this part of the
            manifest used.

    Raises:
        RunError: the file cannot be opened.
        InputError: it is not there, and the manifest that is asked instead cannot be read.
    """
    if (folder / FILE).exists():
        lines, damaged = _read(folder)
        return _of_work(lines, damaged, work)
    if not (folder / _NAME).exists():
        return None
    manifest = read_json(folder / _NAME)
    after = manifest.get(_AFTER)
    told = manifest.get(_MANIFEST) if work == RUN else after.get(work) if isinstance(after, dict) else None
    return from_json(MeasuredPower, told) if isinstance(told, dict) else None


def power_facts(folder: Path) -> dict[str, Json]:
    """What the manifest says of power; empty where the folder has no measurements."""
    lines, damaged = _read(folder)
    works = dict.fromkeys(line.work for line in lines)
    found = {work: to_json(power) for work in works if (power := _of_work(lines, damaged, work))}
    own = {_MANIFEST: found.pop(RUN)} if RUN in found else {}
    return {**own, **({_AFTER: found} if found else {})}


def _of_work(lines: Sequence[PowerLine], damaged: int, work: str) -> MeasuredPower | None:
    mine = [line for line in lines if line.work == work]
    return _total(mine, damaged) if mine or (damaged and work == RUN) else None


def _read(folder: Path) -> tuple[list[PowerLine], int]:
    """The lines of a run's folder, and the number of those that cannot be read, since a process may have been
    killed within one."""
    path = folder / FILE
    if not path.exists():
        return [], 0
    read, found, damaged = line_reader(PowerLine), list[PowerLine](), 0
    with speaking_os_errors(f"cannot read {FILE}"):
        rows = path.read_bytes().splitlines()
    for row in rows:
        if not row.strip():
            continue
        try:
            found.append(read(row))
        except (ValueError, TypeError, AttributeError, RecursionError):
            damaged += 1
    return found, damaged


def _total(lines: Sequence[PowerLine], damaged: int) -> MeasuredPower:
    """The lines of one work, added up.

    Args:
        damaged: how many more lines there are, which cannot be read.
    """
    groups: dict[tuple[str, str, int], list[PowerLine]] = {}
    for line in lines:
        if line.device:
            groups.setdefault((line.id, line.device, line.index), []).append(line)
    devices = tuple(_device(rows) for _, rows in sorted(groups.items(), key=lambda group: group[0][::-1]))
    sessions = _sessions(groups.values())
    whys = list(_whys(lines, sessions, damaged))
    is_known = any(device.energy_j is not None for device in devices)
    if not is_known:
        whys += [f"{device.device}: {note}" for device in devices for note in device.notes]
    why = "; ".join(whys)
    return MeasuredPower(
        devices=devices,
        seconds=round(sum(sessions.values()), 3),
        processes=sum(map(bool, sessions.values())),
        why=f"a part was not measured: {why}" if is_known and why else why,
    )


def _sessions(groups: Iterable[Sequence[PowerLine]]) -> dict[str, float]:
    """By process, the seconds of the GPU that it measured longest.

    Args:
        groups: the lines of each GPU.
    """
    found: dict[str, float] = {}
    for rows in groups:
        own: dict[str, float] = {}
        for row in rows:
            own[row.session] = own.get(row.session, 0.0) + row.seconds
        for session, seconds in own.items():
            found[session] = max(found.get(session, 0.0), seconds)
    return found


def _whys(lines: Sequence[PowerLine], sessions: Mapping[str, float], damaged: int) -> Iterator[str]:
    """Why something was not measured, each reason once."""
    yield from dict.fromkeys(line.why for line in lines if line.why)
    if without_end := len(sessions.keys() - {line.session for line in lines if line.is_last}):
        yield f"processes without an end (killed, or still at work): {without_end} of {len(sessions)}"
    if damaged:
        yield f"{damaged} damaged lines of {FILE} are in no figure"


def _device(rows: Sequence[PowerLine]) -> DevicePower:
    last = rows[-1]
    seconds = sum(row.seconds for row in rows)
    energy = _sum(row.energy_j for row in rows)
    before = _known(row.before_w for row in rows)
    return DevicePower(
        device=last.device,
        index=last.index,
        id=last.id,
        seconds=round(seconds, 3),
        energy_j=energy,
        mean_w=round(energy / seconds, 3) if energy is not None and seconds > 0 else None,
        max_w=max(_known(row.max_w for row in rows), default=None),
        samples=sum(row.samples for row in rows),
        by=_way(rows),
        sampled_j=_sum(row.sampled_j for row in rows),
        loading_j=None if energy is None else _loading(rows),
        before_w=round(sum(before) / len(before), 3) if before else None,
        limit_w=next(iter(_known(row.limit_w for row in reversed(rows))), None),
        notes=tuple(dict.fromkeys(note for row in rows for note in row.notes)),
    )


def _loading(rows: Sequence[PowerLine]) -> float:
    return _sum(row.energy_j for row in rows if row.loading) or 0.0


def _way(rows: Sequence[PowerLine]) -> By:
    ways = {row.by for row in rows if row.by}
    return "both" if len(ways) > 1 else next(iter(ways), "")


def _sum(values: Iterable[float | None]) -> float | None:
    known = _known(values)
    return round(sum(known), 3) if known else None


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


# -- writing -------------------------------------------------------------------------------------------------


def append(folder: Path, lines: Iterable[PowerLine]) -> None:
    """Adds lines in one write.

    Raises:
        OSError: disk full, folder not writable.
    """
    data = b"".join(map(line_of, lines))
    if not data:
        return
    with (folder / FILE).open("a+b") as file:
        if file.tell():  # a process that was killed may have left half a line
            file.seek(-1, os.SEEK_END)
            data = data if file.read(1) == b"\n" else b"\n" + data
        file.write(data)


def unite_power(run: Path, pieces: Sequence[Path], keep: Callable[[str], bool]) -> list[Path]:
    """Puts the lines of several folders into that of the whole run, each once, however often this is done.

    Args:
        keep: whether the lines of a work are taken.

    Returns:
        the folders whose manifest tells of power, and whose lines are gone.

    Raises:
        RunError: disk full, folder not writable.
    """
    found = {(line.session, line.number): line for line in _read(run)[0]}
    lost: list[Path] = []
    for piece in pieces:
        lines, damaged = _read(piece)
        lines += list(_of_damaged(piece, damaged))
        if not (piece / FILE).exists() and read_power(piece) is not None:
            lost.append(piece)
        for line in lines:
            if keep(line.work):
                found.setdefault((line.session, line.number), line)
    if found:
        write_records(run / FILE, found.values())
    return lost


def _of_damaged(piece: Path, damaged: int) -> Iterator[PowerLine]:
    """A line that tells of damaged ones, which are left out."""
    if damaged:
        why = f"{damaged} damaged lines of {FILE} of {piece.name} are in no figure"
        yield PowerLine(session=why, number=0, why=why)
