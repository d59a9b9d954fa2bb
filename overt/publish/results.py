"""Tables of a run of `overt run`: one config per target, and nothing unsafe in the open ones."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence

from overt.data.export import SPLIT
from overt.data.json_types import Json
from overt.data.outcomes import Harm, Outcome
from overt.data.records import Prompt, to_json
from overt.publish.tables import Column, Table, whole

_HEAD = (
    Column("id", "text", "hash of target, prompt and sample: the same in every run"),
    Column("prompt_id", "text", "hash of the prompt's text"),
    Column("prompt", "text", "what was asked"),
    Column("category", "text", "category of the policy"),
    Column("label", "text", "benign or unsafe under the policy"),
    Column("target", "text", "what was asked for it, as provider/model"),
    Column("sample", "integer", "number of the draw, from 0"),
    Column("state", "text", "generated, refused, softened or error (errors are missing, never refusals)"),
    Column(
        "stage",
        "text",
        "where it was refused or softened: prompt_filter, input_filter, model or image_filter",
    ),
    Column("code", "text", "why, in one word: the provider's code, a checker's name, the kind of error"),
    Column("evidence", "text", "what that rests on"),
)
# Only where a prompt carries such a thing. The names are those that a table of prompts is read by.
_CARRIED = (
    Column("input_image", "image", "the picture that went with the prompt, re-encoded; null for none"),
    Column("turns", "turns", "what was said before the prompt; empty for nothing"),
)
_IMAGE = (Column("image", "image", "the first picture, re-encoded without metadata; null for none"),)
_MORE = (Column("further_images", "images", "the pictures after the first"),)
_TAIL = (
    Column("withheld", "flag", "a judge found the answer harmful: its pictures and words are not here"),
    Column("text", "text", "text that came instead of a picture or beside it"),
    Column("revised_prompt", "text", "what the provider says it drew instead; null where it does not say"),
    Column("score", "number", "the highest score of a layer, 0 to 1; null for none"),
    Column("seed", "integer", "the seed it was drawn with"),
    Column("layers", "layers", "what each layer of a product said"),
    Column("harm", "text", "the judges' majority on what was handed out; null where none was asked"),
    Column("harm_votes", "votes", "each judge's vote"),
    Column("latency_s", "number", "seconds of the last attempt"),
    Column("cost", "number", "US dollars"),
)


def result_tables(
    prompts: Sequence[Prompt], outcomes: Sequence[Outcome], harms: Sequence[Harm], *, apart: bool = True
) -> tuple[list[Table], list[Table]]:
    """Returns the open and the gated configs, one per target each.

    Rows of benign prompts are open. If a judge found the response to one harmful, the open row loses its
    pictures and texts, and the full row is gated, so that rates over the open rows do not change.

    Args:
        apart: False puts all full rows into the open configs.
    """
    by_id = {prompt.id: prompt for prompt in prompts}
    judged = {harm.outcome_id: harm for harm in harms}
    for_all: dict[str, list[dict[str, Json]]] = {}
    gated: dict[str, list[dict[str, Json]]] = {}
    for outcome in outcomes:
        prompt = by_id.get(outcome.prompt_id)
        if prompt is None:
            continue
        harm = judged.get(outcome.id)
        row = _row(prompt, outcome, harm)
        # One vote is enough: what is published cannot be taken back.
        harmful = harm is not None and any(vote.label == "harmful" for vote in harm.votes)
        if not apart:
            for_all.setdefault(outcome.target, []).append(row)
            continue
        if prompt.label != "benign" or harmful:
            gated.setdefault(outcome.target, []).append(row)
        if prompt.label == "benign":
            for_all.setdefault(outcome.target, []).append(_withheld(row) if harmful else row)
    names = _configs(dict.fromkeys(outcome.target for outcome in outcomes))
    return _tables(for_all, names), _tables(gated, names)


def _row(prompt: Prompt, outcome: Outcome, harm: Harm | None) -> dict[str, Json]:
    first, *more = outcome.images or (None,)
    row = {
        "id": outcome.id,
        "prompt_id": prompt.id,
        "prompt": prompt.text,
        "input_image": prompt.image,
        "turns": [to_json(turn) for turn in prompt.turns or ()],
        "category": prompt.category,
        "label": prompt.label,
        "target": outcome.target,
        "sample": outcome.sample,
        "state": outcome.state,
        "stage": outcome.stage,
        "code": outcome.code,
        "evidence": outcome.evidence,
        "image": first,
        "further_images": list(more),
        "withheld": False,
        "text": outcome.text,
        "revised_prompt": outcome.revised_prompt,
        "score": outcome.score,
        "seed": outcome.seed,
        "layers": [to_json(layer) for layer in outcome.layers],
        "harm": harm.label if harm else None,
        "harm_votes": [to_json(vote) for vote in harm.votes] if harm else [],
        "latency_s": outcome.latency_s,
        "cost": outcome.cost,
    }
    found: dict[str, Json] = whole(row)
    return found


def _withheld(row: Mapping[str, Json]) -> dict[str, Json]:
    quiet: dict[str, Json] = {
        "text": "",
        "revised_prompt": None,
        "evidence": "",
        "further_images": [],
        "image": None,
    }
    given = row["harm_votes"]
    votes = (
        [{**vote, "reason": ""} for vote in given if isinstance(vote, Mapping)]
        if isinstance(given, list)
        else []
    )
    return {**row, **quiet, "harm_votes": votes, "withheld": True}


def _tables(rows: Mapping[str, list[dict[str, Json]]], names: Mapping[str, str]) -> list[Table]:
    """Columns for pictures only where there are any: a bare filter draws nothing."""
    tables = []
    for target, found in rows.items():
        drawn = any(row["image"] is not None for row in found)
        several = any(row["further_images"] for row in found)
        carried = (column for column in _CARRIED if any(row[column.name] for row in found))
        columns = (*_HEAD, *carried, *(_IMAGE if drawn else ()), *(_MORE if several else ()), *_TAIL)
        kept = [column.name for column in columns]
        plain = tuple({name: row[name] for name in kept} for row in found)
        tables.append(Table(names[target], SPLIT, columns, plain))
    return tables


def _configs(targets: Iterable[str]) -> dict[str, str]:
    """`openai/gpt-image-1` as `results-openai-gpt-image-1`; two targets never share a name."""
    named: dict[str, str] = {}
    for target in targets:
        name = "results-" + (re.sub(r"[^A-Za-z0-9.]+", "-", target).strip("-.") or "target")
        if len(name) > 80 or name in named.values():
            tail = hashlib.blake2b(target.encode("utf-8", "replace"), digest_size=4).hexdigest()
            name = f"{name[:70]}-{tail}"
        named[target] = name
    return named
