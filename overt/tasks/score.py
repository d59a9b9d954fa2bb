"""`overt score`: judges the targets' responses for harm and recomputes the summary."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar

from overt import registry
from overt.data.errors import InputError
from overt.data.json_types import Json
from overt.data.outcomes import Harm, Outcome
from overt.data.progress import Progress
from overt.data.records import Prompt
from overt.data.results.summary import Summary
from overt.data.run.files import write_records
from overt.data.run.finished import RESULTS, Run, open_run
from overt.data.run.images import ImageStore
from overt.data.templates import Template, load_template
from overt.policies.load import load_policy
from overt.policies.schema import Policy
from overt.scoring.harm import Case, HarmJudge, checker_judge, judge_harm, vision_judge
from overt.scoring.summary.rates import judging
from overt.scoring.summary.summarize import write_summary
from overt.tasks.config import (
    CALLS,
    CallConfig,
    Concurrency,
    Option,
    OutputConfig,
    TrustAddresses,
    checked_folder,
)
from overt.tasks.reread import calls_of, manifest_anew, reread
from overt.tasks.roles import ModelOptions, chat_model
from overt.tasks.task import Work, working_again


class ScoreConfig(CallConfig, OutputConfig):
    kind: ClassVar[str] = "score"

    run: Annotated[Path, Option("Folder of a run of `overt run`.", is_argument=True)]
    judges: Annotated[
        str,
        Option(
            "Who judges: vision models (openai/MODEL), checkers (checker/NAME), or your own "
            "module:Class. An odd number can vote.",
            metavar="A,B,C",
        ),
    ]
    benign: Annotated[bool, Option("Judge the pictures of benign prompts too.")] = False
    templates: Annotated[Path | None, Option("Folder with your own harm.yaml (instruction and rubric).")] = (
        None
    )
    seed: Annotated[int, Option("Seed sent to the judges.")] = 0
    base_url: Annotated[
        str | None,
        Option(
            "OpenAI-compatible endpoint of the judges; for one judge alone: NAME?base_url=URL.",
            CALLS,
            metavar="URL",
        ),
    ] = None
    api_key_env: Annotated[
        str | None,
        Option("Environment variable that holds the key (OPENAI_API_KEY).", CALLS, metavar="NAME"),
    ] = None
    trust_addresses: TrustAddresses = False
    device: Annotated[str | None, Option("Device of local checkers.", CALLS)] = None
    concurrency: Concurrency = 16

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name.strip() for name in self.judges.split(",") if name.strip())

    @property
    def models(self) -> ModelOptions:
        return ModelOptions(
            base_url={"": self.base_url} if self.base_url else {},
            api_key_env={"": self.api_key_env} if self.api_key_env else {},
            device=self.device,
            timeout=self.timeout,
        )


def score(config: ScoreConfig, progress: Progress) -> Run:
    """Judges a complete run. Returns the run with its new manifest.

    Raises:
        InputError: bad input, or the run is not complete.
        RunError: disk full, folder not writable, another process on the run.
        BudgetReached: a cap was reached; the same command with a higher cap goes on.
    """
    if not config.names:
        raise InputError("no judge was named", fix="For instance: --judges openai/gpt-4.1,openai/gpt-4o")
    if len(set(config.names)) != len(config.names):
        raise InputError("a judge is named twice", fix="Give each judge once; three different ones can vote.")
    checked_folder(config.templates, "--templates")
    began = time.monotonic()
    run = open_run(config.run, "run")
    policy = load_policy(str(run.policy_file))
    template = load_template("scoring", "harm", config.templates)
    calls = calls_of(run, config.caller)
    with working_again(run, calls, progress, "judges") as work:
        outcomes = reread(run, calls, work, trusted=config.trust_addresses)
        cases = cases_of(run.prompts, outcomes, benign=config.benign)
        judges = _judges(config, policy, template, work)
        with progress.stage("harm", len(cases) * len(judges)) as advance:
            harms = judge_harm(cases, judges, advance=advance)
        write_records(run.folder / RESULTS / "harm.jsonl", harms)
        summary = write_summary(run.folder, policy, run.prompts, outcomes, harms, run.results.kinds)
        judged: dict[str, Json] = {
            "names": list(config.names),
            "template": {"label": template.label, "hash": template.hash},
            "benign": config.benign,
            "seed": config.seed,
            "judged": len(cases),
            "failed": failures(harms),
            "below_coverage": below_coverage(summary, run.min_coverage),
            "calls": work.caller.stats.snapshot(),
        }
        seconds = {**run.results.seconds, "score": round(time.monotonic() - began, 3)}
        known = manifest_anew(run, calls, summary, work)
        work.folder.finish({**known, "judges": judged, "seconds": seconds}, RESULTS)
    return open_run(config.run, "run")


def _judges(config: ScoreConfig, policy: Policy, template: Template, work: Work) -> list[HarmJudge]:
    """The judges by name: checkers, and vision models behind the caller."""
    load = ImageStore(work.folder.path).get
    judges: list[HarmJudge] = []
    for name in config.names:
        if registry.is_checker(name):
            checker = registry.load_checker(name, device=config.device, timeout=config.timeout)
            judges.append(checker_judge(checker, load=load))
        else:
            ask = work.caller.bind(chat_model(name, "judge", config.models), f"harm {name}")
            judges.append(vision_judge(policy, ask=ask, template=template, load=load, seed=config.seed))
    return judges


def cases_of(prompts: Sequence[Prompt], outcomes: Sequence[Outcome], *, benign: bool) -> list[Case]:
    """Returns the outcomes to judge: those of unsafe prompts (of all prompts if `benign`) with pictures or
    text.

    A refusal's placeholder is not judged. With `--every-layer` a refused outcome keeps the picture behind the
    layers, which is judged to tell what dropping a layer would cost.
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
    """Targets with verdicts on less than the share `least` of their answers to unsafe prompts."""
    return [t.name for t in summary.targets if judging(t, t.kind).share < least]


def failures(harms: Sequence[Harm]) -> dict[str, int]:
    """Failed votes by judge."""
    counts: dict[str, int] = {}
    for harm in harms:
        for vote in harm.votes:
            counts[vote.judge] = counts.get(vote.judge, 0) + (vote.failure is not None)
    return counts
