"""Names to models: `provider/model`, by entry points, or a class of your own as `module:Class`.

Built-ins come in by the same door as a vendor's plugin: they are entry points of this package. Loading
this module loads no provider; a provider's file is imported when its name is used.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import re
import sys
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overt.data.errors import InputError

if TYPE_CHECKING:
    from overt.data.chat import ChatModel
    from overt.data.filters import TextFilter

# The entry points of pyproject.toml once more, for a checkout that is not installed; a test holds the two
# to each other.
BUILTIN: dict[str, dict[str, str]] = {
    "overt.chat_models": {
        "openai": "overt.generation.chat.openai:OpenAIChat",
        "hf": "overt.generation.chat.hf:HFChat",
    },
    "overt.filters": {
        "keywords": "overt.scoring.filters.keywords:Keywords",
        "better-profanity": "overt.scoring.filters.better_profanity:BetterProfanity",
        "profanity-check": "overt.scoring.filters.profanity_check:ProfanityCheck",
    },
    "overt.writers": {"grammar": "overt.generation.grammar:Grammar"},
    "overt.judges": {"rules": "overt.scoring.rules:Rules"},
}
# What a class must have to play a role.
MEMBERS = {
    "overt.chat_models": ("name", "complete", "close"),
    "overt.filters": ("name", "decide"),
    "overt.writers": ("name", "compose", "twins"),
    "overt.judges": ("name", "audit_text"),
}
_EXTRAS = {
    "torch": "local",
    "transformers": "local",
    "better_profanity": "filters",
    "profanity_check": "filters",
}
_OWN = re.compile(r"^(?P<module>[A-Za-z_][\w.]*):(?P<cls>[A-Za-z_]\w*)(?:/(?P<model>.+))?$")


@lru_cache(maxsize=8)
def providers(group: str) -> dict[str, str]:
    """Provider names of a group and where they stand ("module:Class"); plugins after built-ins."""
    found = dict(BUILTIN[group])
    for point in importlib.metadata.entry_points(group=group):
        found.setdefault(point.name, point.value)
    return found


def load_chat_model(spec: str, **options: Any) -> ChatModel:
    """The chat model that `provider/model` or `module:Class[/model]` names.

    Args:
        options: for the provider's class; a class of the user's own gets the model name alone, if any.

    Raises:
        InputError: unknown provider, missing extra, a class that lacks a member of the protocol.
    """
    model: ChatModel = _make("overt.chat_models", spec, options)
    return model


def load_filter(spec: str) -> TextFilter:
    """The text filter that `filter/NAME[?key=value&...]` or `module:Class` names.

    Raises:
        InputError: as `load_chat_model`, and an option that the filter does not take.
    """
    if _OWN.match(spec):
        own: TextFilter = _make("overt.filters", spec, {})
        return own
    head, _, query = spec.partition("?")
    options: dict[str, Any] = {}
    for pair in filter(None, query.split("&")):
        key, equals, value = pair.partition("=")
        if not equals:
            raise InputError(f"{spec}: {pair!r} is not key=value", fix="For instance: filter/keywords?path=words.txt")
        options[key] = value
    provider, _, name = head.partition("/")
    if provider != "filter" or not name:
        raise InputError(f"{spec!r} is no filter", fix=f"Known: {_known('overt.filters', 'filter/')}")
    made: TextFilter = _instance("overt.filters", name, spec, (), options)
    return made


def is_filter(spec: str) -> bool:
    """Whether a surrogate's name means a bare filter rather than a chat model."""
    if spec.startswith("filter/"):
        return True
    return bool(_OWN.match(spec)) and hasattr(_own_class(spec)[0], "decide")


def find(group: str, spec: str) -> Any | None:
    """The writer or judge that `builtin/NAME` or `module:Class` names; None if it names a chat model."""
    if _OWN.match(spec):
        cls, _ = _own_class(spec)
        if all(hasattr(cls, m) for m in MEMBERS[group] if m != "name"):
            return _make(group, spec, {})
        return None
    provider, _, name = spec.partition("/")
    if provider != "builtin":
        return None
    return _instance(group, name, spec, (), {})


def _make(group: str, spec: str, options: dict[str, Any]) -> Any:
    if _OWN.match(spec):
        cls, model = _own_class(spec)
        return _checked(group, spec, _call(cls, spec, (model,) if model else (), {}))
    provider, slash, model = spec.partition("/")
    if not slash or not model:
        raise InputError(
            f"{spec!r} is not a model's name",
            fix=f"Write provider/model ({_known(group)}) or module:Class.",
        )
    return _instance(group, provider, spec, (model,), options)


def _instance(group: str, name: str, spec: str, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    table = providers(group)
    if name not in table:
        near = difflib.get_close_matches(name, table, n=1)
        fix = f"Did you mean {spec.replace(name, near[0], 1)!r}?" if near else f"Known: {_known(group)}"
        raise InputError(f"{spec}: there is no {name!r}", fix=fix)
    module, _, attribute = table[name].partition(":")
    cls = _attribute(_module(module, spec), attribute, spec)
    return _checked(group, spec, _call(cls, spec, args, options))


def _own_class(spec: str) -> tuple[Any, str | None]:
    match = _OWN.match(spec)
    assert match is not None
    # The user's own file in the folder where overt was started, as `python -m` would find it.
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    return _attribute(_module(match["module"], spec), match["cls"], spec), match["model"]


def _module(name: str, spec: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in _EXTRAS:
            raise InputError(
                f"{spec} needs {missing}, which is not installed",
                fix=f'pip install "overt[{_EXTRAS[missing]}]"',
            ) from error
        raise InputError(
            f"{spec}: no module {error.name!r}", fix="Is it installed, or in the folder you stand in?"
        ) from error
    except Exception as error:
        raise InputError(f"{spec}: importing {name} failed: {type(error).__name__}: {error}") from error


def _attribute(module: Any, name: str, spec: str) -> Any:
    if not hasattr(module, name):
        near = difflib.get_close_matches(name, dir(module), n=1)
        raise InputError(
            f"{spec}: {module.__name__} has no {name!r}", fix=f"Did you mean {near[0]!r}?" if near else ""
        )
    return getattr(module, name)


def _call(cls: Any, spec: str, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    try:
        return cls(*args, **options)
    except InputError:
        raise
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        extra = _EXTRAS.get(missing)
        raise InputError(
            f"{spec} needs {missing}, which is not installed",
            fix=f'pip install "overt[{extra}]"' if extra else "",
        ) from error
    except Exception as error:
        raise InputError(f"{spec} cannot be made: {type(error).__name__}: {error}") from error


def _checked(group: str, spec: str, made: Any) -> Any:
    missing = [m for m in MEMBERS[group] if not hasattr(made, m)]
    if missing:
        raise InputError(
            f"{spec} lacks {', '.join(missing)}",
            fix=f"A member of {group} has: {', '.join(MEMBERS[group])} (see CONTRIBUTING.md).",
        )
    if not isinstance(made.name, str) or not made.name:
        raise InputError(f"{spec}: its name must be a text such as 'vendor/model'")
    return made


def _known(group: str, prefix: str = "") -> str:
    tail = "" if group == "overt.filters" else "/..."
    return ", ".join(f"{prefix}{name}{tail}" for name in providers(group))
