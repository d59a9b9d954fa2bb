"""`checker/hf/REPO_OR_FOLDER?labels=nsfw&threshold=0.5`: any image classifier of transformers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from overt.data.chat import CallError
from overt.data.errors import InputError
from overt.data.filters import FilterDecision
from overt.data.local.devices import pick_device, pick_dtype, quiet_loading, source_of
from overt.data.local.memory import Room
from overt.data.local.pretrained import speaking_loader
from overt.data.plugins.names import fraction, in_name, in_words
from overt.scoring.checkers.local import decide_pictures
from overt.scoring.checkers.shieldgemma2 import PolicyReader, reads_policies
from overt.scoring.classifiers import find_preset
from overt.scoring.labels import NOT_FINITE, Asked, Verdict, read_labels

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image as Picture


class HFImageClassifier:
    """Blocks a picture whose probability of the unwanted labels reaches the threshold.

    The score is the sum of the labels' probabilities if they exclude each other, else the largest of them
    (overt/scoring/labels.py). Weights are safetensors only. ShieldGemma 2 has its policies for labels.

    Args:
        model: a Hub id or a local folder.
        labels: the labels that mean "block", separated by commas. Optional for a model with a preset, and if
            all of the model's labels are unambiguous (nsfw, unsafe, porn ... against sfw, safe, normal ...).
        threshold: from 0 to 1; None: a preset's, else 0.5.
        activation: "sigmoid" for labels of which several may hold at once, "softmax" for labels that exclude
            each other; None: a preset's, else what the model's config says.
        preset: a name of overt/scoring/classifiers.yaml, or "none"; None: by the model's id.
        device: a torch device's name; None: the best device.
        dtype: a torch dtype's name.
        batch_size: maximum pictures in a batch.
        trust_remote_code: run code from the repo. Only set this if the user asked for it.

    Raises:
        InputError: the model cannot be loaded, it lacks a label, or no label was given and the
            labels are ambiguous; the threshold or device is invalid.
    """

    reads_prompt = False

    def __init__(
        self,
        model: str,
        *,
        labels: str = "",
        threshold: float | None = None,
        activation: str | None = None,
        preset: str | None = None,
        device: str | None = None,
        dtype: str = "float32",
        batch_size: int = 16,
        trust_remote_code: bool = False,
    ) -> None:
        head = f"checker/hf/{model}"
        if threshold is not None:
            fraction(threshold, head)
        source = source_of(model, head, "torch", "transformers")
        found = find_preset(head, model, "picture", preset)
        self.device = pick_device(device, head)
        self._reader = _load(head, source, self.device, dtype, trust_remote_code)
        asked = Asked(labels or (None if found else self._reader.labels), activation, threshold)
        self._labels = read_labels(head, self._reader.config, self._tried(head), asked, found)
        self.labels, self.threshold = self._labels.wanted, self._labels.threshold
        self.covers, self.notes = self._labels.covers, self._labels.notes
        said = f"{head}?labels={in_name(','.join(self.labels))}&threshold={self.threshold!r}"
        more = (("activation", activation), ("preset", preset))
        self.name = said + "".join(f"&{key}={in_name(value)}" for key, value in more if value)
        self._room = Room(self.name, max(1, batch_size))

    def check(self, image: Picture, prompt: str) -> FilterDecision:
        """Returns the decision on one RGB `PIL.Image`; the prompt is ignored."""
        return self.check_many([image], [prompt])[0]

    def check_many(self, images: list[Picture], prompts: list[str]) -> list[FilterDecision]:
        """Returns the decisions in order, equal to those of `check` up to float32 rounding."""
        return decide_pictures(self._score, images, self._room)

    def _score(self, images: list[Picture]) -> list[FilterDecision]:
        return [self._decision(verdict) for verdict in self._labels.read(self._reader.logits(images))]

    def _decision(self, verdict: Verdict | None) -> FilterDecision:
        if verdict is None:
            return FilterDecision(None, error=CallError("bad_request", NOT_FINITE))
        reason = f"{verdict.label[:100]} {verdict.share:.2f}"
        return FilterDecision(verdict.score >= self.threshold, verdict.score, reason)

    def _tried(self, head: str) -> torch.Tensor:
        """The logits of a grey picture: what the model gives is looked at before a run."""
        from PIL import Image

        try:
            return self._reader.logits([Image.new("RGB", (64, 64), (128, 128, 128))])
        except Exception as error:  # a broken model may raise anything
            raise InputError(
                f"{head} cannot look at a picture: {in_words(error)}",
                fix="Do its preprocessor_config.json and its weights belong together?",
            ) from error


class PixelReader:
    """A classifier with the image processor that its folder names: the one that transformers takes by
    default, as its pipelines do."""

    labels: str | None = None  # those that block, if the kind of model says so

    def __init__(self, processor: Any, model: Any) -> None:
        self._processor, self._model = processor, model
        self.config: Any = model.config

    def logits(self, images: list[Picture]) -> torch.Tensor:
        """The logits of pictures, (n, labels)."""
        import torch

        inputs = self._processor([image.convert("RGB") for image in images], return_tensors="pt")
        inputs = inputs.to(self._model.device)
        kind = self._model.dtype
        taken = {key: v.to(kind) if v.is_floating_point() else v for key, v in inputs.items()}
        with torch.inference_mode():
            logits: torch.Tensor = self._model(**taken).logits.float().cpu()
        return logits


def _load(
    head: str, source: str, device: str, dtype: str, trust_remote_code: bool
) -> PixelReader | PolicyReader:
    """Loads a model with its processor.

    Raises:
        InputError: they cannot be loaded, or are not whole.
    """
    kind = pick_dtype(dtype, device, head)
    import transformers

    options = {"trust_remote_code": trust_remote_code}
    with quiet_loading(), speaking_loader(head, source):
        classifier: Any = transformers.AutoModelForImageClassification.from_pretrained(
            source, use_safetensors=True, dtype=kind, **options
        )
        processors: Any = transformers.AutoImageProcessor
        if reads_policies(classifier):
            processors = transformers.AutoProcessor
        processor = processors.from_pretrained(source, **options)
    classifier = classifier.to(device).eval()
    return (PolicyReader if reads_policies(classifier) else PixelReader)(processor, classifier)
