"""What a run to come takes: calls, hours, tokens, cost, energy, stage by stage."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from overt.calls.costs import PriceList
from overt.data.results.plan import Amount, RunNeed, StageNeed
from overt.data.text import plain
from overt.tasks.plan_amounts import added, missing
from overt.tasks.plan_energy import energy_of
from overt.tasks.plan_needs import NeedsConfig
from overt.tasks.plan_pilot import Pilot, Stage, pooled
from overt.tasks.plan_stage import Ahead, StageAmounts


def run_needed(
    config: NeedsConfig, pilot: Pilot | None, prompts: Amount, samples: int
) -> tuple[RunNeed, list[str]]:
    """What the planned run takes, and notes on what that assumes.

    Args:
        prompts: how many prompts (or episodes, or rows) there will be, with a value.
        samples: how often each is asked.

    Raises:
        InputError: a stated amount or the price file cannot be read.
    """
    planning = _Planning(config, pilot, prompts, samples)
    stages = tuple(planning.stages())
    names = [_name(stage) for stage in stages]
    hours = added([stage.hours for stage in stages], "hours", names)
    longest = max((stage.hours for stage in stages), key=lambda amount: amount.value or 0.0)
    need = RunNeed(
        prompts=prompts,
        samples=samples,
        servers=config.servers,
        concurrency=config.concurrency,
        stages=stages,
        calls=added([stage.calls for stage in stages], "calls", names),
        hours=hours,
        longest=hours if hours.value is None else longest,
        cost=added([stage.cost for stage in stages], "US dollars", names),
        energy=energy_of(config, pilot, planning.share, stages),
    )
    return need, list(dict.fromkeys(planning.notes))


def _name(stage: StageNeed) -> str:
    return plain(stage.title) or "the target"


class _Planning:
    """The stages of one planned run. `notes` grows with what is assumed. `share` is how many times the small
    run is planned."""

    def __init__(self, config: NeedsConfig, pilot: Pilot | None, prompts: Amount, samples: int) -> None:
        self.notes: list[str] = []
        self._config, self._pilot = config, pilot
        self._prompts, self._samples = prompts, samples
        self._prices = PriceList.load(config.prices)
        self._count = prompts.value or 0.0
        self._again = samples / pilot.samples if pilot is not None else 1.0
        self.share = self._count * self._again / pilot.prompts if pilot is not None else 0.0

    def stages(self) -> Iterator[StageNeed]:
        config, pilot = self._config, self._pilot
        if config.servers > 1:
            self.notes.append(
                f"{config.servers} servers are taken to do {config.servers} times what one does: nothing "
                "that they share (a network, a limit of the provider) slows them down"
            )
        if pilot is None:
            yield from map(self._stated, dict.fromkeys(config.target) or ("",))
        else:
            yield from self._of_pilot(pilot)

    def _of_pilot(self, pilot: Pilot) -> Iterator[StageNeed]:
        """The targets that are planned, then all other stages of the small run."""
        asked = {stage.model: stage for stage in pilot.stages if stage.is_target}
        planned = tuple(dict.fromkeys(self._config.target)) or tuple(asked)
        for name in planned:
            yield self._seen(asked[name]) if name in asked else self._unseen(name, list(asked.values()))
        share = min(1.0, len(planned) / len(asked)) if asked else 1.0
        left_out = set(asked) - set(planned)
        rest = [stage for stage in pilot.stages if not stage.is_target and stage.model not in left_out]
        if rest and share < 1:
            self.notes.append(
                f"all other stages were about {len(asked)} targets in the small run: {share:.0%} of their "
                "calls are planned"
            )
        for stage in rest:
            yield self._seen(stage, share)

    def _seen(self, stage: Stage, share: float = 1.0, *, is_own: bool = True) -> StageNeed:
        """A stage of the small run; `is_own`: whether the model that is planned made its calls."""
        assert self._pilot is not None
        pilot = self._pilot
        # A judge may be asked about each answer, of which there are more than prompts.
        units = self._count if stage.is_target else self._count * len(stage.calls) / pilot.prompts
        has_targets = bool(pilot.targets)
        amounts = StageAmounts(
            self._config,
            self._prices,
            Ahead(units=units, unit=pilot.unit, factor=self._again * share),
            stage=stage,
            model=stage.model,
            tested=stage.is_target,
            on_fleet=stage.is_target or not has_targets,
            is_own=is_own,
        )
        return self._need(stage.name, stage.model, amounts, stage, is_target=stage.is_target)

    def _unseen(self, name: str, others: Sequence[Stage]) -> StageNeed:
        """A target that the small run did not ask: calls and tokens as of those that it asked, the price its
        own."""
        if not others:
            return self._stated(name)
        self.notes.append(
            f"the small run did not ask {plain(name)}: its calls and tokens are taken to be those of "
            f"{' and '.join(plain(stage.model) for stage in others)}"
        )
        need = self._seen(pooled(others, name), is_own=False)
        need = dataclasses.replace(need, failed=None)
        if self._config.seconds is not None:
            return need
        why = f"the small run did not ask {plain(name)}, and no --seconds-per-call is given"
        return dataclasses.replace(
            need, hours=missing("hours", why), seconds_per_call=missing("seconds", why)
        )

    def _stated(self, name: str) -> StageNeed:
        """A target of which nothing is known but what the user states: a call for each prompt and sample."""
        calls = Amount(
            unit="calls", value=self._count * self._samples, by="counted", how="one for each prompt"
        )
        amounts = StageAmounts(
            self._config,
            self._prices,
            Ahead(units=self._count, unit="prompts"),
            stage=None,
            model=name,
            tested=True,
            on_fleet=True,
            calls=calls,
        )
        return self._need(name, name, amounts, None, is_target=True)

    def _need(
        self, name: str, model: str, amounts: StageAmounts, stage: Stage | None, *, is_target: bool
    ) -> StageNeed:
        calls, tokens = amounts.calls, amounts.tokens()
        need = StageNeed(
            stage=name,
            model=model,
            is_target=is_target,
            calls=calls,
            hours=amounts.hours(),
            cost=amounts.cost(),
            input_tokens=tokens[0],
            output_tokens=tokens[1],
            seconds_per_call=amounts.seconds_per_call(),
            calls_per_prompt=(calls.value or 0.0) / self._count if self._count else 0.0,
            in_flight=stage.in_flight if stage is not None else None,
            failed=stage.failed if stage is not None else None,
            tried_again=stage.tried_again if stage is not None else None,
        )
        self.notes += amounts.notes
        return need
