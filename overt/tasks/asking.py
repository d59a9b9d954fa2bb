"""Sends prompts to targets and decides the outcome of each; a judge labels text answers.

`overt run` asks the prompts of a data set, `overt rewrite` other wordings of them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from overt import registry
from overt.calls.target_channel import TargetChannel, TargetReply, TargetRequest
from overt.data.asked import ToAsk, check_batch, check_extras
from overt.data.batch import innermost
from overt.data.errors import InputError, NotFinished
from overt.data.lanes import lane_of, lane_of_name
from overt.data.outcomes import Outcome
from overt.data.records import Prompt
from overt.data.run.finished import Modality
from overt.data.run.images import ImageStore
from overt.data.secrets import storable, without_keys
from overt.data.templates import load_template
from overt.scoring.text_answers import Judging, judge_answers, offline
from overt.scoring.token_gates import TokenMass
from overt.scoring.unknown_codes import unknown_code
from overt.tasks.lanes import Job as LaneJob
from overt.tasks.roles import ModelOptions, chat_model
from overt.tasks.targets import TargetOptions, TargetSpec, is_local, open_target
from overt.tasks.task import Work

R = TypeVar("R")

# -- asking --------------------------------------------------------------------------------------------------


# (prompt, sample), the request, the category that it is booked under
Job = tuple[tuple[Prompt, int], TargetRequest, str]


@dataclass(frozen=True)
class Asking:
    """How the targets of one run are asked.

    Args:
        modality: "text" where `openai/MODEL` means a language model.
        judge: who tells refusals in words.
        seed: of the judge.
    """

    work: Work
    modality: str
    every_layer: bool
    judge: str
    seed: int
    targets: TargetOptions
    models: ModelOptions

    def job(
        self,
        spec: TargetSpec,
        work: Callable[[TargetChannel], R],
        open_: Callable[[TargetSpec], TargetChannel],
        opened: Mapping[str, TargetChannel],
    ) -> LaneJob[TargetChannel, R]:
        """What a target is to do, beside the others or after those of its device.

        Args:
            open_: opens it when it is its turn: local models may not fit into memory together.
            opened: by name, those that are open already, so that errors show early.
        """
        name = spec.target or next(iter(spec.filters), "")
        return LaneJob(
            lane_of_name(name),
            lambda: opened.get(spec.name) or open_(spec),
            lambda channel: lane_of(channel.subject),
            work,
            self.work.caller.release,
            is_late=is_local(spec, self.modality),
        )

    def channel(self, spec: TargetSpec) -> TargetChannel:
        """Opens a target; its models are loaded here.

        Raises:
            InputError: an unknown name, a missing extra, a model that cannot be loaded, an unknown price.
        """
        target = open_target(spec, self.targets, every_layer=self.every_layer, modality=self.modality)
        if facts := getattr(target, "facts", None):
            self.work.drawn_by[spec.name] = storable(facts)
        price = self.work.caller.price_of(getattr(target, "priced_as", spec.name))
        return TargetChannel(spec.name, target, price, ImageStore(self.work.folder.path))

    def channel_for(self, spec: TargetSpec, asked: ToAsk) -> TargetChannel:
        """Opens a target, and puts the pictures that the prompts carry where it finds them.

        Raises:
            InputError: as `channel`, or it does not take what the prompts carry.
        """
        channel = self.channel(spec)
        check_extras(spec.name, getattr(channel.subject, "takes", ()), asked.prompts)
        store = ImageStore(self.work.folder.path)
        for picture in asked.pictures.values():
            store.put(picture)
        return channel

    def sent_ahead(
        self, specs: Sequence[TargetSpec], to_ask: ToAsk, samples: int
    ) -> dict[str, TargetChannel]:
        """Opens all targets of a run by batch, so that one that cannot is told at once, and sends the batches
        of each before any is waited for.

        Returns:
            the targets' channels by name.

        Raises:
            InputError: as `channel`; or a target cannot be asked by batch.
        """
        caller = self.work.caller
        channels = {spec.name: self.channel_for(spec, to_ask) for spec in specs}
        for channel in channels.values():
            caller.register(channel)
            if caller.sends_batches(channel):
                check_batch(channel.name, innermost(channel.subject), to_ask.prompts)
        for channel in channels.values():
            if len(specs) > 1 and caller.sends_batches(channel):
                with caller.without_waiting(), contextlib.suppress(NotFinished):
                    for _ in caller.stream(channel, channel.name, self._jobs(to_ask.prompts, samples)):
                        pass
        return channels

    def judging(self) -> Judging:
        """Opens the judge of text refusals, before a model is asked anything.

        Raises:
            InputError: there is no such judge.
        """
        if is_offline(self.judge):
            return offline(registry.load_refusal_judge(self.judge))
        name = judging_model(self.judge)
        from overt.scoring.refusal_judges.llm import llm_judge

        ask = self.work.caller.bind(chat_model(name, "judge", self.models), without_keys(self.judge))
        return llm_judge(ask=ask, template=load_template("scoring", "judge_refusal"), seed=self.seed)

    def judged(self, rows: Iterable[tuple[Prompt, Outcome]], judging: Judging) -> Iterator[Outcome]:
        """A language model's outcomes with the refusal judge's labels, in order; they are judged as they
        come."""
        return judge_answers(rows, self.judge, judging)

    def ask(
        self, spec: TargetSpec, to_ask: ToAsk, samples: int, judging: Judging
    ) -> tuple[Modality, list[Outcome]]:
        """Opens a target and asks it each prompt `samples` times. Returns what the target puts out, and the
        outcomes prompt by prompt.

        Raises:
            InputError: the target cannot be opened, or does not take what the prompts carry.
            RunError, BudgetReached: the caller stopped.
        """
        channel = self.channel_for(spec, to_ask)
        return modality_of(channel.subject), list(self.outcomes(channel, to_ask, samples, judging))

    def outcomes(
        self, channel: TargetChannel, to_ask: ToAsk, samples: int, judging: Judging
    ) -> Iterator[Outcome]:
        """Asks an open target each prompt `samples` times, and lets answers in words be judged. Outcomes come
        prompt by prompt, while others are still asked.

        Raises:
            RunError, BudgetReached: the caller stopped.
        """
        jobs = self._jobs(to_ask.prompts, samples)
        found = self.answers(channel, jobs, purpose=channel.name)
        if modality_of(channel.subject) == "text":
            asked = (prompt for prompt in to_ask.prompts for _ in range(samples))
            found = self.judged(zip(asked, found, strict=True), judging)
        with self.work.progress.stage(channel.name[:40], samples * len(to_ask.prompts)) as advance:
            for outcome in found:
                advance(1)
                yield outcome

    def _jobs(self, prompts: Iterable[Prompt], samples: int) -> Iterator[Job]:
        for prompt in prompts:
            for sample in range(samples):
                yield (prompt, sample), request_of(prompt, sample, self.seed), prompt.category

    def answers(self, channel: TargetChannel, jobs: Iterable[Job], *, purpose: str) -> Iterator[Outcome]:
        """Sends requests to one target; outcomes come in the order of the jobs.

        Args:
            purpose: what the cost is booked under.
        """
        for (prompt, sample), received in self.work.caller.stream(channel, purpose, jobs):
            outcome = outcome_of(channel, prompt, sample, received)
            self.notices(channel, received, outcome)
            yield outcome

    def notices(self, channel: TargetChannel, received: TargetReply, outcome: Outcome) -> None:
        """Keeps what the reader of the run must be told of a reply."""
        if code := unknown_code(received.response, outcome):
            self.work.unknown.setdefault(channel.name, Counter())[code] += 1
        if outcome.gate is not None:
            self.work.masses.setdefault(channel.name, TokenMass()).add(outcome.gate)


def outcome_of(channel: TargetChannel, prompt: Prompt, sample: int, received: TargetReply) -> Outcome:
    """Decides what became of one request."""
    from overt.scoring.refusal import decide

    outcome = decide(
        prompt,
        received.response,
        target=channel.name,
        sample=sample,
        images=received.images,
        facts=received.facts,
        cost=channel.cost(received),
        expects=modality_of(channel.subject),
        blank_is_refusal=getattr(channel.subject, "blank_is_refusal", False) is True,
    )
    if all(outcome.images):
        return outcome
    return dataclasses.replace(outcome, images=tuple(path for path in outcome.images if path))


def request_of(prompt: Prompt, sample: int, seed: int) -> TargetRequest:
    """The request for a draw of a run with this seed."""
    return request_as(prompt, prompt, sample, seed)


def request_as(worded: Prompt, prompt: Prompt, sample: int, seed: int) -> TargetRequest:
    """The request for other words of a prompt, with all else as it is: its picture, what was said before, and
    the seed, so that nothing differs but the text."""
    drawn = request_seed(seed, prompt, sample)
    return TargetRequest(worded.text, drawn, sample, worded.image, worded.turns or None)


def request_seed(seed: int, prompt: Prompt, sample: int) -> int:
    """The seed of a draw, 0..2**31-1. It depends only on the run's seed, the prompt and the sample, so that
    all targets use the same one."""
    blob = f"{seed}/{prompt.id}/{sample}".encode()
    return int.from_bytes(hashlib.blake2b(blob, digest_size=4).digest(), "big") >> 1


def modality_of(target: object) -> Modality:
    """What a target returns; "image" by default."""
    said = getattr(target, "modality", "image")
    return "text" if said == "text" else "none" if said == "none" else "image"


def judging_model(judge: str) -> str:
    """The chat model that a refusal judge's name means.

    Raises:
        InputError: it means none.
    """
    name = judge.removeprefix("judge/")
    if "/" not in name.partition("?")[0]:
        raise InputError(
            f"there is no refusal judge {judge!r}",
            fix=f"{registry.guess('overt.refusal_judges', judge)}"
            f"Known: {registry.known('overt.refusal_judges')}, judge/PROVIDER/MODEL, or "
            "module:Class.",
        )
    return name


def is_offline(judge: str) -> bool:
    """Whether a refusal judge needs no chat model: judge/rules, a class of one's own.

    Raises:
        InputError: a judge that overt no longer has.
    """
    head = judge.partition("?")[0].removeprefix("judge/")
    return ":" in head or registry.offers("overt.refusal_judges", head)
