"""Steps shared by commands that make a run: claim or resume its folder, call models, finish it.

`working` opens the folder and the caller; each command's own module has the stages. Commands that read a
finished run use `overt.data.run.finished.open_run`.
"""

from __future__ import annotations

import contextlib
import hashlib
import platform
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import overt
from overt.calls import Caller, CallerOptions
from overt.data.chat import Ask, ChatModel
from overt.data.errors import InputError, NotFinished
from overt.data.json_types import Json, JsonObject
from overt.data.local.metering import asking, measuring
from overt.data.notes import listening
from overt.data.progress import Advance, Progress
from overt.data.provider import vocabulary
from overt.data.provider.codes_file import taught_by
from overt.data.records import content_id
from overt.data.run.finished import Kind, Run, open_run
from overt.data.run.folder import CODES, JOURNAL, Addresses, RunFolder
from overt.data.run.images import ImageStore
from overt.data.run.power import RUN
from overt.data.run.record import LOG, PolicyRef, RunRecord
from overt.data.run.shards import shard_of
from overt.data.secrets import storable
from overt.data.text import plain
from overt.data.yaml.schema import read_bytes
from overt.policies.floor import uncovered
from overt.policies.load import dump_policy
from overt.policies.schema import Policy
from overt.scoring.token_gates import TokenMass
from overt.tasks.config import Config
from overt.workers.hiring import end_all

# -- starting a run -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Start:
    """A run to make or to resume."""

    record: RunRecord
    policy: Policy
    folder: Path
    addresses: Addresses
    defaults: JsonObject
    anew: str = ""  # of a resumed run: the command for a new run with its options


def record_of(
    config: Config, policy: Policy, inputs: Mapping[str, Json], *, version: str = overt.__version__
) -> RunRecord:
    """Builds the record in `run.json` for this configuration."""
    codes = getattr(config, "codes", None)
    own = (
        {CODES: codes_hash(codes)} if codes is not None else {}
    )  # left out, so that older runs stay the same
    return RunRecord(
        config.kind,
        version,
        PolicyRef(policy.name, policy.version, policy.hash),
        storable(config.decided()),
        storable({**inputs, **own}),
        storable(config.decided("content")),
    )


def codes_hash(codes: Path) -> str:
    """The hash of a file of codes.

    Raises:
        InputError: it cannot be read.
    """
    return hashlib.blake2b(read_bytes(codes, "code list"), digest_size=16).hexdigest()


def default_folder(record: RunRecord, name: str) -> Path:
    """Default folder of a run. Equal inputs give the same folder, so repeating a command resumes its run."""
    # Codes of the user's own read the responses of the same run anew.
    inputs = {what: value for what, value in record.inputs.items() if what != CODES}
    tail = content_id("run", {**record.identity(), "inputs": inputs}).rsplit("-", 1)[1][:8]
    return Path("runs") / f"{name}-{tail}"


def resumed_run(folder: Path, kind: Kind, *, out: Path | None) -> Run:
    """Opens the run that --resume names; it may be incomplete.

    Raises:
        InputError: the run is of another command, or of another tool's log, or --out was given too.
    """
    if out is not None:
        raise InputError(
            "--resume goes on with a run as it was started", fix="Leave out --out, or leave out --resume."
        )
    run = open_run(folder, kind, complete=False, played=True)
    if tool := run.record.inputs.get(LOG):
        raise InputError(
            f"this run was made of a log of {tool}, so there is no model to ask",
            where=str(folder),
            fix="Go on with the evaluation there, and read its log again: overt import-log LOG",
        )
    return run


def open_whole(folder: Path) -> Run:
    """Opens a run that is to be worked on in parts.

    Raises:
        InputError: it is none, it is not complete, or it is a shard already.
    """
    run = open_run(folder, "run")
    if (shard := shard_of(run.record)) is not None:
        raise InputError(
            f"this run is shard {shard} already, so it is not divided again",
            where=str(folder),
            fix="Leave --shard out: `overt merge` takes what was found of each shard.",
        )
    return run


# -- the work -------------------------------------------------------------------------------------------


@dataclass
class Work:
    """State of a command at work on a run: folder, caller, progress, notes, and seconds per stage. Several
    threads may note, and have stages.

    drawn_by: of each local pipeline how it draws: steps, guidance, size, what has no effect; of a model that
        is asked in a format of its own, by which instruction.
    unknown: by target, the codes that could not be placed, and how often each came.
    masses: by target with refusal tokens, how much of the probability they have.
    elsewhere: of the manifest what was done by other processes, in place of what was done here.
    """

    folder: RunFolder
    caller: Caller
    progress: Progress
    notes: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    drawn_by: dict[str, Json] = field(default_factory=dict)
    unknown: dict[str, Counter[str]] = field(default_factory=dict)
    masses: dict[str, TokenMass] = field(default_factory=dict)
    elsewhere: dict[str, Json] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.caller.tells(self.note, self.progress.note, self.folder.note_calls)

    @property
    def unanswered(self) -> int:
        """Calls without an answer after all retries, which the same command makes again."""
        return self.caller.unanswered

    def note(self, text: str) -> None:
        """Shows a note and keeps it for the manifest, once."""
        if self.keep(text):
            self.progress.note(text)

    def keep(self, text: str) -> bool:
        """Keeps a note for the manifest without showing it, since the command prints all notes at its end.
        Returns whether it is new."""
        with self._lock:
            if text in self.notes:
                return False
            self.notes.append(text)
            return True

    @contextlib.contextmanager
    def stage(self, name: str, total: int, *, shown: str = "") -> Iterator[Advance]:
        """Shows a stage's progress, under a name of its own if there is one, and adds up its time."""
        started = time.monotonic()
        with self.progress.stage(shown or name, total) as advance, asking():
            try:
                yield advance
            finally:
                with self._lock:
                    self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - started

    def ask(self, purpose: str, model: ChatModel) -> Ask:
        """Binds a chat model to an `Ask`."""
        return self.caller.bind(model, purpose)

    def facts(self) -> dict[str, Json]:
        """The entries that every manifest has."""
        if damaged := self.caller.damaged:
            self.note(
                f"{len(damaged)} damaged rows of {self.folder.path / JOURNAL} could not be read; their calls "
                f"were made again (the first has the key {plain(damaged[0])})"
            )
        if (batched := self.caller.stats.batched).calls:
            self.note(f"{batched.calls:,} calls were made by batch{batched.said}")
        return {
            "retriable": self.caller.unanswered,
            "rejected": self.caller.rejected,
            "kept": self.caller.kept,
            "vocabulary": vocabulary.digest(),
            "calls": self.caller.stats.snapshot(),
            "seconds": {name: round(s, 3) for name, s in self.seconds.items()},
            "versions": {"overt": overt.__version__, "python": platform.python_version()},
            "notes": list(self.notes),
            **({"drawn_by": dict(self.drawn_by)} if self.drawn_by else {}),
            **self.elsewhere,
        }


@contextlib.contextmanager
def working(start: Start, calls: CallerOptions, progress: Progress) -> Iterator[Work | None]:
    """Locks a run's folder and opens its caller. Yields None if the run is complete and nothing can be
    retried.

    Raises:
        InputError: the folder holds another run.
        RunError: the disk is full, the folder is not writable, another process works on the run.
        BudgetReached: a cap was reached; the same command with a higher cap goes on.
    """
    with RunFolder(start.folder) as folder:
        moved = folder.differs_in_addresses(start.addresses)
        folder.claim(
            start.record, dump_policy(start.policy), start.addresses, defaults=start.defaults, anew=start.anew
        )
        taught = folder.is_taught_anew(start.record)
        if folder.is_complete and not taught and not _is_worth_a_try(start.folder, moved=moved):
            progress.note(f"{start.folder} is complete; nothing to do")
            yield None
            return
        folder.check_journal(pay_again=calls.pay_again)
        ImageStore(start.folder).tidy()
        journal = start.folder / JOURNAL
        with _at_work(folder, RUN, journal, calls, progress) as work:
            for warning in uncovered(start.policy):
                work.note(warning)
            with listening(work.note), _picked_up(work, f"overt {start.record.kind} --resume {start.folder}"):
                yield work


@contextlib.contextmanager
def working_again(run: Run, calls: CallerOptions, progress: Progress, part: str) -> Iterator[Work]:
    """Locks the folder of a complete run for a command that adds results.

    Args:
        part: the part of the manifest that the command writes.

    Raises:
        RunError, BudgetReached: as `working`.
    """
    with RunFolder(run.folder) as folder:
        folder.check_journal(pay_again=calls.pay_again, part=part)
        journal = run.folder / JOURNAL
        with (
            _at_work(folder, part, journal, calls, progress) as work,
            listening(work.note),
            _picked_up(work, ""),
        ):
            yield work


@contextlib.contextmanager
def _at_work(
    folder: RunFolder, part: str, journal: Path, calls: CallerOptions, progress: Progress
) -> Iterator[Work]:
    """Opens the caller, and measures what local GPUs draw until the manifest is written.

    Args:
        part: of the manifest that a command adds to a complete run; `RUN` for the run itself.
    """
    with (
        taught_by(calls.codes),
        measuring(folder.path, part) as meter,
        Caller(journal, calls, on_progress=progress.calls) as caller,
    ):
        folder.before_end(meter.close)
        yield Work(folder, caller, progress)


@contextlib.contextmanager
def working_once(folder: Path, calls: CallerOptions, progress: Progress) -> Iterator[Work]:
    """Work that is no run: its journal and pictures lie in a folder that is thrown away.

    The words of --codes hold for the whole process, so whoever does several such works at once teaches them.

    Args:
        folder: an empty folder of its own.
    """
    with Caller(folder / JOURNAL, calls, on_progress=progress.calls) as caller:
        work = Work(RunFolder(folder), caller, progress)
        with listening(work.note):
            yield work


@contextlib.contextmanager
def _picked_up(work: Work, command: str) -> Iterator[None]:
    """Says of batches that go on at a provider how they are picked up.

    Args:
        command: that resumes the run; "" if it is the same one.
    """
    how = f"{command} --batch" if command else "the same command"
    try:
        yield
    except NotFinished as error:
        fix = f"Come back later: {how} picks them up, and sends nothing twice."
        raise error if error.fix else NotFinished(error.what, fix=fix) from None
    except KeyboardInterrupt:
        end_all()
        for batch in work.caller.batches:
            work.progress.note(f"goes on at the provider: {batch}")
        if work.caller.batches:
            work.progress.note(f"{how} picks them up; with --batch-cancel it cancels them")
        raise


def _is_worth_a_try(folder: Path, *, moved: bool) -> bool:
    """Whether the same command can find more answers for a complete run: calls that are made again in any
    case, rejections where the models have other addresses now, or kept responses and a new vocabulary.

    Args:
        moved: whether they have other addresses.
    """
    known = Run(folder, RunRecord("", "")).manifest_data
    return bool(known.get("retriable") or (moved and known.get("rejected"))) or has_news(known)


def has_news(manifest: Mapping[str, Json]) -> bool:
    """Whether today's vocabulary may read a run's kept responses otherwise than it did then."""
    return bool(manifest.get("kept")) and manifest.get("vocabulary") != vocabulary.digest()
