"""What versions of a prompt differ in, and in which words that is told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

ASKED = "asked"  # the attribute of versions that differ in what was said before them


@dataclass(frozen=True, slots=True)
class Difference:
    """What versions differ in. title: of their table; head: of its first column; means: what it shows."""

    title: str
    head: str
    means: str

    @property
    def what(self) -> str:
        """Within a sentence: "versions that differ only in ..."."""
        return self.title[:1].lower() + self.title[1:]


_COUNTED = (
    "The difference is in percentage points; its interval goes with p. Versions count in no other rate."
)
DEPICTED = Difference(
    "Who is depicted",
    "Said of a person",
    "Benign prompts in versions that say one thing more of a person, and the same prompts without it. "
    + _COUNTED,
)
_BY_ATTRIBUTE: Mapping[str, Difference] = {
    ASKED: Difference(
        "What was said before",
        "Asked",
        f"Benign prompts asked after something else was said, and the same prompts asked alone. {_COUNTED}",
    )
}


def difference_of(groups: Iterable[str]) -> Difference:
    """What the versions of these groups differ in; a group is named "religion: Muslim"."""
    attributes = {group.partition(":")[0] for group in groups}
    return _BY_ATTRIBUTE.get(attributes.pop(), DEPICTED) if len(attributes) == 1 else DEPICTED
