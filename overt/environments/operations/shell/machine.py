"""The machine that the shell works on: files, processes, services, users, timetables, disks, snapshots.

Its start state is JSON data, as the jobs write it:

    user: root                       # who works; root where it is not said
    files: {/var/log/a.log: "text", /srv/b.img: {bulk: 4000000, days: 40, owner: anna, mode: "0600"}}
    folders: {/srv/empty: {}}        # those above the files are there without being named
    processes: {4100: {parent: 1, user: build, command: make -j8, cpu: 3, state: S}}
    services: {nginx: {state: active, enabled: true, pid: 900, restarts: false}}
    users: {anna: {uid: 1001, groups: [staff], locked: false}}
    cron: {root: ["0 3 * * * /usr/local/bin/backup"]}
    disks: {/dev/sdb1: {mount: /mnt/scratch, size: 200G, use: 91, type: ext4}}
    snapshots: {tank/db@2024-01-01: {used: 12G}}
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from overt.data.json_types import Json, JsonObject
from overt.environments.operations.shell.calls import Fails, Running
from overt.environments.operations.starts import check_start, entries_of, list_of

T = TypeVar("T")
MOST_FILES = 1_000
MOST_TEXT = 200_000  # characters of all files together
MOST_PROCESSES = 500
MOST_WORK = 3_000_000  # of one command line, in entries or characters that are looked at
_PARTS = (
    "user", "host", "files", "folders", "processes", "services", "users", "cron", "disks", "snapshots",
)  # fmt: skip
_SESSION = "sshd: "  # how the command of a session's own process begins
STOPPING = ("TERM", "KILL", "INT", "HUP", "QUIT", "ABRT")  # signals that end a process


@dataclass(slots=True)
class File:
    """A file. bulk: bytes that it has beside its text; days: its age."""

    text: str = ""
    owner: str = "root"
    group: str = "root"
    mode: str = "0644"
    days: int = 0
    bulk: int = 0

    @property
    def size(self) -> int:
        return len(self.text.encode()) + self.bulk


@dataclass(slots=True)
class Folder:
    owner: str = "root"
    group: str = "root"
    mode: str = "0755"
    days: int = 0


@dataclass(slots=True)
class Process:
    """state: R, S, D, T or Z as ps shows it. ignores: signals that it does not heed. idle: minutes."""

    parent: int = 1
    user: str = "root"
    command: str = ""
    cpu: float = 0.0
    mem: float = 0.1
    state: str = "S"
    tty: str = "?"
    idle: int = 0
    ignores: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Service:
    """restarts: whether its process comes again when it is killed."""

    state: str = "active"
    enabled: bool = True
    pid: int | None = None
    user: str = "root"
    command: str = ""
    restarts: bool = False
    masked: bool = False


@dataclass(slots=True)
class User:
    uid: int = 1000
    groups: list[str] = field(default_factory=list)
    home: str = ""
    shell: str = "/bin/bash"
    locked: bool = False
    expired: bool = False
    last_login_days: int = 1


@dataclass(slots=True)
class Disk:
    """hidden: the files of a disk that is not mounted, by their path below its mount."""

    mount: str | None = None
    size: str = "10G"
    use: int = 10  # percent
    type: str = "ext4"
    label: str = ""
    last: str = ""  # where it was mounted last
    hidden: dict[str, File] = field(default_factory=dict)


D = TypeVar("D", File, Folder, Process, Service, User, Disk)


def _made(kind: Callable[..., T], given: Json) -> T:
    """An entry with the fields that are given, each of the type of its default."""
    fields, defaults = entries_of(given), kind()
    for name, value in fields.items():
        default = getattr(defaults, name, None)
        wanted = (int, float) if isinstance(default, float) else type(default)
        if default is not None and not isinstance(value, wanted):
            raise ValueError(f"{name} is {value!r}, which is of another type than {default!r}")
    return kind(**fields)


def _all(kind: Callable[..., T], given: Json) -> dict[str, T]:
    return {name: _made(kind, entry) for name, entry in entries_of(given).items()}


def _file(given: Json) -> File:
    return File(given) if isinstance(given, str) else _made(File, given)


def _plain(them: Mapping[str, D]) -> dict[str, Json]:
    """Entries as JSON data. (`dataclasses.asdict` takes five times as long.)"""
    return {name: {slot: _copied(getattr(it, slot)) for slot in it.__slots__} for name, it in them.items()}


def _copied(value: Json | dict[str, File]) -> Json:
    if isinstance(value, list):
        return [*value]
    return _plain(value) if isinstance(value, dict) else value


class Machine:
    """A machine made from its start state."""

    def __init__(self, start: Mapping[str, Json]) -> None:
        check_start(start, _PARTS)
        self.user = str(start.get("user") or "root")
        self.host = str(start.get("host") or "ops-1")
        self.files = {path: _file(entry) for path, entry in entries_of(start.get("files")).items()}
        self.folders = {"/": Folder(), **_all(Folder, start.get("folders"))}
        self.services = _all(Service, start.get("services"))
        self.users = {"root": User(0, ["root"], "/root"), **_all(User, start.get("users"))}
        self.cron = {
            user: [str(line) for line in list_of(lines)]
            for user, lines in entries_of(start.get("cron")).items()
        }
        self.disks = _all(Disk, start.get("disks"))
        self.snapshots = _all(dict[str, Json], start.get("snapshots"))
        self.processes = {int(pid): it for pid, it in _all(Process, start.get("processes")).items()}
        self._complete()
        self._work = 0
        self._next_pid = max([9_000, *self.processes]) + 1

    def _complete(self) -> None:
        """Puts in what every machine has: usual folders and those above files, init, services' processes."""
        self.cwd = "/root" if self.user == "root" else f"/home/{self.user}"
        mounts = [disk.mount for disk in self.disks.values() if disk.mount]
        for folder in ("/root", "/tmp", "/home", "/etc", "/var/log", self.cwd, *mounts):
            self.folders.setdefault(folder, Folder())
        self.files.setdefault("/dev/null", File(mode="0666"))
        for path in [*self.files, *self.folders]:
            self._make_parents(path)
        self.processes.setdefault(1, Process(0, command="/sbin/init"))
        for name, service in self.services.items():
            if service.pid is not None:
                service.command = service.command or f"/usr/sbin/{name}"
                self.processes.setdefault(service.pid, Process(1, service.user, service.command))

    def state(self) -> JsonObject:
        """All of it, as JSON data."""
        return {
            "files": _plain(self.files),
            "folders": _plain(self.folders),
            "processes": _plain({str(pid): process for pid, process in self.processes.items()}),
            "services": _plain(self.services),
            "users": _plain(self.users),
            "cron": {user: list(lines) for user, lines in self.cron.items()},
            "disks": _plain(self.disks),
            "snapshots": {name: dict(it) for name, it in self.snapshots.items()},
        }

    def begin(self) -> None:
        """A new command line begins, with no work done."""
        self._work = 0

    def spend(self, work: int) -> None:
        """Counts work of a command line.

        Raises:
            Fails: it is too much.
        """
        self._work += work
        if self._work > MOST_WORK:
            raise Fails("stopped: too much work for one command line")

    # -- files --------------------------------------------------------------------------------------------

    def path(self, text: str) -> str:
        """The whole path, without `.` and `..`."""
        if text == "~" or text.startswith("~/"):
            text = (self.users.get(self.user, User()).home or f"/home/{self.user}") + text[1:]
        parts: list[str] = []
        for part in (text if text.startswith("/") else f"{self.cwd}/{text}").split("/"):
            if part == "..":
                parts = parts[:-1]
            elif part not in ("", "."):
                parts.append(part)
        return "/" + "/".join(parts)

    def exists(self, path: str) -> bool:
        return path in self.files or path in self.folders

    def entry(self, path: str) -> File | Folder:
        """The file or folder at a path that exists."""
        return self.files.get(path) or self.folders[path]

    def below(self, folder: str) -> Iterator[str]:
        """Every path below a folder, sorted."""
        self.spend(len(self.files) + len(self.folders))
        start = folder.rstrip("/") + "/"
        return iter(sorted(p for p in (*self.files, *self.folders) if p.startswith(start) and p != "/"))

    def children(self, folder: str) -> list[str]:
        """The names of what lies directly in a folder, sorted."""
        start = len(folder.rstrip("/")) + 1
        return [path[start:] for path in self.below(folder) if "/" not in path[start:]]

    def by_folder(self) -> dict[str, list[str]]:
        """The names in each folder, sorted."""
        self.spend(len(self.files) + len(self.folders))
        found: dict[str, list[str]] = {}
        for path in sorted({*self.files, *self.folders} - {"/"}):
            found.setdefault(parent(path), []).append(path.rpartition("/")[2])
        return found

    def read(self, path: str, shown: str) -> str:
        """The text of a file.

        Raises:
            Fails: there is none.
        """
        if path in self.folders:
            raise Fails(f"{shown}: Is a directory")
        if path not in self.files:
            raise Fails(f"{shown}: No such file or directory")
        return self.files[path].text

    def write(self, path: str, text: str, *, adds: bool = False) -> None:
        """Writes a file, which then has nothing but its text.

        Raises:
            Fails: its folder is missing, or the disk is full.
        """
        if path == "/dev/null":
            return
        if path in self.folders:
            raise Fails(f"{path}: Is a directory")
        if parent(path) not in self.folders:
            raise Fails(f"{path}: No such file or directory")
        old = self.files.get(path)
        if adds and old is not None:
            text = old.text + text
        self.spend(len(self.files) + len(text))
        others = sum(len(file.text) for name, file in self.files.items() if name != path)
        if others + len(text) > MOST_TEXT or (old is None and len(self.files) >= MOST_FILES):
            raise Fails(f"{path}: No space left on device")
        if old is None:
            self.files[path] = File(text, owner=self.user, group=self.user)
        else:
            old.text, old.days = text, 0
            old.bulk = old.bulk if adds else 0

    def make_folder(self, path: str) -> None:
        if len(self.folders) >= MOST_FILES:
            raise Fails(f"cannot create directory '{path}': No space left on device")
        self.folders[path] = Folder(owner=self.user, group=self.user)

    def remove(self, path: str) -> None:
        """Takes a file, or a folder with all in it, away."""
        for inner in [*self.below(path), path]:
            self.files.pop(inner, None)
            if inner != "/":
                self.folders.pop(inner, None)

    def _make_parents(self, path: str) -> None:
        above = parent(path)
        while above not in self.folders:
            self.folders[above] = Folder()
            above = parent(above)

    # -- processes ----------------------------------------------------------------------------------------

    def spawn(self, process: Process) -> int:
        """Starts a process; its number.

        Raises:
            Fails: there are too many.
        """
        if len(self.processes) >= MOST_PROCESSES:
            raise Fails("fork: Resource temporarily unavailable")
        pid, self._next_pid = self._next_pid, self._next_pid + 1
        self.processes[pid] = process
        return pid

    def signal(self, pid: int, name: str) -> bool:
        """Sends a signal; False where nothing could come of it.

        A zombie dies with its parent alone; KILL cannot be ignored; who is killed leaves its children to
        init, which reaps the zombies among them.
        """
        process = self.processes[pid]
        if pid == 1:
            return False
        if process.state == "Z":
            return True
        if name == "STOP":
            process.state = "T"
        elif name == "CONT":
            process.state = "S" if process.state == "T" else process.state
        elif name in STOPPING and (name == "KILL" or (name not in process.ignores and process.state != "D")):
            self.end(pid)
        return True

    def end(self, pid: int, *, is_asked: bool = False) -> None:
        """Ends a process. A service whose process it was fails or comes again, unless the end was asked of
        the service itself; a session of SSH and the shell in it end together."""
        self.spend(len(self.processes))
        gone = self.processes.pop(pid, None)
        for child, process in list(self.processes.items()):
            if process.parent == pid:
                process.parent = 1
                if process.state == "Z":
                    del self.processes[child]
        for service in self.services.values():
            if service.pid == pid and not is_asked:
                service.pid, service.state = None, "failed"
                if service.restarts:
                    self.start(service)
        if gone is not None and gone.tty != "?":
            self._hang_up(gone)

    def _hang_up(self, gone: Process) -> None:
        """What the end of a process does to the others on its terminal."""
        others = [pid for pid, process in self.processes.items() if process.tty == gone.tty]
        if not gone.command.startswith(_SESSION):
            above = self.processes.get(gone.parent)
            if above is not None and above.command.startswith(_SESSION) and others == [gone.parent]:
                self.end(gone.parent)
            return
        for pid in others:
            if pid in self.processes:
                self.signal(pid, "HUP")

    def start(self, service: Service) -> None:
        """Starts a service that does not run."""
        if service.pid not in self.processes:
            service.pid = self.spawn(Process(1, service.user, service.command or "daemon"))
        service.state = "active"

    def stop(self, service: Service) -> None:
        """Stops a service with its whole tree of processes."""
        if service.pid is not None:
            for pid in [*self.tree(service.pid), service.pid]:
                self.end(pid, is_asked=True)
        service.pid, service.state = None, "inactive"

    def tree(self, pid: int) -> list[int]:
        """The descendants of a process."""
        self.spend(len(self.processes))
        found, todo = [], [pid]
        while todo:
            above = todo.pop()
            for child, process in self.processes.items():
                if process.parent == above and child not in found:
                    found.append(child)
                    todo.append(child)
        return found


Command = Callable[[Machine, Running], str]  # what it prints


def parent(path: str) -> str:
    """The folder that a path lies in."""
    return path.rpartition("/")[0] or "/"
