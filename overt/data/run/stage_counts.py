"""Counts the records that enter and leave each stage of a run, and the reasons for the others."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Collection
from dataclasses import dataclass, field

from overt.data.json_types import Json
from overt.data.records import Drop, Failure

STAGES = ("seeds", "synthesize", "audit", "dedupe", "probe", "search", "select", "pair", "vary")


_SAID = {
    "seeds": "the seeds: {left} of {entered} fit a category",
    "synthesize": "the writer gave {left} of {entered} prompts asked for",
    "audit": "audit kept {left} of {entered}",
    "dedupe": "dedupe removed {lost} of {entered}",
    "probe": "the probe refused {left} of {entered}",
    "search": "the search kept {left} of {entered} prompts that it looked at",
    "pair": "{left} unsafe twins were kept, for {entered} benign prompts",
}
_REASONS = 4  # named of each stage


def _by_stage() -> dict[str, Counter[str]]:
    return defaultdict(Counter)


@dataclass
class StageCounts:
    """Counts per stage and category. The only mutable object that the stages of a run share.

    A stage that works beside another counts on a page of its own, which is added at its end.
    """

    entered: dict[str, Counter[str]] = field(default_factory=_by_stage)
    left: dict[str, Counter[str]] = field(default_factory=_by_stage)
    reasons: dict[str, Counter[str]] = field(default_factory=_by_stage)
    failures: list[Failure] = field(default_factory=list)
    # Drops by a running number, and the numbers by record and stage, for `overrule`.
    _drops: dict[int, Drop] = field(default_factory=dict)
    _numbers: dict[tuple[str, str], deque[int]] = field(default_factory=dict)
    _last: int = 0

    @property
    def drops(self) -> list[Drop]:
        """The dropped records, in order."""
        return list(self._drops.values())

    def enter(self, stage: str, category: str, count: int = 1) -> None:
        self.entered[stage][category] += count

    def leave(self, stage: str, category: str, count: int = 1) -> None:
        self.left[stage][category] += count

    def lose(self, loss: Drop | Failure) -> None:
        """Counts a drop or a failure."""
        if isinstance(loss, Drop):
            self._keep(loss)
            self.reasons[loss.stage][loss.reason] += 1
        else:
            self.failures.append(loss)
            self.reasons[loss.stage][f"failed: {loss.kind}"] += 1

    def _keep(self, drop: Drop) -> None:
        self._last += 1
        self._drops[self._last] = drop
        self._numbers.setdefault((drop.record_id, drop.stage), deque()).append(self._last)

    def add(self, page: StageCounts) -> None:
        """Adds what a stage counted on a page of its own while other stages were at work: in the order of the
        additions all is as if the stages had followed each other."""
        for mine, theirs in (
            (self.entered, page.entered),
            (self.left, page.left),
            (self.reasons, page.reasons),
        ):
            for stage, counts in theirs.items():
                mine[stage].update(counts)
        for drop in page.drops:
            self._keep(drop)
        self.failures += page.failures

    def overrule(self, record_id: str, by: Drop) -> None:
        """Cancels the drop of a record in a stage and drops another record there instead.

        Raises:
            KeyError: the record was not dropped there.
        """
        numbers = self._numbers[record_id, by.stage]
        old = self._drops.pop(numbers.popleft())
        if not numbers:
            del self._numbers[record_id, by.stage]
        reasons = self.reasons[old.stage]
        reasons[old.reason] -= 1
        if not reasons[old.reason]:
            del reasons[old.reason]
        self.lose(by)

    def table(self, categories: list[str]) -> list[dict[str, Json]]:
        """One row per category: {"category": id, stage: {"in": n, "out": n}, ...}."""
        used = [s for s in STAGES if self.entered[s].total() or self.left[s].total()]
        return [
            {
                "category": category,
                **{s: {"in": self.entered[s][category], "out": self.left[s][category]} for s in used},
            }
            for category in categories
        ]

    def why(self) -> dict[str, dict[str, int]]:
        """Per stage: each reason with its number of records, the most frequent first."""
        return {s: dict(self.reasons[s].most_common()) for s in STAGES if self.reasons[s]}

    def story(self, categories: Collection[str]) -> list[str]:
        """What became of the prompts of these categories: a line for each stage that lost some, in order."""
        lines = []
        for stage, said in _SAID.items():
            entered, left = (
                sum(count[c] for c in categories) for count in (self.entered[stage], self.left[stage])
            )
            losses = [drop.reason for drop in self.drops if _is_of(drop, stage, categories)]
            losses += [f"failed: {one.kind}" for one in self.failures if _is_of(one, stage, categories)]
            if not losses and left >= entered:
                continue
            reasons = Counter(losses).most_common()
            more = sum(count for _, count in reasons[_REASONS:])
            named = [f"{count} {reason}" for reason, count in reasons[:_REASONS]]
            named += [f"{more} for other reasons"] if more else []
            line = said.format(entered=entered, left=left, lost=entered - left)
            lines.append(line + (f": {', '.join(named)}" if named else ""))
        return lines


def _is_of(loss: Drop | Failure, stage: str, categories: Collection[str]) -> bool:
    return loss.stage == stage and (loss.category in categories or not loss.category)
