"""Builds the command that repeats a run, for its card: every given option that affects the results.

It contains no local folder and no key: files are named by their base names.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from overt.data.hub import is_hub_id
from overt.data.run.finished import well_formed
from overt.data.run.record import LOG, RunRecord
from overt.tasks.config import Config, Field
from overt.tasks.generate_config import GenerateConfig
from overt.tasks.run import RunConfig

POLICY = "policy.yaml"


@dataclass(frozen=True)
class Rebuild:
    """How a run is made again.

    Args:
        command: ready for a shell; "" if no single command repeats the run.
        beside: name -> content of files that must lie beside the command.
        missing: names of files that the command reads and that only the run's maker has.
    """

    command: str
    beside: dict[str, str]
    missing: tuple[str, ...]

    def note(self) -> str:
        """A sentence on the files that the command reads; "" if it reads only policy.yaml."""
        parts = []
        if self.beside:
            parts.append(f"{', '.join(self.beside)} from this repository")
        if self.missing:
            parts.append(f"files that only its maker has: {', '.join(self.missing)}")
        return f"The command that makes it again reads {', and '.join(parts)}." if parts else ""


def rebuild_of(record: RunRecord) -> Rebuild:
    """Builds the command from a run's record.

    Raises:
        InputError: the record holds invalid values.
    """
    values, given = (
        dict(row) for row in map(well_formed, (record.config, record.given)) if isinstance(row, dict)
    )
    config: Config
    if record.kind == "generate":
        config = GenerateConfig().resumed(values, given)
    else:
        config = RunConfig().resumed(values, given)
        # A run of 0.1.0 whose products no one command puts together; or made of another tool's log.
        if not config.target or record.inputs.get(LOG):
            return Rebuild("", {}, ())
    return rebuild(config)


def rebuild(config: Config) -> Rebuild:
    """The command of a configuration. The policy is the effective one, as the file `policy.yaml`."""
    settled = config.settled()
    words: list[str] = []
    options: list[str] = ["--policy", POLICY]
    beside: dict[str, str] = {}
    missing: list[str] = []
    for name, field in config.fields().items():
        if field.option.decides not in ("value", "content") or _is_redundant(config, settled, name, field):
            continue
        value: object = getattr(settled, name)
        if field.option.reads:
            file = f"{name}.txt"
            options += [field.flag, file]
            if field.option.reads == "lines":
                beside[file] = "".join(f"{line}\n" for line in _lines(value))
            else:  # a system prompt, say, is its maker's own
                missing.append(file)
            continue
        if value is True:
            options.append(field.flag)
            continue
        for one in _lines(value):
            said = _without_folders(one, field)
            if said != one or _is_file(one, field):
                missing.append(said)
            if field.option.is_argument:
                words.append(said)
            else:
                options += [field.flag, said]
    return Rebuild(
        shlex.join(["overt", config.kind, *words, *options]), beside, tuple(dict.fromkeys(missing))
    )


def _is_redundant(config: Config, settled: Config, name: str, field: Field) -> bool:
    """Whether the run would be the same without this option."""
    if field.is_required:
        return False
    without = config.model_copy(update={name: field.default}).settled()
    return bool(getattr(without, name) == getattr(settled, name))


def _lines(value: object) -> list[str]:
    return [str(one) for one in value] if isinstance(value, tuple) else [str(value)]


def _is_file(value: str, field: Field) -> bool:
    """Whether an option's value is a local file or folder of the run's maker."""
    named = value.removeprefix("guarded/").removeprefix("http/")
    if field.base is Path or named != value:
        return True
    return field.option.is_source and not is_hub_id(value.partition(":")[0])


def _without_folders(value: str, field: Field) -> str:
    """An option's value without the folders of files in it, which may name people."""
    if field.base is Path or field.option.is_source:
        return base_name(value)
    for head in ("guarded/", "http/"):
        if value.startswith(head):
            return head + _last_part(value)
    return value


def base_name(spec: str) -> str:
    """A file's name without its folders, which may name people; a Hub id unchanged."""
    if not spec or (is_hub_id(spec) and not Path(spec).exists()):
        return spec
    return _last_part(spec)


def _last_part(path: str) -> str:
    return path.rstrip("/\\").replace("\\", "/").rpartition("/")[2]
