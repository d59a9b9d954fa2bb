"""What `overt rewrite` made of a run, a shard or a part: its records, and the remedy counted from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from overt.data.outcomes import Outcome
from overt.data.records import Drop, Failure, Prompt
from overt.data.results.remedy import MeasureScale, Remedy
from overt.data.rewrites import Candidate, Choice, Faithfulness
from overt.data.run.files import write_records

FOLDER = "rewrites"


@dataclass(frozen=True)
class Reworded:
    """The wordings, what was lost on the way, how the targets answered, and how faithful they are.

    `after` are outcomes whose `prompt_id` is a candidate's id.
    """

    candidates: Sequence[Candidate]
    losses: Sequence[Drop | Failure]
    after: Sequence[Outcome]
    scores: Sequence[Faithfulness]
    choices: Sequence[Choice]
    scales: Sequence[MeasureScale]

    def write(self, folder: Path) -> None:
        """Writes the records.

        Raises:
            RunError: disk full, folder not writable.
        """
        write_records(folder / "candidates.jsonl", self.candidates)
        write_records(folder / "lost.jsonl", self.losses)
        write_records(folder / "outcomes.jsonl", self.after)
        write_records(folder / "faithfulness.jsonl", self.scores)
        write_records(folder / "choices.jsonl", self.choices)

    def remedy(self, prompts: Sequence[Prompt], before: Sequence[Outcome], *, control: bool) -> Remedy:
        """What the rewording did.

        Args:
            prompts: of the run.
            before: its outcomes.
            control: whether unsafe prompts were to be reworded too.
        """
        from overt.scoring.remedy import summarize_remedy

        found = summarize_remedy(prompts, before, self.candidates, self.after, self.scores, self.choices)
        return dataclasses.replace(found, scales=tuple(self.scales), control=control)
