"""`find`: paths by name, kind, age and size, and what is done with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from overt.environments.operations.shell.calls import Fails, Running, whole
from overt.environments.operations.shell.machine import MOST_FILES, Machine
from overt.environments.operations.shell.patterns import Glob

Test = Callable[[str], bool]
_UNITS = {"c": 1, "k": 1024, "M": 1024**2, "G": 1024**3}


@dataclass(slots=True)
class _Plan:
    tests: list[Test] = field(default_factory=list)
    deletes: bool = False
    runs: list[str] | None = None
    at_once: bool = False
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
    if plan.runs is not None:
        if plan.at_once and plan.runs.count("{}") * len(found) > MOST_FILES:
            raise Fails("argument list too long")
        groups = [found] if plan.at_once and found else [[name] for name in found]
        printed = ""
        for group in groups:
            words = [w for word in plan.runs for w in (group if word == "{}" else [word])]
            out, errors, status = it.again(words, None)
            printed += out
            if errors:
                it.errors.append(errors)
            it.status = status or it.status
        return printed
    return "".join(f"{name}\n" for name in found)


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
        elif word not in ("-print", "-xdev", "-depth", "-a"):
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
    if name == "-empty":
        return lambda path: box.files[path].size == 0 if path in box.files else not box.children(path)
    value = _value(words, name) if name.startswith("-") else ""
    if name in ("-name", "-iname", "-path"):
        folds = name == "-iname"
        fits = Glob(value.lower() if folds else value).fits
        whole_path = name == "-path"
        return lambda path: fits(path if whole_path else (path.lower() if folds else path).rpartition("/")[2])
    if name == "-type" and value in ("f", "d"):
        return lambda path: (path in box.files) == (value == "f")
    if name in ("-user", "-group"):
        return lambda path: (
            value
            == getattr(box.files.get(path) or box.folders[path], "owner" if name == "-user" else "group")
        )
    if name == "-perm":
        return lambda path: (box.files.get(path) or box.folders[path]).mode[-3:] == value[-3:]
    if name in ("-mtime", "-atime", "-ctime"):
        return _than(value, "", lambda path: (box.files.get(path) or box.folders[path]).days, 1)
    if name == "-size":
        unit = value[-1:] if value[-1:] in _UNITS else ""
        return _than(
            value, unit, lambda path: box.files[path].size if path in box.files else 0, _UNITS.get(unit, 512)
        )
    raise Fails(f"unknown predicate '{name[:60]}'")


def _than(value: str, unit: str, of: Callable[[str], int], size: int) -> Test:
    sign = value[:1] if value[:1] in ("+", "-") else ""
    limit = whole(value.removesuffix(unit)[len(sign) :], "number") * size
    if sign == "+":
        return lambda path: of(path) > limit
    if sign == "-":
        return lambda path: of(path) < limit
    return lambda path: of(path) == limit
