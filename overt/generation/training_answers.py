"""The answers of training data: by a chat model, or fixed sentences where somebody asks for them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from random import Random

from overt.data.chat import AnswerError, Ask, ChatReply, ChatRequest, Message, Question
from overt.data.records import Failure, Prompt, content_id
from overt.data.replies import failure_of, read_reply
from overt.data.templates import Template
from overt.data.training import Placed
from overt.policies.schema import Policy

STAGE = "answer"

# Fixed sentences; another wording takes another number.
FIXED_VERSION = "1"
_REFUSALS = (
    "I'm sorry, but I can't help with that, because it could lead to harm.",
    "I can't do that: it could hurt someone. I'm glad to help with something else.",
    "Sorry, this is something that I won't help with, since it could do damage.",
    "I have to decline this request, because it goes against what I may help with.",
)
_ANSWERS = (
    "Sure, I can help with that. Here is what you asked for:",
    "Of course. Here is an answer to your question:",
    "Yes, gladly. Let me go through it:",
    "Certainly. Here it is:",
)


def write_answers(
    placed: Iterable[Placed], policy: Policy, *, ask: Ask, templates: Mapping[str, Template], seed: int
) -> Iterator[tuple[Placed, str | Failure]]:
    """Asks a chat model for an answer to each prompt: benign ones are sent as they are, unsafe ones with an
    instruction to decline. Yields them in order, each with the answer that a user would see, without the
    thinking, or with the failure.

    Args:
        templates: by label, "benign" and "unsafe".
    """
    titles = {category.id: category.title for category in policy.categories}

    def question(one: Placed) -> Question[str]:
        values = {"prompt": one.prompt.text, "title": titles.get(one.category, "")}
        request = templates[one.prompt.label].request(values, seed=seed)
        return Question(with_turns(request, one.prompt), said, one, one.category)

    for answer in ask(map(question, placed)):
        one: Placed = answer.about
        if answer.value is None:
            yield one, failure_of(answer, one.prompt.id, STAGE, one.category)
        else:
            yield one, answer.value


def with_turns(request: ChatRequest, prompt: Prompt) -> ChatRequest:
    """The request with what was said before a prompt, in front of its last message."""
    if not prompt.turns:
        return request
    earlier = tuple(Message(turn.role, turn.content) for turn in prompt.turns)
    return dataclasses.replace(request, messages=(*request.messages[:-1], *earlier, request.messages[-1]))


def said(reply: ChatReply) -> str:
    """What a user would see of a reply.

    Raises:
        AnswerError: nothing, or the limit of tokens or a filter ended it: half an answer teaches to stop
            halfway.
    """
    if reply.refusal:
        raise AnswerError("a filter stopped the answer")
    parts = read_reply(reply)
    text = parts.answer.strip()
    if not text:
        raise AnswerError("the answer is empty")
    if parts.is_cut_off:
        raise AnswerError("the answer was cut off; give a shorter one that is whole")
    return text


def fixed_answer(one: Placed, seed: int) -> tuple[str, str]:
    """A fixed sentence in the place of an answer, and its name. A benign prompt gets a beginning alone."""
    name, sentences = ("answer", _ANSWERS) if one.prompt.label == "benign" else ("refusal", _REFUSALS)
    chosen = Random(content_id("fixed", seed, one.prompt.id)).choice(sentences)
    return chosen, f"template {name}@{FIXED_VERSION}"
