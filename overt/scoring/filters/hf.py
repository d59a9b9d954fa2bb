"""`filter/hf/REPO?labels=toxic,unsafe&threshold=0.5`: any text-classification model of the Hub, or a folder.

A text over the model's limit is read in overlapping windows, and the highest score counts: a plain pipeline
would ignore the end of the text.
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

from overt.data.chat import CallError
from overt.data.errors import InputError
from overt.data.filters import FilterDecision
from overt.data.local.memory import Room
from overt.data.local.pretrained import load_text_model
from overt.data.local.sharing import Sharing, widest
from overt.data.plugins.names import fraction, in_words, one_line, spell
from overt.data.text import encodable
from overt.scoring.classifiers import find_preset
from overt.scoring.filters.local import SCORE_DIGITS, in_batches, positions
from overt.scoring.labels import NOT_FINITE, Asked, Verdict, read_labels

if TYPE_CHECKING:
    import torch

_LIMIT = 512  # tokens, if neither model nor tokenizer has a limit


class HFClassifier:
    """Blocks a text if a text-classification model assigns one of the labels.

    Args:
        model: a Hub id or a local folder. Weights are safetensors only.
        labels: the labels that block, separated by commas; None: a preset's, else the model's if its labels
            are unambiguous.
        threshold: from 0 to 1; the score that blocks. None: a preset's, else 0.5.
        activation: "sigmoid" for labels of which several may hold at once, "softmax" for labels that exclude
            each other; None: a preset's, else what the model's config says.
        preset: a name of overt/scoring/classifiers.yaml, or "none"; None: by the model's id.
        device: "cuda", "cuda:1", "mps", "cpu"; None: the best device.
        dtype: a torch dtype's name.
        batch_size: maximum windows in a batch.
        trust_remote_code: run code from the repo. Only set this if the user asked for it.

    Raises:
        InputError: the model cannot be loaded, gives no probabilities, or has no such label; which labels
            block or which activation is right cannot be told.
        ModuleNotFoundError: torch or transformers is not installed (the registry reports it).
    """

    def __init__(
        self,
        model: str,
        *,
        labels: str | None = None,
        threshold: str | float | None = None,
        activation: str | None = None,
        preset: str | None = None,
        device: str | None = None,
        dtype: str = "float32",
        batch_size: int = 16,
        trust_remote_code: bool = False,
    ) -> None:
        head = f"filter/hf/{model}"
        self.name = spell(
            head,
            labels=labels,
            threshold=None if threshold == 0.5 else threshold,
            activation=activation,
            preset=preset,
            trust_remote_code=trust_remote_code or None,
        )
        if threshold is not None:
            fraction(threshold, head)
        if batch_size < 1:
            raise InputError(f"{head}: a batch holds at least one window, not {batch_size}")
        self._room_for = Room(head, batch_size)
        found = find_preset(head, model, "text", preset)
        self._tokenizer, self._model = load_text_model(
            head,
            model,
            "AutoModelForSequenceClassification",
            device=device,
            dtype=dtype,
            trust_remote_code=trust_remote_code,
        )
        _set_padding(self._model)
        self._vocabulary = _vocabulary(head, self._model, self._tokenizer)
        self._limit = positions(self._model, self._tokenizer, _LIMIT)
        self._room = self._limit - self._tokenizer.num_special_tokens_to_add()
        self._labels = read_labels(
            head, self._model.config, self._tried(head), Asked(labels, activation, threshold), found
        )
        self.notes = self._labels.notes
        self._sharing = self._measured_sharing()
        self._lock = threading.Lock()  # a fast tokenizer's truncation is not thread-safe

    def decide(self, text: str) -> FilterDecision:
        """Returns a decision. Its score is the labels' summed probability if they are exclusive, else that of
        the likeliest label; the highest of all windows."""
        return self.decide_many([text])[0]

    def decide_many(self, texts: list[str]) -> list[FilterDecision]:
        """Returns the decisions on many texts, in order, equal to `decide` up to rounding."""
        with self._lock:
            windows: list[tuple[int, dict[str, list[int]]]] = [
                (number, window) for number, text in enumerate(texts) for window in self._windows(text)
            ]
            scored = in_batches(
                [window for _, window in windows],
                lambda window: len(window["input_ids"]),
                self._room_for,
                self._verdicts,
                self._sharing,
            )
        best: dict[int, Verdict] = {}
        failed: dict[int, CallError] = {}
        for (number, _), result in zip(windows, scored, strict=True):
            if isinstance(result, CallError):
                failed[number] = result
            elif number not in best or result.score > best[number].score:
                best[number] = result
        return [
            FilterDecision(None, error=failed[number]) if number in failed else self._decision(best[number])
            for number in range(len(texts))
        ]

    def _decision(self, verdict: Verdict) -> FilterDecision:
        score = round(verdict.score, SCORE_DIGITS)
        blocked = score >= self._labels.threshold
        return FilterDecision(blocked, score, one_line(verdict.label) if blocked else "")

    def _tried(self, head: str) -> torch.Tensor:
        """The logits of a word: what the model gives is looked at before a run."""
        try:
            return self._logits(self._windows("word"))
        except Exception as error:  # a broken model may raise anything
            raise InputError(
                f"{head} cannot read a word: {in_words(error)}",
                fix="Do its tokenizer and its weights belong together?",
            ) from error

    def _measured_sharing(self) -> Sharing:
        """Which windows may share a batch. Some models read what fills short ones (FNet, MobileBERT), and
        decoders whose config names another padding token than the tokenizer's take their score from it."""
        short, long = self._windows("a word")[0], self._windows("word " * 16)[0]
        size = len(short["input_ids"])
        others = {"any": long, "length": {key: values[-size:] for key, values in long.items()}}
        alone = self._logits([short])[0]
        scale = 1e-3 if self._model.dtype.itemsize > 2 else 0.1  # rounding moves logits less than this

        def agrees(sharing: Sharing) -> bool:
            try:
                beside = self._logits([short, others[sharing]])[0]
            except Exception:  # such as padding that the model has no row for
                return False
            return bool(((beside - alone).abs() <= scale * (1 + alone.abs())).all())

        return widest(agrees)

    def _windows(self, text: str) -> list[dict[str, list[int]]]:
        """Tokenizes a text as windows that fit the model and overlap by a quarter."""
        text = encodable(text)
        overlap = self._room // 4
        if self._tokenizer.is_fast:
            rows = self._tokenizer(
                text,
                truncation=True,
                max_length=self._limit,
                stride=overlap,
                return_overflowing_tokens=True,
            )
            rows.pop("overflow_to_sample_mapping", None)
            count = len(rows["input_ids"])
            return [{key: values[n] for key, values in rows.items()} for n in range(count)]
        # Slow tokenizers cannot do that; their windows are decoded and encoded again.
        ids = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        step = self._room - overlap
        starts = range(0, max(1, len(ids) - overlap), step)
        parts = (
            [text] if len(starts) == 1 else [self._tokenizer.decode(ids[s : s + self._room]) for s in starts]
        )
        return [dict(self._tokenizer(part, truncation=True, max_length=self._limit)) for part in parts]

    def _verdicts(self, windows: list[dict[str, list[int]]]) -> list[Verdict | CallError]:
        """Returns for each window the blocking probability and the likeliest blocking label."""
        read = self._labels.read(self._logits(windows))
        return [verdict or CallError("bad_request", NOT_FINITE) for verdict in read]

    def _logits(self, windows: list[dict[str, list[int]]]) -> torch.Tensor:
        import torch

        batch = self._tokenizer.pad(windows, padding=True, return_tensors="pt")
        # On a GPU such a token would end the process.
        if (largest := int(batch["input_ids"].max())) >= self._vocabulary:
            raise ValueError(
                f"the tokenizer gives token {largest}, and the model knows {self._vocabulary} tokens"
            )
        inputs = {key: value.to(self._model.device) for key, value in batch.items()}
        with torch.inference_mode():
            logits: torch.Tensor = self._model(**inputs).logits.float().cpu()
        return logits


def _set_padding(model: Any) -> None:
    """Without a padding token in its config, a decoder takes the last token, and refuses batches. A number
    that no token has lets it take the last token of each row of one length."""
    config = model.config.get_text_config()
    if getattr(config, "pad_token_id", None) is None:
        config.pad_token_id = -1


def _vocabulary(head: str, model: Any, tokenizer: Any) -> int:
    """How many tokens the model has vectors for. Tokenizers with a few added ones more load: only texts that
    hold these cannot be read.

    Raises:
        InputError: the tokenizer's own vocabulary is larger than that.
    """
    try:
        known = int(getattr(model.get_input_embeddings(), "num_embeddings", 0)) or sys.maxsize
    except NotImplementedError:  # it does not say where its vectors are
        return sys.maxsize
    if tokenizer.vocab_size > known:
        raise InputError(
            f"{head}: its tokenizer knows {tokenizer.vocab_size} tokens, and the model {known}",
            fix="They are not of one model. Take both from one place.",
        )
    return known
