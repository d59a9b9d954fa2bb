"""The judges of harm of `overt score`: who is asked, and about what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from overt import registry
from overt.data.errors import InputError
from overt.data.lanes import lane_of
from overt.data.outcomes import HarmVote
from overt.data.progress import Progress
from overt.data.run.images import ImageStore
from overt.data.templates import Template
from overt.policies.schema import Policy
from overt.scoring.covers import EVERYTHING, Covers, read_covers
from overt.scoring.harm import Case, HarmJudge, checker_judge, filter_judge, vision_judge, within
from overt.tasks.roles import ModelOptions, chat_model, seeing_model
from overt.tasks.task import Work
from overt.tasks.verdicts import open_answer_checks, open_checks
from overt.workers.load import load_checker


class Judging(Protocol):
    """What a configuration says of its judges: `overt.tasks.score.ScoreConfig`."""

    @property
    def workers(self) -> str: ...
    @property
    def device(self) -> str | None: ...
    @property
    def timeout(self) -> float: ...
    @property
    def seed(self) -> int: ...
    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def models(self) -> ModelOptions: ...
    def declared(self) -> dict[str, str]: ...


@dataclass(frozen=True, slots=True)
class Judge:
    """A judge with what it can see.

    lane: the device that it shares with others, "" for one behind a service.
    is_declared: what it can see it says itself, or --covers does.
    """

    name: str
    asked: HarmJudge
    covers: Covers
    lane: str
    is_declared: bool = True

    def sees(self, case: Case) -> bool:
        return self.covers.sees(case.prompt.category)

    def shown(self, progress: Progress) -> HarmJudge:
        """The judge, asked about what it can see, with a bar of its own."""
        limited = within(self.asked, self.covers)

        def votes(cases: Sequence[Case]) -> Iterator[HarmVote | None]:
            with progress.stage(f"harm {self.name}"[:40], len(cases)) as advance:
                for vote in limited(cases):
                    advance(1)
                    yield vote

        return votes


def open_judges(
    config: Judging, policy: Policy, template: Template, work: Work, has_pictures: bool
) -> list[Judge]:
    """The judges by name: checkers of pictures, filters of answers, and chat models behind the caller, which
    read the policy. Where pictures are judged, they have to see.

    Raises:
        InputError: one cannot be loaded, or cannot judge what there is.
    """
    declared = config.declared()
    judges: list[Judge] = []
    for name in config.names:
        if registry.is_checker(name):
            judges.append(_checker(name, config, declared, work))
        elif registry.is_filter(name):
            judges.append(_filter(name, config, declared, work, has_pictures=has_pictures))
        else:
            if has_pictures:
                chat = seeing_model(name, "judge", config.models, of="judge of these pictures")
            else:
                chat = chat_model(name, "judge", config.models)
            load = ImageStore(work.folder.path).get
            ask = work.caller.bind(chat, f"harm {name}")
            asked = vision_judge(policy, ask=ask, template=template, load=load, seed=config.seed)
            own = declared.get(name)
            covers = read_covers(own, name) if own else EVERYTHING
            judges.append(Judge(name, asked, covers, lane_of(chat)))
    return judges


def _checker(name: str, config: Judging, declared: Mapping[str, str], work: Work) -> Judge:
    store = ImageStore(work.folder.path)
    checker = load_checker(name, config.workers, device=config.device, timeout=config.timeout)
    own = declared.get(name, getattr(checker, "covers", None))
    checks = open_checks(work.caller, name, checker, store.get, f"harm {name}")
    asked = checker_judge(checker.name, checks, store.has)
    return Judge(name, asked, read_covers(own, name), lane_of(checker), own is not None)


def _filter(
    name: str, config: Judging, declared: Mapping[str, str], work: Work, *, has_pictures: bool
) -> Judge:
    """A filter that judges answers. It is loaded in this process: what workers hold reads prompts alone."""
    if has_pictures:
        raise InputError(
            f"{name} reads answers in words, and these targets draw",
            fix="Name a checker (checker/NAME) or a model that sees.",
        )
    text_filter = registry.load_filter(name, device=config.device, timeout=config.timeout)
    own = declared.get(name, getattr(text_filter, "covers", None))
    checks = open_answer_checks(work.caller, name, text_filter, f"harm {name}")
    asked = filter_judge(text_filter.name, checks)
    return Judge(name, asked, read_covers(own, name), lane_of(text_filter), own is not None)
