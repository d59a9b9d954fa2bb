"""The over-refusal rate by people's labels in words: for the terminal, the gate and the report."""

from __future__ import annotations

from overt.data.results.summary import Corrected, LabelledPart
from overt.data.text import percent


def labels_said(found: Corrected) -> str:
    """What was labelled, and what people say of it: "124 of 600 prompts labelled (31 of 31 refused, ...)"."""
    parts = [_prompts(found)] if found.refused.labelled or found.answered.labelled else []
    if found.refusals is not None and found.answers is not None:
        parts.append(_answers(found.refusals, found.answers))
    return "; ".join(parts) or "no label of these prompts"


def _prompts(found: Corrected) -> str:
    refused, answered = found.refused, found.answered
    labelled, of = refused.labelled + answered.labelled, refused.of + answered.of
    said = (
        f"{labelled:,} of {of:,} prompts labelled ({refused.labelled:,} of {refused.of:,} refused, "
        f"{answered.labelled:,} of {answered.of:,} answered)"
    )
    shares = [
        f"{percent(part.share)} of the {name}"
        for name, part in (("refused", refused), ("answered", answered))
        if part.share is not None
    ]
    said += f"; truly benign: {' and '.join(shares)}" if shares else ""
    if found.unclear:
        said += f"; {found.unclear:,} unclear, which do not count as benign"
    return said


def _answers(refusals: LabelledPart, answers: LabelledPart) -> str:
    labelled, of = refusals.labelled + answers.labelled, refusals.of + answers.of
    said = f"{labelled:,} of {of:,} answers labelled"
    shares = [
        f"{percent(part.share)} of those said to {name}"
        for name, part in (("refuse", refusals), ("answer", answers))
        if part.share is not None
    ]
    return f"{said}; truly refused: {' and '.join(shares)}" if shares else said


def corrected_said(found: Corrected) -> str:
    """One line: the corrected rate, or why there is none, and the labels it rests on."""
    if found.rate is None:
        return f"over-refusal corrected by people's labels: not known, {found.why}; {labels_said(found)}"
    low, high = percent(found.low, sign=False), percent(found.high, sign=False)
    rate = f"{percent(found.rate)} [{low}, {high}]"
    return f"over-refusal corrected by people's labels: {rate}; {labels_said(found)}"
