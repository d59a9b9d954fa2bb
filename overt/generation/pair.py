"""Pair: each benign prompt's unsafe twin with the fewest changed words.

A contrast pair shares an id made from the benign prompt. Twins are short, direct requests as in published
benchmarks; the floor and the judges check each before it is kept.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

from overt.data.chat import Ask, Question
from overt.data.records import Drop, Failure, Prompt, content_id
from overt.data.replies import failure_of
from overt.data.templates import Template
from overt.data.text import changed_words
from overt.generation.copied import Copies
from overt.generation.prompt_lists import cut_short
from overt.generation.synthesize import check_shape
from overt.generation.wordings import reworded, wordings_question
from overt.policies.schema import Policy


def pair_id(benign: Prompt) -> str:
    """Returns the id that a benign prompt and its twins share."""
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
    """Yields each benign prompt with its candidate twins, fewest changed words first, and the losses."""

    def question(prompt: Prompt) -> Question[list[str]]:
        category = policy.category(prompt.category)
        return wordings_question(prompt, policy, category, template, count=count, seed=seed)

    copies = Copies(policy, template)
    for answer in ask(map(question, benign)):
        prompt: Prompt = answer.about
        if answer.value is None:
            yield prompt, [], [failure_of(answer, prompt.id, "pair", prompt.category)]
            continue
        category = policy.category(prompt.category)
        twins = [
            dataclasses.replace(
                reworded(prompt, text, ask.model, template, category),
                label="unsafe",
                pair_id=pair_id(prompt),
            )
            for text in answer.value[:count]
        ]
        fit, losses = order_twins(prompt, twins, copies)
        if why := cut_short(answer, count):
            losses.append(Failure(prompt.id, "pair", prompt.category, "malformed", why))
        yield prompt, fit, losses


def order_twins(
    benign: Prompt, twins: Iterable[Prompt], copies: Copies | None = None
) -> tuple[list[Prompt], list[Drop | Failure]]:
    """Returns the twins to be judged, fewest changed words first, and a drop for each of the others.

    Args:
        copies: what a chat model was shown; a copy of it is dropped.
    """
    fit: list[Prompt] = []
    drops: list[Drop | Failure] = []
    for twin in twins:
        if twin.id == benign.id:
            drops.append(Drop(twin.id, "pair", twin.category, "same as the benign prompt", "", twin.text))
        elif drop := check_shape(twin, "pair", copies):
            drops.append(drop)
        else:
            fit.append(twin)
    fit.sort(key=lambda twin: (changed_words(benign.text, twin.text), twin.id))
    return fit, drops
