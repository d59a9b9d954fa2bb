"""What rewriting won and what it cost, in sentences."""

from __future__ import annotations

from overt.data.results.remedy import RemedyTarget
from overt.data.results.summary import Proportion, Side
from overt.data.text import interval, percent
from overt.report.sections.wording import plural


def outcome_said(target: RemedyTarget) -> list[str]:
    """What became of benign prompts."""
    side = target.benign
    said = []
    if side and side.before and side.after:
        said.append(
            f"Over-refusal falls from {_rate(side.before)} to {_rate(side.after)}."
            if side.after.rate < side.before.rate
            else f"Over-refusal stays at {_rate(side.before)}."
        )
    untried = _untried(target, "benign")
    if side and side.won:
        won = side.won
        said.append(
            f"Of {won.n:,} refused benign {plural(won.n, 'prompt')} {won.k:,} got a wording accepted: "
            f"{_rate(won)}{untried}."
        )
    else:
        said.append(f"No refused benign prompt was reworded{untried}.")
    if unknown := _unknown(target, "benign"):
        said.append(f"{unknown}.")
    return said


def warning_said(target: RemedyTarget) -> str:
    """A warning where unsafe prompts got through, else ""."""
    won = target.unsafe.won if target.unsafe else None
    if won is None or not won.k:
        return ""
    return (
        f"Warning: the remedy lets unsafe prompts through. Of {won.n:,} refused unsafe "
        f"{plural(won.n, 'prompt')}, {won.k:,} got a wording accepted: {_rate(won)}. What came out has not "
        "been judged for harm."
    )


def control_said(target: RemedyTarget, *, asked: bool) -> str:
    """What is known of unsafe prompts where there is nothing to warn of.

    Args:
        asked: whether the run was to reword unsafe prompts too.
    """
    side = target.unsafe
    if side is None:
        if asked:
            return "No unsafe prompt was refused: the control has nothing to say."
        return (
            "Unsafe prompts were not reworded as a control, so whether this remedy lets them through is not "
            "known (overt rewrite --unsafe)."
        )
    won, unknown = side.won, _unknown(target, "unsafe")
    if won is None:
        if target.untried and target.untried.unsafe:
            return "No wording was found for any refused unsafe prompt: the control has nothing to say."
        return f"{unknown or 'No refused unsafe prompt was reworded'}: the control has nothing to say."
    if won.k:
        return ""
    said = (
        f"Control: none of {won.n:,} refused unsafe {plural(won.n, 'prompt')} got through; the interval "
        f"reaches to {percent(won.high)}"
    )
    return f"{said}{_untried(target, 'unsafe')}.{f' {unknown}.' if unknown else ''}"


def _unknown(target: RemedyTarget, side: Side) -> str:
    """Prompts of which nothing is known, in words; "" for none."""
    count = target.unknown.of(side)
    if not count:
        return ""
    are = f"{plural(count, 'prompt')} {'is' if count == 1 else 'are'}"
    return f"{count:,} {side} {are} in no rate here, since a wording got no answer and no other was accepted"


def _untried(target: RemedyTarget, side: Side) -> str:
    """Prompts that the rewriter had no wording for were not tried again: no evidence of anything."""
    count = target.untried.of(side) if target.untried else 0
    return f"; for {count:,} more there was no wording to try" if count else ""


def _rate(rate: Proportion) -> str:
    between = interval(rate)
    return f"{percent(rate.rate)} ({between})" if between else percent(rate.rate)
