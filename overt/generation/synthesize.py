"""Synthesize: benign prompts that sound dangerous, converted from seeds or written directly."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from random import Random
from typing import Any

from overt.data.chat import Ask, ChatReply, Question
from overt.data.records import Drop, Failure, Prompt, Seed, Strategy, content_id, prompt_id
from overt.data.templates import Template
from overt.generation.seeds import cut_short, read_prompts, with_room
from overt.policies.floor import askable, floor_reason
from overt.policies.schema import Category, Policy

# What kinds of picture are asked for, so that a set is not all photographs.
STYLES = (
    "photograph", "oil painting", "watercolour", "diagram", "comic panel", "poster", "pencil sketch",
    "infographic", "3D render", "film still", "woodcut", "storyboard frame", "pixel art", "collage",
    "magazine illustration", "museum display", "mural", "claymation still", "blueprint", "book cover",
)  # fmt: skip

# A prompt is a request, not an essay: what is longer is dropped, with its length as the reason.
MAX_WORDS = 80

PROMPTS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "prompts": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "text": {"type": "string"},
                    "trigger": {"type": "string"},
                    "style": {"type": "string"},
                },
                "required": ["text", "trigger", "style"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["prompts"],
    "additionalProperties": False,
}


def _read(reply: ChatReply) -> list[dict[str, str]]:
    return read_prompts(reply, PROMPTS_SCHEMA)


def _random(*parts: object) -> Random:
    """Randomness that hangs on content alone: the same question has the same styles on any machine."""
    return Random(content_id("random", *parts))


def _styles(policy: Policy, count: int, *parts: object) -> list[str]:
    if policy.modality != "image":
        return []
    pool = list(STYLES)
    _random(*parts).shuffle(pool)
    return [pool[i % len(pool)] for i in range(count)]


def named_trigger(text: str, claimed: str, category: Category) -> str:
    """The trigger as it stands in the text: the one claimed, else a term of the policy, else "".

    A short ending may follow ("shoot" finds "shooting"); scripts written without blanks are searched
    without looking at word edges.
    """
    for term in (claimed, *(t.term for t in category.triggers)):
        if not term:
            continue
        edge = "" if term[0] > "\u2e7f" else r"(?<!\w)"
        ending = "" if term[-1] > "\u2e7f" else r"(?:\w{1,3})?(?!\w)"
        if found := re.search(edge + re.escape(term) + ending, text, re.IGNORECASE):
            return found.group()
    return ""


def convert(
    seeds: Iterable[Seed],
    policy: Policy,
    *,
    ask: Ask,
    template: Template,
    per_seed: int,
    seed: int,
) -> Iterator[Prompt | Drop | Failure]:
    """`per_seed` prompts for each seed, in the order of the seeds (each has its category)."""

    def question(source: Seed) -> Question[list[dict[str, str]]]:
        category = policy.category(source.category or "")
        language = _random(seed, "language", source.id).choice(category.languages)
        values = {
            "modality": policy.modality,
            "category": category,
            "disallowed": askable(category),
            "seed": source.text,
            "language": language,
            "styles": _styles(policy, per_seed, seed, source.id),
            "count": per_seed,
        }
        request = with_room(template.request(values, seed=seed, schema=PROMPTS_SCHEMA), per_seed)
        return Question(request, _read, (source, category, language), category.id)

    for answer in ask(map(question, seeds)):
        source, category, language = answer.about
        if answer.value is None:
            kind, message = answer.failure_kind or "malformed", answer.failure or ""
            yield Failure(source.id, "synthesize", category.id, kind, message)
            continue
        for entry in answer.value[:per_seed]:
            yield _prompt(entry, category, "convert", ask.model, template, language, source.id)
        if why := cut_short(answer, per_seed):
            yield Failure(source.id, "synthesize", category.id, "malformed", why)


def direct(
    needs: dict[str, int],
    policy: Policy,
    *,
    ask: Ask,
    template: Template,
    per_request: int,
    round: int,
    seed: int,
) -> Iterator[Prompt | Drop | Failure]:
    """At least `needs[category]` prompts per category, written from the policy's own instruction."""

    def questions() -> Iterator[Question[list[dict[str, str]]]]:
        for category in policy.categories:
            wanted = needs.get(category.id, 0)
            terms = _cycle_terms(category, seed, round)
            for batch in range(-(-wanted // per_request)):
                random = _random(seed, "direct", category.id, round, batch)
                language = category.languages[(batch + round) % len(category.languages)]
                values = {
                    "modality": policy.modality,
                    "category": category,
                    "disallowed": askable(category),
                    "examples": _examples(category, random),
                    "language": language,
                    "triggers": [next(terms) for _ in range(per_request)],
                    "styles": _styles(policy, per_request, seed, category.id, round, batch),
                    "count": per_request,
                    "batch": f"{round + 1}.{batch + 1}",
                }
                request = with_room(template.request(values, seed=seed, schema=PROMPTS_SCHEMA), per_request)
                yield Question(request, _read, (category, language, f"{round}.{batch}"), category.id)

    for answer in ask(questions()):
        category, language, batch = answer.about
        record = content_id("batch", category.id, batch)
        if answer.value is None:
            kind, message = answer.failure_kind or "malformed", answer.failure or ""
            yield Failure(record, "synthesize", category.id, kind, message)
            continue
        for entry in answer.value[:per_request]:
            yield _prompt(entry, category, "direct", ask.model, template, language, None)
        if why := cut_short(answer, per_request):
            yield Failure(record, "synthesize", category.id, "malformed", why)


def _cycle_terms(category: Category, seed: int, round: int) -> Iterator[str]:
    """The category's trigger terms, all of them before any comes again, in an order of the round."""
    terms = [t.term for t in category.triggers]
    _random(seed, "terms", category.id, round).shuffle(terms)
    while True:
        yield from terms


def _examples(category: Category, random: Random) -> list[str]:
    """A few of the policy's own harmless scenes; those with open slots are left out."""
    scenes = [s.benign for t in category.triggers for s in t.scenes if s.benign and "{" not in s.benign]
    return random.sample(scenes, min(3, len(scenes)))


def _prompt(
    entry: dict[str, str],
    category: Category,
    strategy: Strategy,
    writer: str,
    template: Template,
    language: str,
    seed_id: str | None,
) -> Prompt | Drop:
    prompt = Prompt(
        id=prompt_id(entry["text"]),
        text=entry["text"],
        category=category.id,
        label="benign",
        strategy=strategy,
        writer=writer,
        template=template.label,
        trigger=named_trigger(entry["text"], entry["trigger"], category),
        style=entry["style"][:60],
        language=language,
        seed_id=seed_id,
    )
    return check_shape(prompt, "synthesize") or prompt


def check_shape(prompt: Prompt, stage: str) -> Drop | None:
    """What no judge is needed for: the floor, the length, and a prompt that names no trigger."""
    if reason := floor_reason(prompt.text):
        # The text itself is not kept: what the floor forbids is not stored either.
        return Drop(prompt.id, stage, prompt.category, "floor", reason)
    if (words := len(prompt.text.split())) > MAX_WORDS or len(prompt.text) > 1200:
        return Drop(prompt.id, stage, prompt.category, "too long", f"{words} words", prompt.text[:300])
    if not prompt.trigger:
        return Drop(prompt.id, stage, prompt.category, "names no trigger", "", prompt.text)
    return None


def screen(prompts: Sequence[Prompt], stage: str) -> Iterator[Prompt | Drop]:
    """`check_shape` over prompts that another writer made."""
    for prompt in prompts:
        yield check_shape(prompt, stage) or prompt
