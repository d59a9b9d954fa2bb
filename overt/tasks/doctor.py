"""`overt doctor`: what is installed and what is not, which keys are set by name, what this machine can do.

Nothing of it goes anywhere: keys are looked for and never read out, paths are left out, and the Hub is asked
only with --online.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import locale
import os
import platform
import shutil
import sqlite3
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import overt
from overt import registry
from overt.data.errors import InputError
from overt.data.plugins.install import ADDS, installed, is_installed
from overt.data.plugins.names import in_words
from overt.data.plugins.packages import (
    BASE,
    Imported,
    Package,
    imported,
    modules_of,
    package,
    requirements,
)

HUB = "https://huggingface.co"
_GROUPS = ("overt.chat_models", "overt.targets", "overt.filters", "overt.checkers")
# Variables that no class of overt names, and what reads them.
_OTHERS = {"HF_TOKEN": "the Hugging Face Hub: gated models, overt publish"}
_LOCAL = "local"  # the extra that asks for devices


@dataclass(frozen=True, slots=True)
class Extra:
    """An extra, or what overt needs in any case (name ""). late: modules that could not be tried in time."""

    name: str
    adds: str
    command: str
    packages: tuple[Package, ...]
    late: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        """Whether it is there: "in part" where packages are missing, of another version or broken."""
        good = [one.state == "installed" for one in self.packages]
        if all(good):
            return "installed"
        return "in part" if any(one.state != "missing" for one in self.packages) else "not installed"


@dataclass(frozen=True, slots=True)
class Key:
    """A variable that holds a key. state: "set", "empty" or "not set"; its value is never read out."""

    name: str
    state: str
    used_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Machine:
    """What this machine can do.

    devices: those of torch; None where it was not asked.
    folder: where runs go by default. folder_problem: why nothing can be written there, or "".
    free_gb: 10**9 bytes.
    """

    python: str
    platform: str
    processors: int
    in_environment: bool
    devices: tuple[str, ...] | None
    folder: str
    folder_problem: str
    free_gb: float
    sqlite: str
    has_fts5: bool
    encoding: str
    is_terminal: bool


@dataclass(frozen=True, slots=True)
class Health:
    """All that `overt doctor` found.

    hub: what the Hub answered; None where it was not asked.
    problems: what keeps overt from working, each with what to do.
    """

    overt: str
    installed: str
    machine: Machine
    extras: tuple[Extra, ...]
    keys: tuple[Key, ...]
    hub: str | None
    problems: tuple[str, ...]


def examine(*, seconds: float, online: bool) -> Health:
    """Looks at everything.

    Args:
        seconds: for importing the packages of each extra; 0: nothing is imported.
        online: whether the Hub is asked, too.
    """
    wanted = requirements()
    names = [name for name in wanted if name == BASE or name in ADDS]
    tried = dict(zip(names, _tried(names, seconds), strict=True))
    extras = tuple(_extra(name, wanted[name], tried[name]) for name in names)
    local = tried.get(_LOCAL)
    machine = _machine(local.devices if local is not None else None)
    hub = _hub() if online else None
    found = installed().for_a_report
    where = f" ({Path(found.place).name})" if found.place else ""
    return Health(
        overt.__version__,
        f"{found.how}{where}",
        machine,
        extras,
        tuple(_keys()),
        hub,
        tuple(_problems(machine, extras, hub)),
    )


def _tried(names: Sequence[str], seconds: float) -> list[Imported]:
    """Imports what is there of each extra, side by side."""

    def one(name: str) -> Imported:
        there = [module for module in modules_of(name) if is_installed(module)]
        return imported(there, seconds) if there and seconds else Imported({})

    with ThreadPoolExecutor(len(names)) as pool:
        return list(pool.map(one, names))


def _extra(name: str, lines: Sequence[str], tried: Imported) -> Extra:
    command = installed().for_a_report.command(name)
    found = [read for line in lines if (read := package(line)) is not None]
    why = {_bare(_distribution(module)): f"import {module}: {said}" for module, said in tried.broken.items()}
    packages = [
        replace(one, state="broken", why=why[_bare(one.name)]) if _bare(one.name) in why else one
        for one in found
    ]
    return Extra(name, ADDS.get(name, "what overt needs in any case"), command, tuple(packages), tried.late)


def _distribution(module: str) -> str:
    """The package that brings a module."""
    brings = importlib.metadata.packages_distributions()
    return next(iter(brings.get(module.partition(".")[0], ())), module)


def _bare(name: str) -> str:
    """A package's name as pip compares it."""
    return name.lower().replace("_", "-").replace(".", "-")


# -- the machine ---------------------------------------------------------------------------------------------


def _machine(devices: tuple[str, ...] | None) -> Machine:
    folder = Path("runs")
    return Machine(
        python=f"{platform.python_implementation()} {platform.python_version()}",
        platform=platform.platform(),
        processors=os.cpu_count() or 0,
        in_environment=sys.prefix != sys.base_prefix,
        devices=devices,
        folder=str(folder),
        folder_problem=_write_problem(folder),
        free_gb=round(shutil.disk_usage(_there(folder)).free / 1e9, 1),
        sqlite=sqlite3.sqlite_version,
        has_fts5=_has_fts5(),
        encoding=sys.stdout.encoding or locale.getpreferredencoding(False),
        is_terminal=sys.stdout.isatty(),
    )


def _there(folder: Path) -> Path:
    """The folder, or the first above it that exists."""
    return next(one for one in (folder, *folder.absolute().parents) if one.is_dir())


def _write_problem(folder: Path) -> str:
    try:
        if folder.exists() and not folder.is_dir():
            return "it is a file"
        with tempfile.TemporaryFile(dir=_there(folder)):
            return ""
    except OSError as error:
        return error.strerror or in_words(error)


def _has_fts5() -> bool:
    try:
        with sqlite3.connect(":memory:") as memory:
            memory.execute("create virtual table t using fts5(x)")
        return True
    except sqlite3.Error:
        return False


# -- keys and the Hub ----------------------------------------------------------------------------------------


def _keys() -> list[Key]:
    """The usual variables of all services, as their classes name them."""
    used: dict[str, list[str]] = {}
    for group in _GROUPS:
        prefix = registry.POINTS[group].prefix
        for provider in registry.providers(group):
            name = f"{prefix}/{provider}" if prefix else f"{provider}/"
            if (variable := _variable(group, name)) and name not in used.get(variable, ()):
                used.setdefault(variable, []).append(name)
    used |= {variable: [what] for variable, what in _OTHERS.items()}
    return [Key(name, _state(name), tuple(models)) for name, models in sorted(used.items())]


def _variable(group: str, name: str) -> str:
    try:
        maker = registry.resolve(group, name if "/" in name.strip("/") else f"{name}x")
        option = inspect.signature(maker).parameters.get("api_key_env")
    except (InputError, TypeError, ValueError):  # a plugin, or an extra, that is not there
        return ""
    return option.default if option is not None and isinstance(option.default, str) else ""


def _state(variable: str) -> str:
    value = os.environ.get(variable)
    return "not set" if value is None else "set" if value.strip() else "empty"


def _hub() -> str:
    """What the Hub answers to a request for its page, and in how many seconds."""
    address = os.environ.get("HF_ENDPOINT", "").strip() or HUB
    began = time.monotonic()
    try:
        with urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=10) as answer:
            said = f"reachable: HTTP {answer.status}"
    except urllib.error.HTTPError as error:
        said = f"reachable: HTTP {error.code}"
    except (OSError, ValueError) as error:
        return f"not reachable: {in_words(error)}"
    return f"{said} in {time.monotonic() - began:.1f} s"


# -- what is wrong -------------------------------------------------------------------------------------------


def _problems(machine: Machine, extras: Sequence[Extra], hub: str | None) -> list[str]:
    """An extra that is not installed is no problem; one that is there and does not work is."""
    found = []
    for extra in extras:
        for one in extra.packages:
            if one.state == "broken":
                found.append(
                    f"{one.name} {one.version} is there and cannot be imported ({one.why}): {extra.command}"
                )
            elif one.state == "other version":
                found.append(
                    f"{one.name} {one.version} is installed, {one.wanted} is needed: {extra.command}"
                )
            elif one.state == "missing" and not extra.name:
                found.append(f"{one.name} is missing: {extra.command}")
    if machine.folder_problem:
        found.append(
            f"nothing can be written to {machine.folder}: {machine.folder_problem}. Name a folder with --out"
        )
    if hub is not None and not hub.startswith("reachable"):
        found.append(f"the Hub is {hub}. Models and data sets must lie in folders or in its cache")
    return found
