"""`checker/hf/REPO_OR_FOLDER?labels=nsfw&threshold=0.5`: any image classifier of transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from overt.data.errors import InputError
from overt.data.filters import FilterDecision
from overt.data.local.devices import pick_device, quiet_loading, source_of
from overt.data.local.memory import Room
from overt.data.local.pretrained import speaking_loader
from overt.data.plugins.names import fraction, in_name, words
from overt.scoring.checkers.local import decide_pictures

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

# Unambiguous labels. "sexy" or "drawings" are for the user to decide.
_UNSAFE = {"nsfw", "unsafe", "porn", "pornography", "explicit", "nude", "nudity", "not safe", "not_safe"}
_SEXUAL = {"nsfw", "porn", "pornography", "explicit", "nude", "nudity", "hentai", "sexual"}
_VIOLENT = {"violence", "violent", "gore", "blood", "graphic violence"}
_SAFE = {"sfw", "safe", "normal", "neutral"}


class HFImageClassifier:
    """Blocks a picture whose probability of the unwanted labels reaches the threshold.

    The score is the sum of the labels' probabilities, or the largest of them if the labels are independent
    (problem type "multi_label_classification"). Weights are safetensors only.

    Args:
        model: a Hub id or a local folder.
        labels: the labels that mean "block", separated by commas. Optional if all of the model's labels
            are unambiguous (nsfw, unsafe, porn ... against sfw, safe, normal ...).
        threshold: from 0 to 1.
        device: a torch device's name; None: the best device.
        batch_size: maximum pictures in a batch.
        trust_remote_code: run code from the repo. Only set this if the user asked for it.

    Raises:
        InputError: the model cannot be loaded, it lacks a label, or no label was given and the
            labels are ambiguous; the threshold or device is invalid.
    """

    def __init__(
        self,
        model: str,
        *,
        labels: str = "",
        threshold: float = 0.5,
        device: str | None = None,
        batch_size: int = 16,
        trust_remote_code: bool = False,
    ) -> None:
        head = f"checker/hf/{model}"
        source = source_of(model, head, "torch", "transformers")
        import torch
        import transformers

        self.threshold = fraction(threshold, head)
        self.device = pick_device(device, head)
        options = {"trust_remote_code": trust_remote_code}
        processors: Any = transformers.AutoImageProcessor
        with speaking_loader(head, source), quiet_loading():
            self._processor = processors.from_pretrained(source, **options)
            classifier: Any = transformers.AutoModelForImageClassification.from_pretrained(
                source, use_safetensors=True, dtype=torch.float32, **options
            )
        self._model = classifier.to(self.device).eval()
        self._independent = classifier.config.problem_type == "multi_label_classification"
        self._names = [str(classifier.config.id2label[n]) for n in range(classifier.config.num_labels)]
        self._wanted = _wanted(self._names, words(labels), head)
        self.labels = tuple(self._names[n] for n in self._wanted)
        self.covers = _kinds(self.labels)
        self.name = f"{head}?labels={in_name(','.join(self.labels))}&threshold={self.threshold!r}"
        self._room = Room(self.name, max(1, batch_size))

    def check(self, image: Picture, prompt: str) -> FilterDecision:
        """Returns the decision on one RGB `PIL.Image`; the prompt is ignored."""
        return self.check_many([image], [prompt])[0]

    def check_many(self, images: list[Picture], prompts: list[str]) -> list[FilterDecision]:
        """Returns the decisions in order, equal to those of `check` up to float32 rounding."""
        return decide_pictures(self._score, images, self._room)

    def _score(self, images: list[Picture]) -> list[FilterDecision]:
        import torch

        pixels = self._processor(images, return_tensors="pt").pixel_values.to(self.device, torch.float32)
        with torch.inference_mode():
            logits = self._model(pixel_values=pixels).logits.float().cpu()
        rows = (logits.sigmoid() if self._independent else logits.softmax(dim=-1)).tolist()
        decisions = []
        for row in rows:
            unwanted = [row[n] for n in self._wanted]
            score = min(1.0, max(unwanted) if self._independent else sum(unwanted))
            top = max(self._wanted, key=row.__getitem__)
            reason = f"{self._names[top][:100]} {row[top]:.2f}"
            decisions.append(FilterDecision(score >= self.threshold, score, reason))
        return decisions


def _kinds(labels: Sequence[str]) -> tuple[str, ...]:
    """Returns the kinds of harm that labels speak of; "unsafe" does not say which."""
    folded = {label.casefold() for label in labels}
    return tuple(kind for kind, of in (("sexual", _SEXUAL), ("violence", _VIOLENT)) if folded & of)


def _wanted(names: list[str], asked: Sequence[str], head: str) -> list[int]:
    """Returns the indices of the labels that mean "block"."""
    folded = [name.casefold() for name in names]
    here = f"Its labels: {', '.join(name[:60] for name in names[:50])}."
    if not asked:
        return _unsafe(folded, head, here)
    if unknown := [label for label in asked if label.casefold() not in folded]:
        raise InputError(f"{head} has no label {', '.join(unknown)}", fix=here)
    chosen = {label.casefold() for label in asked}
    return [number for number, name in enumerate(folded) if name in chosen]


def _unsafe(folded: list[str], head: str, here: str) -> list[int]:
    """Returns the indices of the unsafe labels if every label is unambiguous."""
    unsafe = [number for number, name in enumerate(folded) if name in _UNSAFE]
    safe = [name for name in folded if name in _SAFE]
    if not unsafe or not safe or len(unsafe) + len(safe) < len(folded):
        raise InputError(
            f"{head}: which of its labels mean that a picture is blocked?",
            fix=f"Say so: {head}?labels=LABEL,LABEL. {here}",
        )
    return unsafe
