"""ShieldGemma 2 (google/shieldgemma-2-4b-it): asked about each policy, it answers Yes or No.

The first of its two numbers is Yes, which means that the picture breaks the policy. Source: the forward
pass of ShieldGemma2ForImageClassification in transformers.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image as Picture


def reads_policies(model: Any) -> bool:
    """Whether a classifier has policies for labels."""
    return type(model).__name__ == "ShieldGemma2ForImageClassification"


class PolicyReader:
    """ShieldGemma 2 as a classifier whose labels are the policies of its processor, each independent."""

    def __init__(self, processor: Any, model: Any) -> None:
        self._processor, self._model = processor, model
        self._policies = list(processor.policy_definitions)
        self.labels: str | None = ",".join(self._policies)  # each policy says what breaks it
        self.config: Any = SimpleNamespace(
            id2label=dict(enumerate(self._policies)), problem_type="multi_label_classification"
        )

    def logits(self, images: list[Picture]) -> torch.Tensor:
        """The logits of "Yes" against "No", (n, policies)."""
        import torch

        pictures = [image.convert("RGB") for image in images]
        inputs = self._processor(images=pictures, policies=self._policies, return_tensors="pt")
        inputs = inputs.to(self._model.device)
        kind = self._model.dtype
        taken = {key: v.to(kind) if v.is_floating_point() else v for key, v in inputs.items()}
        with torch.inference_mode():
            answers: torch.Tensor = self._model(**taken).logits.float().cpu()
        # One row for each picture and policy; a sigmoid of the difference is the share of Yes.
        return (answers[:, 0] - answers[:, 1]).reshape(len(images), len(self._policies))
