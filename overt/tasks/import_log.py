"""`overt import-log`: a log of Inspect becomes a run, which report, compare, gate and review read.

No model is asked: the answers are those that the log holds. judge/rules, or the judge that the user names,
reads them anew; what a model or a class judged is taken as it stands in the log.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar

from overt import registry
from overt.calls import CallerOptions
from overt.data.errors import InputError
from overt.data.json_types import Json
from overt.data.outcomes import Outcome
from overt.data.progress import Progress, Silent
from overt.data.run.finished import Run, open_run
from overt.data.run.record import LOG
from overt.data.tables.sources import digest_files
from overt.harness.inspect_logs import InspectLog, is_log, read_log
from overt.harness.inspect_outputs import needs_model
from overt.policies.load import load_policy, read_policy
from overt.scoring.text_answers import judge_answers, offline
from overt.tasks.config import RUN, Option, OutputConfig
from overt.tasks.run import RunConfig, finish
from overt.tasks.targets import TargetSpec
from overt.tasks.task import Start, Work, default_folder, record_of, working


class ImportLogConfig(OutputConfig):
    kind: ClassVar[str] = "import-log"

    log: Annotated[
        Path,
        Option("A log of Inspect, .eval or .json, of a task of overt.", metavar="LOG", is_argument=True),
    ]
    judge: Annotated[
        str | None,
        Option(
            "Who tells refusals in words: judge/rules, or your own module:Class. Default: the log's own "
            "judge; what a model judged is taken from the log."
        ),
    ] = None
    policy: Annotated[
        str | None, Option("Policy whose categories the tables show. Default: that of the log.")
    ] = None
    min_coverage: Annotated[
        float,
        Option(
            "Share of prompts that must have been answered; below it the exit code is 3.",
            RUN,
            min=0.0,
            max=1.0,
        ),
    ] = 0.95
    out: Annotated[Path | None, Option("Folder of the run. Default: runs/inspect-HASH.", RUN)] = None


def import_log(config: ImportLogConfig, progress: Progress) -> Run:
    """Makes a run of a log, or finds the one that was made of it; the finished run.

    Raises:
        InputError: Inspect is not installed, the file is no log of ours, the folder holds something else.
        RunError: disk full, folder not writable.
    """
    if config.judge is not None and needs_model(config.judge):
        raise InputError(
            f"{config.judge} is a model, and no model is asked here",
            fix=f"Judge in Inspect, then read the log: inspect score {config.log} --scorer overt/refusal "
            f"-S judge={config.judge}",
        )
    log = read_log(config.log)
    policy = load_policy(config.policy) if config.policy else read_policy(log.policy, str(config.log))
    settled = RunConfig.made(
        {
            "dataset": (str(config.log),),
            "target": (log.model,),
            "suite": log.suite,
            "judge": config.judge or log.judge,
            "min_coverage": config.min_coverage,
            "samples": max((outcome.sample for outcome in log.outcomes), default=0) + 1,
            **{name: value for name, value in log.limits.items() if value is not None},
        }
    )
    inputs: dict[str, Json] = {
        "dataset": [digest_files(config.log)],
        "targets": [TargetSpec(log.model, name=log.model).to_json()],
        "modality": "text",
        LOG: "Inspect",
    }
    record = record_of(settled, policy, inputs)
    folder = config.out or default_folder(record, "inspect")
    start = Start(record, policy, folder, {}, {})
    with working(start, CallerOptions(), progress) as work:
        if work is not None:
            _write(settled, start, work, log, config.judge)
    return open_run(folder, "run")


def _write(config: RunConfig, start: Start, work: Work, log: InspectLog, judge: str | None) -> None:
    work.folder.write_stage("prompts", log.prompts)
    work.notes += log.notes
    began = time.monotonic()
    if judge is None and _is_taken_from_log(log.judge):
        outcomes: Sequence[Outcome] = log.judged
        work.note(f"the verdicts of {log.judge} are those of the log")
    else:
        name = judge or log.judge
        prompts = {prompt.id: prompt for prompt in log.prompts}
        rows = [(prompts[outcome.prompt_id], outcome) for outcome in log.outcomes]
        outcomes = list(judge_answers(rows, name, offline(registry.load_refusal_judge(name))))
    work.folder.write_stage("outcomes", outcomes)
    work.seconds["run"] = time.monotonic() - began
    finish(config, start, work, log.prompts, outcomes, {log.model: "text"}, planned=log.planned)


def _is_taken_from_log(judge: str) -> bool:
    """Whether this judge's verdicts are taken as they stand. A class is loaded only where the user names it:
    a log may come from anywhere."""
    return needs_model(judge) or ":" in judge


def run_of(path: Path) -> Path:
    """The folder of a run: the path itself, or for a log of Inspect that of the run made of it.

    Raises:
        InputError: as `import_log`.
    """
    return import_log(ImportLogConfig(log=path), Silent()).folder if is_log(path) else path
