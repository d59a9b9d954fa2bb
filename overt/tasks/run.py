"""`overt run`: prompts -> targets, side by side where they can -> outcomes; then the summary.

A resumed run repeats all steps: finished calls come from the journal, failed ones are tried again.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar

from overt.calls.target_channel import TargetChannel
from overt.data.asked import ToAsk, check_batch, check_extras, prompts_to_ask
from overt.data.errors import InputError
from overt.data.json_types import Json
from overt.data.progress import Progress
from overt.data.prompts import Side
from overt.data.records import Prompt
from overt.data.results.files import calibration_file, explanation_file, remedy_file, write_summary
from overt.data.results.summary import Summary
from overt.data.run import brief
from overt.data.run.counted import counted_from
from overt.data.run.finished import RESULTS, Modality, Run, open_run
from overt.data.run.outcome_parts import OutcomeParts
from overt.data.run.record import RunRecord
from overt.data.run.shards import RANKS, read_shard
from overt.data.suites.load import load_suite, settled_name
from overt.data.suites.rows import file_of
from overt.data.tables.attacks import AttackNames
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
from overt.tasks.config import (
    RUN,
    Option,
    OutputConfig,
    Resume,
    TrustAddresses,
)
from overt.tasks.generate_gold import label_notes
from overt.tasks.lanes import finished
from overt.tasks.target_config import TARGET, TargetConfig
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

_DATA = "What goes in"


class RunConfig(TargetConfig, OutputConfig):
    kind: ClassVar[str] = "run"

    dataset: Annotated[
        tuple[str, ...],
        Option(
            "Runs of `overt generate`, CSV/JSONL/Parquet files (FILE:COLUMN), OVERT's csv files, or "
            "Hub ids. Benign and unsafe ones together.",
            metavar="DATASET...",
            decides="value",
            is_argument=True,
            is_source=True,
        ),
    ] = ()
    policy: Annotated[
        str | None,
        Option(
            "Policy to judge by. Default: that of the run given as DATASET, else overt.",
            _DATA,
            decides="policy",
            completes="policy",
        ),
    ] = None
    label: Annotated[
        Side | None,
        Option(
            "What the prompts are, where the file does not say it.",
            _DATA,
            metavar="benign|unsafe",
            decides="value",
        ),
    ] = None
    attack: Annotated[
        str | None,
        Option(
            "The attack that dresses the prompts (pair, gptfuzzer ...), where the file does not name it.",
            _DATA,
            metavar="NAME",
            decides="value",
        ),
    ] = None
    attack_column: Annotated[
        str | None,
        Option("The column of the attacks' names.", _DATA, metavar="NAME", decides="value"),
    ] = None
    vanilla_column: Annotated[
        str | None,
        Option(
            "The column of what was asked before an attack dressed it: harm is judged on that.",
            _DATA,
            metavar="NAME",
            decides="value",
        ),
    ] = None
    category: Annotated[
        tuple[str, ...], Option("Only these categories. Repeatable.", _DATA, decides="value")
    ] = ()
    suite: Annotated[
        str | None,
        Option(
            "A published suite of text or of pictures (overt suites list), or a YAML of your own. DATASET "
            "then names its local files; without any it comes from the Hub.",
            _DATA,
            decides="value",
            is_source=True,
            completes="suite",
        ),
    ] = None
    limit: Annotated[
        int | None,
        Option(
            "At most so many prompts of each label, evenly over the categories.",
            _DATA,
            min=1,
            decides="value",
        ),
    ] = None
    samples: Annotated[int, Option("Draws per prompt.", TARGET, min=1, max=100, decides="value")] = 1
    shard: Annotated[
        str | None,
        Option(
            "Only this part of the prompts, such as 3/8, for a job of its own; `overt merge` puts the shards "
            "together.",
            _DATA,
            metavar="I/N",
            decides="value",
        ),
    ] = None
    trust_addresses: TrustAddresses = False
    min_coverage: Annotated[
        float,
        Option(
            "Share of prompts that must have been answered; below it the exit code is 3.",
            RUN,
            min=0.0,
            max=1.0,
            decides="value",
        ),
    ] = 0.95
    out: Annotated[Path | None, Option("Folder of the run. Default: runs/run-HASH.", RUN)] = None
    resume: Resume = None

    @property
    def attacks(self) -> AttackNames:
        """What is said of adversarial prompts in the data sets."""
        return AttackNames(self.vanilla_column, self.attack_column, self.attack)

    def settled(self) -> RunConfig:
        judge = self.judge or (load_suite(self.suite).judge if self.suite else "judge/rules")
        suite = self.suite and settled_name(self.suite)
        target, filters = self.asked
        return self.model_copy(update={"judge": judge, "target": target, "filter": filters, "suite": suite})


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
    asked = prompts_to_ask(
        config.dataset,
        suite=config.suite,
        label=config.label,
        category=config.category,
        limit=config.limit,
        pictures=config.picture,
        shard=read_shard(config.shard),
        attacks=config.attacks,
    )
    if not Run(start.folder, start.record).is_complete:
        for spec in specs:  # a wrong name should cost nothing, not even the folder
            check_files(spec)
            target = resolve_target(spec, modality)
            check_extras(spec.name, getattr(target, "takes", None), asked.prompts)
            if config.batch and not config.batch_cancel:
                check_batch(spec.name, target, asked.prompts)
    with working(start, config.caller, progress) as work, kept(spread_of(config.workers)):
        if work is not None:
            work.notes += [*asked.notes, *label_notes(config.dataset)]
            if config.shard is not None:
                work.folder.write_stage(RANKS, asked.ranks)
            # A shard may hold no prompt; then no target is opened.
            _ask(config, start, work, specs if asked.prompts else [], asked, modality)
    return open_run(start.folder, "run")


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
    return load_suite(config.suite).modality if config.suite is not None else "image"


def _inputs(config: RunConfig, policy: Policy, specs: Sequence[TargetSpec]) -> dict[str, Json]:
    """Hashes of what the run reads, and its targets with the files that their names point to."""
    suite, judge = load_suite(config.suite) if config.suite else None, config.judge or ""
    return {
        "dataset": [digest_source(file_of(suite, spec)) for spec in config.dataset],
        "suite": suite.hash if suite is not None else None,
        "targets": [spec.to_json() for spec in specs],
        "template": None if is_offline(judge) else load_template("scoring", "judge_refusal").hash,
        "modality": policy.modality if suite is None else suite.modality,
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
) -> None:
    prompts = to_ask.prompts
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
        ahead = ask.sent_ahead(specs, to_ask, config.samples)
    with OutcomeParts(work.folder, len(specs)) as parts:

        def fire(number: int, channel: TargetChannel) -> Modality:
            parts.write(number, ask.outcomes(channel, to_ask, config.samples, judging))
            return modality_of(channel.subject)

        def open_(spec: TargetSpec) -> TargetChannel:
            return ask.channel_for(spec, to_ask)

        jobs = [ask.job(spec, partial(fire, n), open_, ahead) for n, spec in enumerate(specs)]
        found: dict[int, Modality] = {}
        for number, kind in finished(jobs):
            found[number] = kind
            parts.join()
        kinds = {spec.name: found[n] for n, spec in enumerate(specs)}
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
        work.keep(unanswered_said(work.unanswered))
    for name, codes in work.unknown.items():
        work.keep(unknown_said(name, codes))
    for name, mass in work.masses.items():
        for note in mass.notes(name):
            work.keep(note)
    facts = results_facts(start.record, summary, kinds, planned=planned)
    work.folder.finish({**facts, "counted": counted_from(start.folder), **work.facts()}, RESULTS)


def unanswered_said(count: int) -> str:
    """The note on prompts without an answer."""
    return f"{count} prompts got no answer; the same command asks them again"


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
