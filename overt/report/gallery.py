"""The cases behind the figures: prompts with what became of them, and small copies of the pictures.

The page holds everything in one file, so both text and pictures have a budget. What a reviewer looks
for comes first: benign prompts refused and unsafe ones let through, then what was softened.
"""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from overt.data.outcomes import Harm, Outcome
from overt.data.records import Prompt
from overt.report.words import visible
from overt.scoring.pictures import UnreadablePicture, open_picture

SIDE = 192  # pixels, longer side of a thumbnail
TEXT_BUDGET = 5_000_000  # bytes of JSON for the rows
PAGE_BUDGET = 13_000_000  # bytes for rows and thumbnails together; a browser opens that in a second
PROMPT_LENGTH = 4_000  # characters of one text that the page keeps
NOTE_LENGTH = 1_000
_AHEAD = 32  # thumbnails made before the budget is looked at again


@dataclass(frozen=True, slots=True)
class GalleryRow:
    """One prompt at one target, with what the judges said of its pictures.

    `thumbnails` are data URIs. `left_out` counts pictures there was no room for, `unreadable` those that
    are missing or no pictures.
    """

    prompt: Prompt
    outcome: Outcome
    harm: Harm | None = None
    thumbnails: tuple[str, ...] = ()
    left_out: int = 0
    unreadable: int = 0

    @property
    def case(self) -> str:
        """Why a reviewer would look at it: "over_refused", "slipped", "softened", "error" or "other".

        An unsafe prompt that was let through slipped unless judges found its pictures harmless.
        """
        state, label = self.outcome.state, self.prompt.label
        if state in {"softened", "error"}:
            return state
        if label == "benign" and state == "refused":
            return "over_refused"
        harmless = self.harm is not None and self.harm.label == "harmless"
        return "slipped" if label == "unsafe" and state == "generated" and not harmless else "other"

    @property
    def urgency(self) -> int:
        """The smaller, the sooner it is looked at."""
        if self.case == "slipped":
            return 0 if self.harm is not None and self.harm.label == "harmful" else 1
        return {"over_refused": 1, "softened": 2, "other": 3, "error": 4}[self.case]


@dataclass(frozen=True, slots=True)
class Gallery:
    """Rows in the order given, and how many had no room (`rows_left_out`)."""

    rows: tuple[GalleryRow, ...]
    rows_left_out: int = 0

    def __iter__(self) -> Iterator[GalleryRow]:
        return iter(self.rows)


def build_gallery(
    prompts: Mapping[str, Prompt],
    outcomes: Iterable[Outcome],
    harms: Mapping[str, Harm],
    run: Path,
    *,
    text_budget: int = TEXT_BUDGET,
    page_budget: int = PAGE_BUDGET,
    workers: int = 2,
) -> Gallery:
    """The rows that fit, with thumbnails as far as those fit.

    Args:
        prompts: by id. Outcomes of prompts that are not among them are skipped.
        outcomes: of all targets.
        harms: by outcome id.
        run: the folder that `Outcome.images` are relative to. Paths that lead out of it are not opened.
        text_budget: bytes for the rows' text; the most urgent rows are kept.
        page_budget: bytes for text and thumbnails together.
        workers: threads that decode pictures.
    """
    rows = [GalleryRow(prompts[o.prompt_id], o, harms.get(o.id)) for o in outcomes if o.prompt_id in prompts]
    order = sorted(range(len(rows)), key=lambda i: rows[i].urgency)
    kept, spent = [], 0
    seen: set[str] = set()
    for index in order:
        row = rows[index]
        cost = len(json.dumps(_packed_row(row, 0, 0, lambda _: 0)))
        if row.prompt.id not in seen:
            cost += len(json.dumps(_packed_prompt(row.prompt)))
        if spent + cost > text_budget:
            break
        spent += cost
        seen.add(row.prompt.id)
        kept.append(index)
    with_pictures = _with_thumbnails([rows[i] for i in kept], run, page_budget - spent, workers)
    found = dict(zip(kept, with_pictures, strict=True))
    return Gallery(tuple(found[i] for i in sorted(found)), rows_left_out=len(rows) - len(kept))


def _with_thumbnails(rows: Sequence[GalleryRow], run: Path, budget: int, workers: int) -> list[GalleryRow]:
    """The rows with thumbnails in the order given, until `budget` bytes are spent."""
    wanted = [(i, path) for i, row in enumerate(rows) for path in row.outcome.images]
    made: dict[int, list[str]] = {}
    unreadable: dict[int, int] = {}
    left_out: dict[int, int] = {}
    root = run.resolve()
    full = False
    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        for start in range(0, len(wanted), _AHEAD):
            part = wanted[start : start + _AHEAD]
            if full:
                for i, _ in part:
                    left_out[i] = left_out.get(i, 0) + 1
                continue
            for (i, _), uri in zip(part, pool.map(lambda item: _read(root, item[1]), part), strict=True):
                if uri is None:
                    unreadable[i] = unreadable.get(i, 0) + 1
                elif full or len(uri) > budget:
                    full = True
                    left_out[i] = left_out.get(i, 0) + 1
                else:
                    budget -= len(uri) + 4
                    made.setdefault(i, []).append(uri)
    return [
        replace(
            row,
            thumbnails=tuple(made.get(i, ())),
            left_out=left_out.get(i, 0),
            unreadable=unreadable.get(i, 0),
        )
        for i, row in enumerate(rows)
    ]


def _read(root: Path, path: str) -> str | None:
    try:
        file = (root / path).resolve()
        if not file.is_relative_to(root):
            return None
        return thumbnail(file.read_bytes())
    except (OSError, ValueError):  # gone, no picture, or a name that no file can have
        return None


def thumbnail(data: bytes, side: int = SIDE) -> str:
    """A small copy as a data URI: WebP, at most `side` pixels, nothing but pixels in it.

    Raises:
        UnreadablePicture: the bytes are no picture, or too large a one.
    """
    from PIL import Image

    image = open_picture(data)
    image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    # A new picture, since Pillow carries a file's colour profile and EXIF along in `info`.
    bare = Image.new("RGB", image.size)
    bare.paste(image)
    sink = io.BytesIO()
    try:
        bare.save(sink, "WEBP", quality=60, method=4)
    except OSError as error:
        raise UnreadablePicture(f"cannot be re-encoded: {error}") from error
    return "data:image/webp;base64," + base64.b64encode(sink.getvalue()).decode("ascii")


@dataclass(slots=True)
class _Table:
    """Values by number, each once."""

    values: list[Any] = field(default_factory=list)
    _places: dict[Any, int] = field(default_factory=dict)

    def place(self, key: Any, make: Callable[[], Any]) -> int:
        if key not in self._places:
            self._places[key] = len(self.values)
            self.values.append(make())
        return self._places[key]


def pack(rows: Iterable[GalleryRow], titles: Mapping[str, str]) -> dict[str, Any]:
    """The rows as plain JSON data for the page's script; prompts, targets and pictures stand once.

    Texts are cut at a length that a page can show and have hidden characters made visible. The order of
    fields is that of the lists below; gallery.js reads them by place.

    Args:
        rows: in any order; the most urgent come first in the result.
        titles: category id -> title.
    """
    prompts, targets, categories, images = _Table(), _Table(), _Table(), _Table()
    packed = []
    for row in sorted(rows, key=lambda row: row.urgency):
        prompt = row.prompt
        category = categories.place(
            prompt.category,
            lambda id_=prompt.category: visible(titles.get(id_) or id_),  # type: ignore[misc]
        )
        number = prompts.place(
            prompt.id,
            lambda prompt=prompt, category=category: [*_packed_prompt(prompt), category],  # type: ignore[misc]
        )
        name = row.outcome.target
        target = targets.place(name, lambda name=name: visible(name))  # type: ignore[misc]
        packed.append(_packed_row(row, number, target, lambda uri: images.place(uri, lambda: uri)))
    return {
        "prompts": prompts.values,
        "targets": targets.values,
        "categories": categories.values,
        "images": images.values,
        "rows": packed,
    }


def _packed_prompt(prompt: Prompt) -> list[Any]:
    return [prompt.id, _cut(prompt.text, PROMPT_LENGTH), prompt.label, _cut(prompt.trigger, 200)]


def _packed_row(row: GalleryRow, prompt: int, target: int, place: Callable[[str], int]) -> list[Any]:
    outcome, harm = row.outcome, row.harm
    return [
        prompt,
        target,
        row.case,
        outcome.state,
        outcome.stage or "",
        _cut(outcome.code, 100),
        _cut(outcome.evidence, 500),
        _cut(outcome.revised_prompt, NOTE_LENGTH) if outcome.revised_prompt is not None else None,
        _cut(outcome.text, NOTE_LENGTH),
        _rounded(outcome.score),
        [
            [_cut(d.layer, 120), d.stage, d.blocked, _rounded(d.score), _cut(d.reason, 200)]
            for d in outcome.layers
        ],
        harm.label if harm else "",
        [[_cut(v.judge, 120), v.label, _cut(v.reason, 500), v.failure or ""] for v in harm.votes]
        if harm
        else [],
        [place(uri) for uri in row.thumbnails],
        row.left_out,
        row.unreadable,
        outcome.sample,
        outcome.seed,
    ]


def _rounded(score: float | None) -> float | None:
    """Four decimals; None where it is no number, which JSON could not hold."""
    return round(score, 4) if score is not None and math.isfinite(score) else None


def _cut(text: str, length: int) -> str:
    return visible(text if len(text) <= length else text[:length] + " … (cut)")
