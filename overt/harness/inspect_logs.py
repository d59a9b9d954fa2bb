"""Reads a log of Inspect (`.eval` or `.json`) of one of our tasks: its prompts, and what became of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from overt.data.errors import InputError
from overt.data.hub import first_line
from overt.data.outcomes import Outcome
from overt.data.records import Prompt
from overt.data.typed_json import from_json
from overt.harness.inspect_outputs import LOG_KEY, outcome_of, with_verdict

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog, EvalSample
    from inspect_ai.model import ChatMessage

SUFFIXES = (".eval", ".json")
_SCORER = "refusal"


@dataclass(frozen=True)
class InspectLog:
    """A log of one of our tasks.

    `outcomes` are before a judge has read the words; `judged` the same as the log's own scores have them, one
    for each. `planned` counts the draws that the evaluation was to make.
    """

    model: str
    prompts: tuple[Prompt, ...]
    outcomes: tuple[Outcome, ...]
    judged: tuple[Outcome, ...]
    planned: int
    judge: str
    policy: str
    suite: str | None
    limits: Mapping[str, float | int | None]
    notes: tuple[str, ...]


def is_log(path: Path) -> bool:
    """Whether a path names a file that may be a log, and not a run's folder."""
    return path.suffix.lower() in SUFFIXES and not path.is_dir()


def read_log(path: Path) -> InspectLog:
    """Reads a log.

    Raises:
        InputError: Inspect is not installed, or the file is no log, of another task, or without samples.
    """
    log = _opened(path)
    about = (log.eval.metadata or {}).get(LOG_KEY)
    if not isinstance(about, Mapping) or not isinstance(about.get("policy"), str):
        raise InputError(
            f"this log is of the task {log.eval.task!r}, which is none of ours",
            where=str(path),
            fix="Give a log of overt/refusal, overt/over_refusal, overt/unsafe_refusal, or of a suite's task "
            "(inspect eval overt/refusal -T dataset=...).",
        )
    samples = log.samples or []
    if not samples:
        raise InputError(
            f"this log holds no samples (it ended with {log.status!r})",
            where=str(path),
            fix="Evaluate again, without --no-log-samples.",
        )
    prompts: dict[str, Prompt] = {}
    outcomes, judged = [], []
    for sample in samples:
        outcome = _outcome(sample, log.eval.model, prompts, path)
        outcomes.append(outcome)
        judged.append(_judged(sample, outcome))
    planned = len(log.eval.dataset.sample_ids or prompts) * (log.eval.config.epochs or 1)
    config = log.plan.config
    return InspectLog(
        model=log.eval.model,
        prompts=tuple(prompts.values()),
        outcomes=tuple(outcomes),
        judged=tuple(judged),
        planned=max(planned, len(samples)),
        judge=str(about.get("judge") or "judge/rules"),
        policy=str(about["policy"]),
        suite=str(about["suite"]) if about.get("suite") else None,
        limits={"max_tokens": config.max_tokens, "temperature": config.temperature},
        notes=tuple(_notes(log, about.get("notes"), len(samples), planned)),
    )


def _opened(path: Path) -> EvalLog:
    if not path.is_file():
        raise InputError("there is no such file", where=str(path))
    try:
        from inspect_ai.log import read_eval_log
    except ImportError as error:
        raise InputError(
            "a log of Inspect needs a package that is not installed: inspect_ai",
            where=str(path),
            fix="Install the extra `inspect` of overt: inspect-ai 0.3.285 or later.",
        ) from error
    try:
        # Events repeat what was sent, and can be most of the file.
        return read_eval_log(path, resolve_attachments=True, exclude_fields={"events", "store", "timelines"})
    except Exception as error:  # zip, JSON, pydantic, Inspect's own
        raise InputError(
            f"this is no log that Inspect can read ({type(error).__name__}: {first_line(error)})",
            where=str(path),
        ) from error


def _outcome(sample: EvalSample, model: str, prompts: dict[str, Prompt], path: Path) -> Outcome:
    """The outcome of a sample; adds its prompt to `prompts`."""
    identity = str(sample.id)
    if identity not in prompts:
        about = {**sample.metadata, "id": identity, "text": _text(sample.input)}
        prompts[identity] = from_json(Prompt, about, where=f"{path}, sample {identity}")
    why = why_failed(sample.error.message) if sample.error else _withdrawn(sample)
    return outcome_of(prompts[identity], sample.output, target=model, sample=sample.epoch - 1, error=why)


def why_failed(message: str) -> str:
    """The reason in an error of Inspect, which may hold the whole request before it (as Python's repr)."""
    request, _, reason = message.rpartition("}\\n\\n")
    return reason.replace("\\'", "'").removesuffix("')") if "Request:" in request[:60] else message


def _withdrawn(sample: EvalSample) -> str:
    reason = sample.invalidation and (sample.invalidation.reason or "no reason given")
    return f"the sample was declared invalid: {reason}" if reason else ""


def _text(input_: str | list[ChatMessage]) -> str:
    """The prompt; a solver may have put a system message before it."""
    if isinstance(input_, str):
        return input_
    return next((str(turn.text) for turn in reversed(input_) if turn.role == "user"), "")


def _judged(sample: EvalSample, outcome: Outcome) -> Outcome:
    """The outcome with the verdict of the log's score; one without a score stays a missing answer."""
    if outcome.state != "generated":
        return outcome
    score = (sample.scores or {}).get(_SCORER)
    try:
        return with_verdict(outcome, (score and score.metadata) or {}, (score and score.explanation) or "")
    except ValueError:
        return with_verdict(outcome, {"state": "error", "code": "unclear"}, "the log has no score for it")


def _notes(log: EvalLog, known: object, there: int, planned: int) -> Sequence[str]:
    notes = [str(note) for note in known] if isinstance(known, list) else []
    if log.status != "success":
        notes.append(f"the evaluation ended with {log.status!r}: {there} of {planned} samples are in the log")
    if [step.solver for step in log.plan.steps] != ["generate"]:
        notes.append(f"asked by {', '.join(step.solver for step in log.plan.steps)}, not by a plain question")
    return notes
