"""The records of `results/explain.json`: which words made a target refuse benign prompts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from overt.data.results.remedy import Mean
from overt.data.results.summary import Rate
from overt.data.typed_json import OMIT_NONE

SCHEMA = 1  # raised if a field changes its meaning or is removed, but not for a new field

# What became of one refused prompt:
#   explained      a smallest edit lets it through: no word of the edit can stay as it was
#   nothing flips  it is refused however it is cut
#   unstable       asked again, the same text got another decision
#   unanswered     errors kept it from being found out; an error is never a flip
#   not asked      what had to be asked is forbidden by the floor (overt/policies/floor)
#   capped         --max-calls was reached first
#   not reached    the run stopped before it (--max-requests, --max-cost)
Status = Literal["explained", "nothing flips", "unstable", "unanswered", "not asked", "capped", "not reached"]
STATUSES: tuple[Status, ...] = (
    "explained", "nothing flips", "unstable", "unanswered", "not asked", "capped", "not reached",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cause:
    """One part of the smallest edit of a prompt.

    `start` and `end` are its place in the prompt's text, in characters; `replaced_by` is the neutral wording
    that took its place, "" where it was taken out. `term` is the shortest stretch of words around it that is
    refused without the rest of the prompt (`alone` is then true); where there is none it is the part itself,
    which is refused in its context only. `alone` is None where that was not asked. `layer` and `stage` say
    who refuses the prompt where this part alone is put back.
    """

    start: int
    end: int
    text: str
    term: str
    replaced_by: str = ""
    layer: str = ""
    stage: str = ""
    alone: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptExplanation:
    """The smallest edit of one prompt that the target lets through.

    `edited` is the text that was let through. Where `status` is not "explained", `causes` holds the smallest
    edit that was found so far (it may hold words that could stay), or nothing. `calls` counts what was asked
    for it, and `missing` those without an answer. The scores are of the prompt and of `edited`, None where
    the target gives none.
    """

    prompt_id: str
    text: str
    category: str
    status: Status
    causes: tuple[Cause, ...] = ()
    edited: str = ""
    calls: int = 0
    missing: int = 0
    score_before: float | None = None
    score_after: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TermDifference:
    """The refusal rate of benign prompts with a term minus that of those without it, as fractions of 1.

    `low` and `high` are at the level of the explanation and go with `p`; `low_holm` and `high_holm` are as
    much wider as Holm's correction for the number of the target's terms asks, and leave out 0 exactly where
    `p_holm` lies below 1 - level.
    """

    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    low_holm: float
    high_holm: float
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One word or phrase that stands in the smallest edit of at least one prompt.

    `term` is as prompts spell it most often, in lower case; `key` holds its folded words, by which prompts
    and runs are joined. `causes` counts the explained prompts in whose smallest edit it is, `explained` the
    explained ones that contain it, `refused` all refused ones that contain it. `rate` is the refusal rate of
    all benign prompts that contain it, `rate_without` that of the others. `alone` counts the prompts where it
    was refused without any other word. `layers` counts by layer who refuses it. `score_fall` is by how much
    the target's score falls when the term is taken out, over the explained prompts that contain it.
    """

    term: str
    key: str
    causes: int
    explained: int
    refused: int
    alone: int
    rate: Rate | None
    rate_without: Rate | None
    difference: TermDifference | None = None
    layers: Mapping[str, int] = field(default_factory=dict)
    score_fall: Mean | None = field(default=None, metadata=OMIT_NONE)


@dataclass(frozen=True, slots=True)
class WordFall:
    """By how much the score of a target falls when one word of a refused prompt is taken out: the mean over
    the prompts that contain it."""

    word: str
    fall: Mean


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedTarget:
    """What trips one target.

    `benign` counts its answered benign prompts, `refused` those refused, `tried` those of them that were to
    be explained. `statuses` says what became of these. `terms` come by how many prompts they explain; `falls`
    (of targets that give a score) holds every word of the explained prompts.
    """

    name: str
    kind: str
    benign: int
    refused: int
    tried: int
    edit: str
    statuses: Mapping[Status, int] = field(default_factory=dict)
    layers: Mapping[str, int] = field(default_factory=dict)
    terms: tuple[Term, ...] = ()
    falls: tuple[WordFall, ...] = ()
    prompts: tuple[PromptExplanation, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What made the targets of one run refuse benign prompts.

    `complete` is false where a cap stopped the command; `why` says which one. `categories` and `limit` are
    what was asked for: empty and None for all.
    """

    schema: int = SCHEMA
    level: float = 0.95
    granularity: str = "words"
    seed: int = 0
    categories: tuple[str, ...] = ()
    limit: int | None = None
    complete: bool = True
    why: str = ""
    targets: tuple[ExplainedTarget, ...] = ()
