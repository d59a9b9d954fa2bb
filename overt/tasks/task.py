"""What every command does that makes a run: open the folder, claim or resume it, call models, finish it.

`working` holds the folder and the calls of one command; a command's file in this room has the stages in
between. Commands that look into a finished run use `overt.data.run.finished.open_run`.
"""

from __future__ import annotations

import contextlib
import platform
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

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
from overt.policies.load import dump_policy, load_policy
from overt.policies.schema import Policy
from overt.tasks.config import Config

T = TypeVar("T")
R = TypeVar("R", bound="Resumable")


class Resumable(Protocol):
    """A configuration of a command that makes a run of its own."""

    resume: Path | None
    out: Path | None


# -- what is to be done ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Start:
    """A run that is about to be made or gone on with."""

    record: RunRecord
    policy: Policy
    folder: Path
    addresses: Addresses
    defaults: JsonObject


def record_of(
    config: Config, policy: Policy, inputs: Mapping[str, Json], *, version: str = overt.__version__
) -> RunRecord:
    """What `run.json` says of a run of this configuration."""
    return RunRecord(
        config.kind,
        version,
        PolicyRef(policy.name, policy.version, policy.hash),
        config.decided(),
        inputs,
        config.decided("content"),
    )


def default_folder(record: RunRecord, name: str) -> Path:
    """The folder of a run without --out: the same inputs give the same one, so the same command resumes."""
    tail = content_id("run", record.identity()).rsplit("-", 1)[1][:8]
    return Path("runs") / f"{name}-{tail}"


def resumed_run(folder: Path, kind: Kind, *, out: Path | None) -> Run:
    """The run that --resume names, which need not be complete.

    Raises:
        InputError: it is no run of this command, or --out was given as well.
    """
    if out is not None:
        raise InputError(
            "--resume goes on with a run as it was started", fix="Leave out --out, or leave out --resume."
        )
    return open_run(folder, kind, complete=False)


def run_policy(run: Run) -> Policy:
    """The effective policy of a run, from its folder."""
    return load_policy(str(run.policy_file))


# -- the work -------------------------------------------------------------------------------------------


@dataclass
class Work:
    """One process at work on one run: its folder, its calls, its clock and its notes."""

    folder: RunFolder
    caller: Caller
    progress: Progress
    notes: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    unanswered: int = 0  # calls that failed on the way for good; another day they may be answered

    def note(self, text: str) -> None:
        """Says something to the user and in the manifest, once."""
        if text not in self.notes:
            self.notes.append(text)
            self.progress.note(text)

    @contextlib.contextmanager
    def stage(self, name: str, total: int) -> Iterator[Advance]:
        """Shows the progress of a stage, and adds up the time that it takes."""
        started = time.monotonic()
        with self.progress.stage(name, total) as advance:
            try:
                yield advance
            finally:
                self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - started

    def ask(self, purpose: str, model: ChatModel) -> Ask:
        """An `Ask` for a chat model that counts the answers which did not come.

        They are counted here and not among a stage's failures: a judge or a sample of the surrogate may
        fail without its prompt being lost.
        """
        return _Counted(self.caller.bind(model, purpose), self)

    def facts(self) -> dict[str, Json]:
        """What every manifest holds of the work."""
        return {
            "retriable": self.unanswered,
            "calls": self.caller.stats.snapshot(),
            "seconds": {name: round(s, 3) for name, s in self.seconds.items()},
            "versions": {"overt": overt.__version__, "python": platform.python_version()},
            "notes": list(self.notes),
        }


class _Counted:
    """An `Ask` that tells the work of answers which may come another time."""

    def __init__(self, ask: Ask, work: Work) -> None:
        self.model = ask.model
        self._ask, self._work = ask, work

    def __call__(self, questions: Iterable[Question[T]]) -> Iterator[Answer[T]]:
        for answer in self._ask(questions):
            self._work.unanswered += answer.failure_kind in ASKED_AGAIN
            yield answer


@contextlib.contextmanager
def working(start: Start, calls: CallerOptions, progress: Progress) -> Iterator[Work | None]:
    """Holds a run's folder and makes its calls; None where the run is complete and nothing is to be done.

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
            yield Work(folder, caller, progress)


@contextlib.contextmanager
def working_again(run: Run, calls: CallerOptions, progress: Progress) -> Iterator[Work]:
    """Holds the folder of a complete run for a command that adds to it.

    Raises:
        RunError, BudgetReached: as `working`.
    """
    with (
        RunFolder(run.folder) as folder,
        Caller(run.folder / JOURNAL, calls, on_progress=progress.calls) as caller,
    ):
        yield Work(folder, caller, progress)


def _is_retriable(folder: Path) -> bool:
    """Whether calls of a complete run got no answer: the same command asks them again."""
    return bool(Run(folder, RunRecord("", "")).manifest_data.get("retriable"))
