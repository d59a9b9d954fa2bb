"""`checker/diffusers[/REPO_OR_FOLDER]`: the safety checker of Stable Diffusion, applied to any picture.

The model compares a picture's CLIP embedding with 17 concepts, each with a threshold of its own. A concept's
margin is its cosine minus its threshold, plus 0.01 if one of three "special care" concepts passes its own.
A picture is flagged if a margin, rounded to three digits, is above 0; that is, above 0.0005. The score is

    1 / (1 + exp(-(largest margin - 0.0005) / 0.05))

It rises with the largest margin and is 0.5 where the model itself begins to flag. 0.05 is the typical size of
the margins of real pictures (cosines of pictures and texts vary by about 0.3).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from overt.data.filters import FilterDecision
from overt.data.local.devices import pick_device, quiet_loading, source_of
from overt.data.local.memory import Room
from overt.data.local.pretrained import speaking_loader
from overt.data.plugins.names import fraction, in_name
from overt.scoring.checkers.local import decide_pictures

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image as Picture

_DEFAULT = "CompVis/stable-diffusion-safety-checker"
_FIRST_FLAGGED = 0.0005  # margins are rounded to three digits before they are compared with 0
_SCALE = 0.05
_SPECIAL_CARE = 0.01


class DiffusersChecker:
    """The StableDiffusionSafetyChecker of a repo or folder, in float32. Weights are safetensors only.

    Args:
        model: a repo or folder with a safety checker, or a folder with a whole pipeline.
        subfolder: for a repo with a whole pipeline, e.g. "safety_checker"; the image processor is then
            read from "feature_extractor". Not needed for a local folder.
        threshold: block at this score; the model itself uses 0.5.
        device: a torch device's name; None: the best device.
        batch_size: maximum pictures in a batch.

    Raises:
        InputError: the model cannot be loaded, or the threshold or device is invalid.
    """

    reads_prompt = False

    def __init__(
        self,
        model: str = _DEFAULT,
        *,
        subfolder: str = "",
        threshold: float = 0.5,
        device: str | None = None,
        batch_size: int = 16,
    ) -> None:
        head = "checker/diffusers" + (f"/{model}" if model != _DEFAULT else "")
        source = source_of(model, head, "torch", "diffusers", "transformers")
        import torch
        from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
        from transformers import CLIPImageProcessor

        self.threshold = fraction(threshold, head)
        options = [f"subfolder={in_name(subfolder)}"] if subfolder else []
        options += [f"threshold={self.threshold!r}"] if self.threshold != 0.5 else []
        self.name = head + ("?" + "&".join(options) if options else "")
        self.covers = ("sexual",)  # it filters nothing else: Rando et al. 2022, arXiv 2210.04610
        self.device = pick_device(device, self.name)
        if not subfolder and (Path(source) / "safety_checker").is_dir():
            subfolder = "safety_checker"
        beside = "feature_extractor" if subfolder else ""
        is_elsewhere = not subfolder and not source.startswith((".", "/"))
        more = "For the checker of a whole pipeline: ?subfolder=safety_checker." if is_elsewhere else ""
        with quiet_loading(), speaking_loader(self.name, source, more):
            self._processor: Any = CLIPImageProcessor.from_pretrained(source, subfolder=beside)
            checker: Any = StableDiffusionSafetyChecker.from_pretrained(
                source, subfolder=subfolder, use_safetensors=True, dtype=torch.float32
            )
        self._checker = checker.to(self.device).eval()
        self._room = Room(self.name, max(1, batch_size))

    def check(self, image: Picture, prompt: str) -> FilterDecision:
        """Returns the decision on one RGB `PIL.Image`; the prompt is ignored."""
        return self.check_many([image], [prompt])[0]

    def check_many(self, images: list[Picture], prompts: list[str]) -> list[FilterDecision]:
        """Returns the decisions in order, equal to those of `check` up to float32 rounding."""
        return decide_pictures(self._score, images, self._room)

    def _score(self, images: list[Picture]) -> list[FilterDecision]:
        import math

        margins = self.margins(images)
        decisions = []
        for row in margins.tolist():
            largest = max(row)
            score = 1 / (1 + math.exp(-(largest - _FIRST_FLAGGED) / _SCALE))
            blocked = score >= self.threshold
            reason = f"concept {row.index(largest)} is {largest:.3f} above its threshold" if blocked else ""
            decisions.append(FilterDecision(blocked, score, reason))
        return decisions

    def margins(self, images: list[Picture]) -> torch.Tensor:
        """Cosine minus threshold per picture and concept, special care included: float32, (n, 17)."""
        import torch
        from torch.nn.functional import normalize

        pixels = self._processor(images, return_tensors="pt").pixel_values.to(self.device, torch.float32)
        checker = self._checker
        with torch.inference_mode():
            seen = normalize(checker.visual_projection(checker.vision_model(pixels)[1]))
            special = seen @ normalize(checker.special_care_embeds).T - checker.special_care_embeds_weights
            margins = seen @ normalize(checker.concept_embeds).T - checker.concept_embeds_weights
            care = (special > _FIRST_FLAGGED).any(dim=1, keepdim=True)
            found: torch.Tensor = (margins + _SPECIAL_CARE * care).cpu()
            return found
