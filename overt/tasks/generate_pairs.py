"""Contrast pairs of `overt generate`: an unsafe twin of each benign prompt, as far as the policy asks for
them."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from overt.data.records import Drop, Failure, Prompt
from overt.data.run.stage_counts import StageCounts
from overt.generation.pair import order_twins, pair_id, write_twins
from overt.tasks.generate_stages import Making, audited

STAGE = "pair"
TWINS = 3  # candidates written per benign prompt

Written = tuple[Prompt, list[Prompt], list[Drop | Failure]]


@dataclass
class Pairing:
    """Makes contrast pairs: tries twins in turns until each category has its unsafe prompts or no twin is
    left.

    A benign prompt without an accepted twin is replaced by a spare of the pool, so `benign` changes.
    """

    making: Making
    benign: list[Prompt]
    pool: Sequence[Prompt]
    spares: dict[str, deque[Prompt]] = field(default_factory=dict)  # by category
    places: dict[str, list[int]] = field(default_factory=dict)  # by category: where its prompts stand
    texts: set[str] = field(default_factory=set)  # ids of all prompts of the pool
    waiting: dict[str, deque[Prompt]] = field(default_factory=dict)  # by benign id: twins not yet tried
    taken: Counter[str] = field(default_factory=Counter)  # by benign id: twins accepted
    kept: dict[str, list[Prompt]] = field(default_factory=dict)  # by category: the unsafe prompts
    tried: set[str] = field(default_factory=set)

    def run(self) -> tuple[list[Prompt], dict[str, int]]:
        """The unsafe prompts, and by category how many fewer there are than the policy asks for."""
        quota = {c.id: c.unsafe for c in self.making.policy.categories}
        if not any(quota.values()):
            return [], {}
        chosen = {p.id for p in self.benign}
        self.kept = {c: [] for c in quota}
        self.texts = {p.id for p in self.pool}
        self.spares = {c: deque() for c in quota}
        for prompt in self.pool:
            if prompt.id not in chosen and prompt.category in quota:
                self.spares[prompt.category].append(prompt)
        for place, prompt in enumerate(self.benign):
            self.places.setdefault(prompt.category, []).append(place)
        while turn := [p for category, wanted in quota.items() for p in self.next(category, wanted)]:
            self.accept(turn)
        return self.unsafe(), self.short(quota)

    def unsafe(self) -> list[Prompt]:
        """The twins that were kept, booked and written to the run's folder."""
        for category, rows in self.kept.items():
            self.making.account.leave(STAGE, category, len(rows))
        unsafe = [p for rows in self.kept.values() for p in rows]
        self.making.work.folder.write_stage(STAGE, unsafe)
        return unsafe

    def short(self, quota: dict[str, int]) -> dict[str, int]:
        """By category how many twins are missing."""
        return {c: quota[c] - len(rows) for c, rows in self.kept.items() if len(rows) < quota[c]}

    def next(self, category: str, quota: int) -> list[Prompt]:
        """The benign prompts of a category that get a twin in this turn, those with the fewest first.

        If they are too few, spares replace barren ones.
        """
        missing = quota - len(self.kept[category])
        if missing <= 0:
            return []
        places = self.places.get(category, [])
        mine = [self.benign[i] for i in places]
        # One twin per prompt, more only if the quota exceeds the number of prompts.
        most = math.ceil(quota / len(mine)) if mine else 0
        open_ = [
            p for p in mine if self.taken[p.id] < most and (p.id not in self.waiting or self.waiting[p.id])
        ]
        spares = self.spares[category]
        for place in [i for i in places if self.is_barren(self.benign[i])] if spares else []:
            if len(open_) >= missing or not spares:
                break
            open_.append(self.swap(place, spares.popleft()))
        return sorted(open_, key=lambda p: self.taken[p.id])[:missing]

    def is_barren(self, prompt: Prompt) -> bool:
        """Whether all twins of a prompt were tried and none was accepted."""
        waiting = self.waiting.get(prompt.id)
        return waiting is not None and not waiting and not self.taken[prompt.id]

    def swap(self, place: int, spare: Prompt) -> Prompt:
        old, self.benign[place] = self.benign[place], spare
        why = Drop(old.id, "select", old.category, "no unsafe twin passed", spare.id, old.text)
        self.making.account.overrule(spare.id, why)
        return spare

    def candidates(self, turn: Sequence[Prompt]) -> Iterator[Prompt]:
        """The next twin of each prompt, as soon as it is written; those that repeat another prompt word for
        word are booked."""
        page = StageCounts()
        bare = {p.id: p for p in turn if p.id not in self.waiting}
        written = self.making.overlap.ahead(self.write(list(bare.values()))) if bare else iter(())
        for prompt in turn:
            if prompt.id in bare and next(written, None) is None:
                break  # the run is halted
            if not self.waiting[prompt.id]:
                continue
            twin = self.waiting[prompt.id].popleft()
            if twin.id in self.texts or twin.id in self.tried:
                page.lose(Drop(twin.id, STAGE, twin.category, "exact repeat", prompt.id, twin.text))
                continue
            self.tried.add(twin.id)
            yield twin
        for _ in written:
            pass  # what it counts comes before what is counted here
        self.making.account.add(page)

    def accept(self, turn: Sequence[Prompt]) -> None:
        """Keeps the twins that the judges call unsafe and that do not resemble one kept before."""
        from overt.scoring.dedupe import dedupe

        making = self.making
        with making.overlap.together(making.work):
            unsafe = list(audited(making, self.candidates(turn), len(turn), STAGE))
        # Twins are held against each other, not against the benign prompts that they resemble by design.
        known = [p for rows in self.kept.values() for p in rows]
        result = dedupe(unsafe, threshold_of=making.threshold, encoder=making.encoder, kept=known)
        for drop in result.drops:
            making.account.lose(dataclasses.replace(drop, stage=STAGE))
        owner = {pair_id(p): p.id for p in turn}
        for twin in result.kept:
            self.kept[twin.category].append(twin)
            self.taken[owner[twin.pair_id or ""]] += 1

    # -- writing ------------------------------------------------------------------------------------

    def write(self, benign: Sequence[Prompt]) -> Iterator[Prompt]:
        """Writes twins of these prompts, which wait until it is their turn; yields each prompt that has its
        twins."""
        page = StageCounts()
        with self.making.work.stage(STAGE, len(benign)) as advance:
            for prompt, twins, losses in self.written(benign):
                advance(1)
                page.enter(STAGE, prompt.category)
                self.waiting[prompt.id] = deque(twins)
                for loss in losses:
                    page.lose(loss)
                yield prompt
        self.making.account.add(page)

    def written(self, benign: Sequence[Prompt]) -> Iterator[Written]:
        making, roles = self.making, self.making.roles
        if roles.writer is None:
            assert roles.chat is not None
            ask = making.ask("twin", roles.chat)
            template = making.templates["twin"]
            yield from write_twins(
                benign, making.policy, ask=ask, template=template, count=TWINS, seed=making.seed
            )
            return
        for prompt in benign:
            category = making.policy.category(prompt.category)
            twins = roles.writer.twins(making.policy, category, prompt, seed=making.seed)[:TWINS]
            paired = [dataclasses.replace(twin, pair_id=pair_id(prompt)) for twin in twins]
            yield (prompt, *order_twins(prompt, paired))


def with_pair(prompt: Prompt, pairs: set[str | None]) -> Prompt:
    """Sets the prompt's pair id if its twin is in the data set."""
    pair = pair_id(prompt)
    return dataclasses.replace(prompt, pair_id=pair) if pair in pairs else prompt
