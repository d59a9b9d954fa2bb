"""`vqa/MODEL`: questions about the original prompt, answered from the new wording's picture.

As in TIFA (Hu et al. 2023) and DSG (Cho et al. 2024), a model splits the prompt into elements with a yes/no
question each, and a vision model answers them from the picture alone. The score is the share of elements
shown, 0 to 1; the baseline is the same share of the original's own picture. Missing elements are listed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from overt.data.chat import AnswerError, Ask, ChatReply, Question
from overt.data.records import Prompt, clean_text
from overt.data.replies import AnswerForm, Number, read_json, why_no_value
from overt.data.rewrites import Faithfulness, FaithfulnessCase
from overt.data.templates import Template
from overt.policies.floor import floor_reason
from overt.scoring.faithfulness.scorable import Load, lost, see
from overt.scoring.outgoing_pictures import seeing

MOST_QUESTIONS = 12
MOST_PICTURES = 4  # per wording; each is a request
_CHUNK = 256  # cases in one round of questions and answers

Said = Literal["yes", "no", "unclear"]


@dataclass(frozen=True, slots=True)
class Element:
    """A part of a prompt, and the question whose "yes" means that a picture shows it."""

    element: str = ""
    question: str = ""


@dataclass(frozen=True, slots=True)
class Elements:
    """What is asked for of a prompt."""

    elements: tuple[Element, ...]


@dataclass(frozen=True, slots=True)
class NumberedAnswer:
    """The answer to one question; questions are numbered from 1."""

    number: Number
    answer: Said


@dataclass(frozen=True, slots=True)
class NumberedAnswers:
    """What is asked for of a picture."""

    answers: tuple[NumberedAnswer, ...]


QUESTIONS, ANSWERS = AnswerForm(Elements), AnswerForm(NumberedAnswers)


@dataclass(frozen=True, slots=True)
class _Asked:
    """The elements of a prompt, or why there are none."""

    elements: tuple[Element, ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True)
class _Answered:
    answers: tuple[Said, ...] = ()
    why: str = ""  # why there are no answers
    is_unseen: bool = False

    @property
    def share(self) -> float | None:
        """The share of "yes" among the decided elements; None if none was decided."""
        decided = [said for said in self.answers if said != "unclear"]
        return decided.count("yes") / len(decided) if decided else None


class VQAScorer:
    """Asks a vision model questions about the picture of a rewording.

    Args:
        name: as the user wrote it, "vqa/provider/model".
        asking_template: asks for questions; uses the values `prompt` and `most`.
        answering_template: asks for answers about a picture; uses the value `questions`.
        lane: the device of the model that is asked, "" for one behind a service.
    """

    def __init__(
        self,
        name: str,
        ask: Ask,
        asking_template: Template,
        answering_template: Template,
        *,
        seed: int,
        lane: str = "",
    ) -> None:
        self.name, self.lane = name, lane
        self._ask, self._asking, self._answering, self._seed = ask, asking_template, answering_template, seed
        self._questions: dict[str, _Asked] = {}

    def score(
        self, cases: Iterable[FaithfulnessCase], load: Callable[[str], bytes]
    ) -> Iterator[list[Faithfulness]]:
        """Yields one record for each case, in order. Each distinct prompt is split into questions once, and
        each of its pictures is asked about once."""
        answers: dict[tuple[str, str], _Answered] = {}
        source = iter(cases)
        while chunk := list(itertools.islice(source, _CHUNK)):
            # Questions are only needed if there is a picture.
            self._take_apart([case.prompt for case in chunk if case.images])
            self._look(chunk, load, answers)
            for case in chunk:
                yield [self._record(case, answers)]

    def _take_apart(self, prompts: Sequence[Prompt]) -> None:
        todo = {prompt.text: prompt for prompt in reversed(prompts) if prompt.text not in self._questions}

        def questions() -> Iterator[Question[tuple[Element, ...]]]:
            for text, prompt in reversed(todo.items()):
                values = {"prompt": text, "most": MOST_QUESTIONS}
                request = self._asking.request(values, seed=self._seed, schema=QUESTIONS.schema)
                yield Question(request, _elements, text, prompt.category)

        for answer in self._ask(questions()):
            self._questions[answer.about] = (
                _Asked(answer.value) if answer.value else _Asked(why=why_no_value(answer))
            )

    def _look(
        self, chunk: Sequence[FaithfulnessCase], load: Load, answers: dict[tuple[str, str], _Answered]
    ) -> None:
        """Adds the answers for the pictures of the chunk to `answers`."""
        todo: dict[tuple[str, str], str] = {}
        for case in chunk:
            if case.images and self._questions[case.prompt.text].elements:
                for path in (*case.images[:MOST_PICTURES], *case.baseline[:MOST_PICTURES]):
                    if (case.prompt.text, path) not in answers:
                        todo[case.prompt.text, path] = case.prompt.category

        def questions() -> Iterator[Question[tuple[Said, ...]]]:
            for (text, path), category in todo.items():
                image, why = see(load, path)
                if image is None:
                    answers[text, path] = _Answered(why=why, is_unseen=True)
                    continue
                elements = self._questions[text].elements
                values = {"questions": [element.question for element in elements]}
                request = self._answering.request(values, seed=self._seed, schema=ANSWERS.schema)
                yield Question(seeing(request, [image]), _reader(len(elements)), (text, path), category)

        for answer in self._ask(questions()):
            answers[answer.about] = (
                _Answered(why=why_no_value(answer)) if answer.value is None else _Answered(answer.value)
            )

    def _record(self, case: FaithfulnessCase, answers: dict[tuple[str, str], _Answered]) -> Faithfulness:
        if not case.images:
            return self._made(case, None, None, (), "no picture")
        asked = self._questions[case.prompt.text]
        if asked.why:
            return self._made(case, None, None, (), f"no questions: {asked.why}")
        new, old = (
            [answers[case.prompt.text, path] for path in paths[:MOST_PICTURES]]
            for paths in (case.images, case.baseline)
        )
        missing = tuple(
            element.element for number, element in enumerate(asked.elements) if _is_missing(new, number)
        )
        return self._made(case, _mean(new), _mean(old), missing, _detail(new, old))

    def _made(
        self,
        case: FaithfulnessCase,
        value: float | None,
        baseline: float | None,
        missing: tuple[str, ...],
        detail: str,
    ) -> Faithfulness:
        return Faithfulness(
            case.candidate.id,
            case.prompt.id,
            case.target,
            "vqa",
            self.name,
            value,
            baseline,
            missing=missing,
            detail=detail[:500],
        )


def _is_missing(answers: Sequence[_Answered], number: int) -> bool:
    """Returns whether more pictures lack an element than show it."""
    said = [a.answers[number] for a in answers if a.answers]
    return said.count("no") > said.count("yes")


def _detail(new: Sequence[_Answered], old: Sequence[_Answered]) -> str:
    """Returns why there is no score, or which pictures and answers are missing from it."""
    undecided = sum(a.answers.count("unclear") for a in new)
    total = sum(len(a.answers) for a in new)
    details = (
        lost((a.why for a in new if a.is_unseen), len(new)),
        lost((a.why for a in old if a.is_unseen), len(old), "original's own"),
        *dict.fromkeys(a.why for a in new if a.why and not a.is_unseen),
        f"{undecided} of {total} answers unclear" if undecided else "",
    )
    return "; ".join(filter(None, details))


def _mean(answers: Sequence[_Answered]) -> float | None:
    shares = [share for a in answers if (share := a.share) is not None]
    return sum(shares) / len(shares) if shares else None


def _elements(reply: ChatReply) -> tuple[Element, ...]:
    found: dict[str, Element] = {}
    for entry in read_json(reply, QUESTIONS).elements:
        question = clean_text(entry.question)[:300]
        name = clean_text(entry.element)[:80] or question[:80]
        # What the floor forbids is neither sent on nor stored.
        if question and floor_reason(f"{name}: {question}") is None:
            found.setdefault(question.casefold(), Element(name, question))
    if not found:
        raise AnswerError("there is no question in the answer")
    return tuple(found.values())[:MOST_QUESTIONS]


def _reader(count: int) -> Callable[[ChatReply], tuple[Said, ...]]:
    """Makes a reader of `count` answers. A missing answer is an error, not a "no"."""

    def read(reply: ChatReply) -> tuple[Said, ...]:
        said: dict[str, Said] = {}
        for entry in read_json(reply, ANSWERS).answers:
            said[entry.number] = entry.answer
        if left_out := [str(n) for n in range(1, count + 1) if str(n) not in said]:
            raise AnswerError(f"no answer to question {', '.join(left_out)}")
        return tuple(said[str(n)] for n in range(1, count + 1))

    return read
