"""The roles that a plugin can play."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from overt.data.plugins.members import Call


@dataclass(frozen=True, slots=True)
class ExtensionPoint:
    """A role that a plugin can play, and what an object needs for it.

    group: the entry-point group.
    role: the role's name in messages.
    prefix: the text before the first slash of a name; "" if the provider comes first.
    members: the functions that the object has besides a `name`, and how each is called.
    is_renamed: whether the object's name becomes the user's text if that holds options. Two judges may be
        one model at two endpoints, and the records and the journal tell them apart by name.
    """

    group: str
    role: str
    prefix: str
    members: Mapping[str, Call]
    is_renamed: bool = False


POINTS: dict[str, ExtensionPoint] = {
    point.group: point
    for point in (
        ExtensionPoint(
            "overt.chat_models", "chat model", "", {"complete": "coroutine", "close": "coroutine"}, True
        ),
        ExtensionPoint("overt.targets", "target", "", {"respond": "either"}, True),
        ExtensionPoint("overt.filters", "text filter", "filter", {"decide": "plain"}),
        ExtensionPoint("overt.checkers", "image checker", "checker", {"check": "plain"}),
        ExtensionPoint("overt.rewriters", "rewriter", "builtin", {"rewrite": "plain"}),
        ExtensionPoint("overt.scorers", "faithfulness scorer", "", {"score": "plain"}, True),
        ExtensionPoint("overt.refusal_judges", "refusal judge", "judge", {"judge": "plain"}),
        ExtensionPoint("overt.writers", "writer", "builtin", {"compose": "plain", "twins": "plain"}),
        ExtensionPoint("overt.judges", "judge", "builtin", {"audit_text": "plain"}),
        ExtensionPoint(
            "overt.environments",
            "environment",
            "environment",
            {"tasks": "plain", "start": "plain", "figures": "plain"},
        ),
    )
}
