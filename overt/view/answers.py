"""What came back, as the page shows it: read from the run's files where the index says that it stands."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO, TypeVar

from overt.data.errors import InputError
from overt.data.json_types import Json
from overt.data.outcomes import Harm, Outcome
from overt.data.records import Audit, Drop, Failure, Probe, Prompt, from_json
from overt.data.results.likeness import AsAsked
from overt.data.rewrites import Candidate
from overt.data.run.images import ImageStore
from overt.data.text import visible, visible_json
from overt.view import shapes
from overt.web.guard import Refused

T = TypeVar("T")

NO_PICTURE = "there is no such picture, or it cannot be read"
EXCERPT = 420  # characters of an answer in the list
_LONGEST = 200_000  # of a text on the page of one prompt
# What each file of a run holds of a prompt.
KINDS: Mapping[str, type[object]] = {
    shapes.OUTCOMES: Outcome,
    shapes.HARM: Harm,
    shapes.AS_ASKED: AsAsked,
    shapes.CANDIDATES: Candidate,
    shapes.REWORDED: Outcome,
    shapes.DROPS: Drop,
    shapes.FAILURES: Failure,
    shapes.AUDIT: Audit,
    shapes.PROBE: Probe,
    **dict.fromkeys((shapes.PROMPTS, *shapes.WAYS), Prompt),
}


class Lines:
    """Lines of one run's files, by place. As a context manager it closes them."""

    def __init__(self, folder: Path, signature: str) -> None:
        """
        Args:
            signature: that of the index; a file that is another one by now is not read.
        """
        self._folder = folder
        self._dated = {part: (size, date) for part, size, date in json.loads(signature)[2:]}
        self._files: dict[str, BinaryIO] = {}

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()

    def raw(self, part: str, at: int, size: int) -> bytes:
        """
        Raises:
            Refused: the file has changed since it was indexed, or cannot be read.
        """
        try:
            if part not in self._files:
                if part not in self._dated:
                    raise Refused(404, "there is no such file")
                file: BinaryIO = (self._folder / part).open("rb")
                self._files[part] = file
                stat = os.fstat(file.fileno())
                if (stat.st_size, stat.st_mtime_ns) != self._dated[part]:
                    raise Refused(409, "the run has changed; ask again")
            file = self._files[part]
            file.seek(at)
            return file.read(size)
        except OSError as error:
            raise Refused(409, f"cannot read {part}: {error.strerror}") from error

    def record(self, part: str, at: int, size: int, kind: type[T]) -> T:
        """
        Raises:
            Refused: see `raw`; or the line is no such record.
        """
        try:
            return from_json(kind, json.loads(self.raw(part, at, size).decode("utf-8", "surrogatepass")))
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise Refused(422, f"{part}: a line at byte {at} cannot be read") from error


def brief(cell: Mapping[str, Json], lines: Lines) -> dict[str, Json]:
    """A cell in the list: state and reason, and the beginning of what came back."""
    found: dict[str, Json] = {
        name: visible(value) if isinstance(value, str) else value
        for name, value in cell.items()
        if name not in ("part", "at", "size", "prompt")
    }
    outcome = _outcome(cell, lines)
    if outcome is not None:
        found |= {
            "text": cut(outcome.text, EXCERPT),
            "evidence": cut(outcome.evidence, 160),
            "revised": cut(outcome.revised_prompt or "", EXCERPT),
        }
    elif cell["part"] == shapes.DROPS:
        drop = lines.record(shapes.DROPS, _int(cell["at"]), _int(cell["size"]), Drop)
        found["evidence"] = cut(drop.detail, EXCERPT)
    return found


def whole(cell: Mapping[str, Json], lines: Lines) -> dict[str, Json]:
    """A cell on the page of its prompt: everything."""
    found = brief(cell, lines)
    outcome = _outcome(cell, lines)
    if outcome is None:
        return found
    return found | {
        "id": visible(outcome.id),
        "text": cut(outcome.text, _LONGEST),
        "evidence": cut(outcome.evidence, _LONGEST),
        "revised": cut(outcome.revised_prompt or "", _LONGEST),
        "score": _shown(outcome.score),
        "seed": _shown(outcome.seed),
        "seconds": _shown(outcome.latency_s),
        "cost": _shown(outcome.cost),
        "layers": [
            {
                "layer": cut(layer.layer, 200),
                "stage": cut(layer.stage, 100),
                "blocked": layer.blocked,
                "asked": layer.was_asked,
                "score": _shown(layer.score),
                "reason": cut(layer.reason, 500),
            }
            for layer in outcome.layers
        ],
        "images": [visible(path) for path in outcome.images],
    }


def _outcome(cell: Mapping[str, Json], lines: Lines) -> Outcome | None:
    if cell["part"] != shapes.OUTCOMES:
        return None
    return lines.record(shapes.OUTCOMES, _int(cell["at"]), _int(cell["size"]), Outcome)


def said(places: Iterable[tuple[str, int, int]], lines: Lines) -> list[Json]:
    """Every other line about a prompt: which file it is from, its fields, and the line itself."""
    found: list[Json] = []
    for part, at, size in places:
        record = lines.record(part, at, size, KINDS[part])
        line = lines.raw(part, at, size).decode("utf-8", "replace").strip()
        fields = {name: _shown(value) for name, value in asdict(record).items()}  # type: ignore[call-overload]
        found.append({"part": part, "fields": fields, "line": visible_json(line[:_LONGEST])})
    return found


def _shown(value: object) -> Json:
    """Plain data with every hidden character made visible."""
    if isinstance(value, Mapping):
        return {visible(name): _shown(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(inner) for inner in value]
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    return cut(str(value), _LONGEST)


def cut(text: object, length: int) -> str:
    """At most `length` characters, with every hidden one made visible."""
    whole = str(text)
    return visible(whole if len(whole) <= length else f"{whole[:length]} …")


def picture(cell: Mapping[str, Json], lines: Lines, folder: Path, number: int, side: int) -> bytes:
    """A picture of a cell as a JPEG without metadata, its longer side at most `side` pixels.

    Raises:
        Refused: there is none of this number, or it cannot be read.
    """
    outcome = _outcome(cell, lines)
    return _jpeg(outcome.images if outcome else (), number, folder, side)


def input_picture(place: tuple[str, int, int], lines: Lines, folder: Path, side: int) -> bytes:
    """The picture that a prompt carries, as `picture` gives those of a cell.

    Args:
        place: the line of the prompt.

    Raises:
        Refused: it carries none, or it cannot be read.
    """
    carried = lines.record(*place, Prompt).image
    return _jpeg((carried,) if carried else (), 0, folder, side)


def _jpeg(references: Sequence[str], number: int, folder: Path, side: int) -> bytes:
    from overt.data.pictures import UnreadablePicture
    from overt.scoring.outgoing_pictures import outgoing

    try:
        return outgoing(ImageStore(folder).get(str(references[number])), side)
    except (IndexError, ValueError, InputError, UnreadablePicture) as error:
        raise Refused(404, NO_PICTURE) from error


def _int(value: Json) -> int:
    return value if isinstance(value, int) else 0
