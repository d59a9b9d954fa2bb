"""`find`: paths by name, kind, age and size, and what is done with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from overt.environments.operations.shell.calls import Fails, Running, whole
from overt.environments.operations.shell.machine import MOST_FILES, File, Folder, Machine
from overt.environments.operations.shell.patterns import Glob

Test = Callable[[str], bool]
_UNITS = {"c": 1, "k": 1024, "M": 1024**2, "G": 1024**3}


@dataclass(slots=True)
class _Plan:
    tests: list[Test] = field(default_factory=list)
    deletes: bool = False
    runs: list[str] | None = None
    at_once: bool = False
    end: str = "\n"  # what stands after each path that is printed
    deepest: int = 1_000
    shallowest: int = 0


def find(box: Machine, it: Running) -> str:
    words = list(it.words)
    roots = []
    while words and not words[0].startswith(("-", "!", "(")):
        roots.append(words.pop(0))
    plan = _plan(box, words)
    found: list[str] = []
    for root in roots or ["."]:
        path = box.path(root)
        if not box.exists(path):
            it.complains(f"'{root}': No such file or directory")
            continue
        for each in [path, *box.below(path)]:
            box.spend(len(each) * sum(map(len, it.words)))
            depth = each[len(path.rstrip("/")) :].count("/")
            if plan.shallowest <= depth <= plan.deepest and all(test(each) for test in plan.tests):
                found.append(root.rstrip("/") + each[len(path.rstrip("/")) :] if each != path else root)
    return _acted(box, it, plan, found)


def _acted(box: Machine, it: Running, plan: _Plan, found: list[str]) -> str:
    if plan.deletes:
        for name in reversed(found):
            path = box.path(name)
            if path in box.folders and box.children(path):
                it.complains(f"cannot delete '{name}': Directory not empty")
            elif path != "/":
                box.remove(path)
        return ""
    if plan.runs is None:
        return "".join(f"{name}{plan.end}" for name in found)
    return _ran(it, plan.runs, [found] if plan.at_once and found else [[name] for name in found])


def _ran(it: Running, command: list[str], groups: list[list[str]]) -> str:
    """Runs a command once for each group of paths, which stand where it holds {}."""
    printed = ""
    for group in groups:
        if command.count("{}") * len(group) > MOST_FILES:
            raise Fails("argument list too long")
        words = [w for word in command for w in (group if word == "{}" else [word])]
        out, errors, status = it.again(words, None)
        printed += out
        it.errors += errors.splitlines()
        it.status = status or it.status
    return printed


def _plan(box: Machine, words: list[str]) -> _Plan:
    plan = _Plan()
    negated = False
    while words:
        word = words.pop(0)
        if word in ("!", "-not"):
            negated = True
            continue
        if word == "-delete":
            plan.deletes = True
        elif word == "-print0":
            plan.end = "\0"
        elif word == "-exec":
            plan.runs = []
            while words and words[0] not in (";", "+"):
                plan.runs.append(words.pop(0))
            if not words or not plan.runs:
                raise Fails("missing argument to '-exec'")
            plan.at_once = words.pop(0) == "+"
        elif word in ("-maxdepth", "-mindepth"):
            depth = whole(_value(words, word), "depth")
            plan.deepest, plan.shallowest = (
                (depth, plan.shallowest) if word == "-maxdepth" else (plan.deepest, depth)
            )
        elif word not in ("-print", "-ls", "-xdev", "-mount", "-depth", "-a"):
            test = _test(box, word, words)
            plan.tests.append(_not(test) if negated else test)
        negated = False
    return plan


def _not(test: Test) -> Test:
    return lambda path: not test(path)


def _value(words: list[str], name: str) -> str:
    if not words:
        raise Fails(f"missing argument to '{name}'")
    return words.pop(0)


def _test(box: Machine, name: str, words: list[str]) -> Test:
    """A test of paths. `words` loses what belongs to it."""
    if name == "-empty":
        return lambda path: box.files[path].size == 0 if path in box.files else not box.children(path)
    value = _value(words, name) if name.startswith("-") else ""
    if name in ("-name", "-iname", "-path"):
        return _name_test(name, value)
    if name == "-type" and value in ("f", "d"):
        return lambda path: (path in box.files) == (value == "f")
    if name == "-size":
        unit = value[-1:] if value[-1:] in _UNITS else ""
        return _than(value.removesuffix(unit), lambda path: _bytes(box, path), _UNITS.get(unit, 512))
    facts: dict[str, Callable[[File | Folder], object]] = {
        "-user": lambda entry: entry.owner,
        "-group": lambda entry: entry.group,
        "-perm": lambda entry: entry.mode[-len(value) :],
    }
    if name in facts:
        return lambda path: facts[name](box.entry(path)) == value
    if name in ("-mtime", "-atime", "-ctime"):
        return _than(value, lambda path: box.entry(path).days, 1)
    raise Fails(f"unknown predicate '{name[:60]}'")


def _name_test(name: str, value: str) -> Test:
    if name == "-path":
        return Glob(value).fits
    folds = name == "-iname"
    fits = Glob(value.lower() if folds else value).fits
    return lambda path: fits((path.lower() if folds else path).rpartition("/")[2])


def _bytes(box: Machine, path: str) -> int:
    return box.files[path].size if path in box.files else 0


def _than(value: str, of: Callable[[str], int], size: int) -> Test:
    sign = value[:1] if value[:1] in ("+", "-") else ""
    limit = whole(value[len(sign) :], "number") * size
    if sign == "+":
        return lambda path: of(path) > limit
    if sign == "-":
        return lambda path: of(path) < limit
    return lambda path: of(path) == limit
