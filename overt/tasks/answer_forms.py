"""`overt answer-forms`: how answers of files and runs keep to the format of answer-then-check."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from overt import registry
from overt.data.answer_files import read_answers
from overt.data.errors import InputError
from overt.data.json_types import JsonObject
from overt.data.records import Prompt, to_json
from overt.data.results.summary import AnswerForms
from overt.data.run.finished import open_run
from overt.scoring.answer_forms import answer_forms, forms_of, why_malformed
from overt.scoring.text_answers import offline
from overt.tasks.asking import is_offline
from overt.tasks.config import Config, Option
from overt.tasks.export import kind_of_run

Pair = tuple[str, str, str]  # a prompt as judges read it, the answer with its thought, a cluster


class AnswerFormsConfig(Config):
    kind: ClassVar[str] = "answer-forms"

    answers: Annotated[
        tuple[str, ...],
        Option(
            "Runs of `overt run` or `overt export`, or files with prompts and answers.",
            metavar="RUN|FILE...",
            is_argument=True,
        ),
    ]
    adaptive: Annotated[
        bool, Option("An answer without any tag is in form too: the model may answer directly.")
    ] = False
    judge: Annotated[
        str,
        Option(
            "Who tells refusals among final answers: judge/rules, or module:Class of your own.",
            completes="judge",
        ),
    ] = "judge/rules"
    as_json: Annotated[bool, Option("Print the result as JSON.", flag="--json")] = False


@dataclass(frozen=True, slots=True)
class FormsOf:
    """The rates of one target or file. malformed: reasons, with how many answers each keeps out of form."""

    name: str
    answers: int
    forms: AnswerForms
    malformed: dict[str, int]

    def to_json(self) -> JsonObject:
        """As JSON data."""
        return {
            "name": self.name,
            "answers": self.answers,
            "malformed": dict(self.malformed),
            **to_json(self.forms),
        }


def forms_in(config: AnswerFormsConfig) -> list[FormsOf]:
    """The rates of each source, of a run those of each target.

    Raises:
        InputError: a source cannot be read or has no answers, or the judge needs calls.
    """
    if not is_offline(config.judge):
        raise InputError(
            f"{config.judge} asks a model, and this command makes no calls",
            fix="Name one that judges here, such as --judge judge/rules.",
        )
    judging = offline(registry.load_refusal_judge(config.judge))
    found = []
    for source in config.answers:
        for name, pairs in _answers(source):
            codes = forms_of(((prompt, text) for prompt, text, _ in pairs), judging)
            forms = answer_forms(codes, [of for _, _, of in pairs], is_adaptive=config.adaptive)
            found.append(FormsOf(name, len(pairs), forms, why_malformed(text for _, text, _ in pairs)))
    return found


def _answers(source: str) -> Iterator[tuple[str, list[Pair]]]:
    """The answers of a source by the name that the output gives them.

    Raises:
        InputError: there is none.
    """
    folder = Path(source)
    if kind_of_run(folder) == "run":
        yield from _of_run(folder)
        return
    rows = _rows_of(folder) if kind_of_run(folder) == "export" else [source]
    pairs = [_pair(one.prompt, one.text) for one in read_answers(rows)]
    if not pairs:
        raise InputError(
            "there is no answer in it",
            where=source,
            fix="It needs a column 'completion', 'response' or 'answer' beside the prompts.",
        )
    yield source, pairs


def _pair(prompt: Prompt, text: str) -> Pair:
    return prompt.judged_text, text, prompt.cluster


def _of_run(folder: Path) -> Iterable[tuple[str, list[Pair]]]:
    run = open_run(folder, "run")
    prompts = {prompt.id: prompt for prompt in run.prompts}
    found: dict[str, list[Pair]] = {}
    for outcome in run.outcomes:
        prompt = prompts.get(outcome.prompt_id)
        if prompt is not None and outcome.text.strip():
            found.setdefault(outcome.target, []).append(_pair(prompt, outcome.text))
    if not found:
        raise InputError("no target of this run answered in words", where=str(folder))
    return found.items()


def _rows_of(folder: Path) -> list[str]:
    """The files of an export that hold rows."""
    files = sorted((folder / "dataset").glob("*.jsonl"))
    return [str(file) for file in files if file.stat().st_size]
