"""`text/minilm`, `text/auto`, `text/lexical`, `text/REPO_OR_FOLDER`: compares the wordings by an encoder.

One measure, `text_text`: the cosine of the two wordings' embeddings, -1 to 1. Without an encoder it is the
Jaccard similarity of the wordings' shingles, 0 to 1, and the record's model is "lexical".
"""

from __future__ import annotations

import itertools
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from overt.data.rewrites import Faithfulness, FaithfulnessCase, Measure
from overt.scoring.encoders import Encoder, pick_encoder
from overt.scoring.faithfulness.scale import Scale, WrongPairs
from overt.scoring.faithfulness.windows import cosine, joined, starts, unit
from overt.scoring.near_duplicates import jaccard

if TYPE_CHECKING:
    from overt.scoring.faithfulness.windows import Vector

_CHUNK = 64  # cases at once
_REMEMBERED = 32_768  # texts, at 1 to 3 kB each
_SHORT = 120  # characters; no sentence encoder reads less
_MOST_WINDOWS = 64
# A word with the spaces after it; long runs without spaces (Chinese, hostile text) are split.
_PIECE = re.compile(r"\S{1,20}\s*")


class TextScorer:
    """Scores the new wording against the original one, without pictures.

    Args:
        model: minilm, auto, lexical, a folder or a Hub id of a sentence encoder (see `pick_encoder`).

    Raises:
        InputError: a named encoder is not available.
    """

    def __init__(self, model: str = "auto") -> None:
        self.name = f"text/{model}"
        self._encoder, reason = pick_encoder(model)
        if self._encoder is not None:
            self.model = f"text/{self._encoder.name}"
        else:
            self.model = "lexical" if model == "lexical" else f"lexical (no encoder: {reason[:160]})"
        self._known: OrderedDict[str, tuple[Vector, int]] = OrderedDict()
        self._pairs = WrongPairs()

    @property
    def scale(self) -> dict[Measure, Scale]:
        """The mean scores of matched and mismatched pairs; empty for the lexical measure."""
        scale = self._pairs.scale()
        return {"text_text": scale} if scale else {}

    def score(
        self, cases: Iterable[FaithfulnessCase], load: Callable[[str], bytes]
    ) -> Iterator[list[Faithfulness]]:
        """Yields one record for each case, in order; each distinct text is encoded once."""
        self._pairs = WrongPairs()
        paired: set[str] = set()
        source = iter(cases)
        while chunk := list(itertools.islice(source, _CHUNK)):
            if self._encoder is None:
                for case in chunk:
                    yield [self._record(case, jaccard(case.prompt.text, case.candidate.text), 1)]
                continue
            self._read(self._encoder, [t for c in chunk for t in (c.prompt.text, c.candidate.text)])
            for case in chunk:
                (original, before), (wording, after) = (
                    self._known[text] for text in (case.prompt.text, case.candidate.text)
                )
                if case.prompt.id not in paired:
                    paired.add(case.prompt.id)
                    self._pairs.add(wording, original)
                yield [self._record(case, cosine(wording, original), max(before, after))]

    def _read(self, encoder: Encoder, texts: Sequence[str]) -> None:
        todo = [text for text in dict.fromkeys(texts) if text not in self._known]
        for text in set(texts).difference(todo):
            self._known.move_to_end(text)
        if not todo:
            return
        pieces = [windows_of(encoder, text) for text in todo]
        vectors = unit(encoder.encode([piece for windows in pieces for piece in windows]))
        at = 0
        for text, windows in zip(todo, pieces, strict=True):
            self._known[text] = joined(vectors[at : at + len(windows)]).copy(), len(windows)
            at += len(windows)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def _record(self, case: FaithfulnessCase, value: float | None, windows: int) -> Faithfulness:
        detail = f"over the encoder's limit, scored in {windows} overlapping windows" if windows > 1 else ""
        if value is not None and value != value:
            value, detail = None, "the encoder gave no embedding"
        return Faithfulness(
            case.candidate.id,
            case.prompt.id,
            case.target,
            "text_text",
            self.model,
            value,
            windows=windows,
            detail=detail,
        )


def windows_of(encoder: Encoder, text: str) -> list[str]:
    """Returns the text, or overlapping windows of words if the encoder would cut it.

    Encoders cut silently at a hidden limit. It is detected by adding words at the end: if they make no
    difference, the end was not read.
    """
    if len(text) <= _SHORT:
        return [text]
    pieces = _PIECE.findall(text)
    windows = [text]
    room = len(pieces)
    while _is_cut(encoder, windows) and len(windows) < _MOST_WINDOWS and room > 8:
        room = max(8, room * 2 // 3)
        windows = ["".join(pieces[at : at + room]).strip() for at in starts(len(pieces), room)]
    return windows


def _is_cut(encoder: Encoder, texts: Sequence[str]) -> bool:
    import numpy as np

    plain, longer = (unit(encoder.encode(t)) for t in (texts, [f"{t} zebra volcano" for t in texts]))
    return bool((np.abs(plain - longer).max(axis=1) < 1e-5).any())
