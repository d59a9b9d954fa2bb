"""What the shell proposes for a value: names from entry points, and the stems of YAML files.

It is asked at every Tab, so no model, no service and no file of the user's is looked at, and nothing heavy is
imported. Where no name begins like the word, the shell proposes files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from overt.data.errors import OvertError

if TYPE_CHECKING:
    from overt.tasks.option import Completes

Proposer = Callable[[str], list[str]]


def completer(kind: Completes) -> Proposer:
    """The function that Typer asks for the names of a kind that begin like a word."""

    def proposed(incomplete: str) -> list[str]:
        before, comma, word = incomplete.rpartition(",")  # --judges A,B,C
        try:
            return [f"{before}{comma}{name}" for name in names(kind) if name.startswith(word)]
        except OvertError:  # a message would stand in the middle of the command line
            return []

    return proposed


def names(kind: Completes) -> list[str]:
    """All names of a kind, sorted. One that ends with a slash or an equals sign goes on."""
    return sorted({name for source in _SOURCES.get(kind, ()) for name in source()})


def _providers(group: str) -> Callable[[], Iterable[str]]:
    """The names of an entry-point group, as `registry.known` writes them."""

    def listed() -> Iterable[str]:
        from overt import registry

        prefix = registry.POINTS[group].prefix
        for name in registry.providers(group):
            yield f"{prefix}/{name}{_GOES_ON.get(name, '')}" if prefix else f"{name}/"

    return listed


def _without_wrappers(source: Callable[[], Iterable[str]]) -> Callable[[], Iterable[str]]:
    """The names of models that are asked themselves."""

    def listed() -> Iterable[str]:
        from overt.data.plugins.wrapped import WRAPPERS

        return (name for name in source() if name.rstrip("/") not in WRAPPERS)

    return listed


def _policies() -> Iterable[str]:
    from overt.policies.load import shipped_policies

    return shipped_policies()


def _suites() -> Iterable[str]:
    from overt.data.suites.load import list_suites

    return list_suites()


def _episode_suites() -> Iterable[str]:
    from overt.data.suites.episodes.load import list_episode_suites

    return list_episode_suites()


def _recipes() -> Iterable[str]:
    from overt.tasks.recipes import list_recipes

    return list_recipes()


def _formats() -> Iterable[str]:
    from overt.tasks.export_config import FORMAT_NAMES

    return FORMAT_NAMES


# What must follow the name of a built-in filter, checker or scorer: its class takes no default for it.
_GOES_ON: Mapping[str, str] = {"keywords": "?path=", "hf": "/", "llavaguard": "/", "vlm": "/"}
_FILTERS, _CHECKERS = _providers("overt.filters"), _providers("overt.checkers")
_CHAT, _TARGETS = _providers("overt.chat_models"), _providers("overt.targets")
_IN_JSON = _without_wrappers(_CHAT)  # who is asked for JSON
_SOURCES: Mapping[str, tuple[Callable[[], Iterable[str]], ...]] = {
    "auditor": (_providers("overt.judges"), _IN_JSON),
    "checker": (_CHECKERS,),
    "export format": (_formats,),
    "filter": (_FILTERS,),
    "harm judge": (_CHECKERS, _FILTERS, _IN_JSON),
    "judge": (_providers("overt.refusal_judges"), _IN_JSON),
    "model": (_providers("overt.writers"), _IN_JSON),
    "policy": (_policies,),
    "probe": (_FILTERS, _IN_JSON),
    "recipe": (_recipes,),
    "rewriter": (_providers("overt.rewriters"), _IN_JSON),
    "scorer": (_providers("overt.scorers"),),
    "suite": (_suites,),
    "suite of any kind": (_suites, _episode_suites),
    "target": (_TARGETS, _CHAT, _FILTERS, lambda: ("guarded/",)),
}
