"""Tables of a run of `overt generate`: one config of benign prompts, one of unsafe ones."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Literal

from overt.data.export import COLUMNS, SPLIT, VERSION_COLUMNS
from overt.data.json_types import Json, JsonObject
from overt.data.prompts import Side
from overt.publish.tables import Column, Kind, Table, whole

Layout = Literal["own", "overt"]
Rows = Sequence[JsonObject]

_KINDS: dict[str, Kind] = {"judges": "texts", "probe_rate": "number"}
_OWN = tuple(Column(name, _KINDS.get(name, "text"), meaning) for name, meaning in COLUMNS)
_VERSIONS = tuple(Column(name, "text", meaning) for name, meaning in VERSION_COLUMNS)

# As in the published data set (yixiaoh/OVERT).
_PUBLISHED_SPLIT = "default"
_SEED = Column("seed_prompt", "text", "the text that it was made from; null where there was none")
_TAIL = (
    Column("category", "text", "category of the policy"),
    Column("generation_type", "text", "direct_generation, or converted_from_ and where the seeds come from"),
)
_BENIGN = (_SEED, Column("image_prompt", "text", "the benign prompt"), *_TAIL)
_UNSAFE = (
    _SEED,
    Column("benign_image_prompt", "text", "its benign twin; null where there is none"),
    Column("unsafe_image_prompt", "text", "the unsafe prompt"),
    *_TAIL,
)


def dataset_tables(
    benign: Rows, unsafe: Rows, *, layout: Layout = "own", seeds: Mapping[str, str], source: str = ""
) -> tuple[list[Table], list[Table]]:
    """Returns the configs of benign and of unsafe prompts. A side without rows gives none, since `datasets`
    cannot load an empty config.

    Args:
        benign, unsafe: rows as `overt.data.export` writes them to JSONL.
        layout: "overt" gives the columns, the config names and the split of the published data set.
        seeds: text of each seed by id; for "overt" only.
        source: what the run named as its seeds; for "overt" only.
    """
    if layout == "own":
        columns = _OWN + (_VERSIONS if any(row.get("variant_of") for row in benign) else ())
        return (
            _table("overt-benign", SPLIT, columns, benign, "benign", "text"),
            _table("overt-unsafe", SPLIT, _OWN, unsafe, "unsafe", "text"),
        )
    benign = [row for row in benign if not row.get("variant_of")]  # the published layout has none
    twins = {str(row["pair_id"]): row["text"] for row in benign if row.get("pair_id")}
    origin = _origin(source)

    def published(row: JsonObject, texts: dict[str, Json]) -> dict[str, Json]:
        converted = row.get("strategy") == "convert"
        return {
            "seed_prompt": seeds.get(str(row.get("seed_id") or "")),
            **texts,
            "category": row["category"],
            "generation_type": f"converted_from_{origin}" if converted else "direct_generation",
        }

    return (
        _table(
            "overt-full",
            _PUBLISHED_SPLIT,
            _BENIGN,
            [published(row, {"image_prompt": row["text"]}) for row in benign],
            "benign",
            "image_prompt",
        ),
        _table(
            "overt-unsafe",
            _PUBLISHED_SPLIT,
            _UNSAFE,
            [
                published(
                    row,
                    {
                        "benign_image_prompt": twins.get(str(row.get("pair_id"))),
                        "unsafe_image_prompt": row["text"],
                    },
                )
                for row in unsafe
            ],
            "unsafe",
            "unsafe_image_prompt",
        ),
    )


def _table(
    config: str, split: str, columns: tuple[Column, ...], rows: Rows, side: Side, prompt: str
) -> list[Table]:
    names = [column.name for column in columns]
    kept = tuple({name: whole(row.get(name)) for name in names} for row in rows)
    return [Table(config, split, columns, kept, side, prompt)] if kept else []


def _origin(source: str) -> str:
    """`allenai/wildguardmix:prompt` and `seeds/wildguardmix.csv` as `wildguardmix`."""
    name = PurePath(re.sub(r"(?<=.{2}):[^:/\\]*$", "", source)).stem
    return re.sub(r"[^a-z0-9]+", "_", name.casefold()).strip("_") or "seeds"
