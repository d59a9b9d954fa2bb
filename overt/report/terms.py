"""Terms that trip a target, in cells and sentences for the terminal, the page and the comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from overt.data.results.explanation import ExplainedTarget, Status, Term
from overt.data.table_model import Cell
from overt.data.text import percent, points

_SAID: Mapping[Status, str] = {
    "nothing flips": "in {n:,} no edit flips the decision",
    "unstable": "{n:,} unstable: asked again, the same text got another decision",
    "unanswered": "{n:,} not told for errors",
    "not asked": "{n:,} not asked: the floor forbids what had to be asked",
    "capped": "{n:,} stopped by --max-calls",
    "not reached": "{n:,} not reached",
}


def statuses_said(target: ExplainedTarget, categories: Sequence[str] = ()) -> list[str]:
    """What became of the refused prompts of a target, and who refused.

    Args:
        categories: those that were explained, if not all; the figures are of their prompts alone.
    """
    of = f" of {', '.join(categories)}" if categories else ""
    if not target.refused:
        return [f"none of {target.benign:,} benign prompts{of} was refused: there is nothing to explain"]
    sample = "" if target.tried == target.refused else f" (a sample of {target.tried:,})"
    explained = target.statuses.get("explained", 0)
    share = f", {percent(explained / target.tried)}" if target.tried else ""
    said = [
        f"{target.refused:,} of {target.benign:,} benign prompts{of} were refused{sample}; {explained:,} "
        f"of {target.tried:,} are explained{share}"
    ]
    said += [
        words.format(n=count) for status, words in _SAID.items() if (count := target.statuses.get(status))
    ]
    if len(target.layers) > 1:
        said.append(f"who said no, by prompts: {layers_said(target.layers)}")
    return said


def layers_said(layers: Mapping[str, int]) -> str:
    """The layers with their counts, the busiest first."""
    return ", ".join(f"{layer} {count:,}" for layer, count in layers.items())


def difference_cell(term: Term) -> Cell:
    """The refusal rate with a term minus that without it in percentage points, with the corrected interval.
    It is tinted where the corrected test finds one."""
    found = term.difference
    if found is None:
        return Cell("-", "all prompts hold it" if term.rate_without is None else "", muted=True)
    tint = "worse" if found.p_holm < 0.05 and found.difference > 0 else ""
    return Cell(
        points(found.difference),
        sort=found.difference,
        heat=tint,
        span=(points(found.low_holm), points(found.high_holm)),
    )
