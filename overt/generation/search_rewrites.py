"""Rewrites of benign prompts by a chat model, for the search of `overt generate --search`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from overt.data.chat import Ask, Question
from overt.data.records import Failure, Prompt, prompt_id
from overt.data.replies import failure_of
from overt.data.templates import Template
from overt.generation.copied import Copies
from overt.generation.prompt_lists import WORDINGS, read_wordings, with_room
from overt.generation.terms import named_trigger
from overt.policies.floor import askable
from overt.policies.schema import Policy


def search_rewrites(
    prompts: Sequence[Prompt],
    policy: Policy,
    *,
    ask: Ask,
    template: Template,
    count: int,
    round: int,
    seed: int,
) -> Iterator[tuple[Prompt, list[Prompt] | Failure]]:
    """Yields each prompt with at most `count` rewrites, or why there are none. Copies of what the model was
    shown are left out. `round` makes the same prompt's requests of two rounds differ in their seed."""
    copies = Copies(policy, template)

    def question(prompt: Prompt) -> Question[list[str]]:
        category = policy.category(prompt.category)
        values = {
            "modality": policy.modality,
            "category": category,
            "disallowed": askable(category),
            "prompt": prompt.text,
            "trigger": prompt.trigger,
            "count": count,
        }
        request = template.request(values, seed=seed + round, schema=WORDINGS.schema)
        return Question(with_room(request, count), read_wordings, prompt, prompt.category)

    for answer in ask(map(question, prompts)):
        prompt: Prompt = answer.about
        if answer.value is None:
            yield prompt, failure_of(answer, prompt.id, "search", prompt.category)
            continue
        category = policy.category(prompt.category)
        yield (
            prompt,
            [
                dataclasses.replace(
                    prompt,
                    id=prompt_id(text),
                    text=text,
                    writer=ask.model,
                    template=template.label,
                    trigger=named_trigger(text, prompt.trigger, category),
                )
                for text in answer.value[:count]
                if not copies.reason(text)
            ],
        )
