"""The packages that overt wants, by extra, and what of them is installed: from its own metadata."""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from overt.data.plugins.install import EXTRAS, project_in
from overt.data.plugins.names import in_words

State = Literal["installed", "missing", "other version", "broken"]
BASE = ""  # the name under which the packages without an extra stand
# What is imported in a process of its own: it prints a line of JSON for each module, then the devices.
# The folders of a path; in quotes or parentheses they may have spaces.
_FOLDERS = re.compile(
    r"""(?:(?<=['"(])(?:[A-Za-z]:)?[\\/][^'")]*|(?<![\w.])(?:[A-Za-z]:)?[\\/][^\s'")]*)[\\/]"""
)
_PROBE = """
import importlib, json, sys
def in_words(error):
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
def devices(torch):
    if torch.cuda.is_available():
        yield from (f"cuda:{n} {torch.cuda.get_device_name(n)}" for n in range(torch.cuda.device_count()))
    if torch.backends.mps.is_available():
        yield "mps"
for name in sys.argv[1:]:
    said = ""
    try:
        importlib.import_module(name)
        if name == "torch":
            print(json.dumps(["devices", list(devices(sys.modules[name]))]), flush=True)
    except BaseException as error:
        said = in_words(error)
    print(json.dumps(["module", name, said]), flush=True)
"""


@dataclass(frozen=True, slots=True)
class Package:
    """A package that overt or an extra wants. wanted: the versions, as pip writes them, "" for any. version:
    the one that is installed, or "". why: of a broken one, what importing it raised."""

    name: str
    wanted: str
    version: str
    state: State
    why: str = ""


@dataclass(frozen=True, slots=True)
class Imported:
    """What a try to import found. broken: by module, why it failed. late: modules that took too long.
    devices: of torch, None where it was not imported."""

    broken: Mapping[str, str]
    late: tuple[str, ...] = ()
    devices: tuple[str, ...] | None = None


def requirements() -> dict[str, list[str]]:
    """The requirements by extra, those without one under `BASE`; of a checkout from its pyproject.toml, which
    may be newer than what pip wrote down. An extra's own extras are resolved."""
    if project := project_in(Path(__file__).parents[3]):
        found = {BASE: project["dependencies"], **project["optional-dependencies"]}
    else:
        found = {BASE: []}
        try:
            distribution = importlib.metadata.distribution("overt")
        except importlib.metadata.PackageNotFoundError:
            return found
        found |= {extra: [] for extra in distribution.metadata.get_all("Provides-Extra") or ()}
        for line in distribution.requires or ():
            text, _, marker = line.partition(";")
            extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)['\"]", marker)
            found.setdefault(extra[1] if extra else BASE, []).append(text.strip())
    return {extra: list(_resolved(extra, found)) for extra in found}


def _resolved(extra: str, all_: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for line in all_.get(extra, ()):
        if own := re.match(r"overt\[([^\]]+)\]", line):
            for other in own[1].split(","):
                yield from _resolved(other.strip(), all_)
        else:
            yield line


def package(requirement: str) -> Package | None:
    """What is installed of a requirement; None where it does not hold for this machine."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        read = Requirement(requirement)
    except InvalidRequirement:
        return Package(requirement, "", "", "missing")
    if read.marker is not None and not read.marker.evaluate({"extra": ""}):
        return None
    try:
        version = importlib.metadata.version(read.name)
    except importlib.metadata.PackageNotFoundError:
        return Package(read.name, str(read.specifier), "", "missing")
    fits = read.specifier.contains(version, prereleases=True)
    return Package(read.name, str(read.specifier), version, "installed" if fits else "other version")


def modules_of(extra: str) -> list[str]:
    """The modules that overt imports of an extra."""
    return [module for module, of in EXTRAS.items() if of == extra]


def imported(modules: Iterable[str], seconds: float) -> Imported:
    """Imports modules in a process of its own, where one that breaks can break nothing else.

    Args:
        seconds: what is not imported by then is late.
    """
    wanted = list(modules)
    ended = 0
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE, *wanted], capture_output=True, timeout=seconds, check=False
        )
        said, ended = done.stdout, done.returncode
    except subprocess.TimeoutExpired as late:
        said = late.stdout or b""
    except OSError as error:
        return Imported(dict.fromkeys(wanted, without_folders(in_words(error))))
    broken: dict[str, str] = {}
    tried: set[str] = set()
    devices: tuple[str, ...] | None = None
    for line in said.decode("utf-8", "replace").splitlines():
        match _row(line):
            case ["module", str(name), str(why)]:
                tried.add(name)
                broken |= {name: without_folders(why)} if why else {}
            case ["devices", list(found)]:
                devices = tuple(map(str, found))
    left = [name for name in wanted if name not in tried]
    if ended and left:  # the interpreter itself went down with it
        broken[left.pop(0)] = f"importing it ended Python with code {ended}"
    return Imported(broken, tuple(left), devices)


def without_folders(text: str) -> str:
    """A message with the names of files alone: where they lie may tell who somebody is."""
    return _FOLDERS.sub("", text)


def _row(line: str) -> object:
    try:
        return json.loads(line)
    except ValueError:  # what a module itself prints
        return None
