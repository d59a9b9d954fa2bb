"""Commands about services, and the small ones of every shell."""

from __future__ import annotations

from collections.abc import Callable

from overt.environments.operations.shell.calls import Fails, Options, Running, options
from overt.environments.operations.shell.machine import Command, Machine, Service
from overt.environments.operations.shell.of_files import TODAY

_MOST_ARGUMENTS = 50_000  # characters that xargs gives to a command


def systemctl(box: Machine, it: Running) -> str:
    chosen = options(it.words, "now no-pager all l q quiet force failed full", "s signal t type state n")
    if not chosen.rest or chosen.rest[0] in ("list-units", "list-unit-files"):
        return "".join(f"{_unit(name, service)}\n" for name, service in sorted(box.services.items()))
    verb, *names = chosen.rest
    if verb in ("daemon-reload", "reset-failed") and not names:
        return ""
    if not names:
        raise Fails("too few arguments")
    printed = ""
    for name in names:
        service = box.services.get(name.removesuffix(".service"))
        if service is None:
            it.complains(f"Unit {name[:80]} could not be found.", 4)
        else:
            printed += _done(box, it, verb, name, service, chosen)
    return printed


def _unit(name: str, service: Service) -> str:
    return f"{name + '.service':<28} {service.state:<9} {_enabled(service)}"


def _enabled(service: Service) -> str:
    return "masked" if service.masked else "enabled" if service.enabled else "disabled"


def _done(box: Machine, it: Running, verb: str, name: str, service: Service, chosen: Options) -> str:
    if verb == "status":
        main = f", main process {service.pid}" if service.pid else ""
        return f"{_unit(name.removesuffix('.service'), service)}{main}\n"
    if verb in ("is-active", "is-enabled"):
        return f"{service.state if verb == 'is-active' else _enabled(service)}\n"
    if verb in ("enable", "disable"):
        service.enabled = verb == "enable"
        verb = {"enable": "start", "disable": "stop"}[verb] if chosen.has("now") else "reload"
    elif verb in ("mask", "unmask"):
        service.masked = verb == "mask"
        service.enabled = service.enabled and not service.masked
        verb = "stop" if service.masked and chosen.has("now") else "reload"
    act = _VERBS.get(verb)
    if act is None:
        raise Fails(f"unknown command verb {verb[:60]}")
    if service.masked and act in (Machine.start, _restart):
        it.complains(f"Unit {name} is masked.")
    elif verb == "kill":
        _signal_all(box, service, chosen.get("s", "signal", default="TERM").removeprefix("SIG"))
    else:
        act(box, service)
    return ""


def _signal_all(box: Machine, service: Service, signal: str) -> None:
    for pid in [*box.tree(service.pid), service.pid] if service.pid is not None else []:
        if pid in box.processes:
            box.signal(pid, {"9": "KILL", "15": "TERM"}.get(signal, signal))


def _restart(box: Machine, service: Service) -> None:
    box.stop(service)
    box.start(service)


def _reset(box: Machine, service: Service) -> None:
    service.state = "inactive" if service.state == "failed" else service.state


def _nothing(box: Machine, service: Service) -> None:
    return None


_VERBS: dict[str, Callable[[Machine, Service], None]] = {
    "start": Machine.start,
    "stop": Machine.stop,
    "restart": _restart,
    "try-restart": _restart,
    "reload-or-restart": _restart,
    "reload": _nothing,
    "kill": _nothing,
    "reset-failed": _reset,
}


def service(box: Machine, it: Running) -> str:
    if len(it.words) < 2:
        raise Fails("usage: service NAME COMMAND")
    it.words = [it.words[1], it.words[0], *it.words[2:]]
    return systemctl(box, it)


# -- small ones -------------------------------------------------------------------------------------------


def fact(box: Machine, it: Running) -> str:
    facts = {
        "hostname": box.host,
        "whoami": box.user,
        "pwd": box.cwd,
        "uname": "Linux",
        "date": TODAY.isoformat(),
    }
    return f"{facts.get(it.name, '')}\n"


def cd(box: Machine, it: Running) -> str:
    path = box.path(it.words[0] if it.words else "~")
    if path not in box.folders:
        raise Fails(f"{it.words[0][:80]}: No such directory")
    box.cwd = path
    return ""


def nothing(box: Machine, it: Running) -> str:
    it.status = int(it.name == "false")
    return ""


def settings(box: Machine, it: Running) -> str:
    """`set`: how a shell takes errors, which this one does not know; variables it has none."""
    if any(not word.startswith(("-", "+")) and word != "pipefail" for word in it.words):
        raise Fails("only options such as -e are supported here")
    return ""


def test(box: Machine, it: Running) -> str:
    words = it.words[:-1] if it.name == "[" and it.words[-1:] == ["]"] else it.words
    if len(words) == 2 and words[0] in ("-e", "-f", "-d", "-s"):
        path = box.path(words[1])
        holds = {
            "-e": box.exists(path),
            "-f": path in box.files,
            "-d": path in box.folders,
            "-s": path in box.files and box.files[path].size > 0,
        }[words[0]]
    elif len(words) == 3 and words[1] in ("=", "==", "!="):
        holds = (words[0] == words[2]) == (words[1] != "!=")
    else:
        raise Fails("only -e, -f, -d, -s, = and != are supported here")
    it.status = int(not holds)
    return ""


def sh(box: Machine, it: Running) -> str:
    words = it.words
    while len(words) >= 2 and words[0] in ("-x", "-e", "-u", "-l", "--"):
        words = words[1:]
    if len(words) >= 2 and words[0] in ("-c", "-lc", "-ec", "-xc"):
        line = words[1]
    elif words and not words[0].startswith("-"):
        line = box.read(box.path(words[0]), words[0])
    else:
        raise Fails("only `sh -c COMMAND` and `sh FILE` are supported here")
    printed, errors, it.status = it.script(line)
    it.errors += errors.splitlines()
    return printed


def _put(word: str, mark: str, item: str) -> str:
    if word.count(mark) * len(item) > _MOST_ARGUMENTS:
        raise Fails("argument line too long")
    return word.replace(mark, item)


def _of_xargs(words: list[str]) -> tuple[list[str], str, bool]:
    """The command of xargs, the mark of -I, and whether the items end at null characters (-0)."""
    mark, by_nulls = "", False
    while words and words[0].startswith("-"):
        flag, *words = words
        by_nulls = by_nulls or flag in ("-0", "--null")
        if flag in ("-I", "-n", "-P", "-L"):
            value, words = "".join(words[:1]), words[1:]
            mark = value if flag == "-I" else mark
    return words, mark, by_nulls


def xargs(box: Machine, it: Running) -> str:
    words, each, by_nulls = _of_xargs(list(it.words))
    given = [one for one in (it.stdin or "").split("\0" if by_nulls else None) if one][:500]
    if not given:
        return ""
    runs = (
        [[_put(w, each, item) for w in words] for item in given[:50]]
        if each
        else [[*(words or ["echo"]), *given]]
    )
    printed = ""
    for run in runs:
        if sum(map(len, run)) > _MOST_ARGUMENTS:
            raise Fails("argument line too long")
        out, errors, status = it.again(run, None)
        printed += out
        it.errors += errors.splitlines()
        it.status = status or it.status
    return printed


COMMANDS: dict[str, Command] = {
    "systemctl": systemctl, "service": service, "hostname": fact, "whoami": fact, "pwd": fact, "uname": fact,
    "date": fact, "set": settings, "cd": cd, "true": nothing, "false": nothing, ":": nothing,
    "sync": nothing, "test": test, "[": test, "sh": sh,
    "bash": sh, "xargs": xargs,
}  # fmt: skip
