"""The words that trip a target, in tables, and its prompts with those words marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from overt.data.results.explanation import ExplainedTarget, Explanation, PromptExplanation, Term, WordFall
from overt.data.results.remedy import Mean
from overt.data.table_model import Cell, Table, count_cell, rate_cell, sortable
from overt.data.text import decimals, mean_limits, p_value, visible
from overt.report.sections.wording import counted
from overt.report.terms import difference_cell, layers_said, statuses_said

MOST_TERMS = 200  # rows of a table; the run's file has all
MOST_FALLS = 100
MOST_PROMPTS = 40
_LONGEST = 1_000  # characters of a prompt


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a prompt, and whether it is in its smallest edit."""

    text: str
    is_cause: bool


@dataclass(frozen=True, slots=True)
class WordsView:
    """What trips one target. `warning` is "" unless the figures are of a part of its prompts."""

    name: str
    says: Sequence[str]
    warning: str
    terms: Table | None
    falls: Table | None
    prompts: Sequence[Sequence[Piece]]
    prompts_left_out: int


def build_words(explanations: Sequence[Explanation]) -> list[WordsView]:
    """The section's tables and sentences, one for each target."""
    rows = [(found, target) for found in explanations for target in found.targets]
    return [_view(found, target, index) for index, (found, target) in enumerate(rows)]


def _view(found: Explanation, target: ExplainedTarget, index: int) -> WordsView:
    explained = [prompt for prompt in target.prompts if prompt.status == "explained"]
    return WordsView(
        target.name,
        statuses_said(target, found.categories),
        _warning(found, target),
        _terms(target, index) if target.terms else None,
        _falls(target, index) if target.falls else None,
        [pieces_of(prompt) for prompt in explained[:MOST_PROMPTS]],
        max(0, len(explained) - MOST_PROMPTS),
    )


def _warning(found: Explanation, target: ExplainedTarget) -> str:
    left = target.statuses.get("not reached", 0)
    if found.complete or not left:
        return ""
    return (
        f"A cap was reached ({found.why}): {counted(left, 'refused prompt')} of this target "
        f"{'was' if left == 1 else 'were'} not explained. The same command with a higher cap goes on."
    )


def _terms(target: ExplainedTarget, index: int) -> Table:
    scored = any(term.score_fall for term in target.terms)
    shown = target.terms[:MOST_TERMS]
    more = len(target.terms) - len(shown)
    return Table(
        f"words-{index}",
        "Terms by how many refused prompts they explain. The difference is the refusal rate of benign "
        "prompts with the term minus that of those without it, in percentage points; interval and p-value "
        f"are corrected for the number of terms (Holm){f'; {more:,} more are in the file' if more else ''}",
        [
            "Term", "Explains", "Refused with it", "Refused by itself", "Benign prompts with it",
            "Difference", "p (Holm)", *(["Score falls by"] if scored else []), "Who says no",
        ],
        [_row(term, scored=scored) for term in shown],
        dense=True,
    )  # fmt: skip


def _row(term: Term, *, scored: bool) -> list[Cell]:
    p = term.difference.p_holm if term.difference else None
    return [
        Cell(visible(term.term), sort=term.key),
        count_cell(term.causes),
        count_cell(term.refused),
        count_cell(term.alone),
        rate_cell(term.rate, "cost"),
        difference_cell(term),
        Cell(p_value(p), sort=p),
        *([_fall_cell(term.score_fall)] if scored else []),
        Cell(visible(layers_said(term.layers))),
    ]


def _falls(target: ExplainedTarget, index: int) -> Table:
    return Table(
        f"falls-{index}",
        "By how much the target's score falls when one word is taken out of a refused prompt: the mean over "
        "the prompts that hold it",
        ["Word", "Score falls by"],
        [_fall_row(row) for row in target.falls[:MOST_FALLS]],
    )


def _fall_row(row: WordFall) -> list[Cell]:
    return [Cell(visible(row.word), sort=row.word), _fall_cell(row.fall)]


def _fall_cell(fall: Mean | None) -> Cell:
    if fall is None:
        return Cell("-", muted=True)
    return Cell(decimals(fall.mean), sort=sortable(fall.mean), span=mean_limits(fall), n=fall.n)


def pieces_of(prompt: PromptExplanation) -> list[Piece]:
    """A prompt in pieces, those of its smallest edit marked. Hidden characters are made visible, as in all
    texts of the page."""
    pieces: list[Piece] = []
    end = 0
    for cause in sorted(prompt.causes, key=lambda cause: cause.start):
        if cause.start < end or cause.end > _LONGEST:
            continue
        pieces.append(Piece(visible(prompt.text[end : cause.start]), False))
        pieces.append(Piece(visible(prompt.text[cause.start : cause.end]), True))
        end = cause.end
    rest = prompt.text[end:_LONGEST]
    pieces.append(Piece(visible(rest) + (" … (cut)" if len(prompt.text) > _LONGEST else ""), False))
    return [piece for piece in pieces if piece.text]
