"""The command that makes a new run with a resumed run's options, for hints."""

from __future__ import annotations

import shlex
from pathlib import Path

from overt.data.run.folder import Addresses
from overt.tasks.config import Config


def command_anew(config: Config, addresses: Addresses, folder: Path) -> str:
    """The command for a new run with these options, the policy of a run's folder, and a new folder."""
    words, options = ["overt", config.kind], ["--policy", str(folder / "policy.yaml")]
    for name, field in config.fields().items():
        value: object = getattr(config, name)
        # A text that was read from a file has no name any more.
        if field.option.decides not in ("value", "content") or field.option.reads or field.is_default(value):
            continue
        if value is True:
            options.append(field.flag)
            continue
        for one in value if isinstance(value, tuple) else (value,):
            if field.option.is_argument:
                words.append(str(one))
            else:
                options += [field.flag, str(one)]
    for what, by_role in addresses.items():
        for role, value in by_role.items():
            options += [f"--{what.replace('_', '-')}", f"{role}={value}" if role else value]
    return shlex.join([*words, *options, "--out", str(_free(folder))])


def _free(folder: Path) -> Path:
    """A folder beside it that does not exist."""
    number = 2
    while (new := folder.with_name(f"{folder.name}-{number}")).exists():
        number += 1
    return new
