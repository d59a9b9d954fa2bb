"""The gallery: prompts with their outcomes, and small copies of the pictures.

The page holds everything in one file, so both text and pictures have a budget.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from overt.data.outcomes import Harm, Outcome
from overt.data.records import Prompt
from overt.report.cases import NO_PICTURES, GalleryCase, Thumbnails, thumbnails
from overt.report.dealing import deal
from overt.report.page_data import earlier, packed_prompt, packed_row
from overt.scoring.summary.gather import Verdicts, asked_of, rows_of
from overt.scoring.summary.rows import Rows

TEXT_BUDGET = 5_000_000  # bytes of JSON for the rows
PAGE_BUDGET = 13_000_000  # bytes for rows and thumbnails together; a browser opens that in a second


_CARRIED = 4  # at most this part of the room for pictures, as a divisor, goes to what prompts carry


@dataclass(frozen=True, slots=True)
class Gallery:
    """Rows in the order of the run, and how many had no room (`rows_left_out`)."""

    rows: tuple[GalleryCase, ...] = ()
    rows_left_out: int = 0

    def __iter__(self) -> Iterator[GalleryCase]:
        return iter(self.rows)


Places = Sequence[int]


@dataclass(frozen=True, slots=True)
class Source:
    """The cases of a run. They are read when they are shown.

    `rows` are by target as the page calls it. `outcomes` and `harms` give the records that are at these
    places (`Rows.at`, `ById.at`), `prompts` those of the prompts at these places of `Rows.asked`. `names` has
    new names of targets by those that stand in the records.
    """

    rows: Mapping[str, Rows]
    verdicts: Verdicts
    prompts: Callable[[Places], Iterable[Prompt]]
    outcomes: Callable[[Places], Iterable[Outcome]]
    harms: Callable[[Places], Iterable[Harm]]
    names: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(map(len, self.rows.values()))

    def dealt(self, most: int) -> Iterator[tuple[int, GalleryCase]]:
        """The first cases in the order in which they are dealt, each with where its outcome is."""
        found = deal(self.rows, most)
        rows = list(self.rows.values())
        for start in range(0, len(found.row), _AT_ONCE):
            block = zip(
                found.target[start : start + _AT_ONCE].tolist(),
                found.row[start : start + _AT_ONCE].tolist(),
                strict=True,
            )
            yield from self._read([rows[target].part(np.array([row])) for target, row in block])

    def _read(self, chosen: Sequence[Rows]) -> Iterator[tuple[int, GalleryCase]]:
        places = [int(row.at[0]) for row in chosen]
        voted = self.verdicts.harm.at(np.concatenate([row.number for row in chosen])).tolist()
        harms = iter(self.harms([place for place in voted if place >= 0]))
        prompts = self.prompts([int(row.prompt[0]) for row in chosen])
        outcomes = self.outcomes(places)
        for place, vote, prompt, outcome in zip(places, voted, prompts, outcomes, strict=True):
            if outcome.target in self.names:
                outcome = replace(outcome, target=self.names[outcome.target])
            yield place, GalleryCase(prompt, outcome, next(harms) if vote >= 0 else None)


_AT_ONCE = 256
_SMALLEST = 100  # bytes that a row takes at least


def source_of(
    prompts: Mapping[str, Prompt], outcomes: Sequence[Outcome], harms: Mapping[str, Harm]
) -> Source:
    """The cases of records at hand. Outcomes of prompts that are not among `prompts` are skipped; `harms` are
    by outcome id."""
    asked = asked_of(enumerate(prompts.values()))
    listed, judged = list(prompts.values()), list(harms.values())
    verdicts = Verdicts()
    for at, harm in enumerate(judged):
        verdicts.add(at, harm)
    return Source(
        rows_of(asked, enumerate(outcomes), verdicts, {}),
        verdicts,
        lambda places: (listed[place] for place in places),
        lambda places: (outcomes[place] for place in places),
        lambda places: (judged[place] for place in places),
    )


def build_gallery(
    source: Source,
    run: Path,
    *,
    images: bool = True,
    text_budget: int = TEXT_BUDGET,
    page_budget: int = PAGE_BUDGET,
) -> Gallery:
    """The rows that fit, dealt over targets and kinds of cases (`deal`), with thumbnails as far as those fit.

    Args:
        run: the folder that `Outcome.images` are relative to. Paths that lead out of it are not opened.
        images: False leaves all pictures out.
        text_budget: bytes for the rows' text.
        page_budget: bytes for text and thumbnails together.
    """
    kept: list[tuple[int, GalleryCase]] = []
    spent = 0
    seen: set[str] = set()
    for place, row in source.dealt(text_budget // _SMALLEST):
        cost = len(json.dumps(packed_row(row, 0, 0, lambda _: 0)))
        if row.prompt.id not in seen:
            cost += len(json.dumps([*packed_prompt(row.prompt), earlier(row.prompt)]))
        if spent + cost > text_budget:
            break
        spent += cost
        seen.add(row.prompt.id)
        kept.append((place, row))
    asked = [row.prompt for _, row in kept] if images else []
    given = _carried(asked, run, (page_budget - spent) // _CARRIED)
    spent += sum(len(uri) for shown in given.values() for uri in shown.uris)
    paths = [row.outcome.images if images else () for _, row in kept]
    pictures = thumbnails(paths, run, budget=page_budget - spent)
    found = [
        (place, replace(row, pictures=shown, given=given.get(row.prompt.image or "", NO_PICTURES)))
        for (place, row), shown in zip(kept, pictures, strict=True)
    ]
    found.sort(key=lambda one: one[0])
    return Gallery(tuple(row for _, row in found), rows_left_out=len(source) - len(kept))


def _carried(prompts: Iterable[Prompt], run: Path, budget: int) -> dict[str, Thumbnails]:
    """What the prompts carry, by `Prompt.image`: each picture once, since many may carry the same."""
    paths = list(dict.fromkeys(prompt.image for prompt in prompts if prompt.image))
    return dict(zip(paths, thumbnails([(path,) for path in paths], run, budget=budget), strict=True))
