"""Makes models by their names, in this process or on the workers: the doors of the registry, with `workers`.

Models that load onto a device go to the workers, as their classes say by taking `device`. All others are made
here: services have their keys here, and rules cost nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from overt import registry
from overt.data.errors import InputError
from overt.data.local.metering import not_measured, works_on
from overt.data.notes import tell_notes
from overt.data.plugins.wrapped import inside
from overt.data.secrets import without_keys
from overt.workers.parts import Answer
from overt.workers.spread import Spread, spread_of

if TYPE_CHECKING:
    from overt.data.chat import ChatModel
    from overt.data.filters import ImageChecker, TextFilter
    from overt.data.rewrites import FaithfulnessScorer
    from overt.data.targets import Target


def loads_here(group: str, text: str) -> bool:
    """Whether a name means a model of this machine: its class takes a `device`."""
    return bool(registry.taken(group, text, {"device": "cpu"}))


def _is_foreign(group: str, text: str) -> bool:
    """Whether a name means a model of this machine whose class is none of overt's."""
    name = inside(text)  # the model behind a wrapper
    return loads_here(group, name) and not registry.resolve(group, name).__module__.startswith("overt.")


def load_target(text: str, workers: str = "1", **options: object) -> Target:
    """As `registry.load_target`; on the workers if there are several and it is a model of this machine."""
    made: Target = _load("overt.targets", text, workers, options, registry.load_target)
    return made


def load_chat_model(text: str, workers: str = "1", **options: object) -> ChatModel:
    """As `registry.load_chat_model`; see `load_target`."""
    made: ChatModel = _load("overt.chat_models", text, workers, options, registry.load_chat_model)
    return made


def load_filter(text: str, workers: str = "1", **options: object) -> TextFilter:
    """As `registry.load_filter`; see `load_target`."""
    made: TextFilter = _load("overt.filters", text, workers, options, registry.load_filter)
    return made


def load_checker(text: str, workers: str = "1", **options: object) -> ImageChecker:
    """As `registry.load_checker`; see `load_target`."""
    made: ImageChecker = _load("overt.checkers", text, workers, options, registry.load_checker)
    return made


def load_scorer(text: str, workers: str = "1", **options: object) -> FaithfulnessScorer:
    """As `registry.load_scorer`; see `load_target`. A class without `apart` needs its model here."""
    if spread_of(workers).engine == "here":
        return registry.load_scorer(text, **options)
    apart: Callable[[object], FaithfulnessScorer] | None
    apart = getattr(registry.resolve("overt.scorers", text), "apart", None)
    if apart is None:
        return registry.load_scorer(text, **options)
    made: FaithfulnessScorer = apart(_load("overt.scorers", text, workers, options, registry.load_scorer))
    return made


def _load(
    group: str, text: str, workers: str, options: Mapping[str, object], make: Callable[..., Answer]
) -> Answer:
    spread, device = spread_of(workers), options.get("device")
    if spread.engine == "here" and _is_foreign(group, text):
        works_on(str(device or "cuda"))  # our own classes say it when they know
    if spread.engine == "here" or not loads_here(group, text):
        return make(text, **options)
    _check_device(text, device, spread)
    if spread.engine == "ray":
        not_measured("local models worked on a Ray cluster, whose machines are not measured")
    else:
        works_on(str(device or "cuda"), spread.count or 1)
    from overt.workers import stand_ins
    from overt.workers.hiring import hire

    kinds: dict[str, type[stand_ins.StandIn]] = {
        "overt.targets": stand_ins.TargetStandIn,
        "overt.chat_models": stand_ins.ChatStandIn,
        "overt.filters": stand_ins.FilterStandIn,
        "overt.checkers": stand_ins.CheckerStandIn,
        "overt.scorers": stand_ins.ScorerStandIn,
    }
    made = kinds[group](spread, *hire(spread, group, text, dict(options)))
    tell_notes(without_keys(text), made)
    return made


def _check_device(text: str, device: object, spread: Spread) -> None:
    """Each worker has one device of its own.

    Raises:
        InputError: the user named one for all of them.
    """
    if isinstance(device, str) and re.search(r":\d+$", device) and spread.count != 1:
        raise InputError(
            f"{text}: --device {device} names one device for all workers",
            fix="Leave --device out: each worker has a GPU of its own. CUDA_VISIBLE_DEVICES says which there "
            "are.",
        )
