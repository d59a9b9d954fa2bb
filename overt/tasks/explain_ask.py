"""Asks a target what the searches of `overt explain` want to know, in rounds over all prompts."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from overt.calls.target_channel import TargetChannel, TargetRequest
from overt.data.errors import BudgetReached
from overt.data.outcomes import Outcome
from overt.data.records import Prompt, prompt_id
from overt.generation.lexical import neutral_swaps
from overt.policies.floor import floor_reason
from overt.policies.schema import Policy
from overt.scoring.explain.search import Reply, Search, Step, Trial
from overt.scoring.explain.units import Granularity, Swap, units_of
from overt.scoring.text_answers import Judging
from overt.tasks.asking import Asking, Job, modality_of, request_as


@dataclass(frozen=True)
class Subject:
    """A refused prompt to be explained: its first outcome, and the other draws of it in the run."""

    prompt: Prompt
    outcome: Outcome
    others: Sequence[Outcome] = ()


def search_of(
    subject: Subject,
    policy: Policy,
    *,
    granularity: Granularity,
    replaces: bool,
    again: int,
    most: int,
) -> Search:
    """The search for one prompt; it is over at once where the run's own draws of the prompt disagree.

    Args:
        replaces: whether neutral wordings are tried before words are taken out.
        again, most: as in `Search`.
    """
    prompt = subject.prompt
    swaps = [Swap(*row) for row in neutral_swaps(policy, prompt)] if replaces else []
    plans = [units_of(prompt.text, granularity, swaps)] if swaps else []
    told = [outcome.state for outcome in subject.others if outcome.state != "error"]
    search = Search(
        prompt.text,
        reply_of(subject.outcome),
        [*plans, units_of(prompt.text, granularity)],
        again=again,
        seen=len(told),
        most=most,
        hints=[prompt.trigger],
    )
    if any(state != "refused" for state in told):
        search.found.status = "unstable"
    return search


def reply_of(outcome: Outcome) -> Reply:
    """What an outcome says to a search: whether it is refused, and which layer was the first to say no."""
    if outcome.state == "error":
        return Reply("missing")
    if outcome.state != "refused":
        return Reply("accepted", score=outcome.score)
    blocked = next((layer for layer in outcome.layers if layer.blocked), None)
    layer, stage = (blocked.layer, blocked.stage) if blocked else (outcome.target, outcome.stage or "")
    return Reply("refused", layer, stage, outcome.score)


def sampled(subjects: Iterable[Subject], limit: int | None, seed: int) -> list[Subject]:
    """A sample of at most `limit` prompts that depends only on the seed and their ids: a higher limit adds to
    it. The order stays."""
    rows = list(subjects)
    if limit is None or len(rows) <= limit:
        return rows

    def draw(subject: Subject) -> bytes:
        return hashlib.blake2b(f"{seed}/{subject.prompt.id}".encode(), digest_size=8).digest()

    chosen = {subject.prompt.id for subject in sorted(rows, key=draw)[:limit]}
    return [subject for subject in rows if subject.prompt.id in chosen]


# -- rounds ------------------------------------------------------------------------------------------------


@dataclass
class Rounds:
    """Asks one target for many searches at once: in each round what every search wants to know next.

    Args:
        samples: draws of each prompt in the run; further draws have other numbers, and so other seeds.
    """

    asking: Asking
    channel: TargetChannel
    judging: Judging
    samples: int
    stopped: BudgetReached | None = field(default=None, init=False)

    def run(
        self, subjects: Sequence[Subject], searches: Sequence[Search], advance: Callable[[int], None]
    ) -> None:
        """Runs the searches to their ends, or until a cap is reached: `stopped` then has it."""
        active: list[tuple[Subject, Step[None], list[Trial]]] = []
        for subject, search in zip(subjects, searches, strict=True):
            if search.found.status is None:
                active += _moved(subject, search.steps(), None)
        advance(len(searches) - len(active))
        while active:
            try:
                replies = self._asked([(s, trial) for s, _, trials in active for trial in trials])
            except BudgetReached as stop:
                self.stopped = stop
                return
            before, place = len(active), 0
            still: list[tuple[Subject, Step[None], list[Trial]]] = []
            for subject, steps, trials in active:
                still += _moved(subject, steps, replies[place : place + len(trials)])
                place += len(trials)
            active = still
            advance(before - len(active))

    def _asked(self, rows: Sequence[tuple[Subject, Trial]]) -> list[Reply]:
        """The replies to trials, in their order. What the floor forbids is not asked; what several prompts
        want to know, once."""
        requests = [self._request(*row) for row in rows]
        first = {request: n for n, request in reversed([*enumerate(requests)])}
        allowed = [n for n in sorted(first.values()) if not floor_reason(requests[n].prompt)]
        worded = [_worded(*rows[n]) for n in allowed]
        jobs: list[Job] = [
            ((new, 0), requests[n], new.category) for n, new in zip(allowed, worded, strict=True)
        ]
        outcomes = list(self.asking.answers(self.channel, jobs, purpose="explain"))
        if modality_of(self.channel.subject) == "text":
            outcomes = list(self.asking.judged(zip(worded, outcomes, strict=True), self.judging))
        replies = {n: reply_of(outcome) for n, outcome in zip(allowed, outcomes, strict=True)}
        return [replies.get(first[request], Reply("forbidden")) for request in requests]

    def _request(self, subject: Subject, trial: Trial) -> TargetRequest:
        """An edit is drawn with the seed of the prompt, so that nothing differs but the text; a fragment,
        which several prompts may have, with one of its own."""
        sample = trial.draw + self.samples - 1 if trial.draw else 0
        worded = _worded(subject, trial)
        return request_as(worded, worded if trial.fragment else subject.prompt, sample, self.asking.seed)


def _moved(
    subject: Subject, steps: Step[None], replies: list[Reply] | None
) -> list[tuple[Subject, Step[None], list[Trial]]]:
    """The search with what it wants to know next; nothing at its end."""
    try:
        trials = next(steps) if replies is None else steps.send(replies)
    except StopIteration:
        return []
    return [(subject, steps, trials)]


def _worded(subject: Subject, trial: Trial) -> Prompt:
    """The prompt with the text of a trial. The trigger stays only where the text still contains it."""
    prompt, text = subject.prompt, trial.text
    kept = prompt.trigger and prompt.trigger.casefold() in text.casefold()
    identity = prompt_id(text, prompt.image, prompt.turns)
    return dataclasses.replace(prompt, id=identity, text=text, trigger=prompt.trigger if kept else "")
