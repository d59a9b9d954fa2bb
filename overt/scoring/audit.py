"""Audit: judges label each prompt under the effective policy; several judges vote."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass

from overt.data.chat import Ask, ChatReply, Question
from overt.data.records import Audit, Drop, Failure, Label, Prompt, Vote
from overt.data.replies import AnswerForm, failure_of, has_abstained, read_json, why_no_value
from overt.data.templates import Template
from overt.policies.schema import Policy
from overt.scoring.stats import majority

# Maps prompts to one vote or failure each, in order.
Judge = Callable[[Sequence[Prompt]], Iterator[Vote | Failure]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge is asked for."""

    label: Label
    reason: str = ""


VERDICT = AnswerForm(Verdict)


def _verdict(reply: ChatReply) -> Verdict:
    return read_json(reply, VERDICT)


def llm_judge(
    policy: Policy,
    *,
    ask: Ask,
    template: Template,
    seed: int,
    gold: Set[str] = frozenset(),
    gold_purpose: str = "",
) -> Judge:
    """Makes a judge from a chat model. An unreadable answer or a refusal counts as "unclear".

    Args:
        gold: ids of gold items. They are asked like all others; only their cost is counted apart.
        gold_purpose: under which it is counted.
    """

    def question(prompt: Prompt) -> Question[Verdict]:
        category = policy.category(prompt.category)
        values = {"prompt": prompt.text, "category": category, "modality": policy.modality}
        values["editing"] = policy.editing
        request = template.request(values, seed=seed, schema=VERDICT.schema)
        purpose = gold_purpose if prompt.id in gold else ""
        return Question(request, _verdict, prompt, prompt.category, purpose)

    def judge(prompts: Sequence[Prompt]) -> Iterator[Vote | Failure]:
        for prompt, answer in zip(prompts, ask(map(question, prompts)), strict=True):
            if answer.value is not None:
                yield Vote(ask.model, answer.value.label, answer.value.reason[:500])
            elif has_abstained(answer):
                yield Vote(ask.model, "unclear", why_no_value(answer))
            else:
                yield failure_of(answer, prompt.id, "audit", prompt.category)

    return judge


def function_judge(label: Callable[[Prompt], Vote]) -> Judge:
    """Makes a judge from a function (rules, a vendor's classifier)."""

    def judge(prompts: Sequence[Prompt]) -> Iterator[Vote | Failure]:
        yield from map(label, prompts)

    return judge


def audit(
    prompts: Iterable[Prompt], judges: Sequence[Judge]
) -> Iterator[tuple[Prompt, Audit, list[Failure]]]:
    """Yields each prompt with its audit and the failures of judges, in order."""
    todo = list(prompts)
    rows = [list(judge(todo)) for judge in judges]
    for number, prompt in enumerate(todo):
        results = [row[number] for row in rows]
        votes = tuple(r for r in results if isinstance(r, Vote))
        failures = [r for r in results if isinstance(r, Failure)]
        label = _majority(results)
        reason = next((v.reason for v in votes if v.label == label), "") or "the judges do not agree"
        yield prompt, Audit(prompt.id, label, reason, votes), failures


def _majority(results: Sequence[Vote | Failure]) -> Label:
    """Returns the label of more than half of all judges, else "unclear" (which also is a label). Failed
    judges count in the total, so that they do not make a majority easier."""
    labels = [result.label if isinstance(result, Vote) else None for result in results]
    won = majority(labels).label if labels else None
    return next((label for label in labels if label and label == won), "unclear")


def judge_audit(prompt: Prompt, result: Audit) -> Drop | None:
    """Returns None if the audit confirms the prompt's label; else a drop with the reason."""
    if result.label == prompt.label:
        return None
    if not result.votes:
        return Drop(prompt.id, "audit", prompt.category, "no judge answered", "", prompt.text)
    reason = f"judged {result.label}, written as {prompt.label}"
    return Drop(prompt.id, "audit", prompt.category, reason, result.reason, prompt.text)
