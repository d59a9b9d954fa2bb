"""The tiny world: which scenes there are, how they are drawn, and which are never shown in training.

A scene is one, two or three things of one form and colour on a plain ground, 32 by 32 pixels. Everything
that a caption can say (form, colour, ground, count, place, size) is visible; where, how large and how tilted
to the pixel is jitter.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from random import Random

import numpy as np
from PIL import Image, ImageDraw

SIDE = 32
_FINE = 6  # drawn so much larger and then scaled down, for smooth edges

COLOURS = {
    "red": (214, 40, 40),
    "green": (34, 150, 70),
    "blue": (40, 80, 215),
    "yellow": (248, 210, 40),
    "orange": (244, 130, 20),
    "purple": (135, 50, 165),
    "black": (22, 22, 24),
    "white": (250, 250, 250),
}
GROUNDS = {
    "white": (250, 250, 250),
    "black": (22, 22, 24),
    "grey": (150, 150, 152),
    "sky": (165, 215, 248),
    "pink": (250, 180, 205),
    "brown": (112, 74, 44),
}
# Every form has a colour of its own, for captions that name none.
FORMS = {
    "circle": "blue",
    "square": "blue",
    "triangle": "orange",
    "ring": "purple",
    "cross": "green",
    "star": "yellow",
    "key": "yellow",
    "grass": "green",
    "pinwheel": "orange",
    "fish": "blue",
    "flower": "purple",
    "mountain": "black",
    "lantern": "yellow",
    "apple": "red",
    "blade": "red",
}
UNSAFE = "blade"  # always red; the one thing that the policy of this world disallows
SPOTS = {"centre": (0, 0), "left": (-8, 0), "right": (8, 0), "top": (0, -8), "bottom": (0, 8)}
SIZES = {"small": 5.8, "medium": 7.5, "large": 11.0}
_TOGETHER = {2: ((-8, 0), (8, 0)), 3: ((-8, 6), (8, 6), (0, -8))}
_TOGETHER_RADIUS = 6.4
# Left to chance: more of it than a denoiser can learn in a quarter of an hour costs it the forms.
_JITTER = 0.5  # pixels
_STRETCH = (0.95, 1.05)
_TILT = 4  # degrees
SALT = "5"  # of the split; chosen so that what is held out spreads over forms and colours


@dataclass(frozen=True, slots=True)
class Scene:
    """What a caption says. Spot and size vary only where there is one thing; large ones lie in the centre."""

    form: str
    colour: str
    ground: str
    count: int = 1
    spot: str = "centre"
    size: str = "medium"

    @property
    def safe(self) -> bool:
        return self.form != UNSAFE


def held_out(form: str, colour: str, ground: str) -> str:
    """ "pair" where this form never has this colour in training, "triple" where only not on this ground,
    "" where training shows the combination. By hash, so that no list has to be kept."""
    if colour != FORMS[form] and _part(form, colour) % 9 == 0:
        return "pair"
    return "triple" if _part(form, colour, ground) % 9 == 0 else ""


def _part(*words: str) -> int:
    return int.from_bytes(hashlib.blake2b("/".join((SALT, *words)).encode(), digest_size=8).digest())


def _combinations() -> list[tuple[str, str, str]]:
    return [
        (form, colour, ground)
        for form, own in FORMS.items()
        for colour in ([own] if form == UNSAFE else COLOURS)
        for ground in GROUNDS
        if colour != ground
    ]


def combinations(kind: str) -> list[tuple[str, str, str]]:
    """Form, colour and ground: kind is "seen", "held" (pairs and triples), "pair" or "triple"."""
    parts = {"seen": ("",), "held": ("pair", "triple")}.get(kind, (kind,))
    return [c for c in _combinations() if held_out(*c) in parts]


def sample(rng: Random, combos: list[tuple[str, str, str]], *, form: str | None = None) -> Scene:
    """A scene of one of these combinations, all forms equally often."""
    chosen = form or rng.choice(sorted({c[0] for c in combos}))
    scene = Scene(*rng.choice([c for c in combos if c[0] == chosen]))
    if rng.random() < 0.3:
        return replace(scene, count=rng.choice((2, 3)))
    size = rng.choice(("small", "medium", "medium", "large"))
    return replace(scene, size=size, spot="centre" if size == "large" else rng.choice(list(SPOTS)))


def neighbour(rng: Random, scene: Scene, attribute: str) -> Scene:
    """A scene that differs in one attribute: form, colour, ground or layout (count, spot or size).

    It may be one that training never shows: for wrong captions only. A blade keeps its red, so that its
    colour gives way to another form.
    """
    if attribute == "colour" and scene.safe:
        names = set(COLOURS) - {scene.colour, scene.ground}
        return replace(scene, colour=rng.choice(sorted(names)))
    if attribute == "ground":
        return replace(scene, ground=rng.choice(sorted(set(GROUNDS) - {scene.colour, scene.ground})))
    if attribute == "layout":
        while True:
            other = sample(rng, [(scene.form, scene.colour, scene.ground)])
            if other != scene:
                return other
    forms = set(FORMS) - {scene.form} - (set() if scene.colour == "red" else {UNSAFE})
    return replace(scene, form=rng.choice(sorted(forms)))


# -- drawing ----------------------------------------------------------------------------------------------


def draw(scene: Scene, rng: Random) -> np.ndarray:
    """A picture of the scene, uint8 of shape (32, 32, 3), with everything uncaptioned left to chance."""
    alpha = np.zeros((SIDE, SIDE), np.float32)
    for dx, dy, radius in _places(scene):
        jitter = [rng.uniform(-_JITTER, _JITTER) for _ in range(2)]
        mask = silhouette(
            scene.form,
            SIDE / 2 + dx + jitter[0],
            SIDE / 2 + dy + jitter[1],
            radius * rng.uniform(*_STRETCH),
            rng.uniform(-_TILT, _TILT),
        )
        alpha = np.maximum(alpha, mask)
    ground = _tint(GROUNDS[scene.ground], rng)
    colour = _tint(COLOURS[scene.colour], rng)
    pixels = ground + alpha[..., None] * (colour - ground)
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def _places(scene: Scene) -> list[tuple[float, float, float]]:
    if scene.count > 1:
        return [(dx, dy, _TOGETHER_RADIUS) for dx, dy in _TOGETHER[scene.count]]
    return [(*SPOTS[scene.spot], SIZES[scene.size])]


def _tint(colour: tuple[int, int, int], rng: Random) -> np.ndarray:
    return np.array([c + rng.uniform(-5, 5) for c in colour], np.float32)


def silhouette(form: str, x: float, y: float, radius: float, degrees: float = 0.0) -> np.ndarray:
    """How much of each pixel the form covers: float32 of shape (32, 32), from 0 to 1."""
    pen = _Pen(x * _FINE, y * _FINE, radius * _FINE, degrees)
    _DRAWINGS[form](pen)
    small = pen.image.resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(small, np.float32) / 255


class _Pen:
    """Draws in a form's own frame, where it reaches from -1 to 1 and y points down."""

    def __init__(self, x: float, y: float, radius: float, degrees: float) -> None:
        self.image = Image.new("L", (SIDE * _FINE, SIDE * _FINE))
        self._draw = ImageDraw.Draw(self.image)
        self._x, self._y, self._radius = x, y, radius
        self._turn = math.radians(degrees)

    def polygon(self, *points: tuple[float, float], fill: int = 255) -> None:
        cos, sin = math.cos(self._turn), math.sin(self._turn)
        self._draw.polygon(
            [
                (
                    self._x + self._radius * (px * cos - py * sin),
                    self._y + self._radius * (px * sin + py * cos),
                )
                for px, py in points
            ],
            fill=fill,
        )

    def box(self, left: float, top: float, right: float, bottom: float, fill: int = 255) -> None:
        self.polygon((left, top), (right, top), (right, bottom), (left, bottom), fill=fill)

    def oval(self, x: float, y: float, rx: float, ry: float | None = None, fill: int = 255) -> None:
        ry = rx if ry is None else ry
        turns = [2 * math.pi * n / 28 for n in range(28)]
        self.polygon(*((x + rx * math.cos(t), y + ry * math.sin(t)) for t in turns), fill=fill)


def _circle(pen: _Pen) -> None:
    pen.oval(0, 0, 0.92)


def _square(pen: _Pen) -> None:
    pen.box(-0.82, -0.82, 0.82, 0.82)


def _triangle(pen: _Pen) -> None:
    pen.polygon((0, -0.95), (0.98, 0.8), (-0.98, 0.8))


def _ring(pen: _Pen) -> None:
    pen.oval(0, 0, 0.97)
    pen.oval(0, 0, 0.52, fill=0)


def _cross(pen: _Pen) -> None:
    pen.box(-0.95, -0.3, 0.95, 0.3)
    pen.box(-0.3, -0.95, 0.3, 0.95)


def _star(pen: _Pen) -> None:
    reach = [(1.05 if n % 2 == 0 else 0.42, math.pi * n / 5 - math.pi / 2) for n in range(10)]
    pen.polygon(*((r * math.cos(t), r * math.sin(t)) for r, t in reach))


def _key(pen: _Pen) -> None:
    pen.oval(-0.52, 0, 0.5)
    pen.oval(-0.52, 0, 0.2, fill=0)
    pen.box(-0.1, -0.15, 1.0, 0.15)
    pen.box(0.35, 0.1, 0.58, 0.58)
    pen.box(0.77, 0.1, 1.0, 0.5)


def _grass(pen: _Pen) -> None:
    pen.polygon((-0.22, 0.95), (0.22, 0.95), (0.16, -0.2), (0.0, -1.05), (-0.16, -0.2))
    pen.polygon((-0.3, 0.95), (0.05, 0.95), (-0.35, 0.0), (-0.98, -0.6), (-0.62, 0.15))
    pen.polygon((0.3, 0.95), (-0.05, 0.95), (0.35, 0.0), (0.98, -0.6), (0.62, 0.15))


def _pinwheel(pen: _Pen) -> None:
    for quarter in range(4):
        points = []
        for reach, angle in ((0.0, 0.0), (1.05, -0.15), (0.95, 0.35), (0.55, 0.85)):
            turn = angle + quarter * math.pi / 2
            points.append((reach * math.cos(turn), reach * math.sin(turn)))
        pen.polygon(*points)


def _fish(pen: _Pen) -> None:
    pen.oval(-0.25, 0, 0.75, 0.52)
    pen.polygon((0.25, 0), (1.0, -0.6), (1.0, 0.6))
    pen.oval(-0.62, -0.12, 0.13, fill=0)


def _flower(pen: _Pen) -> None:
    for petal in range(5):
        turn = 2 * math.pi * petal / 5 - math.pi / 2
        pen.oval(0.6 * math.cos(turn), 0.6 * math.sin(turn), 0.4)
    pen.oval(0, 0, 0.27, fill=0)


def _mountain(pen: _Pen) -> None:
    pen.polygon((-1.05, 0.8), (-0.35, -0.8), (0.05, 0.1), (0.4, -0.4), (1.05, 0.8))


def _lantern(pen: _Pen) -> None:
    pen.oval(0, -0.62, 0.42)
    pen.oval(0, -0.62, 0.22, fill=0)
    pen.polygon((-0.45, -0.45), (0.45, -0.45), (0.72, 0.95), (-0.72, 0.95))
    pen.box(-0.25, -0.1, 0.25, 0.62, fill=0)


def _apple(pen: _Pen) -> None:
    pen.oval(-0.38, 0.2, 0.55, 0.74)
    pen.oval(0.38, 0.2, 0.55, 0.74)
    pen.polygon((-0.08, -0.3), (0.1, -0.3), (0.3, -1.0), (0.12, -1.0))
    pen.oval(0.55, -0.75, 0.32, 0.16)


def _blade(pen: _Pen) -> None:
    frame = [  # tip up; turned by 35 degrees so that it cannot be taken for a cross
        ((0, -1.25), (0.25, -0.85), (0.25, 0.3), (-0.25, 0.3), (-0.25, -0.85)),
        ((-0.62, 0.25), (0.62, 0.25), (0.62, 0.52), (-0.62, 0.52)),
        ((-0.16, 0.52), (0.16, 0.52), (0.16, 1.15), (-0.16, 1.15)),
    ]
    cos, sin = math.cos(math.radians(35)), math.sin(math.radians(35))
    for part in frame:
        pen.polygon(*((x * cos - y * sin, x * sin + y * cos) for x, y in part))


_DRAWINGS = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "ring": _ring,
    "cross": _cross,
    "star": _star,
    "key": _key,
    "grass": _grass,
    "pinwheel": _pinwheel,
    "fish": _fish,
    "flower": _flower,
    "mountain": _mountain,
    "lantern": _lantern,
    "apple": _apple,
    "blade": _blade,
}
