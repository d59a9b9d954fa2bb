"""A tiny text-to-image world with weights of its own: for trying the tool and for tests, never a benchmark.

What it is and how it was made stands in README.txt beside this file.
"""

from __future__ import annotations

from pathlib import Path

# The models' folders; a target, a CLIP and a checker take them as they are.
MODELS = ("pipeline", "clip", "checker")
_FILES = {"policy": "policy.yaml", "words": "filter_words.txt"}


def path(name: str) -> Path:
    """Where a part of the world lies.

    Args:
        name: "pipeline" (a folder for `diffusers/`), "clip" (for open_clip), "checker" (for `checker/hf/`),
            "policy" (what this world disallows) or "words" (a list for `filter/keywords`).

    Raises:
        KeyError: there is no part of that name.
    """
    if name not in MODELS and name not in _FILES:
        raise KeyError(f"the tiny world has no {name!r}, but {', '.join((*MODELS, *_FILES))}")
    return Path(__file__).resolve().parent / _FILES.get(name, name)
