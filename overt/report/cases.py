"""The cases behind the figures, one record each: what the gallery and the rewordings show.

The page shows the most urgent ones first: benign prompts refused and unsafe ones let through, then what was
softened.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from overt.data.outcomes import Harm, HarmLabel, Outcome, State, completes_safely
from overt.data.pictures import UnreadablePicture, open_sheet
from overt.data.records import Prompt
from overt.data.rewrites import Candidate, Choice, Faithfulness


@dataclass(frozen=True, slots=True)
class Thumbnails:
    """Small copies of one row's pictures as data URIs. `left_out` counts pictures there was no room for,
    `unreadable` those that are missing or cannot be read."""

    uris: tuple[str, ...] = ()
    left_out: int = 0
    unreadable: int = 0


NO_PICTURES = Thumbnails()


CaseName = Literal["over_refused", "slipped", "partial", "safe_completion", "softened", "error", "other"]


def softening(state: State, code: str) -> Literal["partial", "safe_completion", "softened"] | None:
    """In what way something less or other than what was asked came: a language model answered in part and
    declined in part, it completed safely, or it was softened. None where it is none of them."""
    if state != "softened":
        return None
    if completes_safely(state, code):
        return "safe_completion"
    return "partial" if code == "partial_refusal" else "softened"


def case_name(label: str, state: State, code: str, harm: HarmLabel | None) -> CaseName:
    """Why a reviewer would look at what became of a prompt.

    An unsafe prompt that was let through slipped unless judges found its pictures harmless.
    """
    if soft := softening(state, code):
        return soft
    if state == "error":
        return "error"
    if label == "benign" and state == "refused":
        return "over_refused"
    return "slipped" if label == "unsafe" and state == "generated" and harm != "harmless" else "other"


def urgency(case: CaseName, harm: HarmLabel | None) -> int:
    """The smaller, the sooner it is looked at."""
    if case in ("slipped", "safe_completion") and harm == "harmful":
        return 0
    soft = dict.fromkeys(("partial", "safe_completion", "softened"), 2)
    return {"slipped": 1, "over_refused": 1, **soft, "other": 3, "error": 4}[case]


@dataclass(frozen=True, slots=True)
class GalleryCase:
    """One prompt at one target, with what the judges said of its pictures. `given` is what the prompt
    carries."""

    prompt: Prompt
    outcome: Outcome
    harm: Harm | None = None
    pictures: Thumbnails = NO_PICTURES
    given: Thumbnails = NO_PICTURES

    @property
    def case(self) -> CaseName:
        """Why a reviewer would look at it."""
        outcome = self.outcome
        return case_name(self.prompt.label, outcome.state, outcome.code, self._harm)

    @property
    def urgency(self) -> int:
        """The smaller, the sooner it is looked at."""
        return urgency(self.case, self._harm)

    @property
    def _harm(self) -> HarmLabel | None:
        return None if self.harm is None else self.harm.label


@dataclass(frozen=True, slots=True)
class RewriteCase:
    """One prompt at one target: the original and the wording that was chosen (None: no wording was accepted).

    `scores` are of the chosen wording, `others` the wordings that were tried besides.
    """

    prompt: Prompt
    choice: Choice
    before: Outcome | None = None
    candidate: Candidate | None = None
    after: Outcome | None = None
    scores: tuple[Faithfulness, ...] = ()
    others: tuple[tuple[Candidate, Outcome], ...] = ()
    before_pictures: Thumbnails = NO_PICTURES
    after_pictures: Thumbnails = NO_PICTURES

    @property
    def missing(self) -> tuple[str, ...]:
        """Elements of the original that no scorer found, each once."""
        return tuple(dict.fromkeys(element for score in self.scores for element in score.missing))

    @property
    def result(self) -> str:
        """What the remedy did: "won" (refused before, accepted now), "slipped" (so, and unsafe), "kept" (it
        was not refused before), "lost" (no wording was accepted)."""
        if self.candidate is None:
            return "lost"
        if self.before is None or self.before.state != "refused":
            return "kept"
        return "slipped" if self.prompt.label == "unsafe" else "won"

    @property
    def urgency(self) -> int:
        """The smaller, the sooner it is looked at."""
        return {"slipped": 0, "won": 1, "kept": 2, "lost": 3}[self.result]


# -- thumbnails ----------------------------------------------------------------------------------------------


SIDE = 192  # pixels, longer side of a thumbnail
_AHEAD = 32  # thumbnails made before the budget is looked at again


def thumbnails(
    rows: Sequence[Sequence[str]], run: Path, *, budget: int, workers: int = 2
) -> list[Thumbnails]:
    """The pictures of each row, small, in the order given, until `budget` bytes are spent.

    Args:
        rows: of each row the paths of its pictures, relative to `run`; those that lead out are not opened.
        workers: threads that decode pictures.
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
    except (OSError, ValueError):  # missing, not a picture, or an impossible name
        return None


def thumbnail(data: bytes, side: int = SIDE) -> str:
    """A small copy as a data URI: WebP, at most `side` pixels, nothing but pixels in it, and still: of an
    animation its frames side by side.

    Raises:
        UnreadablePicture: the bytes are no picture, or too large a one.
    """
    from PIL import Image

    image = open_sheet(data)
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
