"""What to do where a folder holds a run with other inputs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from overt.data.run.record import RunRecord


def way_on(found: RunRecord, record: RunRecord, path: Path, differing: Sequence[str], anew: str) -> str:
    """A hint with a command that works: `--resume` takes the old options, but reads the files of today.

    Args:
        differing: dotted names of what differs.
        anew: of a resumed run, the command for a new run with its options.
    """
    files = sorted({name.split(".")[1].partition("[")[0] for name in differing if name.startswith("inputs.")})
    if anew:
        changed = ["policy.yaml in it"] if any(name.startswith("policy.") for name in differing) else []
        changed += [f"the files behind {name!r}" for name in files]
        back = " and ".join(changed) or "it"
        now = "make a new run of what is there now"
        return f"To go on with this run, put {back} back as before; or {now}: {anew}"
    # A file with the same name and another content is another one for --resume too.
    stale = [name for name in files if found.config.get(name) == record.config.get(name)]
    if stale:
        return (
            f"Give --out a new folder. (The old run goes on only with the old files of {', '.join(stale)}.)"
        )
    return f"Give --out a new folder, or go on with the old run: overt {found.kind} --resume {path}"
