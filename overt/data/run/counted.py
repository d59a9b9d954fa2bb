"""Whether the summary of a run is still that of its records, so that nobody need count them again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import overt
from overt.data.json_types import Json
from overt.data.results import likeness
from overt.data.run.files import digest
from overt.data.run.finished import RESULTS, Run

# What a summary is made of, and the summary itself.
_FILES = (
    "policy.yaml",
    "stages/prompts.jsonl",
    "stages/outcomes.jsonl",
    f"{RESULTS}/harm.jsonl",
    f"{RESULTS}/{likeness.FILE}",
    f"{RESULTS}/summary.json",
)


def counted_from(folder: Path) -> dict[str, Json]:
    """What the manifest of a run says of its summary, which was just written: the version of overt that made
    it, and the hashes of its files."""
    files: dict[str, Json] = {name: digest(folder / name) for name in _FILES if (folder / name).exists()}
    return {"overt": overt.__version__, "files": files}


def is_counted(run: Run) -> bool:
    """Whether this version of overt made the summary of a complete run of these very records."""
    known = run.manifest_data.get("counted")
    # The version first: to hash a large run takes seconds.
    if not isinstance(known, Mapping) or known.get("overt") != overt.__version__:
        return False
    return bool(known == counted_from(run.folder))
