"""Seeds: which category of the policy each belongs to. Reading them from files is overt.data.sources.

And what all who ask a model for a list of prompts need: room for it, and how to read it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

from overt.data.answers import parse_answer
from overt.data.chat import Answer, AnswerError, Ask, ChatReply, ChatRequest, Question
from overt.data.records import Drop, Failure, Seed
from overt.data.templates import Template
from overt.policies.floor import askable, floor_reason
from overt.policies.schema import Policy

TOKENS_EACH = 128  # for an entry of the list: up to three sentences, its trigger and its style


def screen(seeds: Iterable[Seed]) -> Iterator[Seed | Drop]:
    """Drops what the floor forbids before anything is asked about it."""
    for seed in seeds:
        if reason := floor_reason(seed.text):
            yield Drop(seed.id, "seeds", seed.category or "", "floor", reason)
        else:
            yield seed


def classify(
    seeds: Iterable[Seed], policy: Policy, *, ask: Ask | None, template: Template, seed: int
) -> Iterator[Seed | Drop | Failure]:
    """Each seed with a category of the policy, or why it has none; in order.

    A seed whose file names a category of this policy keeps it. The others are asked about; without a
    model (`ask` is None) they are dropped, and the reason says so.
    """
    todo = list(seeds)
    ids = [category.id for category in policy.categories]
    placed = [s.category in ids for s in todo]
    schema = {
        "type": "object",
        "properties": {"category": {"type": "string", "enum": [*ids, "none"]}},
        "required": ["category"],
        "additionalProperties": False,
    }

    def read(reply: ChatReply) -> str:
        return str(parse_answer(reply, schema)["category"])

    categories = [
        {"id": c.id, "title": c.title, "disallowed": askable(c) or (c.title,)} for c in policy.categories
    ]
    questions = (
        Question(
            template.request({"seed": s.text, "categories": categories}, seed=seed, schema=schema),
            read,
            s,
            s.category or "",
        )
        for s, known in zip(todo, placed, strict=True)
        if not known
    )
    answers = ask(questions) if ask else iter(())
    for record, known in zip(todo, placed, strict=True):
        if known:
            yield record
            continue
        if ask is None:
            yield Drop(record.id, "seeds", "", "no category", "no model to classify it", record.text)
            continue
        answer = next(answers)
        if answer.value is None:
            yield Failure(record.id, "seeds", "", answer.failure_kind or "malformed", answer.failure or "")
        elif answer.value == "none":
            yield Drop(record.id, "seeds", "", "no category fits", ask.model, record.text)
        else:
            yield dataclasses.replace(record, category=answer.value)


def with_room(request: ChatRequest, count: int) -> ChatRequest:
    """The request with room for `count` prompts in its answer, where its template leaves less."""
    return dataclasses.replace(request, max_tokens=max(request.max_tokens, count * TOKENS_EACH))


def cut_short(answer: Answer[list[dict[str, str]]], count: int) -> str:
    """Why there are fewer than `count` prompts in an answer that was cut off; "" where none are missing."""
    found = len(answer.value or ())
    if not answer.reply.is_cut_off or found >= count:
        return ""
    return f"cut off at the token limit: {found} of {count} prompts came whole"


def read_prompts(reply: ChatReply, schema: dict[str, Any], at_least: int = 1) -> list[dict[str, str]]:
    """The "prompts" list of an answer, each with text, trigger and style ("" where not given).

    Raises:
        AnswerError: not such a list, or fewer than `at_least` entries with a text.
    """
    found: list[dict[str, str]] = []
    for item in parse_answer(reply, schema)["prompts"]:
        entry = {"text": item} if isinstance(item, str) else item
        text = " ".join(str(entry.get("text") or "").split())
        if text:
            found.append(
                {
                    "text": text,
                    "trigger": " ".join(str(entry.get("trigger") or "").split()),
                    "style": " ".join(str(entry.get("style") or "").split()),
                }
            )
    if len(found) < at_least:
        raise AnswerError(f"the list 'prompts' holds {len(found)} prompts, at least {at_least} are needed")
    return found
