"""`overt generate`: seeds -> synthesize -> audit -> dedupe -> probe -> select -> pair -> data set.

The stages are in generate_stages.py and generate_pool.py. A resumed run repeats them: finished calls come
from the journal, so nothing is paid for twice and the outcome is the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, ClassVar

from overt.data.errors import InputError
from overt.data.json_types import Json
from overt.data.progress import Progress
from overt.data.run.finished import Run, open_run
from overt.data.run.folder import RunFolder
from overt.data.run.record import RunRecord
from overt.data.tables.sources import digest_source
from overt.data.templates import Template, load_template
from overt.policies.load import load_policy
from overt.policies.schema import Policy
from overt.tasks import trust
from overt.tasks.again import command_anew
from overt.tasks.config import (
    CALLS,
    RUN,
    ModelConfig,
    Option,
    OutputConfig,
    Resume,
    TrustAddresses,
    checked_folder,
)
from overt.tasks.generate_finish import finish
from overt.tasks.generate_pool import Pairing, Plan, Pool, with_pair
from overt.tasks.generate_stages import Making, pick_diverse, pick_run_encoder, place_seeds
from overt.tasks.roles import open_roles
from overt.tasks.task import Start, Work, default_folder, record_of, resumed_run, working

TEMPLATES = {
    "classify": "generation",
    "convert": "generation",
    "direct": "generation",
    "twin": "generation",
    "audit": "scoring",
    "probe": "scoring",
}
_MODEL = "What it is made with"
_DATA = "What goes in"
_SHAPE = "How much comes out"


class GenerateConfig(ModelConfig, OutputConfig):
    kind: ClassVar[str] = "generate"
    roles: ClassVar[frozenset[str]] = frozenset({"model", "judge", "probe"})

    policy: Annotated[
        str | None, Option("A shipped policy's name, or a YAML file of your own.", _DATA, decides="policy")
    ] = None
    seeds: Annotated[
        str | None,
        Option(
            "Texts to convert: CSV, JSONL, Parquet, or a Hub data set id. Not needed by the builtin.",
            _DATA,
            metavar="FILE[:COLUMN]",
            decides="value",
            is_source=True,
        ),
    ] = None
    max_seeds: Annotated[int | None, Option("Read at most so many seeds.", _DATA, min=1, decides="value")] = (
        None
    )
    against: Annotated[
        tuple[str, ...],
        Option(
            "Drop what an earlier data set or run has. Repeatable.",
            _DATA,
            metavar="FILE",
            decides="value",
            is_source=True,
        ),
    ] = ()
    category: Annotated[
        tuple[str, ...],
        Option("Only these categories of the policy. Repeatable.", _DATA, decides="policy"),
    ] = ()
    rejected: Annotated[
        tuple[str, ...],
        Option(
            "Leave out the prompts whose ids stand in this file, one a line; others take their places.",
            _DATA,
            metavar="FILE",
            decides="value",
            reads="lines",
        ),
    ] = ()
    model: Annotated[
        str,
        Option(
            "Who writes: builtin/grammar (no model, no key), openai/MODEL, hf/REPO_OR_FOLDER, "
            "or your own module:Class.",
            _MODEL,
            decides="value",
        ),
    ] = "builtin/grammar"
    judge: Annotated[
        tuple[str, ...],
        Option(
            "Who audits; several vote. Default: rules for the builtin, else the writer itself.",
            _MODEL,
            decides="value",
        ),
    ] = ()
    probe: Annotated[
        str | None,
        Option(
            "Surrogate that must refuse a prompt often enough for it to stay: a chat model, or a "
            "filter such as filter/better-profanity. Default: none.",
            _MODEL,
            decides="value",
        ),
    ] = None
    samples: Annotated[
        int, Option("Samples per prompt of the surrogate.", _MODEL, min=1, max=1000, decides="value")
    ] = 8
    encoder: Annotated[
        str,
        Option(
            "What tells near-duplicates: auto, lexical, minilm, a folder, or a Hub id.",
            _MODEL,
            decides="value",
        ),
    ] = "auto"
    templates: Annotated[
        Path | None, Option("Folder with your own instruction templates.", _MODEL, decides="content")
    ] = None
    benign: Annotated[
        int | None,
        Option("Benign prompts per category, instead of the policy's.", _SHAPE, min=0, decides="policy"),
    ] = None
    unsafe: Annotated[
        int | None,
        Option("Unsafe prompts per category, instead of the policy's.", _SHAPE, min=0, decides="policy"),
    ] = None
    for_limit: Annotated[
        str | None,
        Option(
            "As many benign prompts per category as decide this limit on over-refusal, such as 5% "
            "(`overt gate --how-many`), instead of the policy's.",
            _SHAPE,
            metavar="RATE",
            decides="policy",
        ),
    ] = None
    expect: Annotated[
        str | None,
        Option(
            "With --for-limit: the true rate that is assumed. Default: half the limit.",
            _SHAPE,
            metavar="RATE",
            decides="policy",
        ),
    ] = None
    power: Annotated[
        float,
        Option(
            "With --for-limit: the chance to pass that is wanted.",
            _SHAPE,
            min=0.01,
            max=0.999,
            decides="policy",
        ),
    ] = 0.8
    per_seed: Annotated[int, Option("Prompts written per seed.", _SHAPE, min=1, max=50, decides="value")] = 3
    oversample: Annotated[
        float | None,
        Option(
            "Candidates per prompt kept. Default: 3 for the builtin, 1.5 for a model.",
            _SHAPE,
            min=1.0,
            max=100.0,
            decides="value",
        ),
    ] = None
    rounds: Annotated[
        int, Option("At most so many rounds of writing.", _SHAPE, min=1, max=100, decides="value")
    ] = 5
    seed: Annotated[int, Option("Seed of everything random.", _SHAPE, decides="value")] = 0
    base_url: Annotated[
        tuple[str, ...],
        Option(
            "OpenAI-compatible endpoint (Azure, vLLM, Ollama, llama.cpp, Gemini, Mistral...); a role is "
            "model, judge or probe. Repeatable.",
            CALLS,
            metavar="[ROLE=]URL",
        ),
    ] = ()
    api_key_env: Annotated[
        tuple[str, ...],
        Option(
            "Environment variable that holds the key (OPENAI_API_KEY). Repeatable.",
            CALLS,
            metavar="[ROLE=]NAME",
        ),
    ] = ()
    device: Annotated[str | None, Option("Device of hf/ models: cuda, mps, cpu.", CALLS)] = None
    batch_size: Annotated[int | None, Option("Batch of hf/ models.", CALLS, min=1, max=1024)] = 8
    out: Annotated[Path | None, Option("Folder of the run. Default: runs/POLICY-HASH.", RUN)] = None
    apply_review: Annotated[
        Path | None,
        Option(
            "Make this reviewed run again (overt review) without the prompts that people rejected; "
            "others take their places. Finished calls are taken along.",
            RUN,
            metavar="RUN",
        ),
    ] = None
    resume: Resume = None
    trust_addresses: TrustAddresses = False

    @property
    def is_builtin(self) -> bool:
        return self.model.startswith("builtin/")

    def settled(self) -> GenerateConfig:
        judges = self.judge or (("builtin/rules",) if self.is_builtin else (self.model,))
        pool = self.oversample or (3.0 if self.is_builtin else 1.5)
        rejected = tuple(sorted(self.rejected))
        return self.model_copy(update={"judge": judges, "oversample": pool, "rejected": rejected})

    def load_templates(self) -> dict[str, Template]:
        return {name: load_template(room, name, self.templates) for name, room in TEMPLATES.items()}


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
            _make(config, start, work)
    return open_run(start.folder, "generate")


def started(config: GenerateConfig) -> tuple[GenerateConfig, Start]:
    """Returns the configuration with all defaults filled in, and the run to make or resume.

    Raises:
        InputError: no policy, a wrong name, options that contradict each other.
    """
    checked_folder(config.templates, "--templates")
    run = None
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
    config = config.settled()
    record = _record(config, policy, run)
    folder = config.resume or config.out or default_folder(record, policy.name)
    addresses = trust.settled_addresses(config, run.folder if run is not None else None)
    if config.apply_review is not None:
        with RunFolder(folder) as new:
            new.take_journal(config.apply_review)
    anew = command_anew(config, addresses, folder) if config.resume is not None else ""
    return config, Start(record, policy, folder, addresses, config.defaults(), anew)


def _record(config: GenerateConfig, policy: Policy, run: Run | None) -> RunRecord:
    """The record of the run; `run` is the one that is resumed."""
    record = record_of(config, policy, _inputs(config))
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


def _inputs(config: GenerateConfig) -> dict[str, Json]:
    """Hashes of what the run reads: the same hashes, the same data set."""
    return {
        "seeds": digest_source(config.seeds),
        "against": [digest_source(spec) for spec in config.against],
        "templates": {n: {"label": t.label, "hash": t.hash} for n, t in config.load_templates().items()},
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
    """The policy with the categories and counts that the command line asks for.

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
    counts = {k: v for k, v in (("benign", benign), ("unsafe", unsafe)) if v is not None}
    kept = [c.model_copy(update=counts) for c in policy.categories if not wanted or c.id in wanted]
    return policy.model_copy(update={"categories": tuple(kept)})


# -- the making -------------------------------------------------------------------------------------------


def _make(config: GenerateConfig, start: Start, work: Work) -> None:
    # Models are made before anything is paid for: a wrong name should cost nothing.
    roles = open_roles(start.policy, config.model, config.judge, config.probe, config.models(start.addresses))
    templates = config.load_templates()
    encoder, why = pick_run_encoder(work.folder, config.encoder)
    rejected = frozenset(config.rejected)
    making = Making(start.policy, roles, templates, config.seed, rejected, encoder, why, work)
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
    benign, short_benign = pick_diverse(making, pool.kept)
    unsafe, short_unsafe = Pairing(making, benign, pool.kept).run()
    work.folder.write_stage("select", benign)
    pairs = {p.pair_id for p in unsafe}
    benign = [with_pair(p, pairs) for p in benign]
    short = {"benign": short_benign, "unsafe": short_unsafe}
    finish(start.record, making, benign, unsafe, short, judges=config.judge)
