"""Lets classes load that end their constructor without `post_init()`, as models for transformers 4 could.

transformers 5 reads what `post_init` sets, such as the list of tied weights, once the weights are there. A
class that never calls it fails then ("object has no attribute 'all_tied_weights_keys'"): the safety checkers
of DeepFloyd IF and of Safe Stable Diffusion in diffusers 0.42, the text encoder of Kandinsky 2.1, and code of
a repo's own. It has to be called where the constructor ends: later it would take the place of loaded weights.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any


def finish_constructors() -> None:
    """From now on, `from_pretrained` finishes the constructors of classes that transformers does not bring.
    Does nothing if transformers is not imported."""
    transformers = sys.modules.get("transformers")
    if transformers is None:
        return
    load = transformers.PreTrainedModel.__dict__["from_pretrained"].__func__
    if not hasattr(load, "finishes"):
        transformers.PreTrainedModel.from_pretrained = classmethod(_finishing(load))


def _finishing(load: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(load)
    def finishing(cls: Any, *args: Any, **options: Any) -> Any:
        if (
            not cls.__module__.startswith("transformers.")
            and getattr(cls.__init__, "finishes", None) is not cls
        ):
            cls.__init__ = _finished(cls, cls.__init__)
        return load(cls, *args, **options)

    finishing.finishes = True  # type: ignore[attr-defined]
    return finishing


def _finished(cls: Any, construct: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(construct)
    def finished(self: Any, *args: Any, **options: Any) -> None:
        construct(self, *args, **options)
        if type(self) is cls and not hasattr(self, "all_tied_weights_keys") and hasattr(cls, "post_init"):
            self.post_init()

    finished.finishes = cls  # type: ignore[attr-defined]
    return finished
