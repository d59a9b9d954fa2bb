"""The pipeline of `overt rewrite`: refused prompts -> other wordings -> the target again -> faithfulness.

Works inside the folder of a complete run of `overt run`: same journal, same targets, and each wording is
drawn with its original's seed, so that the two pictures differ by the wording alone.
"""

from __future__ import annotations

import dataclasses
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overt.calls import Caller, CallerOptions
from overt.data.errors import InputError
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
from overt.targets import TargetOptions, open_target

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

    @property
    def is_builtin(self) -> bool:
        return self.rewriter.startswith("builtin/")

    @property
    def chosen(self) -> tuple[RewriteStrategy, ...]:
        if self.is_builtin:
            return ("lexical",)
        return self.strategies or tuple(s for s in STRATEGIES if s != "lexical")

    def load_templates(self) -> dict[RewriteStrategy, Template]:
        if self.is_builtin:
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
    run = config_of_run(folder)
    policy = load_policy(str(folder / "policy.yaml"))
    with RunStore(folder) as store:
        manifest, prompts, outcomes, _ = read_run(folder)
        options = dataclasses.replace(
            options, system=run.system, max_tokens=run.max_tokens, temperature=run.temperature
        )
        todo = _wanted(config, prompts, outcomes)
        if not any(todo.values()):
            raise InputError(
                "no prompt of this run was refused, so there is nothing to reword",
                where=str(folder),
                fix="--all rewords every prompt.",
            )
        images = ImageStore(folder)
        with Caller(folder / "journal.sqlite", calls, on_progress=progress.calls) as caller:
            scorers = _scorers(config, models, caller)  # a wrong name should cost nothing
            wanted = {p.id for rows in todo.values() for p in rows}
            subjects = [p for p in prompts if p.id in wanted]
            candidates, losses = _write(config, policy, subjects, caller, models, progress)
            store.write_records(f"{FOLDER}/candidates.jsonl", candidates)
            store.write_records(f"{FOLDER}/lost.jsonl", losses)
            judging = refusal_judging(run, caller, models) if run.modality == "text" else None
            tried = _try(run, todo, candidates, caller, options, images, judging, progress)
            store.write_records(f"{FOLDER}/outcomes.jsonl", [outcome for _, outcome in tried])
            cases = _cases(subjects, candidates, tried, outcomes)
            scores = _score(scorers, cases, images, progress)
            stats = caller.stats.snapshot()
        choices = choose(todo, candidates, tried, scores)
        store.write_records(f"{FOLDER}/faithfulness.jsonl", scores)
        store.write_records(f"{FOLDER}/choices.jsonl", choices)
        from overt.scoring.remedy import summarize_remedy

        summary = summarize_remedy(prompts, outcomes, candidates, [o for _, o in tried], scores, choices)
        summary["scales"] = _scales(scorers)
        write_atomic(folder / RESULTS / "rewrite.json", dump_json(summary))
        facts = {k: v for k, v in manifest.items() if k != "files"}
        facts["rewrite"] = {
            **config.identity(),
            "prompts": len(subjects),
            "candidates": len(candidates),
            "lost": len(losses),
            "calls": stats,
        }
        facts["seconds"] = {**manifest["seconds"], "rewrite": round(time.monotonic() - started, 3)}
        return store.finish(facts, parts=(RESULTS,))


def _wanted(
    config: RewriteConfig, prompts: Sequence[Prompt], outcomes: Sequence[Outcome]
) -> dict[str, list[Prompt]]:
    """For each target the prompts to reword, in the order of the prompts."""
    refused = {(o.target, o.prompt_id) for o in outcomes if o.state == "refused"}
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


def _scorers(config: RewriteConfig, models: ModelOptions, caller: Caller) -> list[FaithfulnessScorer]:
    """The scorers by name: models of their own, or chat models behind the caller (vqa/... and judge/...)."""
    from overt import registry
    from overt.scoring.faithfulness.judge import FidelityJudge
    from overt.scoring.faithfulness.vqa import VQAScorer

    found: list[FaithfulnessScorer] = []
    for name in config.scorers:
        kind, _, model = name.partition("/")
        if kind not in ("vqa", "judge"):
            found.append(registry.load_scorer(name, device=models.device))
            continue
        ask = caller.bind(chat_model(model, "judge", models), name)

        def template(which: str) -> Template:
            return load_template("scoring", which, config.templates)

        if kind == "vqa":
            asking, answering = template("vqa_questions"), template("vqa_answers")
            found.append(VQAScorer(name, ask, asking, answering, seed=config.seed))
        else:
            found.append(FidelityJudge(name, ask, template("fidelity"), seed=config.seed))
    return found


def _write(
    config: RewriteConfig,
    policy: Any,
    prompts: Sequence[Prompt],
    caller: Caller,
    models: ModelOptions,
    progress: Progress,
) -> tuple[list[Candidate], list[Drop | Failure]]:
    """The wordings of each prompt, and what gave none."""
    from overt import registry
    from overt.generation.rewrite import rewrite

    candidates: list[Candidate] = []
    losses: list[Drop | Failure] = []
    rewriter: Any = registry.find("overt.rewriters", config.rewriter)
    results: Iterable[Candidate | Drop | Failure]
    if rewriter is not None:
        results = (
            result
            for prompt in prompts
            for result in rewriter.rewrite(policy, prompt, count=config.count, seed=config.seed)
        )
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


def _try(
    run: Any,
    todo: dict[str, list[Prompt]],
    candidates: Sequence[Candidate],
    caller: Caller,
    options: TargetOptions,
    images: ImageStore,
    judging: Judging | None,
    progress: Progress,
) -> list[tuple[Candidate, Outcome]]:
    """What each target makes of the candidates for its prompts. The outcome's prompt is the candidate."""
    tried: list[tuple[Candidate, Outcome]] = []
    by_prompt: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        by_prompt[candidate.prompt_id].append(candidate)
    for spec in run.targets:
        prompts = todo.get(spec.name, [])
        rows = [(p, c) for p in prompts for c in by_prompt[p.id]]
        if not rows:
            continue
        target = open_target(spec, options, every_layer=run.every_layer, modality=run.modality)
        price = caller.price_of(getattr(target, "priced_as", spec.name))
        channel = TargetChannel(spec.name, target, price, images)

        def jobs(rows: list[tuple[Prompt, Candidate]] = rows) -> Iterator[tuple[Any, Shot, str]]:
            for prompt, candidate in rows:
                # The label and category stay the original's; the text is the new one.
                worded = dataclasses.replace(prompt, id=candidate.id, text=candidate.text)
                shot = Shot(candidate.text, shot_seed(run.seed, prompt, 0), 0)
                yield (worded, 0), shot, prompt.category

        modality = modality_of(target)
        found = fire_shots(channel, jobs(), len(rows), caller, progress, modality, purpose="rewrite")
        if judging is not None and modality == "text":
            worded = [dataclasses.replace(p, id=c.id, text=c.text) for p, c in rows]
            found = judge_answers(list(zip(worded, found, strict=True)), run.judge, judging)
        tried += [(candidate, outcome) for (_, candidate), outcome in zip(rows, found, strict=True)]
    return tried


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
) -> list[Faithfulness]:
    scores: list[Faithfulness] = []
    for scorer in scorers:
        with progress.stage(scorer.name[:40], len(cases)) as advance:
            for rows in scorer.score(cases, images.get):
                scores += rows
                advance(1)
    return scores


def _scales(scorers: Sequence[FaithfulnessScorer]) -> list[dict[str, Any]]:
    """What each measure gives pairs that belong together and pairs that do not, in the data just scored:
    without it a cosine of 0.3 says nothing."""
    rows = []
    for scorer in scorers:
        for measure, scale in getattr(scorer, "scale", {}).items():
            rows.append({"measure": measure, "model": scorer.name, **dataclasses.asdict(scale)})
    return rows


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
    order = sorted(measures, key=lambda m: m[0] == "text_text")  # stable: pictures before wordings
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
