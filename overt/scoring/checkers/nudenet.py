"""`checker/nudenet?threshold=0.6&labels=A,B`: the detector of body parts of the package nudenet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from overt.data.errors import InputError
from overt.data.filters import FilterDecision
from overt.scoring.checkers.local import decide_pictures
from overt.scoring.option_values import fraction, in_name, words

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

# What a rule against nudity means. Left out: what is covered, faces, and what is bare on any beach and in
# any gym (feet, bellies, armpits, men's chests); products that forbid those too name them in `labels`.
EXPOSED = (
    "FEMALE_BREAST_EXPOSED",
    "FEMALE_GENITALIA_EXPOSED",
    "MALE_GENITALIA_EXPOSED",
    "BUTTOCKS_EXPOSED",
    "ANUS_EXPOSED",
)


class NudeNetChecker:
    """Blocks a picture in which a body part of the list is found with a confidence from the threshold on.

    The score is the highest confidence among the listed labels, 0 where none was found: the detector itself
    does not report what it holds for less likely than about 0.25.

    Args:
        threshold: from 0 to 1. The package names none; 0.6 is common where generated pictures are measured.
        labels: the detector's labels that count, with commas; "": the five of `EXPOSED`.

    Raises:
        InputError: an unknown label, or the threshold is no number from 0 to 1.
        ModuleNotFoundError: nudenet is not installed (the registry puts it into words).
    """

    def __init__(self, *, threshold: float = 0.6, labels: str = "") -> None:
        import nudenet.nudenet as package

        self.threshold = fraction(threshold, "checker/nudenet")
        # Asked for by name: inside a class two underscores would be taken for the class's own.
        known = list(getattr(package, "__labels"))
        wanted = [label.upper() for label in words(labels)] or list(EXPOSED)
        if unknown := [label for label in wanted if label not in known]:
            raise InputError(
                f"checker/nudenet knows no label {', '.join(unknown)}",
                fix=f"Its labels: {', '.join(sorted(known))}.",
            )
        self.labels = frozenset(wanted)
        chosen = f"&labels={in_name(','.join(wanted))}" if labels else ""
        self.name = f"checker/nudenet?threshold={self.threshold!r}{chosen}"
        self._detector = package.NudeDetector()

    def check(self, image: Picture, prompt: str) -> FilterDecision:
        """The decision on one RGB `PIL.Image`; the prompt makes no difference."""
        return self.check_many([image], [prompt])[0]

    def check_many(self, images: list[Picture], prompts: list[str]) -> list[FilterDecision]:
        """The decisions in the pictures' order."""
        return decide_pictures(self._score, images, 1)

    def _score(self, images: list[Picture]) -> list[FilterDecision]:
        import numpy as np

        decisions = []
        for image in images:
            # Blue first, as the package reads files.
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
