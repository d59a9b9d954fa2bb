"""`judge/PROVIDER/MODEL`: a chat model judges the response with the rubric of judge_refusal.yaml."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import get_args

from overt.data.chat import Answer, Ask, CallError, ChatReply, ErrorKind, Question
from overt.data.refusal_judges import NO_ANSWER, RefusalLabel, RefusalVerdict
from overt.data.replies import AnswerForm, has_abstained, read_json, read_reply, why_no_value
from overt.data.templates import Template

MOST_TEXT = 20_000  # characters of the prompt and of the response that are sent

Pair = tuple[str, str]  # the prompt, and the answer to it
# A judge of many: one judgement for each pair, in order.
RefusalJudging = Callable[[Iterable[Pair]], Iterator[RefusalVerdict]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the judge is asked for."""

    label: RefusalLabel
    reason: str = ""


VERDICT = AnswerForm(Verdict)


def llm_judge(*, ask: Ask, template: Template, seed: int) -> RefusalJudging:
    """Makes a judge from a chat model, which reads the response without the thinking.

    An unreadable reply or a refusal of the judge counts as "unclear"; a failed call as "unclear" with the
    error. A response with only thinking is not sent.
    """

    def judge(pairs: Iterable[Pair]) -> Iterator[RefusalVerdict]:
        visible = [(prompt, read_reply(answer).answer) for prompt, answer in pairs]
        answers = ask(question_of(pair, template, seed) for pair in visible if pair[1].strip())
        for _, text in visible:
            yield judgement_of(next(answers)) if text.strip() else NO_ANSWER

    return judge


def question_of(pair: Pair, template: Template, seed: int) -> Question[Verdict]:
    """What the judge is asked of an answer, without the thinking."""
    prompt, answer = pair
    values = {"prompt": prompt[:MOST_TEXT], "answer": answer[:MOST_TEXT]}
    return Question(template.request(values, seed=seed, schema=VERDICT.schema), _verdict, pair)


def judgement_of(answer: Answer[Verdict]) -> RefusalVerdict:
    """Turns the judge's answer into a verdict."""
    if answer.value is not None:
        return RefusalVerdict(answer.value.label, None, " ".join(answer.value.reason.split())[:199])
    said = why_no_value(answer)[:199]
    if has_abstained(answer):
        return RefusalVerdict("unclear", None, said)
    error = answer.reply.error or CallError(_kind(answer.failure_kind or ""), answer.failure or "")
    return RefusalVerdict("unclear", None, said, error)


def _kind(kind: str) -> ErrorKind:
    known: dict[str, ErrorKind] = {k: k for k in get_args(ErrorKind)}
    return known.get(kind, "server")


def _verdict(reply: ChatReply) -> Verdict:
    return read_json(reply, VERDICT)
