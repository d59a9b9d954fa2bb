"""Commands that look at files and folders, move and remove them."""

from __future__ import annotations

import dataclasses
import datetime

from overt.environments.operations.shell.calls import Fails, Options, Running, options, whole
from overt.environments.operations.shell.machine import Command, File, Folder, Machine, parent

TODAY = datetime.date(2026, 3, 2)  # in every simulated world


def ls(box: Machine, it: Running) -> str:
    chosen = options(it.words, "l a A h 1 t r R d S all human-readable color", "color time-style")
    lines: list[str] = []
    targets = chosen.rest or ["."]
    for target in targets:
        path = box.path(target)
        if not box.exists(path):
            it.complains(f"cannot access '{target}': No such file or directory", 2)
        elif path in box.files or chosen.has("d"):
            lines += _listed(box, [(target, path)], chosen)
        else:
            if len(targets) > 1:
                lines.append(f"{target}:")
            base = path.rstrip("/")
            names = box.children(path)
            if not chosen.has("a", "A", "all"):
                names = [name for name in names if not name.startswith(".")]
            lines += _listed(box, [(name, f"{base}/{name}") for name in names], chosen)
    return _lines(lines)


def _listed(box: Machine, entries: list[tuple[str, str]], chosen: Options) -> list[str]:
    if chosen.has("t"):
        entries.sort(key=lambda entry: box.entry(entry[1]).days)
    if chosen.has("S"):
        entries.sort(key=lambda entry: -_size(box, entry[1]))
    if chosen.has("r"):
        entries.reverse()
    if not chosen.has("l"):
        return [name for name, _ in entries]
    return [_long(box, name, path, human=chosen.has("h", "human-readable")) for name, path in entries]


def _size(box: Machine, path: str) -> int:
    return box.files[path].size if path in box.files else 4096


def _long(box: Machine, name: str, path: str, *, human: bool) -> str:
    it = box.entry(path)
    bits = "".join(
        "".join(c if int(digit, 8) & bit else "-" for c, bit in (("r", 4), ("w", 2), ("x", 1)))
        for digit in it.mode[-3:]
    )
    size = _human(_size(box, path)) if human else str(_size(box, path))
    kind = "d" if path in box.folders else "-"
    return f"{kind}{bits} {it.owner} {it.group} {size:>8} {dated(it.days)} {name}"


def dated(days: int) -> str:
    """The day so many days before today."""
    return (TODAY - datetime.timedelta(days=min(max(days, 0), 20_000))).isoformat()


def _human(size: int) -> str:
    for unit in ("", "K", "M", "G"):
        if size < 1024:
            return f"{size}{unit}"
        size = (size + 1023) // 1024
    return f"{size}T"


def _lines(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def rm(box: Machine, it: Running) -> str:
    chosen = options(it.words, "r R f i v d recursive force verbose dir no-preserve-root one-file-system")
    said: list[str] = []
    if not chosen.rest and not chosen.has("f"):
        raise Fails("missing operand")
    for target in chosen.rest:
        path = box.path(target)
        if path == "/":
            it.complains("it is dangerous to operate recursively on '/'")
        elif not box.exists(path):
            if not chosen.has("f", "force"):
                it.complains(f"cannot remove '{target}': No such file or directory")
        elif path in box.folders and not chosen.has("r", "R", "recursive"):
            if chosen.has("d", "dir") and not box.children(path):
                box.remove(path)
            else:
                it.complains(f"cannot remove '{target}': Is a directory")
        elif any(disk.mount == path for disk in box.disks.values()):
            for name in box.children(path):
                box.remove(f"{path}/{name}")
            it.complains(f"cannot remove '{target}': Device or resource busy")
        else:
            box.remove(path)
            said += [f"removed '{target}'"] if chosen.has("v", "verbose") else []
    return _lines(said)


def rmdir(box: Machine, it: Running) -> str:
    for target in options(it.words, "v p").rest:
        path = box.path(target)
        if path not in box.folders:
            it.complains(f"failed to remove '{target}': No such directory")
        elif box.children(path):
            it.complains(f"failed to remove '{target}': Directory not empty")
        else:
            box.remove(path)
    return ""


def mkdir(box: Machine, it: Running) -> str:
    chosen = options(it.words, "p v parents", "m mode")
    for target in chosen.rest:
        path = box.path(target)
        if box.exists(path) and not (chosen.has("p", "parents") and path in box.folders):
            it.complains(f"cannot create directory '{target}': File exists")
            continue
        missing = []
        while path not in box.folders:
            missing.append(path)
            path = parent(path)
        if len(missing) > 1 and not chosen.has("p", "parents"):
            it.complains(f"cannot create directory '{target}': No such file or directory")
            continue
        for each in reversed(missing[:50]):
            box.make_folder(each)
    return ""


def touch(box: Machine, it: Running) -> str:
    for target in options(it.words, "a m c").rest:
        path = box.path(target)
        if path in box.files or path in box.folders:
            box.entry(path).days = 0
        else:
            box.write(path, "")
    return ""


def cp(box: Machine, it: Running) -> str:
    chosen = options(it.words, "r R a p f v i n recursive archive", "t target-directory")
    return _carried(
        box, it, _with_target(chosen), deep=chosen.has("r", "R", "a", "recursive", "archive"), moves=False
    )


def mv(box: Machine, it: Running) -> str:
    chosen = options(it.words, "f v i n", "t target-directory")
    return _carried(box, it, _with_target(chosen), deep=True, moves=True)


def _with_target(chosen: Options) -> list[str]:
    """What is carried, and where: the folder of -t is the last."""
    target = chosen.get("t", "target-directory")
    return [*chosen.rest, f"{target}/"] if target else chosen.rest


def _carried(box: Machine, it: Running, words: list[str], *, deep: bool, moves: bool) -> str:
    if len(words) < 2:
        raise Fails("missing destination file operand")
    *sources, last = words
    into = box.path(last)
    if len(sources) > 1 and into not in box.folders:
        raise Fails(f"target '{last}' is not a directory")
    for source in sources:
        path = box.path(source)
        goal = f"{into.rstrip('/')}/{path.rpartition('/')[2]}" if into in box.folders else into
        if not box.exists(path):
            it.complains(f"cannot stat '{source}': No such file or directory")
        elif path in box.folders and not deep:
            it.complains(f"-r not specified; omitting directory '{source}'")
        elif goal == path or goal.startswith(path + "/"):
            it.complains(f"'{source}' and '{last}' are the same, or one lies in the other")
        elif parent(goal) not in box.folders:
            it.complains(f"cannot create '{last}': No such file or directory")
        else:
            _carry(box, path, goal, moves=moves)
    return ""


def _carry(box: Machine, path: str, goal: str, *, moves: bool) -> None:
    if path in box.folders and goal not in box.folders:
        box.make_folder(goal)
    for inner in [path, *box.below(path)]:
        place = goal + inner[len(path) :]
        if inner in box.folders:
            if place not in box.folders:
                box.make_folder(place)
            continue
        file = box.files[inner]
        if moves:
            box.files[place] = box.files.pop(inner)
        else:
            box.write(place, file.text)
            box.files[place] = dataclasses.replace(file, days=0)
    if moves:
        box.remove(path)


def truncate(box: Machine, it: Running) -> str:
    chosen = options(it.words, "c no-create", "s size")
    if whole(chosen.get("s", "size", default="-").rstrip("kKMG"), "size") != 0:
        raise Fails("only a size of 0 is supported here")
    for target in chosen.rest:
        path = box.path(target)
        if path in box.folders:
            it.complains(f"cannot open '{target}' for writing: Is a directory")
        elif path in box.files or not chosen.has("c", "no-create"):
            box.write(path, "")
    return ""


def shred(box: Machine, it: Running) -> str:
    chosen = options(it.words, "u z v f remove zero", "n iterations")
    for target in chosen.rest:
        path = box.path(target)
        if path not in box.files:
            it.complains(f"{target}: failed to open for writing: No such file")
        elif chosen.has("u", "remove"):
            box.remove(path)
        else:
            box.write(path, "(overwritten)")
    return ""


def chmod(box: Machine, it: Running) -> str:
    # A mode such as -x or go-rwx begins like an option.
    recursive = any(word in ("-R", "--recursive") for word in it.words)
    words = [word for word in it.words if word not in ("-R", "--recursive", "-v", "-f")]
    if len(words) < 2:
        raise Fails("missing operand")
    for entry in _entries(box, it, words[1:], recursive=recursive):
        entry.mode = _mode(entry.mode, words[0])
    return ""


_RIGHTS = {"r": 4, "w": 2, "x": 1, "X": 1}


def _mode(old: str, change: str) -> str:
    """A mode after a change such as 640, u+x or go-rwx."""
    if len(change) in (3, 4) and set(change) <= set("01234567"):
        return change.zfill(4)
    digits = [int(digit, 8) for digit in old.zfill(4)]
    for part in change.split(","):
        places, sign, bits = _change(part)
        for place in places:
            kept = {"=": 0, "+": digits[place], "-": digits[place] & ~bits}[sign]
            digits[place] = kept if sign == "-" else kept | bits
    return "".join(map(str, digits))


def _change(part: str) -> tuple[list[int], str, int]:
    """A change such as go-rwx: the places in a mode, the sign, the bits."""
    sign = next((c for c in part if c in "+-="), "")
    who, _, what = part.partition(sign or "=")
    if not sign or set(who) - set("ugoa") or set(what) - set(_RIGHTS):
        raise Fails(f"invalid mode: '{part[:60]}'")
    places = [1, 2, 3] if not who or "a" in who else ["ugo".index(c) + 1 for c in who]
    return places, sign, sum(_RIGHTS[c] for c in set(what.replace("X", "x")))


def chown(box: Machine, it: Running) -> str:
    chosen = options(it.words, "R v f recursive")
    if len(chosen.rest) < 2:
        raise Fails("missing operand")
    owner, _, group = chosen.rest[0].partition(":")
    if owner and owner not in box.users:
        raise Fails(f"invalid user: '{chosen.rest[0][:60]}'")
    for entry in _entries(box, it, chosen.rest[1:], recursive=chosen.has("R", "recursive")):
        entry.owner = owner or entry.owner
        entry.group = group or entry.group
    return ""


def chgrp(box: Machine, it: Running) -> str:
    chosen = options(it.words, "R v f recursive")
    if len(chosen.rest) < 2:
        raise Fails("missing operand")
    for entry in _entries(box, it, chosen.rest[1:], recursive=chosen.has("R", "recursive")):
        entry.group = chosen.rest[0]
    return ""


def _entries(box: Machine, it: Running, targets: list[str], *, recursive: bool) -> list[File | Folder]:
    found: list[File | Folder] = []
    for target in targets:
        path = box.path(target)
        if not box.exists(path):
            it.complains(f"cannot access '{target}': No such file or directory")
            continue
        found += [box.entry(each) for each in ([path, *box.below(path)] if recursive else [path])]
    return found


def stat(box: Machine, it: Running) -> str:
    lines = []
    for target in options(it.words, "", "c format").rest:
        path = box.path(target)
        if not box.exists(path):
            it.complains(f"cannot statx '{target}': No such file or directory")
        else:
            lines.append(_long(box, target, path, human=False))
    return _lines(lines)


def du(box: Machine, it: Running) -> str:
    chosen = options(it.words, "s h a c k m b x", "d max-depth")
    lines = []
    for target in chosen.rest or ["."]:
        path = box.path(target)
        if not box.exists(path):
            it.complains(f"cannot access '{target}': No such file or directory")
            continue
        folders = [path] if chosen.has("s") or chosen.get("d", "max-depth") == "0" else [
            *(f"{path.rstrip('/')}/{name}" for name in box.children(path)), path
        ]  # fmt: skip
        for each in folders:
            box.spend(len(box.files))
            size = sum(file.size for name, file in box.files.items() if name == each or _lies_in(name, each))
            shown = target + each[len(path) :] if each != path else target
            lines.append(f"{_human(size) if chosen.has('h') else (size + 1023) // 1024}\t{shown}")
    return _lines(lines)


def _lies_in(path: str, folder: str) -> bool:
    return path.startswith(folder.rstrip("/") + "/")


COMMANDS: dict[str, Command] = {
    "ls": ls, "rm": rm, "unlink": rm, "rmdir": rmdir, "mkdir": mkdir, "touch": touch, "cp": cp, "mv": mv,
    "truncate": truncate, "shred": shred, "chmod": chmod, "chown": chown, "chgrp": chgrp, "stat": stat, 
    "du": du,
}  # fmt: skip
