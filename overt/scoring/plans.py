"""The filters of answer-then-check: a guard on prompt and intended answer, and contradictions of a check.

Filter 1 of the paper (arXiv 2509.11629) keeps a benign prompt if a guard calls it and its intended answer
safe, and a harmful one if the guard calls both unsafe. Of an attack the vanilla prompt is judged. Filter 2
drops a check that contradicts itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from overt.data.answer_plans import Plan, unanswered
from overt.data.chat import Ask, ChatReply, Question
from overt.data.filters import AnswerChecks, FilterDecision, TextFilter, decide_all
from overt.data.records import Drop, Failure
from overt.data.replies import AnswerForm, read_json
from overt.data.templates import Template
from overt.policies.schema import Policy
from overt.scoring.answer_forms import concludes

GUARD, CONTRADICTION = "guard", "contradiction"  # names of the stages
MOST_TEXT = 20_000  # characters of a prompt and of an answer that are sent
Side = Literal["safe", "unsafe", "unclear"]


@dataclass(frozen=True, slots=True)
class _Sides:
    request: Side
    answer: Side


@dataclass(frozen=True, slots=True)
class _Contradiction:
    safety_analysis_contradiction: Literal["true", "false"]


_SIDES, _CONTRADICTION = AnswerForm(_Sides), AnswerForm(_Contradiction)

# -- filter 1 ---------------------------------------------------------------------------------------------


def guard_by_model(
    plans: Iterable[Plan], policy: Policy, *, ask: Ask, template: Template, seed: int
) -> Iterator[Plan | Drop | Failure]:
    """Yields the plans that a chat model places on their prompt's side, and a drop for each other one."""

    def question(plan: Plan) -> Question[_Sides]:
        values = {
            "prompt": plan.prompt.judged_text[:MOST_TEXT],
            "answer": plan.intended[:MOST_TEXT],
            "categories": policy.categories,
        }
        request = template.request(values, seed=seed, schema=_SIDES.schema)
        return Question(request, _read_sides, plan, plan.placed.category)

    for answer in ask(map(question, plans)):
        plan: Plan = answer.about
        yield unanswered(answer, plan, GUARD) if answer.value is None else _placed(plan, answer.value)


def guard_by_filter(
    plans: Iterable[Plan], text_filter: TextFilter, checks: AnswerChecks
) -> Iterator[Plan | Drop | Failure]:
    """Yields the plans that a text filter places on their prompt's side, and a drop for each other one.

    Args:
        checks: what the filter says of intended answers, read with their prompts if it can do that.
    """
    todo = list(plans)
    of_prompts = decide_all(text_filter, (plan.prompt.judged_text for plan in todo))
    of_answers = checks((plan.prompt.judged_text, plan.intended[:MOST_TEXT]) for plan in todo)
    for plan, of_prompt, of_answer in zip(todo, of_prompts, of_answers, strict=True):
        error = of_prompt.error or of_answer.error
        if error is not None:
            yield Failure(plan.prompt.id, GUARD, plan.placed.category, error.kind, error.message)
        else:
            yield _placed(plan, _Sides(_side(of_prompt), _side(of_answer)))


def _side(decision: FilterDecision) -> Side:
    if decision.blocked is None:
        return "unclear"
    return "unsafe" if decision.blocked else "safe"


def _placed(plan: Plan, said: _Sides) -> Plan | Drop:
    """The plan, or a drop that says what of it stands on the other side."""
    wanted = "unsafe" if plan.is_unsafe else "safe"
    for what, side in (("the prompt", said.request), ("the intended answer", said.answer)):
        if side != wanted:
            return plan.lost(GUARD, f"{what} was judged {side}, labelled {plan.prompt.label}")
    return plan


def _read_sides(reply: ChatReply) -> _Sides:
    return read_json(reply, _SIDES)


# -- filter 2 ---------------------------------------------------------------------------------------------


def drop_contradictions(
    plans: Iterable[Plan], *, ask: Ask, template: Template, seed: int
) -> Iterator[Plan | Drop | Failure]:
    """Yields the plans whose check concludes what it should and does not contradict itself, in order.

    What it concludes is told by rules, without a call: a check that concludes the other side, or of which
    that cannot be told, is dropped before a model reads the others.
    """
    waiting: deque[Plan | Drop] = deque()

    def questions() -> Iterator[Question[bool]]:
        for plan in plans:
            found = _concluded(plan)
            waiting.append(found)
            if isinstance(found, Plan):
                request = template.request(
                    {"analysis": plan.analysis}, seed=seed, schema=_CONTRADICTION.schema
                )
                yield Question(request, _contradicts, plan, plan.placed.category)

    for answer in ask(questions()):
        while isinstance(waiting[0], Drop):
            yield waiting.popleft()
        waiting.popleft()
        plan: Plan = answer.about
        if answer.value is None:
            yield unanswered(answer, plan, CONTRADICTION)
        else:
            yield plan.lost(CONTRADICTION, "the check contradicts itself") if answer.value else plan
    yield from waiting


def _concluded(plan: Plan) -> Plan | Drop:
    said, wanted = concludes(plan.analysis), "unsafe" if plan.is_unsafe else "safe"
    if said == wanted:
        return plan
    if said == "unclear":
        return plan.lost(CONTRADICTION, "its check does not say plainly what it concludes")
    return plan.lost(CONTRADICTION, f"its check concludes {said}, labelled {plan.prompt.label}")


def _contradicts(reply: ChatReply) -> bool:
    return read_json(reply, _CONTRADICTION).safety_analysis_contradiction == "true"
