"""The search of `overt generate --search`: rounds of small edits towards what the surrogate refuses.

It begins with the prompts that the surrogate was asked about. In each round, those that it let pass are
edited; an edit that the judges call benign and that the surrogate refuses more takes its prompt's place.
Prompts that reach the category's threshold go on; where they are too few, those closest to it go on too, and
the run says so.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from overt.data.json_types import Json
from overt.data.progress import Advance
from overt.data.records import Drop, Failure, Probe, Prompt
from overt.data.run.stage_counts import StageCounts
from overt.generation.edits import Option, options, scenes_in
from overt.generation.search_rewrites import search_rewrites
from overt.generation.synthesize import check_shape
from overt.scoring.boundary_search import (
    Edit,
    Guide,
    Key,
    best,
    fresh_scenes,
    nearest,
    to_edit,
)
from overt.scoring.probe import is_refused
from overt.tasks.generate_pool import Pool
from overt.tasks.generate_stages import Making, audited, probed, wanted_benign

STAGE = "search"
TRIES = 2  # edits of one prompt in a round, at most; and edits in a round for each prompt that is missing
AHEAD = 1.5  # refused prompts that are looked for, per prompt wanted: the most diverse of them are chosen
USES = 90  # prompts wanted in which the same wording may be put once


@dataclass(frozen=True)
class SearchPlan:
    """How long is searched: rounds, and calls of the surrogate (None: as many as the rounds need)."""

    rounds: int
    calls: int | None = None


@dataclass(frozen=True)
class Turn:
    """Prompts of a category that are edited in a round, and how many edits are tried."""

    prompts: list[Prompt]
    tries: int


@dataclass(frozen=True)
class Tried:
    """An edited prompt: the one it was made of, what was edited, and the scenes in it."""

    prompt: Prompt
    parent: Prompt
    key: Key
    uses: frozenset[str]


def search(making: Making, pool: Pool, plan: SearchPlan) -> dict[str, Json]:
    """Searches from the probed pool, and adds what it found to `pool.kept`. Returns the facts for the
    manifest."""
    return _Search(making, pool, plan).run()


@dataclass
class _Search:
    making: Making
    pool: Pool
    plan: SearchPlan
    now: dict[str, Prompt] = field(default_factory=dict)  # by the id of the pool's prompt: what became of it
    roots: dict[str, str] = field(default_factory=dict)  # by the id of a prompt of `now`: the pool's prompt
    uses: dict[str, frozenset[str]] = field(default_factory=dict)  # by root: its scenes
    known: dict[str, list[Option]] = field(default_factory=dict)  # by the id of a prompt: its edits
    seen: set[str] = field(default_factory=set)
    tried: set[tuple[str, Key]] = field(default_factory=set)  # edits by root
    kept: Counter[Key] = field(default_factory=Counter)  # edits that took a prompt's place
    asked: Counter[str] = field(default_factory=Counter)  # edits tried by kind
    calls: int = 0
    rounds: int = 0

    def run(self) -> dict[str, Json]:
        making = self.making
        for prompt in self.pool.unique:
            if prompt.id in making.probes:
                category = making.policy.category(prompt.category)
                self.now[prompt.id], self.roots[prompt.id] = prompt, prompt.id
                self.uses[prompt.id] = scenes_in(making.policy, category, prompt)
        self.seen = {*self.pool.seen, *self.now}
        wanted = sum(wanted_benign(making.policy).values())
        self.guide = Guide(most=max(1, round(wanted / USES)), seed=making.seed)
        for prompt in self.now.values():
            self.guide.note(prompt.text, making.probes[prompt.id])
        before = self.refused()
        for number in range(self.plan.rounds):
            turns = self.turns()
            if not turns or not (edits := self.within_calls(self.edits(turns, number))):
                break
            self.rounds += 1
            self.accept(edits)
        after = self.refused()
        self.finish()
        return self.facts(before, after)

    # -- what is edited -----------------------------------------------------------------------------------

    def turns(self) -> list[Turn]:
        """What is edited next, by category: the prompts that are not refused, where too few are, and those
        that are refused as they were written, which are held to one edit that is refused more."""
        found = []
        for category, count in wanted_benign(self.making.policy).items():
            probes, limit, wanted = self.probes(category), self.threshold(category), round(AHEAD * count)
            refused = [p for p in probes if is_refused(p, limit)]
            open_ = to_edit(probes, limit, wanted=wanted)
            plain = [p for p in nearest(refused, wanted) if p.prompt_id in self.uses]
            for chosen, tries in ((open_, TRIES * (wanted - len(refused))), (plain, len(plain))):
                if chosen:
                    found.append(Turn([self.now[self.roots[p.prompt_id]] for p in chosen], tries))
        return found

    def probes(self, category: str) -> list[Probe]:
        return [self.making.probes[p.id] for p in self.now.values() if p.category == category]

    def threshold(self, category: str) -> float:
        return self.making.policy.category(category).probe_threshold

    def refused(self) -> int:
        """How many prompts reach their category's threshold."""
        return sum(
            is_refused(self.making.probes[p.id], self.threshold(p.category)) for p in self.now.values()
        )

    # -- edits --------------------------------------------------------------------------------------------

    def edits(self, turns: Sequence[Turn], number: int) -> list[Tried]:
        """The edits that are tried in a round."""
        making, found = self.making, list[Tried]()
        self.guide.begin(number)
        rewrites = self.rewrites(turns, number)
        with making.work.stage(STAGE, sum(len(turn.prompts) for turn in turns)) as advance:
            for turn, mine in zip(turns, rewrites, strict=True):
                count = max(turn.tries - len(mine), turn.tries // 2)
                found += [*mine, *self.chosen(turn.prompts, count, advance)]
        fit = []
        for edit in found:
            making.account.enter(STAGE, edit.prompt.category)
            self.asked[edit.key[0]] += 1
            if drop := check_shape(edit.prompt, STAGE):
                making.account.lose(drop)
            elif edit.prompt.id in self.seen:
                self.lose(edit.prompt, "exact repeat", "of an earlier text")
            else:
                self.seen.add(edit.prompt.id)
                fit.append(edit)
        return fit

    def chosen(self, parents: Sequence[Prompt], count: int, advance: Advance) -> Iterator[Tried]:
        """The edits of these prompts that promise most."""
        making = self.making
        every: list[tuple[Prompt, Option]] = []
        for parent in parents:
            advance(1)
            root = self.roots[parent.id]
            every += [
                (parent, option)
                for option in self.options(parent)
                if (root, (option.kind, option.value)) not in self.tried
                and fresh_scenes(self.uses, root, option.uses)
            ]
        edits = [
            Edit(o.text, p.text, making.probes[p.id], (o.kind, o.value), o.kind == "scene") for p, o in every
        ]
        for place in self.guide.choose(edits, count, TRIES):
            parent, option = every[place]
            key = option.kind, option.value
            self.tried.add((self.roots[parent.id], key))
            yield Tried(option.make(), parent, key, option.uses)

    def options(self, prompt: Prompt) -> list[Option]:
        if prompt.id not in self.known:
            making = self.making
            category = making.policy.category(prompt.category)
            self.known[prompt.id] = options(making.policy, category, prompt, seed=making.seed)
        return self.known[prompt.id]

    def rewrites(self, turns: Sequence[Turn], number: int) -> list[list[Tried]]:
        """The rewrites of a chat model for each turn; none where the embedded writer writes. It is asked for
        all of them at once."""
        making, chat = self.making, self.making.roles.chat
        found: list[list[Tried]] = [[] for _ in turns]
        if chat is None:
            return found
        parts = [turn.prompts[: math.ceil(turn.tries / TRIES)] for turn in turns]
        owners = (mine for mine, part in zip(found, parts, strict=True) for _ in part)
        made_of_all = search_rewrites(
            [parent for part in parts for parent in part],
            making.policy,
            ask=making.work.ask(STAGE, chat),
            template=making.templates[STAGE],
            count=TRIES,
            round=number,
            seed=making.seed,
        )
        for mine, (parent, made) in zip(owners, made_of_all, strict=True):
            if isinstance(made, Failure):
                making.account.lose(made)
            else:
                mine += [Tried(prompt, parent, ("model", ""), frozenset()) for prompt in made]
        return found

    def within_calls(self, edits: list[Tried]) -> list[Tried]:
        """As many edits as the cap on calls leaves room for."""
        if self.plan.calls is None:
            return edits
        room = max(0, (self.plan.calls - self.calls) // self.samples)
        for edit in edits[room:]:
            self.lose(edit.prompt, "no calls left", f"--search-calls {self.plan.calls}")
        if len(edits) > room:
            self.making.work.note(
                f"the search stopped at {self.plan.calls} calls of the surrogate (--search-calls)"
            )
        return edits[:room]

    @property
    def samples(self) -> int:
        role = self.making.roles.probe
        return 1 if role is not None and role.filter is not None else self.pool.plan.samples

    # -- what is kept --------------------------------------------------------------------------------------

    def accept(self, edits: Sequence[Tried]) -> None:
        """Audits and probes the edits; the best one of each prompt takes its place if it is refused more."""
        making = self.making
        with making.overlap.together(making.work):
            passed = audited(making, [e.prompt for e in edits], len(edits), STAGE)
            measured = self.measured(making.overlap.ahead(passed), {e.prompt.id: e for e in edits})
        by_parent: dict[str, list[Tried]] = {}
        for edit in measured:
            self.guide.note(edit.prompt.text, making.probes[edit.prompt.id])
            by_parent.setdefault(edit.parent.id, []).append(edit)
        for parent, mine in by_parent.items():
            root = self.roots[parent]
            fit = [e for e in mine if fresh_scenes(self.uses, root, e.uses)]
            best_one = best(making.probes[parent], [making.probes[e.prompt.id] for e in fit])
            for edit in mine:
                if best_one is not None and edit.prompt.id == best_one.prompt_id:
                    self.replace(root, edit)
                else:
                    self.lose(edit.prompt, "not refused more than before", edit.key[0])
        self.guide.settle(self.kept)

    def measured(self, prompts: Iterable[Prompt], edits: Mapping[str, Tried]) -> list[Tried]:
        """Asks the surrogate; the edits that it gave an answer for.

        Args:
            prompts: read as they come.
            edits: by the ids of the prompts that they made.
        """
        making, page, found = self.making, StageCounts(), list[Tried]()
        with making.work.stage(STAGE, len(edits)) as advance:
            for result in probed(making, prompts, self.pool.plan.samples):
                if isinstance(result, Failure):
                    page.lose(dataclasses.replace(result, stage=STAGE))
                    continue
                advance(1)
                self.calls += self.samples
                making.probes[result.prompt_id] = result
                if result.rate is None:
                    prompt = edits[result.prompt_id].prompt
                    page.lose(_lost(prompt, "no sample answered", result.surrogate))
                else:
                    found.append(edits[result.prompt_id])
        making.account.add(page)
        return found

    def replace(self, root: str, edit: Tried) -> None:
        old = self.now[root]
        is_own = old.id == root  # a prompt of the pool; the probe has counted those that it dropped
        if is_own and is_refused(self.making.probes[root], self.threshold(old.category)):
            self.making.account.enter(STAGE, old.category)
        if not is_own or is_refused(self.making.probes[root], self.threshold(old.category)):
            self.lose(old, "edited further", edit.key[0])
        self.now[root], self.uses[root] = edit.prompt, edit.uses
        self.roots[edit.prompt.id] = root
        self.kept[edit.key] += 1

    def lose(self, prompt: Prompt, reason: str, detail: str = "") -> None:
        self.making.account.lose(_lost(prompt, reason, detail))

    # -- the end -------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Adds to the pool the edited prompts that the surrogate refuses, and where the pool has too few
        prompts, those that are the closest to it."""
        making, pool = self.making, self.pool
        pool.kept = [p for p in pool.kept if self.now[p.id] is p]
        edited = [p for root, p in self.now.items() if p.id != root]
        reached = [p for p in edited if is_refused(making.probes[p.id], self.threshold(p.category))]
        found = self.unlike(reached, pool.kept)
        for category, wanted in wanted_benign(making.policy).items():
            have = sum(p.category == category for p in (*pool.kept, *found))
            found += self.closest(category, wanted - have, [*pool.kept, *found])
        for prompt in found:
            making.account.leave(STAGE, prompt.category)
        pool.kept += found
        folder = making.work.folder
        folder.write_stage("audit", making.audits.values())
        folder.write_stage("probe", making.probes.values())
        folder.write_stage(STAGE, found)

    def closest(self, category: str, missing: int, kept: Sequence[Prompt]) -> list[Prompt]:
        """The prompts of a category that are closest to being refused, as many as are missing. The others are
        counted as lost."""
        making, limit = self.making, self.threshold(category)
        mine = {p.id: p for p in self.now.values() if p.category == category}
        rest = [making.probes[id_] for id_ in mine if not is_refused(making.probes[id_], limit)]
        # A few more than are missing, since some may repeat others.
        close = [mine[p.prompt_id] for p in nearest(rest, 2 * missing)]
        for prompt in close:
            if prompt.id in self.uses:  # a prompt of the pool as it was
                making.account.enter(STAGE, category)
        fit = self.unlike(close, kept) if close else []
        near = {p.id for p in close}
        far = [mine[p.prompt_id] for p in rest if p.prompt_id not in near and p.prompt_id not in self.uses]
        for prompt in (*fit[max(missing, 0) :], *far):
            self.lose(prompt, "still rarely refused")
        fit = fit[: max(missing, 0)]
        if fit:
            making.work.note(
                f"{category}: the surrogate does not refuse {len(fit)} of the benign prompts; "
                "they are the closest to it"
            )
        return fit

    def unlike(self, prompts: Sequence[Prompt], kept: Sequence[Prompt]) -> list[Prompt]:
        """The prompts that do not resemble each other or one that is kept."""
        from overt.scoring.dedupe import dedupe

        making, earlier = self.making, self.pool.earlier
        result = dedupe(
            prompts, threshold_of=making.threshold, encoder=making.encoder, kept=kept, against=earlier
        )
        for drop in result.drops:
            making.account.lose(dataclasses.replace(drop, stage=STAGE))
        return result.kept

    def facts(self, before: int, after: int) -> dict[str, Json]:
        kinds: Counter[str] = Counter()
        for (kind, _), count in self.kept.items():
            kinds[kind] += count
        return {
            "rounds": self.rounds,
            "calls": self.calls,
            "prompts": len(self.now),
            "refused_before": before,
            "refused_after": after,
            "tried": dict(sorted(self.asked.items())),
            "kept": dict(sorted(kinds.items())),
        }


def _lost(prompt: Prompt, reason: str, detail: str) -> Drop:
    return Drop(prompt.id, STAGE, prompt.category, reason, detail, prompt.text)
