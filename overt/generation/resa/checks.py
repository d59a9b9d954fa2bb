"""The analysis of a plan's safety: which rule it breaks, or which comes nearest and why it does not."""

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
from overt.generation.resa.plans import MOST_TEXT
from overt.policies.schema import Category, Policy

ANALYSIS = "analysis"  # the stage's name
_MOST_ANALYSIS = 3000  # characters


@dataclass(frozen=True, slots=True)
class _Analysis:
    planning_analysis: str
    category: str = ""


def analyse(
    plans: Iterable[Plan],
    policy: Policy,
    *,
    ask: Ask,
    benign: Template,
    unsafe: Template,
    seed: int,
) -> Iterator[Plan | Drop | Failure]:
    """Yields plans with the analysis of their safety and the category that it names, in order.

    An unsafe plan's analysis is told the one category that is violated, where the policy has the prompt's
    category; else it finds it. That of a benign one chooses the category that comes nearest.
    """
    form = AnswerForm(_Analysis, category=[category.id for category in policy.categories])

    def read(reply: ChatReply) -> _Analysis:
        said = read_json(reply, form)
        return _Analysis(fit(said.planning_analysis, _MOST_ANALYSIS), said.category)

    def question(plan: Plan) -> Question[_Analysis]:
        values = {
            "prompt": plan.prompt.text[:MOST_TEXT],
            "summary": plan.summary,
            "answer": plan.intended[:MOST_TEXT],
            "categories": _named(policy, plan) if plan.is_unsafe else policy.categories,
        }
        template = unsafe if plan.is_unsafe else benign
        request = template.request(values, seed=seed, schema=form.schema)
        return Question(request, read, plan, plan.placed.category)

    def made(plan: Plan, said: _Analysis) -> Plan:
        named = _named(policy, plan)
        checked = named[0].id if plan.is_unsafe and len(named) == 1 else said.category
        return dataclasses.replace(plan, analysis=said.planning_analysis, checked=checked)

    return asked(plans, ANALYSIS, ask, question, made)


def _named(policy: Policy, plan: Plan) -> tuple[Category, ...]:
    """The category of a prompt, or all of them where the policy has none of that name."""
    return tuple(one for one in policy.categories if one.id == plan.placed.category) or policy.categories
