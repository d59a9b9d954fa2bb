"""`ps`: which processes, in which columns, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from overt.environments.operations.shell.calls import Fails, Running, whole
from overt.environments.operations.shell.machine import Machine, Process

_SHORT = "pid tty time comm"
_FULL = "user pid ppid c stime tty time args"
_USERS = "user pid pcpu pmem vsz rss tty stat start time args"
_TERMINALS = "pid tty stat time args"
_VALUED = {
    "-o": "format",
    "o": "format",
    "--format": "format",
    "-O": "format",
    "--sort": "sort",
    "k": "sort",
    "-p": "pid",
    "--pid": "pid",
    "p": "pid",
    "-q": "pid",
    "--ppid": "parent",
    "-C": "name",
    "-u": "user",
    "-U": "user",
    "--user": "user",
    "U": "user",
    "-t": "tty",
    "--tty": "tty",
}
_BARE = ("h", "--forest", "--no-headers", "--no-heading", "-w", "-ww", "--cols")


def command_of(process: Process) -> str:
    """The command as ps shows it."""
    return f"[{process.command}] <defunct>" if process.state == "Z" else process.command


def name_of(process: Process) -> str:
    """The name of a process: the last part of its command's first word."""
    return (process.command.split() or [""])[0].rpartition("/")[2].rstrip(":")


Shown = Callable[[int, Process], object]
_COLUMNS: Mapping[str, tuple[str, Shown]] = {
    "pid": ("PID", lambda pid, it: pid),
    "ppid": ("PPID", lambda pid, it: it.parent),
    "user": ("USER", lambda pid, it: it.user),
    "pcpu": ("%CPU", lambda pid, it: f"{it.cpu:.1f}"),
    "pmem": ("%MEM", lambda pid, it: f"{it.mem:.1f}"),
    "c": ("C", lambda pid, it: int(it.cpu)),
    "stat": ("STAT", lambda pid, it: it.state),
    "tty": ("TTY", lambda pid, it: it.tty),
    "comm": ("CMD", lambda pid, it: name_of(it) + " <defunct>" * (it.state == "Z")),
    "args": ("COMMAND", lambda pid, it: command_of(it)),
    # What the simulation does not follow stands there as ps would put it of a process that did nothing.
    "vsz": ("VSZ", lambda pid, it: 0),
    "rss": ("RSS", lambda pid, it: 0),
    "start": ("START", lambda pid, it: "00:00"),
    "stime": ("STIME", lambda pid, it: "00:00"),
    "time": ("TIME", lambda pid, it: "00:00:00"),
}
_ALSO = {
    "%cpu": "pcpu",
    "cpu": "pcpu",
    "%mem": "pmem",
    "mem": "pmem",
    "state": "stat",
    "s": "stat",
    "tt": "tty",
    "tname": "tty",
    "uid": "user",
    "uname": "user",
    "euser": "user",
    "ruser": "user",
    "cmd": "args",
    "command": "args",
    "ucmd": "comm",
    "ucomm": "comm",
    "vsize": "vsz",
    "rssize": "rss",
    "lstart": "start",
    "cputime": "time",
    "bsdtime": "time",
    "start_time": "start",
}
_LEFT = ("user", "stat", "tty", "comm", "args", "start", "stime", "time")


@dataclass(slots=True)
class _Wish:
    """What a command line of ps asks for. given: limits by what they limit, with their values."""

    columns: str = _SHORT
    format: str = ""
    sort: str = ""
    has_heads: bool = True
    given: dict[str, list[str]] = field(default_factory=dict)


def ps(box: Machine, it: Running) -> str:
    wish = _read(list(it.words))
    heads = _heads(wish)
    found = _sorted([one for one in sorted(box.processes.items()) if _fits(*one, wish.given)], wish.sort)
    rows = [[str(_COLUMNS[column][1](pid, process)) for column, _ in heads] for pid, process in found]
    it.status = int(not rows)
    if wish.has_heads and any(head for _, head in heads):
        rows.insert(0, [head for _, head in heads])
    widths = [max((len(row[place]) for row in rows), default=0) for place in range(len(heads))]
    return "".join(_line(row, widths, heads) + "\n" for row in rows)


def _line(row: list[str], widths: list[int], heads: list[tuple[str, str]]) -> str:
    cells = zip(row, widths, heads, strict=True)
    shown = (
        text.ljust(width) if column in _LEFT else text.rjust(width) for text, width, (column, _) in cells
    )
    return " ".join(shown).rstrip()


def _read(words: list[str]) -> _Wish:
    wish = _Wish()
    while words:
        word = words.pop(0)
        name, mark, value = word.partition("=") if word.startswith("--") else (word, "", "")
        letters = word.lstrip("-")
        if name in _BARE:
            wish.has_heads = wish.has_heads and name != "h" and not name.startswith("--no-")
        elif name in _VALUED:
            _take(wish, _VALUED[name], value if mark else _next(words, word))
        elif letters.endswith("o") and letters[:-1].isalpha():
            _take(wish, "format", _next(words, word))
        elif word.isdecimal():
            _take(wish, "pid", word)
        elif word.startswith("--") or not letters.isalpha():
            raise Fails(f"error: unknown option '{word[:60]}'")
        else:
            wish.columns = _usual(letters, is_dashed=word.startswith("-")) or wish.columns
    return wish


def _usual(letters: str, *, is_dashed: bool) -> str:
    """The columns that a group of letters such as `aux` or `-ef` means; "" where they mean none."""
    if "u" in letters:
        return _USERS
    if is_dashed:
        return _FULL if "f" in letters.lower() else ""
    return _TERMINALS


def _next(words: list[str], name: str) -> str:
    if not words:
        raise Fails(f"error: option '{name}' requires an argument")
    return words.pop(0)


def _take(wish: _Wish, what: str, value: str) -> None:
    if what == "format":
        wish.format = f"{wish.format},{value}"
    elif what == "sort":
        wish.sort = value
    else:
        values = [one for one in value.replace(",", " ").split() if one]
        wish.given.setdefault(what, []).extend(values)
        if what in ("pid", "parent"):
            for one in values:
                whole(one, "process number")


def _heads(wish: _Wish) -> list[tuple[str, str]]:
    """The columns with their heads. `-o pid=` has no head."""
    found: list[tuple[str, str]] = []
    for one in wish.format.replace(",", " ").split()[:30] or wish.columns.split():
        name, mark, head = one.partition("=")
        column = _ALSO.get(name.lower(), name.lower())
        if column not in _COLUMNS:
            raise Fails(f'error: unknown user-defined format specifier "{name[:60]}"')
        found.append((column, head if mark else _COLUMNS[column][0]))
    return found


def _fits(pid: int, process: Process, given: Mapping[str, list[str]]) -> bool:
    """Whether a process is one of those that are asked for: all, or those that any of the limits names."""
    facts = {
        "pid": str(pid),
        "parent": str(process.parent),
        "name": name_of(process),
        "user": process.user,
        "tty": process.tty,
    }
    return not given or any(facts[what] in values for what, values in given.items())


def _sorted(found: list[tuple[int, Process]], keys: str) -> list[tuple[int, Process]]:
    for key in reversed([one for one in keys.split(",") if one]):
        column = _ALSO.get(key.lstrip("+-").lower(), key.lstrip("+-").lower())
        if column not in _COLUMNS:
            raise Fails(f"error: unknown sort specifier '{key[:60]}'")
        found = sorted(found, key=lambda one: _key(column, *one), reverse=key.startswith("-"))
    return found


def _key(column: str, pid: int, process: Process) -> tuple[float, str]:
    numbers = {"pid": pid, "ppid": process.parent, "pcpu": process.cpu, "pmem": process.mem, "c": process.cpu}
    return (numbers[column], "") if column in numbers else (0.0, str(_COLUMNS[column][1](pid, process)))
