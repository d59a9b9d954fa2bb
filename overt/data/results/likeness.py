"""Whether the pictures of benign prompts show what was asked: records of `overt score --faithfulness`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

FILE = "as_asked.jsonl"  # in the folder of the results


@dataclass(frozen=True, slots=True)
class AsAsked:
    """Whether the pictures of one outcome show what its prompt asked for.

    `value` is the score of the pictures with their own prompt by `measure` and `model`, None if nothing
    could be scored; `detail` then has the reason. `others` counts the other prompts of the run that the same
    pictures were scored with, `above` those of them that got at least as much. `as_asked` is None if it
    cannot be told.
    """

    outcome_id: str
    prompt_id: str
    target: str
    measure: str
    model: str
    value: float | None
    others: int = 0
    above: int = 0
    as_asked: bool | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AsAskedTable:
    """How the pictures of a run were held against their prompts.

    `rule` says in words when a picture counts as drawn as asked. `scored` counts the outcomes that could be
    told, `unscored` the others, and `why_unscored` the commonest reasons. `matched` and `missed` are the
    mean scores of pictures that were drawn as asked and of those that were not.
    """

    measure: str
    model: str
    rule: str
    scored: int
    unscored: int = 0
    why_unscored: Mapping[str, int] = field(default_factory=dict)
    matched: float | None = None
    missed: float | None = None
