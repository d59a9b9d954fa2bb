"""`checker/nudenet?threshold=0.6&labels=A,B`: the detector of body parts of the package nudenet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from overt.data.errors import InputError
from overt.data.filters import FilterDecision
from overt.data.local.memory import Room
from overt.data.plugins.names import fraction, in_name, words
from overt.scoring.checkers.local import decide_pictures

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

# Left out: covered parts, faces, and what is bare on any beach (feet, bellies, armpits, men's chests);
# products that forbid those name them in `labels`.
EXPOSED = (
    "FEMALE_BREAST_EXPOSED",
    "FEMALE_GENITALIA_EXPOSED",
    "MALE_GENITALIA_EXPOSED",
    "BUTTOCKS_EXPOSED",
    "ANUS_EXPOSED",
)


class NudeNetChecker:
    """Blocks a picture if a listed body part is detected with at least the threshold's confidence.

    The score is the highest confidence among the listed labels, or 0: the detector does not report
    confidences below about 0.25.

    Args:
        threshold: from 0 to 1. 0.6 is common for generated pictures; the package has no default.
        labels: the detector's labels that count, separated by commas; "": those of `EXPOSED`.

    Raises:
        InputError: an unknown label, or a threshold outside 0 to 1.
        ModuleNotFoundError: nudenet is not installed (the registry reports it).
    """

    reads_prompt = False
    device = "cpu"

    def __init__(self, *, threshold: float = 0.6, labels: str = "") -> None:
        import nudenet.nudenet as package

        self.threshold = fraction(threshold, "checker/nudenet")
        # Not package.__labels: inside a class that name would be mangled.
        known = list(getattr(package, "__labels"))
        wanted = [label.upper() for label in words(labels)] or list(EXPOSED)
        if unknown := [label for label in wanted if label not in known]:
            raise InputError(
                f"checker/nudenet knows no label {', '.join(unknown)}",
                fix=f"Its labels: {', '.join(sorted(known))}.",
            )
        self.labels = frozenset(wanted)
        # Fewer parts than all that count as exposed are not all of what is sexual.
        self.covers = ("sexual",) if self.labels >= set(EXPOSED) else ()
        chosen = f"&labels={in_name(','.join(wanted))}" if labels else ""
        self.name = f"checker/nudenet?threshold={self.threshold!r}{chosen}"
        self._detector = package.NudeDetector()

    def check(self, image: Picture, prompt: str) -> FilterDecision:
        """Returns the decision on one RGB `PIL.Image`; the prompt is ignored."""
        return self.check_many([image], [prompt])[0]

    def check_many(self, images: list[Picture], prompts: list[str]) -> list[FilterDecision]:
        return decide_pictures(self._score, images, Room(self.name, 1))

    def _score(self, images: list[Picture]) -> list[FilterDecision]:
        import numpy as np

        decisions = []
        for image in images:
            # BGR, as the package reads files.
            levels = np.ascontiguousarray(np.asarray(image.convert("RGB"))[:, :, ::-1])
            found = [
                (float(part["score"]), str(part["class"]))
                for part in self._detector.detect(levels)
                if part["class"] in self.labels
            ]
            score, label = max(found, default=(0.0, ""))
            blocked = bool(found) and score >= self.threshold
            decisions.append(FilterDecision(blocked, score, f"{label} {score:.2f}" if found else ""))
        return decisions
