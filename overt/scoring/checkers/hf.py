"""`checker/hf/REPO_OR_FOLDER?labels=nsfw&threshold=0.5`: any image classifier of transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from overt.data.errors import InputError
from overt.data.filters import FilterDecision
from overt.data.local.devices import pick_device, quiet_loading, source_of
from overt.data.local.pretrained import speaking_loader
from overt.scoring.checkers.local import decide_pictures
from overt.scoring.option_values import fraction, in_name, words

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

# Labels that can mean one thing only. "sexy" or "drawings" are a product's own decision.
_UNSAFE = {"nsfw", "unsafe", "porn", "pornography", "explicit", "nude", "nudity", "not safe", "not_safe"}
_SAFE = {"sfw", "safe", "normal", "neutral"}


class HFImageClassifier:
    """Blocks a picture whose probability of the unwanted labels reaches the threshold.

    The score is the sum of the labels' probabilities; of a model with independent labels (problem type
    "multi_label_classification") the largest of them. Weights are safetensors only.

    Args:
        model: a Hub id or a local folder.
        labels: the labels that mean "block", with commas. May be left out only where all of the model's
            labels speak for themselves (nsfw, unsafe, porn ... against sfw, safe, normal ...).
        threshold: from 0 to 1.
        device: a torch device's name; None: the best there is.
        batch_size: most pictures at once.
        trust_remote_code: run the code that the repo brings. Only if the user asked for it.

    Raises:
        InputError: the model cannot be loaded, a label is not one of its labels, or none was given and
            it cannot be told which to take; the threshold or the device cannot be used.
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
        import torch
        import transformers

        head = f"checker/hf/{model}"
        self.threshold = fraction(threshold, head)
        self.device = pick_device(device, head)
        source = source_of(model)
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
        self.name = f"{head}?labels={in_name(','.join(self.labels))}&threshold={self.threshold!r}"
        self._batch_size = max(1, batch_size)

    def check(self, image: Picture, prompt: str) -> FilterDecision:
        """The decision on one RGB `PIL.Image`; the prompt makes no difference."""
        return self.check_many([image], [prompt])[0]

    def check_many(self, images: list[Picture], prompts: list[str]) -> list[FilterDecision]:
        """The decisions in the pictures' order; what `check` says, up to the rounding of float32."""
        return decide_pictures(self._score, images, self._batch_size)

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


def _wanted(names: list[str], asked: Sequence[str], head: str) -> list[int]:
    """The numbers of the labels that mean "block"."""
    folded = [name.casefold() for name in names]
    here = f"Its labels: {', '.join(name[:60] for name in names[:50])}."
    if not asked:
        return _unsafe(folded, head, here)
    if unknown := [label for label in asked if label.casefold() not in folded]:
        raise InputError(f"{head} has no label {', '.join(unknown)}", fix=here)
    chosen = {label.casefold() for label in asked}
    return [number for number, name in enumerate(folded) if name in chosen]


def _unsafe(folded: list[str], head: str, here: str) -> list[int]:
    """The numbers of the unsafe labels, where every label speaks for itself."""
    unsafe = [number for number, name in enumerate(folded) if name in _UNSAFE]
    safe = [name for name in folded if name in _SAFE]
    if not unsafe or not safe or len(unsafe) + len(safe) < len(folded):
        raise InputError(
            f"{head}: which of its labels mean that a picture is blocked?",
            fix=f"Say so: {head}?labels=LABEL,LABEL. {here}",
        )
    return unsafe
