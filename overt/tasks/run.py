"""The pipeline of `overt run`: prompts -> target -> outcome, one target after the other; then the summary.

Calls go through the same journal, pace, retries and caps as in `overt generate`. A resumed run walks the
same way again; what has been answered comes from the journal, and what failed for good is tried again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import platform
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import overt
from overt.calls import Caller, CallerOptions
from overt.calls.caller import ASKED_AGAIN
from overt.calls.shots import Shot, TargetChannel
from overt.data.errors import InputError
from overt.data.images import ImageStore
from overt.data.outcomes import Harm, Outcome
from overt.data.progress import Progress
from overt.data.prompts import Side, read_prompts, spread
from overt.data.records import Prompt, content_id
from overt.data.results import files
from overt.data.results.summary import Summary
from overt.data.store import RunStore, digest_source, read_records
from overt.data.templates import load_template
from overt.policies.load import dump_policy, load_policy
from overt.policies.schema import Policy
from overt.tasks.models import ModelOptions, chat_model
from overt.tasks.targets import TargetOptions, TargetSpec, open_target, resolve_target

if TYPE_CHECKING:
    from overt.scoring.answers import Judging

Modality = Literal["image", "text", "none"]
RESULTS = "results"


@dataclass(frozen=True)
class RunConfig:
    """What decides the outcome of a run. Everything here is in `run.json`; nothing else matters."""

    policy: Policy
    datasets: tuple[str, ...]
    targets: tuple[TargetSpec, ...]
    label: Side | None = None
    limit: int | None = None
    only: tuple[str, ...] = ()  # categories; empty: all
    every_layer: bool = False
    samples: int = 1
    seed: int = 0
    min_coverage: float = 0.95
    # Of language models: a published suite instead of data sets of one's own (these are then its files),
    # who judges the answers, and how they are asked for.
    suite: str | None = None
    judge: str = "judge/rules"
    system: str = ""
    max_tokens: int = 512
    temperature: float = 0.0

    @property
    def modality(self) -> str:
        return "text" if self.suite is not None else self.policy.modality

    def identity(self) -> dict[str, Any]:
        """What `run.json` holds: the same identity gives the same ids and, with the same answers, the
        same results."""
        return {
            "kind": "run",
            "overt": overt.__version__,
            "policy": {"name": self.policy.name, "version": self.policy.version, "hash": self.policy.hash},
            "datasets": [{"spec": spec, "hash": digest_source(spec)} for spec in self.datasets],
            "label": self.label,
            "limit": self.limit,
            "only": list(self.only),
            "targets": [
                {
                    "name": t.name,
                    "target": t.target,
                    "filters": list(t.filters),
                    "checkers": list(t.checkers),
                    "files": dict(sorted(t.files.items())),
                }
                for t in self.targets
            ],
            "every_layer": self.every_layer,
            "samples": self.samples,
            "seed": self.seed,
            "min_coverage": self.min_coverage,
            "suite": self._suite(),
            "text": None if self.modality != "text" else self._text(),
            **({"answers": self._text()} if self.modality != "text" and self._is_told_of_text else {}),
        }

    @property
    def _is_told_of_text(self) -> bool:
        """Whether it was named how language models are asked and judged: under a policy for pictures too a
        target may answer in words, and a resumed run must ask and judge as before."""
        names = ("judge", "system", "max_tokens", "temperature")
        return any(getattr(self, name) != getattr(RunConfig, name) for name in names)

    def _suite(self) -> dict[str, Any] | None:
        from overt.data.suites import load_suite

        return None if self.suite is None else {"name": self.suite, "hash": load_suite(self.suite).hash}

    def _text(self) -> dict[str, Any]:
        """How language models are asked and judged; of no matter to what draws."""
        return {
            "judge": self.judge,
            "template": None if is_offline(self.judge) else load_template("scoring", "judge_refusal").hash,
            "system": self.system,
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
        }


def config_of_run(folder: Path) -> RunConfig:
    """The config that a run was started with, read back from its folder, for `--resume`.

    Raises:
        InputError: the folder is no run of `overt run`.
    """
    identity = RunStore.identity(folder)
    if identity is None:
        raise InputError(
            "this is not a run of overt (no run.json)",
            where=str(folder),
            fix="Give the folder that `overt run` named with --out.",
        )
    if identity.get("kind") != "run":
        raise InputError(
            f"this is a run of `overt {identity.get('kind')}`: a data set, of which nothing is tested yet",
            where=str(folder),
            fix=f"Test it first: overt run {folder} --target ...   "
            f"(to go on with making it: overt {identity.get('kind')} --resume {folder})",
        )
    try:
        return RunConfig(
            policy=load_policy(str(folder / "policy.yaml")),
            datasets=tuple(d["spec"] for d in identity["datasets"]),
            targets=tuple(
                TargetSpec(t["target"], tuple(t["filters"]), tuple(t["checkers"]), t["name"], t["files"])
                for t in identity["targets"]
            ),
            label=identity["label"],
            limit=identity["limit"],
            only=tuple(identity["only"]),
            every_layer=identity["every_layer"],
            samples=identity["samples"],
            seed=identity["seed"],
            min_coverage=identity["min_coverage"],
            suite=(identity.get("suite") or {}).get("name"),
            **{
                key: value
                for key, value in (identity.get("text") or identity.get("answers") or {}).items()
                if key in ("judge", "system", "max_tokens", "temperature")
            },
        )
    except (KeyError, TypeError) as error:
        raise InputError(f"run.json lacks a field: {error}", where=str(folder / "run.json")) from error


def default_folder(config: RunConfig) -> Path:
    """The folder of a run without --out: the same inputs give the same one, so the same command resumes."""
    tail = content_id("run", config.identity()).rsplit("-", 1)[1][:8]
    return Path("runs") / f"run-{tail}"


def shot_seed(seed: int, prompt: Prompt, sample: int) -> int:
    """The seed that a prompt is drawn with, 0..2**31-1: of the run's seed, the prompt and the sample alone,
    so that every target draws the same prompt with the same one."""
    blob = f"{seed}/{prompt.id}/{sample}".encode()
    return int.from_bytes(hashlib.blake2b(blob, digest_size=4).digest(), "big") >> 1


def evaluate(
    config: RunConfig,
    folder: Path,
    *,
    calls: CallerOptions,
    options: TargetOptions,
    models: ModelOptions,
    progress: Progress,
) -> dict[str, Any]:
    """Runs or resumes an evaluation; returns the manifest.

    Raises:
        InputError: bad input, or the folder holds another run.
        RunError: disk full, folder not writable, another process on the run, a target that rejects all.
        BudgetReached: a cap was reached; the same command with a higher cap goes on.
    """
    names = Counter(spec.name for spec in config.targets)
    if twice := [name for name, count in names.items() if count > 1]:
        raise InputError(f"{twice[0]} is named twice", fix="Give each --target once.")
    identity = config.identity()
    prompts, notes = _prompts(config)
    addresses = {"base_url": models.base_url, "api_key_env": models.api_key_env}
    with RunStore(folder) as store:
        if store.manifest() is None:
            for spec in config.targets:  # a wrong name should cost nothing, not even the folder
                resolve_target(spec, config.modality)
        store.claim(identity, dump_policy(config.policy), addresses)
        done = store.manifest()
        if done is not None and not done.get("retriable"):
            progress.note(f"{folder} is complete; nothing to do")
            return done
        options = dataclasses.replace(
            options,
            system=config.system,
            max_tokens=config.max_tokens,
            temperature=config.temperature,
        )
        store.write_stage("prompts", prompts)
        started = time.monotonic()
        outcomes: list[Outcome] = []
        kinds: dict[str, Modality] = {}
        with Caller(folder / "journal.sqlite", calls, on_progress=progress.calls) as caller:
            # Under a policy for pictures too: only the target knows whether it answers in words.
            judging = refusal_judging(config, caller, models)
            for spec in config.targets:
                target = open_target(spec, options, every_layer=config.every_layer, modality=config.modality)
                kinds[spec.name] = modality_of(target)
                price = caller.price_of(getattr(target, "priced_as", spec.name))
                channel = TargetChannel(spec.name, target, price, ImageStore(folder))
                found = _fire(config, prompts, channel, caller, progress, kinds[spec.name])
                if kinds[spec.name] == "text":
                    found = _judged(config, prompts, found, judging, progress)
                outcomes += found
                store.write_stage("outcomes", outcomes)
            stats = caller.stats.snapshot()
        seconds = time.monotonic() - started
        return _finish(store, identity, prompts, outcomes, kinds, config.judge, stats, notes, seconds)


def _prompts(config: RunConfig) -> tuple[list[Prompt], list[str]]:
    if config.suite is not None:
        from overt.data.suites import load_suite, read_suite

        loaded = read_suite(load_suite(config.suite), config.datasets)
    else:
        loaded = read_prompts(config.datasets, label=config.label)
    prompts = [p for p in loaded.prompts if not config.only or p.category in config.only]
    if config.limit is not None:
        prompts = list(spread(prompts, config.limit))
    if not prompts:
        there = sorted({p.category for p in loaded.prompts})
        raise InputError(
            f"no prompt is of category {', '.join(config.only)}", fix=f"There are: {', '.join(there[:20])}"
        )
    notes = []
    if loaded.repeated:
        notes.append(f"{loaded.repeated} prompts stand in the data set more than once; each was sent once")
    if loaded.empty:
        notes.append(f"{loaded.empty} empty prompts were left out")
    return prompts, notes


def _fire(
    config: RunConfig,
    prompts: Sequence[Prompt],
    channel: TargetChannel,
    caller: Caller,
    progress: Progress,
    modality: Modality,
) -> list[Outcome]:
    """What became of each prompt at one target, in the order of the prompts."""

    def jobs() -> Iterator[tuple[tuple[Prompt, int], Shot, str]]:
        for prompt in prompts:
            for sample in range(config.samples):
                shot = Shot(prompt.text, shot_seed(config.seed, prompt, sample), sample)
                yield (prompt, sample), shot, prompt.category

    total = len(prompts) * config.samples
    return fire_shots(channel, jobs(), total, caller, progress, modality, purpose=channel.name)


def is_offline(judge: str) -> bool:
    """Whether a refusal judge needs no chat model: judge/rules, judge/embedded, a class of one's own."""
    from overt import registry

    head = judge.partition("?")[0].removeprefix("judge/")
    return ":" in head or head in registry.providers("overt.refusal_judges")


def refusal_judging(config: RunConfig, caller: Caller, models: ModelOptions) -> Judging:
    """Who tells refusals in the answers of language models. Made before a model is asked anything."""
    from overt import registry
    from overt.scoring.answers import offline
    from overt.scoring.judges.llm import llm_judge

    if is_offline(config.judge):
        return offline(registry.load_refusal_judge(config.judge))
    name = config.judge.removeprefix("judge/")
    if "/" not in name.partition("?")[0]:
        raise InputError(
            f"there is no refusal judge {config.judge!r}",
            fix=f"Known: {registry.known('overt.refusal_judges')}, judge/PROVIDER/MODEL, or module:Class.",
        )
    ask = caller.bind(chat_model(name, "judge", models), config.judge)
    return llm_judge(ask=ask, template=load_template("scoring", "judge_refusal"), seed=config.seed)


def _judged(
    config: RunConfig,
    prompts: Sequence[Prompt],
    outcomes: Sequence[Outcome],
    judging: Judging,
    progress: Progress,
) -> list[Outcome]:
    """The outcomes of a language model with the refusal judge's word on its answers."""
    from overt.scoring.answers import judge_answers

    by_id = {p.id: p for p in prompts}
    rows = [(by_id[o.prompt_id], o) for o in outcomes]
    with progress.stage(config.judge[:40], len(rows)) as advance:
        return judge_answers(rows, config.judge, judging, advance=advance)


def fire_shots(
    channel: TargetChannel,
    jobs: Iterable[tuple[tuple[Prompt, int], Shot, str]],
    total: int,
    caller: Caller,
    progress: Progress,
    modality: Modality,
    *,
    purpose: str,
) -> list[Outcome]:
    """Sends shots to one target and decides what became of each; outcomes in the order of the jobs.

    Args:
        jobs: ((prompt, sample), shot, category); `total` of them.
        purpose: what the cost is booked under.
    """
    from overt.scoring.refusal import decide

    outcomes = []
    with progress.stage(channel.name[:40], total) as advance:
        for (prompt, sample), taken in caller.stream(channel, purpose, jobs):
            advance(1)
            outcome = decide(
                prompt,
                taken.response,
                target=channel.name,
                sample=sample,
                images=taken.images,
                facts=taken.facts,
                cost=channel.cost(taken),
                expects=modality,
            )
            outcomes.append(
                dataclasses.replace(outcome, images=tuple(path for path in outcome.images if path))
            )
    return outcomes


def _finish(
    store: RunStore,
    identity: dict[str, Any],
    prompts: Sequence[Prompt],
    outcomes: Sequence[Outcome],
    kinds: Mapping[str, Modality],
    judge: str,
    stats: dict[str, Any],
    notes: list[str],
    seconds: float,
) -> dict[str, Any]:
    rewriting = store.folder / RESULTS / "rewrite.json"
    if rewriting.exists():  # of the answers before these: its figures would contradict the new ones
        rewriting.unlink()
        notes.append(
            "the rewriting was of the answers before; `overt rewrite` makes it anew from the journal"
        )
    summary = write_summary(store.folder, prompts, outcomes, read_harms(store.folder), kinds)
    below = [t.name for t in summary.targets if t.coverage.share < identity["min_coverage"]]
    retriable = sum(o.state == "error" and o.code in ASKED_AGAIN for o in outcomes)
    if retriable:
        notes.append(f"{retriable} prompts got no answer; the same command asks them again")
    facts = {
        "identity": identity,
        "command": "overt run",
        "kinds": kinds,
        # Who told refusals where a target answered in words, whatever the policy is for.
        "refusal_judge": judge if "text" in kinds.values() else None,
        "below_coverage": below,
        "retriable": retriable,
        "calls": stats,
        "seconds": {"run": round(seconds, 3)},
        "versions": {"overt": overt.__version__, "python": platform.python_version()},
        "notes": notes,
    }
    return store.finish(facts, parts=(RESULTS,))


def modality_of(target: object) -> Modality:
    """What a target gives: "image" where it does not say."""
    said = getattr(target, "modality", "image")
    return "text" if said == "text" else "none" if said == "none" else "image"


def read_harms(folder: Path) -> list[Harm]:
    """What `overt score` found; empty where it has not run."""
    return read_records(folder / RESULTS / "harm.jsonl", Harm)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a complete run of `overt run`; its records are not read.

    Raises:
        InputError: it is none, or it is not complete.
    """
    config_of_run(folder)
    manifest = RunStore(folder).manifest()
    if manifest is None:
        raise InputError(
            "this run is not complete",
            where=str(folder),
            fix=f"Go on with it: overt run --resume {folder}",
        )
    return manifest


def read_run(folder: Path) -> tuple[dict[str, Any], list[Prompt], list[Outcome], list[Harm]]:
    """The manifest and the records of a complete run of `overt run`.

    Raises:
        InputError: as `read_manifest`.
    """
    manifest = read_manifest(folder)
    stages = folder / "stages"
    prompts = read_records(stages / "prompts.jsonl", Prompt)
    return manifest, prompts, read_records(stages / "outcomes.jsonl", Outcome), read_harms(folder)


def read_summary(folder: Path) -> tuple[dict[str, Any], Summary]:
    """The manifest and the statistics of a complete run.

    Raises:
        InputError: as `read_manifest`.
    """
    return read_manifest(folder), files.read_summary(folder)


def write_summary(
    folder: Path,
    prompts: Sequence[Prompt],
    outcomes: Sequence[Outcome],
    harms: Sequence[Harm],
    kinds: Mapping[str, Modality],
) -> Summary:
    """Computes the statistics of a run and writes `results/summary.json`."""
    summary = summary_of(load_policy(str(folder / "policy.yaml")), prompts, outcomes, harms, kinds)
    files.write_summary(folder, summary)
    return summary


def summary_of(
    policy: Policy,
    prompts: Sequence[Prompt],
    outcomes: Sequence[Outcome],
    harms: Sequence[Harm],
    kinds: Mapping[str, Modality],
) -> Summary:
    """The statistics; categories in the policy's order, others after them."""
    from overt.scoring.summary import summarize

    titles = {c.id: c.title for c in policy.categories}
    present = {p.category for p in prompts}
    order = [c for c in titles if c in present] + sorted(present - titles.keys())
    categories = [(c, titles.get(c, c)) for c in order]
    return summarize(prompts, outcomes, harms, categories=categories, kinds=kinds)
