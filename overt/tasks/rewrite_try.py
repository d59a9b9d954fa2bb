"""Tries rewordings: asks each target again, with the seed of the original's draw."""

from __future__ import annotations

import dataclasses
import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from overt.calls.target_channel import TargetChannel
from overt.data.records import Prompt
from overt.data.rewrites import Candidate
from overt.tasks.asking import Asking, Job, modality_of, request_as
from overt.tasks.rewrite_measure import Tried
from overt.tasks.targets import TargetSpec


def open_channels(asking: Asking, specs: Sequence[TargetSpec]) -> Iterator[TargetChannel]:
    """Opens the first target now, so that errors show early, and the others when needed: local models may not
    fit into memory together."""
    first = [asking.channel(spec) for spec in specs[:1]]
    return itertools.chain(first, map(asking.channel, specs[1:]))


def try_wordings(
    asking: Asking,
    todo: Mapping[str, Sequence[Prompt]],
    candidates: Sequence[Candidate],
    channels: Iterable[TargetChannel],
) -> list[Tried]:
    """Asks each target the candidates for its prompts. An outcome's `prompt_id` is the candidate's id."""
    tried: list[Tried] = []
    judging = asking.judging()
    by_prompt: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        by_prompt[candidate.prompt_id].append(candidate)
    for channel in channels:
        rows = [(p, c) for p in todo[channel.name] for c in by_prompt[p.id]]
        if not rows:
            continue
        worded = [_worded(prompt, candidate) for prompt, candidate in rows]
        jobs: list[Job] = [
            ((new, 0), request_as(new, prompt, 0, asking.seed), prompt.category)
            for new, (prompt, _) in zip(worded, rows, strict=True)
        ]
        outcomes = asking.fire(channel, jobs, len(rows), purpose="rewrite")
        if modality_of(channel.subject) == "text":
            outcomes = asking.judged(worded, outcomes, judging)
        tried += [(candidate, outcome) for (_, candidate), outcome in zip(rows, outcomes, strict=True)]
    return tried


def _worded(prompt: Prompt, candidate: Candidate) -> Prompt:
    """The prompt with the candidate's text. The trigger stays only if the text still contains it: a service
    that revises prompts cannot drop what it never got."""
    text = candidate.text
    kept = prompt.trigger and prompt.trigger.casefold() in text.casefold()
    return dataclasses.replace(prompt, id=candidate.id, text=text, trigger=prompt.trigger if kept else "")
