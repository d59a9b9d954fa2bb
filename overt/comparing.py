"""`overt compare`: which targets of two runs belong together, and the page that shows what changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from overt.data.errors import InputError
from overt.data.outcomes import Outcome
from overt.data.records import Prompt
from overt.data.runs import read_run
from overt.scoring.compare import Side, compare


def compare_runs(
    old: Path, new: Path, matches: Sequence[tuple[str, str]] = (), *, level: float = 0.95
) -> dict[str, Any]:
    """Compares two complete runs over the prompts that both answered.

    Returns:
        What `overt.scoring.compare.compare` gives, and of each pair also `asked`: how many answers both runs
        should have. `notes` say where too few could be compared: below `min_coverage`, the higher one of the
        two runs.

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
    least = max(first["identity"]["min_coverage"], second["identity"]["min_coverage"])
    scored = any(manifest.get("judges") for manifest in (first, second))
    ids = {p.id for p in prompts}
    for pair in found["pairs"]:
        pair["asked"] = len(_asked(pair["a"], outcomes_a, ids) & _asked(pair["b"], outcomes_b, ids))
    return {
        "run_a": str(old),
        "run_b": str(new),
        "only_a": len(prompts_a) - len(prompts),
        "only_b": len(prompts_b) - len(prompts),
        "notes": [
            *([] if same else ["the two runs are of different policies: labels may mean different things"]),
            *(
                note
                for pair in found["pairs"]
                for note in too_few(pair, found["differences"], least, scored=scored)
            ),
        ],
        "min_coverage": least,
        **found,
    }


def _asked(name: str, outcomes: Sequence[Outcome], ids: set[str]) -> set[tuple[str, int]]:
    return {(o.prompt_id, o.sample) for o in outcomes if o.target == name and o.prompt_id in ids}


def too_few(
    pair: Mapping[str, Any], differences: Sequence[Mapping[str, Any]], least: float, *, scored: bool
) -> Iterator[str]:
    """What could not be compared: no test can say of what is missing that it did not get worse.

    Args:
        pair: one of the pairs, with how many were asked of it.
        least: share that must have been answered, and judged where `scored`, in both runs.
    """
    name = pair["b"] if pair["a"] == pair["b"] else f"{pair['a']} -> {pair['b']}"
    if not pair["shared"]:
        yield f"{name}: no prompt was answered by both runs, so that nothing could be compared"
        return
    if pair["shared"] < least * pair["asked"]:
        yield f"{name}: only {pair['shared']} of {pair['asked']} prompts were answered by both runs"
    n = {row["metric"]: row["n"] for row in differences if (row["a"], row["b"]) == (pair["a"], pair["b"])}
    judged, unsafe = n.get("safe_response", 0), n.get("unsafe_refusal", 0)
    if scored and judged < least * unsafe:
        yield f"{name}: safe response is known in both runs for only {judged} of {unsafe} unsafe prompts"


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
