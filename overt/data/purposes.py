"""What the prompts of a policy are for, as cards say it."""

from __future__ import annotations

from dataclasses import dataclass

from overt.data.json_types import Json


@dataclass(frozen=True, slots=True)
class Purpose:
    """models: as in "for ... models". task: the Hub's name for what they do."""

    models: str
    task: str


_PURPOSES = {
    "text": Purpose("text", "text-generation"),
    "image": Purpose("text-to-image", "text-to-image"),
    "edit": Purpose("image-editing", "image-to-image"),
}


def purpose_of(asks_for: Json) -> Purpose:
    """The purpose of prompts that ask for text, an image or an edit; of an unknown one an image's."""
    return _PURPOSES.get(str(asks_for), _PURPOSES["image"])
