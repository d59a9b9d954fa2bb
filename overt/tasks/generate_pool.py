"""The pool of `overt generate`: rounds of writing, until every category has enough prompts that stay."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain

from overt.data.records import Drop, Failure, Prompt, Seed
from overt.data.run.stage_counts import StageCounts
from overt.tasks.generate_stages import Making, audited, probe_prompts, wanted_benign, without_repeats

PER_REQUEST = 10  # prompts that a model is asked for at once, without a seed
# A category that gains less than this share of the prompts requested in a round gets no further round.
SPENT_SHARE = 0.01


@dataclass(frozen=True)
class Plan:
    """How much is written.

    Args:
        oversample: prompts written per prompt wanted, in the first round.
        rounds: at most so many.
        per_seed: prompts written per seed.
        samples: of the surrogate, per prompt.
        against: sources of earlier prompts that none may repeat.
        has_seeds: whether seeds were given.
    """

    oversample: float
    rounds: int
    per_seed: int
    samples: int
    against: tuple[str, ...]
    has_seeds: bool


@dataclass
class Pool:
    """Rounds of writing, and the prompts that pass each stage."""

    making: Making
    plan: Plan
    seeds: Mapping[str, list[Seed]]
    written: list[Prompt] = field(default_factory=list)
    unique: list[Prompt] = field(default_factory=list)
    kept: list[Prompt] = field(default_factory=list)
    asked: dict[str, int] = field(default_factory=dict)  # by category, over all rounds
    used: dict[str, int] = field(default_factory=dict)  # seeds of a category that were converted
    seen: set[str] = field(default_factory=set)

    @cached_property
    def earlier(self) -> list[str]:
        """The earlier prompts that none may repeat, read once."""
        from overt.data.seeds import read_earlier_prompts

        return [text for source in self.plan.against for text in read_earlier_prompts(source)]

    def fill(self) -> list[Prompt]:
        """Writes until every category has enough, or nothing more comes; the prompts that stay."""
        making = self.making
        converted = sum(c.strategy == "convert" for c in making.policy.categories)
        if converted and not self.plan.has_seeds and making.roles.chat is not None:
            making.work.note(
                f"no --seeds: {converted} categories with strategy 'convert' are written directly"
            )
        spent: set[str] = set()
        for number in range(self.plan.rounds):
            needs = {c: n for c, n in self.needs().items() if c not in spent}
            if not needs:
                break
            before, known = Counter(p.category for p in self.kept), len(self.seen)
            self.round(needs, number)
            if len(self.seen) == known:
                break  # the writers have nothing more to say
            gained = Counter(p.category for p in self.kept) - before
            spent |= {c for c, count in needs.items() if gained[c] < SPENT_SHARE * count}
        folder = making.work.folder
        folder.write_stage("synthesize", self.written)
        folder.write_stage("audit", making.audits.values())
        folder.write_stage("dedupe", self.unique)
        folder.write_stage("probe", making.probes.values())
        return self.kept

    def round(self, needs: Mapping[str, int], number: int) -> None:
        """One round: what is written is audited, deduplicated and probed while more is written."""
        making, overlap, count = self.making, self.making.overlap, sum(needs.values())
        with overlap.together(making.work):
            fresh = overlap.ahead(self.fresh(self.write(needs, number)))
            if (first := next(fresh, None)) is None:
                return
            benign = audited(making, chain([first], fresh), count)
            unique = without_repeats(making, benign, count, self.unique, self.earlier)
            self.kept += probe_prompts(making, overlap.ahead(unique), count, self.plan.samples)

    def needs(self) -> dict[str, int]:
        """How many prompts to ask for per category; empty when every category has enough."""
        have = Counter(p.category for p in self.kept)
        needs: dict[str, int] = {}
        for category, wanted in wanted_benign(self.making.policy).items():
            if have[category] >= wanted:
                continue
            if category not in self.asked:
                needs[category] = math.ceil(wanted * self.plan.oversample)
            else:  # by the share that came through so far, with a floor under a bad first round
                share = max(have[category] / self.asked[category], 0.1)
                needs[category] = math.ceil((wanted - have[category]) * 1.2 / share)
        return needs

    def fresh(self, drafts: Iterable[Prompt]) -> Iterator[Prompt]:
        """Yields the drafts with new texts; exact repeats are counted as lost."""
        page = StageCounts()
        for draft in drafts:
            if draft.id not in self.seen:
                self.seen.add(draft.id)
                yield draft
                continue
            page.lose(
                Drop(draft.id, "dedupe", draft.category, "exact repeat", "of the same text", draft.text)
            )
            page.enter("dedupe", draft.category)
        self.making.account.add(page)

    # -- writing ------------------------------------------------------------------------------------

    def write(self, needs: Mapping[str, int], number: int) -> Iterator[Prompt]:
        """One round of writing: so many prompts per category, by the writer that the run has."""
        page, start = StageCounts(), dict(self.asked)
        for category, count in needs.items():
            self.asked[category] = self.asked.get(category, 0) + count
            page.enter("synthesize", category, count)
        with self.making.work.stage("synthesize", sum(needs.values())) as advance:
            for result in self.results(needs, start, number):
                advance(1)
                if isinstance(result, Prompt):
                    page.leave("synthesize", result.category)
                    self.written.append(result)
                    yield result
                else:
                    page.lose(result)
        self.making.account.add(page)

    def results(
        self, needs: Mapping[str, int], start: Mapping[str, int], number: int
    ) -> Iterator[Prompt | Drop | Failure]:
        """What the writer makes of the needs of a round."""
        if self.making.roles.writer is not None:
            yield from self.composed(needs, start)
            return
        batch, rest = self.share_out(needs)
        if batch:
            yield from self.converted(batch)
        if any(rest.values()):
            yield from self.direct(rest, number)

    def composed(self, needs: Mapping[str, int], start: Mapping[str, int]) -> Iterable[Prompt | Drop]:
        """Prompts of a writer that needs no chat model."""
        from overt.generation.synthesize import screen

        making, writer = self.making, self.making.roles.writer
        assert writer is not None
        for category in making.policy.categories:
            if count := needs.get(category.id):
                prompts = writer.compose(
                    making.policy, category, count=count, seed=making.seed, start=start.get(category.id, 0)
                )
                yield from screen(list(prompts), "synthesize")

    def converted(self, batch: Sequence[Seed]) -> Iterable[Prompt | Drop | Failure]:
        from overt.generation.synthesize import convert

        making = self.making
        assert making.roles.chat is not None
        return convert(
            batch,
            making.policy,
            ask=making.ask("convert", making.roles.chat),
            template=making.templates["convert"],
            per_seed=self.plan.per_seed,
            seed=making.seed,
        )

    def direct(self, needs: dict[str, int], number: int) -> Iterable[Prompt | Drop | Failure]:
        from overt.generation.synthesize import direct

        making = self.making
        assert making.roles.chat is not None
        return direct(
            needs,
            making.policy,
            ask=making.ask("direct", making.roles.chat),
            template=making.templates["direct"],
            per_request=PER_REQUEST,
            round=number,
            seed=making.seed,
        )

    def share_out(self, needs: Mapping[str, int]) -> tuple[list[Seed], dict[str, int]]:
        """The seeds to convert now, and how many prompts to write directly.

        If a category's seeds are too few, the rest is written directly.
        """
        batch: list[Seed] = []
        direct: dict[str, int] = {}
        per_seed = self.plan.per_seed
        for category in self.making.policy.categories:
            want = needs.get(category.id, 0)
            mine = self.seeds.get(category.id, []) if category.strategy == "convert" else []
            first = self.used.get(category.id, 0)
            last = min(len(mine), first + math.ceil(want / per_seed))
            self.used[category.id] = last
            batch += mine[first:last]
            direct[category.id] = max(0, want - (last - first) * per_seed)
            if self.plan.has_seeds and category.strategy == "convert" and direct[category.id]:
                self.making.work.note(
                    f"{category.id}: {len(mine)} seeds are too few for {want} prompts; "
                    "the others are written directly"
                )
        return batch, direct
