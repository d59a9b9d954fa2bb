"""What the replays of all games share: the frame, the colours, the clock, the time line, the result.

A replay is one SVG that plays in a loop by SMIL: without scripts, ids, or anything from outside, so that it
works as <img src="data:..."> and several of them stand on one page. Colours follow the reader's light or dark
page; whoever asks for less motion sees the end of the battle alone, and so does everybody where the SVG has
the class `stopped`. A game draws its scene:

    clock = Clock(last=battle.ticks, seconds=clock_seconds(0.05 * battle.ticks))
    unit = group([box(x, y, 40, 20, "left"), text(x + 20, y + 14, name), clock.shown(enters, leaves)])
    frame = Film(title, "humans 1,900 of 2,000", ("0 s", "12 s"), (680, 260), "The humans won")
    return film(frame, clock, moving=[unit, ...], still=[...])
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

HEAD, FOOT, EDGE = 46, 40, 14  # of the frame, in pixels: above the scene, below it, at its sides
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LONGEST = 80  # characters of a text
_LETTER = 5.0  # the usual width of a character of a tiny text, in pixels

# Colours by class, for a light and a dark page. `left` and `right` are the sides in a game's order.
_LIGHT = {
    "paper": "#ffffff", "ink": "#1f2328", "soft": "#59636e", "line": "#d1d9e0", "field": "#f6f8fa",
    "left": "#cfe3fb", "left-edge": "#0550ae", "right": "#ffdfc9", "right-edge": "#a33d00",
    "good": "#1a7f37", "bad": "#cf222e", "spark": "#bf8700",
}  # fmt: skip
_DARK = {
    "paper": "#151b23", "ink": "#f0f6fc", "soft": "#9198a1", "line": "#3d444d", "field": "#1c232c",
    "left": "#17365d", "left-edge": "#79b8ff", "right": "#5a2a0c", "right-edge": "#ffa657",
    "good": "#3fb950", "bad": "#f85149", "spark": "#e3b341",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Film:
    """What the frame says.

    note: beside the title (what the plans cost). span: the labels at both ends of the time line. size: of the
    scene, in pixels. result: shown over the scene when all is over.
    """

    title: str
    note: str
    span: tuple[str, str]
    size: tuple[float, float]
    result: str


def clock_seconds(battle_seconds: float) -> float:
    """How long a battle plays: two thirds of its own time, from 4 to 20 s."""
    return min(max(battle_seconds / 1.5, 4.0), 20.0)


@dataclass(frozen=True, slots=True)
class Clock:
    """Turns moments of a battle (ticks, or rounds) into those of the film.

    Attributes:
        last: the moment of the end.
        seconds: how long the battle plays; then the end stands still for `hold` seconds, and it begins anew.
    """

    last: float
    seconds: float
    hold: float = 3.0

    @property
    def cycle(self) -> float:
        return self.seconds + self.hold

    def share(self, moment: float) -> float:
        """A moment as a share of the cycle, from 0 to 1."""
        played = min(max(moment / self.last, 0.0), 1.0) if self.last > 0 else 1.0
        return played * self.seconds / self.cycle

    def animate(
        self, attribute: str, moments: Sequence[tuple[float, float | str]], *, jump: bool = False
    ) -> str:
        """An animation to be put into a shape: the attribute has these values at these moments, which must
        not go back. Between them it glides, or with `jump` keeps the last one. Empty where there is none."""
        if not moments:
            return ""
        times, values = self._keys(moments, jump)
        mode = ' calcMode="discrete"' if jump else ""
        return f'<animate attributeName="{attribute}"{mode} {self._rhythm(times, values)}/>'

    def glide(self, moments: Sequence[tuple[float, float, float]], *, jump: bool = False) -> str:
        """Moves a group: (moment, x, y) each."""
        if not moments:
            return ""
        pairs = [(moment, f"{short(x)} {short(y)}") for moment, x, y in moments]
        times, values = self._keys(pairs, jump)
        mode = ' calcMode="discrete"' if jump else ""
        rhythm = self._rhythm(times, values)
        return f'<animateTransform attributeName="transform" type="translate"{mode} {rhythm}/>'

    def shown(self, start: float, end: float | None) -> str:
        """Shows a shape or a group from one moment to another, or to the end."""
        moments: list[tuple[float, float | str]] = [(0, "hidden"), (start, "visible")]
        if start <= 0:
            moments = [(0, "visible")]
        if end is not None:
            moments.append((end, "hidden"))
        return self.animate("visibility", moments, jump=True) if len(moments) > 1 else ""

    def _keys(self, moments: Sequence[tuple[float, float | str]], jump: bool) -> tuple[list[str], list[str]]:
        times, values = [], []
        for moment, value in moments:
            times.append(_time(self.share(moment)))
            values.append(short(value) if isinstance(value, (int, float)) else value)
        if times[0] != "0":
            times.insert(0, "0")
            values.insert(0, values[0])
        if not jump and times[-1] != "1":
            times.append("1")
            values.append(values[-1])
        return times, values

    def _rhythm(self, times: Sequence[str], values: Sequence[str]) -> str:
        keys = f'keyTimes="{";".join(times)}" values="{";".join(values)}"'
        return f'dur="{short(self.cycle)}s" repeatCount="indefinite" {keys}'


def _time(share: float) -> str:
    return f"{share:.5f}".rstrip("0").rstrip(".") or "0"


def short(value: float) -> str:
    """A number with at most two decimals."""
    said = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if said == "-0" else said


def escaped(said: str) -> str:
    """A text for SVG: cut to a line, without what XML does not take."""
    cut = said if len(said) <= _LONGEST else said[: _LONGEST - 1] + "\N{HORIZONTAL ELLIPSIS}"
    return html.escape(_NOT_XML.sub("\N{REPLACEMENT CHARACTER}", cut))


# -- shapes --------------------------------------------------------------------------------------------------


def text(x: float, y: float, said: str, look: str = "", *, room: float = 0, inner: str = "") -> str:
    """A line of text, centred at x.

    Args:
        look: classes ("soft", "tiny", "small", "strong", "start", "end").
        room: the pixels that it has; a text that is likely to be longer is squeezed into them. 0: any number.
    """
    look = f' class="{look}"' if look else ""
    is_long = room > 0 and len(said) * _LETTER > room
    squeezed = f' textLength="{short(room)}" lengthAdjust="spacingAndGlyphs"' if is_long else ""
    return f'<text x="{short(x)}" y="{short(y)}"{look}{squeezed}>{escaped(said)}{inner}</text>'


def box(
    x: float, y: float, width: float, height: float, look: str, *, round: float = 4, inner: str = ""
) -> str:
    """A rectangle. `look`: a class ("left", "right", "field", "good", "bad", "spark", "glow", "line")."""
    place = f'x="{short(x)}" y="{short(y)}" width="{short(width)}" height="{short(height)}"'
    return f'<rect class="{look}" {place} rx="{short(round)}">{inner}</rect>'


def group(parts: Iterable[str], *, x: float = 0, y: float = 0, hidden: bool = False) -> str:
    """Shapes and their animations, moved together. `hidden`: until an animation shows them."""
    at = f' transform="translate({short(x)} {short(y)})"' if x or y else ""
    unseen = ' visibility="hidden"' if hidden else ""
    return f"<g{at}{unseen}>{''.join(parts)}</g>"


def film(film: Film, clock: Clock, moving: Iterable[str], still: Iterable[str]) -> str:
    """The whole replay.

    Args:
        moving: the animated scene, with the scene's upper left corner at 0, 0.
        still: the scene at the end, for whoever asks for less motion.
    """
    wide, high = film.size
    width, height = wide + 2 * EDGE, high + HEAD + FOOT
    said = escaped(f"{film.title}: {film.result}")
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="overt-replay" role="img" aria-label="{said}" '
        f'viewBox="0 0 {short(width)} {short(height)}" width="{short(width)}" height="{short(height)}">',
        f"<title>{said}</title>{_style()}",
        box(0.5, 0.5, width - 1, height - 1, "paper", round=8),
        text(EDGE, 29, film.title, "start title"),
        text(width - EDGE, 29, film.note, "end soft"),
    ]
    scene = [
        '<g class="moving">',
        group(moving, x=EDGE, y=HEAD),
        _time_line(film, clock, high + HEAD),
        _result(film, clock.shown(clock.last, None)),
        "</g>",
        f'<g class="still">{group(still, x=EDGE, y=HEAD)}{_result(film, "")}</g>',
    ]
    return "".join([*head, *scene, "</svg>"])


def _time_line(film: Film, clock: Clock, top: float) -> str:
    wide = film.size[0]
    grows = clock.animate("width", [(0, 0), (clock.last, wide)])
    return (
        box(EDGE, top + 12, wide, 4, "line", round=2)
        + box(EDGE, top + 12, wide, 4, "soft-fill", round=2, inner=grows)
        + text(EDGE, top + 30, film.span[0], "start soft small")
        + text(EDGE + wide, top + 30, film.span[1], "end soft small")
    )


def _result(film: Film, appears: str) -> str:
    wide, high = film.size
    width = min(9.0 * len(film.result) + 40, wide)
    x, y = EDGE + wide / 2, HEAD + high / 2
    banner = box(x - width / 2, y - 20, width, 40, "banner", round=8)
    return group([banner, text(x, y + 6, film.result, "strong"), appears], hidden=bool(appears))


def _style() -> str:
    """Rules that hold inside a replay alone, even where it stands in the page itself."""
    rules = "".join(
        [
            ".overt-replay{font:11px system-ui,'Segoe UI',Roboto,Helvetica,Arial,sans-serif}",
            ".overt-replay text{fill:var(--ink);text-anchor:middle}",
            ".overt-replay .start{text-anchor:start}.overt-replay .end{text-anchor:end}",
            ".overt-replay .title{font-size:16px;font-weight:600}",
            ".overt-replay .strong{font-size:15px;font-weight:600}.overt-replay .small{font-size:10px}",
            ".overt-replay .tiny{font-size:9px}.overt-replay .soft{fill:var(--soft)}",
            ".overt-replay .soft-fill{fill:var(--soft)}.overt-replay .line{fill:var(--line)}",
            ".overt-replay .paper,.overt-replay .banner{fill:var(--paper);stroke:var(--line)}",
            ".overt-replay .banner{stroke:var(--ink)}",
            ".overt-replay .field{fill:var(--field);stroke:var(--line)}",
            ".overt-replay .left{fill:var(--left);stroke:var(--left-edge)}",
            ".overt-replay .right{fill:var(--right);stroke:var(--right-edge)}",
            ".overt-replay .good{fill:var(--good)}.overt-replay .bad{fill:var(--bad)}",
            ".overt-replay .spark{fill:var(--spark);stroke:var(--spark)}",
            ".overt-replay .glow{fill:var(--spark);opacity:.45}",
            ".overt-replay .still,.overt-replay.stopped .moving{display:none}",
            ".overt-replay.stopped .still{display:inline}",
            "@media (prefers-reduced-motion:reduce){",
            ".overt-replay .moving{display:none}.overt-replay .still{display:inline}}",
        ]
    )
    light, dark = (";".join(f"--{name}:{value}" for name, value in each.items()) for each in (_LIGHT, _DARK))
    scheme = f".overt-replay{{{light}}}@media (prefers-color-scheme:dark){{.overt-replay{{{dark}}}}}"
    return f"<style>{scheme}{rules}</style>"
