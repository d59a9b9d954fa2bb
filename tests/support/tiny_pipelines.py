"""Families of picture pipelines: how each is built tiny, and how its table's row is measured.

Every module `tiny_pipelines_*` of this folder holds a `FAMILIES: dict[str, Family]`; `families` merges them.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Family:
    """One family of text-to-image pipelines.

    build: saves a tiny version into a folder, as a user's would lie there.
    options: of the target, as in a URL's query, that this family needs or that keep it quick.
    call: arguments of the pipeline that the plain library needs for the same pictures.
    steps, guidance, size: what is asked for (width and height); None: the family takes no such argument.
    flagging: builds a version whose safety checker flags every picture; None: the family has no checker.
    decoder, denoiser: the parts into which NaN is put; None: the family has none.
    """

    build: Callable[[Path], object]
    options: dict[str, object] = field(default_factory=dict)
    call: dict[str, object] = field(default_factory=dict)
    steps: int | None = 2
    guidance: float | None = 4.0
    size: tuple[int, int] | None = (48, 32)
    flagging: Callable[[Path], object] | None = None
    decoder: str | None = "vae"
    denoiser: str = "transformer"


def families():
    """All families by name."""
    found = {}
    for file in sorted(Path(__file__).parent.glob("tiny_pipelines_*.py")):
        found |= importlib.import_module(f"support.{file.stem}").FAMILIES
    return found
