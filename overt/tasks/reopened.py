"""A finished run whose targets are asked again: what `overt rewrite` and `overt explain` begin with.

The targets, the judge of refusals and how they are asked come from the run's record; where they are reached,
and at which pace, from the run's folder and the command.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from overt.calls import CallerOptions
from overt.data.progress import Progress
from overt.data.run.finished import Run, open_run
from overt.data.run.folder import Addresses
from overt.policies.load import load_policy
from overt.policies.schema import Policy
from overt.tasks import trust
from overt.tasks.asking import Asking
from overt.tasks.roles import ModelOptions
from overt.tasks.run import RunConfig
from overt.tasks.targets import TargetOptions, TargetSpec, check_files, resolve_target, specs_from_json
from overt.tasks.task import Work, working_again


class Again(Protocol):
    """The configuration of a command that asks a run's targets again."""

    @property
    def run(self) -> Path: ...
    @property
    def trust_addresses(self) -> bool: ...
    @property
    def codes(self) -> Path | None: ...
    @property
    def caller(self) -> CallerOptions: ...
    @property
    def device(self) -> str | None: ...
    @property
    def workers(self) -> str: ...
    @property
    def batch_size(self) -> int | None: ...
    @property
    def timeout(self) -> float: ...
    @property
    def concurrency(self) -> int: ...

    def addresses(self, run: Path | None = None) -> Addresses: ...


@dataclass(frozen=True)
class Reopened:
    """A complete run of `overt run`, with the configuration that it was made with."""

    run: Run
    settings: RunConfig
    policy: Policy
    modality: str
    specs: list[TargetSpec]

    @property
    def judge(self) -> str:
        """Who tells refusals in words."""
        return self.settings.judge or "judge/rules"

    @contextmanager
    def working(self, config: Again, progress: Progress, part: str) -> Iterator[Work]:
        """Locks the folder and opens the caller, with the run's own words of services if there are no others.

        Args:
            part: the part of the manifest that the command writes.
        """
        calls = dataclasses.replace(config.caller, codes=config.codes or self.settings.codes)
        with working_again(self.run, calls, progress, part) as work:
            yield work

    def asking(self, work: Work, config: Again, models: ModelOptions) -> Asking:
        """How the targets are asked: with the settings of the run, not with the current defaults."""
        reached = config.addresses(self.run.folder)
        url, key = (by.get("target", by.get("")) for by in (reached["base_url"], reached["api_key_env"]))
        targets = TargetOptions(
            url,
            key,
            config.device,
            config.batch_size,
            timeout=config.timeout,
            concurrency=config.concurrency,
            system=self.settings.system,
            max_tokens=self.settings.max_tokens,
            temperature=self.settings.temperature,
            workers=config.workers,
        )
        return Asking(
            work,
            self.modality,
            self.settings.every_layer,
            self.judge,
            self.settings.seed,
            targets,
            models,
        )


def reopen(config: Again) -> Reopened:
    """Opens a run whose targets are to be asked again. Its models are looked up, but not yet made.

    Raises:
        InputError: the run is not complete, a file of a target was changed, a class is not there, or the
            folder names an address that the user has not confirmed.
    """
    run = open_run(config.run, "run")
    settings = RunConfig().resumed(run.record.config, run.record.given).settled()
    policy = load_policy(str(run.policy_file))
    modality = str(run.record.inputs.get("modality", policy.modality))
    specs = specs_from_json(run.record.inputs.get("targets"))
    trust.settle(
        run.folder,
        specs,
        {"judge": trust.models_of(settings)["judge"]},
        config.addresses(run.folder),
        config.addresses(),
        trusted=config.trust_addresses,
    )
    for spec in specs:  # a wrong name should cost nothing
        check_files(spec)
        resolve_target(spec, modality)
    return Reopened(run, settings, policy, modality, specs)
