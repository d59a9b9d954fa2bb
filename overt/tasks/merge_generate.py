"""The whole data set of the shards of `overt generate`: made as one process would, from the united journal.

Every request of the whole run was made in a shard, so that nothing is sent: duplicates are sought, prompts
chosen and twins held against each other over all categories, from the answers that are there. A request
that no shard made (where a duplicate in another category leaves a category with too few prompts, say) is
not made here either; the message says which command makes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from overt import registry
from overt.calls import CallerOptions
from overt.data.chat import CallError, ChatModel, ChatReply, ChatRequest
from overt.data.errors import BudgetReached, InputError
from overt.data.json_types import Json
from overt.data.plugins.names import quoted, read_name, spell
from overt.data.progress import Progress
from overt.data.provider.http import openai_base
from overt.data.run.finished import Run, open_run
from overt.data.run.folder import RunFolder
from overt.data.run.united import added_all, link_files
from overt.policies.load import load_policy
from overt.tasks import trust
from overt.tasks.generate import inputs_of, make
from overt.tasks.generate_config import GenerateConfig
from overt.tasks.merge_pieces import MERGED, Merging, is_new, united
from overt.tasks.roles import ModelOptions, chat_model, endpoint_of
from overt.tasks.task import Start, working

_DECISIONS = ("encoder", "encoder_why", "encoder_version")
# What the whole data set is made with besides the journals.
_READ = ("templates", "against", "gold")
_SEEDS = ("seeds.jsonl", "seeds.read.jsonl")
# Options of a chat model that are no part of its name.
_OF_THE_PLACE = frozenset(
    {"base_url", "api_key_env", "timeout", "device", "dtype", "batch_size", "trust_remote_code"}
)


def merge_generated(merging: Merging, out: Path, progress: Progress, *, trusted: bool) -> Run:
    """Makes the whole data set of all shards.

    Args:
        trusted: as in `overt.tasks.trust.settle`.

    Raises:
        InputError: they are not shards, chose different encoders, or a file that is read here changed.
        RunError: disk full, folder not writable, another process on the run.
        BudgetReached: an answer is missing in the journals.
    """
    if not merging.of_shards:
        raise InputError(
            "this is a whole data set, not a shard of one",
            where=str(merging.pieces[0].folder),
            fix="Give the shards: overt generate ... --shard 1/4",
        )
    config = GenerateConfig().resumed(merging.record.config, merging.record.given).settled()
    # Classes of the user's own are imported here: their answers stand under names that only they know.
    imported = {
        role: [name for name in names if _is_opened(name)] for role, names in trust.models_of(config).items()
    }
    trust.settle(merging.pieces[0].folder, (), imported, {}, {}, trusted=trusted, sends=False)
    _check_inputs(merging, config)
    with RunFolder(out) as folder:
        if not is_new(merging, folder, progress):
            return open_run(out, "generate")
        _decide(merging, folder)
        notes = united(merging, folder, progress)
        _take_seeds(merging, folder)
    policy = load_policy(str(out / "policy.yaml"))
    start = Start(merging.record, policy, out, config.addresses(out), GenerateConfig.defaults())
    try:
        with working(start, CallerOptions(max_requests=0), progress) as work:
            if work is not None:
                work.notes += notes
                work.elsewhere = _elsewhere(merging)
                make(config, start, work, unasked)
    except BudgetReached as stop:
        raise BudgetReached(
            "an answer is missing that no shard has: one that failed there, or that only the whole data set "
            "asks for",
            where=str(out),
            fix=f"The journals are united. This sends what is missing, and nothing else: overt generate "
            f"--resume {out}",
        ) from stop
    return open_run(out, "generate")


def _check_inputs(merging: Merging, config: GenerateConfig) -> None:
    """Checks the files that are read here, as the shards read them.

    Raises:
        InputError: one is not there, or it changed.
    """
    found = inputs_of(config, without_seeds=True)
    for name in _READ:
        if found.get(name) != merging.record.inputs.get(name):
            raise InputError(
                f"the files of --{name} are not those that the shards read",
                fix="Merge where the shards were made, or put the files where they were.",
            )


def _decide(merging: Merging, folder: RunFolder) -> None:
    """Takes the shards' choice of an encoder.

    Raises:
        InputError: they chose different ones.
    """
    for name in _DECISIONS:
        found = {RunFolder(piece.folder).decision(name): piece for piece in merging.pieces}
        if len(found) > 1:
            (one, first), (other, second), *_ = found.items()
            raise InputError(
                f"{first.name} chose the {name} {one!r}, and {second.name} {other!r}",
                fix="Make all shards with the same --encoder, for instance --encoder lexical.",
            )
        (value,) = found
        if value is not None and folder.decision(name) is None:
            folder.decide(name, value)


def _take_seeds(merging: Merging, folder: RunFolder) -> None:
    """Takes the seeds as they were read and placed, which is the same in every shard."""
    stages = merging.pieces[0].folder / "stages"
    link_files(stages, folder.path / "stages", only=_SEEDS)


def _elsewhere(merging: Merging) -> dict[str, Json]:
    """What the shards' manifests say of calls and seconds, in place of what was done here."""
    manifests = [piece.run.manifest_data for piece in merging.pieces]

    def total(name: str) -> dict[str, Json]:
        return added_all([one for m in manifests if isinstance(one := m.get(name), dict)])

    return {"calls": total("calls"), "seconds": total("seconds"), MERGED: list(merging.stamps())}


# -- models that are not asked -------------------------------------------------------------------------------


@dataclass
class _Unasked:
    """Stands for a chat model whose answers are all in the journal: it needs no key and no GPU."""

    name: str
    address: str = ""

    async def complete(self, request: ChatRequest) -> ChatReply:
        return ChatReply(error=CallError("connection", "nothing is sent while shards are merged"))

    async def close(self) -> None:
        pass


def _is_opened(spec: str) -> bool:
    """Whether a model is made here although it is not asked."""
    return read_name(spec).provider not in ("openai", "hf")


def unasked(spec: str, role: str, options: ModelOptions) -> ChatModel:
    """The stand-in for a chat model; a class of the user's own, or of another package, is made, since only
    it knows its name."""
    if _is_opened(spec):
        return chat_model(spec, role, options)
    parsed = registry.parse("overt.chat_models", spec)
    if parsed.provider == "openai":
        base = parsed.options.get("base_url") or endpoint_of(role, options)[0]
        return _Unasked(f"openai/{parsed.model}", openai_base(base) or "")
    of_name = {n: v for n, v in parsed.options.items() if n not in _OF_THE_PLACE}
    return _Unasked(spell(f"hf/{quoted(parsed.model)}", **of_name))
