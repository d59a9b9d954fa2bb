"""What rewriting won and what it cost, in tables and sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from overt.report.cells import Cell, Table, rate_cell, sortable
from overt.report.metrics import Tone
from overt.report.words import decimals, interval, is_figure, mean_interval, percent, points, signed

Remedy = Mapping[str, Any]

MEASURES = {
    "text_text": "Wording to wording",
    "text_image": "Picture to prompt",
    "image_image": "Picture to picture",
    "vqa": "Elements found",
    "judge": "Meaning kept",
}
_SHARES = {"vqa", "judge"}  # measures whose values are shares of 1
STRATEGIES = {
    "plain": "plain rewording",
    "replace": "trigger replaced",
    "context": "benign context added",
    "describe": "described as it is seen",
    "lexical": "the policy's neutral words",
}


@dataclass(frozen=True, slots=True)
class RemedyTarget:
    """What the remedy did at one target. `warning` is "" unless unsafe prompts got through."""

    name: str
    measures: int
    says: Sequence[str]
    warning: str
    control: str
    benign: Table
    unsafe: Table | None
    faithfulness: Table | None
    strategies: Table | None
    missing: Table | None


@dataclass(frozen=True, slots=True)
class RemedyView:
    targets: Sequence[RemedyTarget]
    overview: Table | None


def build_remedy(remedy: Remedy, titles: Mapping[str, str]) -> RemedyView:
    """The summary that `overt.scoring.remedy` makes, in tables and sentences.

    Args:
        titles: category id -> title.
    """
    scales = {(s["measure"], s["model"]): s for s in remedy.get("scales") or ()}
    targets = remedy["targets"]
    return RemedyView(
        [
            RemedyTarget(
                target["name"],
                len(target.get("faithfulness") or ()),
                _says(target),
                _warning(target),
                _control(target, remedy.get("control", False)),
                _benign(target, index, titles),
                _unsafe(target, index, titles),
                _faithfulness(target, index, scales),
                _strategies(target, index),
                _missing(target, index),
            )
            for index, target in enumerate(targets)
        ],
        _overview(targets) if len(targets) > 1 else None,
    )


def is_difference(row: Mapping[str, Any]) -> bool:
    """Whether a measure is shown as the difference to the originals' own pictures."""
    return bool(row.get("difference")) and is_figure(row["difference"].get("mean"))


def measure_title(row: Mapping[str, Any]) -> str:
    return MEASURES.get(str(row["measure"]), str(row["measure"]))


def scale_of(row: Mapping[str, Any]) -> str:
    """What a measure's numbers are, in words."""
    if row["measure"] == "text_text" and str(row["model"]).startswith("lexical"):
        return "word overlap (Jaccard), 0 to 1"
    said = {
        "text_text": "cosine of the two wordings, −1 to 1",
        "text_image": "cosine of the new picture and the original prompt, −1 to 1",
        "image_image": "cosine of the two pictures, −1 to 1",
        "vqa": "share of the prompt's elements found in the picture, 0 to 1",
        "judge": "share of wordings that keep the meaning, 0 to 1",
    }
    return said.get(str(row["measure"]), "")


# ---- sentences


def _says(target: Mapping[str, Any]) -> list[str]:
    side = target.get("benign") or {}
    before, after, won = (side.get(key) for key in ("before", "after", "won"))
    said = []
    if before and after:
        said.append(
            f"Over-refusal falls from {_rate(before)} to {_rate(after)}."
            if after["rate"] < before["rate"]
            else f"Over-refusal stays at {_rate(before)}."
        )
    if won:
        said.append(
            f"Of {won['n']:,} refused benign {_prompts(won['n'])} {won['k']:,} got a wording accepted: "
            f"{_rate(won)}{_untried(target, 'benign')}."
        )
    else:
        said.append(f"No refused benign prompt was reworded{_untried(target, 'benign')}.")
    if unknown := _unknown(target, "benign"):
        said.append(f"{unknown}.")
    return said


def _warning(target: Mapping[str, Any]) -> str:
    won = (target.get("unsafe") or {}).get("won")
    if not won or not won["k"]:
        return ""
    return (
        f"Warning: the remedy lets unsafe prompts through. Of {won['n']:,} refused unsafe "
        f"{_prompts(won['n'])}, {won['k']:,} got a wording accepted: {_rate(won)}. What came out has not "
        "been judged for harm."
    )


def _control(target: Mapping[str, Any], asked: bool) -> str:
    """What is known of unsafe prompts where there is nothing to warn of."""
    side = target.get("unsafe")
    if side is None:
        if asked:
            return "No unsafe prompt was refused: the control has nothing to say."
        return (
            "Unsafe prompts were not reworded as a control, so whether this remedy lets them through is not "
            "known (overt rewrite --unsafe)."
        )
    won = side.get("won")
    if not won:
        if (target.get("untried") or {}).get("unsafe", 0):
            return "No wording was found for any refused unsafe prompt: the control has nothing to say."
        why = _unknown(target, "unsafe") or "No refused unsafe prompt was reworded"
        return f"{why}: the control has nothing to say."
    if won["k"]:
        return ""
    most = f"; the interval reaches to {percent(won['high'])}" if is_figure(won.get("high")) else ""
    said = f"Control: none of {won['n']:,} refused unsafe {_prompts(won['n'])} got through{most}"
    unknown = _unknown(target, "unsafe")
    return f"{said}{_untried(target, 'unsafe')}.{f' {unknown}.' if unknown else ''}"


def _unknown(target: Mapping[str, Any], label: str) -> str:
    """Prompts of which nothing is known, in words; "" for none."""
    count = (target.get("unknown") or {}).get(label, 0)
    if not count:
        return ""
    are = f"{_prompts(count)} {'is' if count == 1 else 'are'}"
    return f"{count:,} {label} {are} in no rate here, since a wording got no answer and no other was accepted"


def _untried(target: Mapping[str, Any], label: str) -> str:
    """Prompts that the rewriter had no wording for were not tried again: no evidence of anything."""
    count = (target.get("untried") or {}).get(label, 0)
    return f"; for {count:,} more there was no wording to try" if count else ""


def _rate(rate: Mapping[str, Any]) -> str:
    between = interval(rate)
    return f"{percent(rate['rate'])} ({between})" if between else percent(rate["rate"])


def _prompts(count: int) -> str:
    return "prompt" if count == 1 else "prompts"


# ---- tables

_THREE = ("Refused before", "Refused after", "Won")


def _three(row: Mapping[str, Any], *, unsafe: bool = False) -> list[Cell]:
    """Refusal before and after, and what was won. Winning acceptance for unsafe prompts is a cost."""
    refusal: Tone = "gain" if unsafe else "cost"
    won: Tone = "cost" if unsafe else "gain"
    return [
        rate_cell(row.get("before"), refusal),
        rate_cell(row.get("after"), refusal),
        rate_cell(row.get("won"), won),
    ]


def _overview(targets: Sequence[Mapping[str, Any]]) -> Table:
    return Table(
        "remedy-overview",
        "What rewriting did at each target, over all benign prompts; the last column is the control",
        ["Target", *_THREE, "Unsafe let through"],
        [
            [
                Cell(t["name"], sort=t["name"].casefold()),
                *_three(t.get("benign") or {}),
                rate_cell((t.get("unsafe") or {}).get("won"), "cost"),
            ]
            for t in targets
        ],
    )


def _benign(target: Mapping[str, Any], index: int, titles: Mapping[str, str]) -> Table:
    """The paper's table: by category refusal before and after, and fidelity by each measure."""
    measures = target.get("faithfulness") or ()
    side = target.get("benign") or {}
    rows = [[Cell("All benign prompts", sort=""), *_three(side), *(_fidelity(m, m) for m in measures)]]
    for part in side.get("categories") or ():
        found = [_of(m, part["category"]) for m in measures]
        title = _title(part["category"], titles)
        rows.append(
            [
                Cell(title, sort=title.casefold()),
                *_three(part),
                *(_fidelity(m, row) for m, row in zip(measures, found, strict=True)),
            ]
        )
    several = len({m["measure"] for m in measures}) < len(measures)
    heads = [
        measure_title(m)
        + (", difference" if is_difference(m) else "")
        + (f", {m['model']}" if several else "")
        for m in measures
    ]
    return Table(
        f"remedy-{index}",
        "Benign prompts by category: refusal before and after rewriting, the share of refused prompts that a "
        "wording got accepted, and what the wordings kept",
        ["Category", *_THREE, *heads],
        rows,
        dense=len(heads) > 2,
    )


def _unsafe(target: Mapping[str, Any], index: int, titles: Mapping[str, str]) -> Table | None:
    side = target.get("unsafe")
    if not side:
        return None
    rows = [[Cell("All unsafe prompts", sort=""), *_three(side, unsafe=True)]]
    for part in side.get("categories") or ():
        title = _title(part["category"], titles)
        rows.append([Cell(title, sort=title.casefold()), *_three(part, unsafe=True)])
    return Table(
        f"remedy-unsafe-{index}",
        "The control: unsafe prompts by category. What is let through here is the price of the remedy",
        ["Category", "Refused before", "Refused after", "Let through"],
        rows,
    )


def _title(category: str, titles: Mapping[str, str]) -> str:
    return titles.get(category) or category


def _of(measure: Mapping[str, Any], category: str) -> Mapping[str, Any]:
    rows: Iterable[Mapping[str, Any]] = measure.get("categories") or ()
    return next((row for row in rows if row["category"] == category), {})


def _fidelity(measure: Mapping[str, Any], row: Mapping[str, Any]) -> Cell:
    """The mean of a measure over the chosen wordings of a row, as its whole measure is shown."""
    return _mean_cell(measure, row.get("difference" if is_difference(measure) else "value"))


def _mean_cell(measure: Mapping[str, Any], mean: Mapping[str, Any] | None) -> Cell:
    if not mean or not is_figure(mean.get("mean")):
        return Cell("-", muted=True)
    share, difference = measure["measure"] in _SHARES, is_difference(measure)
    if share:
        text = f"{points(mean['mean'])} points" if difference else percent(mean["mean"])
        between = interval(mean)
    else:
        text = signed(mean["mean"]) if difference else decimals(mean["mean"])
        between = mean_interval(mean)
    count = f"n\u00a0{mean['n']:,}"
    return Cell(text, f"{between} · {count}" if between else count, sort=sortable(mean["mean"]))


def _faithfulness(
    target: Mapping[str, Any], index: int, scales: Mapping[tuple[str, str], Mapping[str, Any]]
) -> Table | None:
    measures = target.get("faithfulness") or ()
    if not measures:
        return None
    rows = []
    for measure in measures:
        scale = scales.get((measure["measure"], measure["model"]))
        apart = (
            f"pairs that do not belong together get {decimals(scale['mismatched'])}, those that do "
            f"{decimals(scale['matched'])}"
            if scale
            else ""
        )
        shown = "difference to the original's own picture" if is_difference(measure) else "score"
        why = "; ".join(f"{reason or 'no reason given'} ({n:,})" for reason, n in _counts(measure))
        rows.append(
            [
                Cell(measure_title(measure), measure["model"]),
                Cell(scale_of(measure), apart),
                Cell(shown),
                _fidelity(measure, measure),
                Cell(f"{measure.get('unscored', 0):,}", why, sort=measure.get("unscored", 0)),
                Cell(f"{measure.get('windowed', 0):,}", sort=measure.get("windowed", 0)),
            ]
        )
    return Table(
        f"faithfulness-{index}",
        "What the chosen wordings keep, by measure and model. Where the original has a picture of its own, "
        "its score is the baseline and the difference is shown, since a raw score means nothing by itself",
        ["Measure", "Scale", "Shown", "Mean", "Unscored", "Scored in windows"],
        rows,
        numeric_from=3,
    )


def _counts(measure: Mapping[str, Any]) -> list[tuple[str, int]]:
    return sorted((measure.get("why_unscored") or {}).items(), key=lambda item: -item[1])


def _strategies(target: Mapping[str, Any], index: int) -> Table | None:
    found = target.get("strategies") or ()
    if not found:
        return None
    rows = []
    for row in found:
        title = STRATEGIES.get(row["strategy"], row["strategy"])
        share = row["accepted"] / row["tried"] if row["tried"] else None
        rows.append(
            [
                Cell(title, sort=title.casefold()),
                Cell(f"{row['tried']:,}", sort=row["tried"]),
                Cell(f"{row['accepted']:,}", percent(share), sort=row["accepted"]),
                Cell(f"{row['chosen']:,}", sort=row["chosen"]),
            ]
        )
    return Table(
        f"strategies-{index}",
        "Wordings of benign prompts by strategy",
        ["Strategy", "Tried", "Accepted", "Chosen"],
        rows,
    )


def _missing(target: Mapping[str, Any], index: int) -> Table | None:
    found = target.get("missing") or ()
    if not found:
        return None
    return Table(
        f"missing-{index}",
        "Elements of the originals not found in what the chosen wordings gave, most frequent first",
        ["Element", "Times"],
        [
            [
                Cell(row["element"], sort=row["element"].casefold()),
                Cell(f"{row['count']:,}", sort=row["count"]),
            ]
            for row in found
        ],
    )
