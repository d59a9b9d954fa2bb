"""Synthesize: benign prompts that sound dangerous, converted from seeds or written directly."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

from overt.data.chat import Ask, Question
from overt.data.records import Drop, Failure, Prompt, Seed, Strategy, content_id, prompt_id
from overt.data.replies import failure_of
from overt.data.templates import Template
from overt.generation.copied import NEAR_REPEAT, Answer, Copies
from overt.generation.prompt_lists import WRITTEN, Written, cut_short, read_written, with_room
from overt.generation.terms import named_trigger
from overt.policies.floor import askable, floor_reason
from overt.policies.schema import Category, Policy

# Kinds of picture to ask for, so that a set is not all photographs.
STYLES = (
    "photograph", "oil painting", "watercolour", "diagram", "comic panel", "poster", "pencil sketch",
    "infographic", "3D render", "film still", "woodcut", "storyboard frame", "pixel art", "collage",
    "magazine illustration", "museum display", "mural", "claymation still", "blueprint", "book cover",
)  # fmt: skip

MAX_WORDS = 80  # longer prompts are dropped


def _random(*parts: object) -> Random:
    """Returns a generator seeded by content, equal on any machine."""
    return Random(content_id("random", *parts))


def _styles(policy: Policy, count: int, *parts: object) -> list[str]:
    if policy.modality != "image":
        return []
    pool = list(STYLES)
    _random(*parts).shuffle(pool)
    return [pool[i % len(pool)] for i in range(count)]


@dataclass(frozen=True, slots=True)
class _Order:
    """The context of a request for prompts; `record_id` is the id of the seed or of the batch."""

    record_id: str
    category: Category
    language: str
    strategy: Strategy
    seed_id: str | None = None


def convert(
    seeds: Iterable[Seed],
    policy: Policy,
    *,
    ask: Ask,
    template: Template,
    per_seed: int,
    seed: int,
) -> Iterator[Prompt | Drop | Failure]:
    """Yields `per_seed` prompts for each seed, in the order of the seeds. Each seed needs a category."""

    def question(source: Seed) -> Question[list[Written]]:
        category = policy.category(source.category or "")
        language = _random(seed, "language", source.id).choice(category.languages)
        values = {
            "modality": policy.modality,
            "editing": policy.editing,
            "category": _with_terms(category),
            "disallowed": askable(category),
            "seed": source.text,
            "language": language,
            "styles": _styles(policy, per_seed, seed, source.id),
            "count": per_seed,
        }
        request = with_room(template.request(values, seed=seed, schema=WRITTEN.schema), per_seed)
        order = _Order(source.id, category, language, "convert", source.id)
        return Question(request, read_written, order, category.id)

    return _prompts(ask, map(question, seeds), template, per_seed, Copies(policy, template))


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
    """Yields at least `needs[category]` prompts per category, written from the policy alone."""

    def questions() -> Iterator[Question[list[Written]]]:
        for category in policy.categories:
            wanted = needs.get(category.id, 0)
            terms = _cycle_terms(category, seed, round)
            for batch in range(-(-wanted // per_request)):
                random = _random(seed, "direct", category.id, round, batch)
                language = category.languages[(batch + round) % len(category.languages)]
                values = {
                    "modality": policy.modality,
                    "editing": policy.editing,
                    "category": category,
                    "disallowed": askable(category),
                    "examples": _examples(category, random),
                    "language": language,
                    "triggers": [next(terms) for _ in range(per_request)],
                    "styles": _styles(policy, per_request, seed, category.id, round, batch),
                    "count": per_request,
                    "batch": f"{round + 1}.{batch + 1}",
                }
                request = template.request(values, seed=seed, schema=WRITTEN.schema)
                record_id = content_id("batch", category.id, f"{round}.{batch}")
                order = _Order(record_id, category, language, "direct")
                yield Question(with_room(request, per_request), read_written, order, category.id)

    return _prompts(ask, questions(), template, per_request, Copies(policy, template))


def _prompts(
    ask: Ask, questions: Iterable[Question[list[Written]]], template: Template, count: int, copies: Copies
) -> Iterator[Prompt | Drop | Failure]:
    """Yields at most `count` prompts of each answer, and a failure for missing ones."""
    for answer in ask(questions):
        order: _Order = answer.about
        if answer.value is None:
            yield failure_of(answer, order.record_id, "synthesize", order.category.id)
            continue
        kept = Answer(STYLES)
        for entry in answer.value[:count]:
            made = _prompt(entry, order, ask.model, template, copies)
            if isinstance(made, Prompt) and (why := kept.repeats(made.text, made.style)):
                made = Drop(made.id, "synthesize", made.category, NEAR_REPEAT, why, made.text)
            yield made
        if why := cut_short(answer, count):
            yield Failure(order.record_id, "synthesize", order.category.id, "malformed", why)


_MOST_TERMS = 60  # named in a request for conversions


def _with_terms(category: Category) -> Category:
    """The category with an instruction that names its terms, since a prompt must name one of them."""
    terms = "; ".join(trigger.term for trigger in category.triggers[:_MOST_TERMS])
    told = f"Name one of these terms in each prompt and give it as the trigger: {terms}"
    return category.model_copy(
        update={"instruction": "\n\n".join(filter(None, [category.instruction, told]))}
    )


def _cycle_terms(category: Category, seed: int, round: int) -> Iterator[str]:
    """Cycles through the category's trigger terms in an order that depends on the round."""
    terms = [t.term for t in category.triggers]
    _random(seed, "terms", category.id, round).shuffle(terms)
    while True:
        yield from terms


def _examples(category: Category, random: Random) -> list[str]:
    """Returns at most three of the policy's harmless scenes without slots."""
    scenes = [s.benign for t in category.triggers for s in t.scenes if s.benign and "{" not in s.benign]
    return random.sample(scenes, min(3, len(scenes)))


def _prompt(entry: Written, order: _Order, writer: str, template: Template, copies: Copies) -> Prompt | Drop:
    prompt = Prompt(
        id=prompt_id(entry.text),
        text=entry.text,
        category=order.category.id,
        label="benign",
        strategy=order.strategy,
        writer=writer,
        template=template.label,
        trigger=named_trigger(entry.text, entry.trigger, order.category),
        style=entry.style[:60],
        language=order.language,
        seed_id=order.seed_id,
    )
    return check_shape(prompt, "synthesize", copies, claimed=entry.trigger) or prompt


def check_shape(
    prompt: Prompt, stage: str, copies: Copies | None = None, *, claimed: str = ""
) -> Drop | None:
    """Returns why a prompt is dropped before judging, or None if it is kept.

    Args:
        copies: what a chat model was shown; a copy of it is dropped.
        claimed: the trigger that the writer named.
    """
    if reason := floor_reason(prompt.text):
        # What the floor forbids is not stored.
        return Drop(prompt.id, stage, prompt.category, "floor", reason)
    if (words := len(prompt.text.split())) > MAX_WORDS or len(prompt.text) > 1200:
        return Drop(prompt.id, stage, prompt.category, "too long", f"{words} words", prompt.text[:300])
    if copies is not None and (reason := copies.reason(prompt.text)):
        return Drop(prompt.id, stage, prompt.category, reason, "", prompt.text)
    if not prompt.trigger:
        detail = f"{claimed[:60]!r} is no term of the policy" if claimed else ""
        return Drop(prompt.id, stage, prompt.category, "names no trigger", detail, prompt.text)
    return None


def screen(prompts: Sequence[Prompt], stage: str) -> Iterator[Prompt | Drop]:
    """Applies `check_shape` to prompts of another writer."""
    for prompt in prompts:
        yield check_shape(prompt, stage) or prompt
