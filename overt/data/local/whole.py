"""Sees to it that a model has all its weights: what a checkpoint lacks, libraries fill with random numbers.

transformers and diffusers report what was missing or left over only where they are asked, and a pipeline's
parts load out of reach. So their loaders are wrapped once; inside of `whole_weights` each of them is asked.
"""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from overt.data.errors import InputError

# Left over or missing without harm: buffers that are computed, and statistics that only training reads.
_HARMLESS = (
    r"(^|\.)position_ids$",
    r"rotary_emb\.inv_freq$",
    r"(^|\.)num_batches_tracked$",
    r"\.attn\.(masked_)?bias$",
)
_harmless = re.compile("|".join(_HARMLESS))
_SHOWN = 6
_Report = Mapping[str, Any]
_reports: ContextVar[list[tuple[str, _Report]] | None] = ContextVar("loading_reports", default=None)


@dataclass(frozen=True, slots=True)
class Gaps:
    """What a checkpoint and a model's class do not share: names of weights."""

    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    of_other_shape: tuple[str, ...] = ()


def gaps_of(report: _Report) -> Gaps:
    """Reads a loading report of transformers or diffusers; harmless names are left out."""

    def harmful(key: str) -> tuple[str, ...]:
        names = (str(name[0] if isinstance(name, tuple) else name) for name in report.get(key) or ())
        return tuple(sorted(name for name in names if not _harmless.search(name)))

    return Gaps(harmful("missing_keys"), harmful("unexpected_keys"), harmful("mismatched_keys"))


@contextmanager
def whole_weights(name: str) -> Iterator[None]:
    """Checks every model of transformers and diffusers that loads inside.

    Args:
        name: the model as the user wrote it.

    Raises:
        InputError: weights are missing, left over or of another shape; it lists them.
    """
    _watch_loaders()
    found: list[tuple[str, _Report]] = []
    token = _reports.set(found)
    try:
        yield
    finally:
        _reports.reset(token)
    for kind, report in found:
        _check(name, kind, gaps_of(report))


def _check(name: str, kind: str, gaps: Gaps) -> None:
    said = [
        f"{what}: {_listed(names)}"
        for what, names in (
            ("missing, so they would be random", gaps.missing),
            ("of another shape, so they would be random", gaps.of_other_shape),
            ("left over, so nothing would read them", gaps.unexpected),
        )
        if names
    ]
    if said:
        raise InputError(
            f"{name} is not whole. Weights of its {kind} {'; '.join(said)}",
            fix="Is this the model's own kind (a classifier with its head, a chat model with its lm_head)? "
            "Load it in Python as its authors do and save it anew: model.save_pretrained(folder).",
        )


def _listed(names: Collection[str]) -> str:
    shown = ", ".join(list(names)[:_SHOWN])
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


# -- the libraries' loaders ----------------------------------------------------------------------------------


def _watch_loaders() -> None:
    if transformers := sys.modules.get("transformers"):
        _watch(transformers.PreTrainedModel)
    if diffusers := sys.modules.get("diffusers"):
        _watch(diffusers.ModelMixin)


def _watch(base: Any) -> None:
    original = base.__dict__["from_pretrained"].__func__
    if not hasattr(original, "is_watched"):
        base.from_pretrained = classmethod(_asking(original))


def _asking(load: Callable[..., Any]) -> Callable[..., Any]:
    """A `from_pretrained` that also asks for the loading report, if somebody listens."""

    @functools.wraps(load)
    def asking(cls: type, *args: Any, **options: Any) -> Any:
        reports = _reports.get()
        if reports is None:
            return load(cls, *args, **options)
        wants_report = options.pop("output_loading_info", False)
        model, report = load(cls, *args, output_loading_info=True, **options)
        reports.append((type(model).__name__, report))
        return (model, report) if wants_report else model

    asking.is_watched = True  # type: ignore[attr-defined]
    return asking
