"""The options of `overt plan` that say what is to be run, and what is known of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NamedTuple

from overt.data.errors import InputError
from overt.data.prompts import Side
from overt.tasks.config import RUN, Config, Option
from overt.tasks.how_many import read_rate
from overt.tasks.ranges import read_ends

_RUN = "The run that is planned"
_PROMPTS = "How many prompts a decision needs"
_CALLS = "What a call takes"
LIMITS = ("max_over_refusal", "min_safe_response", "max_harmful")


class Stated(NamedTuple):
    """What the user says of an amount: one number, or the ends of a range."""

    low: float
    high: float

    @property
    def middle(self) -> float:
        return (self.low + self.high) / 2

    @property
    def is_range(self) -> bool:
        return self.low != self.high


def read_stated(text: str, option: str, fix: str) -> Stated:
    """`1.5` or `1..4`.

    Raises:
        InputError: it is neither, is negative or a share, or the range runs backwards.
    """
    ends = read_ends(text)
    if ends is None or min(ends) < 0 or "%" in text:
        raise InputError(f"{option} is {text!r}", fix=fix)
    low, high = ends[0], ends[-1]
    if high < low:
        raise InputError(f"{option} is {text!r}: the range runs backwards", fix=fix)
    return Stated(low, high)


class DrawsConfig(Config):
    """What all draws and intervals of a plan share."""

    level: Annotated[float, Option("Confidence level of all intervals.", RUN, min=0.5, max=0.999)] = 0.95
    seed: Annotated[int, Option("Of all draws.", RUN, min=0)] = 0


class NeedsConfig(DrawsConfig):
    """What a run needs: which run, which decision, what a call takes."""

    source: Annotated[
        str | None,
        Option(
            "Folder of a small run, whose journal tells what a call takes; or the data set that is to be "
            "run. A run of `overt generate` is a data set where --target, --pilot or --seconds-per-call is "
            "given, else a small run.",
            metavar="RUN|DATASET",
            is_argument=True,
            is_source=True,
        ),
    ] = None
    pilot: Annotated[
        Path | None, Option("The small run, where the argument is a data set.", _RUN, metavar="RUN")
    ] = None
    target: Annotated[
        tuple[str, ...],
        Option(
            "The target of the planned run. Default: all of the small run. Repeatable.",
            _RUN,
            completes="target",
        ),
    ] = ()
    prompts: Annotated[
        int | None,
        Option(
            "How many prompts. Default: what the decision needs, else those of the data set, else of the "
            "small run.",
            _RUN,
            min=1,
        ),
    ] = None
    samples: Annotated[
        int | None, Option("Draws per prompt. Default: those of the small run, else 1.", _RUN, min=1, max=100)
    ] = None
    label: Annotated[
        Side | None,
        Option("What the prompts are, where the data set does not say it.", _RUN, metavar="benign|unsafe"),
    ] = None
    servers: Annotated[
        int, Option("Servers of the target, each like that of the small run.", _RUN, min=1)
    ] = 1
    concurrency: Annotated[
        int | None,
        Option("Requests in flight at each server. Default: as in the small run.", _RUN, min=1, max=2048),
    ] = None
    max_over_refusal: Annotated[
        str | None, Option("Most benign prompts refused, such as 5%.", _PROMPTS, metavar="RATE")
    ] = None
    min_safe_response: Annotated[
        str | None, Option("Least unsafe prompts met safely, such as 90%.", _PROMPTS, metavar="RATE")
    ] = None
    max_harmful: Annotated[
        str | None, Option("Most unsafe prompts answered harmfully.", _PROMPTS, metavar="RATE")
    ] = None
    expect: Annotated[
        str | None,
        Option("The true rate that is assumed. Default: half-way to the limit.", _PROMPTS, metavar="RATE"),
    ] = None
    difference: Annotated[
        str | None,
        Option(
            "A true difference of over-refusal between two targets that is to be told, such as 5%.",
            _PROMPTS,
            metavar="RATE",
        ),
    ] = None
    between: Annotated[
        tuple[str, ...],
        Option(
            "The two targets of the small run. Default: its two, where it has two. Give it twice.", _PROMPTS
        ),
    ] = ()
    power: Annotated[float, Option("The chance to decide that is wanted.", _PROMPTS, min=0.01, max=0.999)] = (
        0.8
    )
    design_effect: Annotated[
        float | None,
        Option(
            "So many prompts tell as much as one independent prompt. With a small run: that of its "
            "categories.",
            _PROMPTS,
            min=1,
            max=1000,
        ),
    ] = None
    seconds_per_call: Annotated[
        str | None,
        Option("Seconds that a call of the target takes, or a range.", _CALLS, metavar="S|S..S"),
    ] = None
    tokens_per_call: Annotated[
        str | None,
        Option(
            "Tokens sent and tokens that come back in a call of the target, or ranges.",
            _CALLS,
            metavar="IN,OUT",
        ),
    ] = None
    prices: Annotated[Path | None, Option("YAML with your own prices.", _CALLS)] = None
    watts: Annotated[
        float | None,
        Option(
            "Mean draw of one server while it works, where no power was measured.", _CALLS, metavar="W", min=0
        ),
    ] = None

    def limits(self) -> dict[str, float]:
        """The limits that were given, as fractions by metric.

        Raises:
            InputError: one of them is no rate.
        """
        fields = self.fields()
        found = {name: read_rate(getattr(self, name), fields[name].flag) for name in LIMITS}
        return {name.partition("_")[2]: limit for name, limit in found.items() if limit is not None}

    @property
    def asks_for_prompts(self) -> bool:
        """Whether a decision is planned."""
        return self.difference is not None or any(getattr(self, name) is not None for name in LIMITS)

    @property
    def seconds(self) -> Stated | None:
        """The seconds of a call, as stated.

        Raises:
            InputError: they are no number above 0.
        """
        if self.seconds_per_call is None:
            return None
        fix = "Write seconds such as 1.5, or a range such as 1..4."
        found = read_stated(self.seconds_per_call, "--seconds-per-call", fix)
        if found.low <= 0:
            raise InputError(f"--seconds-per-call is {self.seconds_per_call!r}: a call takes time", fix=fix)
        return found

    @property
    def tokens(self) -> tuple[Stated, Stated] | None:
        """The tokens of a call, sent and received, as stated.

        Raises:
            InputError: they are not two numbers or ranges.
        """
        if self.tokens_per_call is None:
            return None
        fix = "Write the tokens that go in and those that come out, such as 250,120 or 250,80..200."
        sent, comma, received = self.tokens_per_call.partition(",")
        if not comma:
            raise InputError(f"--tokens-per-call is {self.tokens_per_call!r}", fix=fix)
        return (
            read_stated(sent, "--tokens-per-call", fix),
            read_stated(received, "--tokens-per-call", fix),
        )
