"""What the calls of a run were: how many, how long, how dear; per purpose and per category."""

from __future__ import annotations

import threading
from collections import Counter

from overt.data.json_types import Json

_FIELDS = ("requests", "cached", "retries", "input_tokens", "output_tokens", "cost", "seconds")


class Stats:
    """Counters that several threads may look at. `cost` in US dollars holds what the journal's answers
    once cost too; `spent` is this process's share. `seconds` is the time spent waiting for answers,
    summed over calls that ran side by side."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: Counter[str] = Counter()
        self._by: dict[str, dict[str, Counter[str]]] = {"purposes": {}, "categories": {}}
        self._errors: Counter[str] = Counter()
        self.spent = 0.0
        self.sent = 0

    def add(self, purpose: str, category: str, **amounts: float) -> None:
        """Adds to the totals, the purpose's and the category's counters."""
        with self._lock:
            for counter in self._counters(purpose, category):
                for name, amount in amounts.items():
                    counter[name] += amount  # type: ignore[assignment]

    def error(self, kind: str) -> None:
        """Books one failed attempt."""
        with self._lock:
            self._errors[kind] += 1

    def _counters(self, purpose: str, category: str) -> list[Counter[str]]:
        counters = [self._all, self._by["purposes"].setdefault(purpose, Counter())]
        if category:
            counters.append(self._by["categories"].setdefault(category, Counter()))
        return counters

    def snapshot(self) -> dict[str, Json]:
        """A copy as plain JSON data."""
        with self._lock:
            return {
                **_plain(self._all),
                "errors": dict(sorted(self._errors.items())),
                "spent": round(self.spent, 6),
                **{
                    group: {name: _plain(counter) for name, counter in sorted(rows.items())}
                    for group, rows in self._by.items()
                },
            }

    def line(self) -> str:
        """One short line for the progress display."""
        with self._lock:
            parts = [f"{self._all['requests']:,.0f} calls"]
            if self._all["cached"]:
                parts.append(f"{self._all['cached']:,.0f} from the journal")
            if self._all["cost"]:
                parts.append(f"US${self._all['cost']:.4f}")
            parts += [f"{kind} {count}" for kind, count in sorted(self._errors.items())]
            return ", ".join(parts)


def _plain(counter: Counter[str]) -> dict[str, float]:
    whole = {"requests", "cached", "retries", "input_tokens", "output_tokens"}
    return {f: int(counter[f]) if f in whole else round(float(counter[f]), 6) for f in _FIELDS}
