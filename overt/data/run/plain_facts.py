"""Facts of a finished run as plain dicts, in the format that overt 0.1.0 had, which programs read."""

from __future__ import annotations

from collections.abc import Mapping

from overt.data.json_types import Json
from overt.data.run.finished import Run
from overt.data.run.record import RunRecord


def manifest_of(run: Run) -> dict[str, Json]:
    """The manifest of a complete run as plain data, with its identity in the format of overt 0.1.0."""
    return {**run.manifest_data, "identity": flat_identity(run.record)}


def flat_identity(record: RunRecord) -> dict[str, Json]:
    """The `run.json` of overt 0.1.0 for a record."""
    head: dict[str, Json] = {
        "kind": record.kind,
        "overt": record.overt,
        "policy": record.policy.to_json(),
    }
    value = record.value
    if record.kind == "generate":
        return {
            **head,
            **{name: value for name, value in record.config.items() if name not in ("judge", "max_seeds")},
            "judges": value("judge") or [],
            "seeds": {
                "spec": value("seeds"),
                "hash": record.inputs.get("seeds"),
                "limit": value("max_seeds"),
            },
            "against": _pairs(record, "against"),
            "templates": record.part("templates"),
        }
    answers = {name: value(name) for name in ("judge", "system", "max_tokens", "temperature")}
    is_text = record.inputs.get("modality") == "text"
    told = {"judge": "judge/rules", "system": "", "max_tokens": 512, "temperature": 0.0}
    text: Mapping[str, Json] = {**answers, "template": record.inputs.get("template")}
    suite = value("suite")
    return {
        **head,
        **{name: value(name) for name in ("label", "limit", "every_layer", "samples", "seed")},
        "min_coverage": value("min_coverage"),
        "only": value("category") or [],
        "datasets": _pairs(record, "dataset"),
        "targets": record.inputs.get("targets", []),
        "suite": None if suite is None else {"name": suite, "hash": record.inputs.get("suite")},
        "text": text if is_text else None,
        **({"answers": text} if not is_text and any(answers[n] not in (None, told[n]) for n in told) else {}),
    }


def _pairs(record: RunRecord, name: str) -> list[Json]:
    specs, hashes = record.value(name), record.inputs.get(name)
    if not isinstance(specs, list) or not isinstance(hashes, list):
        return []
    return [{"spec": spec, "hash": digest} for spec, digest in zip(specs, hashes, strict=False)]
