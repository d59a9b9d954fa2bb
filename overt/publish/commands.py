"""The command that makes a run again, for its card: no folder of this machine and no key in it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from overt.data.hub import is_hub_id


def generate_command(identity: Mapping[str, Any]) -> str:
    """`overt generate ...` of what `run.json` holds; the policy is the file in the repository."""
    words = ["overt", "generate", "--policy", "policy.yaml", "--model", str(identity["model"])]
    if not words[-1].startswith("builtin/"):
        for judge in identity["judges"]:
            words += ["--judge", judge]
    words += _differing(
        ("--probe", identity["probe"], None),
        ("--samples", identity["samples"], 8),
        ("--seeds", base_name(identity["seeds"]["spec"] or ""), ""),
        ("--max-seeds", identity["seeds"]["limit"], None),
        ("--per-seed", identity["per_seed"], 3),
        ("--oversample", identity["oversample"], None),
        ("--rounds", identity["rounds"], 5),
        ("--encoder", identity["encoder"], "auto"),
    )
    for other in identity["against"]:
        words += ["--against", base_name(other["spec"])]
    return shlex.join([*words, "--seed", str(identity["seed"])])


def run_command(identity: Mapping[str, Any]) -> str:
    """`overt run ...` of what `run.json` holds; "" where one command cannot say it (products from YAML
    files, a system prompt): better none than one that makes something else."""
    around = {(tuple(t["filters"]), tuple(t["checkers"])) for t in identity["targets"] if t["target"]}
    alone = [t for t in identity["targets"] if not t["target"]]
    text = identity.get("text") or identity.get("answers") or {}
    if len(around) > 1 or (alone and around - {((), ())}) or text.get("system"):
        return ""
    words = ["overt", "run", *(base_name(d["spec"]) for d in identity["datasets"])]
    suite = (identity.get("suite") or {}).get("name")
    words += ["--suite", base_name(suite)] if suite else ["--policy", "policy.yaml"]
    filters, checkers = next(iter(around), ((), ()))
    for option, names in (("--filter", filters), ("--checker", checkers)):
        for name in names:
            words += [option, name]
    for target in identity["targets"]:
        parts = [*target["filters"], *([target["target"]] if target["target"] else []), *target["checkers"]]
        if target["name"] not in (target["target"], f"guarded/{'+'.join(parts)}"):
            return ""
        if not target["target"] and len(parts) > 1:
            return ""
        words += ["--target", target["target"] or parts[0]]
    words += _differing(
        ("--label", identity["label"], None),
        ("--limit", identity["limit"], None),
        ("--samples", identity["samples"], 1),
        # A suite has a judge of its own, so there it is always said which one it was.
        ("--judge", text.get("judge"), "" if suite else "judge/rules"),
        ("--max-tokens", text.get("max_tokens"), 512),
        ("--temperature", text.get("temperature"), 0.0),
    )
    for category in identity["only"]:
        words += ["--category", category]
    if identity["every_layer"]:
        words.append("--every-layer")
    return shlex.join([*words, "--seed", str(identity["seed"])])


def base_name(spec: str) -> str:
    """A file's name without its folders, which may name people; a Hub id as it is."""
    if not spec or (is_hub_id(spec) and not Path(spec).exists()):
        return spec
    return spec.rstrip("/\\").replace("\\", "/").rpartition("/")[2]


def _differing(*options: tuple[str, Any, Any]) -> list[str]:
    """Those that differ from their default."""
    return [
        word
        for option, value, default in options
        if value is not None and value != default
        for word in (option, str(value))
    ]
