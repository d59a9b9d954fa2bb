"""`overt run`: prompts -> targets, side by side where they can -> outcomes; then the summary.

A resumed run repeats all steps: finished calls come from the journal, failed ones are tried again.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from overt.calls.target_channel import TargetChannel
from overt.data.asked import ToAsk, check_batch, check_extras, prompts_to_ask
from overt.data.errors import InputError
from overt.data.json_types import Json
from overt.data.progress import Progress
from overt.data.records import Prompt
from overt.data.results.files import calibration_file, explanation_file, remedy_file, write_summary
from overt.data.results.summary import Summary
from overt.data.run import brief
from overt.data.run.counted import counted_from
from overt.data.run.finished import RESULTS, Modality, Run, open_run
from overt.data.run.outcome_parts import EPISODES, OutcomeParts
from overt.data.run.record import ENVIRONMENT, RunRecord
from overt.data.run.shards import RANKS, read_shard
from overt.data.suites.episodes.load import EpisodeSuite, list_episode_suites
from overt.data.suites.load import load_suite
from overt.data.suites.rows import file_of
from overt.data.suites.schema import Suite
from overt.data.tables.extras import picture_files
from overt.data.tables.sources import digest_files, digest_source
from overt.data.templates import load_template
from overt.policies.load import load_policy, policy_of
from overt.policies.schema import Policy
from overt.scoring.summary.gather import AnyOutcome
from overt.scoring.summary.summarize import summary_of
from overt.scoring.unknown_codes import unknown_said
from overt.tasks import trust
from overt.tasks.again import command_anew
from overt.tasks.asking import Asking, is_offline, modality_of
from overt.tasks.episodes import Playing, playing_of, settings_of, write_figures, write_replays
from overt.tasks.generate_gold import label_notes
from overt.tasks.lanes import finished
from overt.tasks.run_config import RunConfig as RunConfig
from overt.tasks.targets import (
    TargetSpec,
    check_both,
    check_files,
    instructions_of,
    resolve_target,
    specs_from_json,
    specs_of,
)
from overt.tasks.task import Start, Work, default_folder, record_of, resumed_run, working
from overt.workers.hiring import kept
from overt.workers.spread import spread_of

# -- what is to be asked ----------------------------------------------------------------------------------


def evaluate(config: RunConfig, progress: Progress) -> Run:
    """Runs or resumes an evaluation; the finished run.

    Raises:
        InputError: bad input, or the folder holds another run.
        RunError: disk full, folder not writable, another process on the run, a target that rejects all.
        BudgetReached: a cap was reached; the same command with a higher cap goes on.
    """
    config, start, specs = started(config)
    modality = str(start.record.inputs["modality"])
    playing = _playing(config)
    asked = playing.to_ask if playing is not None else _asked(config)
    if not Run(start.folder, start.record).is_complete:
        for spec in specs:  # a wrong name should cost nothing, not even the folder
            check_files(spec)
            target = resolve_target(spec, modality)
            check_extras(spec.name, getattr(target, "takes", None), asked.prompts)
            if playing is not None:
                playing.check(spec.name, getattr(target, "takes", None))
            if config.batch and not config.batch_cancel:
                check_batch(spec.name, target, asked.prompts)
    with working(start, config.caller, progress) as work, kept(spread_of(config.workers)):
        if work is not None:
            notes = asked.notes if playing is None else playing.notes
            work.notes += [*notes, *label_notes(config.dataset)]
            if config.shard is not None:
                work.folder.write_stage(RANKS, asked.ranks)
            # A shard may hold no prompt; then no target is opened.
            _ask(config, start, work, specs if asked.prompts else [], asked, modality, playing)
    return open_run(start.folder, "run", played=True)


def _asked(config: RunConfig) -> ToAsk:
    """The prompts that are asked one by one."""
    if config.of or config.setting or config.turns:
        raise InputError(
            "--of, --setting and --turns are for suites of many turns",
            fix=f"Leave them out, or name one: --suite {' or --suite '.join(list_episode_suites())}",
        )
    return prompts_to_ask(
        config.dataset,
        suite=config.suite,
        label=config.label,
        category=config.category,
        limit=config.limit,
        pictures=config.picture,
        shard=read_shard(config.shard),
        attacks=config.attacks,
    )


def _playing(config: RunConfig) -> Playing | None:
    """The suite of many turns, ready to be played."""
    if (suite := config.played) is None:
        return None
    given = {
        "--batch": config.batch,
        "--shard": config.shard,
        "--picture": config.picture,
        "--attack": config.attacks,
        "--both": config.both,
    }
    if refused := [flag for flag, value in given.items() if value]:
        raise InputError(
            f"{refused[0]} does not go with {suite.name}: what is asked next hangs on the answer before",
            fix="Leave it out.",
        )
    return playing_of(
        suite,
        settings=settings_of(config.setting),
        dataset=config.dataset,
        of=config.of,
        turns=config.turns,
        trials=config.samples or 1,
        label=config.label,
        category=config.category,
        limit=config.limit,
    )


def started(config: RunConfig) -> tuple[RunConfig, Start, list[TargetSpec]]:
    """Returns the configuration with all defaults filled in, the run to make or resume, and its targets.

    Raises:
        InputError: no data set, no target, a wrong name, options that contradict each other.
    """
    run = None
    if config.resume is not None:
        run = resumed_run(config.resume, "run", out=config.out)
        config = config.resumed(run.record.config, run.record.given)
        policy = load_policy(str(run.policy_file))
        specs = specs_from_json(run.record.inputs.get("targets"))
    else:
        if not config.dataset and config.suite is None:
            raise InputError(
                "no data set was named",
                fix="For instance: overt run runs/first --target filter/better-profanity",
            )
        config = config.settled()
        if not config.target:
            raise InputError(
                "no target was named",
                fix="For instance: --target filter/better-profanity, --target openai/gpt-image-1",
            )
        policy = policy_of(config.policy, config.dataset, _asks_for(config))
        specs = specs_of(config.target, config.filter, config.checker)
        check_both(config.both, specs)
    config = config.settled()
    read_shard(config.shard)  # a wrong one should cost nothing
    addresses = trust.settled_addresses(config, run.folder if run is not None else None, specs)
    record = record_of(config, policy, _inputs(config, policy, specs))
    if run is not None:
        record = dataclasses.replace(record, overt=run.record.overt)
    folder = config.resume or config.out or default_folder(record, "run")
    anew = command_anew(config, addresses, folder) if config.resume is not None else ""
    return config, Start(record, policy, folder, addresses, config.defaults(), anew), specs


def _asks_for(config: RunConfig) -> str:
    """What a suite asks for; of other prompts pictures, where no policy says otherwise."""
    suite = load_suite(config.of) if config.of else _suite(config)
    return suite.modality if suite is not None else "image"


def _modality(config: RunConfig, policy: Policy) -> str:
    """What is asked for: as the suite says; of prompts that are of none, as the policy says."""
    is_of_none = config.suite is None or (config.played is not None and not config.of and config.dataset)
    return policy.modality if is_of_none else _asks_for(config)


def _suite(config: RunConfig) -> Suite | EpisodeSuite | None:
    return config.played or (load_suite(config.suite) if config.suite else None)


def _inputs(config: RunConfig, policy: Policy, specs: Sequence[TargetSpec]) -> dict[str, Json]:
    """Hashes of what the run reads, and its targets with the files that their names point to."""
    suite, judge = _suite(config), config.judge or ""
    of = suite if isinstance(suite, Suite) else load_suite(config.of) if config.of else None
    return {
        "dataset": [digest_source(file_of(of, spec)) for spec in config.dataset],
        "suite": suite.hash if suite is not None else None,
        **({ENVIRONMENT: suite.environment} if isinstance(suite, EpisodeSuite) else {}),
        "targets": [spec.to_json() for spec in specs],
        "template": None if is_offline(judge) else load_template("scoring", "judge_refusal").hash,
        "modality": _modality(config, policy),
        **({"instructions": asked} if (asked := instructions_of(specs)) else {}),
        **({"pictures": [digest_files(p) for p in picture_files(config.picture)]} if config.picture else {}),
    }


# -- the asking -------------------------------------------------------------------------------------------


def _ask(
    config: RunConfig,
    start: Start,
    work: Work,
    specs: Sequence[TargetSpec],
    to_ask: ToAsk,
    modality: str,
    playing: Playing | None,
) -> None:
    prompts, samples = to_ask.prompts, config.samples or 1
    work.folder.write_stage("prompts", prompts)
    began = time.monotonic()
    ask = Asking(
        work,
        modality,
        config.every_layer,
        config.judge or "judge/rules",
        config.seed,
        config.targets(start.addresses),
        config.models(start.addresses),
    )
    # Under an image policy too, since a target may answer in text.
    judging = ask.judging()
    ahead: dict[str, TargetChannel] = {}
    if config.batch and not config.batch_cancel:
        ahead = ask.sent_ahead(specs, to_ask, samples)
    with (
        OutcomeParts(work.folder, len(specs)) as parts,
        OutcomeParts(work.folder, len(specs), EPISODES) as episodes,
    ):

        def fire(number: int, channel: TargetChannel) -> Modality:
            if playing is not None:
                parts.write(number, playing.outcomes(number, channel, ask, judging, episodes))
            else:
                parts.write(number, ask.outcomes(channel, to_ask, samples, judging))
            return modality_of(channel.subject)

        def open_(spec: TargetSpec) -> TargetChannel:
            return ask.channel_for(spec, to_ask)

        jobs = [ask.job(spec, partial(fire, n), open_, ahead) for n, spec in enumerate(specs)]
        found: dict[int, Modality] = {}
        for number, kind in finished(jobs):
            found[number] = kind
            parts.join()
            if playing is not None:
                episodes.join()
        kinds = {spec.name: found[n] for n, spec in enumerate(specs)}
    if playing is not None:
        write_figures(start.folder, playing)
        for note in write_replays(start.folder, playing.environment):
            work.keep(note)
    work.seconds["run"] = time.monotonic() - began
    finish(config, start, work, prompts, brief.outcomes_of(start.folder), kinds)


# What other commands add to a run, the file that holds it, and what it is made of.
_ADDED = (
    ("rewrite", remedy_file, " from the journal"),
    ("explain", explanation_file, " from the journal"),
    ("calibrate", calibration_file, " of these"),
)


def finish(
    config: RunConfig,
    start: Start,
    work: Work,
    prompts: Sequence[Prompt],
    outcomes: Iterable[AnyOutcome],
    kinds: Mapping[str, Modality],
    *,
    planned: int = 0,
) -> None:
    """Writes the summary, and the manifest last.

    Args:
        planned: how many outcomes there should be of each target; of those that are not there nobody knows.
    """
    for what, added, again in _ADDED:
        if (file := added(start.folder)).exists():  # its figures belong to the earlier outcomes
            file.unlink()
            work.keep(f"what `overt {what}` found was of the answers before; it makes it anew{again}")
    harms, as_asked = brief.harms_of(start.folder), brief.as_asked_of(start.folder)
    summary = summary_of(start.policy, prompts, outcomes, harms, kinds, as_asked)
    write_summary(start.folder, summary)
    if work.unanswered:
        work.keep(unanswered_said(work.unanswered, "turns" if config.played else "prompts"))
    for name, codes in work.unknown.items():
        work.keep(unknown_said(name, codes))
    for name, mass in work.masses.items():
        for note in mass.notes(name):
            work.keep(note)
    facts = results_facts(start.record, summary, kinds, planned=planned)
    work.folder.finish({**facts, "counted": counted_from(start.folder), **work.facts()}, RESULTS)


def unanswered_said(count: int, what: str = "prompts") -> str:
    """The note on prompts, or turns of episodes, without an answer."""
    return f"{count} {what} got no answer; the same command asks them again"


def results_facts(
    record: RunRecord, summary: Summary, kinds: Mapping[str, Modality], *, planned: int = 0
) -> dict[str, Json]:
    """What the manifest says of a run's results.

    Args:
        planned: as in `finish`.
    """
    least = Run(Path(), record).min_coverage
    return {
        "identity": record.to_json(),
        "command": "overt run",
        "kinds": dict(kinds),
        # Set if any target answered in text, also under an image policy.
        "refusal_judge": record.value("judge") if "text" in kinds.values() else None,
        "below_coverage": [
            t.name for t in summary.targets if t.coverage.answered / max(t.coverage.asked, planned, 1) < least
        ],
    }
