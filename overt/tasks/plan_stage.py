"""What the calls of one stage of a planned run take, by the small run or by what the user states."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from overt.calls.costs import Price, PriceList
from overt.data.results.plan import Amount, Unit
from overt.data.text import plain
from overt.report.sections.wording import counted
from overt.scoring.stats.inputs import Floats
from overt.scoring.stats.totals import FEWEST, foretold
from overt.tasks.plan_amounts import added, missing, of_stated, of_total, product, scaled
from overt.tasks.plan_needs import NeedsConfig, Stated
from overt.tasks.plan_pilot import Stage

_HOUR = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """What is planned of a stage: so many `units` like those of the small run (called `unit`), each with
    `factor` times their calls."""

    units: float
    unit: Unit
    factor: float = 1.0


class StageAmounts:
    """The amounts of one stage.

    Args:
        stage: of the small run; None where nothing but what is stated is known.
        model: that is planned, whose price counts.
        tested: whether it is the target, of which seconds and tokens may be stated and which is on `servers`
            servers (`on_fleet`).
        is_own: whether the model that is planned made the calls of `stage`; else its cost is another.
        calls: how many there will be; without a small run.
    """

    def __init__(
        self,
        config: NeedsConfig,
        prices: PriceList,
        ahead: Ahead,
        *,
        stage: Stage | None,
        model: str,
        tested: bool,
        on_fleet: bool,
        is_own: bool = True,
        calls: Amount | None = None,
    ) -> None:
        self.notes: list[str] = []
        self._config, self._prices, self._ahead = config, prices, ahead
        self._stage, self._model = stage, model
        self._seconds: Stated | None = config.seconds if tested else None
        self._tokens = config.tokens if tested else None
        self._servers = config.servers if on_fleet else 1
        self._concurrency = config.concurrency if on_fleet else None
        self._is_own, self._counted = is_own, calls

    @property
    def is_local(self) -> bool:
        return self._prices.is_local(self._model)

    @property
    def calls(self) -> Amount:
        if self._stage is None:
            return self._counted or missing("calls", "nothing is known of its calls")
        found = self._foretold(self._stage.calls, "calls")
        each = float(self._stage.calls[0])
        if found.n is None or found.n < FEWEST or not (self._stage.calls == each).all():
            return found
        return dataclasses.replace(found, by="counted", why="", how=f"{each:.3g} for each {self._one}")

    @property
    def _one(self) -> str:
        return self._ahead.unit.removesuffix("s")

    @property
    def why_unanswered(self) -> str:
        """Why a stage of the small run does not tell what an answer takes; "" if it does."""
        if self._stage is None or self._stage.answered:
            return ""
        return (
            f"all {self._stage.failed.n:,} calls of the small run failed, so no answer tells what one takes"
        )

    def _foretold(self, values: Floats, unit: Unit, how: str = "", *, alike: float = 1.0) -> Amount:
        """The total over the planned units of what each one of the small run took."""
        ahead = self._ahead
        found = foretold(values, ahead.units, level=self._config.level, unit=ahead.unit, alike=alike)
        return of_total(found.times(ahead.factor), unit, "measured", how)

    # -- time ------------------------------------------------------------------------------------------

    def hours(self) -> Amount:
        """How long the stage takes on its servers."""
        if self._seconds is not None:
            return self._stated_hours(self.calls, self._seconds)
        if self._stage is None:
            return missing("hours", "no --seconds-per-call is given, and no small run tells it")
        if why := self.why_unanswered or self._why_batched(self._stage):
            return missing("hours", why)
        return self._measured_hours(self._stage)

    @staticmethod
    def _why_batched(stage: Stage) -> str:
        if not stage.batched:
            return ""
        return (
            f"{stage.batched:,} of {counted(stage.failed.n, 'call')} of the small run went by batch, and how "
            "long a provider takes for a batch does not follow from its size; --seconds-per-call states it"
        )

    def seconds_per_call(self) -> Amount:
        """The mean time from a request to its answer."""
        if self._seconds is not None:
            return of_stated(self._seconds, "seconds")
        if self._stage is None:
            return missing("seconds", "nobody stated or measured it")
        if why := self.why_unanswered or self._why_batched(self._stage):
            return missing("seconds", why)
        if not self._stage.seconds.any():
            return missing("seconds", "the journal has no latencies of it")
        total = self._waited(self._stage)
        calls = self.calls.value or 1.0
        how = "of the last attempt" + (", with the wait for a place in a batch" if self.is_local else "")
        return scaled(total, 1 / calls, "seconds", how)

    def _measured_hours(self, stage: Stage) -> Amount:
        """Seconds of waiting over the calls in flight: as many as in the small run, or as the user says."""
        flight = stage.in_flight
        if self._concurrency is not None and self.is_local:
            self.notes.append(
                f"--concurrency does not count for {plain(self._model)}, which works in batches: its time is "
                "that of the small run"
            )
        elif self._concurrency is not None and stage.seconds.sum():
            before = f"with {flight:.3g}, as in the small run" if flight else "in the small run"
            how = (
                f"seconds of waiting over {self._servers} x {self._concurrency} calls in flight, if a call "
                f"then takes as long as {before}"
            )
            return self._waiting(stage, self._concurrency, how)
        if stage.wall is None:
            return missing("hours", "the journal has no latencies of it, and the manifest no clock")
        if flight is None:
            value = stage.wall * self._ahead.units * self._ahead.factor / (_HOUR * self._servers)
            why = "its calls have no latencies, so that nothing is known of the spread"
            n = len(stage.calls)
            return Amount(unit="hours", value=value / n, by="measured", n=n, why=why, how="by its clock")
        count = counted(int(stage.calls.sum()), "call")
        how = f"{count} in {stage.wall:,.3g} s, {flight:.3g} in flight ({stage.pace})"
        return self._waiting(
            stage, flight, how + (f"; {self._servers} such servers" if self._servers > 1 else "")
        )

    def _waiting(self, stage: Stage, flight: float, how: str) -> Amount:
        total = self._waited(stage)
        return scaled(total, 1 / (_HOUR * self._servers * flight), "hours", how)

    def _waited(self, stage: Stage) -> Amount:
        """The seconds of waiting of all planned calls."""
        return self._foretold(stage.seconds, "seconds", alike=stage.alike)

    def _stated_hours(self, calls: Amount, stated: Stated) -> Amount:
        seen = self._stage.in_flight if self._stage is not None else None
        flight = float(self._concurrency or 0) or (max(seen, 1.0) if seen is not None else 1.0)
        if not self._concurrency and seen is None:
            self.notes.append(
                "one call at a time is assumed at each server, since --concurrency says nothing (overt run "
                "keeps up to 32 in flight)"
            )
        how = f"stated seconds over {self._servers} x {flight:.3g} calls in flight"
        each = Stated(*(end / (_HOUR * self._servers * flight) for end in stated))
        return product(calls, each, "hours", how)

    # -- tokens and cost -------------------------------------------------------------------------------

    def tokens(self) -> tuple[Amount, Amount]:
        """Tokens that are sent, and those that come back."""
        if self._tokens is not None:
            sent, received = (product(self.calls, stated, "tokens") for stated in self._tokens)
            return sent, received
        if self._stage is None:
            nobody = missing("tokens", "no --tokens-per-call is given, and no small run tells it")
            return nobody, nobody
        if why := self.why_unanswered or self._why_uncounted(self._stage):
            return missing("tokens", why), missing("tokens", why)
        how = self._how_estimated(self._stage)
        return (
            self._foretold(self._stage.input_tokens, "tokens", how),
            self._foretold(self._stage.output_tokens, "tokens", how),
        )

    @staticmethod
    def _why_uncounted(stage: Stage) -> str:
        if not stage.uncounted:
            return ""
        return f"{stage.uncounted:,} of {stage.answered:,} answers came without a count of tokens"

    @staticmethod
    def _how_estimated(stage: Stage) -> str:
        if not stage.estimated:
            return ""
        return (
            f"the tokens of {stage.estimated:,} of {counted(stage.answered, 'answer')} are estimates from "
            "the texts, since the service counted none"
        )

    def cost(self) -> Amount:
        """US dollars: as booked in the small run; at the listed price where not every answer was booked, or
        where the user gives prices or tokens."""
        stage, price = self._stage, self._prices.of(self._model)
        if self.is_local:
            return Amount(
                unit="US dollars", value=0.0, low=0.0, high=0.0, by="free", how="a model of this machine"
            )
        if why := self.why_unanswered:
            return missing("US dollars", why)
        is_told_anew = self._tokens is not None or (self._config.prices is not None and price is not None)
        booked = self._booked(stage) if stage is not None and self._is_own and not is_told_anew else None
        if booked is not None:
            return booked
        return missing("US dollars", self._why_unpriced) if price is None else self._priced(price)

    def _booked(self, stage: Stage) -> Amount | None:
        """What was booked; None where nothing was, or not every answer."""
        if stage.unbooked or not float(stage.cost.sum()):
            return None
        how = "; ".join(filter(None, ("as booked in the small run", self._how_estimated(stage))))
        return self._foretold(stage.cost, "US dollars", how)

    @property
    def _why_unpriced(self) -> str:
        name, stage = plain(self._model), self._stage
        if not name:
            return "no --target is named, so there is no price"
        part = ""
        if stage is not None and self._is_own and stage.unbooked and float(stage.cost.sum()):
            answers = counted(stage.answered, "answer")
            part = f", and {stage.unbooked:,} of {answers} were booked without one"
        return f"no price is known for {name}{part} (--prices FILE gives one)"

    def _priced(self, price: Price) -> Amount:
        stage = self._stage
        if self._tokens is None and stage is not None:
            if price.is_by_token and (why := self._why_uncounted(stage)):
                return missing("US dollars", why)
            tokens = (stage.input_tokens * price.input + stage.output_tokens * price.output) / 1e6
            how = self._how_estimated(stage) if price.is_by_token else ""
            found = self._foretold(tokens + stage.pictures * price.image, "US dollars", how)
            return dataclasses.replace(found, by="price list")
        if price.image:
            return missing("US dollars", "it is priced by the picture, and no small run tells how many come")
        sent, received = self.tokens()
        parts = [
            scaled(sent, price.input / 1e6, "US dollars"),
            scaled(received, price.output / 1e6, "US dollars"),
        ]
        total = added(parts, "US dollars", ("tokens in", "tokens out"))
        return dataclasses.replace(total, by="price list" if total.value is not None else None)
