"""What the user sees: the intended answer, the fixed refusal, or an answer that helps instead."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass

from overt.data.answer_plans import Plan
from overt.data.answer_then_check import FIXED_REFUSAL
from overt.data.chat import Ask, ChatReply, Question
from overt.data.records import Drop, Failure
from overt.data.replies import AnswerForm, read_json
from overt.data.templates import Template
from overt.generation.resa.asking import asked, fit
from overt.generation.resa.plans import MOST_TEXT
from overt.policies.schema import Policy

ENDING = "ending"  # the stage's name
FIXED_BY = "template fixed_refusal@1"  # `answer_by` of the fixed sentence
_MOST_RESPONSE = 3000  # characters


@dataclass(frozen=True, slots=True)
class _Response:
    response: str


_RESPONSE = AnswerForm(_Response)


def end(plan: Plan) -> Plan:
    """A plan with its final answer: a benign prompt's intended answer, or the fixed refusal."""
    if plan.is_unsafe:
        return dataclasses.replace(plan, final=FIXED_REFUSAL, kind="refusal", answer_by=FIXED_BY)
    return dataclasses.replace(plan, final=plan.intended, kind="answer", answer_by=plan.planned_by)


def is_to_help(plan: Plan, categories: Set[str]) -> bool:
    """Whether an unsafe prompt gets a safe completion: its check names one of these categories."""
    return plan.is_unsafe and plan.checked in categories


def complete_safely(
    plans: Iterable[Plan], policy: Policy, *, ask: Ask, template: Template, seed: int
) -> Iterator[Plan | Drop | Failure]:
    """Yields unsafe plans with a final answer that declines, and helps instead, in order."""
    titles = {category.id: category.title for category in policy.categories}

    def question(plan: Plan) -> Question[str]:
        values = {
            "prompt": plan.prompt.text[:MOST_TEXT],
            "vanilla": (plan.prompt.vanilla or "")[:MOST_TEXT],
            "title": titles.get(plan.checked, plan.checked),
        }
        request = template.request(values, seed=seed, schema=_RESPONSE.schema)
        return Question(request, _read_response, plan, plan.placed.category)

    def made(plan: Plan, text: str) -> Plan:
        return dataclasses.replace(plan, final=text, kind="safe_completion", answer_by=ask.model)

    return asked(plans, ENDING, ask, question, made)


def _read_response(reply: ChatReply) -> str:
    return fit(read_json(reply, _RESPONSE).response, _MOST_RESPONSE)
