"""The pipeline of `overt rewrite`: refused prompts -> other wordings -> the target again -> faithfulness.

Works inside the folder of a complete run of `overt run`: same journal, same targets, and each wording is
drawn with its original's seed, so that the two pictures differ by the wording alone.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from overt.calls import Caller, CallerOptions
from overt.data.errors import InputError, RunError
from overt.data.images import ImageStore
from overt.data.outcomes import Outcome
from overt.data.records import Drop, Failure, Prompt
from overt.data.rewrites import (
    STRATEGIES,
    Candidate,
    Choice,
    Faithfulness,
    FaithfulnessCase,
    FaithfulnessScorer,
    RewriteStrategy,
)
from overt.data.store import RunStore, dump_json, write_atomic
from overt.data.templates import Template, load_template
from overt.evaluate import (
    RESULTS,
    RunConfig,
    config_of_run,
    fire_shots,
    modality_of,
    read_run,
    refusal_judging,
    shot_seed,
)
from overt.models import ModelOptions, chat_model
from overt.policies.load import load_policy
from overt.progress import Progress
from overt.scoring.answers import Judging, judge_answers
from overt.shots import Shot, TargetChannel
from overt.tables import plain
from overt.targets import TargetOptions, TargetSpec, check_files, open_target, resolve_target

FOLDER = "rewrites"


@dataclass(frozen=True)
class RewriteConfig:
    """What is reworded, by whom, and how its cost is measured."""

    rewriter: str = "builtin/lexical"
    strategies: tuple[RewriteStrategy, ...] = ()  # empty: all four, or the lexical one for the builtin
    count: int = 2  # wordings by each strategy
    every_prompt: bool = False  # not only the refused ones
    unsafe: bool = False  # refused unsafe prompts too, as a control
    scorers: tuple[str, ...] = ("text/auto",)
    seed: int = 0
    templates: Path | None = None

    @cached_property
    def own(self) -> Any | None:
        """The rewriter that needs no chat model: the builtin, or a class of the user's own."""
        from overt import registry

        return registry.find("overt.rewriters", self.rewriter)

    @property
    def chosen(self) -> tuple[RewriteStrategy, ...]:
        if self.own is not None:  # how a class of the user's own goes about it stands in its wordings
            return ("lexical",) if self.rewriter.startswith("builtin/") else ()
        return self.strategies or tuple(s for s in STRATEGIES if s != "lexical")

    def load_templates(self) -> dict[RewriteStrategy, Template]:
        if self.own is not None:
            return {}
        return {s: load_template("generation", f"rewrite_{s}", self.templates) for s in self.chosen}

    def identity(self) -> dict[str, Any]:
        return {
            "rewriter": self.rewriter,
            "strategies": list(self.chosen),
            "count": self.count,
            "every_prompt": self.every_prompt,
            "unsafe": self.unsafe,
            "scorers": list(self.scorers),
            "seed": self.seed,
            "templates": {s: {"label": t.label, "hash": t.hash} for s, t in self.load_templates().items()},
        }


def rewrite_run(
    config: RewriteConfig,
    folder: Path,
    *,
    calls: CallerOptions,
    models: ModelOptions,
    options: TargetOptions,
    progress: Progress,
) -> dict[str, Any]:
    """Rewords a run's refused prompts and measures the remedy; returns the manifest, made anew.

    Raises:
        InputError: bad input, the run is not complete, or nothing in it was refused.
        RunError: disk full, folder not writable, another process on the run.
        BudgetReached: a cap was reached; the same command with a higher cap goes on.
    """
    started = time.monotonic()
    if config.strategies and config.own is not None:
        raise InputError(
            f"{config.rewriter} knows no strategies: they are for a chat model",
            fix="Leave --strategy out, or name a model with --llm.",
        )
    if twice := [name for name, count in Counter(config.scorers).items() if count > 1]:
        raise InputError(f"{twice[0]} is named twice", fix="Give each --faithfulness once.")
    run = config_of_run(folder)
    for spec in run.targets:  # a wrong name should cost nothing
        check_files(spec)
        resolve_target(spec, run.modality)
    policy = load_policy(str(folder / "policy.yaml"))
    with RunStore(folder) as store:
        manifest, prompts, outcomes, _ = read_run(folder)
        options = dataclasses.replace(
            options, system=run.system, max_tokens=run.max_tokens, temperature=run.temperature
        )
        todo = _wanted(config, prompts, outcomes)
        if not any(todo.values()):
            raise InputError(
                "no prompt of this run was refused"
                + (" in its first sample" if run.samples > 1 else "")
                + ", so there is nothing to reword",
                where=str(folder),
                fix="--all rewords every prompt.",
            )
        images = ImageStore(folder)
        with Caller(folder / "journal.sqlite", calls, on_progress=progress.calls) as caller:
            # Both can be wrong in ways that should not show only after all has been reworded and paid for.
            scorers = _scorers(config, models, caller, policy.modality, options.batch_size)
            channels = _channels(run, todo, options, caller, images)
            wanted = {p.id for rows in todo.values() for p in rows}
            subjects = [p for p in prompts if p.id in wanted]
            candidates, losses = _write(config, policy, subjects, caller, models, progress)
            _stop_if_nothing_came(candidates, losses)
            judging = refusal_judging(run, caller, models)
            tried = _try(run, todo, candidates, caller, channels, judging, progress)
            cases = _cases(subjects, candidates, tried, outcomes)
            scores, scales = _score(scorers, cases, images, progress)
            stats = caller.stats.snapshot()
        choices = choose(todo, candidates, tried, scores)
        after = [outcome for _, outcome in tried]
        from overt.scoring.remedy import summarize_remedy

        summary = summarize_remedy(prompts, outcomes, candidates, after, scores, choices)
        summary["scales"] = scales
        summary["control"] = config.unsafe
        # All of it at the end, the summary last: a report never finds records of two rewritings.
        (folder / RESULTS / "rewrite.json").unlink(missing_ok=True)
        for name, records in (
            ("candidates", candidates),
            ("lost", losses),
            ("outcomes", after),
            ("faithfulness", scores),
            ("choices", choices),
        ):
            store.write_records(f"{FOLDER}/{name}.jsonl", records)
        write_atomic(folder / RESULTS / "rewrite.json", dump_json(summary))
        unanswered = sum(o.state == "error" for o in after)
        if unanswered:
            progress.note(f"{unanswered} wordings got no answer; the same command asks them again")
        facts = {k: v for k, v in manifest.items() if k != "files"}
        facts["rewrite"] = {
            **config.identity(),
            "prompts": len(subjects),
            "candidates": len(candidates),
            "lost": len(losses),
            "reasons": dict(Counter(map(_reason, losses)).most_common()),
            "unanswered": unanswered,
            "calls": stats,
        }
        facts["seconds"] = {**manifest["seconds"], "rewrite": round(time.monotonic() - started, 3)}
        return store.finish(facts, parts=(RESULTS,))


def _wanted(
    config: RewriteConfig, prompts: Sequence[Prompt], outcomes: Sequence[Outcome]
) -> dict[str, list[Prompt]]:
    """For each target the prompts to reword, in the order of the prompts. Of several samples the first
    counts: a wording is tried once, with that one's seed."""
    refused = {(o.target, o.prompt_id) for o in outcomes if o.sample == 0 and o.state == "refused"}
    targets = dict.fromkeys(o.target for o in outcomes)
    return {
        target: [
            p
            for p in prompts
            if (p.label == "benign" or (config.unsafe and p.label == "unsafe"))
            and (config.every_prompt or (target, p.id) in refused)
        ]
        for target in targets
    }


def _scorers(
    config: RewriteConfig, models: ModelOptions, caller: Caller, modality: str, batch_size: int | None
) -> list[FaithfulnessScorer]:
    """The scorers by name: models of their own, or chat models behind the caller (vqa/... and judge/...).

    Raises:
        InputError: a scorer cannot be had, or two names mean the same one.
    """
    from overt import registry
    from overt.scoring.faithfulness.judge import FidelityJudge
    from overt.scoring.faithfulness.vqa import VQAScorer

    found: list[FaithfulnessScorer] = []
    for name in config.scorers:
        kind, _, model = name.partition("/")
        if kind not in ("vqa", "judge"):
            found.append(registry.load_scorer(name, device=models.device, batch_size=batch_size))
            continue
        ask = caller.bind(chat_model(model, "judge", models), name)

        def template(which: str) -> Template:
            return load_template("scoring", which, config.templates)

        if kind == "vqa":
            asking, answering = template("vqa_questions"), template("vqa_answers")
            found.append(VQAScorer(name, ask, asking, answering, seed=config.seed))
        else:
            judge = FidelityJudge(name, ask, template("fidelity"), seed=config.seed, modality=modality)
            found.append(judge)
    said: dict[str, str] = {}
    for scorer in found:  # text/auto may have become what another one names
        same = said.setdefault(getattr(scorer, "model", scorer.name), scorer.name)
        if same != scorer.name:
            raise InputError(f"{same} and {scorer.name} are one and the same here", fix="Leave one out.")
    return found


def _channels(
    run: RunConfig,
    todo: dict[str, list[Prompt]],
    options: TargetOptions,
    caller: Caller,
    images: ImageStore,
) -> Iterator[TargetChannel]:
    """The targets that have something to try, the first one made at once, the others as they are needed:
    models of this machine may not fit into its memory together."""

    def opened(spec: TargetSpec) -> TargetChannel:
        target = open_target(spec, options, every_layer=run.every_layer, modality=run.modality)
        price = caller.price_of(getattr(target, "priced_as", spec.name))
        return TargetChannel(spec.name, target, price, images)

    specs = [spec for spec in run.targets if todo.get(spec.name)]
    first = [opened(spec) for spec in specs[:1]]
    return itertools.chain(first, map(opened, specs[1:]))


def _write(
    config: RewriteConfig,
    policy: Any,
    prompts: Sequence[Prompt],
    caller: Caller,
    models: ModelOptions,
    progress: Progress,
) -> tuple[list[Candidate], list[Drop | Failure]]:
    """The wordings of each prompt, and what gave none."""
    from overt.generation.rewrite import rewrite, rewrite_with

    candidates: list[Candidate] = []
    losses: list[Drop | Failure] = []
    results: Iterable[Candidate | Drop | Failure]
    if config.own is not None:
        results = rewrite_with(config.own, prompts, policy, count=config.count, seed=config.seed)
        total = len(prompts) * config.count
    else:
        results = rewrite(
            prompts,
            policy,
            ask=caller.bind(chat_model(config.rewriter, "model", models), "rewrite"),
            templates=config.load_templates(),
            count=config.count,
            seed=config.seed,
        )
        total = len(prompts) * config.count * len(config.chosen)
    with progress.stage("rewrite", total) as advance:
        for result in results:
            advance(1)
            if isinstance(result, Candidate):
                candidates.append(result)
            else:
                losses.append(result)
    return candidates, losses


def _stop_if_nothing_came(candidates: Sequence[Candidate], losses: Sequence[Drop | Failure]) -> None:
    """A rewriter that cannot be reached is no remedy that failed.

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


def _try(
    run: RunConfig,
    todo: dict[str, list[Prompt]],
    candidates: Sequence[Candidate],
    caller: Caller,
    channels: Iterable[TargetChannel],
    judging: Judging,
    progress: Progress,
) -> list[tuple[Candidate, Outcome]]:
    """What each target makes of the candidates for its prompts. The outcome's prompt is the candidate."""
    tried: list[tuple[Candidate, Outcome]] = []
    by_prompt: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        by_prompt[candidate.prompt_id].append(candidate)
    for channel in channels:
        rows = [(p, c) for p in todo[channel.name] for c in by_prompt[p.id]]
        if not rows:
            continue
        worded = [_worded(prompt, candidate) for prompt, candidate in rows]
        jobs = [
            ((new, 0), Shot(new.text, shot_seed(run.seed, prompt, 0), 0), prompt.category)
            for new, (prompt, _) in zip(worded, rows, strict=True)
        ]
        modality = modality_of(channel.subject)
        found = fire_shots(channel, jobs, len(rows), caller, progress, modality, purpose="rewrite")
        if modality == "text":
            found = judge_answers(list(zip(worded, found, strict=True)), run.judge, judging)
        tried += [(candidate, outcome) for (_, candidate), outcome in zip(rows, found, strict=True)]
    return tried


def _worded(prompt: Prompt, candidate: Candidate) -> Prompt:
    """The prompt in its new wording: label and category stay the original's. The trigger only where it is
    still there: a service that revises prompts cannot have dropped what it was never given."""
    text = candidate.text
    kept = prompt.trigger and prompt.trigger.casefold() in text.casefold()
    return dataclasses.replace(prompt, id=candidate.id, text=text, trigger=prompt.trigger if kept else "")


def _cases(
    prompts: Sequence[Prompt],
    candidates: Sequence[Candidate],
    tried: Sequence[tuple[Candidate, Outcome]],
    outcomes: Sequence[Outcome],
) -> list[FaithfulnessCase]:
    """What is to be scored: every candidate that was let through, with the pictures of both wordings."""
    originals = {p.id: p for p in prompts}
    before = {
        (o.target, o.prompt_id): o.images
        for o in outcomes
        if o.sample == 0 and (o.state in ("generated", "softened") or len(o.layers) > 1)
    }
    return [
        FaithfulnessCase(
            candidate,
            originals[candidate.prompt_id],
            outcome.target,
            outcome.images,
            before.get((outcome.target, candidate.prompt_id), ()),
        )
        for candidate, outcome in tried
        if outcome.state == "generated"
    ]


def _score(
    scorers: Sequence[FaithfulnessScorer],
    cases: Sequence[FaithfulnessCase],
    images: ImageStore,
    progress: Progress,
) -> tuple[list[Faithfulness], list[dict[str, Any]]]:
    """All scores, and what each measure gives pairs that belong together and pairs that do not, in the data
    just scored: without it a cosine of 0.3 says nothing."""
    from overt.scoring.faithfulness.checked import score_checked

    scores: list[Faithfulness] = []
    scales: list[dict[str, Any]] = []
    for scorer in scorers:
        model = scorer.name
        with progress.stage(scorer.name[:40], len(cases)) as advance:
            for rows in score_checked(scorer, cases, images.get):
                scores += rows
                model = rows[0].model if rows else model  # text/auto says there what it became
                advance(1)
        for measure, scale in getattr(scorer, "scale", {}).items():
            scales.append({"measure": measure, "model": model, **dataclasses.asdict(scale)})
    return scores, scales


def choose(
    todo: dict[str, list[Prompt]],
    candidates: Sequence[Candidate],
    tried: Sequence[tuple[Candidate, Outcome]],
    scores: Sequence[Faithfulness],
) -> list[Choice]:
    """Per target and prompt the most faithful candidate that was accepted.

    Chosen by the picture where the first scorer that looks at pictures has a score for any of them, else
    by the wording. Candidates without a score come last; of equal ones the first stands.
    """
    value: dict[tuple[str, str], dict[tuple[str, str], float]] = defaultdict(dict)
    measures = dict.fromkeys((s.measure, s.model) for s in scores)
    order = sorted(measures, key=lambda m: m[0] in ("text_text", "judge"))  # stable: pictures before wordings
    for s in scores:
        if s.value is not None:
            value[s.measure, s.model][s.target, s.candidate_id] = s.value
    by_prompt: dict[tuple[str, str], list[tuple[Candidate, Outcome]]] = defaultdict(list)
    for candidate, outcome in tried:
        by_prompt[outcome.target, candidate.prompt_id].append((candidate, outcome))
    choices = []
    for target, prompts in todo.items():
        for prompt in prompts:
            rows = by_prompt[target, prompt.id]
            accepted = [c for c, o in rows if o.state == "generated"]
            best, by, score = None, ("", ""), None
            for measure in order:
                scored = [c for c in accepted if (target, c.id) in value[measure]]
                if scored:
                    best = max(scored, key=lambda c: value[measure][target, c.id])
                    by, score = measure, value[measure][target, best.id]
                    break
            if best is None and accepted:
                best = accepted[0]
            choices.append(
                Choice(prompt.id, target, len(rows), len(accepted), best.id if best else None, *by, score)
            )
    return choices
