"""`overt merge`: the shards of a run become the whole run, without a request.

Shards of `overt run` are united from what their folders hold: no model is opened, no data set is read, and no
key is needed. Of a whole run whose copies were scored or reworded in parts, the parts are united. Shards of
`overt generate` are united by their journals.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from overt.data.progress import Progress
from overt.data.run.finished import Run, open_run
from overt.data.run.folder import RunFolder
from overt.tasks.config import RUN, Option, OutputConfig, TrustAddresses
from overt.tasks.merge_pieces import check_apart, checked, is_new
from overt.tasks.merge_run import write_whole
from overt.tasks.task import default_folder


class MergeConfig(OutputConfig):
    kind: ClassVar[str] = "merge"

    runs: Annotated[
        tuple[Path, ...],
        Option(
            "Folders: all shards of one run, or copies of a whole run that were scored or reworded by "
            "--shard.",
            metavar="RUN...",
            is_argument=True,
        ),
    ] = ()
    trust_addresses: TrustAddresses = False
    out: Annotated[
        Path | None, Option("Folder of the whole run. Default: where the run without --shard would be.", RUN)
    ] = None


def merge(config: MergeConfig, progress: Progress) -> Run:
    """Unites the shards of a run. Returns the whole run, complete.

    Raises:
        InputError: the folders are not all shards of one run, one of them is not complete, or `out` holds
            something else.
        RunError: disk full, folder not writable, another process on the run.
        BudgetReached: of `overt generate`: a call is missing in the journals; the message says what makes it.
    """
    merging = checked(config.runs)
    kind = merging.record.kind
    out = config.out or default_folder(merging.record, "run" if kind == "run" else merging.record.policy.name)
    check_apart(merging, out)
    if kind == "generate":
        from overt.tasks.merge_generate import merge_generated

        return merge_generated(merging, out, progress, trusted=config.trust_addresses)
    with RunFolder(out) as folder:
        if is_new(merging, folder, progress):
            write_whole(merging, folder, progress)
    return open_run(out, "run")
