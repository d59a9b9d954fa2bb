"""Loads a policy by name or file, resolves `extends`, and writes a policy as YAML.

All problems are reported at once, so that the user can fix them in one go.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from pathlib import Path

import yaml
from pydantic import ValidationError

from overt.data.json_types import JsonObject
from overt.data.yaml.problems import Problem, Problems, nearest, shorten
from overt.data.yaml.schema import json_schema, similar_file
from overt.data.yaml.tree import MAX_BYTES
from overt.data.yaml.values import mark_of
from overt.policies.checks import check
from overt.policies.problems import PolicyError
from overt.policies.schema import Category, Policy, Trigger
from overt.policies.source import Draft, PolicySource, merge, read_source

# -- the schema for editors ----------------------------------------------------------------------------------


def policy_json_schema() -> JsonObject:
    """The schema of a policy file: `extends`, `add`, `drop` and `defaults` included."""
    return json_schema(PolicySource, "policy")


# -- loading -------------------------------------------------------------------------------------------------


__all__ = [
    "STANDARD",
    "PolicyError",
    "Problem",
    "Source",
    "dump_policy",
    "load_policy",
    "policy_of",
    "policy_source",
    "read_policy",
    "shipped_policies",
]

MAX_EXTENDS = 16
# The shipped policy that prompts which ask for this are judged by, where nobody names one.
STANDARD = {"text": "chat_assistant", "image": "overt"}


@dataclass(frozen=True, slots=True)
class Source:
    """The bytes of a policy file. `label` is its name in messages and `key` identifies it. Paths in its
    `extends` are relative to `folder`, which is None for a shipped policy."""

    label: str
    key: str
    data: bytes
    folder: Path | None


def shipped_policies() -> list[str]:
    """The names of the policies in the package, sorted, `overt` first."""
    folder = resources.files("overt.policies")
    names = [entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")]
    return sorted(names, key=lambda n: (n != "overt", n))


def policy_source(name_or_path: str, folder: Path | None = None) -> Source:
    """Reads the file of a name or a path.

    A shipped name wins over a file of that name in the folder; write `./name` for the file. Anything with
    a slash, or ending in .yaml or .yml, is a path, relative to `folder` (default: the working folder).

    Raises:
        PolicyError: the file does not exist or cannot be read.
    """
    shipped = shipped_policies()
    is_path = "/" in name_or_path or os.sep in name_or_path or name_or_path.endswith((".yaml", ".yml"))
    if not is_path and name_or_path in shipped:
        entry = resources.files("overt.policies") / f"{name_or_path}.yaml"
        return Source(f"{name_or_path} (shipped)", f"shipped:{name_or_path}", entry.read_bytes(), None)
    try:
        path = (folder or Path()) / Path(name_or_path).expanduser()
        if is_path or path.is_file():
            return _read_file(path)
    except (ValueError, RuntimeError) as error:  # a NUL in the name, or an unknown ~user
        raise _no_file(shorten(name_or_path), f"this cannot be a path: {error}") from error
    except FileNotFoundError as error:
        raise _no_file(name_or_path, "there is no such file", _similar_file(path, shipped)) from error
    except IsADirectoryError as error:
        raise _no_file(name_or_path, "this is a folder, expected a policy file") from error
    except OSError as error:
        raise _no_file(shorten(name_or_path), f"cannot be read: {error.strerror or error}") from error
    hint = nearest(name_or_path, shipped, "shipped policies")
    raise _no_file(
        shorten(name_or_path) or "''",
        "no shipped policy has this name, and no file",
        f"{hint} A file: ./my.yaml",
    )


def _read_file(path: Path) -> Source:
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    return Source(str(path), str(path.resolve()), data, path.parent)


def _no_file(label: str, message: str, hint: str = "") -> PolicyError:
    return PolicyError([Problem(0, 0, "", message, hint, label)])


def _similar_file(path: Path, shipped: list[str]) -> str:
    if path.stem in shipped:
        return f"for the shipped policy write its name alone: {path.stem}"
    return similar_file(path) or "overt policies list shows the shipped ones"


def load_policy(name_or_path: str) -> Policy:
    """The effective policy of a shipped name or a file: `extends` resolved, all defaults filled in.

    Raises:
        PolicyError: the policy does not exist or cannot be used; the error holds every problem.
    """
    source = policy_source(name_or_path)
    if source.folder is None:
        return _shipped(name_or_path)
    # Each run has a copy of its policy, and most have the same one.
    return _effective(source) if b"extends" in source.data else _whole(_Whole(source.data, source))


def policy_of(name_or_path: str | None, datasets: Sequence[str], modality: str) -> Policy:
    """The policy named, else the one that a data set was generated for, else the standard one.

    Args:
        modality: what that is for, a key of `STANDARD`.

    Raises:
        PolicyError: as `load_policy`.
    """
    if name_or_path is not None:
        return load_policy(name_or_path)
    for dataset in datasets:
        if (file := Path(dataset) / "policy.yaml").is_file():
            return load_policy(str(file))
    return load_policy(STANDARD[modality])


@lru_cache(maxsize=32)
def _shipped(name: str) -> Policy:
    return _effective(policy_source(name))


@dataclass(frozen=True, slots=True)
class _Whole:
    """A file that extends no other: what it says hangs on its bytes alone, its place is for messages."""

    data: bytes
    source: Source = field(compare=False)


@lru_cache(maxsize=16)
def _whole(file: _Whole) -> Policy:
    return _effective(file.source)


def _effective(source: Source) -> Policy:
    problems = Problems()
    draft = _resolve(source, problems, ())
    if problems.found or draft is None:
        raise PolicyError(problems.found)
    try:
        return draft.build()
    except ValidationError as error:  # a safety net: the checks above should report everything
        wrong = [(".".join(map(str, e["loc"])), e["msg"]) for e in error.errors()]
        raise PolicyError([Problem(1, 1, *told, "", source.label) for told in wrong]) from error


def _resolve(source: Source, problems: Problems, chain: tuple[Source, ...]) -> Draft | None:
    """Merges a file with its base and checks the result. Returns None if too little can be read."""
    own = read_source(source.data, source.label, problems)
    if own is None:
        return None
    base: Draft | None = None
    if own.names("extends"):
        base = _base(own, source, problems, (*chain, source))
        if base is None:
            check(merge(own, None, Problems()), problems, complete=False)
            return None
    before = len(problems.found)
    draft = merge(own, base, problems)
    check(draft, problems, complete=base is None or len(problems.found) == before)
    return draft


def _base(own: PolicySource, source: Source, problems: Problems, chain: tuple[Source, ...]) -> Draft | None:
    """The draft of a file's base. Reports a base that cannot be used and returns None."""
    name = own.extends
    if not name:  # not a text, which `read_source` reported
        return None
    base = _base_source(name, source, chain)
    if isinstance(base, tuple):
        problems.add(mark_of(name), "extends", *base)
        return None
    inner = Problems()
    draft = _resolve(base, inner, chain)
    problems.found += inner.found
    return None if inner.found else draft


def _base_source(name: str, source: Source, chain: tuple[Source, ...]) -> Source | tuple[str, str]:
    """The base of a file, or the message and the hint of a problem."""
    shipped = shipped_policies()
    if source.folder is None and name not in shipped:
        hint = nearest(name, shipped, "shipped policies")
        return f"a shipped policy can extend only another, found {str(name)!r}", hint
    try:
        base = policy_source(name, source.folder)
    except PolicyError as error:
        problem = error.problems[0]
        return f"{shorten(name)!r}: {problem.message}", problem.hint
    if base.key in {link.key for link in chain}:
        circle = " -> ".join([*(link.label for link in chain), base.label])
        return f"the policies extend each other in a circle: {circle}", "cut it in one place"
    if len(chain) > MAX_EXTENDS:
        return f"more than {MAX_EXTENDS} policies extend each other in a row", "copy what you need of them"
    return base


def dump_policy(policy: Policy) -> str:
    """The policy as YAML that `load_policy` reads back to an equal policy."""
    data = policy.model_dump(mode="json", exclude={"categories"})
    for name in ("slots", "groups", "editing"):
        if not data[name]:
            del data[name]
    data["categories"] = [_dumped(category) for category in policy.categories]
    text = _yaml(data, getattr(yaml, "CSafeDumper", yaml.SafeDumper))
    # libyaml writes emoji as numbers, which nobody can read; yaml's own writer takes five times as long.
    return _yaml(data, yaml.SafeDumper) if "\\U" in text else text


def _yaml(data: JsonObject, dumper: type) -> str:
    text: str = yaml.dump(
        data, Dumper=dumper, sort_keys=False, allow_unicode=True, width=110, default_flow_style=False
    )
    return text


def _dumped(category: Category) -> dict[str, object]:
    data = category.model_dump(mode="json")
    data["triggers"] = [_dumped_trigger(trigger) for trigger in category.triggers]
    return {name: value for name, value in data.items() if value is not None}


def _dumped_trigger(trigger: Trigger) -> object:
    scenes = [scene.model_dump(mode="json", exclude_none=True) for scene in trigger.scenes]
    data = {**trigger.model_dump(mode="json"), "scenes": scenes}
    kept = {name: value for name, value in data.items() if value}
    return kept if len(kept) > 1 else trigger.term


def read_policy(text: str, label: str) -> Policy:
    """The effective policy in a YAML text. `extends` names a shipped policy, or a file of the working folder.

    Args:
        label: what stands for the file's name in messages.

    Raises:
        PolicyError: it cannot be used; the error holds every problem.
    """
    return _effective(Source(label, f"text:{label}", text.encode(), Path()))
