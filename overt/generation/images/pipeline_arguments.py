"""The arguments that a pipeline draws with: overt's own options, and any other one as `?call.NAME=VALUE`.

Their names and types come from the signature of the pipeline's `__call__`; diffusers has no other list.
"""

from __future__ import annotations

import contextlib
import difflib
import inspect
import json
import math
import re
import types
import typing
from collections.abc import Callable, Collection, Mapping
from typing import Any

from overt.data.errors import InputError
from overt.data.plugins.names import BOOLEANS
from overt.generation.images.pipelines import Pipeline

# What overt sets itself, with the reason why a user cannot.
_TAKEN = {
    "prompt": "each prompt of the data set goes there",
    "generator": "each picture's seed goes there",
    "output_type": "overt reads pictures as the pipeline draws them",
    "return_dict": "overt reads the safety flags beside the pictures",
    "num_images_per_prompt": "each draw has a seed of its own; --samples says how many there are",
    "num_images": "each draw has a seed of its own; --samples says how many there are",
}
# overt's options, as the pipelines call them.
OWN = {
    "steps": "num_inference_steps",
    "guidance_scale": "guidance_scale",
    "width": "width",
    "height": "height",
    "negative_prompt": "negative_prompt",
}
_BESIDE_PROMPT = re.compile(r"(prior_|decoder_)?(negative_)?prompt(_\d)?")
_WORDED = {bool: "true or false", int: "a whole number", float: "a number"}


def parameters_of(pipeline: Pipeline | type) -> dict[str, inspect.Parameter]:
    """The parameters of the `__call__` of a pipeline or its class that can be named; none if it has none."""
    every = inspect.signature(pipeline.__call__).parameters
    unnamed = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {name: p for name, p in every.items() if p.kind not in unnamed and name != "self"}


def drawing_arguments(
    pipeline: Pipeline, own: Mapping[str, object], more: Mapping[str, object], name: str
) -> dict[str, object]:
    """Returns the arguments of every call.

    Args:
        own: overt's options by their names (`OWN`); None: not given.
        more: the pipeline's arguments by theirs; text is converted to what the signature says.

    Raises:
        InputError: the pipeline does not take an argument, its value is of another type, or it is given
            twice, or is a number that cannot be drawn with.
    """
    known, kind = parameters_of(pipeline), type(pipeline).__name__
    given = {OWN[key]: value for key, value in own.items() if value is not None}
    if foreign := [key for key, value in own.items() if value is not None and OWN[key] not in known]:
        raise InputError(f"{name}: {kind} takes no {', '.join(foreign)}", fix="Leave it out.")
    hints = _hints(pipeline.__call__)
    for key, value in more.items():
        where = f"{name}: call.{key}"
        _check_name(key, known, kind, where)
        if key in given:
            option = next(own_name for own_name, theirs in OWN.items() if theirs == key)
            raise InputError(
                f"{where} and the option {option} are the same argument", fix="Give one of them."
            )
        given[key] = _typed(value, hints.get(key), known[key], where)
    check_values(given, name)
    width, height = given.get("width"), given.get("height")
    if "max_area" in known and "max_area" not in given and isinstance(width, int) and isinstance(height, int):
        # FLUX Kontext takes no more than the aspect ratio from width and height.
        given["max_area"] = width * height
    return given


def check_values(given: Mapping[str, object], name: str) -> None:
    """Checks numbers that pipelines draw with all the same: -3 steps denoise nothing, NaN as guidance guides
    nothing, and 0 pixels, or a width alone, are often another size.

    Args:
        given: the pipeline's arguments; texts and None are passed over.

    Raises:
        InputError: such a number is there.
    """
    for key, value in given.items():
        shown = next((own for own, theirs in OWN.items() if theirs == key), f"call.{key}")
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"{name}: {shown} is {value}, which is no number to draw with")
        is_count = key in ("width", "height") or key.endswith("num_inference_steps")
        if is_count and isinstance(value, (int, float)) and value < 1:
            raise InputError(f"{name}: {shown} is {value}", fix="It is a whole number from 1.")
    if (given.get("width") is None) != (given.get("height") is None):  # many pipelines ignore one alone
        raise InputError(f"{name}: width and height go together", fix="Give both, in pixels.")


def _check_name(key: str, known: Mapping[str, inspect.Parameter], kind: str, where: str) -> None:
    if key in _TAKEN or key.startswith("callback"):
        why = _TAKEN.get(key, "overt calls nothing between the steps")
        raise InputError(f"{where} cannot be set: {why}", fix="Leave it out.")
    if key not in known:
        free = [n for n in known if n not in _TAKEN and not n.startswith("callback")]
        near = difflib.get_close_matches(key, free, n=3, cutoff=0.5)
        near += [n for n in free if n not in near and (key in n or n in key)]
        said = f"Did you mean {' or '.join(f'call.{n}' for n in near[:3])}? " if near else ""
        raise InputError(f"{where}: {kind} takes no such argument", fix=f"{said}It takes: {', '.join(free)}.")


def for_batch(arguments: Mapping[str, object], count: int) -> dict[str, object]:
    """The arguments for a batch: a text beside the prompt (negative_prompt, prompt_2) once for each prompt,
    since several pipelines take a single one as that of the first prompt alone."""
    return {
        key: [value] * count if isinstance(value, str) and _BESIDE_PROMPT.fullmatch(key) else value
        for key, value in arguments.items()
    }


# -- types ---------------------------------------------------------------------------------------------------


def _hints(call: Callable[..., object]) -> dict[str, object]:
    try:
        return typing.get_type_hints(call)
    except Exception:  # a name that exists for the type checker alone
        return {}


_PLAIN: set[object] = {bool, int, float, str, list, tuple, dict}


def _typed(value: object, hint: object, parameter: inspect.Parameter, where: str) -> object:
    """A text as the signature wants it; what is no text stays as it is."""
    if not isinstance(value, str):
        return value
    kinds = _kinds(hint)
    if not kinds & _PLAIN and parameter.default not in (None, parameter.empty):
        kinds = kinds | {type(parameter.default)}
    if not kinds - {type(None)}:
        return _guessed(value)
    if type(None) in kinds and value.lower() in ("none", "null"):
        return None
    read = _number(value, kinds)
    if read is not None:
        return read
    if kinds & {list, tuple, dict} and (str not in kinds or value.startswith(("[", "{"))):
        return _json(value, kinds, where)
    if str in kinds:
        return value
    raise _misfit(value, kinds, where)


def _misfit(value: str, kinds: Collection[object], where: str) -> InputError:
    if wanted := " or ".join(_WORDED[kind] for kind in (bool, int, float) if kind in kinds):
        return InputError(f"{where} is {value!r}, not {wanted}")
    names = sorted(getattr(kind, "__name__", str(kind)) for kind in kinds if kind is not type(None))
    return InputError(
        f"{where} wants {' or '.join(names)}, which cannot be written in a name",
        fix="Leave it out, or write a target class of your own around the pipeline.",
    )


def _kinds(hint: object) -> set[object]:
    """The plain types that a hint allows: `str | list[str] | None` gives str, list and NoneType."""
    if hint is None:
        return set()
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return set().union(*(_kinds(part) for part in typing.get_args(hint)))
    return {typing.get_origin(hint) or hint}


def _number(value: str, kinds: Collection[object]) -> object:
    """The text as the first of bool, int and float that is allowed and fits; None if none does."""
    if bool in kinds and value.lower() in BOOLEANS:
        return BOOLEANS[value.lower()]
    for kind in (int, float):
        if kind in kinds:
            with contextlib.suppress(ValueError):
                return kind(value)
    return None


def _json(value: str, kinds: Collection[object], where: str) -> object:
    try:
        read: Any = json.loads(value)
    except ValueError:
        read = None
    if isinstance(read, list) and kinds & {list, tuple}:  # type: ignore[operator]
        return read if list in kinds else tuple(read)
    if isinstance(read, dict) and dict in kinds:
        return read
    form = '{"key": 1}' if dict in kinds and list not in kinds else "[1, 2]"
    raise InputError(f"{where} is {value!r}, not a list or mapping in JSON", fix=f"For instance: {form}")


def _guessed(value: str) -> object:
    """The value of an argument whose type nothing says."""
    try:
        return json.loads(value)
    except ValueError:
        return {"True": True, "False": False, "None": None}.get(value, value)
