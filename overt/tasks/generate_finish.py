"""The end of `overt generate`: the data set with its card, and the manifest last."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping

from overt.data.json_types import Json
from overt.data.records import Prompt
from overt.data.results.gold import Gold
from overt.data.run.files import speaking_os_errors
from overt.data.run.finished import AllCalls
from overt.data.run.record import RunRecord
from overt.data.run.stage_counts import STAGES
from overt.data.secrets import storable
from overt.policies.schema import Policy
from overt.tasks.generate_gold import gold_facts, notes_of
from overt.tasks.generate_recipe import recipe_card, recipe_facts
from overt.tasks.generate_stages import Making
from overt.tasks.generate_vary import NOT_VARIED, Varied


def finish(
    record: RunRecord,
    making: Making,
    benign: list[Prompt],
    unsafe: list[Prompt],
    short: dict[str, dict[str, int]],
    *,
    judges: tuple[str, ...],
    least: float,
    search: dict[str, Json] | None = None,
    varied: Varied = NOT_VARIED,
) -> None:
    """Writes the data set with its card, and the manifest last.

    Args:
        short: the shortfall of prompts by label and category.
        judges: who audited.
        least: the accuracy on gold items that every judge must reach, 0 to 1.
        search: what the search did, if there was one.
        varied: the versions of benign prompts.
    """
    from overt.data.export import export_dataset
    from overt.scoring.diversity import distinct_n

    work, account, policy = making.work, making.account, making.policy
    writer = str(record.value("model"))
    _warn(making, writer, judges, short)
    gold = _gold(making, judges, least)
    _say_of_calls(making)
    work.folder.write_stage("drops", account.drops)
    work.folder.write_stage("failures", account.failures)
    distinct = distinct_n([p.text for p in benign], 2) if benign else None
    recipe = recipe_facts(record, account, counts := _counts(policy, benign, unsafe))
    facts: dict[str, Json] = {
        "identity": record.to_json(),
        "command": "overt generate",
        "counts": counts,
        "recipe": recipe or None,
        "reused": len(work.caller.reused),
        "short": short,
        "stages": account.table([c.id for c in policy.categories]),
        "reasons": account.why(),
        "why_short": _why_short(making, short),
        "index": dataclasses.asdict(making.index) if making.index else None,
        "encoder": {"asked": record.value("encoder"), "used": making.work.folder.decision("encoder")},
        "encoder_choice": making.encoder_choice,
        "model_audited": any(j.label is None for j in making.roles.judges),
        "same_model": writer in judges,
        "distinct_2": distinct,
        "gold": storable(dataclasses.asdict(gold)),
        **({"search": search} if search is not None else {}),
        **varied.facts(),
    }
    card = card_of(record, making, judges=judges, distinct_2=distinct, gold=gold)
    card |= {"recipe": recipe_card(recipe)}
    folder, prompts = work.folder.path / "dataset", [*benign, *varied.versions]
    with speaking_os_errors("cannot write the dataset"):
        export_dataset(folder, prompts, unsafe, card, audits=making.audits, probes=making.probes)
    work.folder.finish({**facts, **work.facts()})


def _why_short(making: Making, short: dict[str, dict[str, int]]) -> list[str]:
    """What became of the prompts of the categories that have too few."""
    few = {category for missing in short.values() for category in missing}
    return making.account.story(few) if few else []


def _warn(making: Making, writer: str, judges: tuple[str, ...], short: dict[str, dict[str, int]]) -> None:
    """Notes what is missing and what the audit cannot vouch for."""
    for label, missing in short.items():
        for category, count in missing.items():
            making.work.keep(f"{category}: {count} {label} prompts fewer than the policy asks for")
    _warn_about_judges(making, writer, judges)


def _gold(making: Making, judges: tuple[str, ...], least: float) -> Gold:
    """The judges' figures on gold items; their items and answers are written to the run's folder."""
    gold = making.gold.result(judges, least)
    for note in notes_of(gold, [c.id for c in making.policy.categories]):
        making.work.keep(note)
    making.work.folder.write_stage("gold", making.gold.judged)
    making.work.folder.write_stage("gold.audit", making.gold.audits.values())
    return gold


def _counts(policy: Policy, benign: list[Prompt], unsafe: list[Prompt]) -> dict[str, dict[str, Json]]:
    """The prompts of the data set by category and label, without versions."""
    by_label = Counter((p.category, p.label) for p in (*benign, *unsafe))
    return {
        c.id: {"benign": by_label[c.id, "benign"], "unsafe": by_label[c.id, "unsafe"]}
        for c in policy.categories
    }


def _say_of_calls(making: Making) -> None:
    """Notes the calls without an answer, and those that were taken from an earlier run."""
    work, caller = making.work, making.work.caller
    if work.unanswered:
        work.keep(f"{work.unanswered} calls got no answer; the same command asks them again")
    if caller.reused:
        calls = AllCalls.model_validate(caller.stats.snapshot())
        made = calls.requests + calls.cached
        work.keep(f"{len(caller.reused)} of {made} calls were taken from an earlier run, not paid again")


def _warn_about_judges(making: Making, writer: str, judges: tuple[str, ...]) -> None:
    if all(j.label is not None for j in making.roles.judges):
        making.work.keep(f"no model has audited these prompts: {', '.join(judges)} is a check by rules")
    elif judges == (writer,):
        making.work.keep("the writer audited its own prompts; --judge with another model is advised")


def card_of(
    record: RunRecord, making: Making, *, judges: tuple[str, ...], distinct_2: float | None, gold: Gold
) -> dict[str, Json]:
    """The card's values, by the keys that `overt.data.export.export_dataset` takes.

    Args:
        judges: who audited.
        distinct_2: share of distinct word pairs in the benign prompts, 0 to 1.
        gold: the figures of the judges on gold items.
    """
    policy = making.policy
    writer = str(record.value("model"))
    is_audited = any(judge.label is None for judge in making.roles.judges)
    seeds = record.value("seeds")
    columns, rows = stage_table(making.account.table([c.id for c in policy.categories]))
    said_by_warnings = ("no model has audited", "the writer audited", "the audit is not to be trusted")
    return {
        "policy": {**record.policy.to_json(), "modality": policy.asks_for},
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
        "gold": gold_facts(gold),
        "notes": [note for note in making.work.notes if not note.startswith(said_by_warnings)],
    }


def stage_table(stages: list[dict[str, Json]]) -> tuple[list[str], list[list[Json]]]:
    """The stage counts as a table: its heads, and a row for each category with "in / out" for each stage."""
    used = [s for s in STAGES if any(s in row for row in stages)]

    def cell(flow: Json) -> str:
        return f"{flow['in']} / {flow['out']}" if isinstance(flow, Mapping) else ""

    return ["category", *used], [[row["category"], *(cell(row.get(s)) for s in used)] for row in stages]
