"""What a run has to know of how a pipeline draws: steps, guidance, size, checker, options that do nothing.

The values come from the arguments and the signature's defaults; what does nothing was measured by the probe
picture, or, without one, is read from the model's configuration.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from overt.data.json_types import Json, JsonObject
from overt.generation.images.numbers import DRAWS
from overt.generation.images.pipeline_drawing import Drawing
from overt.generation.images.pipeline_probe import BINNING, Tried, guidance_of

_ROUNDING = 32  # pixels to which sizes are rounded
# Levels of 255 by which rounding alone moves a picture in another batch.
_BATCH_ROUNDING = {"torch.float64": 1, "torch.float32": 1}
_BATCH_ROUNDING_OF_HALF = 8


@dataclass(frozen=True, slots=True)
class Facts:
    """How a pipeline draws in this run.

    pipeline: its class.
    dtype: of the model that draws, such as "torch.float16".
    steps, guidance: the arguments of these kinds, with the values that hold.
    asked_size, size: width and height in pixels; None: not given, or not known without a probe picture.
    has_checker: whether a safety checker of its own looks at each picture.
    has_guidance: whether a second, unguided prediction is made at each step; None: it does not say.
    idle: the arguments that do nothing, each with its value.
    is_tried: whether a probe picture was drawn.
    has_watermark: whether an invisible watermark goes into each picture, as Stable Diffusion XL does it where
        the package invisible-watermark is installed.
    batch_levels: by how many of 255 levels a picture differs in a batch; None: not tried.
    """

    pipeline: str
    dtype: str
    steps: dict[str, Json]
    guidance: dict[str, Json]
    asked_size: tuple[int, int] | None
    size: tuple[int, int] | None
    has_checker: bool
    has_guidance: bool | None
    idle: dict[str, Json]
    is_tried: bool
    has_watermark: bool = False
    batch_levels: int | None = None
    notes: tuple[str, ...] = ()

    def to_json(self) -> JsonObject:
        """The entry of the run's manifest."""
        return {
            "pipeline": self.pipeline,
            "dtype": self.dtype,
            "steps": self.steps,
            "guidance": self.guidance,
            "classifier_free_guidance": self.has_guidance,
            "asked_size": list(self.asked_size) if self.asked_size else None,
            "size": list(self.size) if self.size else None,
            "safety_checker": self.has_checker,
            "watermark": self.has_watermark,
            "no_effect": self.idle,
            "probe_picture": self.is_tried,
            "batch_levels": self.batch_levels,
        }


def facts_of(drawing: Drawing, tried: Tried | None) -> Facts:
    """Collects what holds for every picture of a run.

    Args:
        tried: what the probe picture showed; None: there was none.
    """
    width, height = drawing.arguments.get("width"), drawing.arguments.get("height")
    asked = (width, height) if isinstance(width, int) and isinstance(height, int) else None
    idle = _all_idle(drawing, tried)
    steps = [key for key in drawing.parameters if key.endswith("num_inference_steps")]
    # A property that the pipeline sets as it draws.
    does_guide = getattr(drawing.pipeline, "do_classifier_free_guidance", None) if tried else None
    return Facts(
        pipeline=type(drawing.pipeline).__name__,
        dtype=_dtype(drawing),
        steps=_values(drawing, steps),
        guidance=_values(drawing, guidance_of(drawing)),
        asked_size=asked,
        size=tried.size if tried else None,
        has_checker=drawing.has_checker,
        has_guidance=None if does_guide is None else bool(does_guide),
        idle=_values(drawing, idle),
        is_tried=tried is not None,
        has_watermark=getattr(drawing.pipeline, "watermark", None) is not None,
        batch_levels=tried.apart if tried else None,
        notes=tuple(_notes(drawing, tried, asked, idle)),
    )


def _dtype(drawing: Drawing) -> str:
    """The dtype of the model that draws. A pipeline's own is that of any part, such as a safety checker,
    which computes in float32."""
    parts = drawing.pipeline.components if drawing.pipeline else {}
    drawing_first = sorted(parts, key=lambda n: (not n.startswith(DRAWS), n == "safety_checker"))
    return next((str(parts[name].dtype) for name in drawing_first if hasattr(parts[name], "dtype")), "")


def _values(drawing: Drawing, keys: Iterable[str]) -> dict[str, Json]:
    values = {key: drawing.value_of(key) for key in keys}
    plain = (bool, int, float, str, type(None))
    return {key: value if isinstance(value, plain) else str(value) for key, value in values.items()}


def _all_idle(drawing: Drawing, tried: Tried | None) -> list[str]:
    """The arguments that do nothing: measured, or known where nothing was measured."""
    known = list(_idle(drawing))
    if tried is None:
        return known
    measured = {*tried.idle, *tried.active}
    return [key for key in (*tried.idle, *(key for key in known if key not in measured)) if key != BINNING]


def _idle(drawing: Drawing) -> Iterator[str]:
    """What can be known to do nothing without a picture."""
    # Without an embedding guidance_scale does nothing where true_cfg_scale is the classifier-free guidance.
    has_both = {"guidance_scale", "true_cfg_scale"} <= set(drawing.parameters)
    if has_both and _config(drawing, "guidance_embeds") is False:
        yield "guidance_scale"
    scale, negative = drawing.value_of("true_cfg_scale"), drawing.arguments.get("negative_prompt")
    if isinstance(scale, (int, float)):
        if negative is None:
            yield "true_cfg_scale"
        elif scale <= 1:
            yield "negative_prompt"


def _config(drawing: Drawing, key: str) -> object:
    config: object = getattr(getattr(drawing.pipeline, "transformer", None), "config", None)
    return config.get(key) if isinstance(config, Mapping) else None


# -- in words ------------------------------------------------------------------------------------------------


def headline(facts: Facts) -> str:
    """One line: "FluxPipeline draws 1024 x 1024 in 28 steps, guidance_scale 3.5, no safety checker"."""
    size = facts.size or facts.asked_size
    parts = [f"{facts.pipeline} draws {_by(size)}" if size else f"{facts.pipeline} draws"]
    steps = [
        f"{value} {key.removesuffix('num_inference_steps').replace('_', ' ')}step{'s' * (value != 1)}"
        for key, value in facts.steps.items()
        if value is not None
    ]
    parts[0] += f" in {' and '.join(steps)}" if steps else ""
    guidance = [f"{key} {value}" for key, value in facts.guidance.items() if key not in facts.idle]
    parts.append(", ".join(guidance) or "no guidance")
    parts.append("its own safety checker looks at each picture" if facts.has_checker else "no safety checker")
    return ", ".join(parts)


def _notes(
    drawing: Drawing, tried: Tried | None, asked: tuple[int, int] | None, idle: list[str]
) -> Iterator[str]:
    for key in idle:
        value = drawing.value_of(key)
        if key in drawing.arguments or (key == "true_cfg_scale" and _is_above(value, 1)):
            shown = f"{key}={value!r}" if isinstance(value, str) else f"{key}={value}"
            yield f"{shown} has no effect on its pictures{_hint(drawing, key)}"
    if getattr(drawing.pipeline, "watermark", None) is not None:
        yield "the package invisible-watermark is installed: pictures of 256 pixels and more carry its mark"
    if tried and asked:
        yield from _of_size(drawing, tried, asked)
    yield from _of_batches(drawing, tried)


def _of_size(drawing: Drawing, tried: Tried, asked: tuple[int, int]) -> Iterator[str]:
    if tried.size != asked:
        near = all(abs(a - b) <= _ROUNDING for a, b in zip(asked, tried.size, strict=True))
        why = "rounded" if near else f"{type(drawing.pipeline).__name__} chooses its own size"
        yield f"asked for {_by(asked)}, it draws {_by(tried.size)} ({why})"
    if BINNING in tried.active and drawing.value_of(BINNING):
        yield (
            f"it draws at the nearest size that it was trained for and scales to {_by(asked)} "
            "(call.use_resolution_binning=false draws at that size itself)"
        )


def _of_batches(drawing: Drawing, tried: Tried | None) -> Iterator[str]:
    usual = _BATCH_ROUNDING.get(_dtype(drawing), _BATCH_ROUNDING_OF_HALF)
    if tried and tried.apart is not None and tried.apart > usual:
        yield (
            f"a picture depends on the prompts drawn beside it (by up to {tried.apart} of 255 levels "
            "in a batch of two): batch_size=1 draws each one alone"
        )


def _hint(drawing: Drawing, key: str) -> str:
    has_true = "true_cfg_scale" in drawing.parameters
    if key == "true_cfg_scale":
        return ": it acts only with a negative_prompt, so nothing is guided"
    if key == "negative_prompt" and has_true:
        return ": it acts only with call.true_cfg_scale above 1"
    if key == "negative_prompt":
        return ": nothing is guided away from it at this guidance"
    if key == "guidance_scale":
        return ": the model takes none"
    return ""


def _is_above(value: object, least: float) -> bool:
    return isinstance(value, (int, float)) and value > least


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
