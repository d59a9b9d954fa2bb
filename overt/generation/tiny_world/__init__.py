"""A tiny text-to-image world with its own weights, for trying the tool and for tests, not for benchmarks.

README.txt beside this file describes it.
"""

from __future__ import annotations

from pathlib import Path

# Folders for a target, a CLIP and a checker.
MODELS = ("pipeline", "clip", "checker")
_FILES = {"policy": "policy.yaml", "words": "filter_words.txt"}


def path(name: str) -> Path:
    """Returns the path of a part of the world.

    Args:
        name: "pipeline" (a folder for `diffusers/`), "clip" (for open_clip), "checker" (for `checker/hf/`),
            "policy" (what this world disallows) or "words" (a list for `filter/keywords`).

    Raises:
        KeyError: there is no part of that name.
    """
    if name not in MODELS and name not in _FILES:
        raise KeyError(f"the tiny world has no {name!r}, but {', '.join((*MODELS, *_FILES))}")
    return Path(__file__).resolve().parent / _FILES.get(name, name)
