"""Rewrites of benign prompts by a chat model, for the search of `overt generate --search`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from overt.data.chat import Ask, Question
from overt.data.records import Failure, Prompt
from overt.data.replies import failure_of
from overt.data.templates import Template
from overt.generation.copied import Copies
from overt.generation.wordings import reworded, wordings_question
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
        return wordings_question(prompt, policy, category, template, count=count, seed=seed + round)

    for answer in ask(map(question, prompts)):
        prompt: Prompt = answer.about
        if answer.value is None:
            yield prompt, failure_of(answer, prompt.id, "search", prompt.category)
            continue
        category = policy.category(prompt.category)
        yield (
            prompt,
            [
                reworded(prompt, text, ask.model, template, category)
                for text in answer.value[:count]
                if not copies.reason(text)
            ],
        )
