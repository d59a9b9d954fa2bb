"""`overt export` for harnesses: the prompts of a data set, a run or a suite as files that they run.

Training data is the work of export_training.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from overt import registry
from overt.data.asked import check_extras, prompts_to_ask
from overt.data.errors import InputError
from overt.data.json_types import Json
from overt.data.records import Prompt
from overt.data.run.files import (
    dump_json,
    read_json,
    read_records,
    speaking_os_errors,
    text_bytes,
    write_atomic,
)
from overt.data.run.finished import open_run
from overt.data.run.folder import MANIFEST
from overt.data.run.record import read_record
from overt.data.suites.load import load_suite, suite_of_run
from overt.data.suites.schema import Suite
from overt.harness.answers import SIDES
from overt.harness.exported import MOST_CATEGORIES, Exported
from overt.policies.load import load_policy
from overt.tasks.asking import is_offline
from overt.tasks.export_config import HARNESS_FORMATS
from overt.tasks.export_config import ExportConfig as ExportConfig
from overt.tasks.run import RunConfig

MARK = "overt-export.json"  # names the files of an export, so that the next one may replace them
_LONGEST = 60  # characters of a name


@dataclass(frozen=True, slots=True)
class Format:
    """A form of export. `files` gives texts by name; `is_chat` marks one whose models answer in words."""

    harness: str
    files: Callable[[Exported], Mapping[str, str]]
    is_chat: bool = True


def _lm_eval(exported: Exported) -> Mapping[str, str]:
    from overt.harness.lm_eval import lm_eval_files

    return lm_eval_files(exported)


def _promptfoo(exported: Exported) -> Mapping[str, str]:
    from overt.harness.promptfoo import promptfoo_files

    return promptfoo_files(exported)


FORMATS: dict[str, Format] = {
    "lm-eval": Format("lm-evaluation-harness", _lm_eval),
    "promptfoo": Format("promptfoo", _promptfoo),
}


@dataclass(frozen=True, slots=True)
class Export:
    """What was written: the files by name, in `folder`, and the prompts of each label."""

    folder: Path
    format: str
    name: str
    files: tuple[str, ...]
    counts: Mapping[str, int]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Json]:
        """Plain JSON data."""
        return {
            "folder": str(self.folder),
            "format": self.format,
            "name": self.name,
            "files": list(self.files),
            "prompts": dict(self.counts),
            "notes": list(self.notes),
        }


def export(config: ExportConfig) -> Export:
    """Writes the files of an export.

    Raises:
        InputError: an unknown format, prompts for models that draw, a judge that needs calls, no prompts,
            or a folder that holds something else.
        RunError: it cannot be written.
    """
    config.check_options()
    form = FORMATS.get(config.format)
    if form is None:
        raise InputError(f"{config.format} is no harness", fix=f"There are: {', '.join(HARNESS_FORMATS)}")
    out = config.out
    if out is None:
        raise InputError("no folder was named", fix="Give one with --out FOLDER.")
    check_named(config)
    if form.is_chat:
        _check_modality(config, form)
    exported = _exported(config, form)
    files = form.files(exported)
    _claim(out, files)
    for name, text in files.items():
        write_atomic(out / name, text_bytes(text))
    counts = {str(side.label): len(exported.of(side)) for side in exported.sides}
    return Export(out, config.format, exported.name, tuple(files), counts, exported.notes)


def check_named(config: ExportConfig) -> None:
    """
    Raises:
        InputError: no data set was named.
    """
    if not config.dataset and config.suite is None:
        raise InputError(
            "no data set was named",
            fix=f"For instance: overt export runs/chat --format {config.format} --out FOLDER",
        )


# -- what goes out ----------------------------------------------------------------------------------------


def _exported(config: ExportConfig, form: Format) -> Exported:
    suite = load_suite(config.suite) if config.suite is not None else suite_asked(config.dataset)
    prompts, notes = _prompts(config, form)
    given = [Path(source).name or source for source in config.dataset]
    titles = [f"the suite {suite.title}", *given] if suite else given
    named = suite.name if suite and config.suite is not None else given[0]
    defaults = RunConfig.model_fields
    return Exported(
        name=_name(config.name or named),
        prompts=prompts,
        sources=tuple(titles),
        judge=_judge(config.judge or (suite.judge if suite else "judge/rules")),
        max_tokens=defaults["max_tokens"].default,
        temperature=defaults["temperature"].default,
        licence=config.license or (suite.licence if suite else ""),
        citation=suite.citation if suite else "",
        notes=notes,
    )


def suite_asked(sources: tuple[str, ...]) -> Suite | None:
    """The suite whose prompts a run of `overt run` asked; None where there are other prompts as well."""
    if len(sources) != 1 or kind_of_run(folder := Path(sources[0])) != "run":
        return None
    record = read_record(folder)
    return suite_of_run(record.value("suite")) if record is not None else None


def _judge(name: str) -> str:
    """
    Raises:
        InputError: there is no such judge, or it needs calls.
    """
    if not is_offline(name) and "/" in name.removeprefix("judge/").partition("?")[0]:
        raise InputError(
            f"{name} asks a model, with keys and costs that another harness knows nothing of",
            fix="Name one that judges here, such as --judge judge/rules; or run it with overt run.",
        )
    registry.load_refusal_judge(name)
    return name


def _prompts(config: ExportConfig, form: Format) -> tuple[tuple[Prompt, ...], tuple[str, ...]]:
    """The prompts that a rate counts, and notes on the others.

    Raises:
        InputError: there are none, or they carry more than a text.
    """
    fix = "Leave these prompts out, or measure them with overt run."
    sources = tuple(map(prompts_of, config.dataset))
    for source in set(sources) - set(config.dataset):  # a run names its pictures as no other table does
        check_extras(f"a task of {form.harness}", (), read_records(Path(source), Prompt), fix=fix)
    asked = prompts_to_ask(
        sources,
        suite=config.suite,
        label=config.label,
        category=config.category,
        limit=config.limit,
    )
    check_extras(f"a task of {form.harness}", (), asked.prompts, fix=fix)
    kept = tuple(prompt for prompt in asked.prompts if not prompt.variant_of)
    notes = list(asked.notes)
    if versions := len(asked.prompts) - len(kept):
        notes.append(f"{versions} versions that differ only in who is depicted were left out of the export")
    categories = max(len({p.category for p in kept if p.label == side.label}) for side in SIDES)
    if categories > MOST_CATEGORIES:
        notes.append(
            f"no category has a figure of its own: at most {MOST_CATEGORIES} do, here are {categories}"
        )
    return kept, tuple(notes)


def _name(given: str) -> str:
    """A name that a task, a file and a shell can have."""
    stem = given.partition(":")[0].casefold()
    for ending in (".csv", ".jsonl", ".parquet", ".json", ".gz"):
        stem = stem.removesuffix(ending)
    return re.sub(r"[^a-z0-9]+", "_", stem).strip("_")[:_LONGEST] or "prompts"


def prompts_of(source: str) -> str:
    """The source with the prompts: a run of `overt run` keeps those that it asked among its stages.

    Raises:
        InputError: it is a run of a suite of many turns.
    """
    asked = Path(source) / "stages" / "prompts.jsonl"
    if kind_of_run(Path(source)) != "run" or not asked.is_file():
        return source
    open_run(Path(source), "run")  # one of many turns has no prompts that stand alone
    return str(asked)


def kind_of_run(folder: Path) -> str:
    record = read_record(folder) if folder.is_dir() else None
    return record.kind if record is not None and (folder / MANIFEST).exists() else ""


def _check_modality(config: ExportConfig, form: Format) -> None:
    """
    Raises:
        InputError: the prompts are for models that draw. A language model that is asked for a picture answers
            that it cannot draw, and that would count as a refusal.
    """
    found = {source: modality_said(Path(source)) for source in config.dataset}
    if config.suite is not None:
        found = {config.suite: load_suite(config.suite).modality}
    for source, modality in found.items():
        if modality == "image":
            raise InputError(
                f"these prompts ask for pictures, and {form.harness} asks models that answer in words: that "
                "they cannot draw would count as over-refusal",
                where=source,
                fix="Measure it with overt run; or make a data set for language models: "
                "overt generate --policy chat_assistant",
            )


def modality_said(source: Path) -> str:
    """What the prompts of a run's folder, or of the data set in it, ask for; "" where nothing says it."""
    for folder in (source, source.parent):
        if (folder / "policy.yaml").is_file():
            record = read_record(folder)
            said = record.inputs.get("modality") if record is not None else None
            return str(said) if said else load_policy(str(folder / "policy.yaml")).modality
    return ""


# -- the folder -------------------------------------------------------------------------------------------


def _claim(folder: Path, files: Mapping[str, str]) -> None:
    """Removes what an earlier export left in the folder, and notes what this one will write.

    Raises:
        InputError: the folder holds something else.
        RunError: it cannot be written.
    """
    mark = folder / MARK
    with speaking_os_errors("cannot write the folder"):
        folder.mkdir(parents=True, exist_ok=True)
        if mark.exists():
            for name in read_json(mark).get("files", ()):
                if Path(str(name)).name == name:  # a mark that was tampered with removes nothing elsewhere
                    (folder / name).unlink(missing_ok=True)
        elif held := sorted(path.name for path in folder.iterdir()):
            raise InputError(
                f"the folder is not empty (it holds {held[0]!r})",
                where=str(folder),
                fix="Give --out a new folder, or remove this one if it is of no use.",
            )
    write_atomic(mark, dump_json({"files": sorted(files)}))
