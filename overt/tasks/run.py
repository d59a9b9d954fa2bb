"""`overt run`: prompts -> target -> outcome, one target after the other; then the summary.

A resumed run repeats all steps: finished calls come from the journal, failed ones are tried again.
"""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, ClassVar

from overt.data.errors import InputError
from overt.data.json_types import Json
from overt.data.outcomes import Outcome
from overt.data.progress import Progress
from overt.data.prompts import Side
from overt.data.records import Prompt
from overt.data.results.files import explanation_file, remedy_file, write_summary
from overt.data.run.finished import RESULTS, Modality, Run, open_run
from overt.data.suites.load import load_suite
from overt.data.tables.sources import digest_source
from overt.data.templates import load_template
from overt.policies.load import load_policy
from overt.policies.schema import Policy
from overt.scoring.summary.summarize import summary_of
from overt.tasks import trust
from overt.tasks.again import command_anew
from overt.tasks.asking import (
    Asking,
    Job,
    ToAsk,
    check_extras,
    is_offline,
    modality_of,
    prompts_to_ask,
    request_of,
)
from overt.tasks.config import (
    CALLS,
    RUN,
    ModelConfig,
    Option,
    OutputConfig,
    Resume,
    Timeout,
    TrustAddresses,
)
from overt.tasks.generate_gold import label_notes
from overt.tasks.targets import (
    TargetOptions,
    TargetSpec,
    check_files,
    read_spec,
    resolve_target,
    specs_from_json,
)
from overt.tasks.task import Start, Work, default_folder, record_of, resumed_run, working

_DATA = "What goes in"
_TARGET = "What is tested"
_TEXT = "Language models"


class RunConfig(ModelConfig, OutputConfig):
    kind: ClassVar[str] = "run"
    roles: ClassVar[frozenset[str]] = frozenset({"target", "judge"})

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
    target: Annotated[
        tuple[str, ...],
        Option(
            "provider/model, filter/NAME, guarded/PRODUCT.yaml, http/MODEL.yaml, or your own "
            "module:Class. Repeatable.",
            _TARGET,
            decides="content",
        ),
    ] = ()
    filter: Annotated[
        tuple[str, ...],
        Option(
            "A text filter in front of every target, such as filter/better-profanity. Repeatable.",
            _TARGET,
            metavar="NAME",
            decides="content",
        ),
    ] = ()
    checker: Annotated[
        tuple[str, ...],
        Option(
            "An image checker behind every target, such as checker/nudenet. Repeatable.",
            _TARGET,
            metavar="NAME",
            decides="content",
        ),
    ] = ()
    every_layer: Annotated[
        bool,
        Option(
            "Let each layer decide even where an earlier one said no, so that the report can say what "
            "each one adds. Costs more calls.",
            _TARGET,
            decides="value",
        ),
    ] = False
    policy: Annotated[
        str | None,
        Option(
            "Policy to judge by. Default: that of the run given as DATASET, else overt.",
            _DATA,
            decides="policy",
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
    category: Annotated[
        tuple[str, ...], Option("Only these categories. Repeatable.", _DATA, decides="value")
    ] = ()
    suite: Annotated[
        str | None,
        Option(
            "A published suite for language models (overt suites list), or a YAML of your own. DATASET "
            "then names its local files; without any it comes from the Hub.",
            _DATA,
            decides="value",
            is_source=True,
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
    samples: Annotated[int, Option("Draws per prompt.", _TARGET, min=1, max=100, decides="value")] = 1
    seed: Annotated[int, Option("Seed of every draw.", _TARGET, decides="value")] = 0
    device: Annotated[str | None, Option("Device of local models: cuda, mps, cpu.", _TARGET)] = None
    batch_size: Annotated[int | None, Option("Batch of local models.", _TARGET, min=1, max=1024)] = None
    trust_remote_code: Annotated[bool, Option("Run code that a model's repo brings.", _TARGET)] = False
    judge: Annotated[
        str | None,
        Option(
            "Who tells refusals in words: judge/rules or judge/PROVIDER/MODEL. "
            "Default: the suite's own, else judge/rules.",
            _TEXT,
            decides="value",
        ),
    ] = None
    system: Annotated[str, Option("File with a system prompt.", _TEXT, decides="value", reads="text")] = ""
    max_tokens: Annotated[int, Option("Longest answer, in tokens.", _TEXT, min=1, decides="value")] = 512
    temperature: Annotated[float, Option("", _TEXT, min=0.0, max=2.0, decides="value")] = 0.0
    base_url: Annotated[
        tuple[str, ...],
        Option(
            "Where the API stands; a role is target or judge. For one target alone: NAME?base_url=URL.",
            CALLS,
            metavar="[ROLE=]URL",
        ),
    ] = ()
    api_key_env: Annotated[
        tuple[str, ...],
        Option(
            "Environment variable that holds the key. For one target alone: NAME?api_key_env=NAME.",
            CALLS,
            metavar="[ROLE=]NAME",
        ),
    ] = ()
    trust_addresses: TrustAddresses = False
    timeout: Timeout = 180.0
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

    def settled(self) -> RunConfig:
        judge = self.judge or (load_suite(self.suite).judge if self.suite else "judge/rules")
        target, filters = self.target, self.filter
        if not target and filters:  # without a target the last filter becomes it
            target, filters = filters[-1:], filters[:-1]
        return self.model_copy(update={"judge": judge, "target": target, "filter": filters})

    def targets(self, addresses: Mapping[str, Mapping[str, str]]) -> TargetOptions:
        url, key = (by.get("target", by.get("")) for by in (addresses["base_url"], addresses["api_key_env"]))
        return TargetOptions(
            url,
            key,
            self.device,
            self.batch_size,
            self.trust_remote_code,
            self.timeout,
            self.concurrency,
            self.system,
            self.max_tokens,
            self.temperature,
        )


# -- what is to be asked ----------------------------------------------------------------------------------


def evaluate(config: RunConfig, progress: Progress) -> Run:
    """Runs or resumes an evaluation; the finished run.

    Raises:
        InputError: bad input, or the folder holds another run.
        RunError: disk full, folder not writable, another process on the run, a target that rejects all.
        BudgetReached: a cap was reached; the same command with a higher cap goes on.
    """
    config, start, specs = started(config)
    modality = "text" if config.suite is not None else start.policy.modality
    asked = prompts_to_ask(
        config.dataset,
        suite=config.suite,
        label=config.label,
        category=config.category,
        limit=config.limit,
    )
    if not Run(start.folder, start.record).is_complete:
        for spec in specs:  # a wrong name should cost nothing, not even the folder
            check_files(spec)
            check_extras(spec.name, getattr(resolve_target(spec, modality), "takes", None), asked.prompts)
    with working(start, config.caller, progress) as work:
        if work is not None:
            work.notes += [*asked.notes, *label_notes(config.dataset)]
            _ask(config, start, work, specs, asked, modality)
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
        policy = _policy(config)
        specs = [read_spec(name, config.filter, config.checker) for name in config.target]
    config = config.settled()
    addresses = trust.settled_addresses(config, run.folder if run is not None else None, specs)
    names = Counter(spec.name for spec in specs)
    if twice := [name for name, count in names.items() if count > 1]:
        raise InputError(f"{twice[0]} is named twice", fix="Give each --target once.")
    record = record_of(config, policy, _inputs(config, policy, specs))
    if run is not None:
        record = dataclasses.replace(record, overt=run.record.overt)
    folder = config.resume or config.out or default_folder(record, "run")
    anew = command_anew(config, addresses, folder) if config.resume is not None else ""
    return config, Start(record, policy, folder, addresses, config.defaults(), anew), specs


def _policy(config: RunConfig) -> Policy:
    """The policy named, else the one that a data set was generated for, else the standard one."""
    if config.policy is not None:
        return load_policy(config.policy)
    for dataset in config.dataset:
        if (file := Path(dataset) / "policy.yaml").is_file():
            return load_policy(str(file))
    return load_policy("chat_assistant" if config.suite else "overt")


def _inputs(config: RunConfig, policy: Policy, specs: Sequence[TargetSpec]) -> dict[str, Json]:
    """Hashes of what the run reads, and its targets with the files that their names point to."""
    is_text = config.suite is not None or policy.modality == "text"
    judge = config.judge or ""
    return {
        "dataset": [digest_source(spec) for spec in config.dataset],
        "suite": load_suite(config.suite).hash if config.suite is not None else None,
        "targets": [spec.to_json() for spec in specs],
        "template": None if is_offline(judge) else load_template("scoring", "judge_refusal").hash,
        "modality": "text" if is_text else "image",
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
    outcomes: list[Outcome] = []
    kinds: dict[str, Modality] = {}
    total = len(prompts) * config.samples
    asked = [prompt for prompt in prompts for _ in range(config.samples)]
    for spec in specs:
        channel = ask.channel_for(spec, to_ask)
        kinds[spec.name] = modality_of(channel.subject)
        found = ask.fire(channel, _jobs(config, prompts), total, purpose=channel.name)
        if kinds[spec.name] == "text":
            with work.progress.stage(ask.judge[:40], len(found)) as advance:
                found = ask.judged(asked, found, judging, advance)
        outcomes += found
        work.folder.write_stage("outcomes", outcomes)
    work.seconds["run"] = time.monotonic() - began
    _finish(config, start, work, prompts, outcomes, kinds)


def _jobs(config: RunConfig, prompts: Sequence[Prompt]) -> Iterator[Job]:
    for prompt in prompts:
        for sample in range(config.samples):
            yield (prompt, sample), request_of(prompt, sample, config.seed), prompt.category


def _finish(
    config: RunConfig,
    start: Start,
    work: Work,
    prompts: Sequence[Prompt],
    outcomes: Sequence[Outcome],
    kinds: Mapping[str, Modality],
) -> None:
    """Writes the summary, and the manifest last."""
    for what, added in (("rewrite", remedy_file), ("explain", explanation_file)):
        if (file := added(start.folder)).exists():  # its figures belong to the earlier outcomes
            file.unlink()
            work.notes.append(
                f"what `overt {what}` found was of the answers before; it makes it anew from the journal"
            )
    judged = Run(start.folder, start.record)
    summary = summary_of(start.policy, prompts, outcomes, judged.harms, kinds, judged.as_asked)
    write_summary(start.folder, summary)
    if work.unanswered:
        work.notes.append(f"{work.unanswered} prompts got no answer; the same command asks them again")
    work.folder.finish(
        {
            "identity": start.record.to_json(),
            "command": "overt run",
            "kinds": kinds,
            # Set if any target answered in text, also under an image policy.
            "refusal_judge": config.judge if "text" in kinds.values() else None,
            "below_coverage": [t.name for t in summary.targets if t.coverage.share < config.min_coverage],
            **work.facts(),
        },
        RESULTS,
    )
