"""The parts that a saved pipeline names in its `model_index.json`."""

from __future__ import annotations

import json
from pathlib import Path


def left_out(source: str) -> dict[str, None]:
    """The parts that a folder says its pipeline has none of, such as Stable Diffusion 3 without its T5.

    diffusers takes that for a damaged folder unless it is told again, part by part.

    Args:
        source: a folder; of anything else nothing is known.
    """
    try:
        index = json.loads((Path(source) / "model_index.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    named = index.items() if isinstance(index, dict) else ()
    return {part: None for part, kind in named if kind == [None, None]}
