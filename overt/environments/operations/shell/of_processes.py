"""Commands about processes and signals."""

from __future__ import annotations

from overt.environments.operations.shell.calls import Fails, Options, Running, options, whole
from overt.environments.operations.shell.listing import command_of, name_of, ps
from overt.environments.operations.shell.machine import Command, Machine, Process
from overt.environments.operations.shell.patterns import Pattern

_NUMBERS = {
    "1": "HUP", "2": "INT", "3": "QUIT", "6": "ABRT", "9": "KILL", "10": "USR1", "12": "USR2", "15": "TERM",
    "18": "CONT", "19": "STOP",
}  # fmt: skip


def _line(pid: int, process: Process) -> str:
    return (
        f"{pid:>5} {process.parent:>5} {process.user:<10} {process.cpu:>4.1f} {process.mem:>4.1f} "
        f"{process.state:<4} {process.tty:<8} {command_of(process)}"
    )


def top(box: Machine, it: Running) -> str:
    busy = sorted(box.processes.items(), key=lambda entry: -entry[1].cpu)[:15]
    return "  PID  PPID USER       %CPU %MEM STAT TTY      COMMAND\n" + "".join(
        f"{_line(pid, process)}\n" for pid, process in busy
    )


def pstree(box: Machine, it: Running) -> str:
    lines: list[str] = []
    given = [word for word in it.words if word.isdecimal()]
    todo = [(whole(given[0], "process number") if given else 1, 0)]
    while todo:
        pid, depth = todo.pop()
        if pid in box.processes and len(lines) < 1_000:
            lines.append(f"{'  ' * min(depth, 40)}{box.processes[pid].command}({pid})")
            todo += [
                (c, depth + 1) for c, p in sorted(box.processes.items(), reverse=True) if p.parent == pid
            ]
    return "".join(f"{line}\n" for line in lines)


def kill(box: Machine, it: Running) -> str:
    name, rest = _signal(it.words)
    if name == "LIST":
        return " ".join(f"{number}) SIG{each}" for number, each in _NUMBERS.items()) + "\n"
    if not rest:
        raise Fails("usage: kill [-s sigspec | -signum] pid ...")
    for word in rest:
        group = word.startswith("-")
        if not word.lstrip("-").isdecimal() or len(word) > 9:
            it.complains(f"{word[:60]}: arguments must be process or job IDs")
            continue
        pid = int(word.lstrip("-"))
        if pid not in box.processes:
            it.complains(f"({word}) - No such process")
        elif name == "0":
            continue
        else:
            targets = [*box.tree(pid), pid] if group else [pid]
            _send(box, it, targets, name)
    return ""


def _send(box: Machine, it: Running, pids: list[int], name: str) -> None:
    for pid in pids:
        if pid in box.processes and not box.signal(pid, name):
            it.complains(f"({pid}) - Operation not permitted")


def _signal(words: list[str]) -> tuple[str, list[str]]:
    rest, name = list(words), "TERM"
    if not rest:
        return name, rest
    first = rest[0]
    if first == "-l":
        return "LIST", []
    if first in ("-s", "-n", "--signal"):
        name = "".join(rest[1:2])
        rest = rest[2:]
    elif first == "--":
        rest = rest[1:]
    elif first.startswith("-") and (first[1:2].isalpha() or first[1:] in _NAMES):
        name, rest = first[1:], rest[1:]
    if rest and rest[0] == "--":
        rest = rest[1:]
    name = name.removeprefix("SIG")
    name = _NUMBERS.get(name, name)
    if name not in _NAMES:
        raise Fails(f"{name[:60]}: invalid signal specification")
    return name, rest


_NAMES = frozenset([*_NUMBERS, *_NUMBERS.values(), "0"])


def pkill(box: Machine, it: Running) -> str:
    """pkill and pgrep: processes by a pattern of their name (-f: of the whole command)."""
    name, words = _leading_signal(it.words)
    chosen = options(words, "f x n o l a i e c v", "u P t signal U g")
    if chosen.get("signal"):
        name, _ = _signal(["-s", chosen.get("signal")])
    if not chosen.rest and not chosen.values:
        raise Fails("no matching criteria specified")
    found = _matching(box, chosen)
    it.status = int(not found)
    if it.name == "pgrep":
        named = chosen.has("l", "a")
        return "".join(f"{pid} {box.processes[pid].command}\n" if named else f"{pid}\n" for pid in found)
    _send(box, it, found, name)
    return ""


def _matching(box: Machine, chosen: Options) -> list[int]:
    """The processes that pkill's options mean, by number."""
    wanted = "".join(chosen.rest[:1])
    pattern = Pattern(wanted, extended=True, ignore_case=chosen.has("i"))
    limits = [("user", chosen.get("u", "U")), ("parent", chosen.get("P")), ("tty", chosen.get("t"))]
    found = []
    for pid, process in sorted(box.processes.items()):
        text = process.command if chosen.has("f") else name_of(process)
        box.spend(len(text) * len(wanted))
        span = pattern.span(text)
        is_fit = span is not None and (not chosen.has("x") or text[span[0] : span[1]] == text)
        if is_fit and all(not of or str(getattr(process, what)) in of.split(",") for what, of in limits):
            found.append(pid)
    if chosen.has("n", "o"):
        return found[-1:] if chosen.has("n") else found[:1]
    return found


def _leading_signal(words: list[str]) -> tuple[str, list[str]]:
    """The signal that stands first, as in -9 or -TERM, and the rest."""
    if words and words[0].startswith("-") and words[0][1:].removeprefix("SIG") in _NAMES:
        return _signal(words[:1])[0], words[1:]
    return "TERM", words


def killall(box: Machine, it: Running) -> str:
    name, words = _leading_signal(it.words)
    chosen = options(words, "q e w i v r", "u s")
    if chosen.get("s"):
        name, _ = _signal(["-s", chosen.get("s")])
    if not chosen.rest and not chosen.get("u"):
        raise Fails("usage: killall [OPTION]... NAME...")
    for wanted in chosen.rest or [""]:
        found = [
            pid
            for pid, process in sorted(box.processes.items())
            if (not wanted or name_of(process) == wanted) and chosen.get("u") in ("", process.user)
        ]
        if not found:
            it.complains(f"{wanted}: no process found")
        _send(box, it, found, name)
    return ""


def sleep(box: Machine, it: Running) -> str:
    return ""


COMMANDS: dict[str, Command] = {
    "ps": ps, "top": top, "htop": top, "pstree": pstree, "kill": kill, "pkill": pkill, "pgrep": pkill,
    "killall": killall, "sleep": sleep,
}  # fmt: skip
