"""Reads the folders of finished runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from overt.data.errors import InputError
from overt.data.json_types import Json, JsonObject
from overt.data.outcomes import Harm, Outcome
from overt.data.records import Prompt
from overt.data.results import likeness
from overt.data.results.gold import Gold
from overt.data.results.likeness import AsAsked
from overt.data.results.recipe import RecipeFacts
from overt.data.run.files import read_json, read_records
from overt.data.run.folder import MANIFEST
from overt.data.run.record import ENVIRONMENT, RunRecord, read_record
from overt.data.text import encodable

RESULTS = "results"
# The output of a target: images, text, or only a filter's decision.
Modality = Literal["image", "text", "none"]
Kind = Literal["generate", "run", "export"]
_HOLDS = {"generate": "a data set", "run": "results", "export": "training data"}


# -- the manifest ---------------------------------------------------------------------------------------


class _Facts(BaseModel):
    # Runs of other versions may have more fields.
    model_config = ConfigDict(frozen=True, extra="ignore")


class Calls(_Facts):
    """Counts, tokens, cost in US dollars, and seconds summed over parallel calls."""

    requests: int = 0
    cached: int = 0
    retries: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    seconds: float = 0.0


class AllCalls(Calls):
    """The calls of one process, in total and by purpose and category. `spent` is the cost of this process;
    `cost` includes the original cost of journalled responses. `errors` counts failed attempts by kind.
    `estimated` counts replies whose tokens the service did not count, so that their cost is an estimate;
    `batched` has the number of calls by batch, their cost, and what it were live (`live_cost`)."""

    estimated: int = 0
    batched: dict[str, float] = {}
    errors: dict[str, int] = {}
    spent: float = 0.0
    purposes: dict[str, Calls] = {}
    categories: dict[str, Calls] = {}


class Flow(_Facts):
    """The numbers of records that entered and left a stage."""

    entered: int = Field(0, alias="in")
    left: int = Field(0, alias="out")


class Manifest(_Facts):
    """The manifest of any finished run. `retriable` counts unanswered calls that the same command repeats."""

    command: str = ""
    retriable: int = 0
    calls: AllCalls = AllCalls()
    seconds: dict[str, float] = {}
    versions: dict[str, str] = {}
    notes: tuple[str, ...] = ()
    files: dict[str, str] = {}


class SearchFacts(_Facts):
    """What a search did: rounds, calls of the surrogate, prompts searched and refused, and edits by kind."""

    rounds: int = 0
    calls: int = 0
    prompts: int = 0
    refused_before: int = 0
    refused_after: int = 0
    tried: dict[str, int] = {}
    kept: dict[str, int] = {}


class DatasetManifest(Manifest):
    """The manifest of `overt generate`. `counts` and `short` have, by category and label (or label and
    category), the numbers of prompts and of prompts missing from the policy's target; `why_short` says stage
    by stage what became of the missing ones; `reused` counts calls that were taken from an earlier run;
    `gold` tells how the judges did on gold items."""

    counts: dict[str, dict[str, int]] = {}
    short: dict[str, dict[str, int]] = {}
    stages: tuple[dict[str, str | Flow], ...] = ()
    reasons: dict[str, dict[str, int]] = {}
    why_short: tuple[str, ...] = ()
    index: dict[str, str | bool] | None = None
    encoder_choice: str = ""
    model_audited: bool = False
    same_model: bool = False
    distinct_2: float | None = None
    search: SearchFacts | None = None
    recipe: RecipeFacts | None = None
    reused: int = 0
    gold: Gold | None = None

    @property
    def kept(self) -> int:
        """The number of prompts of both labels."""
        return sum(sum(by_label.values()) for by_label in self.counts.values())

    @property
    def missing(self) -> int:
        """How many prompts fewer there are than the policy asks for."""
        return sum(sum(by_category.values()) for by_category in self.short.values())


class TemplateFacts(_Facts):
    """An instruction template by label and hash."""

    label: str = ""
    hash: str = ""


class Scored(_Facts):
    """The part of a manifest that `overt score` adds."""

    names: tuple[str, ...] = ()
    recipe: str = ""
    template: TemplateFacts = TemplateFacts()
    benign: bool = False
    seed: int = 0
    judged: int = 0
    failed: dict[str, int] = {}
    below_coverage: tuple[str, ...] = ()
    # By judge what it can see, "all" or a list; those that do not say; by category the answers that no judge
    # can see.
    covers: dict[str, str | tuple[str, ...]] = {}
    undeclared: tuple[str, ...] = ()
    not_covered: dict[str, int] = {}
    calls: AllCalls = AllCalls()


class Likened(_Facts):
    """The part of a manifest that `overt score --faithfulness` adds. `drawn` counts the benign prompts drawn,
    `scored` those that could be told."""

    scorer: str = ""
    seed: int = 0
    drawn: int = 0
    scored: int = 0
    calls: AllCalls = AllCalls()


class Rewritten(_Facts):
    """The part of a manifest that `overt rewrite` adds."""

    rewriter: str = ""
    strategies: tuple[str, ...] = ()
    count: int = 0
    every_prompt: bool = False
    unsafe: bool = False
    scorers: tuple[str, ...] = ()
    seed: int = 0
    templates: dict[str, TemplateFacts] = {}
    prompts: int = 0
    candidates: int = 0
    lost: int = 0
    reasons: dict[str, int] = {}
    unanswered: int = 0
    calls: AllCalls = AllCalls()


class Explained(_Facts):
    """The part of a manifest that `overt explain` adds. `tried` counts prompts, over all targets, and
    `statuses` what became of them; `unanswered` counts calls."""

    granularity: str = "words"
    edit: str = "auto"
    again: int = 0
    max_calls: int = 0
    limit: int | None = None
    seed: int = 0
    complete: bool = True
    tried: int = 0
    statuses: dict[str, int] = {}
    unanswered: int = 0
    calls: AllCalls = AllCalls()


class ResultsManifest(Manifest):
    """The manifest of `overt run`. `kinds` has the output of each target; `refusal_judge` is the judge of
    text answers."""

    kinds: dict[str, Modality] = {}
    refusal_judge: str | None = None
    below_coverage: tuple[str, ...] = ()
    judges: Scored | None = None
    faithfulness: Likened | None = None
    rewrite: Rewritten | None = None
    explain: Explained | None = None


M = TypeVar("M", bound=Manifest)


# -- the run --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """One run's folder. Records are read on first use and cached."""

    folder: Path
    record: RunRecord

    @property
    def kind(self) -> str:
        return self.record.kind

    @property
    def policy_file(self) -> Path:
        return self.folder / "policy.yaml"

    @property
    def is_complete(self) -> bool:
        return (self.folder / MANIFEST).exists()

    @property
    def played_suite(self) -> str:
        """The suite of many turns that was played; "" where prompts were asked one by one."""
        return str(self.record.value("suite")) if ENVIRONMENT in self.record.inputs else ""

    @property
    def min_coverage(self) -> float:
        """The required share of answered prompts, 0 to 1."""
        least = self.record.config.get("min_coverage")
        return float(least) if isinstance(least, int | float) else 0.0

    @cached_property
    def manifest_data(self) -> JsonObject:
        """The manifest as plain JSON data."""
        data: JsonObject = read_json(self.folder / MANIFEST)
        return data

    @cached_property
    def dataset(self) -> DatasetManifest:
        """The manifest of a complete run of `overt generate`."""
        return self._manifest(DatasetManifest)

    @cached_property
    def results(self) -> ResultsManifest:
        """The manifest of a complete run of `overt run`."""
        return self._manifest(ResultsManifest)

    def _manifest(self, kind: type[M]) -> M:
        try:
            return kind.model_validate(well_formed(self.manifest_data))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise InputError(f"{place}: {first['msg']}", where=str(self.folder / MANIFEST)) from error

    @cached_property
    def prompts(self) -> list[Prompt]:
        """The prompts of a run of `overt run`."""
        return read_records(self.folder / "stages" / "prompts.jsonl", Prompt)

    @cached_property
    def outcomes(self) -> list[Outcome]:
        return read_records(self.folder / "stages" / "outcomes.jsonl", Outcome)

    @cached_property
    def harms(self) -> list[Harm]:
        """The results of `overt score`; empty if it has not run."""
        return read_records(self.folder / RESULTS / "harm.jsonl", Harm)

    @cached_property
    def as_asked(self) -> list[AsAsked]:
        """The results of `overt score --faithfulness`; empty if it has not run."""
        return read_records(self.folder / RESULTS / likeness.FILE, AsAsked)


def open_run(folder: Path, *kinds: Kind, complete: bool = True, played: bool = False) -> Run:
    """Opens the folder of a run.

    Args:
        kinds: the commands whose runs are accepted.
        complete: whether the run must be complete.
        played: whether runs of suites of many turns are accepted. What works on single prompts and their
            answers cannot use them.

    Raises:
        InputError: the folder is not a run, or the run is of another command, incomplete, of many turns, or
            of a newer version of overt.
    """
    record = read_record(folder)
    made_by = " or ".join(f"`overt {kind}`" for kind in kinds)
    if record is None:
        raise InputError(
            "this is not a run of overt (no run.json)",
            where=str(folder),
            fix=f"Give the folder that {made_by} named with --out.",
        )
    if record.kind not in kinds:
        raise _wrong_kind(folder, record.kind, made_by)
    run = Run(folder, record)
    if run.played_suite and not played:
        raise InputError(
            f"this is a run of {run.played_suite}, a suite of many turns, and this command works on "
            "single prompts and their answers",
            where=str(folder),
            fix=f"See it with overt show {folder}, overt report or overt view; hold it against another with "
            "overt compare, overt gate or overt leaderboard.",
        )
    if complete and not run.is_complete:
        raise InputError(
            "this run is not complete",
            where=str(folder),
            fix=f"Go on with it: overt {record.kind} --resume {folder}",
        )
    return run


def _wrong_kind(folder: Path, kind: str, made_by: str) -> InputError:
    if kind == "generate":
        return InputError(
            "this is a run of `overt generate`: a data set, of which nothing is tested yet",
            where=str(folder),
            fix=f"Test it first: overt run {folder} --target ...   "
            f"(to go on with making it: overt generate --resume {folder})",
        )
    holds = f", which holds {_HOLDS[kind]}" if kind in _HOLDS else ""
    return InputError(
        f"this is a run of `overt {kind}`{holds}; this command needs one of {made_by}",
        where=str(folder),
        fix=f"Go on with it: overt {kind} --resume {folder}" if kind in _HOLDS else "",
    )


def well_formed(data: Json) -> Json:
    """JSON data with "?" for each lone surrogate, which pydantic rejects."""
    if isinstance(data, str):
        return encodable(data)
    if isinstance(data, Mapping):
        return {key: well_formed(value) for key, value in data.items()}
    return [well_formed(one) for one in data] if isinstance(data, Sequence) else data
