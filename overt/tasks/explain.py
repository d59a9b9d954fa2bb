"""`overt explain`: refused benign prompts -> the smallest edit that flips the decision -> terms.

It adds to a complete run of `overt run`, with its journal and targets. The search is deterministic, so a
command that is typed again finds its calls in the journal and goes on where it ended.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from overt.calls.target_channel import TargetChannel
from overt.data.errors import BudgetReached, InputError
from overt.data.outcomes import Outcome
from overt.data.progress import Progress
from overt.data.records import Prompt
from overt.data.results.explanation import ExplainedTarget, Explanation
from overt.data.results.files import explanation_file, write_explanation
from overt.data.run.finished import RESULTS, Run, open_run
from overt.data.text import plain
from overt.scoring.explain.search import Search
from overt.tasks.asking import Asking
from overt.tasks.config import (
    CALLS,
    CallConfig,
    Concurrency,
    KeyNames,
    LocalConfig,
    Option,
    OutputConfig,
    ReachConfig,
    Timeout,
    TrustAddresses,
)
from overt.tasks.explain_ask import Rounds, Subject, sampled, search_of
from overt.tasks.lanes import results
from overt.tasks.reopened import Reopened, reopen
from overt.tasks.roles import ModelOptions
from overt.tasks.task import Work

_WHICH = "Which prompts"
_HOW = "How they are edited"


class ExplainConfig(ReachConfig, CallConfig, LocalConfig, OutputConfig):
    kind: ClassVar[str] = "explain"
    roles: ClassVar[frozenset[str]] = frozenset({"judge", "target"})

    run: Annotated[Path, Option("Folder of a run of `overt run`.", is_argument=True)]
    target: Annotated[
        tuple[str, ...], Option("Only these targets of the run. Repeatable; default: all.", _WHICH)
    ] = ()
    category: Annotated[tuple[str, ...], Option("Only these categories. Repeatable.", _WHICH)] = ()
    limit: Annotated[
        int | None, Option("At most so many refused prompts of each target, drawn by --seed.", _WHICH, min=1)
    ] = None
    seed: Annotated[int, Option("Seed of the draw of --limit.", _WHICH)] = 0
    granularity: Annotated[
        Literal["words", "spans"],
        Option(
            "What an edit changes: words, or spans (phrases: fewer calls, coarser).",
            _HOW,
            metavar="words|spans",
        ),
    ] = "words"
    edit: Annotated[
        Literal["auto", "replace", "remove"],
        Option(
            "replace: a term with a neutral wording in the policy gets that, other words are taken out; "
            "where this does not flip, all are taken out. remove: words are only taken out. auto: remove at "
            "bare filters, replace at models and products.",
            _HOW,
            metavar="auto|replace|remove",
        ),
    ] = "auto"
    again: Annotated[
        int,
        Option(
            "Further draws by which each refusal and each flip is confirmed; a prompt whose draws disagree "
            "is unstable.",
            _HOW,
            min=0,
            max=20,
        ),
    ] = 2
    max_calls: Annotated[
        int,
        Option(
            "Most calls of the target for one prompt. For all together: --max-requests, --max-cost.",
            _HOW,
            min=1,
        ),
    ] = 100
    base_url: Annotated[
        tuple[str, ...],
        Option(
            "Where the API stands, if not where it stood in the run; a role is judge or target. Repeatable.",
            CALLS,
            metavar="[ROLE=]URL",
        ),
    ] = ()
    api_key_env: KeyNames = ()
    trust_addresses: TrustAddresses = False
    concurrency: Concurrency = 16
    timeout: Timeout = 180.0

    def models(self) -> ModelOptions:
        """How the judge of refusals is reached: where it was in the run, if nothing else is said."""
        reached = self.addresses(self.run)
        return ModelOptions(
            reached["base_url"],
            reached["api_key_env"],
            self.device,
            self.batch_size or 8,
            timeout=self.timeout,
            workers=self.workers,
        )

    def replaces(self, kind: str) -> bool:
        """Whether neutral wordings are tried at a target with this output."""
        return self.edit == "replace" or (self.edit == "auto" and kind != "none")


def explain(config: ExplainConfig, progress: Progress) -> Run:
    """Finds the words for which a run's benign prompts were refused. Returns the run with its new manifest.

    Raises:
        InputError: bad input, or the run is not complete.
        RunError: disk full, folder not writable, another process on the run.
        BudgetReached: a cap was reached; what was found so far is written and says so, and the same command
            with a higher cap goes on.
    """
    if config.batch:
        raise InputError(
            "--batch is of no use here: each edit rests on the answer to the one before",
            fix="Leave --batch out.",
        )
    reopened = reopen(config)
    todo = _todo(config, reopened)
    with reopened.working(config, progress, "explain") as work:
        began = time.monotonic()
        asking = reopened.asking(work, config, config.models())
        targets, stopped = _explained(config, reopened, asking, todo)
        found = Explanation(
            granularity=config.granularity,
            seed=config.seed,
            categories=config.category,
            limit=config.limit,
            complete=stopped is None,
            why=stopped.what if stopped else "",
            targets=tuple(targets),
        )
        _write(config, reopened.run, work, found, time.monotonic() - began)
    if stopped is not None:
        raise stopped
    return open_run(config.run, "run")


# -- which prompts -------------------------------------------------------------------------------------------


def _todo(config: ExplainConfig, reopened: Reopened) -> dict[str, list[Subject]]:
    """The refused benign prompts of each target. A prompt counts by its first draw.

    Raises:
        InputError: a target or a category that the run does not have.
    """
    run = reopened.run
    names = [spec.name for spec in reopened.specs]
    _refuse_unknown("this run has no target", config.target, names, run)
    categories = sorted({prompt.category for prompt in run.prompts})
    _refuse_unknown("no prompt of this run is of category", config.category, categories, run)
    later: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
    for outcome in run.outcomes:
        if outcome.sample > 0:
            later[outcome.target, outcome.prompt_id].append(outcome)
    return {
        name: sampled(
            [
                Subject(prompt, first, later[name, prompt.id])
                for prompt, first in _answered(config, run, name)
                if first.state == "refused"
            ],
            config.limit,
            config.seed,
        )
        for name in config.target or names
    }


def _refuse_unknown(what: str, given: Sequence[str], known: Sequence[str], run: Run) -> None:
    for name in given:
        if name not in known:
            raise InputError(
                f"{what} {plain(name)!r}",
                where=str(run.folder),
                fix=f"There is: {', '.join(map(plain, known))}",
            )


def _answered(config: ExplainConfig, run: Run, name: str) -> list[tuple[Prompt, Outcome]]:
    """The benign prompts that a target answered in their first draw, with the outcomes. Versions of prompts
    are left out: they would count a prompt with a person many times."""
    first = {
        o.prompt_id: o for o in run.outcomes if o.target == name and o.sample == 0 and o.state != "error"
    }
    return [
        (prompt, first[prompt.id])
        for prompt in run.prompts
        if prompt.label == "benign"
        and not prompt.variant_of
        and prompt.id in first
        and (not config.category or prompt.category in config.category)
    ]


# -- the search ----------------------------------------------------------------------------------------------


def _explained(
    config: ExplainConfig, reopened: Reopened, asking: Asking, todo: dict[str, list[Subject]]
) -> tuple[list[ExplainedTarget], BudgetReached | None]:
    """What was found at each target, in their order; they are asked side by side. After a cap each says what
    it found until then."""
    judging = asking.judging()
    specs = [spec for spec in reopened.specs if todo.get(spec.name)]
    searches = {name: _searches(config, reopened, name, subjects) for name, subjects in todo.items()}

    def searched(channel: TargetChannel) -> BudgetReached | None:
        subjects = todo[channel.name]
        rounds = Rounds(asking, channel, judging, reopened.settings.samples or 1)
        with asking.work.stage(f"explain {channel.name}"[:40], len(subjects)) as advance:
            rounds.run(subjects, searches[channel.name], advance)
        return rounds.stopped

    opened = {spec.name: asking.channel(spec) for spec in specs[:1]}
    stops = results([asking.job(spec, searched, asking.channel, opened) for spec in specs])
    targets = [_target(config, reopened, name, subjects, searches[name]) for name, subjects in todo.items()]
    return targets, next((stop for stop in stops if stop is not None), None)


def _searches(
    config: ExplainConfig, reopened: Reopened, name: str, subjects: Sequence[Subject]
) -> list[Search]:
    """The searches at one target, none of them begun."""
    replaces = config.replaces(reopened.run.results.kinds.get(name, "image"))
    return [
        search_of(
            subject,
            reopened.policy,
            granularity=config.granularity,
            replaces=replaces,
            again=config.again,
            most=config.max_calls,
        )
        for subject in subjects
    ]


def _target(
    config: ExplainConfig,
    reopened: Reopened,
    name: str,
    subjects: Sequence[Subject],
    searches: Sequence[Search],
) -> ExplainedTarget:
    from overt.scoring.explain.terms import Asked, explained_target

    kind = reopened.run.results.kinds.get(name, "image")
    rows = _answered(config, reopened.run, name)
    found = [(s.prompt, s.outcome, search.found) for s, search in zip(subjects, searches, strict=True)]
    return explained_target(Asked(name, kind, "replace" if config.replaces(kind) else "remove", rows, found))


def _write(config: ExplainConfig, run: Run, work: Work, found: Explanation, seconds: float) -> None:
    """Writes the results, and the manifest anew with what the explaining was."""
    statuses: Counter[str] = Counter()
    for target in found.targets:
        statuses.update(target.statuses)
    if work.unanswered:
        work.progress.note(
            f"{work.unanswered} calls got no answer, and count as neither yes nor no; the same command makes "
            "them again"
        )
    explanation_file(run.folder).parent.mkdir(exist_ok=True)
    write_explanation(run.folder, found)
    facts = {
        "granularity": config.granularity,
        "edit": config.edit,
        "again": config.again,
        "max_calls": config.max_calls,
        "limit": config.limit,
        "seed": config.seed,
        "complete": found.complete,
        "tried": sum(target.tried for target in found.targets),
        "statuses": dict(statuses),
        "unanswered": work.unanswered,
        "calls": work.caller.stats.snapshot(),
    }
    clock = {**run.results.seconds, "explain": round(seconds, 3)}
    work.folder.finish({**run.manifest_data, "explain": facts, "seconds": clock}, RESULTS)
