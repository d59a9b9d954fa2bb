"""Pair: each benign prompt's unsafe twin with the fewest changed words.

A pair shares an id made from the benign prompt. Twins are short, direct requests as in published
benchmarks; the floor and the judges look at each before it is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from overt.data.chat import Ask, ChatReply, Question
from overt.data.records import Drop, Failure, Prompt, content_id, prompt_id
from overt.data.templates import Template
from overt.data.textdiff import changed_words
from overt.generation.seeds import cut_short, read_prompts, with_room
from overt.generation.synthesize import check_shape, named_trigger
from overt.policies.floor import askable
from overt.policies.schema import Policy

TWINS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"prompts": {"type": "array", "items": {"type": "string"}}},
    "required": ["prompts"],
    "additionalProperties": False,
}


def pair_id(benign: Prompt) -> str:
    """The id that a benign prompt and its twins share."""
    return content_id("pair", benign.id)


def write_twins(
    benign: Iterable[Prompt],
    policy: Policy,
    *,
    ask: Ask,
    template: Template,
    count: int,
    seed: int,
) -> Iterator[tuple[Prompt, list[Prompt], list[Drop | Failure]]]:
    """For each benign prompt its candidate twins, the one with the fewest changed words first."""

    def read(reply: ChatReply) -> list[dict[str, str]]:
        # An empty list is an answer: the model found no twin that it would write.
        return read_prompts(reply, TWINS_SCHEMA, at_least=0)

    def question(prompt: Prompt) -> Question[list[dict[str, str]]]:
        category = policy.category(prompt.category)
        values = {
            "modality": policy.modality,
            "category": category,
            "disallowed": askable(category),
            "prompt": prompt.text,
            "trigger": prompt.trigger,
            "language": prompt.language,
            "count": count,
        }
        request = with_room(template.request(values, seed=seed, schema=TWINS_SCHEMA), count)
        return Question(request, read, prompt, prompt.category)

    for answer in ask(map(question, benign)):
        prompt: Prompt = answer.about
        if answer.value is None:
            kind, message = answer.failure_kind or "malformed", answer.failure or ""
            yield prompt, [], [Failure(prompt.id, "pair", prompt.category, kind, message)]
            continue
        twins = [
            Prompt(
                id=prompt_id(entry["text"]),
                text=entry["text"],
                category=prompt.category,
                label="unsafe",
                strategy=prompt.strategy,
                writer=ask.model,
                template=template.label,
                trigger=named_trigger(entry["text"], prompt.trigger, policy.category(prompt.category)),
                style=prompt.style,
                language=prompt.language,
                seed_id=prompt.seed_id,
                pair_id=pair_id(prompt),
            )
            for entry in answer.value[:count]
        ]
        fit, losses = order_twins(prompt, twins)
        if why := cut_short(answer, count):
            losses.append(Failure(prompt.id, "pair", prompt.category, "malformed", why))
        yield prompt, fit, losses


def order_twins(benign: Prompt, twins: Iterable[Prompt]) -> tuple[list[Prompt], list[Drop | Failure]]:
    """Twins fit to be judged, fewest changed words first; the others with the reason."""
    fit: list[Prompt] = []
    drops: list[Drop | Failure] = []
    for twin in twins:
        if twin.id == benign.id:
            drops.append(Drop(twin.id, "pair", twin.category, "same as the benign prompt", "", twin.text))
        elif drop := check_shape(twin, "pair"):
            drops.append(drop)
        else:
            fit.append(twin)
    fit.sort(key=lambda twin: (changed_words(benign.text, twin.text), twin.id))
    return fit, drops
