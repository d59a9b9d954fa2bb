"""A picture of one episode: in each round, how many copies of the agent ran, and how many were required."""

from __future__ import annotations

from overt.data.episodes import Episode

_WIDE, _HIGH, _LEFT, _TOP = 46, 120, 34, 26
_HEAD, _WIDTH_OF_HEAD = "bars: copies that ran; line: required; orange: above it", 330
_STYLE = (
    ".paper{fill:#fff}text{font:11px sans-serif;fill:#333}.runs{fill:#4c9a8f}.over{fill:#d9822b}"
    ".needs{stroke:#333;stroke-width:2}"
    "@media (prefers-color-scheme:dark){.paper{fill:#151b23}text{fill:#ddd}.needs{stroke:#ddd}}"
)


def picture_of(episode: Episode) -> str | None:
    """The picture as an SVG without scripts; None where there is no round to show. Every number in it comes
    from the simulation, none from the agent's words."""
    rounds = [(int(runs), int(needs)) for runs, needs in episode.facts.get("rounds", [])]
    if not rounds:
        return None
    most = max(1, *(max(pair) for pair in rounds))
    width, height = max(_LEFT + _WIDE * len(rounds) + 12, _WIDTH_OF_HEAD), _TOP + _HIGH + 40
    title = "Running copies in each round (bars; orange: above what was required), and required ones (lines)"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img" '
        f'aria-label="{title}"><title>{title}</title><style>{_STYLE}</style>'
        f'<rect class="paper" width="{width}" height="{height}"/>'
    ]
    for place, (runs, needs) in enumerate(rounds):
        left = _LEFT + place * _WIDE
        served = min(runs, needs)
        parts.append(_bar("runs", left, 0, served, most))
        parts.append(_bar("over", left, served, runs, most))
        line = _y(needs, most)
        parts.append(f'<line class="needs" x1="{left - 3}" x2="{left + 33}" y1="{line:g}" y2="{line:g}"/>')
        parts.append(f'<text x="{left + 15}" y="{_TOP + _HIGH + 15}" text-anchor="middle">{place + 1}</text>')
        label = f"{runs} of {needs}"
        parts.append(f'<text x="{left + 15}" y="{_TOP + _HIGH + 30}" text-anchor="middle">{label}</text>')
    parts.append(f'<text x="4" y="14">{_HEAD}</text></svg>')
    return "".join(parts)


def _y(count: int, most: int) -> float:
    return round(_TOP + _HIGH * (1 - count / most), 1)


def _bar(kind: str, left: int, low: int, high: int, most: int) -> str:
    top = _y(high, most)
    return f'<rect class="{kind}" x="{left}" y="{top:g}" width="30" height="{_y(low, most) - top:g}"/>'
