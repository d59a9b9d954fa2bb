"""The arguments of a class that is about to be made: text as its annotations want it, and what it takes."""

from __future__ import annotations

import difflib
import inspect
import typing
from collections.abc import Callable, Collection, Iterable, Mapping

from overt.data.errors import InputError

Maker = Callable[..., object]  # a class, or a function that makes the object

_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def typed(maker: Maker, options: Mapping[str, str], name: str) -> dict[str, object]:
    """Options that were written as text, as the maker's annotations want them: bool, int, float, else text.

    Raises:
        InputError: an option is no number, or neither true nor false, where its annotation wants that.
    """
    if not options:
        return {}
    try:
        hints = typing.get_type_hints(maker.__init__ if inspect.isclass(maker) else maker)
    except Exception:  # names that exist for the type checker only; then all options are text
        hints = {}
    return {key: _typed(value, hints.get(key), f"{name}: {key}") for key, value in options.items()}


def _typed(value: str, hint: object, where: str) -> object:
    # Where text is allowed too the class reads it itself, and can say more than "not a number".
    kinds = typing.get_args(hint) or (hint,)
    if str in kinds:
        return value
    try:
        if bool in kinds:
            return _BOOLEANS[value.lower()]
        if int in kinds:
            return int(value)
        return float(value) if float in kinds else value
    except (ValueError, KeyError) as error:
        wanted = "true or false" if bool in kinds else "a whole number" if int in kinds else "a number"
        raise InputError(f"{where} is {value!r}, not {wanted}") from error


def accepted(maker: Maker, options: Mapping[str, object]) -> dict[str, object]:
    """Those of the options that the maker has among its arguments and that are not None."""
    try:
        parameters = inspect.signature(maker).parameters
    except (TypeError, ValueError):
        return {}
    return {k: v for k, v in options.items() if k in parameters and v is not None}


def check_arguments(maker: Maker, name: str, model: str, options: Mapping[str, object]) -> None:
    """Says what is wrong with arguments before anything is made.

    Args:
        model: the first positional argument, "" for none.

    Raises:
        InputError: an argument that the maker does not take, or one that is missing.
    """
    try:
        signature = inspect.signature(maker)
    except (TypeError, ValueError):  # made in C: it will complain by itself
        return
    parameters = signature.parameters.values()
    by_place = [
        p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL)
    ]
    if model and not by_place:
        raise InputError(f"{name} takes no model name ({model!r})", fix=_options_line(parameters))
    given = by_place[:1] if model else []
    for key in options:
        _check_option(key, name, parameters, given)
    try:
        signature.bind(*([model] if model else []), **options)
    except TypeError as error:
        raise InputError(f"{name} cannot be made: {error}", fix=_options_line(parameters)) from error


def _check_option(key: str, name: str, parameters: Collection[inspect.Parameter], given: list[str]) -> None:
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    if key in given or (key not in names and not takes_any):
        near = difflib.get_close_matches(key, names, n=1)
        fix = f"Did you mean {near[0]!r}? " if near and near[0] != key else ""
        raise InputError(f"{name} takes no option {key!r}", fix=fix + _options_line(parameters))


def _options_line(parameters: Iterable[inspect.Parameter]) -> str:
    names = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY or p.default is not p.empty]
    return f"Its options: {', '.join(names)}." if names else "It takes no options."
