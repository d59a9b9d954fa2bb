"""The records of training data: a prompt with the answer that a model should learn, and its row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from overt.data.json_types import Json
from overt.data.records import Prompt

Split = Literal["train", "validation", "test"]
AnswerKind = Literal["answer", "refusal", "safe_completion"]


@dataclass(frozen=True, slots=True)
class Placed:
    """A prompt with its split, before it has an answer.

    category: as in `Example`. type: the kind of prompt that its suite names ("contrast_homonyms"), "" where
    it names none. cluster: the id of what must lie in one split as a whole (`overt.data.splits`).
    """

    prompt: Prompt
    category: str
    type: str
    cluster: str
    split: Split


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt with its answer.

    category: the prompt's, with its published names mapped to those of the policy. answer_by: who wrote it:
    "provider/model", "run TARGET", "file", or "template NAME@V" of a fixed sentence, which every row and
    card names as such. type, cluster: as in `Placed`.
    """

    prompt: Prompt
    category: str
    split: Split
    answer: str
    kind: AnswerKind
    answer_by: str
    type: str = ""
    cluster: str = ""


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """A row as TRL's SFTTrainer takes it: `prompt` and `completion` are lists of {"role", "content"}. `more`
    are the other columns."""

    prompt: tuple[Mapping[str, str], ...]
    completion: tuple[Mapping[str, str], ...]
    split: Split
    more: Mapping[str, Json] = field(default_factory=dict)

    def to_json(self) -> dict[str, Json]:
        """The line of a JSONL file."""
        said: dict[str, Json] = {
            "prompt": [dict(turn) for turn in self.prompt],
            "completion": [dict(turn) for turn in self.completion],
        }
        return {**said, **self.more}
