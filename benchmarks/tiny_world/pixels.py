"""What is in a picture, read off its pixels by rule: no model has a say.

The ground is the commonest colour of the rim. What differs from it is the thing: its colour is that of most
of its pixels, its count the number of connected parts, its form that whose silhouette covers it best.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
from scenes import COLOURS, FORMS, GROUNDS, SIDE, Scene, silhouette

_APART = 60  # Euclidean distance in RGB from which on a pixel is not ground
_SPECK = 8  # smaller parts are no things, in pixels
_TILE = 20  # side of the silhouettes that are laid on each other


@dataclass(frozen=True, slots=True)
class Seen:
    """What the rules read: form "" where there is nothing on the ground."""

    form: str
    colour: str
    ground: str
    count: int

    def fits(self, scene: Scene) -> bool:
        """Whether ground, colour and form are those of the scene."""
        return (self.form, self.colour, self.ground) == (scene.form, scene.colour, scene.ground)


def look(picture: np.ndarray) -> Seen:
    """uint8 of shape (32, 32, 3) in, what it shows out."""
    pixels = picture.astype(np.float32)
    rim = np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])
    ground = _commonest(rim, GROUNDS)
    # Off by how much this picture's ground is off: its own tint is no thing.
    own = np.median(rim[_nearest(rim, GROUNDS) == list(GROUNDS).index(ground)], axis=0)
    mask = np.linalg.norm(pixels - own, axis=2) > _APART
    parts = [part for part in _parts(mask) if part.sum() >= _SPECK]
    if not parts:
        return Seen("", "", ground, 0)
    inner = _inner(mask) if _inner(mask).sum() >= _SPECK else mask
    colour = _commonest(pixels[inner], {k: v for k, v in COLOURS.items() if v != GROUNDS[ground]})
    full = np.array(COLOURS[colour], np.float32)
    # Each pixel's share of the thing: where it lies between the ground's colour and the thing's.
    way = full - own
    share = np.clip((pixels - own) @ way / float(way @ way), 0, 1)
    votes: dict[str, float] = {}
    for part in parts:
        grown = _grown(part)
        for form, likeness in _likeness(np.where(grown, share, 0)).items():
            votes[form] = votes.get(form, 0.0) + likeness
    return Seen(max(votes, key=votes.__getitem__, default=""), colour, ground, len(parts))


def _nearest(pixels: np.ndarray, palette: dict[str, tuple[int, int, int]]) -> np.ndarray:
    colours = np.array(list(palette.values()), np.float32)
    return np.asarray(np.linalg.norm(pixels[:, None] - colours, axis=2).argmin(1))


def _commonest(pixels: np.ndarray, palette: dict[str, tuple[int, int, int]]) -> str:
    return list(palette)[int(np.bincount(_nearest(pixels, palette), minlength=len(palette)).argmax())]


def _inner(mask: np.ndarray) -> np.ndarray:
    """Without the rim, where the colours run into each other."""
    padded = np.pad(mask, 1)
    return mask & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]


def _grown(mask: np.ndarray) -> np.ndarray:
    padded = np.pad(mask, 1)
    return np.asarray(
        np.any([padded[dy : dy + SIDE, dx : dx + SIDE] for dy, dx in product(range(3), repeat=2)], axis=0)
    )


def _parts(mask: np.ndarray) -> list[np.ndarray]:
    """The connected parts of a mask, diagonal neighbours included, largest first."""
    left, found = mask.copy(), []
    while left.any():
        part = np.zeros_like(mask)
        part[tuple(np.argwhere(left)[0])] = True
        while True:
            more = _grown(part) & left
            if (more == part).all():
                break
            part = more
        left &= ~part
        found.append(part)
    return sorted(found, key=lambda part: -int(part.sum()))


def _tile(share: np.ndarray) -> np.ndarray:
    """The part of the picture that is covered, scaled to a square that keeps the sides' ratio."""
    ys, xs = np.nonzero(share > 0.4)
    top, left = ys.min(), xs.min()
    height, width = ys.max() - top + 1, xs.max() - left + 1
    side = max(height, width)
    # Bilinear, by hand: the centre of the covered box onto the centre of the tile.
    steps = (np.arange(_TILE) + 0.5) / _TILE * side - side / 2 - 0.5
    y = np.clip(top + height / 2 + steps, 0, SIDE - 1)
    x = np.clip(left + width / 2 + steps, 0, SIDE - 1)
    y0, x0 = np.floor(y).astype(int), np.floor(x).astype(int)
    y1, x1 = np.minimum(y0 + 1, SIDE - 1), np.minimum(x0 + 1, SIDE - 1)
    fy, fx = (y - y0)[:, None], (x - x0)[None, :]
    return np.asarray(
        (share[np.ix_(y0, x0)] * (1 - fx) + share[np.ix_(y0, x1)] * fx) * (1 - fy)
        + (share[np.ix_(y1, x0)] * (1 - fx) + share[np.ix_(y1, x1)] * fx) * fy
    )


@cache
def _templates() -> tuple[list[str], np.ndarray]:
    """Tiles of every form at several sizes and tilts."""
    names, tiles = [], []
    for form in FORMS:
        for radius, degrees in product((5.2, 6.5, 8.0, 11.0), (-6, 0, 6)):
            for shift in (0.0, 0.5):
                names.append(form)
                tiles.append(_tile(silhouette(form, SIDE / 2 + shift, SIDE / 2 + shift, radius, degrees)))
    return names, np.stack(tiles)


def _likeness(share: np.ndarray) -> dict[str, float]:
    """Each form's best overlap with what is covered: intersection over union, from 0 to 1."""
    if not (share > 0.4).any():
        return {}
    names, tiles = _templates()
    tile = _tile(share)
    overlap = np.minimum(tiles, tile).sum((1, 2)) / np.maximum(tiles, tile).sum((1, 2))
    best: dict[str, float] = {}
    for name, value in zip(names, overlap.tolist(), strict=True):
        best[name] = max(best.get(name, 0.0), value)
    return {name: value if math.isfinite(value) else 0.0 for name, value in best.items()}
