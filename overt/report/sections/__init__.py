"""What the page shows, as plain tables: the summary's figures turned into words, not yet into HTML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import overt
from overt.data.judge_checks import SHIPPED, Span
from overt.report.block import Block, JudgeLine, Summary
from overt.report.boundary_view import BoundaryView, build_boundaries
from overt.report.cells import Cell, Table, rate_cell, sortable
from overt.report.metrics import METRICS, metrics_of, rate_of, safety_metric, shown_metrics, why_missing
from overt.report.remedy_view import RemedyView, build_remedy
from overt.report.words import (
    KINDS,
    STAGES,
    STATES,
    decimals,
    has_pictures,
    has_words,
    interval,
    is_figure,
    p_value,
    percent,
    points,
)


@dataclass(frozen=True, slots=True)
class Headline:
    """One target on top of the page."""

    name: str
    notes: Sequence[str]
    cells: Sequence[Cell]


@dataclass(frozen=True, slots=True)
class View:
    """All that the template needs besides the rows of the gallery."""

    counts: str
    level: str
    metrics: Sequence[str]
    headlines: Sequence[Headline]
    notes: Sequence[str]
    categories: Sequence[tuple[str, Table]]
    layers: Sequence[tuple[str, Table, Sequence[str]]]
    pairs: Table | None
    not_compared: Sequence[str]
    not_scattered: Sequence[str]
    pair_categories: Sequence[tuple[str, Table]]
    judges: Table | None
    judges_said: Sequence[str]
    sweeps: Sequence[tuple[str, Table]]
    coverage: Table
    states: Table
    stages: Table | None
    reasons: Table | None
    checks: Table | None
    correlation: str
    has_words: bool
    remedy: RemedyView | None
    boundaries: BoundaryView | None


def build_view(block: Block) -> View:
    """The figures in tables and sentences. Missing rates say why they are missing."""
    summary = block.summary
    targets: Sequence[Mapping[str, Any]] = summary["targets"]
    shown, metrics, safety = shown_metrics(targets), metrics_of(targets), safety_metric(targets)
    counts = summary["prompts"]
    said = f"{counts['benign']:,} benign and {counts['unsafe']:,} unsafe prompts"
    clusters = counts.get("clusters")
    if clusters and clusters < counts["benign"] + counts["unsafe"]:
        said += f" from {clusters:,} seeds"
    return View(
        counts=said,
        level=f"{100 * summary['level']:g}%",
        metrics=[metrics[name].title for name in shown],
        headlines=[
            Headline(t["name"], _target_notes(t), [_headline_cell(t, name) for name in shown])
            for t in targets
        ],
        notes=_notes(summary),
        categories=_categories(targets, shown),
        layers=[
            (t["name"], _layer_table(t, index), _layer_sentences(t))
            for index, t in enumerate(targets)
            if t.get("layers")
        ],
        pairs=_pairs(summary.get("pairs") or ()),
        not_compared=_not_compared(summary),
        not_scattered=[t["name"] for t in targets if not (t.get("over_refusal") and t.get(safety))],
        pair_categories=[
            (_pair_name(pair), _pair_categories(pair, index))
            for index, pair in enumerate(summary.get("pairs") or ())
            if pair.get("categories")
        ],
        judges=_judges(summary.get("judges")),
        judges_said=_judges_said(summary.get("judges")),
        sweeps=[
            (t["name"], _operating_points(t, index)) for index, t in enumerate(targets) if t.get("sweep")
        ],
        coverage=_coverage(targets),
        states=_states(targets),
        stages=_stages(targets),
        reasons=_reasons(targets),
        checks=_checks(block.judges),
        correlation=_correlation(summary.get("rank_correlation")),
        has_words=has_words(targets),
        remedy=build_remedy(block.remedy, block.titles) if block.remedy else None,
        boundaries=build_boundaries(block.boundaries) if block.boundaries else None,
    )


# ---- headline


def _headline_cell(target: Mapping[str, Any], metric: str) -> Cell:
    rate = rate_of(target, target, metric)
    if not rate:
        return Cell(why_missing(target, metric), muted=True)
    return Cell(
        percent(rate["rate"]),
        interval(rate),
        counts=f"{rate['k']:,} of {rate['n']:,}",
        heat=METRICS[metric].tone,
        strip=_strip(rate),
    )


def _strip(rate: Mapping[str, Any]) -> tuple[float, float, float] | None:
    if not (is_figure(rate.get("low")) and is_figure(rate.get("high"))):
        return None
    return (
        round(100 * rate["low"], 2),
        round(100 * rate["rate"], 2),
        round(100 * rate["high"], 2),
    )


def _target_notes(target: Mapping[str, Any]) -> list[str]:
    coverage = target["coverage"]
    notes = [KINDS.get(target.get("kind", ""), "")]
    if coverage.get("errors"):
        errors = sum(coverage["errors"].values())
        notes.append(
            f"{percent(coverage['share'])} answered, {errors:,} {'error' if errors == 1 else 'errors'}"
        )
    if target.get("kind") != "none" and target.get("safe_basis") == "refused only":
        notes.append("no model judged harm: safe response counts refusals only")
    unchecked = [layer for layer in target.get("layers") or () if layer.get("missing")]
    notes += [f"{layer['layer']}: {layer['missing']:,} prompts unchecked" for layer in unchecked]
    return [note for note in notes if note]


def _notes(summary: Summary) -> list[str]:
    """What a reader must know before reading the figures."""
    targets = summary["targets"]
    notes = []
    if any(t.get("kind") == "none" for t in targets):
        notes.append(
            "Bare filter: nothing is drawn. Its decision is the response, so it has no harmful content "
            "rate, and its safe response rate is the share of unsafe prompts it refuses."
        )
    if not summary.get("judges") and has_pictures(targets):
        notes.append(
            "No model judged harm. What was drawn for unsafe prompts has not been looked at, so harmful "
            "content and safe response cannot be told."
        )
    elif not summary.get("judges") and has_words(targets):
        notes.append(
            "No model judged harm. Refusals of unsafe prompts are counted; what the other answers say has "
            "not been judged, so harmful content and safe response cannot be told."
        )
    if has_words(targets):
        notes.append(
            "Language models: an answer that declines in part is a partial refusal. It has a rate of its "
            "own and is in no refusal rate."
        )
    if any(layer.get("missing") for t in targets for layer in t.get("layers") or ()):
        notes.append(
            "Some layers did not decide on every prompt. These prompts are shown as unchecked; they are "
            "never counted as passed."
        )
    if not summary["prompts"]["unsafe"]:
        notes.append("There are no unsafe prompts in this run: what the caution buys cannot be told.")
    if not summary["prompts"]["benign"]:
        notes.append("There are no benign prompts in this run: over-refusal cannot be told.")
    return notes


# ---- categories


def _categories(targets: Sequence[Mapping[str, Any]], shown: Sequence[str]) -> list[tuple[str, Table]]:
    """One table over metrics for one target; for several, one table over targets for each metric."""
    names: dict[str, str] = {}
    metrics = metrics_of(targets)
    for target in targets:
        for row in target.get("categories") or ():
            names.setdefault(row["category"], row.get("title") or row["category"])
    if not names:
        return []
    rows = [{row["category"]: row for row in target.get("categories") or ()} for target in targets]

    def cell(index: int, category: str, metric: str) -> Cell:
        row = rows[index].get(category) or {}
        return rate_cell(rate_of(targets[index], row, metric), METRICS[metric].tone, darkest[metric])

    def found_rates(metric: str) -> Iterable[Mapping[str, Any]]:
        return (row[metric] for by_name in rows for row in by_name.values() if row.get(metric))

    # Over-refusal rarely passes 30%: a tint over the whole scale would be the same pale one everywhere.
    darkest = {
        metric: max([0.1, *(rate["rate"] for rate in found_rates(metric) if is_figure(rate.get("rate")))])
        for metric in shown
    }

    if len(targets) == 1:
        table = Table(
            "by-category",
            f"{targets[0]['name']} by category",
            ["Category", *(metrics[metric].title for metric in shown)],
            [
                [Cell(title, sort=title.casefold()), *(cell(0, name, metric) for metric in shown)]
                for name, title in names.items()
            ],
        )
        return [("All rates", table)]
    found = []
    for metric in shown:
        has = [i for i in range(len(targets)) if rate_of(targets[i], targets[i], metric)]
        found.append(
            (
                metrics[metric].title,
                Table(
                    f"by-category-{metric}",
                    f"{metrics[metric].title} by category: {metrics[metric].meaning}",
                    ["Category", *(targets[i]["name"] for i in has)],
                    [
                        [Cell(title, sort=title.casefold()), *(cell(i, name, metric) for i in has)]
                        for name, title in names.items()
                    ],
                ),
            )
        )
    return found


# ---- layers


def _layer_table(target: Mapping[str, Any], index: int) -> Table:
    rows = []
    for layer in target["layers"]:
        only, without = layer.get("only") or {}, layer.get("without") or {}
        rows.append(
            [
                Cell(layer["layer"], STAGES.get(layer["stage"], layer["stage"])),
                rate_cell(layer.get("benign"), "cost"),
                rate_cell(layer.get("unsafe"), "gain"),
                Cell(f"{only.get('benign', 0):,}", sort=only.get("benign", 0)),
                Cell(f"{only.get('unsafe', 0):,}", sort=only.get("unsafe", 0)),
                _without(without.get("over_refusal"), target.get("over_refusal")),
                _without(without.get("unsafe_refusal"), target.get("unsafe_refusal")),
                _without(without.get("safe_response"), target.get("safe_response")),
                Cell(f"{layer.get('missing', 0):,}", sort=layer.get("missing", 0)),
            ]
        )
    return Table(
        f"layers-{index}",
        f"Layers of {target['name']}",
        [
            "Layer",
            "Refuses of benign",
            "Refuses of unsafe",
            "Benign that only it refuses",
            "Unsafe that only it refuses",
            "Over-refusal without it",
            "Unsafe refusal without it",
            "Safe response without it",
            "Unchecked",
        ],
        rows,
    )


def _without(rate: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> Cell:
    if not rate or not is_figure(rate.get("rate")):
        return Cell("-", muted=True)
    note = ""
    if now and is_figure(now.get("rate")):
        note = f"{points(rate['rate'] - now['rate'])} points"
    return Cell(percent(rate["rate"]), note, sort=rate["rate"])


def _layer_sentences(target: Mapping[str, Any]) -> list[str]:
    """What each layer adds and what dropping it would cost, in plain words."""
    said = []
    for layer in target["layers"]:
        only, without = layer.get("only") or {}, layer.get("without") or {}
        benign, unsafe = only.get("benign", 0), only.get("unsafe", 0)
        if not benign and not unsafe:
            said.append(
                f"“{layer['layer']}” refuses nothing that another layer does not refuse as well: "
                "dropping it would change nothing on these prompts."
            )
            continue
        text = f"Dropping “{layer['layer']}” would free {_prompts(benign, 'benign')}"
        text += _from_to(target.get("over_refusal"), without.get("over_refusal"), "over-refusal")
        text += f" and let {_prompts(unsafe, 'unsafe')} through"
        text += _from_to(target.get("unsafe_refusal"), without.get("unsafe_refusal"), "unsafe refusal")
        said.append(text + ".")
        if unknown := without.get("unknown"):
            said.append(
                f"What would come out without “{layer['layer']}” cannot be told of {unknown:,} "
                f"{'prompt' if unknown == 1 else 'prompts'} that it refuses; they are left out of the rates."
            )
    return said


def _prompts(count: int, label: str) -> str:
    return f"{count:,} {label} {'prompt' if count == 1 else 'prompts'}"


def _from_to(now: Mapping[str, Any] | None, then: Mapping[str, Any] | None, name: str) -> str:
    if not now or not then:
        return ""
    return f" ({name} from {percent(now['rate'])} to {percent(then['rate'])})"


# ---- pairs, correlation, judges, thresholds


def _metric_name(metric: str) -> str:
    return METRICS[metric].title if metric in METRICS else metric


def _pair_name(pair: Mapping[str, Any]) -> str:
    return f"{_metric_name(pair['metric'])}: {pair['a']} minus {pair['b']}"


def _not_compared(summary: Summary) -> list[str]:
    """Targets in no pair: too many to hold all against each other, or no prompts in common."""
    compared = {pair[side] for pair in summary.get("pairs") or () for side in ("a", "b")}
    return [t["name"] for t in summary["targets"] if compared and t["name"] not in compared]


def _pairs(pairs: Sequence[Mapping[str, Any]]) -> Table | None:
    """All pairs over all categories, with what the interval lets one say."""
    if not pairs:
        return None
    rows = []
    for pair in pairs:
        low, high = pair.get("low"), pair.get("high")
        verdict = "-"
        if is_figure(low) and is_figure(high):
            apart = low > 0 or high < 0
            verdict = ("higher" if low > 0 else "lower") if apart else "cannot be told apart"
        rows.append(
            [
                Cell(f"{pair['a']} minus {pair['b']}", sort=f"{pair['a']} {pair['b']}".casefold()),
                Cell(_metric_name(pair["metric"]), sort=_metric_name(pair["metric"])),
                Cell(verdict, sort=verdict),
                *_difference(pair),
                Cell(p_value(pair.get("p")), sort=sortable(pair.get("p"))),
            ]
        )
    return Table(
        "pairs-table",
        "The first target minus the second, in percentage points, on the prompts both answered",
        ["Targets", "Rate", "The first is", "Difference", "Interval", "p"],
        rows,
        numeric_from=3,
    )


def _difference(row: Mapping[str, Any]) -> list[Cell]:
    said = f"{points(row.get('low'))} to {points(row.get('high'))}" if interval(row) else "-"
    return [
        Cell(points(row.get("difference")), sort=sortable(row.get("difference"))),
        Cell(said, sort=sortable(row.get("low"))),
    ]


def _pair_categories(pair: Mapping[str, Any], index: int) -> Table:
    return Table(
        f"pair-{index}",
        f"{_pair_name(pair)}, by category, in percentage points",
        ["Category", "Difference", "Interval", "p", "p, Holm-corrected"],
        [
            [
                Cell(
                    row.get("title") or row["category"], sort=(row.get("title") or row["category"]).casefold()
                ),
                *_difference(row),
                Cell(p_value(row.get("p")), sort=sortable(row.get("p"))),
                Cell(p_value(row.get("p_holm")), sort=sortable(row.get("p_holm"))),
            ]
            for row in pair["categories"]
        ],
    )


def _correlation(rho: Mapping[str, Any] | None) -> str:
    if not rho:
        return "No rank correlation: it takes at least three targets with both rates, and rates that differ."
    if not is_figure(rho.get("rho")):
        return "The rank correlation is undefined: one of the two rates is the same for all targets."
    said = (
        f"Spearman rank correlation between over-refusal and safe response: {decimals(rho['rho'])} "
        f"({decimals(rho.get('low'))} to {decimals(rho.get('high'))}) over {rho['n']} targets."
    )
    return f"{said} {rho.get('note') or ''}".rstrip()


def _judges(judges: Mapping[str, Any] | None) -> Table | None:
    if not judges:
        return None
    return Table(
        "judges-table",
        "Each judge alone",
        ["Judge", "Harmful, by this judge alone", "Failed", "Unclear"],
        [
            [
                Cell(each["judge"]),
                rate_cell(each.get("harmful_rate"), "cost"),
                Cell(f"{each.get('failed') or 0:,}", sort=each.get("failed") or 0),
                Cell(f"{each.get('unclear') or 0:,}", sort=each.get("unclear") or 0),
            ]
            for each in judges.get("each") or ()
        ],
    )


def _judges_said(judges: Mapping[str, Any] | None) -> list[str]:
    if not judges:
        return ["No model judged harm in this run."]
    said = []
    if is_figure(judges.get("fleiss_kappa")):
        said.append(f"Fleiss kappa {decimals(judges['fleiss_kappa'])}.")
    if is_figure(judges.get("krippendorff_alpha")):
        said.append(f"Krippendorff alpha {decimals(judges['krippendorff_alpha'])}.")
    if not said:
        said.append("Agreement cannot be told: it takes two judges and two labels.")
    missing = judges.get("majority_missing") or 0
    said.append(
        f"{missing:,} {'outcome' if missing == 1 else 'outcomes'} without a majority, left out of the rates."
    )
    return said


def _checks(judges: Sequence[JudgeLine]) -> Table | None:
    """Each judge's last check against human labels: a rate is worth no more than the judge behind it."""
    if not judges:
        return None
    return Table(
        "checks-table",
        "Each judge's last check against human labels (overt judge-check)",
        ["Judge", "It judged", "Last check"],
        [[Cell(line.name), Cell(line.role), _check_cell(line)] for line in judges],
        numeric_from=3,
    )


def _check_cell(line: JudgeLine) -> Cell:
    check = line.check
    if check is None:
        shipped = SHIPPED.get(line.name)
        note = f"the figures that it shipped with, on XSTest: {shipped} in overt's source" if shipped else ""
        return Cell("never checked here", note)
    said = f"last checked {check.date} against {check.rows:,} human labels: "
    said += f"accuracy {_span(check.accuracy)}, kappa {_span(check.kappa)}"
    notes = [check.labels]
    if check.judged < check.rows:
        notes.append(f"{check.rows - check.judged:,} rows it could not tell")
    if check.overt and check.overt != overt.__version__:
        notes.append(f"checked by overt {check.overt}, this is {overt.__version__}")
    return Cell(said, " · ".join(notes))


def _span(span: Span | None) -> str:
    if span is None:
        return "not defined"
    if span.low is None or span.high is None:
        return decimals(span.value)
    return f"{decimals(span.value)} [{decimals(span.low)} to {decimals(span.high)}]"


def _operating_points(target: Mapping[str, Any], index: int) -> Table:
    sweep = target["sweep"]
    area = sweep.get("auc") or {}
    said = f"AUC {decimals(area.get('auc'))}"
    if is_figure(area.get("low")):
        said += f" ({decimals(area['low'])} to {decimals(area.get('high'))})"
    rows = []
    for point in sweep.get("operating_points") or ():
        threshold = point.get("threshold")
        rows.append(
            [
                Cell(f"at most {percent(point['max_over_refusal'])}", sort=point["max_over_refusal"]),
                Cell(
                    decimals(threshold, 4) if is_figure(threshold) else "none low enough",
                    sort=sortable(threshold),
                ),
                rate_cell(point.get("over_refusal"), "cost"),
                rate_cell(point.get("safe_refusal"), "gain"),
            ]
        )
    return Table(
        f"points-{index}",
        f"{target['name']}: {said}",
        ["Over-refusal allowed", "Threshold", "Over-refusal there", "Unsafe refusal there"],
        rows,
    )


# ---- coverage, states, stages


def _coverage(targets: Iterable[Mapping[str, Any]]) -> Table:
    rows = []
    for target in targets:
        coverage = target["coverage"]
        errors = coverage.get("errors") or {}
        said = ", ".join(f"{kind} {count:,}" for kind, count in sorted(errors.items(), key=lambda e: -e[1]))
        rows.append(
            [
                Cell(target["name"], sort=target["name"].casefold()),
                Cell(f"{coverage['asked']:,}", sort=coverage["asked"]),
                Cell(f"{coverage['answered']:,}", sort=coverage["answered"]),
                Cell(percent(coverage["share"]), sort=sortable(coverage["share"])),
                Cell(said or "none", sort=sum(errors.values())),
            ]
        )
    return Table(
        "coverage-table",
        "Prompts asked and answered. Errors are missing answers, never refusals",
        ["Target", "Asked", "Answered", "Coverage", "Errors by kind"],
        rows,
    )


def _states(targets: Sequence[Mapping[str, Any]]) -> Table:
    keys = ("refused", "softened", "generated", "error")
    names = {**STATES, "softened": metrics_of(targets)["softened"].title}
    rows = []
    for target in targets:
        for label in ("benign", "unsafe"):
            counts = (target.get("states") or {}).get(label) or {}
            if not counts:
                continue
            rows.append(
                [
                    Cell(target["name"], sort=target["name"].casefold()),
                    Cell(label, sort=label),
                    *(Cell(f"{counts.get(key, 0):,}", sort=counts.get(key, 0)) for key in keys),
                ]
            )
    return Table(
        "states-table",
        "The state each prompt ended in",
        ["Target", "Prompts", *(names[key].capitalize() for key in keys)],
        rows,
        numeric_from=2,
    )


def _stages(targets: Iterable[Mapping[str, Any]]) -> Table | None:
    rows = []
    for target in targets:
        for label in ("benign", "unsafe"):
            counts = (target.get("stages") or {}).get(label) or {}
            if not any(counts.values()):
                continue
            rows.append(
                [
                    Cell(target["name"], sort=target["name"].casefold()),
                    Cell(label, sort=label),
                    *(Cell(f"{counts.get(key, 0):,}", sort=counts.get(key, 0)) for key in STAGES),
                ]
            )
    if not rows:
        return None
    return Table(
        "stages-table",
        "The stage that refused",
        ["Target", "Prompts", *(name.capitalize() for name in STAGES.values())],
        rows,
        numeric_from=2,
    )


def _reasons(targets: Iterable[Mapping[str, Any]]) -> Table | None:
    rows = [
        [
            Cell(target["name"], sort=target["name"].casefold()),
            Cell(reason["label"], sort=reason["label"]),
            Cell(STAGES.get(reason.get("stage") or "", reason.get("stage") or "-")),
            Cell(reason.get("code") or "-", sort=(reason.get("code") or "-").casefold()),
            Cell(f"{reason['count']:,}", sort=reason["count"]),
        ]
        for target in targets
        for reason in target.get("reasons") or ()
    ]
    if not rows:
        return None
    return Table(
        "reasons-table",
        "Reason codes of refusals",
        ["Target", "Prompts", "Stage", "Code", "Count"],
        rows,
        numeric_from=4,
    )
