"""`overt export --format sft | refusal-tokens`: prompts -> splits -> answers -> rows that TRL trains on.

    RUN/dataset/train.jsonl, validation.jsonl, test.jsonl   `prompt` and `completion` in messages
    RUN/dataset/README.md                                   the card; tokens.json for refusal tokens

It is a run like others: calls are journalled, and a resumed run repeats all steps and pays nothing twice.
The split of a prompt depends on the prompts and the seed alone, not on what anybody answered.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from overt.data.asked import prompts_to_ask
from overt.data.errors import InputError, RunError
from overt.data.json_types import Json
from overt.data.progress import Progress
from overt.data.records import Drop, Prompt
from overt.data.run.files import text_bytes, write_atomic
from overt.data.run.finished import Run, open_run
from overt.data.run.stage_counts import StageCounts
from overt.data.splits import SPLITS, leaks, read_shares
from overt.data.suites.load import load_suite
from overt.data.suites.rows import file_of
from overt.data.tables.sources import digest_source, parse_source
from overt.data.templates import load_template
from overt.data.training import Placed, TrainingRow
from overt.policies.load import load_policy, policy_of
from overt.scoring.dedupe import repeat_key
from overt.tasks import trust
from overt.tasks.asking import is_offline
from overt.tasks.config import checked_folder
from overt.tasks.export import check_named, kind_of_run, modality_said, prompts_of, suite_asked
from overt.tasks.export_config import OWN, ExportConfig
from overt.tasks.export_formats import TRAINING
from overt.tasks.export_making import Made, Making, template_of
from overt.tasks.export_placing import READ, placed_prompts
from overt.tasks.export_plain import plain_digest
from overt.tasks.task import Start, default_folder, record_of, resumed_run, working

DATASET = "dataset"
_PICTURES = ("image_prompt", "benign_image_prompt", "unsafe_image_prompt")  # columns of OVERT's files


def export_training(config: ExportConfig, progress: Progress) -> Run:
    """Makes or resumes an export of training data. Returns the finished run.

    Raises:
        InputError: bad input, or the folder holds another run.
        RunError: disk full, folder not writable, another process on the run, no row came.
        BudgetReached: a cap was reached; the same command with a higher cap goes on.
    """
    config, start, modality = started(config)
    prompts, notes = _prompts(config)
    placed, losses = placed_prompts(prompts, read_shares(config.split), config.seed)
    TRAINING[config.format].check(config, placed, start.policy)
    with working(start, config.caller, progress) as work:
        if work is not None:
            work.notes += notes
            models = config.models(start.addresses)
            counts = StageCounts()
            making = Making(config, work, start.policy, modality, placed, models, counts)
            _count_read(making, prompts, losses)
            work.folder.write_stage("prompts", [one.prompt for one in placed])  # what the floor let through
            made = TRAINING[config.format].make(making)
            _finish(making, start, made)
    return open_run(start.folder, "export")


def started(config: ExportConfig) -> tuple[ExportConfig, Start, str]:
    """Returns the configuration with all defaults filled in, the run to make or resume, and what its prompts
    ask for, "text" or "image".

    Raises:
        InputError: no data set, a wrong name, options that contradict each other.
    """
    run = None
    if config.resume is not None:
        run = resumed_run(config.resume, "export", out=config.out)
        config = config.resumed(run.record.config, run.record.given)
    config.check_options()
    check_named(config)
    checked_folder(config.templates, "--templates")
    read_shares(config.split)  # a wrong one should cost nothing
    config = config.settled()
    modality = _modality(config)
    if run is not None:
        policy = load_policy(str(run.policy_file))
    else:
        policy = policy_of(None, config.dataset, modality)
    if config.answers != OWN and config.of is not None:
        raise InputError("--of goes with the answers of a run", fix="Leave out --of, or --answers.")
    record = record_of(config, policy, _inputs(config, modality))
    if run is not None:
        record = dataclasses.replace(record, overt=run.record.overt)
    folder = config.resume or config.out or default_folder(record, config.format)
    addresses = trust.settled_addresses(config, run.folder if run is not None else None)
    return config, Start(record, policy, folder, addresses, config.defaults()), modality


def _inputs(config: ExportConfig, modality: str) -> dict[str, Json]:
    """Hashes of what the export reads."""
    suite = load_suite(config.suite) if config.suite else None
    names = TRAINING[config.format].templates(config, modality)
    own = {name: template_of(name, config) for name in names}
    judge = config.judge or ""
    return {
        "dataset": [digest_source(_read_of(file_of(suite, spec))) for spec in config.dataset],
        "suite": suite.hash if suite is not None else None,
        "modality": modality,
        "plain": plain_digest(config),
        "templates": {name: {"label": t.label, "hash": t.hash} for name, t in own.items()},
        "template": None if is_offline(judge) else load_template("scoring", "judge_refusal").hash,
    }


def _read_of(source: str) -> str:
    """The folder or file of a source that is read: of a run of `overt run` its prompts and outcomes."""
    return str(Path(source) / "stages") if kind_of_run(Path(source)) == "run" else source


def _modality(config: ExportConfig) -> str:
    """What the prompts ask for. A data set of which nothing says it asks for words, unless its columns are
    those of OVERT."""
    suite = load_suite(config.suite) if config.suite is not None else suite_asked(config.dataset)
    if suite is not None:
        return suite.modality
    said = {modality_said(Path(source)) or _by_columns(source) for source in config.dataset}
    return "image" if "image" in said else "text"


def _by_columns(source: str) -> str:
    if Path(source).is_dir():
        return ""
    first = next((row for table in parse_source(source).tables() for row in table.rows()), None)
    return "image" if first is not None and not first.values.keys().isdisjoint(_PICTURES) else ""


def _prompts(config: ExportConfig) -> tuple[list[Prompt], list[str]]:
    """The prompts of the data set, each once, and notes on those that were left out."""
    asked = prompts_to_ask(
        tuple(map(prompts_of, config.dataset)) if config.suite is None else config.dataset,
        suite=config.suite,
        label=config.label,
        category=config.category,
        limit=config.limit,
    )
    return asked.prompts, asked.notes


def _count_read(making: Making, prompts: Sequence[Prompt], losses: Sequence[Drop]) -> None:
    for loss in losses:
        making.lose(loss)
    making.counts.entered[READ]["all"] = len(prompts)
    making.counts.left[READ]["all"] = len(making.placed)


# -- the end ---------------------------------------------------------------------------------------------


def _finish(making: Making, start: Start, made: Made) -> None:
    """Writes the rows, the card, and the manifest last.

    Raises:
        RunError: there is no row, or a cluster lies in two splits.
    """
    from overt.tasks.export_card import card_of, facts_of, lacking

    work = making.work
    work.folder.write_stage("drops", making.counts.drops)
    work.folder.write_stage("failures", making.counts.failures)
    if not made.rows:
        raise RunError(
            "no row came: no prompt has an answer that fits its label",
            where=str(start.folder),
            fix=f"{start.folder / 'stages' / 'drops.jsonl'} says of each prompt why.",
        )
    _check_leaks(making.placed, made.rows)
    if work.unanswered:
        work.keep(f"{work.unanswered} prompts got no answer; the same command asks them again")
    for what in lacking(made.rows, making.config.split):
        work.keep(what)
    facts = facts_of(making, made)
    folder = work.folder.path / DATASET
    for split in SPLITS:
        lines = (json.dumps(row.to_json(), ensure_ascii=False) for row in made.rows if row.split == split)
        write_atomic(folder / f"{split}.jsonl", text_bytes("".join(f"{line}\n" for line in lines)))
    for name, data in made.files.items():
        write_atomic(folder / name, data)
    write_atomic(folder / "README.md", text_bytes(card_of(making, start.record, made, facts)))
    identity: dict[str, Json] = {"identity": start.record.to_json(), "command": "overt export"}
    work.folder.finish({**identity, **facts, **work.facts()}, DATASET)


def _check_leaks(placed: Sequence[Placed], rows: Sequence[TrainingRow]) -> None:
    """Holds the rows that are written against each other: a check of the splits that does not trust how they
    were made.

    Raises:
        RunError: something stands in two splits.
    """
    prompts = {one.prompt.id: one for one in placed}
    found = leaks((row.split, _names_of(row, prompts)) for row in rows)
    for name, splits in found.items():
        raise RunError(f"{name} stands in {' and '.join(splits)}", fix="This is a fault of overt: report it.")


def _names_of(row: TrainingRow, placed: Mapping[str, Placed]) -> list[str]:
    """What must not stand in another split than the row does."""
    said = row.prompt[-1]["content"]
    names = [f"cluster {row.more.get('cluster')}", f"text {repeat_key(said)}"]
    one = placed.get(str(row.more.get("id")))
    if one is not None:
        names.append(f"text {repeat_key(one.prompt.judged_text)}")
        names += [f"seed {one.prompt.seed_id}"] if one.prompt.seed_id else []
        names += [f"pair {one.prompt.pair_id}"] if one.prompt.pair_id else []
    return names
