"""Rewrite: other wordings for prompts that were refused, by a model and strategy templates.

The remedy of the paper (arXiv 2505.21347, section 6). What it wins and what it costs is measured
elsewhere; here nothing is judged but what no judge is needed for: the floor, the length, a repeat.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from overt.data.chat import Ask, ChatReply, Question
from overt.data.records import Drop, Failure, Prompt, clean_text
from overt.data.rewrites import Candidate, RewriteStrategy, candidate_id
from overt.data.templates import Template
from overt.generation.seeds import cut_short, read_prompts, with_room
from overt.policies.floor import askable, floor_reason
from overt.policies.schema import Category, Policy

MAX_WORDS = 160  # a wording with its context may be longer than a prompt, but is still no essay

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"prompts": {"type": "array", "items": {"type": "string"}}},
    "required": ["prompts"],
    "additionalProperties": False,
}


def rewrite(
    prompts: Iterable[Prompt],
    policy: Policy,
    *,
    ask: Ask,
    templates: Mapping[RewriteStrategy, Template],
    count: int,
    seed: int,
) -> Iterator[Candidate | Drop | Failure]:
    """`count` wordings of each prompt by each strategy, in the order of the prompts.

    A repeat of the prompt itself or of an earlier wording is a `Drop`; a request that gave nothing
    usable, or fewer wordings than asked for, is a `Failure`. Both name the original prompt. An empty list
    is neither: a model may decline so.
    """

    def read(reply: ChatReply) -> list[dict[str, str]]:
        return read_prompts(reply, SCHEMA, at_least=0)

    def questions() -> Iterator[Question[list[dict[str, str]]]]:
        for prompt in prompts:
            category = category_of(policy, prompt)
            for strategy, template in templates.items():
                values = {
                    "modality": policy.modality,
                    "category": category,
                    "disallowed": askable(category),
                    "prompt": prompt.text,
                    "trigger": prompt.trigger,
                    "count": count,
                }
                request = with_room(template.request(values, seed=seed, schema=SCHEMA), count)
                yield Question(request, read, (prompt, strategy, template), prompt.category)

    seen: set[str] = set()
    for answer in ask(questions()):
        prompt, strategy, template = answer.about
        if answer.value is None:
            kind, message = answer.failure_kind or "malformed", answer.failure or ""
            yield Failure(prompt.id, "rewrite", prompt.category, kind, message)
            continue
        for entry in answer.value[:count]:
            yield fit(prompt, entry["text"], strategy, ask.model, template.label, seen)
        found = len(answer.value)
        if why := cut_short(answer, count) or (f"{found} of {count} came" if 0 < found < count else ""):
            yield Failure(prompt.id, "rewrite", prompt.category, "malformed", f"{strategy}: {why}")


def fit(
    prompt: Prompt, text: str, strategy: RewriteStrategy, writer: str, template: str, seen: set[str]
) -> Candidate | Drop:
    """A wording as a candidate, or why it is none. `seen` holds the ids of those that are."""
    text = clean_text(text)
    if reason := floor_reason(text):
        # The text itself is not kept: what the floor forbids is not stored either.
        return Drop(prompt.id, "rewrite", prompt.category, "floor", reason)
    if not text or len(text.split()) > MAX_WORDS or len(text) > 2000:
        return Drop(prompt.id, "rewrite", prompt.category, "too long" if text else "empty", "", text[:300])
    identity = candidate_id(prompt.id, text)
    if identity in seen or text.casefold() == clean_text(prompt.text).casefold():
        return Drop(prompt.id, "rewrite", prompt.category, "repeat", strategy, text)
    seen.add(identity)
    return Candidate(identity, prompt.id, text, strategy, writer, template)


def category_of(policy: Policy, prompt: Prompt) -> Category:
    """The policy's category of a prompt; where a file names one that the policy does not know, one that
    holds all of the policy."""
    for category in policy.categories:
        if category.id == prompt.category:
            return category
    return policy.categories[0].model_copy(
        update={
            "id": "all",
            "title": "the policy as a whole",
            "disallowed": tuple(line for c in policy.categories for line in c.disallowed),
            "allowed": tuple(line for c in policy.categories for line in c.allowed),
            "triggers": tuple(t for c in policy.categories for t in c.triggers),
        }
    )
