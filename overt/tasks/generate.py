"""`overt generate`: seeds, synthesize, audit, dedupe, probe (search), select, pair (vary), data set.

The stages are in generate_stages.py, generate_pool.py, generate_search.py and generate_pairs.py; how they
overlap is in generate_overlap.py. A resumed run repeats them: finished calls come from the journal, so
nothing is paid for twice and the outcome is the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from overt.data.errors import InputError
from overt.data.json_types import Json
from overt.data.progress import Progress
from overt.data.run.finished import Run, open_run
from overt.data.run.folder import RunFolder
from overt.data.run.record import RunRecord
from overt.data.run.shards import Shard, read_shard
from overt.data.tables.sources import digest_source
from overt.generation.groups import groups_of
from overt.policies.coverage import remarks
from overt.policies.load import load_policy
from overt.policies.schema import Category, Policy
from overt.tasks import trust
from overt.tasks.again import command_anew
from overt.tasks.config import checked_folder
from overt.tasks.generate_config import GenerateConfig
from overt.tasks.generate_finish import finish
from overt.tasks.generate_gold import GoldItems, open_gold
from overt.tasks.generate_overlap import overlap_of
from overt.tasks.generate_pairs import Pairing, with_pair
from overt.tasks.generate_pool import Plan, Pool
from overt.tasks.generate_search import SearchPlan, search
from overt.tasks.generate_stages import (
    Making,
    audit_gold_left,
    note_mentions,
    pick_diverse,
    pick_run_encoder,
    place_seeds,
)
from overt.tasks.generate_vary import NOT_VARIED, vary_prompts
from overt.tasks.recipes import applied, load_recipe
from overt.tasks.roles import Opener, chat_model, open_roles
from overt.tasks.task import Start, Work, default_folder, record_of, resumed_run, working

# -- what is to be made -----------------------------------------------------------------------------------


def generate(config: GenerateConfig, progress: Progress) -> Run:
    """Makes or resumes a data set. Returns the finished run.

    Raises:
        InputError: bad input, or the folder holds another run.
        RunError: disk full, folder not writable, another process on the run.
        BudgetReached: a cap was reached; the same command with a higher cap goes on.
    """
    config, start = started(config)
    with working(start, config.caller, progress) as work:
        if work is not None:
            make(config, start, work)
    return open_run(start.folder, "generate")


def started(config: GenerateConfig) -> tuple[GenerateConfig, Start]:
    """Returns the configuration with all defaults filled in, and the run to make or resume.

    Raises:
        InputError: no policy, a wrong name, options that contradict each other.
    """
    checked_folder(config.templates, "--templates")
    run = None
    config, recipe = with_recipe(config)
    if config.apply_review is not None:
        config, run = _after_review(config, config.apply_review)
    elif config.resume is not None:
        run = resumed_run(config.resume, "generate", out=config.out)
        config = config.resumed(run.record.config, run.record.given)
    if run is not None:
        policy = load_policy(str(run.policy_file))
    elif config.policy is None:
        raise InputError(
            "no policy was named",
            fix="For instance: overt generate --policy overt   (overt policies list shows all)",
        )
    else:
        config = for_limit(config)
        policy = narrowed(load_policy(config.policy or ""), config.category, config.benign, config.unsafe)
    _check_vary(config, policy)
    read_shard(config.shard)  # a wrong one should cost nothing
    config = config.settled()
    check_search(config)
    record = _record(config, policy, run, recipe)
    folder = config.resume or config.out or default_folder(record, policy.name)
    addresses = trust.settled_addresses(config, run.folder if run is not None else None)
    if earlier := config.apply_review or config.reuse:
        with RunFolder(folder) as new:
            new.take_journal(earlier)
    anew = command_anew(config, addresses, folder) if config.resume is not None else ""
    return config, Start(record, policy, folder, addresses, config.defaults(), anew)


def _check_vary(config: GenerateConfig, policy: Policy) -> None:
    if config.vary is None and config.vary_prompts is not None:
        raise InputError(
            "--vary-prompts goes with --vary", fix="For instance: --vary groups --vary-prompts 10"
        )
    if config.vary is not None and not groups_of(policy):
        raise InputError(
            "--vary groups has nothing to vary: the policy's `groups` switch every attribute off",
            fix="Leave --vary out, or give an attribute a wording, such as  religion: [Muslim, Jewish]",
        )


def with_recipe(config: GenerateConfig) -> tuple[GenerateConfig, dict[str, Json]]:
    """The configuration with the options of --recipe, and what the record keeps of it (empty without one).

    Raises:
        InputError: there is no such recipe, or it does not go with the other options.
    """
    if config.reuse is not None:
        if config.resume is not None or config.apply_review is not None:
            raise InputError(
                "--reuse starts a new run with the calls of an earlier one",
                fix="Leave it out: --resume and --apply-review have the calls of their run.",
            )
        open_run(config.reuse, "generate", complete=False)
    if config.recipe is None:
        return config, {}
    if config.resume is not None or config.apply_review is not None:
        raise InputError(
            "--recipe starts a new run; an earlier one goes on with the options that it had",
            fix="Leave out --recipe.",
        )
    recipe = load_recipe(config.recipe)
    config, changed = applied(config, recipe)
    return config, {**recipe.record("generate"), "changed": changed}


def _record(config: GenerateConfig, policy: Policy, run: Run | None, recipe: dict[str, Json]) -> RunRecord:
    """The record of the run; `run` is the one that is resumed."""
    recipe = recipe or dict(run.record.part("recipe") if run is not None else {})
    # Left out where there is none, so that older runs stay the same.
    record = record_of(config, policy, {**inputs_of(config), **({"recipe": recipe} if recipe else {})})
    if config.for_limit is not None or (run is not None and "benign" in run.record.given):
        # The number that --for-limit asked for; the policy of the run has it too.
        record = dataclasses.replace(record, given={**record.given, "benign": config.benign})
    if config.resume is not None and run is not None:
        record = dataclasses.replace(record, overt=run.record.overt)
    return record


def for_limit(config: GenerateConfig) -> GenerateConfig:
    """The configuration with the benign prompts per category that --for-limit asks for.

    Raises:
        InputError: options that contradict each other, or a limit that no number of prompts decides.
    """
    if config.for_limit is None:
        if config.expect is not None or "power" in config.model_fields_set:
            raise InputError("--expect and --power go with --for-limit", fix="For instance: --for-limit 5%")
        return config
    if config.benign is not None:
        raise InputError("--benign and --for-limit both say how many", fix="Leave out one of them.")
    from overt.tasks.how_many import prompts_for

    return config.model_copy(update={"benign": prompts_for(config.for_limit, config.expect, config.power)})


def check_search(config: GenerateConfig) -> None:
    """Checks that a search has a surrogate to search with.

    Raises:
        InputError: --search without --probe, or --search-calls without --search.
    """
    if config.search and config.probe is None:
        raise InputError(
            "--search looks for prompts that a surrogate refuses, and no surrogate was named",
            fix="Name one with --probe, for instance --probe filter/profanity-check or a chat model.",
        )
    if config.search_calls is not None and not config.search:
        raise InputError(
            "--search-calls goes with --search", fix="For instance: --search 3 --search-calls 2000"
        )


def inputs_of(config: GenerateConfig, *, without_seeds: bool = False) -> dict[str, Json]:
    """Hashes of what the run reads: the same hashes, the same data set.

    Args:
        without_seeds: leaves the seeds alone, which may not be on this machine.
    """
    return {
        "seeds": None if without_seeds else digest_source(config.seeds),
        "against": [digest_source(spec) for spec in config.against],
        "templates": {n: {"label": t.label, "hash": t.hash} for n, t in config.load_templates().items()},
        # Left out where there is none, so that older runs stay the same.
        **({"gold": [digest_source(spec) for spec in config.gold]} if config.gold else {}),
    }


def _after_review(config: GenerateConfig, reviewed: Path) -> tuple[GenerateConfig, Run]:
    """The configuration of a reviewed run without the prompts that people rejected."""
    from overt.review.results import rejected

    if config.policy is not None or config.resume is not None:
        raise InputError(
            "--apply-review makes a run again as it was started",
            fix="Leave out --policy and --resume; --out names the new folder.",
        )
    run = open_run(reviewed, "generate", complete=False)
    config = config.resumed(run.record.config, run.record.given, by="--apply-review")
    ids = rejected(reviewed)
    if not ids:
        raise InputError(
            "no prompt of this run was rejected",
            where=str(reviewed),
            fix=f"Review it first: overt review {reviewed}",
        )
    return config.model_copy(update={"rejected": tuple(sorted({*config.rejected, *ids}))}), run


def narrowed(policy: Policy, only: Iterable[str], benign: int | None, unsafe: int | None) -> Policy:
    """The policy with the categories and counts that the command line asks for. Unsafe prompts are twins of
    benign ones: a number of benign ones alone lowers theirs to as many.

    Raises:
        InputError: the policy has no such category.
    """
    wanted = set(only)
    ids = [c.id for c in policy.categories]
    for name in only:
        if name not in ids:
            near = get_close_matches(name, ids, 1)
            raise InputError(
                f"policy {policy.name} has no category {name!r}",
                fix=f"Did you mean {near[0]!r}?" if near else f"It has: {', '.join(ids)}",
            )

    def counted(category: Category) -> Category:
        harmless = category.benign if benign is None else benign
        twins = category.unsafe if benign is None else min(category.unsafe, benign)
        return category.model_copy(update={"benign": harmless, "unsafe": twins if unsafe is None else unsafe})

    kept = [counted(c) for c in policy.categories if not wanted or c.id in wanted]
    return policy.model_copy(update={"categories": tuple(kept)})


def in_shard(policy: Policy, shard: Shard) -> tuple[Policy, frozenset[str]]:
    """The policy of a shard, which asks for no prompts of the other shards' categories, and its own
    categories. All else stays, since models read the policy: their requests are those of the whole run."""
    mine = frozenset(category.id for category in shard.part(policy.categories))
    none = {"benign": 0, "unsafe": 0}
    categories = (c if c.id in mine else c.model_copy(update=none) for c in policy.categories)
    return policy.model_copy(update={"categories": tuple(categories)}), mine


# -- the making -------------------------------------------------------------------------------------------


def _remark(config: GenerateConfig, start: Start, work: Work) -> None:
    """Notes what the recipe and the policy leave to be desired."""
    if changed := start.record.part("recipe").get("changed"):
        work.note(str(changed))
    if config.is_builtin:
        for remark in remarks(start.policy):
            work.note(remark)


def _policy_of(config: GenerateConfig, policy: Policy, gold: GoldItems, work: Work) -> Policy:
    """The policy that is written for: in a shard its own categories alone, whose gold items it asks."""
    shard = read_shard(config.shard)
    if shard is None:
        return policy
    policy, mine = in_shard(policy, shard)
    gold.keep(mine)
    work.note(
        f"this is shard {shard}: {', '.join(sorted(mine)) or 'no category'}; `overt merge` makes the whole "
        "data set of all shards"
    )
    return policy


def make(config: GenerateConfig, start: Start, work: Work, opened: Opener = chat_model) -> None:
    """Makes the data set.

    Args:
        opened: opens a chat model.

    Raises:
        InputError: a model, a file of seeds or the encoder is not there.
        RunError, BudgetReached: the caller stopped.
    """
    _remark(config, start, work)
    # Models are made before anything is paid for: a wrong name should cost nothing.
    models = config.models(start.addresses)
    roles = open_roles(start.policy, config.model, config.judge, config.probe, models, opened)
    templates = config.load_templates()
    encoder, why = pick_run_encoder(work.folder, config.encoder)
    rejected = frozenset(config.rejected)
    gold = open_gold(start.policy, roles, config.gold, config.gold_items, config.seed)
    policy = _policy_of(config, start.policy, gold, work)
    overlap = overlap_of(roles, work)
    making = Making(policy, roles, templates, config.seed, rejected, encoder, why, work, gold, overlap)
    seeds = {}
    if config.seeds and roles.writer is not None:
        work.note(f"{config.model} writes from the policy alone: the seeds are not used")
    elif config.seeds:
        seeds = place_seeds(making, config.seeds, config.max_seeds)
    plan = Plan(
        oversample=config.oversample or 1.0,
        rounds=config.rounds,
        per_seed=config.per_seed,
        samples=config.samples,
        against=config.against,
        has_seeds=config.seeds is not None,
    )
    pool = Pool(making, plan, seeds)
    pool.fill()
    found = search(making, pool, SearchPlan(config.search, config.search_calls)) if config.search else None
    benign, short_benign = pick_diverse(making, pool.kept)
    unsafe, short_unsafe = Pairing(making, benign, pool.kept).run()
    audit_gold_left(making)
    work.folder.write_stage("select", benign)
    note_mentions(making, benign)
    pairs = {p.pair_id for p in unsafe}
    benign = [with_pair(p, pairs) for p in benign]
    varied = vary_prompts(making, benign, config.vary_prompts) if config.vary else NOT_VARIED
    short = {"benign": short_benign, "unsafe": short_unsafe}
    finish(
        start.record,
        making,
        benign,
        unsafe,
        short,
        judges=config.judge,
        least=config.min_judge_accuracy,
        search=found,
        varied=varied,
    )
