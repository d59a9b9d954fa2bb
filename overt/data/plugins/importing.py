"""A class by its module and name, and what a person is told where it cannot be had."""

from __future__ import annotations

import difflib
import importlib
import inspect
from types import ModuleType

from overt.data.errors import InputError
from overt.data.plugins.arguments import Maker

# Packages that may be missing, and the extra of this package that brings them.
_EXTRAS = {
    **dict.fromkeys(
        ("torch", "transformers", "diffusers", "accelerate", "open_clip", "sentence_transformers"), "local"
    ),
    **dict.fromkeys(("nudenet", "better_profanity", "profanity_check"), "filters"),
}


def import_maker(module_name: str, attribute: str, text: str) -> Maker:
    """The class (or function that makes an object) of a module.

    Args:
        text: the name that the user wrote, for messages.

    Raises:
        InputError: a missing extra, a module that cannot be imported, no such class in it.
    """
    module = _module(module_name, text)
    if not hasattr(module, attribute):
        classes = [n for n, value in vars(module).items() if inspect.isclass(value) and not n.startswith("_")]
        near = difflib.get_close_matches(attribute, classes, n=1)
        raise InputError(
            f"{text}: {module_name} has no {attribute!r}",
            where=str(getattr(module, "__file__", None) or ""),
            fix=f"Did you mean {near[0]!r}?"
            if near
            else f"Its classes: {', '.join(sorted(classes)) or 'none'}.",
        )
    maker: object = getattr(module, attribute)
    if not callable(maker):
        raise InputError(f"{text}: {attribute} is {type(maker).__name__}, not a class that can be made")
    return maker


def _module(name: str, text: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(error.name + ".")):
            raise InputError(
                f"{text}: no module {error.name!r}",
                fix="Is its package installed in this environment, or its file in the folder you stand in?",
            ) from error
        raise missing_package(text, error, f"{name} imports it") from error
    except (Exception, SystemExit) as error:
        raise InputError(f"{text}: importing {name} failed: {in_words(error)}") from error


def missing_package(text: str, error: ModuleNotFoundError, why: str = "") -> InputError:
    """The error for a package that a class needs: which one, and how to install it."""
    missing = error.name or ""
    if missing in _EXTRAS:
        return InputError(
            f"{text} needs {missing}, which is not installed", fix=f'pip install "overt[{_EXTRAS[missing]}]"'
        )
    package, dot, _ = missing.partition(".")
    fix = f"Install {package} into this environment" + (", in a version that has it." if dot else ".")
    return InputError(f"{text}: no module {missing!r}" + (f" ({why})" if why else ""), fix=package and fix)


def in_words(error: BaseException) -> str:
    """An error's type and text on one line, at most 400 characters of text."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"
