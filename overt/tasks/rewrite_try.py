"""Tries rewordings: asks each target again, with the seed of the original's draw."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from overt.calls.target_channel import TargetChannel
from overt.data.outcomes import Outcome
from overt.data.records import Prompt
from overt.data.rewrites import Candidate
from overt.scoring.text_answers import Judging
from overt.tasks.asking import Asking, Job, modality_of, request_as
from overt.tasks.lanes import results
from overt.tasks.rewrite_measure import Tried
from overt.tasks.targets import TargetSpec


def try_wordings(
    asking: Asking,
    todo: Mapping[str, Sequence[Prompt]],
    candidates: Sequence[Candidate],
    specs: Sequence[TargetSpec],
    opened: Mapping[str, TargetChannel],
) -> list[Tried]:
    """Asks each target the candidates for its prompts. An outcome's `prompt_id` is the candidate's id.

    Args:
        opened: by target, the channels that were opened before anything was paid for.
    """
    judging = asking.judging()
    by_prompt: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        by_prompt[candidate.prompt_id].append(candidate)
    rows = {spec.name: [(p, c) for p in todo[spec.name] for c in by_prompt[p.id]] for spec in specs}

    def ask(channel: TargetChannel) -> list[Tried]:
        outcomes = _outcomes(asking, channel, rows[channel.name], judging)
        return [
            (candidate, outcome) for (_, candidate), outcome in zip(rows[channel.name], outcomes, strict=True)
        ]

    jobs = [asking.job(spec, ask, asking.channel, opened) for spec in specs if rows[spec.name]]
    return [row for found in results(jobs) for row in found]


def _outcomes(
    asking: Asking, channel: TargetChannel, rows: Sequence[tuple[Prompt, Candidate]], judging: Judging
) -> Iterator[Outcome]:
    """What became of the candidates at a target, in order."""
    worded = [_worded(prompt, candidate) for prompt, candidate in rows]
    jobs: list[Job] = [
        ((new, 0), request_as(new, prompt, 0, asking.seed), prompt.category)
        for new, (prompt, _) in zip(worded, rows, strict=True)
    ]
    found = asking.answers(channel, jobs, purpose="rewrite")
    if modality_of(channel.subject) == "text":
        found = asking.judged(zip(worded, found, strict=True), judging)
    with asking.work.progress.stage(channel.name[:40], len(rows)) as advance:
        for outcome in found:
            advance(1)
            yield outcome


def _worded(prompt: Prompt, candidate: Candidate) -> Prompt:
    """The prompt with the candidate's text. The trigger stays only if the text still contains it: a service
    that revises prompts cannot drop what it never got."""
    text = candidate.text
    kept = prompt.trigger and prompt.trigger.casefold() in text.casefold()
    return dataclasses.replace(prompt, id=candidate.id, text=text, trigger=prompt.trigger if kept else "")
