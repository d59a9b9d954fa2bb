"""What `overt generate` says of its recipe: what is ours, and the source's counts beside this run's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from overt.data.json_types import Json, JsonObject
from overt.data.run.record import RunRecord
from overt.data.run.stage_counts import StageCounts

_HEADS = ("category", "stage", "what", "published", "this run")


def recipe_facts(
    record: RunRecord, account: StageCounts, counts: Mapping[str, JsonObject]
) -> dict[str, Json]:
    """The recipe's part of the manifest: name, title, source, and rows with the published number and this
    run's, by stage and category; empty without a recipe.

    Args:
        counts: by category the prompts of the data set, "benign" and "unsafe".
    """
    recipe = record.part("recipe")
    if not recipe:
        return {}
    rows: list[Json] = []
    for part in _list(recipe, "published"):
        stage, published = str(part["stage"]), part["counts"]
        assert isinstance(published, Mapping)
        # Without a surrogate all that is new passes on to the selection.
        counted = stage if stage != "probe" or account.entered["probe"].total() else "dedupe"
        here = {category: _here(stage, counted, category, account, counts) for category in counts}
        there = {name: int(str(number)) for name, number in published.items()}
        known = [category for category in counts if category in there]
        lines = [(category, there[category], here[category]) for category in known]
        lines.append(("all", sum(there.values()), sum(here[c] for c in known)))
        rows += [
            {"category": c, "stage": stage, "what": part["title"], "published": number, "here": mine}
            for c, number, mine in lines
        ]
    told = {name: recipe.get(name) for name in ("name", "title", "source", "hash", "ours")}
    return {**told, "counts": rows}


def recipe_card(facts: JsonObject) -> dict[str, Json]:
    """The recipe as the card shows it: a sentence, heads and rows."""
    if not facts:
        return {}
    rows = [
        [row[name] for name in ("category", "stage", "what", "published", "here")]
        for row in _list(facts, "counts")
    ]
    source = f" ({facts['source']})" if facts.get("source") else ""
    said = (
        f"Made by the recipe {facts['name']}: {facts['title']}{source}. Published counts beside this run's:"
    )
    return {"said": said, "columns": list(_HEADS), "rows": rows, "ours": facts["ours"]}


def _here(
    stage: str, counted: str, category: str, account: StageCounts, counts: Mapping[str, JsonObject]
) -> int:
    label = {"select": "benign", "pair": "unsafe"}.get(stage)
    if label is None:
        return account.left[counted][category]
    number = counts[category][label]
    assert isinstance(number, int)
    return number


def _list(data: JsonObject, name: str) -> list[JsonObject]:
    found = data.get(name)
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, Sequence) else []
