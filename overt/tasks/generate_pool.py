"""The pool of `overt generate`: rounds of writing, until every category has enough prompts that stay."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from overt.data.progress import Advance
from overt.data.records import Drop, Failure, Prompt, Seed
from overt.generation.pair import order_twins, pair_id, write_twins
from overt.tasks.generate_stages import Making, audit_prompts, drop_repeats, probe_prompts, wanted_benign

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
            before = Counter(p.category for p in self.kept)
            fresh = self.fresh(self.write(needs, number))
            if not fresh:
                break  # the writers have nothing more to say
            new = drop_repeats(making, audit_prompts(making, fresh), self.unique, self.earlier)
            self.unique += new
            self.kept += probe_prompts(making, new, self.plan.samples)
            gained = Counter(p.category for p in self.kept) - before
            spent |= {c for c, count in needs.items() if gained[c] < SPENT_SHARE * count}
        folder = making.work.folder
        folder.write_stage("synthesize", self.written)
        folder.write_stage("audit", making.audits.values())
        folder.write_stage("dedupe", self.unique)
        folder.write_stage("probe", making.probes.values())
        return self.kept

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

    def fresh(self, drafts: Sequence[Prompt]) -> list[Prompt]:
        """Returns the drafts with new texts; exact repeats are counted as lost."""
        fresh = []
        for draft in drafts:
            if draft.id not in self.seen:
                self.seen.add(draft.id)
                fresh.append(draft)
                continue
            self.making.account.lose(
                Drop(draft.id, "dedupe", draft.category, "exact repeat", "of the same text", draft.text)
            )
            self.making.account.enter("dedupe", draft.category)
        return fresh

    # -- writing ------------------------------------------------------------------------------------

    def write(self, needs: Mapping[str, int], number: int) -> list[Prompt]:
        """One round of writing: so many prompts per category, by the writer that the run has."""
        start = dict(self.asked)
        for category, count in needs.items():
            self.asked[category] = self.asked.get(category, 0) + count
            self.making.account.enter("synthesize", category, count)
        with self.making.work.stage("synthesize", sum(needs.values())) as advance:
            if self.making.roles.writer is not None:
                return self.keep(self.composed(needs, start), advance)
            batch, rest = self.share_out(needs)
            converted = self.keep(self.converted(batch), advance) if batch else []
            if any(rest.values()):
                return converted + self.keep(self.direct(rest, number), advance)
            return converted

    def keep(self, results: Iterable[Prompt | Drop | Failure], advance: Advance) -> list[Prompt]:
        kept: list[Prompt] = []
        for result in results:
            advance(1)
            if isinstance(result, Prompt):
                self.making.account.leave("synthesize", result.category)
                kept.append(result)
            else:
                self.making.account.lose(result)
        self.written += kept
        return kept

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
            ask=making.work.ask("convert", making.roles.chat),
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
            ask=making.work.ask("direct", making.roles.chat),
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


# -- contrast pairs ------------------------------------------------------------------------------------------


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

        If they are too few, spares replace barren ones.
        """
        missing = quota - len(self.kept[category])
        places = [i for i, p in enumerate(self.benign) if p.category == category]
        mine = [self.benign[i] for i in places]
        # One twin per prompt, more only if the quota exceeds the number of prompts.
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
    """Sets the prompt's pair id if its twin is in the data set."""
    pair = pair_id(prompt)
    return dataclasses.replace(prompt, pair_id=pair) if pair in pairs else prompt
