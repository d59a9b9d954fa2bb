"""What a model would answer, and its summary.

A benign prompt's intended answer is a whole answer, written by the answering model. That of an unsafe prompt
is asked for in outline only, of at most five sentences without operational detail. It is read by the stages
that follow, and stands in no row.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from overt.data.answer_plans import Plan
from overt.data.chat import Ask, ChatReply, Question
from overt.data.records import Drop, Failure
from overt.data.replies import AnswerForm, read_json
from overt.data.templates import Template
from overt.generation.resa.asking import asked, fit

OUTLINE, SUMMARY = "outline", "summary"  # names of the stages
OPENS = "I should answer the question in the following way:"
MOST_TEXT = 20_000  # characters of prompts and answers that are sent
_MOST_OUTLINE, _MOST_SUMMARY = 1200, 1500  # characters; five long sentences


@dataclass(frozen=True, slots=True)
class _Outline:
    outline: str


@dataclass(frozen=True, slots=True)
class _Summary:
    summary: str


_OUTLINE, _SUMMARY = AnswerForm(_Outline), AnswerForm(_Summary)


def outline(
    plans: Iterable[Plan], *, ask: Ask, template: Template, seed: int
) -> Iterator[Plan | Drop | Failure]:
    """Yields unsafe prompts with their intended answers in outline, in order."""

    def question(plan: Plan) -> Question[str]:
        values = {"prompt": plan.prompt.text[:MOST_TEXT]}
        request = template.request(values, seed=seed, schema=_OUTLINE.schema)
        return Question(request, _read_outline, plan, plan.placed.category)

    def made(plan: Plan, text: str) -> Plan:
        return dataclasses.replace(plan, intended=text, planned_by=ask.model)

    return asked(plans, OUTLINE, ask, question, made)


def summarise(
    plans: Iterable[Plan], *, ask: Ask, template: Template, seed: int
) -> Iterator[Plan | Drop | Failure]:
    """Yields plans with the summary of their intended answer, in order."""

    def question(plan: Plan) -> Question[str]:
        values = {
            "prompt": plan.prompt.text[:MOST_TEXT],
            "answer": plan.intended[:MOST_TEXT],
            "opens": OPENS,
            "unsafe": plan.is_unsafe,
        }
        request = template.request(values, seed=seed, schema=_SUMMARY.schema)
        return Question(request, _read_summary, plan, plan.placed.category)

    return asked(plans, SUMMARY, ask, question, lambda plan, text: dataclasses.replace(plan, summary=text))


def _read_outline(reply: ChatReply) -> str:
    return fit(read_json(reply, _OUTLINE).outline, _MOST_OUTLINE)


def _read_summary(reply: ChatReply) -> str:
    text = fit(read_json(reply, _SUMMARY).summary, _MOST_SUMMARY)
    return text if text.casefold().startswith(OPENS.casefold()) else f"{OPENS} {text}"
