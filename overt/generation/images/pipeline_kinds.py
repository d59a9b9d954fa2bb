"""Which pipelines overt can measure: those that draw a picture from a text with a seed. Others are refused
when they load, not after they drew."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Iterable
from typing import Any

from overt.data.errors import InputError
from overt.generation.images.pipeline_arguments import parameters_of
from overt.generation.images.pipeline_outputs import PICTURE_FIELDS
from overt.generation.images.pipelines import Pipeline

_PRIOR = "it is only the first half of a pipeline, a prior"
_DECODER = "it is only the second half of a pipeline, a decoder, and the folder does not name its prior"
_HALVES = (_PRIOR, _DECODER)
_JOIN = (
    "Name the folder of the decoder, with a README.md whose head names the prior's folder (---, prior:, "
    "- FOLDER, ---), as on the Hub; or save both as one: AutoPipelineForText2Image.from_pretrained(...), "
    "save_pretrained(folder)."
)
# What the fields of an output say of a pipeline without pictures.
_MAKES = (
    ({"frames", "video", "videos"}, "it draws videos"),
    ({"audios", "audio", "sound"}, "it makes sound"),
    ({"image_embeds", "image_embeddings", "prompt_embeds"}, _PRIOR),
    ({"text", "texts", "sequences"}, "it writes text"),
    ({"meshes"}, "it makes shapes in 3D"),
    ({"depth", "prediction", "rgb"}, "it draws maps of depth or the like"),
)
_PICTURE_ARGUMENTS = {"image", "images", "control_image", "mask_image"}
_VIDEO_ARGUMENTS = ("num_frames", "video_length", "video")
# Classes that draw from a picture although their signature would let it be None, or whose pictures are views
# of something else. What is missing here the probe picture shows.
_FROM_PICTURE = re.compile(
    r"Img2Img|ImageToImage|I2I|I2V|Inpaint|Edit|Pix2Pix|SuperResolution|Upscale|Control|Adapter|Depth2Img|"
    r"ImageVariation|Redux|VisualCloze|Layered|Fill|Refiner"
)
_SHAPES = re.compile(r"ShapE")


def check_class(kind: object, name: str) -> None:
    """Checks a pipeline's class before its weights are read, by what it gives back.

    Args:
        kind: the class's name in a model_index.json.

    Raises:
        InputError: diffusers knows the class, and it draws no pictures.
    """
    import diffusers

    known = getattr(diffusers, kind, None) if isinstance(kind, str) else None
    if isinstance(known, type) and (why := _of_class(known)):
        raise _refused(name, known.__name__, why)


def check_draws(pipeline: Pipeline, name: str) -> None:
    """Checks that a pipeline draws seeded pictures from text alone.

    Raises:
        InputError: it does not; says what it does instead.
    """
    kind = type(pipeline).__name__
    if why := _why_not(pipeline, kind):
        raise _refused(name, kind, why)


# What these do with a picture is something else than editing it.
_NOT_EDITING = re.compile(r"Control|Adapter|SuperResolution|Upscale|ImageVariation|Redux|VisualCloze|Layered")


def check_edits(pipeline: Pipeline, name: str) -> None:
    """Checks that a pipeline draws seeded pictures from a picture and an instruction.

    Raises:
        InputError: it does not; says what it does instead.
    """
    kind, parameters = type(pipeline).__name__, parameters_of(pipeline)
    given = {"prompt", "image"}
    needed = [p.name for p in parameters.values() if p.default is p.empty and p.name not in given]
    why = _of_class(type(pipeline))
    if not why and (lacks := sorted({*given, "generator"} - set(parameters))):
        why = f"it takes no {', '.join(lacks)}"
    if not why and needed:
        why = f"it needs {', '.join(needed)}"
    if not why and _NOT_EDITING.search(kind):
        why = "the picture that it takes is not one to edit"
    if why:
        raise InputError(
            f"{name}: {kind} edits no pictures: {why}",
            fix="Name a pipeline that draws from a picture and an instruction (image to image, "
            "InstructPix2Pix, FLUX Kontext).",
        )


def _refused(name: str, kind: str, why: str) -> InputError:
    fix = "overt draws one picture for each prompt: name a pipeline that draws from text."
    return InputError(
        f"{name}: {kind} is no text-to-image pipeline: {why}", fix=_JOIN if why in _HALVES else fix
    )


def _of_class(kind: type) -> str:
    """Why pipelines of a class draw no pictures; "" if they may."""
    if any(argument in parameters_of(kind) for argument in _VIDEO_ARGUMENTS):
        return "it draws videos"
    return "it makes shapes in 3D" if _SHAPES.search(kind.__name__) else _of_output(_output_fields(kind))


def _why_not(pipeline: Pipeline, kind: str) -> str:
    if why := _of_class(type(pipeline)):
        return why
    parameters = parameters_of(pipeline)
    needed = [p.name for p in parameters.values() if p.default is p.empty and p.name != "prompt"]
    if {"image_embeds", "image_embeddings"} & set(needed):
        return _DECODER
    if needed:
        return f"it needs {', '.join(needed)}"
    if not {"prompt", "generator"} <= set(parameters):
        return "it takes no prompt or no generator"
    pictured = sorted(_PICTURE_ARGUMENTS & set(parameters))
    return f"it draws from a picture ({pictured[0]})" if pictured and _FROM_PICTURE.search(kind) else ""


def _of_output(fields: set[str]) -> str:
    """Why an output with these fields is no picture; "" if it is one, or if no field is known."""
    if not fields or fields & set(PICTURE_FIELDS):
        return ""
    return next((why for known, why in _MAKES if fields & known), f"it gives {', '.join(sorted(fields))}")


def _output_fields(kind: Any) -> set[str]:
    """The fields of the output that the signature names, else of those that the pipeline's module knows;
    empty if neither is known."""
    module = sys.modules.get(kind.__module__)
    known = {
        name: thing
        for name, thing in vars(module).items()
        if isinstance(thing, type)
        and name.endswith("Output")
        and "Pipeline" in name
        and dataclasses.is_dataclass(thing)
    }
    said = str(getattr(kind.__call__, "__annotations__", {}).get("return", ""))
    named = [thing for name, thing in known.items() if name in re.findall(r"\w+", said)]
    return set(_fields(named or known.values()))


def _fields(outputs: Iterable[type]) -> Iterable[str]:
    for output in outputs:
        yield from (field.name for field in dataclasses.fields(output))
