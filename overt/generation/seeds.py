"""Seeds: finds the category of each. overt.data.sources reads them from files."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from overt.data.chat import Ask, ChatReply, Question
from overt.data.records import Drop, Failure, Seed
from overt.data.replies import AnswerForm, failure_of, read_json
from overt.data.templates import Template
from overt.policies.floor import askable, floor_reason
from overt.policies.schema import Policy


@dataclass(frozen=True, slots=True)
class Placed:
    """What the classifier is asked for: the id of a category, or "none"."""

    category: str


def screen(seeds: Iterable[Seed]) -> Iterator[Seed | Drop]:
    """Drops seeds that the floor forbids before any model sees them."""
    for seed in seeds:
        if reason := floor_reason(seed.text):
            yield Drop(seed.id, "seeds", seed.category or "", "floor", reason)
        else:
            yield seed


def classify(
    seeds: Iterable[Seed], policy: Policy, *, ask: Ask | None, template: Template, seed: int
) -> Iterator[Seed | Drop | Failure]:
    """Yields, in order, each seed with a category of the policy, or why it has none.

    A seed whose file names a category of this policy keeps it. A model classifies the others; without a
    model (`ask` is None) they are dropped.
    """
    todo = list(seeds)
    ids = [category.id for category in policy.categories]
    form = AnswerForm(Placed, category=[*ids, "none"])
    categories = [
        {"id": c.id, "title": c.title, "disallowed": askable(c) or (c.title,)} for c in policy.categories
    ]

    def read(reply: ChatReply) -> str:
        return read_json(reply, form).category

    def question(source: Seed) -> Question[str]:
        values = {"seed": source.text, "categories": categories}
        request = template.request(values, seed=seed, schema=form.schema)
        return Question(request, read, source, source.category or "")

    answers = ask(question(s) for s in todo if s.category not in ids) if ask else iter(())
    for record in todo:
        if record.category in ids:
            yield record
            continue
        if ask is None:
            yield Drop(record.id, "seeds", "", "no category", "no model to classify it", record.text)
            continue
        answer = next(answers)
        if answer.value is None:
            yield failure_of(answer, record.id, "seeds", "")
        elif answer.value == "none":
            yield Drop(record.id, "seeds", "", "no category fits", ask.model, record.text)
        else:
            yield dataclasses.replace(record, category=answer.value)
