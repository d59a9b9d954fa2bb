"""`overt rewrite`: refused prompts -> other wordings -> the target again -> faithfulness.

It adds to a complete run of `overt run`, with its journal and targets. Each rewording is drawn with its
original's seed, so that the two pictures differ only by the wording.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, ClassVar

from overt import registry
from overt.data.asked import check_batch
from overt.data.errors import InputError, RunError
from overt.data.json_types import Json
from overt.data.progress import Progress
from overt.data.records import Drop, Failure, Prompt, to_json
from overt.data.results.files import remedy_file, write_remedy
from overt.data.rewrites import STRATEGIES, Candidate, RewriteStrategy
from overt.data.run.finished import RESULTS, Run, open_run
from overt.data.run.images import ImageStore
from overt.data.run.partial_results import Part, begin_part, finish_part
from overt.data.run.shards import Shard, read_shard, shard_of
from overt.data.templates import Template, load_template
from overt.data.text import plain
from overt.generation.rewrite import Rewriter, rewrite_with
from overt.generation.rewrite import rewrite as reword
from overt.policies.schema import Policy
from overt.tasks.config import (
    CALLS,
    CallConfig,
    Concurrency,
    KeyNames,
    LocalConfig,
    Option,
    OutputConfig,
    PartOption,
    ReachConfig,
    Timeout,
    TrustAddresses,
    checked_folder,
)
from overt.tasks.reopened import Reopened, reopen
from overt.tasks.rewrite_measure import cases_of, choose, open_scorers, score_all
from overt.tasks.rewrite_results import FOLDER, Reworded
from overt.tasks.rewrite_try import try_wordings
from overt.tasks.roles import ModelOptions, chat_model
from overt.tasks.targets import resolve_target
from overt.tasks.task import Work, open_whole

_HOW = "How it is reworded"


class RewriteConfig(ReachConfig, CallConfig, LocalConfig, OutputConfig):
    kind: ClassVar[str] = "rewrite"
    roles: ClassVar[frozenset[str]] = frozenset({"model", "judge", "target"})

    run: Annotated[Path, Option("Folder of a run of `overt run`.", is_argument=True)]
    llm: Annotated[
        str,
        Option(
            "Who rewords: builtin/lexical (no model: the policy's neutral words), openai/MODEL, "
            "hf/REPO_OR_FOLDER, or your own module:Class.",
            _HOW,
            completes="rewriter",
        ),
    ] = "builtin/lexical"
    strategy: Annotated[
        tuple[str, ...], Option("plain, replace, context, describe. Repeatable; default: all.", _HOW)
    ] = ()
    candidates: Annotated[int, Option("Wordings by each strategy.", _HOW, min=1, max=50)] = 2
    every_prompt: Annotated[
        bool, Option("Reword every benign prompt, not only the refused ones.", flag="--all")
    ] = False
    unsafe: Annotated[
        bool,
        Option("Reword unsafe prompts too, as a control: a remedy that lets those through must show it."),
    ] = False
    faithfulness: Annotated[
        tuple[str, ...],
        Option(
            "What tells how much of the meaning is kept: text/minilm, clip/MODEL:PRETRAINED, "
            "vqa/openai/MODEL, judge/openai/MODEL. Repeatable. Default: text/auto.",
            _HOW,
            metavar="NAME",
            completes="scorer",
        ),
    ] = ()
    templates: Annotated[Path | None, Option("Folder with your own rewrite_*.yaml and others.", _HOW)] = None
    seed: Annotated[int, Option("Seed sent to the rewriter.", _HOW)] = 0
    base_url: Annotated[
        tuple[str, ...],
        Option(
            "OpenAI-compatible endpoint; a role is model (the rewriter), judge or target. Repeatable.",
            CALLS,
            metavar="[ROLE=]URL",
        ),
    ] = ()
    api_key_env: KeyNames = ()
    shard: PartOption = None
    trust_addresses: TrustAddresses = False
    concurrency: Concurrency = 16
    timeout: Timeout = 180.0

    @property
    def scorers(self) -> tuple[str, ...]:
        return self.faithfulness or ("text/auto",)

    def own(self) -> Rewriter | None:
        """The rewriter that needs no chat model: the builtin, or a class of the user's own."""
        found: Rewriter | None = registry.find("overt.rewriters", self.llm)
        return found

    def strategies(self) -> tuple[RewriteStrategy, ...]:
        """The strategies in force. How a class of the user's own goes about it stands in its wordings."""
        if self.own() is not None:
            return ("lexical",) if self.llm.startswith("builtin/") else ()
        return tuple(s for s in STRATEGIES if s != "lexical" and (not self.strategy or s in self.strategy))

    def load_templates(self) -> dict[RewriteStrategy, Template]:
        if self.own() is not None:
            return {}
        return {s: load_template("generation", f"rewrite_{s}", self.templates) for s in self.strategies()}

    def models(self) -> ModelOptions:
        reached = self.addresses()
        return ModelOptions(
            reached["base_url"],
            reached["api_key_env"],
            self.device,
            self.batch_size or 8,
            timeout=self.timeout,
            workers=self.workers,
        )

    def check(self) -> None:
        """Checks what needs no run.

        Raises:
            InputError: a strategy or a scorer is invalid.
        """
        for name in self.strategy:
            if name not in STRATEGIES or name == "lexical":
                raise InputError(f"there is no strategy {name!r}", fix="plain, replace, context or describe.")
        checked_folder(self.templates, "--templates")
        if self.strategy and self.own() is not None:
            raise InputError(
                f"{self.llm} knows no strategies: they are for a chat model",
                fix="Leave --strategy out, or name a model with --llm.",
            )
        if twice := [name for name, count in Counter(self.scorers).items() if count > 1]:
            raise InputError(f"{twice[0]} is named twice", fix="Give each --faithfulness once.")


def rewrite(config: RewriteConfig, progress: Progress) -> Run:
    """Rewords a run's refused prompts and measures the remedy. Returns the run with its new manifest.

    Raises:
        InputError: bad input, the run is not complete, or nothing in it was refused.
        RunError: disk full, folder not writable, another process on the run.
        BudgetReached: a cap was reached; the same command with a higher cap goes on.
    """
    began = time.monotonic()
    config.check()
    reopened = reopen(config)
    run = reopened.run
    with reopened.working(config, progress, "rewrite") as work:
        found, facts = _reworded(config, reopened, work)
        remedy = found.remedy(run.prompts, run.outcomes, control=config.unsafe)
        # All of it at the end, the summary last: a report never finds records of two rewritings.
        remedy_file(run.folder).unlink(missing_ok=True)
        found.write(run.folder / FOLDER)
        write_remedy(run.folder, remedy)
        clock = {**run.results.seconds, "rewrite": round(time.monotonic() - began, 3)}
        work.folder.finish({**run.manifest_data, "rewrite": facts, "seconds": clock}, RESULTS)
    return open_run(config.run, "run")


def rewrite_part(config: RewriteConfig, shard: Shard, progress: Progress) -> Part:
    """Rewords a part of a run's prompts. It lies beside the results until `overt merge` has all parts
    (overt.data.run.partial_results).

    Raises:
        InputError, RunError, BudgetReached: as `rewrite`; or the run is a shard already.
    """
    config.check()
    open_whole(config.run)
    reopened = reopen(config)
    with reopened.working(config, progress, "rewrite") as work:
        folder, _ = begin_part(reopened.run.folder, "rewrite", shard)
        found, facts = _reworded(config, reopened, work)
        found.write(folder)
        scales = [to_json(scale) for scale in found.scales]
        return finish_part(Part(shard, folder, {"rewrite": facts, "scales": scales}))


def _todo(config: RewriteConfig, run: Run) -> dict[str, list[Prompt]]:
    """The prompts to reword for each target, without versions that differ only in who is depicted. Only the
    first sample counts: a wording is tried once, with its seed.

    Raises:
        InputError: there is none. A shard or a part may have none.
    """
    refused = {(o.target, o.prompt_id) for o in run.outcomes if o.sample == 0 and o.state == "refused"}
    targets = dict.fromkeys(o.target for o in run.outcomes)
    shard = read_shard(config.shard)
    mine = [p for p in run.prompts if _is_meant(config, shard, p)]
    found = {
        target: [p for p in mine if config.every_prompt or (target, p.id) in refused] for target in targets
    }
    if any(found.values()) or shard is not None or shard_of(run.record) is not None:
        return found
    first = " in its first sample" if run.record.value("samples") not in (None, 1) else ""
    raise InputError(
        f"no prompt of this run was refused{first}, so there is nothing to reword",
        where=str(run.folder),
        fix="--all rewords every prompt.",
    )


def _is_meant(config: RewriteConfig, shard: Shard | None, prompt: Prompt) -> bool:
    if shard is not None and not shard.holds(prompt.id):
        return False
    if prompt.label == "benign":
        return not prompt.variant_of
    return config.unsafe and prompt.label == "unsafe"


def _reworded(config: RewriteConfig, reopened: Reopened, work: Work) -> tuple[Reworded, dict[str, Json]]:
    """What came of the rewording, and what the manifest says of it.

    Raises:
        InputError: nothing was refused, or a model or a scorer cannot be opened.
        RunError, BudgetReached: the caller stopped, or no wording came.
    """
    run, policy = reopened.run, reopened.policy
    todo = _todo(config, run)
    asking = reopened.asking(work, config, config.models())
    specs = [spec for spec in reopened.specs if todo.get(spec.name)]
    # Scorers and the first target are opened first: their errors should show before anything is paid for.
    scorers = open_scorers(
        config.scorers,
        work,
        config.models(),
        modality=policy.modality,
        batch_size=config.batch_size,
        seed=config.seed,
        templates=config.templates,
    )
    opened = {spec.name: asking.channel(spec) for spec in specs[:1]}
    wanted = {p.id for rows in todo.values() for p in rows}
    subjects = [p for p in run.prompts if p.id in wanted]
    if config.batch:
        for spec in specs:
            check_batch(spec.name, resolve_target(spec, asking.modality), subjects)
    candidates, losses = _write(config, policy, subjects, work)
    _stop_if_nothing_came(candidates, losses)
    tried = try_wordings(asking, todo, candidates, specs, opened)
    cases = cases_of(subjects, tried, run.outcomes)
    scores, scales = score_all(scorers, config.scorers, cases, ImageStore(run.folder), work)
    choices = choose(todo, candidates, tried, scores)
    found = Reworded(candidates, losses, [outcome for _, outcome in tried], scores, choices, scales)
    return found, _facts(config, found, len(subjects), work)


def _facts(config: RewriteConfig, found: Reworded, prompts: int, work: Work) -> dict[str, Json]:
    """What the manifest says of the rewording of so many prompts."""
    unanswered = sum(o.state == "error" for o in found.after)
    if unanswered:
        work.progress.note(f"{unanswered} wordings got no answer; the same command asks them again")
    return {
        "rewriter": config.llm,
        "strategies": list(config.strategies()),
        "count": config.candidates,
        "every_prompt": config.every_prompt,
        "unsafe": config.unsafe,
        "scorers": list(config.scorers),
        "seed": config.seed,
        "templates": {s: {"label": t.label, "hash": t.hash} for s, t in config.load_templates().items()},
        "prompts": prompts,
        "candidates": len(found.candidates),
        "lost": len(found.losses),
        "unanswered": unanswered,
        "reasons": dict(Counter(map(_reason, found.losses)).most_common()),
        "calls": work.caller.stats.snapshot(),
    }


def _write(
    config: RewriteConfig, policy: Policy, prompts: Sequence[Prompt], work: Work
) -> tuple[list[Candidate], list[Drop | Failure]]:
    """Returns the candidates, and the drops and failures."""
    results: Iterable[Candidate | Drop | Failure]
    own = config.own()
    if own is not None:
        results = rewrite_with(own, prompts, policy, count=config.candidates, seed=config.seed)
        total = len(prompts) * config.candidates
    else:
        results = reword(
            prompts,
            policy,
            ask=work.caller.bind(chat_model(config.llm, "model", config.models()), "rewrite"),
            templates=config.load_templates(),
            count=config.candidates,
            seed=config.seed,
        )
        total = len(prompts) * config.candidates * len(config.strategies())
    candidates: list[Candidate] = []
    losses: list[Drop | Failure] = []
    with work.progress.stage("rewrite", total) as advance:
        for result in results:
            advance(1)
            if isinstance(result, Candidate):
                candidates.append(result)
            else:
                losses.append(result)
    return candidates, losses


def _stop_if_nothing_came(candidates: Sequence[Candidate], losses: Sequence[Drop | Failure]) -> None:
    """Stops before anything is written if every request to the rewriter failed.

    Raises:
        RunError: no request gave a wording; what an earlier rewriting found is still there.
    """
    failed = [loss for loss in losses if isinstance(loss, Failure)]
    if candidates or not failed:
        return
    (reason, _), *_ = Counter(map(_reason, failed)).most_common(1)
    example = next(f.message for f in failed if _reason(f) == reason)
    raise RunError(
        f"no wording came: {len(failed):,} requests to the rewriter gave nothing, most of them: {reason} "
        f"({plain(example)[:160]})",
        fix="Mend this and type the same command again. An earlier rewriting of this run is left as it was.",
    )


def _reason(loss: Drop | Failure) -> str:
    return loss.kind if isinstance(loss, Failure) else loss.reason
