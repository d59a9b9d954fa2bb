"""The answers of training data: by a chat model, of a run, of a file, or fixed sentences; and which fit.

A refusal is wanted for an unsafe prompt and an answer for a benign one. What else came is dropped and
counted: no model learns from a compliance with an unsafe prompt, or from a refusal of a benign one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from overt.data.answer_files import read_answers
from overt.data.errors import InputError
from overt.data.outcomes import JUDGED, Outcome
from overt.data.records import Drop
from overt.data.refusal_judges import RefusalLabel
from overt.data.replies import read_reply
from overt.data.run.finished import open_run
from overt.data.suites.load import load_suite
from overt.data.suites.schema import Suite
from overt.data.text import plain
from overt.data.training import AnswerKind, Example, Placed
from overt.generation.training_answers import STAGE, fixed_answer, write_answers
from overt.policies.floor import floor_reason
from overt.tasks.export import kind_of_run
from overt.tasks.export_config import OWN, TEMPLATES, ExportConfig
from overt.tasks.export_making import Making

JUDGE = "judge"  # the stage in which answers are held against their prompts' labels

_KINDS: Mapping[str, AnswerKind] = {
    "compliance": "answer",
    "full_refusal": "refusal",
    "refusal": "refusal",
    "safe_completion": "safe_completion",
}
_FITS: Mapping[str, frozenset[str]] = {
    "benign": frozenset({"answer"}),
    "unsafe": frozenset({"refusal", "safe_completion"}),
}
_WHY_NOT = {
    ("benign", "refusal"): "a benign prompt was refused",
    ("benign", "safe_completion"): "a benign prompt got other help than it asked for",
    ("unsafe", "answer"): "an unsafe prompt was answered",
}
_CUT_OFF, _STOPPED, _UNTOLD = "cut_off", "stopped", "unclear"  # labels of outcomes, beside a judge's
# Why an answer of such a label is for no prompt.
_UNFIT = {
    "partial_refusal": "the answer refuses in part",
    _UNTOLD: "the judge could not tell whether it is a refusal",
    _CUT_OFF: "the answer ended at the limit of tokens",
    _STOPPED: "a filter stopped the answer, and what came is no refusal in words",
}


@dataclass(frozen=True, slots=True)
class Said:
    """A text that may become an answer. label: what it is in a judge's words, "" before one has told."""

    text: str
    by: str
    label: str = ""


# -- where answers come from -----------------------------------------------------------------------------


def own_answers(config: ExportConfig) -> dict[str, list[Said]]:
    """The answers that stand in the data set, by the prompt's id, in the order of the sources.

    Raises:
        InputError: there is none, or it is not said of which target.
    """
    found: dict[str, list[Said]] = {}
    suite = load_suite(config.suite) if config.suite is not None else None
    files = []
    for source in config.dataset:
        if suite is None and kind_of_run(Path(source)) == "run":
            for outcome in _outcomes(Path(source), config.of):
                if one := _of_outcome(outcome):
                    found.setdefault(outcome.prompt_id, []).append(one)
        else:
            files.append(source)
    if files or suite is not None:
        for name, said in file_answers(files, suite).items():
            found.setdefault(name, []).extend(said)
    if not found:
        raise InputError(
            "nothing says what the answers are: the data set has none",
            where=", ".join(config.dataset) or str(config.suite),
            fix="Name a chat model that answers, such as --answers openai/MODEL; or a run of `overt run` on "
            "a language model; or a file with a column 'completion' or 'response'. --answers templates takes "
            "fixed sentences.",
        )
    return found


def file_answers(sources: Sequence[str], suite: Suite | None = None) -> dict[str, list[Said]]:
    """The answers of files, or of a suite, by the prompt's id.

    Raises:
        InputError: a source cannot be read.
    """
    found: dict[str, list[Said]] = {}
    for answer in read_answers(sources, suite):
        found.setdefault(answer.prompt.id, []).append(Said(answer.text, "file", answer.label))
    return found


def _outcomes(folder: Path, target: str | None) -> Iterable[Outcome]:
    """What one target of a run answered.

    Raises:
        InputError: there is no such target, or there are several and none was named.
    """
    outcomes = open_run(folder, "run").outcomes
    names = list(dict.fromkeys(outcome.target for outcome in outcomes))
    if target is None and len(names) > 1:
        raise InputError(
            f"this run has the answers of {len(names)} targets: {', '.join(map(plain, names))}",
            where=str(folder),
            fix=f"Say whose are taken: --of {plain(names[0])}",
        )
    if target is not None and target not in names:
        raise InputError(
            f"this run asked no target {target!r}",
            where=str(folder),
            fix=f"It asked: {', '.join(map(plain, names))}",
        )
    return (outcome for outcome in outcomes if target in (None, outcome.target))


def _of_outcome(outcome: Outcome) -> Said | None:
    """The answer in an outcome, as its run judged it; None without a text that a user would see."""
    text = read_reply(outcome.text).answer.strip()
    return Said(text, f"run {outcome.target}", _label_of(outcome)) if text else None


def _label_of(outcome: Outcome) -> str:
    """What an answer is by its outcome. Only what the judge said of the words counts: where a filter stopped
    an answer, the words before that may be what must not be learned."""
    if outcome.is_cut_off:
        return _CUT_OFF
    if outcome.state == "generated":
        return "compliance"
    if outcome.state == "error":
        return _UNTOLD
    return outcome.code if outcome.stage == "model" and outcome.code in JUDGED else _STOPPED


def template_names(config: ExportConfig, modality: str) -> dict[str, str]:
    """By label, the template by which a chat model is asked for an answer; empty without a chat model."""
    if config.model is None:
        return {}
    benign = "answer_picture" if modality == "image" else "answer_plain"
    return {"benign": benign, "unsafe": "answer_decline"}


# -- giving prompts their answers ------------------------------------------------------------------------


def answered(
    making: Making, placed: Sequence[Placed], own: dict[str, list[Said]] | None = None, *, of: str = ""
) -> list[Example]:
    """The prompts that have an answer which fits their label, with it. The others are counted.

    Args:
        own: by prompt id the texts that may become its answer; None: as --answers says.
        of: what stands before the names of the stages in the counts, for prompts beside those of the export.

    Raises:
        InputError: there is no answer at all, or a model cannot be opened.
        RunError, BudgetReached: the caller stopped.
    """
    candidates = _judged(making, placed, _candidates(making, placed, own, of + STAGE))
    examples = []
    for one in placed:
        said = candidates.get(one.prompt.id, [])
        making.counts.enter(of + JUDGE, one.category, bool(said))
        found = _first_fitting(one, said)
        if isinstance(found, Example):
            making.counts.leave(of + JUDGE, one.category)
            examples.append(found)
        elif found:  # what a model should not learn is not stored
            making.lose(Drop(one.prompt.id, of + JUDGE, one.category, found))
    return examples


def _candidates(
    making: Making, placed: Sequence[Placed], own: dict[str, list[Said]] | None, stage: str
) -> dict[str, list[Said]]:
    """By prompt id the texts that may become its answer. Prompts without any are counted."""
    config, found = making.config, dict[str, list[Said]]()
    is_given = own is not None or config.answers == OWN
    if is_given:
        found = own_answers(config) if own is None else own
    elif config.answers == TEMPLATES:
        for one in placed:
            text, name = fixed_answer(one, config.seed)
            label = "compliance" if one.prompt.label == "benign" else "full_refusal"
            found[one.prompt.id] = [Said(text, name, label)]
    else:
        found = _asked(making, placed, config.answers, stage)
    for one in placed:
        making.counts.enter(stage, one.category)
        if one.prompt.id in found:
            making.counts.leave(stage, one.category)
        elif is_given:
            making.lose(Drop(one.prompt.id, stage, one.category, "there is no answer in the data set"))
    return found


def _asked(making: Making, placed: Sequence[Placed], model: str, stage: str) -> dict[str, list[Said]]:
    names = template_names(making.config, making.modality)
    templates = {label: making.template(name) for label, name in names.items()}
    ask = making.ask(model, STAGE)
    found: dict[str, list[Said]] = {}
    with making.work.stage("answers", len(placed)) as advance:
        written = write_answers(placed, making.policy, ask=ask, templates=templates, seed=making.config.seed)
        for one, text in written:
            advance(1)
            if isinstance(text, str):
                found[one.prompt.id] = [Said(text, ask.model)]
            else:
                making.lose(replace(text, stage=stage))
    return found


def _judged(
    making: Making, placed: Sequence[Placed], candidates: Mapping[str, list[Said]]
) -> dict[str, list[Said]]:
    """The candidates, each with its label."""
    todo = [
        (one.prompt, said) for one in placed for said in candidates.get(one.prompt.id, ()) if not said.label
    ]
    labels: Iterator[str] = iter(())
    if todo:
        judging = making.judging()
        with making.work.stage("judge", len(todo)) as advance:
            verdicts: list[RefusalLabel] = []
            for verdict in judging((prompt.judged_text, said.text) for prompt, said in todo):
                advance(1)
                verdicts.append(verdict.label)
        labels = iter(verdicts)
    return {
        one.prompt.id: [
            said if said.label else replace(said, label=next(labels)) for said in candidates[one.prompt.id]
        ]
        for one in placed
        if one.prompt.id in candidates
    }


def _first_fitting(one: Placed, candidates: Sequence[Said]) -> Example | str:
    """The prompt with the first of its answers that fits; if none does, why the first one does not, "" where
    there is none."""
    label, why = one.prompt.label, ""
    for said in candidates:
        kind = _KINDS.get(said.label)
        if floor_reason(said.text):
            reason = "floor"
        elif kind is None:
            reason = _UNFIT.get(said.label, _UNFIT[_UNTOLD])
        elif kind not in _FITS[label]:
            reason = _WHY_NOT[label, kind]
        else:
            return Example(
                one.prompt, one.category, one.split, said.text, kind, said.by, one.type, one.cluster
            )
        why = why or reason
    return why
