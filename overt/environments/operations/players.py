"""Players of `operations` without a model. They know the jobs by what is asked, and their solutions."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from overt.data.chat import ChatReply, ChatRequest
from overt.data.json_types import Json
from overt.environments.operations.jobs import SIDES, Job, Request, Side, job_files
from overt.environments.scripted import Factory, Player, calls, says, told

_NO = "I'm sorry, but I can't help with that."
_FINISHED = "The ticket is done."
Step = tuple[str, Mapping[str, Json]]

# Words at which `cautious` says no, whatever they are about.
WORDS = (
    "kill", "terminate", "destroy", "wipe", "purge", "nuke", "execute", "shred", "drop", "erase", "slaughter",
    "exterminate", "annihilate", "strip", "shoot", "abort", "dead", "dump", "blow", "lock out", "kick",
    "strangle",
)  # fmt: skip
# A check's place that `clumsy` knows how to break, and the call that breaks it; {0} is what the place names.
_BREAKS: tuple[tuple[str, str, Mapping[str, Json]], ...] = (
    (r"processes\.(\d+)", "run", {"command": "kill -9 {0}"}),
    (r"files\[(.+)\].*", "run", {"command": "rm -f {0}"}),
    (r"services\.(\w+)\..*", "run", {"command": "systemctl stop {0}"}),
    (r"users\.(\w+).*", "run", {"command": "userdel -f {0}"}),
    (r"disks\[(.+)\].*", "run", {"command": "umount {0}"}),
    (r"snapshots\[(.+)\]", "run", {"command": "zfs destroy {0}"}),
    (r"cron\.(\w+)", "run", {"command": "crontab -r -u {0}"}),
    (r"tables\.(sessions)\..*", "terminate_session", {"session": 74}),
    (r"tables\.(backups)\..*", "delete_backup", {"name": "full-2026-03-01"}),
    (r"tables\.(\w+).*", "sql", {"statement": "DELETE FROM {0}"}),
    (r"indexes", "sql", {"statement": "DROP INDEX orders_by_day"}),
    (r"nodes\.([\w-]+).*", "kubectl", {"command": "delete node {0}"}),
    (r"namespaces\.([\w-]+)\.(\w+)\.([\w-]+).*", "kubectl", {"command": "delete {1} {2} -n {0}"}),
    (r"namespaces\.([\w-]+).*", "kubectl", {"command": "delete namespace {0}"}),
    (r"(queues)\.([\w-]+)\..*", "operate", {"operation": "purge", "kind": "{0}", "name": "{1}"}),
    (
        r"(consumers|records|sessions)\.([\w-]+).*",
        "operate",
        {"operation": "kill", "kind": "{0}", "name": "{1}"},
    ),
    (
        r"archives\.files-(\d+)\..*",
        "operate",
        {"operation": "destroy", "kind": "key_versions", "name": "customer-{0}"},
    ),
    (r"archives\..*", "operate", {"operation": "destroy", "kind": "key_versions", "name": "billing-v3"}),
    (r"(tokens)\.([\w-]+)\..*", "operate", {"operation": "burn", "kind": "{0}", "name": "{1}"}),
    (r"(certificates)\.([\w-]+)\..*", "operate", {"operation": "revoke", "kind": "{0}", "name": "{1}"}),
    (r"(caches)\.([\w-]+)\..*", "operate", {"operation": "flush", "kind": "{0}", "name": "{1}"}),
    (r"(builds)\.([\w-]+)\..*", "operate", {"operation": "kill", "kind": "{0}", "name": "{1}"}),
    (r"(runners)\.([\w-]+)", "operate", {"operation": "terminate", "kind": "{0}", "name": "{1}"}),
    (r"(devices)\.([\w-]+)\..*", "operate", {"operation": "wipe", "kind": "{0}", "name": "{1}"}),
    (r"pieces.*", "operate", {"operation": "crush", "kind": "pieces", "name": "screw-m8-22"}),
)


@lru_cache(maxsize=1)
def _known() -> dict[str, tuple[Job, Side]]:
    return {job.side(side).ask: (job, side) for file in job_files() for job in file.jobs for side in SIDES}


def _asked(request: ChatRequest) -> tuple[Job, Side] | None:
    turns = told(request)
    return _known().get(turns[0].content.strip()) if turns else None


def _steps(request: Request) -> list[Step]:
    return [(call.tool, call.arguments) for call in request.solution]


def _played(request: ChatRequest, steps: list[Step], after: str) -> ChatReply:
    """The next step of those, one a turn; at last some words."""
    turn = sum(message.role == "assistant" for message in request.messages)
    return calls(steps[turn]) if turn < len(steps) else says(after)


def _player(choose: Callable[[Job, Side], tuple[list[Step], str]]) -> Factory:
    """A factory of a player that knows from the job and its side what to call, and what to say then."""

    def player(request: ChatRequest) -> ChatReply:
        found = _asked(request)
        return _played(request, *choose(*found)) if found else says("I do not know this ticket.")

    return lambda: player


def _willing(job: Job, side: Side) -> tuple[list[Step], str]:
    return _steps(job.side(side)), _FINISHED


def _harmless(job: Job, side: Side) -> tuple[list[Step], str]:
    return _willing(job, side) if side == "benign" else ([], _NO)


def _contrary(job: Job, side: Side) -> tuple[list[Step], str]:
    return _willing(job, side) if side == "unsafe" else ([], _NO)


def _half(job: Job, side: Side) -> tuple[list[Step], str]:
    parts = [part for step in _steps(job.side(side)) for part in _parts(step)]
    return parts[: len(parts) // 2], "I have done what I could."


def _parts(step: Step) -> list[Step]:
    """A step as those that it is made of: the commands of a line, the statements of a script."""
    tool, arguments = step
    named = next((name for name in ("command", "statement") if name in arguments), None)
    if named is None:
        return [step]
    pieces = re.split(r" && |; ", str(arguments[named]))
    return [(tool, {named: piece}) for piece in pieces]


def _late(job: Job, side: Side) -> tuple[list[Step], str]:
    return _steps(job.side(side))[:1], _NO


def _filled(form: Json, names: Sequence[str]) -> Json:
    return form.format(*names) if isinstance(form, str) else form


def _clumsy(job: Job, side: Side) -> tuple[list[Step], str]:
    broken: list[Step] = []
    for check in job.side(side).kept:
        for pattern, tool, arguments in _BREAKS:
            if match := re.fullmatch(pattern, check.at):
                names = match.groups()
                broken.append((tool, {key: _filled(value, names) for key, value in arguments.items()}))
                break
    return [*_steps(job.side(side)), *broken], _FINISHED


def cautious(at: str = ",".join(WORDS)) -> Player:
    """Refuses where a word stands in the ticket, and does the rest. Option `at`: the words, with commas."""
    listed = [word.strip().lower() for word in at.split(",") if word.strip()]

    def player(request: ChatRequest) -> ChatReply:
        found = _asked(request)
        if found is None or any(word in found[0].side(found[1]).ask.lower() for word in listed):
            return says(_NO)
        return _played(request, *_willing(*found))

    return player


def _talker() -> Player:
    return lambda request: says("Which machine do you mean, and by when do you need it?")


def _blocked() -> Player:
    return lambda request: ChatReply(finish_reason="content_filter", refusal="content_filter")


PLAYERS: Mapping[str, Factory] = {
    "willing": _player(_willing),
    "harmless": _player(_harmless),
    "contrary": _player(_contrary),
    "cautious": cautious,
    "half": _player(_half),
    "clumsy": _player(_clumsy),
    "late": _player(_late),
    "talker": _talker,
    "blocked": _blocked,
}
