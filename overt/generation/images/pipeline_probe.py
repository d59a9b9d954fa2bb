"""One picture that is drawn when a pipeline loads, in few steps: what would go wrong with every picture of a
long run goes wrong now. It is neither counted nor kept, and leaves no trace in the pictures after it.

The same picture drawn with another value of an option shows whether the option does anything: with
FLUX.1 schnell guidance does nothing, nor does a negative prompt where nothing is guided by it. Drawn beside a
longer prompt it shows whether a picture depends on its batch: some pipelines pad prompts to the longest and
let the model see the padding.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from overt.data.errors import InputError
from overt.data.local.devices import one_line
from overt.data.local.memory import out_of_memory
from overt.generation.images.pipeline_drawing import Drawing, Drawn

if TYPE_CHECKING:
    import torch

_PROMPT = "a red apple on a wooden table"
_BESIDE = "a wide view of a harbour at dawn with fishing boats, gulls, nets and crates on the pier " * 2
_STEPS = 2  # with one, guidance of the second step would not be seen
_BUDGET_S = 30.0  # no further comparison begins when it would end later than that
BINNING = "use_resolution_binning"
# Not compared: steps are few here, and sizes can be seen.
_NOT_COMPARED = ("width", "height", "max_area")


@dataclass(frozen=True, slots=True)
class Tried:
    """What the probe picture showed.

    size: its width and height in pixels.
    idle: arguments whose change changed nothing.
    active: arguments whose change changed it. In neither: could not be compared.
    apart: by how many of 255 levels it differs at most with another prompt drawn beside it; None: not tried.
    """

    size: tuple[int, int]
    idle: tuple[str, ...] = ()
    active: tuple[str, ...] = ()
    apart: int | None = None


def try_out(drawing: Drawing, name: str, *, in_batch: bool = False) -> Tried:
    """Draws the probe picture and compares the options that were given.

    Args:
        in_batch: also draw it beside another one.

    Raises:
        InputError: it cannot be drawn, or is made of NaN.
    """
    pipeline = drawing.pipeline
    assert pipeline is not None
    few = few_steps(drawing)
    began = time.monotonic()
    with _untouched(pipeline.components.values()):
        try:
            drawn, latents = _draw(drawing, few)
            is_good = drawn.numbers.is_finite
        except Exception as error:
            if out_of_memory(error):
                raise _full(name, error) from error
            is_good = False
        if not is_good:  # some schedulers need more steps than that
            few = {}
            drawn, latents = _fully(drawing, name)
        assert drawn.picture is not None
        idle: list[str] = []
        active: list[str] = []
        for key, value in _others(drawing):
            if time.monotonic() - began + drawn.batch_s > _BUDGET_S:
                break
            try:
                other, other_latents = _draw(drawing, {**few, key: value})
            except Exception:  # another value need not be possible
                continue
            (idle if _are_equal(drawn, latents, other, other_latents) else active).append(key)
        in_time = time.monotonic() - began + 2 * drawn.batch_s <= _BUDGET_S
        apart = _levels_apart(drawing, few, drawn) if in_batch and in_time else None
    return Tried(drawn.picture.size, tuple(idle), tuple(active), apart)


def _levels_apart(drawing: Drawing, changes: Mapping[str, object], alone: Drawn) -> int | None:
    """By how many levels the picture differs at most in a batch; None: no batch can be drawn."""
    import numpy as np
    from PIL import ImageChops

    try:
        _, beside = drawing.draw([(_BESIDE, 1), (_PROMPT, 0)], changes)
    except Exception:  # the run halves its batches, or tells each picture's error
        return None
    if alone.picture is None or beside.picture is None or beside.picture.size != alone.picture.size:
        return None
    difference = ImageChops.difference(alone.picture.convert("RGB"), beside.picture.convert("RGB"))
    return int(np.asarray(difference).max())


def guidance_of(drawing: Drawing) -> list[str]:
    """The arguments that say how strongly the prompt guides: guidance_scale, true_cfg_scale and others."""
    return [key for key in drawing.parameters if key.endswith(("guidance_scale", "cfg_scale"))]


def few_steps(drawing: Drawing) -> dict[str, object]:
    """The changes to a call that make it short: every number of steps at most `_STEPS`."""
    given = {key for key in ("timesteps", "sigmas") if drawing.arguments.get(key) is not None}
    if given:  # they are the steps
        return {}
    steps = [key for key in drawing.parameters if key.endswith("num_inference_steps")]
    return {
        key: min(_STEPS, asked) if isinstance(asked := drawing.value_of(key), int) else _STEPS
        for key in steps
    }


def _fully(drawing: Drawing, name: str) -> tuple[Drawn, list[torch.Tensor]]:
    """The probe picture with all steps of the run.

    Raises:
        InputError: it cannot be drawn either, or is made of NaN.
    """
    try:
        drawn, latents = _draw(drawing, {})
    except Exception as error:
        if out_of_memory(error):
            raise _full(name, error) from error
        raise InputError(
            f"{name} loads, but draws no picture: {type(error).__name__}: {one_line(error)}",
            fix="Do its options fit the model? (?probe=false starts without trying it.)",
        ) from error
    if not drawn.numbers.is_finite:
        raise InputError(
            f"{name} loads, but the picture drawn to try it is NaN or infinity",
            fix="Half precision often does that: add dtype=float32 or dtype=bfloat16 to its options. "
            "(?probe=false starts without trying it.)",
        )
    return drawn, latents


def _full(name: str, error: Exception) -> InputError:
    return InputError(
        f"{name}: the memory does not suffice for one picture: {one_line(error)}",
        fix="Smaller width and height, dtype=bfloat16, offload=model or offload=sequential need less.",
    )


def _draw(drawing: Drawing, changes: Mapping[str, object]) -> tuple[Drawn, list[torch.Tensor]]:
    """The picture, and what its decoder got."""
    drawing.numbers.latents = []
    try:
        (drawn,) = drawing.draw([(_PROMPT, 0)], changes)
        return drawn, drawing.numbers.latents
    finally:
        drawing.numbers.latents = None


def _others(drawing: Drawing) -> Iterator[tuple[str, object]]:
    """The arguments to compare, each with another value than it has."""
    # Guidance even where the user did not set it, since every model means something else by it.
    default = [*guidance_of(drawing), *(key for key in drawing.parameters if key == BINNING)]
    for key in dict.fromkeys([*drawing.arguments, *default]):
        if key in _NOT_COMPARED or key.endswith("num_inference_steps"):
            continue
        value, usual = drawing.value_of(key), drawing.parameters[key].default
        if value != usual and usual is not drawing.parameters[key].empty:
            yield key, usual
        elif isinstance(value, bool):
            yield key, not value
        elif isinstance(value, (int, float)):
            yield key, value + 2


def _are_equal(
    one: Drawn, its_latents: list[torch.Tensor], other: Drawn, other_latents: list[torch.Tensor]
) -> bool:
    """Whether two pictures are the same before rounding, and before a checker blackens them."""
    import torch

    if its_latents and len(its_latents) == len(other_latents):
        return all(torch.equal(a, b) for a, b in zip(its_latents, other_latents, strict=True))
    assert one.picture is not None
    assert other.picture is not None
    return one.picture.size == other.picture.size and one.picture.tobytes() == other.picture.tobytes()


@contextmanager
def _untouched(parts: Any) -> Iterator[None]:
    """Puts the state of schedulers and of torch's own random numbers back as they were."""
    import torch

    schedulers = [part for part in parts if hasattr(part, "set_timesteps")]
    kept = [_copied(vars(scheduler)) for scheduler in schedulers]
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            for scheduler, state in zip(schedulers, kept, strict=True):
                vars(scheduler).clear()
                vars(scheduler).update(state)


def _copied(state: dict[str, Any]) -> dict[str, Any]:
    try:
        return copy.deepcopy(state)
    except Exception:  # what cannot be copied is made anew with each call's steps
        return dict(state)
