"""Other wordings of a prompt from a chat model: how twins, rewrites and edits of a search are asked for."""

from __future__ import annotations

import dataclasses

from overt.data.chat import Question
from overt.data.records import Prompt, prompt_id
from overt.data.templates import Template
from overt.generation.prompt_lists import WORDINGS, read_wordings, with_room
from overt.generation.terms import named_trigger
from overt.policies.floor import askable
from overt.policies.schema import Category, Policy


def wordings_question(
    prompt: Prompt,
    policy: Policy,
    category: Category,
    template: Template,
    *,
    count: int,
    seed: int,
    about: object = None,
) -> Question[list[str]]:
    """The question for `count` wordings of a prompt. `about` comes back with the answer; None: the prompt."""
    values = {
        "modality": policy.modality,
        "editing": policy.editing,
        "category": category,
        "disallowed": askable(category),
        "prompt": prompt.text,
        "trigger": prompt.trigger,
        "language": prompt.language,
        "count": count,
    }
    request = with_room(template.request(values, seed=seed, schema=WORDINGS.schema), count)
    return Question(request, read_wordings, prompt if about is None else about, prompt.category)


def reworded(prompt: Prompt, text: str, writer: str, template: Template, category: Category) -> Prompt:
    """The prompt in a model's words, with the trigger as they write it."""
    return dataclasses.replace(
        prompt,
        id=prompt_id(text),
        text=text,
        writer=writer,
        template=template.label,
        trigger=named_trigger(text, prompt.trigger, category),
    )
