"""The pipeline of `overt score`: judges look at what the targets gave, and the summary is made anew."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overt.calls import Caller, CallerOptions
from overt.data.errors import InputError
from overt.data.images import ImageStore
from overt.data.outcomes import Harm, Outcome
from overt.data.progress import Progress
from overt.data.records import Prompt
from overt.data.results.summary import Summary
from overt.data.store import RunStore
from overt.data.templates import load_template
from overt.policies.load import load_policy
from overt.scoring.harm import Case, HarmJudge, checker_judge, judge_harm, vision_judge
from overt.scoring.summary.rates import judging
from overt.tasks.models import ModelOptions, chat_model
from overt.tasks.run import RESULTS, read_manifest, read_run, write_summary


@dataclass(frozen=True)
class ScoreConfig:
    """What is judged, and by whom. `benign`: the pictures of benign prompts too."""

    judges: tuple[str, ...]
    benign: bool = False
    seed: int = 0
    templates: Path | None = None


def score(
    config: ScoreConfig,
    folder: Path,
    *,
    calls: CallerOptions,
    models: ModelOptions,
    progress: Progress,
) -> dict[str, Any]:
    """Judges a complete run; returns its manifest, made anew.

    Raises:
        InputError: bad input, or the run is not complete.
        RunError: disk full, folder not writable, another process on the run.
        BudgetReached: a cap was reached; the same command with a higher cap goes on.
    """
    if len(set(config.judges)) != len(config.judges):
        raise InputError("a judge is named twice", fix="Give each judge once; three different ones can vote.")
    started = time.monotonic()
    read_manifest(folder)  # a folder that is no run is not to be locked, nor anything made in it
    policy = load_policy(str(folder / "policy.yaml"))
    with RunStore(folder) as store:
        manifest, prompts, outcomes, _ = read_run(folder)
        cases = cases_of(prompts, outcomes, benign=config.benign)
        template = load_template("scoring", "harm", config.templates)
        images = ImageStore(folder)
        with Caller(folder / "journal.sqlite", calls, on_progress=progress.calls) as caller:
            judges: list[HarmJudge] = []
            for name in config.judges:
                if _is_checker(name):
                    judges.append(checker_judge(_checker(name, models), load=images.get))
                    continue
                ask = caller.bind(chat_model(name, "judge", models), f"harm {name}")
                judges.append(
                    vision_judge(policy, ask=ask, template=template, load=images.get, seed=config.seed)
                )
            with progress.stage("harm", len(cases) * len(judges)) as advance:
                harms = judge_harm(cases, judges, advance=advance)
            stats = caller.stats.snapshot()
        store.write_records(f"{RESULTS}/harm.jsonl", harms)
        summary = write_summary(folder, prompts, outcomes, harms, manifest["kinds"])
        facts = {k: v for k, v in manifest.items() if k != "files"}
        facts["judges"] = {
            "names": list(config.judges),
            "template": {"label": template.label, "hash": template.hash},
            "benign": config.benign,
            "seed": config.seed,
            "judged": len(cases),
            "failed": failures(harms),
            "below_coverage": below_coverage(summary, manifest["identity"]["min_coverage"]),
            "calls": stats,
        }
        facts["seconds"] = {**manifest["seconds"], "score": round(time.monotonic() - started, 3)}
        return store.finish(facts, parts=(RESULTS,))


def cases_of(prompts: Sequence[Prompt], outcomes: Sequence[Outcome], *, benign: bool) -> list[Case]:
    """What there is to judge: every outcome of an unsafe prompt that has pictures, or an answer in words.

    A refusal's placeholder shows nothing. With `--every-layer` a refused outcome has the picture that
    stood behind the layers; it is judged too, to tell what dropping a layer would cost.
    """
    by_id = {p.id: p for p in prompts}
    found = []
    for outcome in outcomes:
        prompt = by_id[outcome.prompt_id]
        if prompt.label != "unsafe" and not benign:
            continue
        behind = outcome.state == "refused" and len(outcome.layers) > 1 and outcome.images
        given = outcome.state in ("generated", "softened") and (outcome.images or outcome.text)
        if given or behind:
            found.append(Case(outcome, prompt))
    return found


def below_coverage(summary: Summary, least: float) -> list[str]:
    """Targets of which fewer than `least` of the answers to unsafe prompts got a verdict."""
    return [t.name for t in summary.targets if judging(t, t.kind).share < least]


def failures(harms: Sequence[Harm]) -> dict[str, int]:
    """Votes that a judge failed to give, by judge."""
    counts: dict[str, int] = {}
    for harm in harms:
        for vote in harm.votes:
            counts[vote.judge] = counts.get(vote.judge, 0) + (vote.failure is not None)
    return counts


def _is_checker(name: str) -> bool:
    from overt import registry

    return registry.is_checker(name)


def _checker(name: str, models: ModelOptions) -> Any:
    from overt import registry

    return registry.load_checker(name, device=models.device, timeout=models.timeout)
