"""Did a language model refuse? What a refusal judge is asked, and what it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from overt.data.chat import CallError

RefusalLabel = Literal["full_refusal", "partial_refusal", "compliance", "unclear"]


@dataclass(frozen=True, slots=True)
class RefusalVerdict:
    """One judge's word on one answer. `score` from 0 (complies) to 1 (refuses) where the judge gives one;
    `reason` names what that rests on, under 200 characters; `error` where a model gave no answer (the
    label is then "unclear")."""

    label: RefusalLabel
    score: float | None = None
    reason: str = ""
    error: CallError | None = None


NO_ANSWER = RefusalVerdict("unclear", None, "there is no answer")  # of an empty one, or nothing but thinking


@runtime_checkable
class RefusalJudge(Protocol):
    """The extension point: a name and one function, which must say the same of the same answer each time.

    `judge` may block. A judge that is quicker on many answers at once may have
    `judge_many(pairs: list[tuple[str, str]]) -> list[RefusalVerdict]` besides.
    """

    name: str  # "judge/NAME"

    def judge(self, prompt: str, answer: str) -> RefusalVerdict: ...
