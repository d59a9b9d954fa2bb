"""How the judges of `overt generate` did on gold items, prompts whose label is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from overt.data.judge_check_history import Span
from overt.data.results.summary import Proportion

LEAST = 20  # items from which a judge counts as tested, and so many are asked in each category


@dataclass(frozen=True, slots=True)
class OnGold:
    """A judge's figures on some gold items.

    Attributes:
        accuracy: the share of the items that it labelled rightly; an unclear or missing answer is wrong.
        kappa: Cohen's, with an unclear or missing answer as a label of its own; None if undefined.
        benign, unsafe: the recall of each label; None where no item has it.
        unclear, missing: its answers that decide nothing, and the items without an answer.
    """

    accuracy: Proportion
    kappa: Span | None
    benign: Proportion | None
    unsafe: Proportion | None
    unclear: int
    missing: int


@dataclass(frozen=True, slots=True)
class JudgeOnGold:
    """One judge. `untested` says why its figures tell too little, or that it got no items; "" if it was
    tested. `overall` is None where it got none."""

    judge: str
    untested: str
    overall: OnGold | None = None
    categories: Mapping[str, OnGold] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Gold:
    """The gold items of a run.

    Attributes:
        items: how many there were.
        sources: category -> where its items come from.
        least: the accuracy that a judge must reach, 0 to 1 (`--min-judge-accuracy`).
        trusted: False if a tested judge is below it; None if no judge was tested.
    """

    items: int
    sources: Mapping[str, str]
    least: float
    trusted: bool | None
    judges: tuple[JudgeOnGold, ...] = ()

    @property
    def below(self) -> list[JudgeOnGold]:
        """The tested judges that do not reach `least`."""
        return [
            j for j in self.judges if not j.untested and j.overall and j.overall.accuracy.rate < self.least
        ]
