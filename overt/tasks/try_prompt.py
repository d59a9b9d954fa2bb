"""`overt try`: prompts of the command line at several targets at once, and under a policy. Nothing is kept.

Each target has a caller of its own, so that a key that is refused at one does not stop the others. Services
are asked side by side; models of this machine one after the other, since they may not fit into memory
together.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Annotated, ClassVar, Literal

from overt import registry
from overt.data.asked import ToAsk, check_extras
from overt.data.errors import InputError, OvertError
from overt.data.outcomes import Outcome
from overt.data.progress import Progress, Silent
from overt.data.provider.codes_file import taught_by
from overt.data.records import Prompt, prompt_id
from overt.data.run.files import write_atomic
from overt.data.run.finished import Modality
from overt.data.run.folder import Addresses
from overt.data.run.images import ImageStore
from overt.data.secrets import masked
from overt.data.tables.extras import illustrated, read_pictures
from overt.data.text import encodable
from overt.policies.floor.scan import floor_rule
from overt.policies.load import load_policy
from overt.policies.schema import Category, Policy
from overt.scoring.unknown_codes import unknown_said
from overt.tasks.asking import Asking, is_offline, judging_model
from overt.tasks.config import RUN, Option, OutputConfig, checked_folder
from overt.tasks.side_by_side import Errand, side_by_side
from overt.tasks.target_config import TARGET, TargetConfig
from overt.tasks.targets import TargetSpec, check_both, is_local, modality_for, resolve_target, specs_of
from overt.tasks.task import Work, working_once
from overt.tasks.try_audit import Audited, audited, categories_of, check_judges

_POLICY = "Under a policy"
_MEMORY = "memory"  # what models of this machine share


class TryConfig(TargetConfig, OutputConfig):
    kind: ClassVar[str] = "try"
    left_out: ClassVar[frozenset[str]] = frozenset(
        {"pay_again", "batch", "batch_wait", "batch_cancel", "workers"}
    )

    prompt: Annotated[
        tuple[str, ...],
        Option(
            "What to ask. Several are asked each for itself; - reads them from stdin, one a line.",
            metavar="PROMPT...",
            is_argument=True,
        ),
    ]
    modality: Annotated[
        Literal["image", "text"] | None,
        Option(
            "What openai/MODEL is: a model that draws or a language model. Default: as the policy says, else "
            "image.",
            TARGET,
            metavar="image|text",
        ),
    ] = None
    policy: Annotated[
        str | None,
        Option(
            "Also say whether the prompt is benign or unsafe under this policy.", _POLICY, completes="policy"
        ),
    ] = None
    category: Annotated[
        tuple[str, ...],
        Option("Only under these categories of the policy. Default: all. Repeatable.", _POLICY),
    ] = ()
    auditor: Annotated[
        tuple[str, ...],
        Option(
            "Who says so: builtin/rules, or a chat model, which is asked once for each category and reached "
            "as the role judge. Several vote.",
            _POLICY,
            completes="auditor",
        ),
    ] = ("builtin/rules",)
    out: Annotated[
        Path | None,
        Option("Keep the pictures in this folder. Default: a new one among the temporary files.", RUN),
    ] = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one prompt at one target.

    kind: what the target puts out; None where it could not be asked at all. Then there is no outcome, and
        `failure` says why, with what to do.
    pictures: where they lie.
    """

    target: str
    kind: Modality | None = None
    outcome: Outcome | None = None
    pictures: tuple[Path, ...] = ()
    failure: str = ""

    @property
    def is_one(self) -> bool:
        """Whether an answer came: a refusal is one, an error is none."""
        return self.outcome is not None and self.outcome.state != "error"


@dataclass(frozen=True, slots=True)
class Trial:
    """One prompt: its answers in the order of the targets, and the audit; None where there was none, or where
    it failed, as a note says."""

    prompt: str
    answers: tuple[Answer, ...]
    audit: Audited | None = None


@dataclass(frozen=True, slots=True)
class Tried:
    """All prompts, what the reader must know, and why the audit failed, if it did."""

    trials: tuple[Trial, ...]
    notes: tuple[str, ...] = ()
    failure: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether every target answered every prompt, and so did every judge of the audit."""
        audits = [trial.audit for trial in self.trials if trial.audit is not None]
        answers = [answer for trial in self.trials for answer in trial.answers]
        return (
            not self.failure
            and all(answer.is_one for answer in answers)
            and all(one.is_answered for one in audits)
        )


def try_prompts(config: TryConfig, lines: Iterable[str], progress: Progress) -> Tried:
    """Asks every target every prompt.

    Args:
        lines: what `-` stands for.

    Raises:
        InputError: no prompt, one that the floor forbids, a wrong name or option. Nothing was sent then.
    """
    pictures = read_pictures(config.picture)
    prompts = illustrated(_prompts(config.prompt, lines), sorted(pictures))
    policy = load_policy(config.policy) if config.policy is not None else None
    if config.category and policy is None:
        raise InputError("--category goes with --policy", fix="Name the policy that has these categories.")
    categories = categories_of(policy, config.category) if policy is not None else ()
    specs = _specs(config)
    kinds = _checked(config, specs, policy, prompts)
    with (
        taught_by(config.codes),
        tempfile.TemporaryDirectory(prefix="overt-try-", ignore_cleanup_errors=True) as place,
    ):
        asker = _Asker(config, config.addresses(), prompts, pictures, Path(place))
        errands: list[Errand[list[Answer] | list[Audited]]] = [
            Errand(
                spec.name,
                partial(asker.answers, n, spec, kinds[spec.name]),
                _MEMORY if is_local(spec, kinds[spec.name]) else "",
            )
            for n, spec in enumerate(specs)
        ]
        if policy is not None:
            errands.append(Errand("the audit", partial(asker.audits, len(specs), policy, categories)))
        found = side_by_side(errands, progress, stage="try")
    return _tried(prompts, specs, found, asker.notes)


def _prompts(texts: Sequence[str], lines: Iterable[str]) -> list[Prompt]:
    """The prompts, each once, in their order.

    Raises:
        InputError: there is none, one is empty, or the floor forbids one.
    """
    said = [
        line for text in texts for line in (lines if text == "-" else [text]) if text != "-" or line.strip()
    ]
    if not said:
        raise InputError(
            "no prompt was given", fix='For instance: overt try "a knife on a table" --target ...'
        )
    prompts: dict[str, Prompt] = {}
    for number, text in enumerate(said, 1):
        which = f"prompt {number} of {len(said)}" if len(said) > 1 else "the prompt"
        text = text.strip()
        if not text:
            raise InputError(f"{which} is empty", fix="Write it in quotation marks.")
        if text != encodable(text):  # bytes that are no UTF-8, as a terminal or a pipe may bring them
            raise InputError(f"{which} is no text in UTF-8", fix="Write it in UTF-8.")
        if rule := floor_rule(text):
            raise InputError(
                f"{which} is not sent: the floor stops it ({rule})",
                fix="Nothing sexual about minors is asked for, whatever the policy.",
            )
        made = Prompt(prompt_id(text), text, "all", "unclear", "direct", "user", "")
        prompts.setdefault(made.id, made)
    return list(prompts.values())


def _specs(config: TryConfig) -> list[TargetSpec]:
    """The targets.

    Raises:
        InputError: there is none and no policy either, one is named twice, or a name cannot be read.
    """
    targets, filters = config.asked
    if not targets and config.policy is None:
        raise InputError(
            "no target was named",
            fix="For instance: --target filter/better-profanity, --target openai/gpt-image-1",
        )
    specs = specs_of(targets, filters, config.checker)
    check_both(config.both, specs)
    return specs


def _checked(
    config: TryConfig, specs: Sequence[TargetSpec], policy: Policy | None, prompts: Sequence[Prompt]
) -> dict[str, str]:
    """What each target is asked for, "image" or "text", by name; every other name is looked up, too, since a
    wrong one should cost nothing.

    Raises:
        InputError: an unknown name, a missing extra, an --out that is no folder, a target that takes no
            pictures.
    """
    if config.out is not None and config.out.exists():
        checked_folder(config.out, "--out")
    usual = config.modality or (policy.modality if policy is not None else "image")
    kinds = {spec.name: modality_for(spec, usual) for spec in specs}
    for spec in specs:
        check_extras(spec.name, getattr(resolve_target(spec, kinds[spec.name]), "takes", None), prompts)
    if config.judge is not None and not is_offline(config.judge):
        registry.resolve("overt.chat_models", judging_model(config.judge))
    if policy is not None:
        check_judges(config.auditor)
    return kinds


@dataclass
class _Asker:
    """Asks one target, or the judges of the audit, in a folder of its own. Safe for several threads.

    place: a folder that is thrown away. keep: the folder of the pictures, made for the first of them.
    """

    config: TryConfig
    addresses: Addresses
    prompts: list[Prompt]
    pictures: Mapping[str, bytes]
    place: Path
    notes: list[str] = field(default_factory=list)
    _keep: Path | None = None
    _lock: Lock = field(default_factory=Lock)

    def answers(self, number: int, spec: TargetSpec, modality: str) -> list[Answer]:
        """What became of each prompt at a target.

        Raises:
            InputError: its models cannot be loaded.
            RunError, BudgetReached: the caller stopped, for instance since the key is refused.
        """
        config = self.config
        with self._working(number) as work:
            asking = Asking(
                work,
                modality,
                config.every_layer,
                config.judge or "judge/rules",
                config.seed,
                config.targets(self.addresses),
                config.models(self.addresses),
            )
            kind, outcomes = asking.ask(spec, ToAsk(self.prompts, self.pictures), 1, asking.judging())
            for name, codes in work.unknown.items():
                work.keep(unknown_said(name, codes))
            kept = partial(self._kept, ImageStore(work.folder.path), spec.name)
            return [Answer(spec.name, kind, one, tuple(map(kept, one.images))) for one in outcomes]

    def audits(self, number: int, policy: Policy, categories: Sequence[Category]) -> list[Audited]:
        """Each prompt under a policy.

        Raises:
            InputError, RunError, BudgetReached: as `audited`.
        """
        with self._working(number) as work:
            return audited(
                work,
                policy,
                categories,
                self.config.auditor,
                self.prompts,
                models=self.config.models(self.addresses),
                seed=self.config.seed,
            )

    @contextlib.contextmanager
    def _working(self, number: int) -> Iterator[Work]:
        with working_once(self.place / str(number), self.config.caller, Silent()) as work:
            try:
                yield work
            finally:
                with self._lock:
                    self.notes += [note for note in work.notes if note not in self.notes]

    def _kept(self, store: ImageStore, target: str, reference: str) -> Path:
        """Copies a picture to where the user finds it. Its name says the target, and is another for other
        pictures."""
        with self._lock:
            self._keep = self._keep or self.config.out or Path(tempfile.mkdtemp(prefix="overt-pictures-"))
        name = re.sub(r"[^\w.-]+", "-", target).strip("-.")[:60]
        hashed = Path(reference)
        path = self._keep / f"{name}-{hashed.stem[:8]}{hashed.suffix}"
        write_atomic(path, store.get(reference))
        return path


def _tried(
    prompts: Sequence[Prompt],
    specs: Sequence[TargetSpec],
    found: Sequence[list[Answer] | list[Audited] | OvertError],
    notes: Sequence[str],
) -> Tried:
    """Puts together by prompt what came by target, and the audit, which is last if there was one."""
    by_target: list[Sequence[Answer]] = []
    audits: Sequence[Audited] = ()
    failure = ""
    for number, result in enumerate(found):
        is_audit = number == len(specs)
        if isinstance(result, OvertError):
            said = masked(result.message())
            if is_audit:
                failure = said
            else:
                by_target.append([Answer(specs[number].name, failure=said)] * len(prompts))
        elif is_audit:
            audits = [row for row in result if isinstance(row, Audited)]
        else:
            by_target.append([row for row in result if isinstance(row, Answer)])
    trials = tuple(
        Trial(prompt.text, tuple(rows[n] for rows in by_target), audits[n] if audits else None)
        for n, prompt in enumerate(prompts)
    )
    return Tried(trials, tuple(notes), failure)
