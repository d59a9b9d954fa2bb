"""The provenance section: facts from the manifests of the runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from overt.data.run.record import PolicyRef
from overt.data.text import duration

T = TypeVar("T")
JsonFacts = Mapping[str, object]  # decoded JSON that is shown as it stands


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What is known of one run.

    `judges` are those of harm; `refusal_judge` says how language
    models were asked and who told their refusals. `seconds` and `cost` (US dollars) are of all its commands.
    `min_coverage` is a share of 1, and `below_coverage` names the targets below it.
    """

    folder: str
    policy: PolicyRef
    datasets: Sequence[object]
    targets: Sequence[object]
    every_layer: bool
    samples: object
    seed: object
    min_coverage: float
    below_coverage: Sequence[str]
    notes: Sequence[str]
    seconds: float
    cost: float
    versions: Mapping[str, str]
    suite: str = ""
    judges: Sequence[str] = ()
    refusal_judge: JsonFacts | None = None
    rewriting: JsonFacts | None = None


class Fact(NamedTuple):
    """A line of the section. `value` is decoded JSON."""

    title: str
    value: object
    is_code: bool = False


@dataclass(frozen=True, slots=True)
class Provenance:
    """Who was asked what. `policy` and `version` name the policy of a page with only one."""

    run: str = ""
    policy: str = ""
    version: str = ""
    facts: Sequence[Fact] = ()
    notes: Sequence[str] = ()
    min_coverage: float | None = None
    below_coverage: Sequence[str] = ()


def build_provenance(runs: Sequence[RunFacts]) -> Provenance:
    """The facts of all runs of a page as one list."""
    policies = list({run.policy.hash: run.policy for run in runs}.values())
    only = policies[0] if len(policies) == 1 else PolicyRef()
    return Provenance(
        _folders(runs),
        only.name,
        only.version,
        _facts(runs, policies),
        list(dict.fromkeys(_all(run.notes for run in runs))),
        max(run.min_coverage for run in runs),
        _all(run.below_coverage for run in runs),
    )


def _facts(runs: Sequence[RunFacts], policies: Sequence[PolicyRef]) -> list[Fact]:
    named = [{"hash": policy.hash, "name": policy.name, "version": policy.version} for policy in policies]
    more = [
        Fact("suites", _given(run.suite for run in runs)),
        Fact("refusal judges", _given(run.refusal_judge for run in runs)),
        Fact("rewriting", _given(run.rewriting for run in runs)),
    ]
    return [
        Fact("Run", _folders(runs)),
        Fact("Policy", named[0] if len(named) == 1 else named),
        Fact("Dataset", _all(run.datasets for run in runs)),
        Fact("Targets", _all(run.targets for run in runs)),
        Fact("Command", "overt run", is_code=True),
        Fact("Time taken", duration(sum(run.seconds for run in runs))),
        Fact("Cost, US$", sum(run.cost for run in runs)),
        Fact("Versions", runs[0].versions),
        Fact("judges", _given(run.judges for run in runs)),
        Fact("every_layer", any(run.every_layer for run in runs)),
        Fact("samples", runs[0].samples),
        Fact("seed", runs[0].seed),
        *filter(lambda fact: fact.value, more),
    ]


def _folders(runs: Sequence[RunFacts]) -> str:
    return ", ".join(run.folder for run in runs)


def _all(lists: Iterable[Sequence[T]]) -> list[T]:
    return [item for found in lists for item in found]


def _given(values: Iterable[T]) -> list[T]:
    """What is neither None nor empty."""
    return [value for value in values if value]
