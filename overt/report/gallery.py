"""The gallery: prompts with their outcomes, and small copies of the pictures.

The page holds everything in one file, so both text and pictures have a budget.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from overt.data.outcomes import Harm, Outcome
from overt.data.records import Prompt
from overt.report.cases import NO_PICTURES, GalleryCase, thumbnails
from overt.report.page_data import earlier, packed_prompt, packed_row

TEXT_BUDGET = 5_000_000  # bytes of JSON for the rows
PAGE_BUDGET = 13_000_000  # bytes for rows and thumbnails together; a browser opens that in a second


_CARRIED = 4  # at most this part of the room for pictures, as a divisor, goes to what prompts carry


@dataclass(frozen=True, slots=True)
class Gallery:
    """Rows in the order given, and how many had no room (`rows_left_out`)."""

    rows: tuple[GalleryCase, ...] = ()
    rows_left_out: int = 0

    def __iter__(self) -> Iterator[GalleryCase]:
        return iter(self.rows)


def build_gallery(
    prompts: Mapping[str, Prompt],
    outcomes: Iterable[Outcome],
    harms: Mapping[str, Harm],
    run: Path,
    *,
    images: bool = True,
    text_budget: int = TEXT_BUDGET,
    page_budget: int = PAGE_BUDGET,
) -> Gallery:
    """The rows that fit, with thumbnails as far as those fit.

    Args:
        prompts: by id. Outcomes of prompts that are not among them are skipped.
        outcomes: of all targets.
        harms: by outcome id.
        run: the folder that `Outcome.images` are relative to. Paths that lead out of it are not opened.
        images: False leaves all pictures out.
        text_budget: bytes for the rows' text; the most urgent rows are kept.
        page_budget: bytes for text and thumbnails together.
    """
    rows = [GalleryCase(prompts[o.prompt_id], o, harms.get(o.id)) for o in outcomes if o.prompt_id in prompts]
    order = sorted(range(len(rows)), key=lambda i: rows[i].urgency)
    kept, spent = [], 0
    seen: set[str] = set()
    for index in order:
        row = rows[index]
        cost = len(json.dumps(packed_row(row, 0, 0, lambda _: 0)))
        if row.prompt.id not in seen:
            cost += len(json.dumps([*packed_prompt(row.prompt), earlier(row.prompt)]))
        if spent + cost > text_budget:
            break
        spent += cost
        seen.add(row.prompt.id)
        kept.append(index)
    paths = [rows[i].outcome.images if images else () for i in kept]
    # What prompts carry comes first, each once: many may carry the same.
    carried = dict.fromkeys(rows[i].prompt.image or "" for i in kept) if images else {}
    carried.pop("", None)
    of = thumbnails([(path,) for path in carried], run, budget=(page_budget - spent) // _CARRIED)
    given = dict(zip(carried, of, strict=True))
    spent += sum(len(uri) for shown in of for uri in shown.uris)
    pictures = thumbnails(paths, run, budget=page_budget - spent)
    found = {
        i: replace(rows[i], pictures=shown, given=given.get(rows[i].prompt.image or "", NO_PICTURES))
        for i, shown in zip(kept, pictures, strict=True)
    }
    return Gallery(tuple(found[i] for i in sorted(found)), rows_left_out=len(rows) - len(kept))
