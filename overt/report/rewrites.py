"""Prompts beside the wordings that were chosen for them, with both pictures and what the scorers said."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from overt.data.outcomes import Outcome
from overt.data.records import Prompt
from overt.data.results.remedy import Remedy
from overt.data.rewrites import Candidate, Choice, Faithfulness
from overt.report.cases import RewriteCase, thumbnails
from overt.report.page_data import packed_prompt, packed_rewording

TEXT_BUDGET = 2_000_000  # bytes of JSON for the rows
PAGE_BUDGET = 4_000_000  # bytes for rows and thumbnails together


@dataclass(frozen=True, slots=True)
class Rewriting:
    """The records of `overt rewrite` for one run. `outcomes` are those of the candidates."""

    remedy: Remedy
    candidates: Sequence[Candidate]
    outcomes: Sequence[Outcome]
    scores: Sequence[Faithfulness]
    choices: Sequence[Choice]


@dataclass(frozen=True, slots=True)
class Rewordings:
    """Rows in the order given, and how many had no room."""

    rows: tuple[RewriteCase, ...] = ()
    rows_left_out: int = 0

    def __iter__(self) -> Iterator[RewriteCase]:
        return iter(self.rows)


def build_rewordings(
    prompts: Mapping[str, Prompt],
    before: Iterable[Outcome],
    rewriting: Rewriting,
    run: Path,
    *,
    images: bool = True,
    text_budget: int = TEXT_BUDGET,
    page_budget: int = PAGE_BUDGET,
) -> Rewordings:
    """The rows that fit, with thumbnails as far as those fit; the most urgent come first.

    Args:
        prompts: by id. Choices for prompts that are not among them are skipped.
        before: outcomes of the originals; the first sample is shown.
        run: the folder that pictures are relative to.
        images: False leaves all pictures out.
    """
    rows = sorted(_rows(prompts, before, rewriting), key=lambda row: row.urgency)
    kept: list[RewriteCase] = []
    spent = 0
    for row in rows:
        cost = len(json.dumps([packed_prompt(row.prompt), packed_rewording(row, 0, 0, lambda _: 0)]))
        if spent + cost > text_budget:
            break
        spent += cost
        kept.append(row)
    left_out = len(rows) - len(kept)
    if not images:
        return Rewordings(tuple(kept), left_out)
    paths = [side.images if side else () for row in kept for side in (row.before, row.after)]
    made = thumbnails(paths, run, budget=page_budget - spent)
    return Rewordings(
        tuple(
            replace(row, before_pictures=made[2 * i], after_pictures=made[2 * i + 1])
            for i, row in enumerate(kept)
        ),
        left_out,
    )


def _rows(
    prompts: Mapping[str, Prompt], before: Iterable[Outcome], rewriting: Rewriting
) -> Iterator[RewriteCase]:
    first = {(o.target, o.prompt_id): o for o in before if o.sample == 0}
    after = {(o.target, o.prompt_id): o for o in rewriting.outcomes}
    worded = {c.id: c for c in rewriting.candidates}
    scores: dict[tuple[str, str], list[Faithfulness]] = defaultdict(list)
    for score in rewriting.scores:
        scores[score.target, score.candidate_id].append(score)
    tried: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in rewriting.candidates:
        tried[candidate.prompt_id].append(candidate)
    for choice in rewriting.choices:
        if choice.prompt_id not in prompts:
            continue
        chosen = choice.candidate_id or ""
        yield RewriteCase(
            prompts[choice.prompt_id],
            choice,
            first.get((choice.target, choice.prompt_id)),
            worded.get(chosen),
            after.get((choice.target, chosen)),
            tuple(scores[choice.target, chosen]),
            tuple(
                (c, after[choice.target, c.id])
                for c in tried[choice.prompt_id]
                if c.id != chosen and (choice.target, c.id) in after
            ),
        )
