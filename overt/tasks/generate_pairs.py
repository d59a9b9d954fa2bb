"""The contrast pairs of `overt generate`: unsafe twins of the chosen benign prompts."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from overt.data.records import Drop, Failure, Prompt
from overt.generation.pair import order_twins, pair_id, write_twins
from overt.tasks.generate_stages import Making, audit_prompts

TWINS = 3  # candidates written per benign prompt

Written = tuple[Prompt, list[Prompt], list[Drop | Failure]]


@dataclass
class Pairing:
    """Twins are tried in turns until each category has its unsafe prompts, or nothing is left to try.

    A benign prompt of which no twin passes makes room for a spare one of the pool: `benign` changes.
    """

    making: Making
    benign: list[Prompt]
    pool: Sequence[Prompt]
    spares: dict[str, list[Prompt]] = field(default_factory=dict)  # by category
    waiting: dict[str, list[Prompt]] = field(default_factory=dict)  # by benign id: twins not yet tried
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
        self.spares = {c: [p for p in self.pool if p.category == c and p.id not in chosen] for c in quota}
        while turn := [p for category, wanted in quota.items() for p in self.next(category, wanted)]:
            self.write([p for p in turn if p.id not in self.waiting])
            self.accept(self.candidates(turn))
        return self.unsafe(), self.short(quota)

    def unsafe(self) -> list[Prompt]:
        """The twins that were kept, booked and written to the run's folder."""
        for category, rows in self.kept.items():
            self.making.account.leave("pair", category, len(rows))
        unsafe = [p for rows in self.kept.values() for p in rows]
        self.making.work.folder.write_stage("pair", unsafe)
        return unsafe

    def short(self, quota: dict[str, int]) -> dict[str, int]:
        """By category how many twins are missing."""
        return {c: quota[c] - len(rows) for c, rows in self.kept.items() if len(rows) < quota[c]}

    def next(self, category: str, quota: int) -> list[Prompt]:
        """The benign prompts of a category that get a twin in this turn, those with the fewest first.

        Where they are fewer than the twins that are missing, spares take the place of barren ones.
        """
        missing = quota - len(self.kept[category])
        places = [i for i, p in enumerate(self.benign) if p.category == category]
        mine = [self.benign[i] for i in places]
        # One twin each where that makes the number; more only where there are more twins than prompts.
        most = math.ceil(quota / len(mine)) if mine else 0
        open_ = [
            p for p in mine if self.taken[p.id] < most and (p.id not in self.waiting or self.waiting[p.id])
        ]
        barren = [i for i in places if self.is_barren(self.benign[i])]
        spares = self.spares[category]
        while len(open_) < missing and barren and spares:
            open_.append(self.swap(barren.pop(0), spares.pop(0)))
        return sorted(open_, key=lambda p: self.taken[p.id])[: max(missing, 0)]

    def is_barren(self, prompt: Prompt) -> bool:
        """Whether all twins of a prompt were tried and none was accepted."""
        return not self.taken[prompt.id] and self.waiting.get(prompt.id) == []

    def swap(self, place: int, spare: Prompt) -> Prompt:
        old, self.benign[place] = self.benign[place], spare
        why = Drop(old.id, "select", old.category, "no unsafe twin passed", spare.id, old.text)
        self.making.account.overrule(spare.id, why)
        return spare

    def candidates(self, turn: Sequence[Prompt]) -> list[Prompt]:
        """The next twin of each prompt; those that repeat another prompt word for word are booked."""
        texts = {p.id for p in self.pool}
        found = []
        for prompt in turn:
            if not self.waiting[prompt.id]:
                continue
            twin = self.waiting[prompt.id].pop(0)
            if twin.id in texts or twin.id in self.tried:
                self.making.account.lose(
                    Drop(twin.id, "pair", twin.category, "exact repeat", prompt.id, twin.text)
                )
                continue
            self.tried.add(twin.id)
            found.append(twin)
        return found

    def accept(self, candidates: list[Prompt]) -> None:
        """Keeps the candidates that the judges call unsafe and that do not resemble one kept before."""
        from overt.scoring.dedupe import dedupe

        making = self.making
        unsafe = audit_prompts(making, candidates, "pair") if candidates else []
        # Twins are held against each other, not against the benign prompts that they resemble by design.
        known = [p for rows in self.kept.values() for p in rows]
        result = dedupe(unsafe, threshold_of=making.threshold, encoder=making.encoder, kept=known)
        for drop in result.drops:
            making.account.lose(dataclasses.replace(drop, stage="pair"))
        owner = {pair_id(p): p.id for p in self.benign}
        for twin in result.kept:
            self.kept[twin.category].append(twin)
            self.taken[owner[twin.pair_id or ""]] += 1

    # -- writing ------------------------------------------------------------------------------------

    def write(self, benign: Sequence[Prompt]) -> None:
        """Writes twins of these prompts; they wait until it is their turn."""
        if not benign:
            return
        with self.making.work.stage("pair", len(benign)) as advance:
            for prompt, twins, losses in self.written(benign):
                advance(1)
                self.making.account.enter("pair", prompt.category)
                self.waiting[prompt.id] = twins
                for loss in losses:
                    self.making.account.lose(loss)

    def written(self, benign: Sequence[Prompt]) -> Iterator[Written]:
        making, roles = self.making, self.making.roles
        if roles.writer is None:
            assert roles.chat is not None
            ask = making.work.ask("twin", roles.chat)
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
    """A benign prompt under the id of its pair, where its twin is in the data set."""
    pair = pair_id(prompt)
    return dataclasses.replace(prompt, pair_id=pair) if pair in pairs else prompt
