"""Sends prompts to targets and decides the outcome of each; a judge labels text answers.

`overt run` asks the prompts of a data set, `overt rewrite` other wordings of them.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from overt import registry
from overt.calls.target_channel import TargetChannel, TargetReply, TargetRequest
from overt.data.errors import InputError
from overt.data.outcomes import Outcome
from overt.data.prompts import Side, read_prompts, spread
from overt.data.records import Prompt
from overt.data.run.finished import Modality
from overt.data.run.images import ImageStore
from overt.data.secrets import storable, without_keys
from overt.data.suites.load import load_suite, read_suite
from overt.data.tables.parquet import SAMPLE
from overt.data.targets import Extra
from overt.data.templates import load_template
from overt.scoring.text_answers import Judging, judge_answers, offline
from overt.tasks.roles import ModelOptions, chat_model
from overt.tasks.targets import TargetOptions, TargetSpec, open_target
from overt.tasks.task import Work

# -- prompts -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ToAsk:
    """The prompts to ask, the encoded pictures that they carry by `Prompt.image`, and notes on prompts that
    are left out."""

    prompts: list[Prompt]
    pictures: Mapping[str, bytes]
    notes: list[str]


def prompts_to_ask(
    dataset: tuple[str, ...],
    *,
    suite: str | None,
    label: Side | None,
    category: tuple[str, ...],
    limit: int | None,
) -> ToAsk:
    """Reads the prompts to ask.

    Args:
        dataset: sources, or the files of `suite`.
        label: label of prompts whose source has none.
        category: only these; empty for all.
        limit: at most so many of each label.

    Raises:
        InputError: a source cannot be read, or no prompt is left.
    """
    if suite is not None:
        loaded = read_suite(load_suite(suite), dataset)
    else:
        # A sample may have no prompt of a category that was asked for.
        loaded = read_prompts(dataset, label=label, limit=None if category else limit)
    prompts = [p for p in loaded.prompts if not category or p.category in category]
    if limit is not None:
        prompts = list(spread(prompts, limit))
    if not prompts:
        there = sorted({p.category for p in loaded.prompts})
        raise InputError(
            f"no prompt is of category {', '.join(category)}",
            fix=f"There are: {', '.join(there[:20])}",
        )
    notes = []
    if loaded.repeated:
        notes.append(f"{loaded.repeated} prompts stand in the data set more than once; each was sent once")
    if loaded.empty:
        notes.append(f"{loaded.empty} empty prompts were left out")
    notes += [
        f"{name}: the {limit} prompts of each label were chosen from a sample of about {SAMPLE:,} of its "
        "rows, at even distances over the whole file; a rare category may be missing"
        for name in loaded.sampled
    ]
    carried = {p.image for p in prompts}
    return ToAsk(prompts, {name: data for name, data in loaded.pictures.items() if name in carried}, notes)


_CARRIED: Mapping[Extra, str] = {
    "picture": "carry a picture that goes with the text",
    "turns": "go on with a conversation",
}


def check_extras(name: str, takes: object, prompts: Iterable[Prompt]) -> None:
    """Checks that a target takes what its prompts carry, before it is asked anything.

    Args:
        takes: what the target says it takes besides the text (`Target.takes`); None: only the loaded model
            knows.

    Raises:
        InputError: it does not.
    """
    if takes is None:
        return
    known = takes if isinstance(takes, (tuple, list, set, frozenset)) else ()
    counts = Counter[Extra]()
    total = 0
    for prompt in prompts:
        total += 1
        counts["picture"] += prompt.image is not None
        counts["turns"] += bool(prompt.turns)
    for extra, count in counts.items():
        if count and extra not in known:
            raise InputError(
                f"{count:,} of the {total:,} prompts {_CARRIED[extra]}, and {name} takes none",
                fix="Name a target that does (for pictures one that edits them, or a model that sees), or "
                "leave these prompts out. A class of your own says it by `takes`.",
            )


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

    def judging(self) -> Judging:
        """Opens the judge of text refusals, before a model is asked anything.

        Raises:
            InputError: there is no such judge.
        """
        if is_offline(self.judge):
            return offline(registry.load_refusal_judge(self.judge))
        name = self.judge.removeprefix("judge/")
        if "/" not in name.partition("?")[0]:
            raise InputError(
                f"there is no refusal judge {self.judge!r}",
                fix=f"{registry.guess('overt.refusal_judges', self.judge)}"
                f"Known: {registry.known('overt.refusal_judges')}, judge/PROVIDER/MODEL, or "
                "module:Class.",
            )
        from overt.scoring.refusal_judges.llm import llm_judge

        ask = self.work.caller.bind(chat_model(name, "judge", self.models), without_keys(self.judge))
        return llm_judge(ask=ask, template=load_template("scoring", "judge_refusal"), seed=self.seed)

    def judged(
        self,
        prompts: Sequence[Prompt],
        outcomes: Sequence[Outcome],
        judging: Judging,
        advance: Callable[[int], None] = lambda count: None,
    ) -> list[Outcome]:
        """Returns a language model's outcomes with the refusal judge's labels.

        Args:
            prompts: in the order of the outcomes.
        """
        rows = list(zip(prompts, outcomes, strict=True))
        return judge_answers(rows, self.judge, judging, advance=advance)

    def fire(self, channel: TargetChannel, jobs: Iterable[Job], total: int, *, purpose: str) -> list[Outcome]:
        """Sends requests to one target. Returns their outcomes, in the order of the jobs.

        Args:
            jobs: `total` of them.
            purpose: what the cost is booked under.
        """
        outcomes = []
        with self.work.progress.stage(channel.name[:40], total) as advance:
            for outcome in self.answers(channel, jobs, purpose=purpose):
                advance(1)
                outcomes.append(outcome)
        return outcomes

    def answers(self, channel: TargetChannel, jobs: Iterable[Job], *, purpose: str) -> Iterator[Outcome]:
        """Sends requests to one target, without a display of its own; outcomes come in the order of the
        jobs."""
        for (prompt, sample), received in self.work.caller.stream(channel, purpose, jobs):
            yield outcome_of(channel, prompt, sample, received)


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


def is_offline(judge: str) -> bool:
    """Whether a refusal judge needs no chat model: judge/rules, a class of one's own.

    Raises:
        InputError: a judge that overt no longer has.
    """
    head = judge.partition("?")[0].removeprefix("judge/")
    return ":" in head or registry.offers("overt.refusal_judges", head)
