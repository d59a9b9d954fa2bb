"""Audit: judges label each prompt under the effective policy; several judges vote."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from itertools import repeat

from overt.data.abreast import Shared, abreast
from overt.data.chat import Ask, ChatReply, Question
from overt.data.records import Audit, Drop, Failure, Label, Prompt, Vote
from overt.data.replies import AnswerForm, failure_of, has_abstained, read_json, why_no_value
from overt.data.templates import Template
from overt.policies.schema import Policy
from overt.scoring.stats import majority

# Maps prompts to one vote or failure each, in order. The prompts are read as they come.
Judge = Callable[[Iterable[Prompt]], Iterator[Vote | Failure]]


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
        values = {"prompt": prompt.judged_text, "category": category, "modality": policy.modality}
        values["editing"] = policy.editing
        request = template.request(values, seed=seed, schema=VERDICT.schema)
        purpose = gold_purpose if prompt.id in gold else ""
        return Question(request, _verdict, prompt, prompt.category, purpose)

    def judge(prompts: Iterable[Prompt]) -> Iterator[Vote | Failure]:
        for answer in ask(map(question, prompts)):
            prompt: Prompt = answer.about
            if answer.value is not None:
                yield Vote(ask.model, answer.value.label, answer.value.reason[:500])
            elif has_abstained(answer):
                yield Vote(ask.model, "unclear", why_no_value(answer))
            else:
                yield failure_of(answer, prompt.id, "audit", prompt.category)

    return judge


def function_judge(label: Callable[[Prompt], Vote]) -> Judge:
    """Makes a judge from a function (rules, a vendor's classifier)."""

    def judge(prompts: Iterable[Prompt]) -> Iterator[Vote | Failure]:
        yield from map(label, prompts)

    return judge


def audit(
    prompts: Iterable[Prompt],
    judges: Sequence[Judge],
    lanes: Sequence[str] = (),
    halt: Callable[[], None] | None = None,
) -> Iterator[tuple[Prompt, Audit, list[Failure]]]:
    """Yields each prompt with its audit and the failures of judges, in order.

    The judges vote side by side. They read the prompts as they come, so that these may still be written.

    Args:
        lanes: of each judge what it may not use at the same time as another, such as a device; "" for
            nothing.
        halt: see `abreast`.

    Raises:
        Exception: that of a judge, or of the prompts when all judges have done what they had begun.
    """
    shared = Shared(prompts, len(judges) + 1)
    todo = shared.part(len(judges))
    sources = [judge(shared.part(number)) for number, judge in enumerate(judges)]
    rows: Iterable[tuple[Vote | Failure, ...]] = abreast(sources, lanes, halt) if judges else repeat(())
    # The rows first: a judge that was told to halt leaves prompts without an answer.
    for results, prompt in zip(rows, todo, strict=False):
        votes = tuple(r for r in results if isinstance(r, Vote))
        failures = [r for r in results if isinstance(r, Failure)]
        label = _majority(results)
        reason = next((v.reason for v in votes if v.label == label), "") or "the judges do not agree"
        yield prompt, Audit(prompt.id, label, reason, votes), failures
    shared.check()


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
