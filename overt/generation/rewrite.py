"""Rewrite: other wordings for prompts that were refused, by a model and strategy templates.

The remedy of the paper (arXiv 2505.21347, section 6). This module checks only what needs no judge: the
floor, the length, and repeats.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from overt.data.chat import Ask, Question
from overt.data.errors import InputError, OvertError
from overt.data.plugins.attempts import raised
from overt.data.records import Drop, Failure, Prompt, clean_text
from overt.data.replies import failure_of
from overt.data.rewrites import STRATEGIES, Candidate, RewriteStrategy, candidate_id
from overt.data.templates import Template
from overt.data.text import words
from overt.generation.prompt_lists import cut_short
from overt.generation.wordings import wordings_question
from overt.policies.floor import floor_reason
from overt.policies.schema import Category, Policy

MAX_WORDS = 160  # a wording with its context may be longer than a prompt


class Rewriter(Protocol):
    """A rewriter that needs no chat model: the builtin or a user's class."""

    name: str

    def rewrite(
        self, policy: Policy, prompt: Prompt, *, count: int, seed: int
    ) -> Iterable[Candidate | Drop | Failure]: ...


def rewrite(
    prompts: Iterable[Prompt],
    policy: Policy,
    *,
    ask: Ask,
    templates: Mapping[RewriteStrategy, Template],
    count: int,
    seed: int,
) -> Iterator[Candidate | Drop | Failure]:
    """Yields `count` wordings of each prompt by each strategy, in the order of the prompts.

    A repeat of the prompt or of an earlier wording is a `Drop`; a request that failed or gave too few
    wordings is a `Failure`. Both name the original prompt. An empty list is neither, since a model may
    decline that way.
    """

    def questions() -> Iterator[Question[list[str]]]:
        for prompt in prompts:
            category = category_of(policy, prompt)
            for strategy, template in templates.items():
                about = (prompt, strategy, template)
                yield wordings_question(
                    prompt, policy, category, template, count=count, seed=seed, about=about
                )

    seen: set[str] = set()
    for answer in ask(questions()):
        prompt, strategy, template = answer.about
        if answer.value is None:
            yield failure_of(answer, prompt.id, "rewrite", prompt.category)
            continue
        for text in answer.value[:count]:
            yield fit(prompt, text, strategy, ask.model, template.label, seen)
        found = len(answer.value)
        if why := cut_short(answer, count) or (f"{found} of {count} came" if 0 < found < count else ""):
            yield Failure(prompt.id, "rewrite", prompt.category, "malformed", f"{strategy}: {why}")


def rewrite_with(
    rewriter: Rewriter, prompts: Sequence[Prompt], policy: Policy, *, count: int, seed: int
) -> Iterator[Candidate | Drop | Failure]:
    """Yields at most `count` wordings of each prompt, with the same checks as a chat model's.

    Raises:
        InputError: the rewriter raised, or returned anything but candidates, drops and failures.
    """
    seen: set[str] = set()
    for prompt in prompts:
        try:
            results: list[object] = list(rewriter.rewrite(policy, prompt, count=count, seed=seed))
        except OvertError:
            raise
        except Exception as error:  # a user's class may raise anything
            raise _wrong(rewriter, f"failed with {raised(rewriter, error)}") from error
        made = 0
        for result in results:
            if isinstance(result, Drop | Failure):
                yield result
                continue
            if not isinstance(result, Candidate) or not isinstance(result.text, str):
                raise _wrong(rewriter, f"gave {type(result).__name__} where a Candidate was expected")
            if result.strategy not in STRATEGIES:
                known = ", ".join(STRATEGIES)
                raise _wrong(rewriter, f"gave the strategy {result.strategy!r:.60}; there are {known}")
            if made == count:
                break
            made += 1
            yield fit(prompt, result.text, result.strategy, result.writer, result.template, seen)


def _wrong(rewriter: Rewriter, what: str) -> InputError:
    return InputError(
        f"the rewriter {getattr(rewriter, 'name', type(rewriter).__name__)} {what}",
        fix="`rewrite(policy, prompt, *, count, seed)` gives Candidates and Drops (see CONTRIBUTING).",
    )


def fit(
    prompt: Prompt, text: str, strategy: RewriteStrategy, writer: str, template: str, seen: set[str]
) -> Candidate | Drop:
    """Returns the wording as a candidate, or a drop with the reason. `seen` holds the ids of the candidates
    so far; this one's id is added."""
    text = clean_text(text)
    if reason := floor_reason(text):
        # What the floor forbids is not stored.
        return Drop(prompt.id, "rewrite", prompt.category, "floor", reason)
    if text and not words(text):
        return Drop(prompt.id, "rewrite", prompt.category, "a placeholder of the template", strategy, text)
    if not text or len(text.split()) > MAX_WORDS or len(text) > 2000:
        return Drop(prompt.id, "rewrite", prompt.category, "too long" if text else "empty", "", text[:300])
    identity = candidate_id(prompt.id, text)
    if identity in seen or text.casefold() == clean_text(prompt.text).casefold():
        return Drop(prompt.id, "rewrite", prompt.category, "repeat", strategy, text)
    seen.add(identity)
    return Candidate(identity, prompt.id, text, strategy, writer, template)


def category_of(policy: Policy, prompt: Prompt) -> Category:
    """Returns the policy's category of a prompt, or a category that combines the whole policy if the prompt
    names an unknown one."""
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
