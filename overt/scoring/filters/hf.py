"""`filter/hf/REPO?labels=toxic,unsafe&threshold=0.5`: any text-classification model of the Hub, or a folder.

A text over the model's limit is read in overlapping windows, and the highest score counts: a plain pipeline
would ignore the end of the text.
"""

from __future__ import annotations

import re
import threading

from overt.data.chat import CallError
from overt.data.errors import InputError
from overt.data.filters import FilterDecision
from overt.data.local.memory import Room
from overt.data.local.pretrained import load_text_model
from overt.data.plugins.names import fraction, one_line, spell, words
from overt.data.text import encodable
from overt.scoring.filters.local import SCORE_DIGITS, in_batches, positions

_LIMIT = 512  # tokens, if neither model nor tokenizer has a limit
# Unambiguous labels. The user must name others, such as LABEL_1.
_BLOCKING = frozenset({
    "toxic", "toxicity", "severe_toxic", "severe_toxicity", "obscene", "threat", "insult",
    "identity_hate", "identity_attack", "unsafe", "nsfw", "hate", "hateful", "hate_speech", "offensive",
    "harmful", "abusive", "profane", "profanity", "porn", "pornographic", "sexual_explicit",
    "sexually_explicit",
})  # fmt: skip
_PASSING = frozenset({
    "safe", "sfw", "not_nsfw", "neutral", "benign", "harmless", "clean", "ok", "normal", "non_toxic",
    "not_toxic", "nontoxic", "non_hate", "not_hate", "nothate", "not_offensive", "non_offensive",
    "not_harmful", "non_harmful", "no_hate",
})  # fmt: skip


class HFClassifier:
    """Blocks a text if a text-classification model assigns one of the labels.

    Args:
        model: a Hub id or a local folder. Weights are safetensors only.
        labels: the labels that block, separated by commas; None: taken from the model if its labels are
            unambiguous.
        threshold: from 0 to 1; the score that blocks.
        device: "cuda", "cuda:1", "mps", "cpu"; None: the best device.
        dtype: a torch dtype's name.
        batch_size: maximum windows in a batch.
        trust_remote_code: run code from the repo. Only set this if the user asked for it.

    Raises:
        InputError: the model cannot be loaded, gives no probabilities, or has no such label.
        ModuleNotFoundError: torch or transformers is not installed (the registry reports it).
    """

    def __init__(
        self,
        model: str,
        *,
        labels: str | None = None,
        threshold: str | float = 0.5,
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
            trust_remote_code=trust_remote_code or None,
        )
        self._threshold = fraction(threshold, head)
        if batch_size < 1:
            raise InputError(f"{head}: a batch holds at least one window, not {batch_size}")
        self._room_for = Room(head, batch_size)
        self._tokenizer, self._model = load_text_model(
            head,
            model,
            "AutoModelForSequenceClassification",
            device=device,
            dtype=dtype,
            trust_remote_code=trust_remote_code,
        )
        config = self._model.config
        if config.problem_type == "regression":
            raise InputError(f"{head} gives a measurement, not a probability", fix="Use a classifier.")
        names = {int(place): str(label) for place, label in config.id2label.items()}
        # As in transformers' pipeline: exclusive labels use a softmax.
        self._independent = config.problem_type == "multi_label_classification" or len(names) == 1
        self._labels = _chosen(head, labels, names, self._independent)
        self._limit = positions(self._model, self._tokenizer, _LIMIT)
        self._room = self._limit - self._tokenizer.num_special_tokens_to_add()
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
                self._probabilities,
            )
        best: dict[int, tuple[float, str]] = {}
        failed: dict[int, CallError] = {}
        for (number, _), result in zip(windows, scored, strict=True):
            if isinstance(result, CallError):
                failed[number] = result
            elif number not in best or result[0] > best[number][0]:
                best[number] = result
        return [
            FilterDecision(None, error=failed[number]) if number in failed else self._decision(*best[number])
            for number in range(len(texts))
        ]

    def _decision(self, probability: float, label: str) -> FilterDecision:
        score = min(1.0, max(0.0, round(probability, SCORE_DIGITS)))
        blocked = score >= self._threshold
        return FilterDecision(blocked, score, one_line(label) if blocked else "")

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

    def _probabilities(self, windows: list[dict[str, list[int]]]) -> list[tuple[float, str]]:
        """Returns for each window the blocking probability and the likeliest blocking label."""
        import torch

        batch = self._tokenizer.pad(windows, padding=True, return_tensors="pt")
        inputs = {key: value.to(self._model.device) for key, value in batch.items()}
        with torch.inference_mode():
            logits = self._model(**inputs).logits.float().cpu()
        shares = torch.sigmoid(logits) if self._independent else torch.softmax(logits, dim=-1)
        places = list(self._labels)
        chosen = shares[:, places]
        whole = chosen.max(dim=1).values if self._independent else chosen.sum(dim=1)
        return [
            (float(score), self._labels[places[int(place)]])
            for score, place in zip(whole, chosen.argmax(dim=1), strict=True)
        ]


def _chosen(head: str, asked: str | None, names: dict[int, str], independent: bool) -> dict[int, str]:
    """Returns the labels that block, by index."""
    shown = ", ".join(one_line(name, 40) for name in list(names.values())[:40])
    if asked is None:
        return _blocking(head, names, independent, shown)
    places = {name.casefold(): place for place, name in names.items()}
    chosen: dict[int, str] = {}
    for label in words(asked):
        if label.casefold() not in places:
            raise InputError(f"{head} has no label {label!r}", fix=f"Its labels: {shown}.")
        place = places[label.casefold()]
        chosen[place] = names[place]
    if not chosen:
        raise InputError(f"{head}: labels= names none", fix=f"Its labels: {shown}.")
    if len(chosen) == len(names) and not independent:
        raise InputError(
            f"{head}: labels= names all of them, and one always applies", fix=f"Its labels: {shown}."
        )
    return chosen


def _blocking(head: str, names: dict[int, str], independent: bool, shown: str) -> dict[int, str]:
    """Returns the labels that block if every label is unambiguous."""
    plain = {place: re.sub(r"[\W_]+", "_", name.casefold()).strip("_") for place, name in names.items()}
    blocking = {place: names[place] for place, name in plain.items() if name in _BLOCKING}
    passing = [name for name in plain.values() if name in _PASSING]
    # Exclusive labels need one that passes.
    if blocking and len(blocking) + len(passing) == len(names) and (passing or independent):
        return blocking
    raise InputError(
        f"{head}: which labels block cannot be told from their names: {shown}",
        fix=f"Name them: {head}?labels=NAME,NAME",
    )
