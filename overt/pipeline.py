"""The pipeline of `overt generate`: seeds -> synthesize -> audit -> dedupe -> probe -> select -> pair.

Each stage is a plain function of its own room; this file only hands records from one to the next,
keeps the account, and writes the run folder. A resumed run walks the same way again: finished calls
come from the journal, so nothing is paid for twice and the outcome is the same.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import platform
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import overt
from overt.calls import Caller, CallerOptions
from overt.calls.caller import ASKED_AGAIN
from overt.data.account import STAGES, Account
from overt.data.chat import Answer, Ask, Question
from overt.data.errors import InputError
from overt.data.records import Audit, Drop, Failure, Probe, Prompt, Seed, content_id
from overt.data.store import RunStore, digest_source, speaking_os_errors
from overt.data.templates import Template, load_template
from overt.models import ModelOptions, Roles, open_roles
from overt.policies.load import dump_policy, load_policy
from overt.policies.schema import DEDUP_DEFAULT, Policy
from overt.progress import Advance, Progress

T = TypeVar("T")

TEMPLATES = {
    "classify": "generation",
    "convert": "generation",
    "direct": "generation",
    "twin": "generation",
    "audit": "scoring",
    "probe": "scoring",
}
# A category of which a whole round brought less than this share of what was asked for is written out:
# more rounds would be paid for and change nothing.
SPENT_SHARE = 0.01


@dataclass(frozen=True)
class GenerateConfig:
    """What decides the outcome of a run. Everything here is in `run.json`; nothing else matters."""

    policy: Policy
    model: str = "builtin/grammar"
    judges: tuple[str, ...] = ()  # empty: the rules for the builtin writer, else the writer itself
    probe: str | None = None
    seeds: str | None = None
    max_seeds: int | None = None
    seed: int = 0
    per_seed: int = 3
    per_request: int = 10
    oversample: float | None = None  # pool wanted per prompt kept; None: 3 for the builtin, 1.5 else
    rounds: int = 5
    samples: int = 8
    twins: int = 3
    encoder: str = "auto"
    against: tuple[str, ...] = ()
    templates: Path | None = None
    rejected: tuple[str, ...] = ()  # ids of prompts that people rejected in a review

    @property
    def is_builtin(self) -> bool:
        return self.model.startswith("builtin/")

    @property
    def judge_names(self) -> tuple[str, ...]:
        return self.judges or (("builtin/rules",) if self.is_builtin else (self.model,))

    @property
    def pool(self) -> float:
        return self.oversample or (3.0 if self.is_builtin else 1.5)

    def load_templates(self) -> dict[str, Template]:
        return {name: load_template(room, name, self.templates) for name, room in TEMPLATES.items()}

    def identity(self) -> dict[str, Any]:
        """What `run.json` holds: the same identity gives the same ids and the same dataset."""
        return {
            "kind": "generate",
            "overt": overt.__version__,
            "policy": {"name": self.policy.name, "version": self.policy.version, "hash": self.policy.hash},
            "model": self.model,
            "judges": list(self.judge_names),
            "probe": self.probe,
            "seeds": {"spec": self.seeds, "hash": digest_source(self.seeds), "limit": self.max_seeds},
            "against": [{"spec": spec, "hash": digest_source(spec)} for spec in self.against],
            "seed": self.seed,
            "per_seed": self.per_seed,
            "per_request": self.per_request,
            "oversample": self.pool,
            "rounds": self.rounds,
            "samples": self.samples,
            "twins": self.twins,
            "encoder": self.encoder,
            "rejected": sorted(self.rejected),
            "templates": {
                name: {
                    "label": t.label,
                    "hash": t.hash,
                    "own": bool(self.templates) and "/templates/" not in t.source,
                }
                for name, t in self.load_templates().items()
            },
        }


def config_of_run(folder: Path, templates: Path | None = None) -> GenerateConfig:
    """The config that a run was started with, read back from its folder, for `--resume`.

    Raises:
        InputError: the folder is not a run, or was made by another command.
    """
    identity = RunStore.identity(folder)
    if identity is None:
        raise InputError(
            "this is not a run of overt (no run.json)",
            where=str(folder),
            fix="Give the folder that `overt generate` named with --out.",
        )
    if identity.get("kind") != "generate":
        raise InputError(
            f"this is a run of `overt {identity.get('kind')}`",
            where=str(folder),
            fix=f"Go on with it: overt {identity.get('kind')} --resume {folder}",
        )
    try:
        return GenerateConfig(
            policy=load_policy(str(folder / "policy.yaml")),
            model=identity["model"],
            judges=tuple(identity["judges"]),
            probe=identity["probe"],
            seeds=identity["seeds"]["spec"],
            max_seeds=identity["seeds"]["limit"],
            seed=identity["seed"],
            per_seed=identity["per_seed"],
            per_request=identity["per_request"],
            oversample=identity["oversample"],
            rounds=identity["rounds"],
            samples=identity["samples"],
            twins=identity["twins"],
            encoder=identity["encoder"],
            against=tuple(a["spec"] for a in identity["against"]),
            rejected=tuple(identity.get("rejected", ())),
            templates=templates,
        )
    except (KeyError, TypeError) as error:
        raise InputError(f"run.json lacks a field: {error}", where=str(folder / "run.json")) from error


def config_after_review(run: Path, rejected: set[str]) -> GenerateConfig:
    """The config of a reviewed run, without the prompts that people rejected: others take their places.

    Raises:
        InputError: the folder is no run of `overt generate`, or nothing in it was rejected.
    """
    config = config_of_run(run)
    if not rejected:
        raise InputError(
            "no prompt of this run was rejected",
            where=str(run),
            fix=f"Review it first: overt review {run}",
        )
    return dataclasses.replace(config, rejected=tuple(sorted({*config.rejected, *rejected})))


def carry_journal(run: Path, folder: Path) -> None:
    """Takes a run's finished calls along into a new folder, so that nothing is paid for twice.

    Raises:
        RunError: one of the two cannot be read or written.
    """
    import sqlite3

    if not (run / "journal.sqlite").exists() or (folder / "journal.sqlite").exists():
        return
    with speaking_os_errors("cannot copy the journal"):
        folder.mkdir(parents=True, exist_ok=True)
    with RunStore(folder) as store:
        if RunStore.identity(folder) is None:
            store.refuse_strangers()  # it would lie there for good: the run is claimed only later
        old, new = sqlite3.connect(run / "journal.sqlite"), sqlite3.connect(folder / "journal.sqlite")
        try:
            old.backup(new)
        except sqlite3.Error as error:
            raise InputError(f"cannot copy the journal: {error}", where=str(run)) from error
        finally:
            old.close()
            new.close()


def default_folder(config: GenerateConfig) -> Path:
    """The folder of a run without --out: the same inputs give the same one, so the same command resumes."""
    tail = content_id("run", config.identity()).rsplit("-", 1)[1][:8]
    return Path("runs") / f"{config.policy.name}-{tail}"


def generate(
    config: GenerateConfig,
    folder: Path,
    *,
    calls: CallerOptions,
    models: ModelOptions,
    progress: Progress,
) -> dict[str, Any]:
    """Runs or resumes a generation; returns the manifest.

    Raises:
        InputError: bad input, or the folder holds another run.
        RunError: disk full, folder not writable, another process on the run.
        BudgetReached: a cap was reached; the same command with a higher cap goes on.
    """
    identity = config.identity()
    addresses = {"base_url": models.base_url, "api_key_env": models.api_key_env}
    with RunStore(folder) as store:
        store.claim(identity, dump_policy(config.policy), addresses)
        done = store.manifest()
        if done is not None and not done.get("retriable"):
            progress.note(f"{folder} is complete; nothing to do")
            return done
        # Models are made before anything is paid for: a wrong name should cost nothing.
        roles = open_roles(config.policy, config.model, config.judge_names, config.probe, models)
        with Caller(folder / "journal.sqlite", calls, on_progress=progress.calls) as caller:
            return _Generation(config, identity, store, roles, caller, progress).run()


@dataclass
class _Generation:
    config: GenerateConfig
    identity: dict[str, Any]
    store: RunStore
    roles: Roles
    caller: Caller
    progress: Progress
    account: Account = field(default_factory=Account)
    audits: dict[str, Audit] = field(default_factory=dict)
    probes: dict[str, Probe] = field(default_factory=dict)
    written: list[Prompt] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    clock: dict[str, float] = field(default_factory=dict)
    unanswered: int = 0  # calls that failed on the way for good; another day they may be answered

    def __post_init__(self) -> None:
        self.policy = self.config.policy
        self.templates = self.config.load_templates()
        self.encoder, self.index_choice = self._pick_encoder()
        self.index: Any = None

    # -- the whole --------------------------------------------------------------------------------

    def run(self) -> dict[str, Any]:
        seeds = self._seeds()
        pool = self._fill_pool(seeds)
        benign, short_benign = self._select(pool)
        unsafe, short_unsafe = self._pair(benign, pool)
        self.store.write_stage("select", benign)
        pairs = {p.pair_id for p in unsafe}
        benign = [self._with_pair(p, pairs) for p in benign]
        return self._finish(benign, unsafe, {"benign": short_benign, "unsafe": short_unsafe})

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)
            self.progress.note(text)

    def _ask(self, role: str, model: Any) -> Ask:
        return _Counted(self.caller.bind(model, role), self)

    # -- seeds ------------------------------------------------------------------------------------

    def _seeds(self) -> dict[str, list[Seed]]:
        """The seeds of each category, in an order of the run's seed."""
        if not self.config.seeds:
            return {}
        if self.roles.writer is not None:
            self._note(f"{self.config.model} writes from the policy alone: the seeds are not used")
            return {}
        from overt.data.seeds import read_seeds
        from overt.generation.seeds import classify, screen

        if self.store.has_stage("seeds"):
            placed = self.store.read_stage("seeds", Seed)
            raw = self.store.read_stage("seeds.read", Seed)
        else:
            raw, placed = list(read_seeds(self.config.seeds, limit=self.config.max_seeds)), []
            self.store.write_stage("seeds.read", raw)
        if not raw:
            raise InputError("the file holds no seed", where=self.config.seeds)
        with self._timed("seeds", len(raw)) as advance:
            kept = [s for s in map(self._book_seed, screen(raw)) if s]
            ask = self._ask("classify", self.roles.chat) if self.roles.chat else None
            for result in classify(
                kept, self.policy, ask=ask, template=self.templates["classify"], seed=self.config.seed
            ):
                advance(1)
                if seed := self._book_seed(result, last=True):
                    placed.append(seed)
        placed = list({s.id: s for s in placed}.values())
        self.store.write_stage("seeds", placed)
        by_category: dict[str, list[Seed]] = {}
        for seed in sorted(placed, key=lambda s: content_id("order", self.config.seed, s.id)):
            by_category.setdefault(seed.category or "", []).append(seed)
        return by_category

    def _book_seed(self, result: Seed | Drop | Failure, last: bool = False) -> Seed | None:
        if isinstance(result, Seed):
            if last:
                self.account.enter("seeds", result.category or "")
                self.account.leave("seeds", result.category or "")
            return result
        self.account.enter("seeds", result.category)
        self.account.lose(result)
        return None

    # -- synthesize, audit, dedupe, probe: rounds until every category has enough -------------------

    def _fill_pool(self, seeds: dict[str, list[Seed]]) -> list[Prompt]:
        pool: list[Prompt] = []
        unique: list[Prompt] = []
        seen: set[str] = set()
        asked: dict[str, int] = {}
        cursor: dict[str, int] = {}
        spent: set[str] = set()
        converted = sum(c.strategy == "convert" for c in self.policy.categories)
        if converted and self.config.seeds is None and self.roles.chat is not None:
            self._note(f"no --seeds: {converted} categories with strategy 'convert' are written directly")
        for round in range(self.config.rounds):
            needs = {c: n for c, n in self._needs(pool, asked).items() if c not in spent}
            if not needs:
                break
            before = Counter(p.category for p in pool)
            drafts = self._synthesize(needs, seeds, cursor, asked, round)
            fresh = [p for p in drafts if not (p.id in seen or seen.add(p.id))]  # type: ignore[func-returns-value]
            for repeat in _without(drafts, fresh):
                self.account.lose(
                    Drop(
                        repeat.id, "dedupe", repeat.category, "exact repeat", "of the same text", repeat.text
                    )
                )
                self.account.enter("dedupe", repeat.category)
            if not fresh:
                break  # the writers have nothing more to say
            benign = self._audit(fresh)
            new = self._dedupe(benign, unique)
            unique += new
            pool += self._probe(new)
            gained = Counter(p.category for p in pool) - before
            spent |= {c for c, count in needs.items() if gained[c] < SPENT_SHARE * count}
        self.store.write_stage("synthesize", self.written)
        self.store.write_stage("audit", self.audits.values())
        self.store.write_stage("dedupe", unique)
        self.store.write_stage("probe", self.probes.values())
        return pool

    def _needs(self, pool: Sequence[Prompt], asked: dict[str, int]) -> dict[str, int]:
        """How many prompts to ask for per category; empty when every category has enough."""
        needs: dict[str, int] = {}
        for category in self.policy.categories:
            have = sum(p.category == category.id for p in pool)
            wanted = max(category.benign, 1 if category.unsafe else 0)
            if have >= wanted:
                continue
            if category.id not in asked:
                needs[category.id] = math.ceil(wanted * self.config.pool)
            else:  # ask by what came through so far, with a floor under a bad first round
                share = max(have / asked[category.id], 0.1)
                needs[category.id] = math.ceil((wanted - have) * 1.2 / share)
        return needs

    def _synthesize(
        self,
        needs: dict[str, int],
        seeds: dict[str, list[Seed]],
        cursor: dict[str, int],
        asked: dict[str, int],
        round: int,
    ) -> list[Prompt]:
        from overt.generation.synthesize import convert, direct, screen

        start = dict(asked)
        for category, count in needs.items():
            asked[category] = asked.get(category, 0) + count
            self.account.enter("synthesize", category, count)
        with self._timed("synthesize", sum(needs.values())) as advance:
            if self.roles.writer is not None:
                made: Iterable[Prompt | Drop | Failure] = (
                    result
                    for category in self.policy.categories
                    if category.id in needs
                    for result in screen(
                        list(
                            self.roles.writer.compose(
                                self.policy,
                                category,
                                count=needs[category.id],
                                seed=self.config.seed,
                                start=start.get(category.id, 0),
                            )
                        ),
                        "synthesize",
                    )
                )
                return self._keep_written(made, advance)
            batch, direct_needs = self._share_out(needs, seeds, cursor)
            written: list[Prompt] = []
            if batch:
                ask = self._ask("convert", self.roles.chat)
                written += self._keep_written(
                    convert(
                        batch,
                        self.policy,
                        ask=ask,
                        template=self.templates["convert"],
                        per_seed=self.config.per_seed,
                        seed=self.config.seed,
                    ),
                    advance,
                )
            if any(direct_needs.values()):
                ask = self._ask("direct", self.roles.chat)
                written += self._keep_written(
                    direct(
                        direct_needs,
                        self.policy,
                        ask=ask,
                        template=self.templates["direct"],
                        per_request=self.config.per_request,
                        round=round,
                        seed=self.config.seed,
                    ),
                    advance,
                )
            return written

    def _share_out(
        self, needs: dict[str, int], seeds: dict[str, list[Seed]], cursor: dict[str, int]
    ) -> tuple[list[Seed], dict[str, int]]:
        """The seeds to convert now, and how many prompts to write directly; `cursor` moves on.

        Where a category's seeds do not last, the rest is written directly: the policy's numbers count.
        """
        batch: list[Seed] = []
        direct_needs: dict[str, int] = {}
        for category in self.policy.categories:
            want = needs.get(category.id, 0)
            mine = seeds.get(category.id, []) if category.strategy == "convert" else []
            first = cursor.get(category.id, 0)
            last = min(len(mine), first + math.ceil(want / self.config.per_seed))
            cursor[category.id] = last
            batch += mine[first:last]
            direct_needs[category.id] = max(0, want - (last - first) * self.config.per_seed)
            if self.config.seeds and category.strategy == "convert" and direct_needs[category.id]:
                self._note(
                    f"{category.id}: {len(mine)} seeds are too few for {want} prompts; "
                    "the others are written directly"
                )
        return batch, direct_needs

    def _keep_written(self, results: Iterable[Prompt | Drop | Failure], advance: Advance) -> list[Prompt]:
        kept: list[Prompt] = []
        for result in results:
            advance(1)
            if isinstance(result, Prompt):
                self.account.leave("synthesize", result.category)
                kept.append(result)
            else:
                self.account.lose(result)
        self.written += kept
        return kept

    def _audit(self, prompts: Sequence[Prompt], stage: str = "audit") -> list[Prompt]:
        """The prompts whose label the judges confirm; the others are booked under `stage`."""
        from overt.scoring.audit import audit, function_judge, judge_audit, llm_judge

        judges = []
        for judge in self.roles.judges:
            if judge.label is not None:
                judges.append(function_judge(judge.label))
            else:
                ask = self._ask("audit", judge.chat)
                template = self.templates["audit"]
                judges.append(llm_judge(self.policy, ask=ask, template=template, seed=self.config.seed))
        kept: list[Prompt] = []
        with self._timed(stage, len(prompts)) as advance:
            for prompt, result, failures in audit(prompts, judges):
                advance(1)
                self.audits[prompt.id] = result
                for failure in failures:
                    self.account.lose(dataclasses.replace(failure, stage=stage))
                if stage == "audit":
                    self.account.enter(stage, prompt.category)
                if drop := judge_audit(prompt, result):
                    self.account.lose(dataclasses.replace(drop, stage=stage))
                    continue
                if prompt.id in self.config.rejected:
                    why = "rejected by reviewers"
                    self.account.lose(Drop(prompt.id, stage, prompt.category, why, "", prompt.text))
                    continue
                if stage == "audit":
                    self.account.leave(stage, prompt.category)
                kept.append(prompt)
        return kept

    def _threshold(self, prompt: Prompt) -> float:
        own = self.policy.category(prompt.category).dedup_threshold
        return own if own is not None else DEDUP_DEFAULT[prompt.strategy]

    def _dedupe(self, prompts: list[Prompt], kept: list[Prompt]) -> list[Prompt]:
        from overt.data.seeds import read_texts
        from overt.scoring.dedupe import dedupe

        with self._timed("dedupe", len(prompts)) as advance:
            against = [text for spec in self.config.against for text in read_texts(spec)]
            result = dedupe(
                prompts,
                threshold_of=self._threshold,
                encoder=self.encoder,
                kept=kept,
                against=against,
                why=self.index_choice,
            )
            advance(len(prompts))
        self.index = result.index
        for prompt in prompts:
            self.account.enter("dedupe", prompt.category)
        for prompt in result.kept:
            self.account.leave("dedupe", prompt.category)
        for drop in result.drops:
            self.account.lose(drop)
        return result.kept

    def _probe(self, prompts: list[Prompt]) -> list[Prompt]:
        from overt.scoring.probe import judge_probe, probe, probe_with_filter

        if self.roles.probe is None:
            return prompts
        kept: list[Prompt] = []
        with self._timed("probe", len(prompts)) as advance:
            if self.roles.probe.filter is not None:
                results: Iterable[Probe | Failure] = probe_with_filter(prompts, self.roles.probe.filter)
            else:
                results = probe(
                    prompts,
                    self.policy,
                    ask=self._ask("probe", self.roles.probe.chat),
                    template=self.templates["probe"],
                    samples=self.config.samples,
                    seed=self.config.seed,
                )
            by_id = {p.id: p for p in prompts}
            for result in results:
                if isinstance(result, Failure):
                    self.account.lose(result)
                    continue
                advance(1)
                prompt = by_id[result.prompt_id]
                self.probes[prompt.id] = result
                self.account.enter("probe", prompt.category)
                threshold = self.policy.category(prompt.category).probe_threshold
                if drop := judge_probe(prompt, result, threshold):
                    self.account.lose(drop)
                else:
                    self.account.leave("probe", prompt.category)
                    kept.append(prompt)
        return kept

    # -- select and pair ----------------------------------------------------------------------------

    def _select(self, pool: list[Prompt]) -> tuple[list[Prompt], dict[str, int]]:
        from overt.scoring.select import select

        quota = {c.id: max(c.benign, 1 if c.unsafe else 0) for c in self.policy.categories}
        with self._timed("select", len(pool)) as advance:
            vectors = self.encoder.encode([p.text for p in pool]) if self.encoder and pool else None
            result = select(pool, quota, seed=self.config.seed, vectors=vectors)
            advance(len(pool))
        for prompt in pool:
            self.account.enter("select", prompt.category)
        for prompt in result.kept:
            self.account.leave("select", prompt.category)
        for drop in result.drops:
            self.account.lose(drop)
        return result.kept, {k: v for k, v in result.short.items() if v}

    def _pair(self, benign: list[Prompt], pool: list[Prompt]) -> tuple[list[Prompt], dict[str, int]]:
        """Twins until each category has its unsafe prompts, or no benign prompt has one left to try.

        A benign prompt of which no twin passes makes room for a spare one of the pool: `benign` changes.
        """
        from overt.scoring.dedupe import dedupe

        quota = {c.id: c.unsafe for c in self.policy.categories}
        if not any(quota.values()):
            return [], {}
        chosen = {p.id for p in benign}
        spares = {c: [p for p in pool if p.category == c and p.id not in chosen] for c in quota}
        texts = {p.id for p in pool}
        waiting: dict[str, list[Prompt]] = {}  # benign id -> candidates not yet tried
        taken: Counter[str] = Counter()  # benign id -> twins accepted
        kept: dict[str, list[Prompt]] = {c: [] for c in quota}
        tried: set[str] = set()
        while True:
            turn: list[Prompt] = []
            for category, wanted in quota.items():
                missing = wanted - len(kept[category])
                open_ = self._open_for_twins(category, missing, benign, spares[category], waiting, taken)
                turn += open_[: max(missing, 0)]
            if not turn:
                break
            self._write_twins([p for p in turn if p.id not in waiting], waiting)
            candidates: list[Prompt] = []
            for prompt in turn:
                if not waiting[prompt.id]:
                    continue
                twin = waiting[prompt.id].pop(0)
                if twin.id in texts or twin.id in tried:
                    self.account.lose(
                        Drop(twin.id, "pair", twin.category, "exact repeat", prompt.id, twin.text)
                    )
                    continue
                tried.add(twin.id)
                candidates.append(twin)
            unsafe = self._audit(candidates, "pair") if candidates else []
            # Twins are held against each other, not against the benign prompts they resemble by design.
            known = [p for rows in kept.values() for p in rows]
            result = dedupe(unsafe, threshold_of=self._threshold, encoder=self.encoder, kept=known)
            for drop in result.drops:
                self.account.lose(dataclasses.replace(drop, stage="pair"))
            owner = {pair_of(p): p.id for p in benign}
            for twin in result.kept:
                kept[twin.category].append(twin)
                taken[owner[twin.pair_id or ""]] += 1
        short = {c: quota[c] - len(rows) for c, rows in kept.items() if len(rows) < quota[c]}
        for category, rows in kept.items():
            self.account.leave("pair", category, len(rows))
        unsafe = [p for rows in kept.values() for p in rows]
        self.store.write_stage("pair", unsafe)
        return unsafe, short

    def _open_for_twins(
        self,
        category: str,
        missing: int,
        benign: list[Prompt],
        spares: list[Prompt],
        waiting: dict[str, list[Prompt]],
        taken: Counter[str],
    ) -> list[Prompt]:
        """The benign prompts of a category that may still get a twin, those with the fewest first.

        Where they are fewer than the twins that are missing, spares take the place of barren ones.
        """
        places = [i for i, p in enumerate(benign) if p.category == category]
        mine = [benign[i] for i in places]
        quota = self.policy.category(category).unsafe
        # One twin each where that makes the number; more only where there are more twins than prompts.
        most = math.ceil(quota / len(mine)) if mine else 0
        open_ = [p for p in mine if taken[p.id] < most and (p.id not in waiting or waiting[p.id])]
        barren = [i for i in places if not taken[benign[i].id] and waiting.get(benign[i].id) == []]
        while len(open_) < missing and barren and spares:
            place, spare = barren.pop(0), spares.pop(0)
            old, benign[place] = benign[place], spare
            self.account.overrule(
                spare.id, Drop(old.id, "select", category, "no unsafe twin passed", spare.id, old.text)
            )
            open_.append(spare)
        return sorted(open_, key=lambda p: taken[p.id])

    def _write_twins(self, benign: list[Prompt], waiting: dict[str, list[Prompt]]) -> None:
        from overt.generation.pair import order_twins, pair_id, write_twins

        if not benign:
            return
        with self._timed("pair", len(benign)) as advance:
            if self.roles.writer is not None:
                writer = self.roles.writer
                results = (
                    (
                        p,
                        *order_twins(
                            p,
                            [
                                dataclasses.replace(t, pair_id=pair_id(p))
                                for t in writer.twins(
                                    self.policy, self.policy.category(p.category), p, seed=self.config.seed
                                )[: self.config.twins]
                            ],
                        ),
                    )
                    for p in benign
                )
            else:
                results = write_twins(  # type: ignore[assignment]
                    benign,
                    self.policy,
                    ask=self._ask("twin", self.roles.chat),
                    template=self.templates["twin"],
                    count=self.config.twins,
                    seed=self.config.seed,
                )
            for prompt, twins, losses in results:
                advance(1)
                self.account.enter("pair", prompt.category)
                waiting[prompt.id] = twins
                for loss in losses:
                    self.account.lose(loss)

    def _with_pair(self, prompt: Prompt, pairs: set[str | None]) -> Prompt:
        pair = pair_of(prompt)
        return dataclasses.replace(prompt, pair_id=pair) if pair in pairs else prompt

    # -- the end ------------------------------------------------------------------------------------

    def _finish(
        self, benign: list[Prompt], unsafe: list[Prompt], short: dict[str, dict[str, int]]
    ) -> dict[str, Any]:
        from overt.data.export import export_dataset
        from overt.scoring.diversity import distinct_n

        for label, missing in short.items():
            for category, count in missing.items():
                self._note(f"{category}: {count} {label} prompts fewer than the policy asks for")
        self._warn_about_judges()
        if self.unanswered:
            self._note(f"{self.unanswered} calls got no answer; the same command asks them again")
        self.store.write_stage("drops", self.account.drops)
        self.store.write_stage("failures", self.account.failures)
        counts = {
            c.id: {
                "benign": sum(p.category == c.id for p in benign),
                "unsafe": sum(p.category == c.id for p in unsafe),
            }
            for c in self.policy.categories
        }
        facts = {
            "identity": self.identity,
            "command": "overt generate",
            "counts": counts,
            "short": short,
            "stages": self.account.table([c.id for c in self.policy.categories]),
            "reasons": self.account.why(),
            "index": dataclasses.asdict(self.index) if self.index else None,
            "encoder_choice": self.index_choice,
            "model_audited": any(j.label is None for j in self.roles.judges),
            "same_model": self.config.model in self.config.judge_names,
            "distinct_2": distinct_n([p.text for p in benign], 2) if benign else None,
            "notes": list(self.notes),
        }
        with speaking_os_errors("cannot write the dataset"):
            export_dataset(
                self.store.folder / "dataset",
                benign,
                unsafe,
                self._card(facts),
                audits=self.audits,
                probes=self.probes,
            )
        stats = self.caller.stats.snapshot()
        summary = {
            **facts,
            "retriable": self.unanswered,
            "calls": stats,
            "seconds": {name: round(s, 3) for name, s in self.clock.items()},
            "versions": {"overt": overt.__version__, "python": platform.python_version()},
        }
        return self.store.finish(summary)

    def _card(self, facts: dict[str, Any]) -> dict[str, Any]:
        stages = [s for s in STAGES if any(s in row for row in facts["stages"])]
        rows = [
            [row["category"], *(f"{row[s]['in']} / {row[s]['out']}" if s in row else "" for s in stages)]
            for row in facts["stages"]
        ]
        policy = self.policy
        seeds = self.identity["seeds"]
        return {
            "policy": {
                "name": policy.name,
                "version": policy.version,
                "hash": policy.hash,
                "modality": policy.modality,
            },
            "writer": self.config.model,
            "judges": list(self.config.judge_names),
            "audited": facts["model_audited"],
            "same_model": facts["same_model"] and facts["model_audited"],
            "surrogate": self.config.probe,
            "dedupe": facts["index"] or {},
            "diversity": {"distinct-2 of the benign prompts": facts["distinct_2"]}
            if facts["distinct_2"]
            else {},
            "stage_columns": ["category", *stages],
            "stages": rows,
            "seeds": f"{seeds['spec']} (hash {seeds['hash']})" if seeds["spec"] else None,
            "version": f"overt {overt.__version__}",
            "command": "overt generate (every argument is in run.json of the run)",
            "notes": [
                n for n in self.notes if not n.startswith(("no model has audited", "the writer audited"))
            ],
        }

    def _warn_about_judges(self) -> None:
        names = self.config.judge_names
        if all(j.label is not None for j in self.roles.judges):
            self._note(f"no model has audited these prompts: {', '.join(names)} is a check by rules")
        elif names == (self.config.model,):
            self._note("the writer audited its own prompts; --judge with another model is advised")

    # -- small things ---------------------------------------------------------------------------------

    def _pick_encoder(self) -> tuple[Any, str]:
        """The encoder for dedupe; what was decided at the start holds when the run is resumed."""
        from overt.scoring.encoders import pick_encoder

        spec = self.store.decision("encoder") or self.config.encoder
        encoder, why = pick_encoder(spec)
        if self.store.decision("encoder") is None:
            settled = self.config.encoder
            if settled == "auto":
                settled = encoder.name if encoder else "lexical"
            self.store.decide("encoder", settled)
            self.store.decide("encoder_why", why)
        why = self.store.decision("encoder_why") or why
        return encoder, str(why)

    @contextlib.contextmanager
    def _timed(self, name: str, total: int) -> Iterator[Advance]:
        started = time.monotonic()
        with self.progress.stage(name, total) as advance:
            try:
                yield advance
            finally:
                self.clock[name] = self.clock.get(name, 0.0) + time.monotonic() - started


class _Counted:
    """An `Ask` that counts what may be answered another time. Counted here and not among the failures: a
    judge or a sample of the surrogate may fail without its prompt being lost."""

    def __init__(self, ask: Ask, run: _Generation) -> None:
        self.model = ask.model
        self._ask, self._run = ask, run

    def __call__(self, questions: Iterable[Question[T]]) -> Iterator[Answer[T]]:
        for answer in self._ask(questions):
            self._run.unanswered += answer.failure_kind in ASKED_AGAIN
            yield answer


def is_cut_short(manifest: dict[str, Any]) -> bool:
    """Whether the data set has fewer prompts than were asked for while calls of it got no answer."""
    return bool(manifest.get("retriable")) and any(manifest["short"].values())


def pair_of(prompt: Prompt) -> str:
    """The pair id that a benign prompt has or would have."""
    from overt.generation.pair import pair_id

    return pair_id(prompt)


def _without(all_: list[Prompt], some: list[Prompt]) -> list[Prompt]:
    """The records of `all_` that are not in `some`, by identity (equal texts may come twice)."""
    kept = {id(p) for p in some}
    return [p for p in all_ if id(p) not in kept]
