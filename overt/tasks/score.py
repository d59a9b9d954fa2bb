"""`overt score`: judges responses for harm, holds pictures against prompts, and recomputes the summary."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, ClassVar

from overt.data.errors import InputError
from overt.data.json_types import Json
from overt.data.outcomes import Harm, Outcome
from overt.data.progress import Progress
from overt.data.records import Prompt
from overt.data.results.files import write_summary
from overt.data.results.summary import Summary
from overt.data.run.counted import counted_from
from overt.data.run.files import write_records
from overt.data.run.finished import RESULTS, Run, open_run
from overt.data.run.partial_results import Part, begin_part, finish_part
from overt.data.run.shards import Shard
from overt.data.templates import load_template
from overt.policies.load import load_policy
from overt.policies.schema import Policy
from overt.review.corrected import attached, corrections_of
from overt.scoring.harm import Case, judge_harm
from overt.scoring.summary.rates import judging
from overt.scoring.summary.summarize import summary_of
from overt.tasks.config import (
    CALLS,
    CallConfig,
    Concurrency,
    Option,
    OutputConfig,
    PartOption,
    TrustAddresses,
    Workers,
    checked_folder,
)
from overt.tasks.recipes import RecipeName, applied, load_recipe
from overt.tasks.reread import calls_of, manifest_anew, reread
from overt.tasks.roles import ModelOptions
from overt.tasks.score_judges import open_judges
from overt.tasks.score_pictures import open_scorer, scored
from overt.tasks.task import Work, open_whole, working_again


class ScoreConfig(CallConfig, OutputConfig):
    kind: ClassVar[str] = "score"

    run: Annotated[Path, Option("Folder of a run of `overt run`.", is_argument=True)]
    recipe: RecipeName = None
    judges: Annotated[
        str,
        Option(
            "Who judges harm: models that read or see (openai/MODEL, hf/FOLDER), checkers of pictures "
            "(checker/NAME), guards of answers (filter/guard/MODEL), or your own module:Class. An odd number "
            "can vote.",
            metavar="A,B,C",
            completes="harm judge",
        ),
    ] = ""
    covers: Annotated[
        tuple[str, ...],
        Option(
            "What a checker can see, where it does not say so itself: all, or kinds of harm (sexual, "
            "violence ...) and category ids. Categories that no judge covers are not judged. Repeatable.",
            metavar="JUDGE=all|A,B",
        ),
    ] = ()
    faithfulness: Annotated[
        str | None,
        Option(
            "What tells whether the pictures of benign prompts show what was asked: clip/MODEL:PRETRAINED, "
            "vqa/openai/MODEL, or your own module:Class.",
            metavar="NAME",
            completes="scorer",
        ),
    ] = None
    benign: Annotated[bool, Option("Judge the pictures of benign prompts too.")] = False
    templates: Annotated[Path | None, Option("Folder with your own harm.yaml (instruction and rubric).")] = (
        None
    )
    shard: PartOption = None
    seed: Annotated[int, Option("Seed sent to the judges, and of the draw of other prompts.")] = 0
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
    device: Annotated[str | None, Option("Device of local checkers and scorers.", CALLS)] = None
    workers: Workers = "1"
    concurrency: Concurrency = 16

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name.strip() for name in self.judges.split(",") if name.strip())

    def declared(self) -> dict[str, str]:
        """What --covers says, by judge.

        Raises:
            InputError: it cannot be read, or names a judge that is not asked.
        """
        found = {}
        for text in self.covers:
            name, _, what = text.rpartition("=")
            if name not in self.names or not what.strip():
                raise InputError(
                    f"--covers is {text!r}",
                    fix="Write JUDGE=all or JUDGE=sexual,violence, with a judge as --judges names it: "
                    f"{', '.join(self.names) or 'none is named'}.",
                )
            found[name] = what
        return found

    def check(self) -> None:
        """Checks what needs no run.

        Raises:
            InputError: nothing is to be judged, or an option is invalid.
        """
        if not self.names and self.faithfulness is None:
            raise InputError(
                "no judge was named",
                fix="For instance: --judges openai/gpt-4.1,openai/gpt-4o, or --faithfulness for the pictures "
                "of benign prompts.",
            )
        if len(set(self.names)) != len(self.names):
            raise InputError(
                "a judge is named twice", fix="Give each judge once; three different ones can vote."
            )
        checked_folder(self.templates, "--templates")
        self.declared()

    @property
    def models(self) -> ModelOptions:
        return ModelOptions(
            base_url={"": self.base_url} if self.base_url else {},
            api_key_env={"": self.api_key_env} if self.api_key_env else {},
            device=self.device,
            timeout=self.timeout,
            workers=self.workers,
        )


def score(config: ScoreConfig, progress: Progress) -> Run:
    """Judges a complete run: harm, or whether pictures show what was asked, or both. Returns the run with its
    new manifest; what an earlier scoring found of the other stays.

    Raises:
        InputError: bad input, or the run is not complete.
        RunError: disk full, folder not writable, another process on the run.
        BudgetReached: a cap was reached; the same command with a higher cap goes on.
    """
    config, changed = _with_recipe(config)
    config.check()
    began = time.monotonic()
    run = open_run(config.run, "run")
    policy = load_policy(str(run.policy_file))
    calls = calls_of(run, config.caller)
    with working_again(run, calls, progress, "judges") as work:
        facts: dict[str, Json] = {}
        if changed:
            work.note(changed)
        outcomes = reread(run, calls, work, trusted=config.trust_addresses)
        # Opened first: its errors should show before a judge is paid for.
        scorer = open_scorer(config, policy, work) if config.faithfulness is not None else None
        results = run.folder / RESULTS
        harms = _judged(config, run, outcomes, policy, work, facts, results) if config.names else run.harms
        as_asked = scored(config, run, outcomes, scorer, work, facts, results) if scorer else run.as_asked
        summary = summary_of(policy, run.prompts, outcomes, harms, run.results.kinds, as_asked)
        write_summary(run.folder, _corrected(run, summary, work))
        if isinstance(judges := facts.get("judges"), dict):
            judges["below_coverage"] = below_coverage(summary, run.min_coverage)
        seconds = {**run.results.seconds, "score": round(time.monotonic() - began, 3)}
        known = manifest_anew(run, calls, summary, work)
        counted = counted_from(run.folder)
        work.folder.finish({**known, **facts, "counted": counted, "seconds": seconds}, RESULTS)
    return open_run(config.run, "run")


def score_part(config: ScoreConfig, shard: Shard, progress: Progress) -> Part:
    """Judges the answers to a part of the prompts. The votes lie beside the results until `overt merge` has
    all parts (overt.data.run.partial_results).

    Raises:
        InputError, RunError, BudgetReached: as `score`; or the run is a shard already.
    """
    config, changed = _with_recipe(config)
    config.check()
    run = open_whole(config.run)
    policy = load_policy(str(run.policy_file))
    with working_again(run, calls_of(run, config.caller), progress, "judges") as work:
        if changed:
            work.note(changed)
        folder, earlier = begin_part(run.folder, "score", shard)
        facts: dict[str, Json] = {}
        outcomes = [outcome for outcome in run.outcomes if shard.holds(outcome.prompt_id)]
        scorer = open_scorer(config, policy, work) if config.faithfulness is not None else None
        if config.names:
            _judged(config, run, outcomes, policy, work, facts, folder)
        if scorer:
            scored(config, run, outcomes, scorer, work, facts, folder)
        return finish_part(Part(shard, folder, {**earlier, **facts}))


def _with_recipe(config: ScoreConfig) -> tuple[ScoreConfig, str]:
    """The configuration with the options of --recipe, and a note on given ones that are others."""
    if config.recipe is None:
        return config, ""
    return applied(config, load_recipe(config.recipe))


def _corrected(run: Run, summary: Summary, work: Work) -> Summary:
    """The summary with the rates that people's labels correct. Labels of another run must not stop what was
    paid for."""
    try:
        return attached(summary, corrections_of(Run(run.folder, run.record), summary.level))
    except InputError as error:
        work.note(f"over-refusal is not corrected: {error.what}")
        return summary


def _judged(
    config: ScoreConfig,
    run: Run,
    outcomes: Sequence[Outcome],
    policy: Policy,
    work: Work,
    facts: dict[str, Json],
    folder: Path,
) -> list[Harm]:
    """Lets the judges vote on these outcomes and writes their votes to a folder. `facts` gets what the
    manifest says of it."""
    template = load_template("scoring", "harm", config.templates)
    cases = cases_of(run.prompts, outcomes, benign=config.benign)
    judges = open_judges(config, policy, template, work, any(case.outcome.images for case in cases))
    votes = [judge.shown(work.progress) for judge in judges]
    harms: list[Harm] = []

    def found() -> Iterator[Harm]:
        for harm in judge_harm(cases, votes, [judge.lane for judge in judges]):
            harms.append(harm)
            yield harm

    write_records(folder / "harm.jsonl", found())
    open_cases = Counter(c.prompt.category for c in cases if not any(j.sees(c) for j in judges))
    facts["judges"] = {
        "names": list(config.names),
        **({"recipe": load_recipe(config.recipe).name} if config.recipe else {}),
        "template": {"label": template.label, "hash": template.hash},
        "benign": config.benign,
        "seed": config.seed,
        "judged": len(cases),
        "failed": failures(harms),
        "covers": {judge.name: judge.covers.to_json() for judge in judges},
        "undeclared": [judge.name for judge in judges if not judge.is_declared],
        "not_covered": dict(sorted(open_cases.items())),
        "calls": work.caller.stats.snapshot(),
    }
    return harms


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
