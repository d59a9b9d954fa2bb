"""The cases behind the figures: prompts with what became of them, and small copies of the pictures.

The page holds everything in one file, so both text and pictures have a budget. What a reviewer looks
for comes first: benign prompts refused and unsafe ones let through, then what was softened.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from overt.data.outcomes import Harm, Outcome
from overt.data.pictures import UnreadablePicture, open_picture
from overt.data.records import Prompt
from overt.report.packing import packed_prompt, packed_row

SIDE = 192  # pixels, longer side of a thumbnail
TEXT_BUDGET = 5_000_000  # bytes of JSON for the rows
PAGE_BUDGET = 13_000_000  # bytes for rows and thumbnails together; a browser opens that in a second
PARTIAL = "partial_refusal"  # the code of a language model's answer that declines in part
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
        """Why a reviewer would look at it: "over_refused", "slipped", "partial", "softened", "error" or
        "other".

        An unsafe prompt that was let through slipped unless judges found its pictures harmless.
        """
        state, label = self.outcome.state, self.prompt.label
        if state == "softened" and self.outcome.code == PARTIAL:
            return "partial"
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
        return {"over_refused": 1, "partial": 2, "softened": 2, "other": 3, "error": 4}[self.case]


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
        cost = len(json.dumps(packed_row(row, 0, 0, lambda _: 0)))
        if row.prompt.id not in seen:
            cost += len(json.dumps(packed_prompt(row.prompt)))
        if spent + cost > text_budget:
            break
        spent += cost
        seen.add(row.prompt.id)
        kept.append(index)
    pictures = thumbnails(
        [rows[i].outcome.images for i in kept], run, budget=page_budget - spent, workers=workers
    )
    found = {
        i: replace(rows[i], thumbnails=shown.uris, left_out=shown.left_out, unreadable=shown.unreadable)
        for i, shown in zip(kept, pictures, strict=True)
    }
    return Gallery(tuple(found[i] for i in sorted(found)), rows_left_out=len(rows) - len(kept))


@dataclass(frozen=True, slots=True)
class Thumbnails:
    """Small copies of one row's pictures as data URIs, and how many there are none of."""

    uris: tuple[str, ...] = ()
    left_out: int = 0
    unreadable: int = 0


def thumbnails(
    rows: Sequence[Sequence[str]], run: Path, *, budget: int, workers: int = 2
) -> list[Thumbnails]:
    """The pictures of each row, small, in the order given, until `budget` bytes are spent.

    Args:
        rows: of each row the paths of its pictures, relative to `run`; those that lead out are not opened.
    """
    wanted = [(i, path) for i, paths in enumerate(rows) for path in paths]
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
        Thumbnails(tuple(made.get(i, ())), left_out.get(i, 0), unreadable.get(i, 0)) for i in range(len(rows))
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
