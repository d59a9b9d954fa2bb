"""An episode as plain JSON data for the page's script, which reads its lists by place.

Texts are cut at a length that a page can show and have hidden characters made visible.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

from overt.data.episodes import Episode, Step
from overt.data.json_types import Json
from overt.data.replies import read_reply
from overt.report.cases import NO_PICTURES, Thumbnails
from overt.report.page_data import cut, rounded

MOST_TURNS = 80  # of an episode
TEXT = 4_000  # characters of what was told or said in one turn
_FACTS = 3_000
_CALLS, _ARGUMENTS = 30, 1_000


def packed_episode(
    episode: Episode,
    pictures: Sequence[Thumbnails],
    replay: str,
    place: Callable[[str], int] = lambda _: 0,
) -> list[Json]:
    """All but its prompt and its target.

    Args:
        pictures: of each turn; fewer where there are none.
        replay: a data URI, or "".
        place: puts a picture into the page's table of pictures.
    """
    shown = episode.steps[:MOST_TURNS]
    return [
        episode.state,
        cut(episode.end, 60),
        episode.stage or "",
        cut(episode.code, 100),
        cut(episode.evidence, 500),
        episode.at,
        episode.sample,
        str(episode.seed),
        _named(episode),
        _facts(episode.task),
        _facts(episode.facts),
        len(episode.steps),
        [
            packed_step(step, pictures[i] if i < len(pictures) else NO_PICTURES, place)
            for i, step in enumerate(shown)
        ],
        place(replay) if replay else None,
    ]


def packed_step(step: Step, pictures: Thumbnails, place: Callable[[str], int]) -> list[Json]:
    """One turn."""
    parts = read_reply(step.said)
    return [
        step.turn,
        cut(step.told, TEXT),
        cut(parts.thinking, TEXT),
        cut(parts.answer, TEXT),
        [[cut(call.name, 100), cut(call.arguments, _ARGUMENTS)] for call in step.calls[:_CALLS]],
        max(0, len(step.calls) - _CALLS),
        step.state,
        step.stage or "",
        cut(step.code, 100),
        cut(step.evidence, 500),
        cut(step.repaired, 500),
        step.is_asked,
        _facts(step.facts),
        [
            [cut(d.layer, 120), d.stage, d.blocked, rounded(d.score), cut(d.reason, 200)]
            for d in step.layers
        ],
        [[place(uri) for uri in pictures.uris], pictures.left_out, pictures.unreadable],
    ]  # fmt: skip


_MOST_NAMED, _SHORT = 4, 40


def _named(episode: Episode) -> list[Json]:
    """The facts of its task that are a word, which tell episodes of one prompt apart."""
    known = {episode.label, episode.category}
    words = ((name, value) for name, value in episode.task.items() if isinstance(value, str))
    found = [(name, value) for name, value in words if 0 < len(value) <= _SHORT and value not in known]
    return [[cut(name, _SHORT), cut(value, _SHORT)] for name, value in found[:_MOST_NAMED]]


def _facts(facts: Mapping[str, object]) -> str:
    """Facts as JSON text; "" for none."""
    return cut(json.dumps(facts, ensure_ascii=False, indent=1, default=str), _FACTS) if facts else ""
