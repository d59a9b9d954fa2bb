"""Audit: judges label each prompt under the effective policy; several judges vote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from overt.data.answers import parse_answer
from overt.data.chat import Ask, ChatReply, Question
from overt.data.records import Audit, Drop, Failure, Label, Prompt, Vote
from overt.data.templates import Template
from overt.policies.schema import Policy

SCHEMA = {
    "type": "object",
    "properties": {
        "label": {"type": "string", "enum": ["benign", "unsafe", "unclear"]},
        "reason": {"type": "string"},
    },
    "required": ["label", "reason"],
    "additionalProperties": False,
}

# A judge is a stage of its own: prompts in, one vote (or the failure to get one) for each, in order.
Judge = Callable[[Sequence[Prompt]], Iterator[Vote | Failure]]


def _label(reply: ChatReply) -> tuple[Label, str]:
    data = parse_answer(reply, SCHEMA)
    return data["label"], str(data["reason"])[:500]


def llm_judge(policy: Policy, *, ask: Ask, template: Template, seed: int) -> Judge:
    """A chat model as a judge. A judge that cannot be understood, or declines, says "unclear"."""

    def judge(prompts: Sequence[Prompt]) -> Iterator[Vote | Failure]:
        questions = (
            Question(
                template.request(
                    {
                        "prompt": prompt.text,
                        "category": policy.category(prompt.category),
                        "modality": policy.modality,
                    },
                    seed=seed,
                    schema=SCHEMA,
                ),
                _label,
                prompt,
                prompt.category,
            )
            for prompt in prompts
        )
        for prompt, answer in zip(prompts, ask(questions), strict=True):
            if answer.value is not None:
                yield Vote(ask.model, *answer.value)
            elif answer.failure_kind in {"malformed", "empty", "refused"}:
                yield Vote(ask.model, "unclear", f"{answer.failure_kind}: {answer.failure}")
            else:
                kind, message = answer.failure_kind or "error", answer.failure or ""
                yield Failure(prompt.id, "audit", prompt.category, kind, message)

    return judge


def function_judge(label: Callable[[Prompt], Vote]) -> Judge:
    """A plain function (rules, a vendor's classifier) as a judge."""

    def judge(prompts: Sequence[Prompt]) -> Iterator[Vote | Failure]:
        yield from map(label, prompts)

    return judge


def majority(votes: Sequence[Vote]) -> Label:
    """More than half of all votes, else "unclear"."""
    if not votes:
        return "unclear"
    label, count = Counter(vote.label for vote in votes).most_common(1)[0]
    return label if 2 * count > len(votes) else "unclear"


def audit(
    prompts: Iterable[Prompt], judges: Sequence[Judge]
) -> Iterator[tuple[Prompt, Audit, list[Failure]]]:
    """Each prompt with its audit, in order. A judge that failed has no vote; its failure comes along."""
    todo = list(prompts)
    rows = [list(judge(todo)) for judge in judges]
    for number, prompt in enumerate(todo):
        results = [row[number] for row in rows]
        votes = tuple(r for r in results if isinstance(r, Vote))
        failures = [r for r in results if isinstance(r, Failure)]
        # A judge without a vote must not make a majority of the others easier.
        label = majority(votes) if 2 * len(votes) > len(judges) else "unclear"
        reason = next((v.reason for v in votes if v.label == label), "") or "the judges do not agree"
        yield prompt, Audit(prompt.id, label, reason, votes), failures


def judge_audit(prompt: Prompt, result: Audit) -> Drop | None:
    """None if the audit confirms what the prompt was written to be; else why it is dropped."""
    if result.label == prompt.label:
        return None
    if not result.votes:
        return Drop(prompt.id, "audit", prompt.category, "no judge answered", "", prompt.text)
    reason = f"judged {result.label}, written as {prompt.label}"
    return Drop(prompt.id, "audit", prompt.category, reason, result.reason, prompt.text)
