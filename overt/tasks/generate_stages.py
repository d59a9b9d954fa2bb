"""The stages of `overt generate` except writing. Each takes prompts, counts them, and returns those it keeps.

The work on single prompts is in generation/ and scoring/.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from overt.data.chat import Ask, ChatModel
from overt.data.errors import InputError
from overt.data.lanes import lane_of
from overt.data.records import Audit, Drop, Failure, Probe, Prompt, Seed, content_id
from overt.data.run.folder import RunFolder
from overt.data.run.stage_counts import StageCounts
from overt.data.templates import Template
from overt.data.tiers import MENTION, tier_of
from overt.policies.schema import DEDUP_DEFAULT, Policy
from overt.scoring.audit import Judge
from overt.scoring.dedupe import IndexInfo
from overt.scoring.encoders import Encoder
from overt.tasks.generate_gold import PURPOSE, GoldItems
from overt.tasks.generate_overlap import Overlap
from overt.tasks.roles import Roles
from overt.tasks.task import Work


@dataclass
class Making:
    """State of a generation: policy, models, counts, and what is known of the prompts.

    `rejected` holds ids of prompts rejected in a review; `audits` and `probes` are keyed by prompt id;
    `index` describes the last search for near-duplicates. `gold` are the items that test the judges.
    `overlap` says which stages work at the same time.
    """

    policy: Policy
    roles: Roles
    templates: Mapping[str, Template]
    seed: int
    rejected: frozenset[str]
    encoder: Encoder | None
    encoder_choice: str
    work: Work
    gold: GoldItems
    overlap: Overlap
    account: StageCounts = field(default_factory=StageCounts)
    audits: dict[str, Audit] = field(default_factory=dict)
    probes: dict[str, Probe] = field(default_factory=dict)
    index: IndexInfo | None = None

    def ask(self, purpose: str, model: ChatModel) -> Ask:
        """Binds a chat model to an `Ask` that ends with the stages that overlap."""
        return self.overlap.ask(self.work.ask(purpose, model))

    def threshold(self, prompt: Prompt) -> float:
        """Similarity above which a prompt is a near-duplicate, 0 to 1."""
        own = self.policy.category(prompt.category).dedup_threshold
        return own if own is not None else DEDUP_DEFAULT[prompt.strategy]


def pick_run_encoder(folder: RunFolder, wanted: str) -> tuple[Encoder | None, str]:
    """The encoder for near-duplicates and the reason for the choice. A resumed run keeps its first choice.

    Raises:
        InputError: the encoder is not available, or changed since the run began: near-duplicates would be
            measured in two ways. Older runs do not know which it was.
    """
    from overt.scoring.encoders import pick_encoder, spec_of

    encoder, why = pick_encoder(folder.decision("encoder") or wanted)
    version = encoder.version if encoder else ""
    if folder.decision("encoder") is None:
        folder.decide("encoder", spec_of(encoder, wanted))
        folder.decide("encoder_why", why)
        folder.decide("encoder_version", version)
    elif folder.decision("encoder_version") not in (None, version):
        raise InputError(
            f"the encoder {folder.decision('encoder')} is not the one that the run began with: its weights, "
            "tokenizer, prompts or modules changed",
            where=str(folder.path),
            fix="Put the earlier encoder back, or start a new run.",
        )
    return encoder, folder.decision("encoder_why") or why


# -- seeds ------------------------------------------------------------------------------------------------


def place_seeds(making: Making, source: str, limit: int | None) -> dict[str, list[Seed]]:
    """Reads and classifies the seeds. Returns them by category, in an order fixed by the run's seed.

    Raises:
        InputError: the source holds no seed, or cannot be read.
    """
    from overt.data.seeds import read_seeds
    from overt.generation.seeds import classify, screen

    folder, account = making.work.folder, making.account
    placed: list[Seed] = []
    if folder.has_stage("seeds"):
        placed = folder.read_stage("seeds", Seed)
        raw = folder.read_stage("seeds.read", Seed)
    else:
        raw = list(read_seeds(source, limit=limit))
        folder.write_stage("seeds.read", raw)
    if not raw:
        raise InputError("the file holds no seed", where=source)
    with making.work.stage("seeds", len(raw)) as advance:
        kept = list(_seeds(account, screen(raw)))
        ask = making.work.ask("classify", making.roles.chat) if making.roles.chat else None
        template = making.templates["classify"]
        for result in classify(kept, making.policy, ask=ask, template=template, seed=making.seed):
            advance(1)
            for seed in _seeds(account, [result]):
                account.enter("seeds", seed.category or "")
                account.leave("seeds", seed.category or "")
                placed.append(seed)
    placed = list({s.id: s for s in placed}.values())
    folder.write_stage("seeds", placed)
    by_category: dict[str, list[Seed]] = {}
    for seed in sorted(placed, key=lambda s: content_id("order", making.seed, s.id)):
        by_category.setdefault(seed.category or "", []).append(seed)
    return by_category


def _seeds(account: StageCounts, results: Iterable[Seed | Drop | Failure]) -> Iterable[Seed]:
    """Yields the seeds and counts drops and failures."""
    for result in results:
        if isinstance(result, Seed):
            yield result
        else:
            account.enter("seeds", result.category)
            account.lose(result)


# -- audit, dedupe, probe, select -------------------------------------------------------------------------


def audit_prompts(making: Making, prompts: Sequence[Prompt], stage: str = "audit") -> list[Prompt]:
    """Returns the prompts whose label the judges confirm; the others are counted as losses of `stage`."""
    with making.overlap.together(making.work):
        return list(audited(making, prompts, len(prompts), stage))


def audited(making: Making, prompts: Iterable[Prompt], count: int, stage: str = "audit") -> Iterator[Prompt]:
    """Yields the prompts whose label the judges confirm, in order and as they are told. The others are
    counted as losses of `stage` at the end.

    Args:
        prompts: read as they come.
        count: how many they may be.
    """
    from overt.scoring.audit import audit, judge_audit

    aside, page, gold = StageCounts(), StageCounts(), making.gold
    todo, total = gold.mixed(_beside_gold(making, prompts, stage, aside), count, stage)
    if (first := next(todo, None)) is None:
        making.account.add(aside)
        return
    todo = chain([first], todo)
    # Of twins: the stage is shown once already, for their writing.
    shown = "" if stage == "audit" else f"audit of {stage}s"
    with making.work.stage(stage, total, shown=shown) as advance:
        for prompt, result, failures in audit(todo, _judges(making), _lanes(making), making.overlap.halt):
            advance(1)
            if gold.take(prompt, result):
                continue
            making.audits[prompt.id] = result
            for failure in failures:
                page.lose(dataclasses.replace(failure, stage=stage))
            if stage == "audit":
                page.enter(stage, prompt.category)
            drop = judge_audit(prompt, result)
            if drop is None and prompt.id in making.rejected:
                drop = Drop(prompt.id, stage, prompt.category, "rejected by reviewers", "", prompt.text)
            if drop is not None:
                page.lose(dataclasses.replace(drop, stage=stage))
                continue
            if stage == "audit":
                page.leave(stage, prompt.category)
            yield prompt
    making.account.add(aside)
    making.account.add(page)


def _beside_gold(
    making: Making, prompts: Iterable[Prompt], stage: str, page: StageCounts
) -> Iterator[Prompt]:
    """The prompts that are no gold item; one with the same text is dropped, since its label is no finding."""
    known = making.gold.ids
    for prompt in prompts:
        if prompt.id not in known:
            yield prompt
            continue
        if stage == "audit":
            page.enter(stage, prompt.category)
        page.lose(Drop(prompt.id, stage, prompt.category, "the text of a gold item", "", prompt.text))


def audit_gold_left(making: Making) -> None:
    """Asks the judges for the gold items that no stage has taken."""
    from overt.scoring.audit import audit

    left, overlap = making.gold.left(), making.overlap
    if left:
        with overlap.together(making.work), making.work.stage("audit", len(left)) as advance:
            for prompt, result, _ in audit(left, _judges(making), _lanes(making), overlap.halt):
                advance(1)
                making.gold.take(prompt, result)


def _lanes(making: Making) -> list[str]:
    """Of each judge the device that it may share with another."""
    return [lane_of(role.chat) if role.chat else "" for role in making.roles.judges]


def _judges(making: Making) -> list[Judge]:
    from overt.scoring.audit import function_judge, llm_judge

    template, gold = making.templates["audit"], making.gold
    policy = gold.shown or making.policy
    judges = []
    for number, role in enumerate(making.roles.judges):
        if role.label is not None:
            judges.append(gold.watched(number, function_judge(role.label)))
        elif role.chat is not None:
            ask = making.ask("audit", role.chat)
            judge = llm_judge(
                policy,
                ask=ask,
                template=template,
                seed=making.seed,
                gold=gold.ids,
                gold_purpose=PURPOSE,
            )
            judges.append(gold.watched(number, judge))
    return judges


def without_repeats(
    making: Making, prompts: Iterable[Prompt], count: int, kept: list[Prompt], earlier: Sequence[str]
) -> Iterator[Prompt]:
    """Drops near-duplicates of each other, of `kept`, and of earlier prompts. What stays is added to `kept`.

    Args:
        prompts: read as they come. Parts of them are looked at as soon as they are there, where the surrogate
            can be asked meanwhile and the outcome is the same.
        count: how many they may be.
    """
    from overt.scoring.dedupe_parts import DedupeInParts, comes_in_parts, growing

    page, roles = StageCounts(), making.roles
    seen = DedupeInParts(
        kept,
        threshold_of=making.threshold,
        encoder=making.encoder,
        against=earlier,
        why=making.encoder_choice,
    )
    is_early = making.overlap.is_on and roles.probe is not None and roles.probe.chat is not None
    is_early = is_early and comes_in_parts(making.encoder, len(earlier) + len(kept) + count)
    with making.work.stage("dedupe", count) as advance:
        for part in growing(prompts) if is_early else [list(prompts)]:
            result = seen.add(part)
            advance(len(part))
            making.index = result.index
            for prompt in part:
                page.enter("dedupe", prompt.category)
            for prompt in result.kept:
                page.leave("dedupe", prompt.category)
            for drop in result.drops:
                page.lose(drop)
            yield from result.kept
    making.account.add(page)


def probe_prompts(making: Making, prompts: Iterable[Prompt], count: int, samples: int) -> list[Prompt]:
    """Returns the prompts that the surrogate refuses often enough, or all without a surrogate.

    Args:
        prompts: read as they come.
        count: how many they may be.
    """
    from overt.scoring.probe import judge_probe

    page = StageCounts()
    if making.roles.probe is None:
        return list(prompts)
    kept: list[Prompt] = []
    by_id: dict[str, Prompt] = {}
    with making.work.stage("probe", count) as advance:
        for result in probed(making, _noted(prompts, by_id), samples):
            if isinstance(result, Failure):
                page.lose(result)
                continue
            advance(1)
            prompt = by_id.pop(result.prompt_id)
            making.probes[prompt.id] = result
            page.enter("probe", prompt.category)
            threshold = making.policy.category(prompt.category).probe_threshold
            if drop := judge_probe(prompt, result, threshold):
                page.lose(drop)
            else:
                page.leave("probe", prompt.category)
                kept.append(prompt)
    making.account.add(page)
    return kept


def _noted(prompts: Iterable[Prompt], by_id: dict[str, Prompt]) -> Iterator[Prompt]:
    for prompt in prompts:
        by_id[prompt.id] = prompt
        yield prompt


def probed(making: Making, prompts: Iterable[Prompt], samples: int) -> Iterator[Probe | Failure]:
    """Asks the surrogate about each prompt, as they come; yields a Probe for each, and the failures before
    it."""
    from overt.scoring.probe import probe, probe_with_filter

    role = making.roles.probe
    assert role is not None
    if role.filter is not None:
        return probe_with_filter(prompts, role.filter)
    assert role.chat is not None
    return probe(
        prompts,
        making.policy,
        ask=making.ask("probe", role.chat),
        template=making.templates["probe"],
        samples=samples,
        seed=making.seed,
    )


def wanted_benign(policy: Policy) -> dict[str, int]:
    """Benign prompts wanted by category, at least one if unsafe twins are wanted."""
    return {c.id: max(c.benign, 1 if c.unsafe else 0) for c in policy.categories}


def pick_diverse(making: Making, pool: Sequence[Prompt]) -> tuple[list[Prompt], dict[str, int]]:
    """Returns the best and most diverse prompts of the pool, as many as the policy asks for, and the
    shortfall by category."""
    from overt.scoring.select import select

    account = making.account
    with making.work.stage("select", len(pool)) as advance:
        encoder = making.encoder
        vectors = encoder.encode([p.text for p in pool]) if encoder and pool else None
        tiers = [tier_of(prompt) for prompt in pool]
        result = select(pool, wanted_benign(making.policy), seed=making.seed, vectors=vectors, tiers=tiers)
        advance(len(pool))
    for prompt in pool:
        account.enter("select", prompt.category)
    for prompt in result.kept:
        account.leave("select", prompt.category)
    for drop in result.drops:
        account.lose(drop)
    return result.kept, {k: v for k, v in result.short.items() if v}


MENTION_SHARE = (
    0.05  # of a category's benign prompts, above which a run says how many only mention their term
)


def note_mentions(making: Making, benign: Sequence[Prompt]) -> None:
    """Notes the categories where too many prompts only mention their term, since nothing better was left."""
    for category in making.policy.categories:
        mine = [prompt for prompt in benign if prompt.category == category.id]
        count = sum(tier_of(prompt) == MENTION for prompt in mine)
        if count > MENTION_SHARE * len(mine):
            making.work.keep(
                f"{count} of {len(mine)} benign prompts of {category.id} only mention their term: "
                "the policy has too few scenes for it"
            )
