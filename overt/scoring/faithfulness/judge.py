"""`judge/MODEL`: a chat model reads both wordings and says whether the meaning was kept.

The paper's measure of its remedy (arXiv 2505.21347): the share of rewritten prompts that still ask for the
same. The score is 1 if the meaning was kept, 0 if it was changed, None if the judge cannot say. It reads
only the wordings, not the pictures.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from overt.data.chat import Ask, ChatReply, Question
from overt.data.records import clean_text
from overt.data.replies import AnswerForm, read_json, why_no_value
from overt.data.rewrites import Faithfulness, FaithfulnessCase
from overt.data.templates import Template
from overt.policies.floor import floor_reason

_CHUNK = 256  # cases judged at once
_VALUES = {"kept": 1.0, "changed": 0.0, "unclear": None}
_MOST_LOST = 12


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the judge is asked for. Models leave an empty list out."""

    verdict: Literal["kept", "changed", "unclear"]
    lost: tuple[str, ...] = ()
    reason: str = ""


VERDICT = AnswerForm(Verdict)


@dataclass(frozen=True, slots=True)
class _Kept:
    """Whether the meaning was kept, 1.0 or 0.0, or None with the reason in `detail`."""

    value: float | None
    lost: tuple[str, ...] = ()
    detail: str = ""


class FidelityJudge:
    """A chat model as a judge of meaning.

    Args:
        name: as the user wrote it, "judge/provider/model".
        template: uses the values `original`, `rewritten` and `modality`.
        modality: the policy's, "image" or "text".
        lane: the device of the model that is asked, "" for one behind a service.
    """

    def __init__(
        self, name: str, ask: Ask, template: Template, *, seed: int, modality: str = "image", lane: str = ""
    ) -> None:
        self.name, self.lane = name, lane
        self._ask, self._template, self._seed, self._modality = ask, template, seed, modality
        self._verdicts: dict[tuple[str, str], _Kept] = {}

    def score(
        self, cases: Iterable[FaithfulnessCase], load: Callable[[str], bytes]
    ) -> Iterator[list[Faithfulness]]:
        """Yields one record for each case, in order; each pair of wordings is judged once for all targets."""
        source = iter(cases)
        while chunk := list(itertools.islice(source, _CHUNK)):
            self._judge(chunk)
            for case in chunk:
                verdict = self._verdicts[case.prompt.text, case.candidate.text]
                yield [
                    Faithfulness(
                        case.candidate.id,
                        case.prompt.id,
                        case.target,
                        "judge",
                        self.name,
                        verdict.value,
                        missing=verdict.lost,
                        detail=verdict.detail,
                    )
                ]

    def _judge(self, cases: Sequence[FaithfulnessCase]) -> None:
        todo: dict[tuple[str, str], str] = {}
        for case in cases:
            pair = case.prompt.text, case.candidate.text
            if pair not in self._verdicts:
                todo.setdefault(pair, case.prompt.category)

        def questions() -> Iterator[Question[_Kept]]:
            for pair, category in todo.items():
                original, rewritten = pair
                values = {"original": original, "rewritten": rewritten, "modality": self._modality}
                request = self._template.request(values, seed=self._seed, schema=VERDICT.schema)
                yield Question(request, _read, pair, category)

        for answer in self._ask(questions()):
            self._verdicts[answer.about] = answer.value or _Kept(None, detail=why_no_value(answer)[:500])


def _read(reply: ChatReply) -> _Kept:
    said = read_json(reply, VERDICT)
    value, reason = _VALUES[said.verdict], said.reason[:480]
    if value is None:
        return _Kept(None, detail=f"unclear: {reason}")
    lost = (clean_text(text)[:80] for text in said.lost)
    # What the floor forbids is not stored.
    told = tuple(text for text in lost if text and floor_reason(text) is None)[:_MOST_LOST]
    return _Kept(value, told if value == 0.0 else (), reason)
