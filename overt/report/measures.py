"""The measures of faithfulness: their titles, their scales, and whether a difference is shown."""

from __future__ import annotations

from overt.data.results.remedy import Mean, Means, MeasureRow

_TITLES = {
    "text_text": "Wording to wording",
    "text_image": "Picture to prompt",
    "image_image": "Picture to picture",
    "vqa": "Elements found",
    "judge": "Meaning kept",
}
_SCALES = {
    "text_text": "cosine of the two wordings, −1 to 1",
    "text_image": "cosine of the new picture and the original prompt, −1 to 1",
    "image_image": "cosine of the two pictures, −1 to 1",
    "vqa": "share of the prompt's elements found in the picture, 0 to 1",
    "judge": "share of wordings that keep the meaning, 0 to 1",
}
SHARES = {"vqa", "judge"}  # measures whose values are shares of 1


def measure_title(measure: str) -> str:
    return _TITLES.get(measure, measure)


def scale_of(measure: str, model: str) -> str:
    """What a measure's numbers are, in words."""
    if measure == "text_text" and model.startswith("lexical"):
        return "word overlap (Jaccard), 0 to 1"
    return _SCALES.get(measure, "")


def is_difference(row: MeasureRow) -> bool:
    """Whether a measure is shown as the difference to the originals' own pictures."""
    return row.difference is not None


def mean_of(measure: MeasureRow, row: Means | None) -> Mean | None:
    """The mean of a row (the whole measure or one category): its difference or score, as the measure is
    shown."""
    if row is None:
        return None
    return row.difference if is_difference(measure) else row.value
