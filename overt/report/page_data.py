"""The cases to browse as plain JSON data for the page's script: lists read by place, each text once.

report.js reads the lists in the order of the fields below. Texts are cut at a length that a page can show
and have hidden characters made visible.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field

from overt.data.json_types import Json
from overt.data.outcomes import Outcome
from overt.data.records import Prompt
from overt.data.text import STAGES, visible
from overt.report.cases import NO_PICTURES, GalleryCase, RewriteCase, Thumbnails, softening

PROMPT_LENGTH = 4_000  # characters of one text that the page keeps
ANSWER_LENGTH = 4_000
NOTE_LENGTH = 1_000


@dataclass(slots=True)
class _Table:
    """Values by number, each once."""

    values: list[Json] = field(default_factory=list)
    _places: dict[Hashable, int] = field(default_factory=dict)

    def place(self, key: Hashable, make: Callable[[], Json]) -> int:
        if key not in self._places:
            self._places[key] = len(self.values)
            self.values.append(make())
        return self._places[key]


PackEpisode = Callable[[Callable[[str], int]], list[Json]]


@dataclass(slots=True)
class Packer:
    """Gathers the cases of one page. Prompts, targets, categories and pictures stand once.

    Policies may reuse a category id or label the same text differently, so a prompt's key includes its label
    and its category's title.
    """

    prompts: _Table = field(default_factory=_Table)
    targets: _Table = field(default_factory=_Table)
    categories: _Table = field(default_factory=_Table)
    images: _Table = field(default_factory=_Table)
    rows: list[tuple[int, list[Json]]] = field(default_factory=list)
    rewordings: list[tuple[int, list[Json]]] = field(default_factory=list)
    episodes: list[Json] = field(default_factory=list)

    def add(
        self,
        rows: Iterable[GalleryCase],
        rewordings: Iterable[RewriteCase],
        titles: Mapping[str, str],
    ) -> None:
        """The cases of one policy. `titles`: category id -> title."""
        for row in rows:
            places = self._prompt(row.prompt, titles, row.given), self._target(row.outcome.target)
            self.rows.append((row.urgency, packed_row(row, *places, self._image)))
        for pair in rewordings:
            places = self._prompt(pair.prompt, titles), self._target(pair.choice.target)
            self.rewordings.append((pair.urgency, packed_rewording(pair, *places, self._image)))

    def add_episode(self, prompt: Prompt, target: str, titles: Mapping[str, str], pack: PackEpisode) -> None:
        """One episode. `pack`: makes its data, given what puts a picture into the page's table."""
        self.episodes.append([self._prompt(prompt, titles), self._target(target), *pack(self._image)])

    def packed(self) -> dict[str, Json]:
        """All of it; the most urgent first."""
        return {
            "stages": {**STAGES},
            "prompts": self.prompts.values,
            "targets": self.targets.values,
            "categories": self.categories.values,
            "images": self.images.values,
            "rows": [row for _, row in sorted(self.rows, key=lambda r: r[0])],
            "rewordings": [row for _, row in sorted(self.rewordings, key=lambda r: r[0])],
            "episodes": self.episodes,
        }

    def _prompt(self, prompt: Prompt, titles: Mapping[str, str], given: Thumbnails = NO_PICTURES) -> int:
        title = visible(titles.get(prompt.category) or prompt.category)
        category = self.categories.place(title, lambda: title)
        key = (prompt.id, prompt.label, category)
        return self.prompts.place(
            key,
            lambda: [
                *packed_prompt(prompt),
                category,
                [[self._image(uri) for uri in given.uris], given.left_out, given.unreadable],
                earlier(prompt),
            ],
        )

    def _target(self, name: str) -> int:
        return self.targets.place(name, lambda: visible(name))

    def _image(self, uri: str) -> int:
        return self.images.place(uri, lambda: uri)


def packed_prompt(prompt: Prompt) -> list[Json]:
    return [prompt.id, cut(prompt.text, PROMPT_LENGTH), prompt.label, cut(prompt.trigger, 200)]


def earlier(prompt: Prompt) -> str:
    """What was said before a prompt."""
    turns = [f"{turn.role}: {turn.content}" for turn in prompt.turns or ()]
    return cut("\n\n".join(turns), PROMPT_LENGTH)


def packed_row(row: GalleryCase, prompt: int, target: int, place: Callable[[str], int]) -> list[Json]:
    outcome, harm = row.outcome, row.harm
    return [
        prompt,
        target,
        row.case,
        _state(outcome),
        outcome.stage or "",
        cut(outcome.code, 100),
        cut(outcome.evidence, 500),
        cut(outcome.revised_prompt, NOTE_LENGTH) if outcome.revised_prompt is not None else None,
        cut(outcome.text, ANSWER_LENGTH),
        rounded(outcome.score),
        [
            [cut(d.layer, 120), d.stage, d.blocked, rounded(d.score), cut(d.reason, 200)]
            for d in outcome.layers
        ],
        harm.label if harm else "",
        [[cut(v.judge, 120), v.label, cut(v.reason, 500), v.failure or ""] for v in harm.votes]
        if harm
        else [],
        [place(uri) for uri in row.pictures.uris],
        row.pictures.left_out,
        row.pictures.unreadable,
        outcome.sample,
        outcome.seed,
    ]


def packed_rewording(pair: RewriteCase, prompt: int, target: int, place: Callable[[str], int]) -> list[Json]:
    choice = pair.choice
    return [
        prompt,
        target,
        pair.result,
        _packed_side(pair.before, pair.before_pictures, place),
        cut(pair.candidate.text, PROMPT_LENGTH) if pair.candidate else None,
        pair.candidate.strategy if pair.candidate else "",
        _packed_side(pair.after, pair.after_pictures, place),
        [
            [s.measure, cut(s.model, 120), rounded(s.value), rounded(s.difference), cut(s.detail, 300)]
            for s in pair.scores
        ],
        [cut(element, 100) for element in pair.missing],
        [
            [cut(c.text, NOTE_LENGTH), c.strategy, _state(o), cut(o.code, 100)]
            for c, o in pair.others[:8]
        ],
        [choice.tried, choice.accepted, choice.measure, rounded(choice.score)],
    ]  # fmt: skip


def _packed_side(
    outcome: Outcome | None, pictures: Thumbnails, place: Callable[[str], int]
) -> list[Json] | None:
    """The outcome of one of the two wordings."""
    if outcome is None:
        return None
    return [
        _state(outcome),
        outcome.stage or "",
        cut(outcome.code, 100),
        cut(outcome.evidence, 500),
        cut(outcome.text, ANSWER_LENGTH),
        [place(uri) for uri in pictures.uris],
        pictures.left_out,
        pictures.unreadable,
    ]


def _state(outcome: Outcome) -> str:
    return softening(outcome.state, outcome.code) or outcome.state


def rounded(score: float | None) -> float | None:
    """Four decimals; None where it is no number, which JSON could not hold."""
    return round(score, 4) if score is not None and math.isfinite(score) else None


def cut(text: str, length: int) -> str:
    return visible(text if len(text) <= length else text[:length] + " … (cut)")
