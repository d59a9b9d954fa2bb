"""Steps shared by commands that make a run: claim or resume its folder, call models, finish it.

`working` opens the folder and the caller; each command's own module has the stages. Commands that read a
finished run use `overt.data.run.finished.open_run`.
"""

from __future__ import annotations

import contextlib
import platform
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import overt
from overt.calls import Caller, CallerOptions
from overt.calls.caller import ASKED_AGAIN
from overt.data.chat import Answer, Ask, ChatModel, Question
from overt.data.errors import InputError
from overt.data.json_types import Json, JsonObject
from overt.data.progress import Advance, Progress
from overt.data.records import content_id
from overt.data.run.finished import Kind, Run, open_run
from overt.data.run.folder import JOURNAL, Addresses, RunFolder
from overt.data.run.record import PolicyRef, RunRecord
from overt.policies.floor import uncovered
from overt.policies.load import dump_policy
from overt.policies.schema import Policy
from overt.tasks.config import Config

T = TypeVar("T")


# -- starting a run -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Start:
    """A run to make or to resume."""

    record: RunRecord
    policy: Policy
    folder: Path
    addresses: Addresses
    defaults: JsonObject


def record_of(
    config: Config, policy: Policy, inputs: Mapping[str, Json], *, version: str = overt.__version__
) -> RunRecord:
    """Builds the record in `run.json` for this configuration."""
    return RunRecord(
        config.kind,
        version,
        PolicyRef(policy.name, policy.version, policy.hash),
        config.decided(),
        inputs,
        config.decided("content"),
    )


def default_folder(record: RunRecord, name: str) -> Path:
    """Default folder of a run. Equal inputs give the same folder, so repeating a command resumes its run."""
    tail = content_id("run", record.identity()).rsplit("-", 1)[1][:8]
    return Path("runs") / f"{name}-{tail}"


def resumed_run(folder: Path, kind: Kind, *, out: Path | None) -> Run:
    """Opens the run that --resume names; it may be incomplete.

    Raises:
        InputError: the run is of another command, or --out was given too.
    """
    if out is not None:
        raise InputError(
            "--resume goes on with a run as it was started", fix="Leave out --out, or leave out --resume."
        )
    return open_run(folder, kind, complete=False)


# -- the work -------------------------------------------------------------------------------------------


@dataclass
class Work:
    """State of a command at work on a run: folder, caller, progress, notes, and seconds per stage."""

    folder: RunFolder
    caller: Caller
    progress: Progress
    notes: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    unanswered: int = 0  # calls without an answer after all retries

    def note(self, text: str) -> None:
        """Shows a note and keeps it for the manifest, once."""
        if text not in self.notes:
            self.notes.append(text)
            self.progress.note(text)

    @contextlib.contextmanager
    def stage(self, name: str, total: int) -> Iterator[Advance]:
        """Shows a stage's progress and adds up its time."""
        started = time.monotonic()
        with self.progress.stage(name, total) as advance:
            try:
                yield advance
            finally:
                self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - started

    def ask(self, purpose: str, model: ChatModel) -> Ask:
        """Binds a chat model to an `Ask` that counts missing answers in `unanswered`.

        A stage's failures cannot tell them: a judge or a surrogate sample may fail without losing the prompt.
        """
        return _Counted(self.caller.bind(model, purpose), self)

    def facts(self) -> dict[str, Json]:
        """The entries that every manifest has."""
        return {
            "retriable": self.unanswered,
            "calls": self.caller.stats.snapshot(),
            "seconds": {name: round(s, 3) for name, s in self.seconds.items()},
            "versions": {"overt": overt.__version__, "python": platform.python_version()},
            "notes": list(self.notes),
        }


class _Counted:
    """An `Ask` that counts retriable failures in `Work.unanswered`."""

    def __init__(self, ask: Ask, work: Work) -> None:
        self.model = ask.model
        self._ask, self._work = ask, work

    def __call__(self, questions: Iterable[Question[T]]) -> Iterator[Answer[T]]:
        for answer in self._ask(questions):
            self._work.unanswered += answer.failure_kind in ASKED_AGAIN
            yield answer


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
        folder.claim(start.record, dump_policy(start.policy), start.addresses, defaults=start.defaults)
        if folder.is_complete and not _is_retriable(start.folder):
            progress.note(f"{start.folder} is complete; nothing to do")
            yield None
            return
        with Caller(start.folder / JOURNAL, calls, on_progress=progress.calls) as caller:
            work = Work(folder, caller, progress)
            for warning in uncovered(start.policy):
                work.note(warning)
            yield work


@contextlib.contextmanager
def working_again(run: Run, calls: CallerOptions, progress: Progress) -> Iterator[Work]:
    """Locks the folder of a complete run for a command that adds results.

    Raises:
        RunError, BudgetReached: as `working`.
    """
    with (
        RunFolder(run.folder) as folder,
        Caller(run.folder / JOURNAL, calls, on_progress=progress.calls) as caller,
    ):
        yield Work(folder, caller, progress)


def _is_retriable(folder: Path) -> bool:
    """Whether a complete run has unanswered calls, which the same command asks again."""
    return bool(Run(folder, RunRecord("", "")).manifest_data.get("retriable"))
