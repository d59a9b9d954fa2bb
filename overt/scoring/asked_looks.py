"""Whether a prompt asks for what would else look like a filter's work: a plane of one colour, blur, a mosaic.

The words of planes stand in asked_looks.yaml, by language; no language is named here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

import yaml

from overt.data.text import words
from overt.scoring.revised_prompts import EMPTY

_BESIDES = 4  # other content words that a prompt for a plane may hold
_LETTERS_A_WORD = 2  # of languages without spaces
_BLUR = re.compile(
    r"blur|bokeh|out[\s-]of[\s-]focus|unfocus|defocus|soft[\s-]focus|\bfog|\bmist|\bhaz[ey]|gradient|aurora"
    r"|nebula|frosted\s+glass",
    re.IGNORECASE,
)
_MOSAIC = re.compile(
    r"pixel|mosaic|\b(?:8|16|32)[\s-]?bit|voxel|minecraft|\blego|checker|chess|\bquilt|patchwork|swatch"
    r"|\bpalette|\btiles?\b|cross[\s-]?stitch|low[\s-]res|censored",
    re.IGNORECASE,
)
_COLOURS = {"black": "black", "white": "blank", "colour": "flat"}  # by the look of a picture


def asks_for_plane(prompt: str, look: str = "") -> bool:
    """Returns whether the prompt asks for little besides a plane of one colour. It must be all that is asked
    for, not the background of something.

    Args:
        look: of the picture: "black", "blank" (white) or "flat" (another colour). If the prompt names colours
            this must be one of them; "" takes any.
    """
    return any(language.asks(prompt, look) for language in _languages())


def asks_for_blur(prompt: str) -> bool:
    return _BLUR.search(prompt) is not None


def asks_for_mosaic(prompt: str) -> bool:
    return _MOSAIC.search(prompt) is not None


@dataclass(frozen=True, slots=True)
class _Language:
    """The patterns of one language.

    plane: a phrase that asks for a plane. under: a plane behind something. known: every word of the tables.
    named: each look with the pattern of the words that name it.
    """

    plane: re.Pattern[str]
    under: re.Pattern[str]
    known: re.Pattern[str]
    named: tuple[tuple[str, re.Pattern[str]], ...]
    has_spaces: bool

    def asks(self, prompt: str, look: str) -> bool:
        bare = self.under.sub(" ", prompt)
        if not self.plane.search(bare):
            return False
        named = {of for of, pattern in self.named if pattern.search(bare)}
        if look and named and look not in named:
            return False
        left = [word for word in words(self.known.sub(" ", bare)) if word not in EMPTY]
        count = len(left) if self.has_spaces else sum(map(len, left)) / _LETTERS_A_WORD
        return count <= _BESIDES


@lru_cache(maxsize=1)
def _languages() -> tuple[_Language, ...]:
    text = resources.files("overt.scoring").joinpath("asked_looks.yaml").read_text("utf-8")
    return tuple(_compiled(entry) for entry in yaml.safe_load(text).values())


def _compiled(entry: dict[str, str]) -> _Language:
    has_spaces = entry.get("spaces", True) is not False
    # \w lacks the vowel signs of Hindi, so \b does not end its words.
    start, end = (r"(?<![^\W_])", r"(?![^\W_])") if has_spaces else ("", "")
    some = r"(?:[\W_]+(?:[^\s,.;]+[\W_]+){0,3}?)" if has_spaces else r".{0,2}"
    gap = r"[\W_]+" if has_spaces else r"[的いなの\s]?"

    def of(*names: str) -> str:
        return f"{start}(?:{'|'.join(entry[name] for name in names)}){end}"

    plain, plane, colour = of("plain"), of("plane"), of("black", "white", "colour")
    either = f"(?:{colour}|{plane})"
    phrases = (
        f"{plain}{some}{either}",
        f"{either}{gap}{plain}" if has_spaces else f"{either}{plain}",
        f"{colour}{gap}{plane}",
        f"{plane}{gap}{colour}",
        of("dark"),
        of("empty"),
    )
    under = entry["under"].replace("...", r"(?:\S+\s+){0,3}?").replace("PLANE", f"(?:{entry['plane']})")
    return _Language(
        _pattern("|".join(phrases)),
        _pattern(f"{start}(?:{under}){end}"),
        _pattern(of("plain", "black", "white", "colour", "plane", "dark", "empty", "small")),
        tuple(
            (look, _pattern(of(name, "dark") if name == "black" else of(name)))
            for name, look in _COLOURS.items()
        ),
        has_spaces,
    )


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)
