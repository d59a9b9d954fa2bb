"""What the card of a generated data set says of its making."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from overt.data.account import STAGES
from overt.data.json_types import Json
from overt.data.run_record import RunRecord
from overt.tasks.generate_stages import Making


def card_of(
    record: RunRecord, making: Making, *, judges: tuple[str, ...], distinct_2: float | None
) -> dict[str, Json]:
    """The keys that `overt.data.export.export_dataset` takes.

    Args:
        judges: who audited.
        distinct_2: share of distinct word pairs in the benign prompts, 0 to 1.
    """
    policy = making.policy
    writer = str(record.value("model"))
    is_audited = any(judge.label is None for judge in making.roles.judges)
    seeds = record.value("seeds")
    columns, rows = stage_table(making.account.table([c.id for c in policy.categories]))
    said_by_warnings = ("no model has audited", "the writer audited")
    return {
        "policy": {**record.policy.to_json(), "modality": policy.modality},
        "writer": writer,
        "judges": list(judges),
        "audited": is_audited,
        "same_model": writer in judges and is_audited,
        "surrogate": record.value("probe"),
        "dedupe": dataclasses.asdict(making.index) if making.index else {},
        "diversity": {"distinct-2 of the benign prompts": distinct_2} if distinct_2 else {},
        "stage_columns": columns,
        "stages": rows,
        "seeds": f"{seeds} (hash {record.inputs.get('seeds')})" if seeds else None,
        "version": f"overt {record.overt}",
        "command": "overt generate (every argument is in run.json of the run)",
        "notes": [note for note in making.work.notes if not note.startswith(said_by_warnings)],
    }


def stage_table(stages: list[dict[str, Json]]) -> tuple[list[str], list[list[Json]]]:
    """The account as a table: its heads, and a row for each category with "in / out" for each stage."""
    used = [s for s in STAGES if any(s in row for row in stages)]

    def cell(flow: Json) -> str:
        return f"{flow['in']} / {flow['out']}" if isinstance(flow, Mapping) else ""

    return ["category", *used], [[row["category"], *(cell(row.get(s)) for s in used)] for row in stages]
