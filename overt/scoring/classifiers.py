"""Presets of well-known safety classifiers (classifiers.yaml): what their labels mean, with the source."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from overt.data.errors import InputError
from overt.data.local.folders import saved_from

if TYPE_CHECKING:
    from overt.scoring.classifier_schema import Entry

Reads = Literal["text", "picture"]
# The Hub's cache: models--OWNER--NAME/snapshots/REVISION
_CACHED = re.compile(r"models--(?P<owner>[\w.-]+?)--(?P<name>[\w.-]+)")


@dataclass(frozen=True, slots=True)
class Preset:
    """What is known of a classifier.

    hub: its ids on the Hub.
    labels: names of its outputs.
    spellings: each label with its other spellings, by plain name.
    in_order: the labels stand in the order of the outputs, so that a model without names can be read.
    blocks: the labels that block.
    inverted: the one output is high for what is harmless.
    """

    name: str
    hub: tuple[str, ...]
    reads: Reads
    labels: tuple[str, ...]
    spellings: tuple[frozenset[str], ...]
    in_order: bool
    blocks: tuple[str, ...]
    activation: Literal["sigmoid", "softmax"]
    inverted: bool
    threshold: float | None
    covers: tuple[str, ...]
    sources: tuple[str, ...]
    note: str

    def named(self, names: Sequence[str]) -> tuple[str, ...] | None:
        """The preset's names for the outputs of a model, in the outputs' order; None if the model's names
        are others."""
        if len(names) != len(self.labels):
            return None
        if self.in_order and all(has_no_name(name) for name in names):
            return self.labels
        places = [self._place(name) for name in names]
        if None in places or len(set(places)) < len(places):
            return None
        return tuple(self.labels[place] for place in places if place is not None)

    def _place(self, name: str) -> int | None:
        flat = plain(name)
        return next((n for n, spelt in enumerate(self.spellings) if flat in spelt), None)


@dataclass(frozen=True, slots=True)
class Found:
    """A preset for a model. `why`: how it was found. `is_named`: by the user, or by the model's own id."""

    preset: Preset
    why: str
    is_named: bool


def find_preset(head: str, model: str, reads: Reads, asked: str | None) -> Found | None:
    """The preset of a model: the one that was asked for, else by its id on the Hub, by its folder in the
    Hub's cache, or by `_name_or_path` in the config.json of its folder.

    Args:
        head: the model as the user wrote it, for messages.
        asked: the name of a preset or a Hub id; "none" for no preset.

    Raises:
        InputError: there is no such preset, or it is of the other kind of model.
    """
    if asked == "none":
        return None
    table = presets()
    by_id = {known.casefold(): preset for preset in table.values() for known in preset.hub}
    if asked is not None:
        preset = table.get(asked) or by_id.get(asked.casefold())
        if preset is None or preset.reads != reads:
            names = [name for name, known in table.items() if known.reads == reads]
            near = difflib.get_close_matches(asked, names, n=1)
            wrong = f"the preset {asked} reads a {preset.reads}" if preset else f"no preset {asked!r}"
            raise InputError(
                f"{head}: {wrong}",
                fix=(f"Did you mean {near[0]}? " if near else "") + f"Known: {', '.join(names)}.",
            )
        return Found(preset, "named", True)
    for known, why, is_named in _ids_of(model):
        preset = by_id.get(known.casefold())
        if preset is not None and preset.reads == reads:
            return Found(preset, why, is_named)
    return None


def _ids_of(model: str) -> list[tuple[str, str, bool]]:
    """(Hub id, how it is known, whether the model itself has that id)."""
    folder = Path(model).expanduser()
    if not folder.is_dir():
        return [(model, f"of {model}", True)]
    ids = []
    for part in folder.absolute().parts:
        if cached := _CACHED.fullmatch(part):
            known = f"{cached['owner']}/{cached['name']}"
            ids.append((known, f"of {known}, by its folder in the Hub's cache", True))
    if told := saved_from(folder):
        ids.append((told, f"of {told}, which its config.json names as its origin", False))
    return ids


@lru_cache(maxsize=1)
def presets() -> dict[str, Preset]:
    """All presets by name."""
    from overt.scoring.classifier_schema import read_table

    place = resources.files("overt.scoring").joinpath("classifiers.yaml")
    return {name: _preset(name, entry) for name, entry in read_table(Path(str(place))).items()}


def _preset(name: str, entry: Entry) -> Preset:
    spelt = [label.split("|") for label in entry.labels]
    return Preset(
        name,
        entry.hub,
        entry.reads,
        tuple(spellings[0] for spellings in spelt),
        tuple(frozenset(map(plain, spellings)) for spellings in spelt),
        entry.in_order,
        entry.blocks,
        entry.activation,
        entry.inverted,
        entry.threshold,
        entry.covers,
        entry.source,
        entry.note,
    )


def plain(name: str) -> str:
    """A label's name in lower case, with one "_" for whatever stands between its words."""
    return re.sub(r"[\W_]+", "_", name.casefold()).strip("_")


def has_no_name(name: str) -> bool:
    """Whether a label is what transformers writes where the author gave none: LABEL_0."""
    return bool(re.fullmatch(r"label_?\d+", plain(name)))
