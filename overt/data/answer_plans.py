"""A prompt on its way to a row of answer-then-check: the intended answer, its summary, the check, the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from overt.data.answer_then_check import Checked
from overt.data.chat import Answer
from overt.data.records import Drop, Failure, Prompt
from overt.data.replies import failure_of, has_abstained
from overt.data.training import AnswerKind, Example, Placed

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Plan:
    """A prompt with what the stages have made of it so far; "" where a stage has not come yet.

    intended: the intended answer, by `planned_by`; of an unsafe prompt an outline, which no row holds.
    summary, analysis, final: the parts of the row. checked: the policy's category that the check names.
    answer_by: who wrote the final answer, as in `Example`.
    """

    placed: Placed
    intended: str = ""
    planned_by: str = ""
    summary: str = ""
    analysis: str = ""
    checked: str = ""
    final: str = ""
    kind: AnswerKind = "answer"
    answer_by: str = ""

    @property
    def prompt(self) -> Prompt:
        return self.placed.prompt

    @property
    def is_unsafe(self) -> bool:
        return self.prompt.label == "unsafe"

    @property
    def parts(self) -> Checked:
        """The parts of the row, when all stages are through."""
        return Checked(self.summary, self.analysis, self.final)

    def example(self, text: str) -> Example:
        """The prompt with a text as its answer."""
        one = self.placed
        return Example(
            one.prompt, one.category, one.split, text, self.kind, self.answer_by, one.type, one.cluster
        )

    def lost(self, stage: str, reason: str, detail: str = "") -> Drop:
        """The drop of this prompt. No model's words about an unsafe prompt belong into `detail`."""
        return Drop(self.prompt.id, stage, self.placed.category, reason, detail, self.prompt.text)


# Maps plans to what became of each, in order.
Stage = Callable[[Iterable[Plan]], Iterator[Plan | Drop | Failure]]


def unanswered(answer: Answer[T], plan: Plan, stage: str) -> Drop | Failure:
    """What becomes of a plan where a model gave nothing usable: a drop if it has replied, else a failure,
    which the same command asks again. Its words are not kept."""
    if has_abstained(answer):
        return plan.lost(stage, f"no usable answer: {answer.failure_kind}")
    return failure_of(answer, plan.prompt.id, stage, plan.placed.category)
