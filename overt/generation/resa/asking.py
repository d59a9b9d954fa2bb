"""What the stages share: asking about plans, and what of an answer may stand in a row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from overt.data.answer_plans import Plan, unanswered
from overt.data.answer_then_check import has_tags
from overt.data.chat import AnswerError, Ask, Question
from overt.data.records import Drop, Failure

T = TypeVar("T")


def asked(
    plans: Iterable[Plan],
    stage: str,
    ask: Ask,
    question: Callable[[Plan], Question[T]],
    made: Callable[[Plan, T], Plan | Drop],
) -> Iterator[Plan | Drop | Failure]:
    """Asks a question about each plan, in order.

    Args:
        made: what a plan becomes by the value that came.
    """
    for answer in ask(map(question, plans)):
        plan: Plan = answer.about
        yield unanswered(answer, plan, stage) if answer.value is None else made(plan, answer.value)


def fit(text: str, most: int) -> str:
    """A text that may stand in a row.

    Args:
        most: characters.

    Raises:
        AnswerError: it is empty, too long, or holds a tag, which would break the format.
    """
    text = text.strip()
    if not text:
        raise AnswerError("the text is empty")
    if len(text) > most:
        raise AnswerError(f"it has {len(text):,} characters, at most {most:,} are wanted")
    if has_tags(text):
        raise AnswerError("it must not hold tags such as <safety_check>")
    return text
