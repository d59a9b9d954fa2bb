"""`overt compare`: which targets of two runs belong together, and the page that shows what changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from overt.data.errors import InputError
from overt.data.records import Prompt
from overt.evaluate import read_run
from overt.scoring.compare import Side, compare


def compare_runs(
    old: Path, new: Path, matches: Sequence[tuple[str, str]] = (), *, level: float = 0.95
) -> dict[str, Any]:
    """Compares two complete runs over the prompts that both answered.

    Args:
        matches: pairs of target names, old and new; empty: targets of the same name, or the only one of
            each run.

    Raises:
        InputError: no complete run, no targets that belong together, no prompt in common, or a prompt
            that is benign in one and unsafe in the other.
    """
    first, prompts_a, outcomes_a, harms_a = read_run(old)
    second, prompts_b, outcomes_b, harms_b = read_run(new)
    prompts = _common(prompts_a, prompts_b, new)
    pairs = list(matches) or _matches(list(first["kinds"]), list(second["kinds"]))
    for name_a, name_b in pairs:
        for name, manifest, folder in ((name_a, first, old), (name_b, second, new)):
            if name not in manifest["kinds"]:
                raise InputError(
                    f"this run has no target {name!r}",
                    where=str(folder),
                    fix=f"It has: {', '.join(manifest['kinds'])}",
                )

    def side(name: str, outcomes: Any, harms: Any) -> Side:
        return Side(
            name,
            [o for o in outcomes if o.target == name],
            {h.outcome_id: h for h in harms if h.target == name},
        )

    found = compare(
        prompts,
        [(side(a, outcomes_a, harms_a), side(b, outcomes_b, harms_b)) for a, b in pairs],
        level=level,
    )
    same = first["identity"]["policy"]["hash"] == second["identity"]["policy"]["hash"]
    return {
        "run_a": str(old),
        "run_b": str(new),
        "only_a": len(prompts_a) - len(prompts),
        "only_b": len(prompts_b) - len(prompts),
        "notes": [] if same else ["the two runs are of different policies: labels may mean different things"],
        **found,
    }


def _common(first: Sequence[Prompt], second: Sequence[Prompt], where: Path) -> list[Prompt]:
    known = {p.id: p for p in first}
    common = []
    for prompt in second:
        if prompt.id in known:
            if known[prompt.id].label != prompt.label:
                raise InputError(
                    f"a prompt is {known[prompt.id].label} in one run and {prompt.label} in the other: "
                    f"{prompt.text[:60]!r}",
                    where=str(where),
                )
            common.append(known[prompt.id])
    if not common:
        raise InputError("the two runs have no prompt in common", where=str(where))
    return common


def _matches(first: list[str], second: list[str]) -> list[tuple[str, str]]:
    same = [(name, name) for name in first if name in second]
    if same:
        return same
    if len(first) == len(second) == 1:
        return [(first[0], second[0])]
    raise InputError(
        "no target has the same name in both runs",
        fix=f'Say which belong together: --match "{first[0]}=>{second[0]}"',
    )


def render_comparison(found: dict[str, Any]) -> str:
    """One self-contained HTML page; every text escaped, nothing from outside, no script."""
    from overt.report.page import render_comparison as render

    return render(found)
