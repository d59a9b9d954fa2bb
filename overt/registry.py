"""Makes models from their names: `provider/model` through entry points, `module:Class` for the user's own.

`overt.data.plugins.names` defines how names are written. Built-ins are entry points of this package, as a
plugin's are of its own; only pyproject.toml lists them. A provider's module is imported when it is used.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import sys
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overt.data.errors import InputError, OvertError
from overt.data.notes import tell_notes
from overt.data.plugins.install import project_in
from overt.data.plugins.known import BESIDE, GONE
from overt.data.plugins.members import check_members, lacking
from overt.data.plugins.names import (
    Maker,
    Name,
    accepted,
    check_arguments,
    closest_name,
    import_maker,
    in_words,
    missing_package,
    read_name,
    typed,
)
from overt.data.plugins.points import POINTS as POINTS
from overt.data.plugins.points import ExtensionPoint as ExtensionPoint
from overt.data.plugins.wrapped import WRAPPERS, inside
from overt.data.secrets import without_keys

if TYPE_CHECKING:
    from overt.data.chat import ChatModel
    from overt.data.environments import Environment
    from overt.data.filters import ImageChecker, TextFilter
    from overt.data.refusal_judges import RefusalJudge
    from overt.data.rewrites import FaithfulnessScorer
    from overt.data.targets import Target


# -- the lists of providers -------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _builtins() -> dict[str, dict[str, str]]:
    """Maps group -> name -> "module:Class", sorted by name.

    A source checkout reads its pyproject.toml, so that an added line works at once; an installed package
    reads its own entry points.

    Raises:
        OvertError: neither exists.
    """
    if project := project_in(Path(__file__).parent.parent):
        return {group: dict(sorted(project["entry-points"][group].items())) for group in POINTS}
    try:
        points = sorted(importlib.metadata.distribution("overt").entry_points, key=lambda point: point.name)
    except importlib.metadata.PackageNotFoundError as error:
        raise OvertError(
            "overt is not installed: its own list of models is missing",
            where=str(Path(__file__).parent),
            fix="Install it with pip, or run it from a checkout of its repository.",
        ) from error
    return {g: {point.name: point.value for point in points if point.group == g} for g in POINTS}


def builtin(group: str) -> dict[str, str]:
    """The built-in names of a group, each with its "module:Class"."""
    return dict(_builtins()[group])


@lru_cache(maxsize=16)
def providers(group: str) -> dict[str, tuple[str, ...]]:
    """Maps each provider of a group to its "module:Class" places: built-ins first, then plugins by name.

    A name with several places is offered by several installed packages. Plugins cannot replace a built-in:
    the meaning of `openai/...` must not depend on other installed packages.
    """
    own = builtin(group)
    plugins: dict[str, set[str]] = {}
    for point in importlib.metadata.entry_points(group=group):
        # A checkout may be newer than the installed overt.
        if point.name not in own and (point.dist is None or point.dist.name != "overt"):
            plugins.setdefault(point.name, set()).add(point.value)
    return {name: (place,) for name, place in own.items()} | {
        name: tuple(sorted(plugins[name])) for name in sorted(plugins)
    }


def offers(group: str, provider: str) -> bool:
    """Whether a group has a provider of this name.

    Raises:
        InputError: overt had one and has it no longer.
    """
    if provider in providers(group):
        return True
    if gone := GONE.get((group, provider)):
        raise InputError(gone[0], fix=gone[1])
    return False


def known(group: str) -> str:
    """The names of a group as the user types them, for messages and help."""
    prefix = POINTS[group].prefix
    return ", ".join(f"{prefix}/{name}" if prefix else f"{name}/..." for name in providers(group))


def guess(group: str, text: str) -> str:
    """A hint with the closest known name, "Did you mean 'filter/keywords'? "; "" if none is close."""
    prefix = POINTS[group].prefix
    groups = {point.prefix: point.group for point in POINTS.values()}
    firsts: dict[str, Collection[str]] = {prefix: providers(group)} if prefix else {}
    if not prefix:
        firsts = dict.fromkeys(providers(group), ())
        for beside in BESIDE.get(group, ()):
            firsts[beside] = providers(groups[beside]) if beside in groups and beside != "builtin" else ()
    found = closest_name(text, firsts)
    return f"Did you mean {found!r}? " if found else ""


# -- names to classes -------------------------------------------------------------------------------------


def parse(group: str, text: str) -> Name:
    """Parses a name of a group and imports nothing. If the group has a prefix, the provider follows it.

    Raises:
        InputError: the name does not have this group's form, or its options cannot be read.
    """
    name, point = read_name(text), POINTS[group]
    if name.own:
        return name
    if point.prefix:
        if name.provider != point.prefix or not name.model:
            raise InputError(
                f"{text!r} is no {point.role}",
                fix=f"{guess(group, text)}Known: {known(group)}, or module:Class for one of your own.",
            )
        provider, _, model = name.model.partition("/")
        return replace(name, provider=provider, model=model)
    if not name.provider or not name.model:
        raise InputError(
            f"{text!r} is not a model's name",
            fix=f"{guess(group, text)}Write provider/model ({known(group)}) or module:Class.",
        )
    return name


def resolve(group: str, text: str) -> Maker:
    """Imports the class or factory function of a name, and of the model behind it.

    Raises:
        InputError: unknown provider, missing extra, a module that cannot be imported, no such class.
    """
    if (inner := _inner(text)) is not None:
        resolve(group, inner)
    return _maker(group, parse(group, text))


def _inner(text: str) -> str | None:
    """The name of the model behind a name, None if there is none.

    Raises:
        InputError: that one has another model behind it too.
    """
    inner = inside(text)
    if inside(inner) != inner:
        raise InputError(f"{text} has a model around another", fix=f"Name one: {inner}")
    return None if inner == text else inner


def _maker(group: str, name: Name) -> Maker:
    if name.own is not None:
        module_name, attribute = name.own
        # The user's file stands in the working folder. The folder goes last, so that a file called
        # datasets.py does not hide a package.
        here = str(Path.cwd())
        if here not in sys.path:
            sys.path.append(here)
            importlib.invalidate_caches()
    else:
        module_name, _, attribute = _place(group, name).partition(":")
    return import_maker(module_name, attribute, name.text)


def _place(group: str, name: Name) -> str:
    """The "module:Class" of a name's provider."""
    if (place := builtin(group).get(name.provider)) is not None:
        return place  # skips the search of installed packages, which takes longer
    places = providers(group).get(name.provider, ())
    if len(places) > 1:
        raise InputError(
            f"{name.text}: several installed packages offer {name.provider!r}",
            fix="Name the class itself: " + " or ".join(places),
        )
    if not places and not offers(group, name.provider):
        raise InputError(
            f"{name.text}: there is no {POINTS[group].role} {name.provider!r}",
            fix=f"{guess(group, name.text)}Known: {known(group)}, or module:Class for one of your own.",
        )
    return places[0]


# -- classes to objects -----------------------------------------------------------------------------------


def load_chat_model(text: str, **options: object) -> ChatModel:
    """Makes the chat model that `provider/model` or `module:Class[/model]` names.

    Args:
        options: keyword arguments for the class; options in the name win over these.

    Raises:
        InputError: unknown provider or option, missing extra, a class that lacks a member of the protocol.
    """
    model: ChatModel = _make("overt.chat_models", text, options)
    return model


def load_target(text: str, **options: object) -> Target:
    """Makes the target that `provider/model` or `module:Class[/model]` names.

    Args:
        options: keyword arguments for the class; those that it does not take are left out. Options in
            the name win over these, and the class must take them.

    Raises:
        InputError: as `load_chat_model`.
    """
    target: Target = _make_with_accepted("overt.targets", text, options)
    return target


def load_filter(text: str, **options: object) -> TextFilter:
    """Makes the text filter that `filter/NAME[/MODEL][?key=value&...]` or `module:Class` names.

    Args and Raises: as `load_target`.
    """
    text_filter: TextFilter = _make_with_accepted("overt.filters", text, options)
    return text_filter


def load_checker(text: str, **options: object) -> ImageChecker:
    """Makes the image checker that `checker/NAME[/MODEL][?key=value&...]` or `module:Class` names.

    Args and Raises: as `load_target`.
    """
    checker: ImageChecker = _make_with_accepted("overt.checkers", text, options)
    return checker


def load_scorer(text: str, **options: object) -> FaithfulnessScorer:
    """Makes the faithfulness scorer that `clip/MODEL`, `text/MODEL` ... or `module:Class` names.

    Args and Raises: as `load_target`.
    """
    scorer: FaithfulnessScorer = _make_with_accepted("overt.scorers", text, options)
    return scorer


def load_refusal_judge(text: str, **options: object) -> RefusalJudge:
    """Makes the offline refusal judge that `judge/rules` or `module:Class` names.

    Args and Raises: as `load_target`.
    """
    judge: RefusalJudge = _make_with_accepted("overt.refusal_judges", text, options)
    return judge


def load_environment(text: str) -> Environment:
    """Makes the environment that a suite names: NAME of a built-in or a plugin's, or `module:Class`.

    Raises:
        InputError: as `load_chat_model`.
    """
    made: Environment = _make(
        "overt.environments", text if ":" in text else f"environment/{text.replace('_', '-')}", {}
    )
    return made


def find(group: str, text: str) -> Any | None:
    """Makes the writer, rewriter or judge that `builtin/NAME` or `module:Class` names. Returns None if the
    name means something else, such as a chat model.

    Raises:
        InputError: as `load_chat_model`.
    """
    return _make(group, text, {}) if _plays(group, text) else None


def taken(group: str, text: str, options: Mapping[str, object]) -> dict[str, object]:
    """The options that the class of a name takes as arguments, or that of the model behind it."""
    found = accepted(resolve(group, text), options)
    return found if (inner := _inner(text)) is None else taken(group, inner, options) | found


def is_filter(text: str) -> bool:
    """Whether a name means a text filter. The functions of a user's class decide what it is.

    Raises:
        InputError: the user's class cannot be imported.
    """
    return _plays("overt.filters", text)


def is_checker(text: str) -> bool:
    """Whether a name means an image checker; see `is_filter`."""
    return _plays("overt.checkers", text)


def is_chat_model(text: str) -> bool:
    """Whether a user's class is a chat model; see `is_filter`."""
    return _plays("overt.chat_models", text)


def _plays(group: str, text: str) -> bool:
    name = read_name(text)
    if name.own:
        return not lacking(POINTS[group].members, _maker(group, name))
    return bool(name.provider) and name.provider == POINTS[group].prefix


def _make_with_accepted(group: str, text: str, options: Mapping[str, object]) -> Any:
    return _make(group, text, taken(group, text, options))


def _make(group: str, text: str, options: Mapping[str, object]) -> Any:
    made = _made(group, text, options)
    tell_notes(without_keys(text), made)
    return made


def _made(group: str, text: str, options: Mapping[str, object]) -> Any:
    point, name = POINTS[group], parse(group, text)
    maker = _maker(group, name)
    if inspect.isclass(maker):  # checked early, because making a model may take minutes
        check_members(text, point.role, point.members, maker)
    first: list[object] = [name.model] if name.model else []
    own = {k: v for k, v in name.options.items() if k in WRAPPERS.get(name.provider, name.options)}
    if (inner := _inner(text)) is not None:
        first, options = [_made(group, inner, options)], {}
    options = dict(options) | typed(maker, own, text)
    check_arguments(maker, text, name.model, options)
    try:
        made = maker(*first, **options)
    except OvertError:
        raise
    except ModuleNotFoundError as error:
        raise missing_package(text, error) from error
    except (Exception, SystemExit) as error:
        raise InputError(f"{text} cannot be made: {in_words(error)}") from error
    check_members(text, point.role, point.members, made)
    own_name = getattr(made, "name", None)
    if not isinstance(own_name, str) or not own_name.strip():
        raise InputError(f"{text} has no name", fix="Give it an attribute such as  name = 'vendor/model'.")
    if point.is_renamed and name.is_more_than_a_model:
        _rename(made, text)
    return made


def _rename(made: Any, text: str) -> None:
    try:
        made.name = without_keys(text)
    except AttributeError as error:
        raise InputError(
            f"{text}: its class does not let its name be set, so it can take no options in its name",
            fix="Make `name` a plain attribute.",
        ) from error
