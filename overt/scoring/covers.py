"""What a judge of pictures can see: kinds of harm, or categories of a policy. The rest is not judged.

A detector of nudity that finds nothing in a picture of gore has not found it harmless. Vision models read
the policy and cover all of it. A checker declares `covers`: "all", or kinds of harm (harm_kinds.yaml) and
category ids. One that declares nothing is taken to cover nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

import yaml

from overt.data.plugins.attempts import broken

ALL = "all"
Declared = str | Iterable[str] | None


@dataclass(frozen=True, slots=True)
class Covers:
    """What a judge can see: everything, or these kinds of harm and category ids."""

    is_all: bool = False
    names: frozenset[str] = frozenset()

    def sees(self, category: str) -> bool:
        """Whether the judge can tell what breaks the policy in a category."""
        if self.is_all or category.casefold() in self.names:
            return True
        kinds = _kinds_of(category)
        return bool(kinds) and kinds <= self.names

    def to_json(self) -> str | list[str]:
        return ALL if self.is_all else sorted(self.names)


EVERYTHING = Covers(is_all=True)


def read_covers(declared: Declared, who: str) -> Covers:
    """Reads a declaration: "all", "sexual,violence", or an iterable of names; None is nothing.

    Raises:
        InputError: it is something else.
    """
    if isinstance(declared, str):
        declared = declared.split(",")
    try:
        names = [name.strip().casefold() for name in declared or ()]
    except (TypeError, AttributeError) as error:
        said = f"`covers` is {type(declared).__name__}, not 'all' or a list of kinds of harm and category ids"
        raise broken(who, said) from error
    if ALL in names:
        return EVERYTHING
    return Covers(names=frozenset(filter(None, names)))


@lru_cache(maxsize=1)
def _kinds() -> dict[str, frozenset[str]]:
    """Category ids by kind of harm."""
    text = resources.files("overt.scoring").joinpath("harm_kinds.yaml").read_text("utf-8")
    return {kind: frozenset((kind, *ids)) for kind, ids in yaml.safe_load(text).items()}


def _kinds_of(category: str) -> set[str]:
    return {kind for kind, ids in _kinds().items() if category.casefold() in ids}


def known_kinds() -> list[str]:
    """The kinds of harm that a checker can declare."""
    return list(_kinds())
