"""`overt schema`: the JSON Schema of a file that overt writes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, ClassVar

from overt.cli.options import command
from overt.data.errors import InputError
from overt.data.results.board import Leaderboard
from overt.data.results.calibration import Calibration
from overt.data.results.comparison import Comparison
from overt.data.results.episodes import EpisodesSummary
from overt.data.results.explanation import Explanation
from overt.data.results.plan import Plan
from overt.data.results.remedy import Remedy
from overt.data.results.summary import Summary
from overt.data.typed_json import json_schema
from overt.tasks.config import Config, Option

RECORDS: Mapping[str, type[object]] = {
    "summary": Summary,
    "rewrite": Remedy,
    "explain": Explanation,
    "calibrate": Calibration,
    "episodes": EpisodesSummary,
    "compare": Comparison,
    "leaderboard": Leaderboard,
    "plan": Plan,
}


class SchemaConfig(Config):
    kind: ClassVar[str] = "schema"

    of: Annotated[
        str,
        Option(
            "summary, rewrite, explain, calibrate, episodes, compare, leaderboard or plan.",
            is_argument=True,
            metavar="FILE",
        ),
    ] = "summary"


@command(SchemaConfig)
def schema(config: SchemaConfig) -> None:
    """The fields of results/summary.json, with their types and what they mean:

        overt schema > summary.schema.json

    The same of results/rewrite.json, results/explain.json, results/calibration.json and
    results/episodes.json, of what `overt compare --json` prints, of leaderboard.json and of plan.json:

        overt schema rewrite > rewrite.schema.json

    A summary names the version of its schema in its field `schema`. For policies: overt policies schema.
    """
    if config.of not in RECORDS:
        raise InputError(f"there is no schema of {config.of!r}", fix=f"There are: {', '.join(RECORDS)}")
    print(json.dumps(json_schema(RECORDS[config.of]), indent=2))
