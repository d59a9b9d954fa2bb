"""Dedupe of prompts that come in parts, with the outcome of all at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from overt.data.records import Drop, Prompt
from overt.scoring.dedupe import DedupeResult, dedupe, repeat_key
from overt.scoring.near_duplicates import EXACT_TEXTS

if TYPE_CHECKING:
    from overt.scoring.encoders import Encoder

FIRST = 64  # prompts of the first part


def comes_in_parts(encoder: Encoder | None, count: int) -> bool:
    """Whether parts have the same outcome as all at once: every pair is compared then, and by whole numbers.
    Vectors in other blocks are multiplied with another rounding.

    Args:
        count: texts that are compared, at most.
    """
    return encoder is None and count <= EXACT_TEXTS


def growing(prompts: Iterable[Prompt], first: int = FIRST) -> Iterator[list[Prompt]]:
    """The prompts in parts, each as large as all before it, so that what is done for each part costs twice
    as much as once at the most. The last part is smaller; without prompts it is an empty one."""
    part: list[Prompt] = []
    size = done = first
    for prompt in prompts:
        part.append(prompt)
        if len(part) == size:
            yield part
            part, size, done = [], done, 2 * done
    if part or size == done:
        yield part


class DedupeInParts:
    """Drops the prompts that repeat an earlier one, of this part or of one before.

    Args:
        threshold_of, encoder, against, why: see `dedupe`.
        kept: prompts of earlier rounds. Those that stay are appended.
    """

    def __init__(
        self,
        kept: list[Prompt],
        *,
        threshold_of: Callable[[Prompt], float],
        encoder: Encoder | None,
        against: Sequence[str],
        why: str,
    ) -> None:
        self._kept, self._threshold_of, self._encoder = kept, threshold_of, encoder
        self._against, self._why = against, why
        self._near: dict[str, str] = {}  # the repeat keys of near repeats so far: their ids

    def add(self, part: Sequence[Prompt]) -> DedupeResult:
        """Those of a part that stay, and a drop for each of the others, in input order."""
        again = {prompt.id: key for prompt in part if (key := repeat_key(prompt.text)) in self._near}
        result = dedupe(
            [prompt for prompt in part if prompt.id not in again],
            threshold_of=self._threshold_of,
            encoder=self._encoder,
            kept=self._kept,
            against=self._against,
            why=self._why,
        )
        found = {drop.record_id: drop for drop in result.drops}
        drops = []
        for prompt in part:
            if prompt.id in again:
                near = self._near[again[prompt.id]]
                drops.append(
                    Drop(prompt.id, "dedupe", prompt.category, "exact repeat", f"of {near}", prompt.text)
                )
            elif (drop := found.get(prompt.id)) is not None:
                drops.append(drop)
                if drop.reason == "near repeat":
                    self._near.setdefault(repeat_key(prompt.text), prompt.id)
        self._kept += result.kept
        return DedupeResult(result.kept, drops, result.index)
