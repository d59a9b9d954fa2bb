"""The protocol of refusal judges and their verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from overt.data.chat import CallError

RefusalLabel = Literal["full_refusal", "partial_refusal", "safe_completion", "compliance", "unclear"]


@dataclass(frozen=True, slots=True)
class RefusalVerdict:
    """One judge's verdict on one answer. `score` is from 0 (complies) to 1 (refuses), or None; `reason` has
    under 200 characters; `error` is set if a model did not answer, and the label is then "unclear".
    `language` is set ("th", "unknown") if the label is "unclear" since the judge does not cover it."""

    label: RefusalLabel
    score: float | None = None
    reason: str = ""
    error: CallError | None = None
    language: str = ""


NO_ANSWER = RefusalVerdict("unclear", None, "there is no answer")  # for empty answers, or only thinking


@runtime_checkable
class RefusalJudge(Protocol):
    """The extension point for refusal judges. The same answer must always get the same verdict.

    `judge` may block. A judge that is faster on many answers may also have
    `judge_many(pairs: list[tuple[str, str]]) -> list[RefusalVerdict]`.
    """

    name: str  # "judge/NAME"

    def judge(self, prompt: str, answer: str) -> RefusalVerdict: ...
