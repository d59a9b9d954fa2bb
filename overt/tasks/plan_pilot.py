"""What a small run tells of calls: by stage and model, what each of its prompts took."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from overt.data.errors import InputError
from overt.data.json_types import Json
from overt.data.results.plan import Unit
from overt.data.results.summary import Rate
from overt.data.run import brief
from overt.data.run.episodes import stored_episodes
from overt.data.run.finished import Run, open_run
from overt.data.run.made_calls import MadeCall, made_calls
from overt.data.run.record import LOG
from overt.data.run.shards import part_said
from overt.scoring import stats
from overt.scoring.stats.inputs import Floats, Ints
from overt.scoring.stats.pace import BRIDGED_S, Pace, pace_of
from overt.scoring.stats.totals import FEWEST
from overt.scoring.summary.rows import rate_record
from overt.tasks.merge_pieces import MERGED

_MUCH_LONGER = 1.2  # so many times its calls a run took before that is said
_SETTLED = "between its first and its last calls"
_UNSETTLED = "over all its calls, most of which began at once: a longer run keeps more in flight"
_STAGE_NAME = 40  # characters of a target's name as a stage's, in a manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The calls of one model for one purpose, summed over those of each prompt (`per_prompt`: rows of calls,
    tokens in, tokens out, cost, pictures), which `about` tells apart. Prompts without such a call
    are rows of zeros at the end, of which `about` has none.

    `seconds` of waiting are those of the prompts whose calls tell how long one takes, and `alike` is as in
    `Pace`. `in_flight` is how many
    calls were under way at once, on average, None where nobody knows, and `pace` says how that was found.
    `wall` is how long the stage took, in seconds. Of the answers, `uncounted` came without a count of tokens,
    `estimated` have tokens that overt took from the texts, `unbooked` have tokens or pictures and no cost.
    `batched` calls were made by batch. `tried_again` are the retries for each call.
    """

    name: str
    model: str
    is_target: bool
    per_prompt: Floats
    about: NDArray[np.uint64]
    answered: int
    uncounted: int
    estimated: int
    unbooked: int
    batched: int
    failed: Rate
    seconds: Floats
    alike: float
    in_flight: float | None
    pace: str
    wall: float | None
    tried_again: float | None

    @property
    def calls(self) -> Floats:
        return self.per_prompt[:, 0]

    @property
    def input_tokens(self) -> Floats:
        return self.per_prompt[:, 1]

    @property
    def output_tokens(self) -> Floats:
        return self.per_prompt[:, 2]

    @property
    def cost(self) -> Floats:
        """US dollars, as booked."""
        return self.per_prompt[:, 3]

    @property
    def pictures(self) -> Floats:
        return self.per_prompt[:, 4]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pilot:
    """A small run. `prompts` counts those (or episodes, or rows of training data: `unit`) that its calls are
    of, `asked` those that it was to ask. `targets` are the models that were tested. `taken` counts the calls
    that an earlier run made."""

    run: Run
    unit: Unit
    prompts: int
    asked: int
    samples: int
    stages: tuple[Stage, ...]
    notes: tuple[str, ...]
    taken: int = 0

    @property
    def targets(self) -> tuple[str, ...]:
        return tuple(stage.model for stage in self.stages if stage.is_target)


def is_run(folder: Path) -> bool:
    """Whether a path is the folder of a run."""
    return (folder / "run.json").is_file()


def open_pilot(folder: Path) -> Run:
    """A run whose calls can be read, finished or not.

    Raises:
        InputError: it is none, or it was made of another tool's log.
    """
    run = open_run(folder, "run", "generate", "export", complete=False, played=True)
    if tool := run.record.inputs.get(LOG):
        raise InputError(
            f"this run was made of a log of {tool}, so overt made no call",
            where=str(folder),
            fix="Name a run of overt itself, or state --seconds-per-call and --tokens-per-call.",
        )
    return run


def read_pilot(run: Run) -> Pilot:
    """Reads the journal of a run.

    Raises:
        InputError: there is none, it cannot be read, or it holds no call.
    """
    by_stage: dict[tuple[str, str], list[MadeCall]] = defaultdict(list)
    damaged = 0
    for call in made_calls(run.folder, by_seed=bool(run.played_suite)):
        if call is None:
            damaged += 1
        else:
            by_stage[call.purpose, call.model].append(call)
    if not by_stage:
        raise InputError(
            "the journal holds no call that can be read, so it does not tell what a call takes",
            where=str(run.folder),
            fix="Let the run ask some prompts first, or state --seconds-per-call and --tokens-per-call.",
        )
    prompts = {
        key: len({call.about for call in calls}) for key, calls in by_stage.items() if key[0] == key[1]
    }
    unit, asked = _size(run, max(len({c.about for c in calls}) for calls in by_stage.values()))
    units = max(prompts.values(), default=asked)
    manifest = run.manifest_data if run.is_complete else {}
    return Pilot(
        run=run,
        unit=unit,
        prompts=units,
        asked=asked,
        samples=samples_of(run),
        stages=tuple(
            _stage(key, by_stage[key], prompts.get(key, units), manifest)
            for key in sorted(by_stage, key=_place(run, list(by_stage)))
        ),
        notes=tuple(_notes(run, [c for calls in by_stage.values() for c in calls], damaged, manifest)),
        taken=sum(call.is_taken for calls in by_stage.values() for call in calls),
    )


def _place(run: Run, keys: Sequence[tuple[str, str]]) -> Callable[[tuple[str, str]], int]:
    """Where a stage is shown: targets in the order of the run, then what was done with their answers."""
    named = run.record.value("target")
    targets = [str(name) for name in named] if isinstance(named, list) else []

    def place(key: tuple[str, str]) -> int:
        return targets.index(key[1]) if key[0] == key[1] in targets else len(targets) + keys.index(key)

    return place


def _size(run: Run, calls: int) -> tuple[Unit, int]:
    """What the calls are of, and how many of them the run was to ask.

    Args:
        calls: the most different requests of a stage.
    """
    if run.played_suite:
        return "episodes", sum(1 for _ in stored_episodes(run.folder)) or calls
    if run.kind == "run":
        return "prompts", sum(1 for _ in brief.prompts_of(run.folder)) or calls
    if run.kind == "export":
        return "rows", calls
    if not run.is_complete or not run.dataset.kept:
        raise InputError(
            "this data set is not finished, so it is not known how many prompts its calls make",
            where=str(run.folder),
            fix=f"Go on with it: overt generate --resume {run.folder}",
        )
    return "prompts", run.dataset.kept


def samples_of(run: Run) -> int:
    """How often a run asked each prompt."""
    found = run.record.value("samples")
    return found if run.kind == "run" and isinstance(found, int) and found > 0 else 1


def _notes(run: Run, calls: Sequence[MadeCall], damaged: int, manifest: Mapping[str, Json]) -> Iterable[str]:
    taken = sum(call.is_taken for call in calls)
    yield from part_said(run.folder, run.record)
    if damaged:
        yield f"{damaged:,} damaged rows of the journal could not be read and are left out"
    if taken:
        yield (
            f"{taken:,} calls of the journal were taken from an earlier run; all of them are counted, "
            "whether this run needed them or not"
        )
    if not run.is_complete:
        yield f"{run.folder} is not finished: the figures are those of the calls that it made so far"
    if MERGED in manifest:
        yield "the run is put together of shards: those that worked at the same time count as one server"
    if isinstance(found := manifest.get("calls"), Mapping) and found.get("batched"):
        yield "calls were made by batch: their cost is that of batches"
    yield from _beside(calls, manifest)


def _beside(calls: Sequence[MadeCall], manifest: Mapping[str, Json]) -> Iterable[str]:
    """How much longer than its calls the small run took."""
    seconds, booked = manifest.get("seconds"), manifest.get("calls")
    clock = seconds.get("run") if isinstance(seconds, Mapping) else None
    if not isinstance(clock, int | float) or not isinstance(booked, Mapping) or booked.get("cached"):
        return
    purposes = booked.get("purposes")
    own = [call for call in calls if isinstance(purposes, Mapping) and call.purpose in purposes]
    if not own:
        return
    busy, retries = _pace(own).busy, booked.get("retries")
    waits = f"waits between attempts ({retries:,} retries), " if isinstance(retries, int) and retries else ""
    if clock > _MUCH_LONGER * busy:
        yield (
            f"by its clock the small run took {clock:.3g} s, and in {busy:.3g} s of these a call was under "
            f"way: {waits}loading models and what overt does itself are not in the times here"
        )


# -- a stage ------------------------------------------------------------------------------------------------


def _stage(
    key: tuple[str, str], calls: Sequence[MadeCall], units: int, manifest: Mapping[str, Json]
) -> Stage:
    name, model = key
    numbers = np.array([call.about for call in calls], dtype=np.uint64)
    about, codes = np.unique(numbers, return_inverse=True)
    per_prompt = np.zeros((max(units, len(about)), 5))
    np.add.at(per_prompt, codes, np.array([_taken(call) for call in calls], dtype=np.float64))
    booked, clock = _booked(name, manifest), _clock(name, len(calls), manifest)
    pace = _pace(calls, _bridged(name == model, booked))
    waited = np.array([call.seconds or 0.0 for call in calls])
    in_flight, how = pace.in_flight, _SETTLED if pace.is_settled else _UNSETTLED
    if clock is not None and waited.sum():
        in_flight, how = float(waited.sum()) / clock, "by the clock of the stage"
    failed = [call.failed for call in calls]
    return Stage(
        name=name,
        model=model,
        is_target=name == model,
        per_prompt=per_prompt,
        about=about,
        answered=len(calls) - sum(failed),
        uncounted=sum(map(_is_uncounted, calls)),
        estimated=sum(call.is_estimate for call in calls),
        unbooked=sum(map(_is_unbooked, calls)),
        batched=sum(call.by_batch for call in calls),
        failed=rate_record(stats.rate(failed, codes)),
        seconds=_telling(codes, waited, pace, len(per_prompt)),
        alike=pace.alike,
        in_flight=in_flight,
        pace=how,
        wall=clock or pace.busy or None,
        tried_again=_tried_again(booked, len(calls)),
    )


def _taken(call: MadeCall) -> tuple[float, ...]:
    """What a call adds to a row of `Stage.per_prompt`."""
    return 1.0, call.input_tokens or 0, call.output_tokens or 0, call.cost, call.pictures


def _is_uncounted(call: MadeCall) -> bool:
    return not call.failed and (call.input_tokens is None or call.output_tokens is None)


def _bridged(is_target: bool, booked: Mapping[str, float]) -> float:
    """Seconds of a pause from which on it is none of the stage's work. Where one process asked a target all
    there is, every pause is a wait before a next attempt."""
    return math.inf if is_target and booked and not booked.get("cached") else BRIDGED_S


def _is_unbooked(call: MadeCall) -> bool:
    return not call.cost and bool(call.input_tokens or call.output_tokens or call.pictures)


def _tried_again(booked: Mapping[str, float], calls: int) -> float | None:
    """The retries for each call of the process that wrote the manifest. Its requests are those that were
    answered; where it made all calls, the failed ones are in the journal too."""
    made = booked.get("requests", 0) if booked.get("cached") else calls
    return booked["retries"] / made if made and "retries" in booked else None


def _telling(codes: Ints, waited: Floats, pace: Pace, rows: int) -> Floats:
    """The seconds of waiting of each prompt whose calls tell how long one takes, and 0 of as large a share of
    those without a call, so that the mean is that of as many calls a prompt as there were; of all where too
    few tell."""
    seconds: Floats = np.bincount(codes, weights=waited, minlength=rows).astype(np.float64)
    calls = np.bincount(codes, minlength=rows)
    unsettled = np.bincount(codes, weights=(~pace.settled).astype(np.float64), minlength=rows)
    telling, idle = np.flatnonzero((calls > 0) & (unsettled == 0)), np.flatnonzero(calls == 0)
    if len(telling) < FEWEST:
        return seconds
    kept = round(len(idle) * len(telling) / (rows - len(idle)))
    which = np.append(telling, idle[:kept])
    found: Floats = seconds[which] * (calls.mean() / calls[which].mean())
    return found


def pooled(stages: Sequence[Stage], name: str) -> Stage:
    """Several targets as one: of each prompt the mean of what they took."""
    about, codes = np.unique(np.concatenate([stage.about for stage in stages]), return_inverse=True)
    rows = np.concatenate([stage.per_prompt[: len(stage.about)] for stage in stages])
    sums = np.zeros((len(about), rows.shape[1]))
    np.add.at(sums, codes, rows)
    return Stage(
        name=name,
        model=name,
        is_target=True,
        per_prompt=sums / np.bincount(codes)[:, None],
        about=about,
        answered=sum(stage.answered for stage in stages),
        uncounted=sum(stage.uncounted for stage in stages),
        estimated=sum(stage.estimated for stage in stages),
        unbooked=sum(stage.unbooked for stage in stages),
        batched=0,
        failed=stages[0].failed,
        seconds=np.zeros(len(about)),
        alike=1.0,
        in_flight=None,
        pace="",
        wall=None,
        tried_again=None,
    )


def _booked(name: str, manifest: Mapping[str, Json]) -> Mapping[str, float]:
    """What a manifest counts of the calls for a purpose, of the command that made them."""
    for part in (manifest, *manifest.values()):
        calls = part.get("calls") if isinstance(part, Mapping) else None
        purposes = calls.get("purposes") if isinstance(calls, Mapping) else None
        found = purposes.get(name) if isinstance(purposes, Mapping) else None
        if isinstance(found, Mapping):
            return {key: value for key, value in found.items() if isinstance(value, int | float)}
    return {}


def _clock(name: str, calls: int, manifest: Mapping[str, Json]) -> float | None:
    """How long a stage took by the clock of the process that made all its calls, in seconds; None where the
    manifest has none. What several models do for one purpose has one clock, and more calls than one made."""
    booked, seconds = _booked(name, manifest), manifest.get("seconds")
    clock = seconds.get(name[:_STAGE_NAME]) if isinstance(seconds, Mapping) else None
    made_all = booked.get("requests") == calls and not booked.get("cached")
    return float(clock) if made_all and isinstance(clock, int | float) and clock > 0 else None


def _pace(calls: Sequence[MadeCall], bridged: float = BRIDGED_S) -> Pace:
    ends = np.array([call.ended for call in calls])
    return pace_of(ends - np.array([call.seconds or 0.0 for call in calls]), ends, bridged)
