"""What the embedded writer can make of a policy's triggers, told before anything is written."""

from __future__ import annotations

from collections import Counter

from overt.policies.bank import reading
from overt.policies.schema import Policy

_FIRST = 5  # terms that are named


def remarks(policy: Policy) -> list[str]:
    """Sentences about triggers without scenes; empty if every trigger has a scene of its own."""
    total, bare, banked = 0, [], Counter[str]()
    for category in policy.categories:
        for trigger in category.triggers:
            total += 1
            if trigger.scenes:
                continue
            if read := reading(category, trigger):
                banked[read.topic] += 1
            else:
                bare.append(trigger.term)
    told = []
    if bare:
        first = ", ".join(map(repr, bare[:_FIRST])) + (", ..." if len(bare) > _FIRST else "")
        told.append(
            f"{len(bare)} of {total} triggers {_have(len(bare))} no scene and no topic: expect prompts that "
            f"only mention them, and no unsafe twins (first: {first}). Add scenes: or topic: ..."
        )
    if count := banked.total():
        names = ", ".join(f"{topic} ({n})" for topic, n in banked.most_common())
        told.append(
            f"{count} of {total} triggers {_have(count)} no scene of {'its' if count == 1 else 'their'} own: "
            f"builtin/grammar takes scenes from its bank, by topic: {names}"
        )
    return told


def _have(count: int) -> str:
    return "has" if count == 1 else "have"
