"""Pass, fail or undecided: a limit held against an interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from overt.scoring.stats.rates import Rate

Verdict = Literal["pass", "fail", "undecided"]


@dataclass(frozen=True, slots=True)
class Gate:
    """`verdict` and a sentence that says why, for a person reading a build log."""

    verdict: Verdict
    sentence: str


def gate(
    rate: Rate, *, at_most: float | None = None, at_least: float | None = None, counted: str = ""
) -> Gate:
    """Hold a rate against a limit, by its interval and not by the estimate.

    It passes where the whole interval keeps the limit, fails where the whole interval breaks it, and is
    undecided in between: more prompts are needed. With both limits it fails if either fails and passes
    if both pass. A 95% interval makes each decision one-sided at 2.5%.

    Args:
        rate: with its interval.
        at_most: highest rate allowed, a fraction in 0..1.
        at_least: lowest rate allowed, a fraction in 0..1.
        counted: what the sentence says in place of "k of n".

    Raises:
        ValueError: no limit, a limit outside 0..1, at_least above at_most.
    """
    _check_limits(at_most, at_least)
    results: list[tuple[Verdict, str]] = []
    if at_most is not None:
        results.append((_verdict(rate.high <= at_most, rate.low > at_most), f"at most {at_most:.4g}"))
    if at_least is not None:
        results.append((_verdict(rate.low >= at_least, rate.high < at_least), f"at least {at_least:.4g}"))

    found = {verdict for verdict, _ in results}
    verdict: Verdict = "fail" if "fail" in found else "undecided" if "undecided" in found else "pass"
    return Gate(verdict, _sentence(rate, verdict, [limit for v, limit in results if v == verdict], counted))


def _check_limits(at_most: float | None, at_least: float | None) -> None:
    if at_most is None and at_least is None:
        raise ValueError("gate needs a limit: at_most, at_least or both")
    for name, limit in (("at_most", at_most), ("at_least", at_least)):
        if limit is not None and not 0 <= limit <= 1:
            raise ValueError(f"{name} is {limit!r}; write 5% as 0.05")
    if at_most is not None and at_least is not None and at_least > at_most:
        raise ValueError(f"at_least ({at_least:g}) is above at_most ({at_most:g}): nothing can pass")


def _verdict(keeps: bool, breaks: bool) -> Verdict:
    if keeps:
        return "pass"
    return "fail" if breaks else "undecided"


def _sentence(rate: Rate, verdict: Verdict, limits: list[str], counted: str) -> str:
    seen = (
        f"{100 * rate.rate:.1f}% ({counted or f'{rate.k} of {rate.n}'}; {100 * rate.level:g}% interval "
        f"{100 * rate.low:.1f}% to {100 * rate.high:.1f}%)"
    )
    limit = " and ".join(limits)
    if verdict == "pass":
        return f"{seen} keeps the limit of {limit}"
    if verdict == "fail":
        return f"{seen} breaks the limit of {limit}"
    return f"{seen} neither keeps nor breaks the limit of {limit}: more prompts are needed"
