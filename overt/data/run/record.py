"""`run.json`, the identity of a run. A record of schema 1 has these parts:

    kind, overt   the command that made the run, and the version of overt
    policy        name, version and hash of the effective policy (the policy itself is in policy.yaml)
    config        the options that decide the outcome, by their field's name
    inputs        hashes of the input files, and other content of files that was read at the start
    given         options whose files count by content, not by name (a folder of templates, a product)

`upgraded` reads the format of overt 0.1.0, which had no `schema`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from overt.data.errors import InputError
from overt.data.json_types import Json, JsonObject
from overt.data.run.files import read_json

SCHEMA = 1
FILE = "run.json"

# Of the inputs of a run that was made of another tool's log: which tool's.
LOG = "log"
# Of the inputs of a run of many turns: its environment.
ENVIRONMENT = "environment"


@dataclass(frozen=True)
class PolicyRef:
    """The policy of a run; the policy itself is in the run folder."""

    name: str = ""
    version: str = ""
    hash: str = ""

    def to_json(self) -> dict[str, Json]:
        return {"name": self.name, "version": self.version, "hash": self.hash}


@dataclass(frozen=True)
class RunRecord:
    """The content of one `run.json`."""

    kind: str
    overt: str
    policy: PolicyRef = field(default_factory=PolicyRef)
    config: JsonObject = field(default_factory=dict)
    inputs: JsonObject = field(default_factory=dict)
    given: JsonObject = field(default_factory=dict)

    def identity(self) -> dict[str, Json]:
        """The parts that are equal for the same run: all but `given`."""
        return {
            "kind": self.kind,
            "overt": self.overt,
            "policy": self.policy.to_json(),
            "config": self.config,
            "inputs": self.inputs,
        }

    def to_json(self) -> dict[str, Json]:
        return {"schema": SCHEMA, **self.identity(), "given": self.given}

    def value(self, name: str) -> Json:
        """An option's value from `config` or `given`, or None."""
        return self.config[name] if name in self.config else self.given.get(name)

    def part(self, name: str) -> JsonObject:
        """A mapping among the inputs, or an empty one."""
        part = self.inputs.get(name)
        return part if isinstance(part, Mapping) else {}


def read_record(folder: Path) -> RunRecord | None:
    """Reads a folder's `run.json`. Returns None if the file does not exist.

    Raises:
        InputError: the file cannot be read, or is of a newer version of overt.
    """
    path = folder / FILE
    if not path.exists():
        return None
    data: JsonObject = read_json(path)
    schema = data.get("schema")
    if schema is None:
        return upgraded(data)
    if schema != SCHEMA:
        raise InputError(
            f"run.json has schema {schema}; this overt reads {SCHEMA} and older ones",
            where=str(path),
            fix="Use the version of overt that made the run, or a newer one.",
        )
    config, inputs, given = (_object(data, name, path) for name in ("config", "inputs", "given"))
    return RunRecord(str(data.get("kind")), str(data.get("overt", "")), _policy(data), config, inputs, given)


def _object(data: JsonObject, name: str, path: Path) -> JsonObject:
    found = data.get(name)
    if not isinstance(found, Mapping):
        raise InputError(f"{name} is missing or is not a JSON object", where=str(path))
    return found


def _policy(data: JsonObject) -> PolicyRef:
    found = data.get("policy")
    part = found if isinstance(found, Mapping) else {}
    return PolicyRef(*(str(part.get(name, "")) for name in ("name", "version", "hash")))


# -- the format of overt 0.1.0 --------------------------------------------------------------------------


def upgraded(data: JsonObject) -> RunRecord:
    """The record of a `run.json` of overt 0.1.0, without the fields that it lacks."""
    kind = str(data.get("kind"))
    read = {"generate": _of_generate, "run": _of_run}.get(kind)
    config, inputs, given = read(data) if read is not None else ({}, {}, {})
    return RunRecord(kind, str(data.get("overt", "")), _policy(data), config, inputs, given)


_Parts = tuple[dict[str, Json], dict[str, Json], dict[str, Json]]
_SAME_IN_GENERATE = (
    *("model", "probe", "seed", "per_seed", "oversample", "rounds", "samples", "encoder", "rejected"),
)
_SAME_IN_RUN = ("label", "limit", "every_layer", "samples", "seed", "min_coverage")
_OF_ANSWERS = ("judge", "system", "max_tokens", "temperature")


def _taken(data: JsonObject, names: tuple[str, ...]) -> dict[str, Json]:
    return {name: data[name] for name in names if name in data}


def _sources(data: JsonObject, name: str) -> tuple[list[Json], list[Json]]:
    """The sources and the hashes in a list of {"spec", "hash"}."""
    rows = data.get(name)
    found = [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []
    return [row.get("spec") for row in found], [row.get("hash") for row in found]


def _of_generate(data: JsonObject) -> _Parts:
    config = _taken(data, _SAME_IN_GENERATE)
    if "judges" in data:
        config["judge"] = data["judges"]
    seeds = data.get("seeds")
    seeds = seeds if isinstance(seeds, Mapping) else {}
    config |= {"seeds": seeds.get("spec"), "max_seeds": seeds.get("limit")}
    config["against"], against = _sources(data, "against")
    inputs: dict[str, Json] = {"seeds": seeds.get("hash"), "against": against}
    inputs["templates"] = data.get("templates", {})
    return config, inputs, {}


def _of_run(data: JsonObject) -> _Parts:
    config = _taken(data, _SAME_IN_RUN)
    config["category"] = data.get("only", [])
    config["dataset"], hashes = _sources(data, "datasets")
    suite = data.get("suite")
    suite = suite if isinstance(suite, Mapping) else {}
    config["suite"] = suite.get("name")
    is_text = isinstance(data.get("text"), Mapping)
    answers = data.get("text") or data.get("answers")
    answers = answers if isinstance(answers, Mapping) else {}
    config |= {"judge": "judge/rules", **_taken(answers, _OF_ANSWERS)}  # 0.1.0 left this one out
    inputs: dict[str, Json] = {
        "dataset": hashes,
        "suite": suite.get("hash"),
        "targets": data.get("targets", []),
        "template": answers.get("template"),
        "modality": "text" if is_text else "image",
    }
    return config, inputs, _named_targets(data.get("targets"))


def _named_targets(targets: Json) -> dict[str, Json]:
    """The --target, --filter and --checker of these targets; empty if no such options give them all, as for
    two products with different filters."""
    rows = [row for row in targets if isinstance(row, Mapping)] if isinstance(targets, list) else []
    names: list[Json] = []
    around: set[tuple[tuple[str, ...], tuple[str, ...]]] = set()
    for row in rows:
        filters, checkers = (_names(row, part) for part in ("filters", "checkers"))
        target = row.get("target")
        if not isinstance(target, str):  # filters alone: the last one was the target
            filters, target = filters[:-1], filters[-1] if filters else ""
        elif product := _product(row, (*filters, target, *checkers)):
            filters, checkers, target = (), (), product
        names.append(target)
        around.add((filters, checkers))
    if len(around) != 1:
        return {}
    ((filters, checkers),) = around
    return {"target": names, "filter": list(filters), "checker": list(checkers)}


def _names(row: JsonObject, part: str) -> tuple[str, ...]:
    found = row.get(part)
    return tuple(str(name) for name in found) if isinstance(found, list) else ()


def _product(row: JsonObject, parts: tuple[str, ...]) -> str:
    """`guarded/FILE` if a target came from a product's YAML file, else ""."""
    if row.get("name") in (row.get("target"), f"guarded/{'+'.join(parts)}"):
        return ""
    files = row.get("files")
    names = files if isinstance(files, Mapping) else {}
    return next((f"guarded/{name}" for name in names if name.endswith((".yaml", ".yml"))), "")
