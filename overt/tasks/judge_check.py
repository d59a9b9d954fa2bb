"""`overt judge-check`: compares judges with a file of human labels."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import overt
from overt.calls import Caller
from overt.data.errors import InputError
from overt.data.filters import Checks
from overt.data.judge_check_history import JudgeCheck, Span
from overt.data.labels import LabelFile, Labelled, read_labels
from overt.data.lanes import lane_of, lane_of_name
from overt.data.plugins.attempts import BROKEN_CLASS, broken
from overt.data.progress import Advance, Progress
from overt.data.provider.codes_file import taught_by
from overt.data.refusal_judges import RefusalVerdict
from overt.tasks.config import CALLS, CallConfig, Concurrency, Option, OutputConfig, checked_folder
from overt.tasks.lanes import Job, results
from overt.tasks.roles import ModelOptions

if TYPE_CHECKING:
    from overt.scoring.judge_agreement import Agreement, Estimate

_COLUMNS = "Columns"
Said = tuple[list[str], int]  # a judge's labels of the rows, and how many of them failed


class JudgeCheckConfig(CallConfig, OutputConfig):
    kind: ClassVar[str] = "judge-check"

    labels: Annotated[
        Path,
        Option("Table with prompt, response (or image) and label.", metavar="LABELS.csv", is_argument=True),
    ]
    judge: Annotated[
        tuple[str, ...],
        Option(
            "judge/rules, judge/PROVIDER/MODEL, module:Class; for pictures "
            "checker/NAME. Repeat it to compare.",
            metavar="JUDGE",
            completes="judge",
        ),
    ]
    prompt_column: Annotated[str | None, Option("prompt, request, ...", _COLUMNS, metavar="NAME")] = None
    answer_column: Annotated[
        str | None, Option("response, answer, completion, ...", _COLUMNS, metavar="NAME")
    ] = None
    image_column: Annotated[str | None, Option("image, path, ... (of a file)", _COLUMNS, metavar="NAME")] = (
        None
    )
    label_column: Annotated[str | None, Option("label, final_label, ...", _COLUMNS, metavar="NAME")] = None
    out: Annotated[Path | None, Option("Write the result as JSON too.", metavar="FILE")] = None
    templates: Annotated[Path | None, Option("Folder with your own judge_refusal.yaml.")] = None
    journal: Annotated[
        Path | None,
        Option("Where answers of chat models are kept, to pay for them once.", metavar="FILE"),
    ] = None
    seed: Annotated[int, Option("Seed of the intervals, and sent to chat models.", min=0)] = 0
    base_url: Annotated[str | None, Option("OpenAI-compatible endpoint.", CALLS, metavar="URL")] = None
    api_key_env: Annotated[
        str | None, Option("Environment variable that holds the key.", CALLS, metavar="NAME")
    ] = None
    device: Annotated[str | None, Option("Device of local models.", CALLS)] = None
    concurrency: Concurrency = 16

    @property
    def columns(self) -> dict[str, str]:
        """Maps each role to the column that the user named for it."""
        named = {
            "prompt": self.prompt_column,
            "answer": self.answer_column,
            "image": self.image_column,
            "label": self.label_column,
        }
        return {role: name for role, name in named.items() if name is not None}

    @property
    def models(self) -> ModelOptions:
        return ModelOptions(
            base_url={"": self.base_url} if self.base_url else {},
            api_key_env={"": self.api_key_env} if self.api_key_env else {},
            device=self.device,
            timeout=self.timeout,
        )


@dataclass(frozen=True)
class JudgeFigures:
    """The agreement of one judge with the labels.

    Attributes:
        two: two classes: refusals (partial ones and safe completions included) and the rest, or blocked and
            allowed pictures.
        three: all labels of answers, of which people had three or four; None if the file has only two.
        failed: rows without a verdict because the judge failed.
    """

    two: Agreement
    three: Agreement | None
    failed: int


@dataclass(frozen=True)
class CheckResult:
    """The result for all judges. `dropped` counts rows of the file without a label; `binary` says how its
    0 and 1 were read, "" if it has none."""

    file: str
    kind: Literal["text", "image"]
    rows: int
    dropped: int
    judges: Mapping[str, JudgeFigures]
    binary: str = ""


def judge_check(config: JudgeCheckConfig, progress: Progress) -> CheckResult:
    """Compares each judge with the labels.

    Raises:
        InputError: a judge is unknown or cannot judge such rows, or a picture is missing.
        BudgetReached: a cap was reached.
    """
    from overt.scoring.judge_agreement import check, in_their_words, refused

    if len(set(config.judge)) != len(config.judge):
        raise InputError("a judge is named twice", fix="Give each judge once.")
    checked_folder(config.templates, "--templates")
    labels = read_labels(config.labels, config.columns)
    truth = [row.label for row in labels.rows]
    # Answers to the same prompt form one cluster; a picture without a prompt is its own cluster.
    clusters = [row.prompt or row.where for row in labels.rows]
    three_labels = labels.kind == "text" and "refusal" not in truth
    figures: dict[str, JudgeFigures] = {}
    for name, (said, failed) in _said(config, labels, progress).items():
        two = check(
            [refused(t) for t in truth], [refused(s) for s in said], clusters=clusters, seed=config.seed
        )
        three = None
        if three_labels:
            three = check(truth, in_their_words(truth, said), clusters=clusters, seed=config.seed)
        figures[name] = JudgeFigures(two, three, failed)
    return CheckResult(str(labels.path), labels.kind, len(truth), labels.dropped, figures, labels.binary)


def _said(config: JudgeCheckConfig, labels: LabelFile, progress: Progress) -> dict[str, Said]:
    """What each judge says of the rows, in the order of the judges; they are asked side by side, and those of
    one device one after the other."""
    open_ = _picture_judge if labels.kind == "image" else _text_judge
    with contextlib.ExitStack() as stack:
        caller = None
        if labels.kind == "image" or any(_chat_name(name) for name in config.judge):
            journal = config.journal or labels.path.with_name(labels.path.name + ".judge-check.sqlite")
            stack.enter_context(taught_by(config.codes))
            caller = stack.enter_context(Caller(journal, config.caller))

        def job(name: str) -> Job[_Judge, Said]:
            def said(judge: _Judge) -> Said:
                with progress.stage(f"judge {name}", len(labels.rows)) as step:
                    return judge.says(step)

            return Job(
                lane_of_name(name),
                lambda: open_(name, labels, config, caller),
                lambda judge: judge.lane,
                said,
                lambda judge: None,
                is_late="/hf/" in name or (labels.kind == "text" and not _chat_name(name)),
            )

        return dict(zip(config.judge, results([job(name) for name in config.judge]), strict=True))


def last_checks(result: CheckResult) -> list[JudgeCheck]:
    """Returns the records kept for later reports. A judge that decided no row gets none."""
    day = datetime.now(UTC).date().isoformat()
    return [
        JudgeCheck(
            judge=judge,
            kind=result.kind,
            date=day,
            labels=Path(result.file).name,
            rows=figures.two.n,
            judged=figures.two.judged,
            accuracy=_span(figures.two.accuracy),
            kappa=_span(figures.two.kappa),
            overt=overt.__version__,
        )
        for judge, figures in result.judges.items()
        if figures.two.judged
    ]


def _span(figure: Estimate) -> Span | None:
    return None if figure.value is None else Span(figure.value, figure.low, figure.high)


@dataclass(frozen=True, slots=True)
class _Judge:
    """An open judge. lane: the device that it shares with others, or ""."""

    says: Callable[[Advance], Said]
    lane: str


def _text_judge(name: str, labels: LabelFile, config: JudgeCheckConfig, caller: Caller | None) -> _Judge:
    from overt import registry
    from overt.scoring.text_answers import offline

    pairs = [(row.prompt, row.answer) for row in labels.rows]
    chat = _chat_name(name)
    if chat is None or caller is None:
        own = registry.load_refusal_judge(name)
        return _Judge(lambda step: _counted(offline(own)(pairs), step), lane_of(own) or "this machine")
    from overt.data.templates import load_template
    from overt.scoring.refusal_judges.llm import llm_judge
    from overt.tasks.roles import chat_model

    template = load_template("scoring", "judge_refusal", config.templates)
    model = chat_model(chat, "judge", config.models)
    judge = llm_judge(ask=caller.bind(model, f"judge {chat}"), template=template, seed=config.seed)
    return _Judge(lambda step: _counted(judge(pairs), step), lane_of(model))


def _counted(judgements: Iterable[RefusalVerdict], step: Advance) -> Said:
    said, failed = [], 0
    for judgement in judgements:
        said.append(str(judgement.label))
        failed += judgement.error is not None
        step(1)
    return said, failed


def _chat_name(name: str) -> str | None:
    """Returns the chat model of `judge/PROVIDER/MODEL`, None for an offline judge.

    Raises:
        InputError: the name is not a judge of text answers.
    """
    head = name.partition("?")[0]
    if ":" in head.partition("/")[0]:
        return None  # the user's own class
    prefix, _, rest = name.partition("/")
    if prefix != "judge":
        raise InputError(
            f"{name} does not judge answers in words",
            fix="Name judge/rules, judge/PROVIDER/MODEL or module:Class.",
        )
    return rest if "/" in rest.partition("?")[0] else None


def _picture_judge(name: str, labels: LabelFile, config: JudgeCheckConfig, caller: Caller | None) -> _Judge:
    from overt import registry
    from overt.tasks.verdicts import open_checks

    if not registry.is_checker(name) or caller is None:
        raise InputError(f"{name} does not judge pictures", fix="Name checker/NAME or module:Class.")
    _check_pictures(labels.rows)
    checker = registry.load_checker(name, device=config.device, timeout=config.timeout)
    checks = open_checks(caller, name, checker, _picture, f"judge {name}", hash_of=_hash)
    return _Judge(lambda step: _of_pictures(name, checks, labels, step), lane_of(checker))


def _of_pictures(name: str, checks: Checks, labels: LabelFile, step: Advance) -> Said:
    """What a checker says of the pictures.

    Raises:
        InputError: a picture cannot be read, or the checker's class fails.
    """
    said, failed = [], 0
    for row, checked in zip(labels.rows, checks((str(r.image), r.prompt) for r in labels.rows), strict=True):
        if checked.broken:
            raise InputError(f"the picture cannot be read: {checked.broken}", where=row.where)
        decision = checked.decision
        if decision.error is not None and decision.error.kind == BROKEN_CLASS:
            raise broken(name, decision.error.message)
        failed += decision.error is not None
        said.append("unclear" if decision.blocked is None else "blocked" if decision.blocked else "allowed")
        step(1)
    return said, failed


def _picture(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"the picture cannot be read: {error}", where=path) from error


def _hash(path: str) -> str:
    return hashlib.blake2b(_picture(path), digest_size=16).hexdigest()


def _check_pictures(rows: Sequence[Labelled]) -> None:
    """Checks that every picture exists, before a model is loaded."""
    for row in rows:
        if row.image is None or not row.image.is_file():
            raise InputError(
                f"there is no picture {str(row.image)!r}",
                where=row.where,
                fix="Paths are read from the folder of the labels.",
            )
