"""The account of a run: how many records went in and out of each stage, and why the others did not."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from overt.data.records import Drop, Failure

STAGES = ("seeds", "synthesize", "audit", "dedupe", "probe", "select", "pair")


@dataclass
class Account:
    """Counts per stage and category. The only mutable thing that a run carries along."""

    entered: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    left: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    reasons: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    drops: list[Drop] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    def enter(self, stage: str, category: str, count: int = 1) -> None:
        self.entered[stage][category] += count

    def leave(self, stage: str, category: str, count: int = 1) -> None:
        self.left[stage][category] += count

    def lose(self, loss: Drop | Failure) -> None:
        """Books a drop or a failure; neither is ever lost from the account."""
        if isinstance(loss, Drop):
            self.drops.append(loss)
            self.reasons[loss.stage][loss.reason] += 1
        else:
            self.failures.append(loss)
            self.reasons[loss.stage][f"failed: {loss.kind}"] += 1

    def overrule(self, record_id: str, by: Drop) -> None:
        """A record that was dropped in a stage comes back, and another one of that stage goes instead."""
        old = next(d for d in self.drops if (d.record_id, d.stage) == (record_id, by.stage))
        self.drops.remove(old)
        self.reasons[old.stage] -= Counter([old.reason])
        self.lose(by)

    def table(self, categories: list[str]) -> list[dict[str, Any]]:
        """One row per category: {"category": id, stage: {"in": n, "out": n}, ...}."""
        rows: list[dict[str, Any]] = []
        for category in categories:
            row: dict[str, Any] = {"category": category}
            for stage in STAGES:
                if self.entered[stage].total() or self.left[stage].total():
                    row[stage] = {
                        "in": self.entered[stage][category],
                        "out": self.left[stage][category],
                    }
            rows.append(row)
        return rows

    def why(self) -> dict[str, dict[str, int]]:
        """Per stage: each reason and how many records it stopped, most frequent first."""
        return {s: dict(self.reasons[s].most_common()) for s in STAGES if self.reasons[s]}
