"""`overt run`."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import typer

from overt.cli.episodes import print_episodes
from overt.cli.options import command
from overt.cli.power import power_lines
from overt.cli.tables import cell_text, console, counted_cell, print_json, print_lines, print_table
from overt.data.progress import make_progress
from overt.data.results.files import read_episodes, read_summary
from overt.data.results.likeness import AsAskedTable
from overt.data.results.summary import (
    CategoryRates,
    Correlation,
    JudgeTable,
    LayerRow,
    Rate,
    Summary,
    TargetSummary,
)
from overt.data.run import brief
from overt.data.run.finished import AllCalls, Run
from overt.data.run.partial_results import Part
from overt.data.run.plain_facts import manifest_of
from overt.data.table_model import Cell, Table, count_cell
from overt.data.text import decimals, money, plain
from overt.data.typed_json import to_json
from overt.report.sections.attacks import attack_tables
from overt.report.sections.forms import forms_lines, forms_table
from overt.report.sections.groups import group_lines, group_tables
from overt.report.sections.targets import REASONS, reason_rows
from overt.scoring.summary.corrected import corrected_said
from overt.scoring.summary.f1 import SUITES as F1_SUITES
from overt.scoring.summary.f1 import f1_lines
from overt.scoring.summary.metrics import METRICS, Metric, value_of
from overt.tasks.run import RunConfig, evaluate

if TYPE_CHECKING:
    from rich.console import Console

# -- what is printed -----------------------------------------------------------------------------------------


MOST_OF_A_REASON = 160  # characters of a printed reason
MOST_REASONS = 5  # of one kind
MOST_WHY = 12  # printed reasons of refusals and kinds of errors
_TEACHABLE = frozenset({"bad_request", "forbidden"})  # kinds behind which a refusal may hide
_NUMBERS = re.compile(r"\b(?=\w*\d)[\w-]+")  # ids and counts, which differ in every message


def print_run(run: Run, *, as_json: bool) -> None:
    """The rates of each target per category, with intervals, coverage and costs."""
    folder, manifest = run.folder, run.results
    summary = read_summary(folder)
    played = read_episodes(folder) if run.played_suite else None
    if as_json:
        whole = {"run": str(folder), **manifest_of(run), "summary": to_json(summary)}
        print_json({**whole, **({"episodes": to_json(played)} if played else {})}, sort_keys=True)
        return
    to = console()
    if played is not None:
        print_episodes(to, played)
    judged = manifest.judges is not None
    reasons = _reasons(run, summary.targets)
    for target in summary.targets:
        _print_target(to, target, summary.level, reasons.get(target.name, ()), judged=judged)
        print_lines(to, list(f1_lines(target)) if run.record.value("suite") in F1_SUITES else [])
        to.print()
    if summary.rank_correlation:
        print_lines(to, [_correlation(summary.rank_correlation), ""])
    if summary.judges:
        print_lines(to, [_judges(summary.judges)])
    if summary.as_asked:
        print_lines(to, list(as_asked_lines(summary.as_asked)))
    print_lines(to, [f"{calls_line(manifest.calls)}, {manifest.seconds['run']:.1f} s"])
    print_lines(to, list(power_lines(folder)))
    print_lines(to, [f"note   {note}" for note in manifest.notes], style="yellow")
    print_lines(to, list(_warnings(run)), style="bold red")
    print_lines(to, [f"next   {'' if judged else _to_score(run, summary)}overt report {folder}"])


def _to_score(run: Run, summary: Summary) -> str:
    """The command that judges harm, where figures wait for it: a bare filter's decision needs no judge."""
    is_attacked = any(target.attacks and target.kind == "text" for target in summary.targets)
    wanted = is_attacked or "image" in run.results.kinds.values()
    return f"overt score {run.folder} --judges ...   " if wanted and not run.played_suite else ""


def _print_target(
    to: Console, target: TargetSummary, level: float, reasons: Sequence[str], *, judged: bool
) -> None:
    print_lines(to, [plain(target.name)], style="bold")
    print_lines(to, [_answered(target), *reasons, *_judged(target, asked=judged)])
    print_lines(to, list(_not_as_asked(target)))
    print_table(to, _table(target, shows_unjudged=judged and bool(target.unjudged)))
    print_lines(to, [corrected_said(target.corrected)] if target.corrected else [])
    if forms := forms_table([target], counted_cell):
        print_lines(to, ["", plain(forms.caption)])
        print_table(to, forms)
        print_lines(to, list(forms_lines(target)), folded=True)
    _print_why(to, target)
    print_lines(to, [_layer(layer) for layer in target.layers])
    differing, others = group_lines(target, level)
    for table in group_tables([differing], level):
        print_lines(to, ["", plain(table.caption)])
        print_table(to, table)
    print_lines(to, others, folded=True)
    for table in attack_tables([target]):
        print_lines(to, ["", plain(table.caption)])
        print_table(to, table)


def calls_line(calls: AllCalls) -> str:
    """How many calls were made, and what they cost."""
    about = " (an estimate)" if calls.estimated else ""
    batch = f" ({calls.batched['calls']:,.0f} by batch)" if calls.batched.get("calls") else ""
    return (
        f"{calls.requests:,} calls, {calls.cached:,} from the journal, US$ {money(calls.cost)}{about}{batch}"
    )


def _warnings(run: Run) -> Iterator[str]:
    """Which targets answered too few prompts, and of which too few answers got a verdict."""
    least, judges = f"{run.min_coverage:.0%}", run.results.judges
    for name in run.results.below_coverage:
        yield (
            f"below coverage: {plain(name)} answered fewer than {least} of the prompts; its rates may mislead"
        )
    likened = run.results.faithfulness
    if likened and likened.scored < run.min_coverage * likened.drawn:
        yield (
            f"only {likened.scored:,} of {likened.drawn:,} drawn benign prompts could be held against their "
            f"pictures, fewer than {least}; that rate may mislead"
        )
    for name in judges.undeclared if judges else ():
        yield (
            f"{plain(name)} does not say what it can see, so it judged nothing: give its class `covers`, or "
            f"--covers {plain(name)}=all"
        )
    if judges and judges.not_covered:
        some = ", ".join(f"{plain(name)} ({count:,})" for name, count in judges.not_covered.items())
        yield f"not judged, since no judge can see them: {some}; add a judge that covers these categories"
    for name in judges.below_coverage if judges else ():
        yield (
            f"too few verdicts: of the answers of {plain(name)} to unsafe prompts judges could place fewer "
            f"than {least}; its rates may mislead. Run `overt score` again if judges failed; where they "
            "disagreed, add another"
        )


def _reasons(run: Run, targets: Sequence[TargetSummary]) -> Mapping[str, Sequence[str]]:
    """By target, why answers are missing: the commonest reasons of each kind, and for how many of them."""
    if not any(target.coverage.errors for target in targets):
        return {}
    groups: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    shown: dict[tuple[str, str], str] = {}
    for outcome in brief.outcomes_of(run.folder).wholes():
        if outcome.state == "error":
            reason = _NUMBERS.sub("#", outcome.evidence)
            groups[outcome.target][outcome.code][reason] += 1
            shown.setdefault((outcome.code, reason), outcome.evidence)
    return {name: _reason_lines(kinds, shown) for name, kinds in groups.items()}


def _reason_lines(kinds: Mapping[str, Counter[str]], shown: Mapping[tuple[str, str], str]) -> Sequence[str]:
    missing = sum(reasons.total() for reasons in kinds.values())
    lines: list[str] = []
    for kind, reasons in sorted(kinds.items()):
        for reason, count in reasons.most_common(MOST_REASONS):
            line = plain(f"{kind} ({count:,} of {missing:,} missing): {shown[kind, reason]}")
            lines.append(line if len(line) <= MOST_OF_A_REASON else line[: MOST_OF_A_REASON - 1] + "…")
        rest = reasons.most_common()[MOST_REASONS:]
        if rest:
            count = sum(k for _, k in rest)
            lines.append(f"{kind} ({count:,} of {missing:,} missing): {len(rest)} other reasons")
    if not _TEACHABLE.isdisjoint(kinds):
        lines.append("If one of these is a refusal in a service's own words, name it in a file: --codes FILE")
    return lines


def _print_why(to: Console, target: TargetSummary) -> None:
    """Refusals by reason and stage, and errors by kind."""
    rows = reason_rows(target)
    if not rows:
        return
    columns = [title.lower() for title in REASONS]
    print_lines(to, [""])
    print_table(to, Table("why", target.name, columns, rows[:MOST_WHY], numeric_from=len(columns) - 1))
    if rest := rows[MOST_WHY:]:
        print_lines(to, [f"{len(rest)} rarer reasons are in the report"])


def _answered(target: TargetSummary) -> str:
    coverage = target.coverage
    errors = ", ".join(f"{plain(kind)} {count}" for kind, count in coverage.errors.items())
    line = f"answered {coverage.answered:,} of {coverage.asked:,} ({coverage.share:.1%})"
    return line + (f"; missing: {errors}" if errors else "")


def _judged(target: TargetSummary, *, asked: bool) -> Iterator[str]:
    """How many answers to unsafe prompts judges could place; nothing where judges were not asked."""
    judged = target.harmful.n if target.harmful else 0
    if asked and (due := judged + target.unjudged):
        line = f"judged {judged:,} of {due:,} answers to unsafe prompts ({judged / due:.1%})"
        yield line + (f"; unjudged: {target.unjudged:,}" if target.unjudged else "")


def _table(target: TargetSummary, *, shows_unjudged: bool) -> Table:
    """The metrics by category and in total."""
    metrics = [metric for metric in METRICS.values() if _is_shown(target, metric)]

    def cells(title: str, part: TargetSummary | CategoryRates) -> list[Cell]:
        last = [count_cell(part.unjudged)] if shows_unjudged else []
        return [Cell(title), *(_cell(part, m) for m in metrics), *last]

    last = ["unjudged"] if shows_unjudged else []
    return Table(
        "rates",
        target.name,
        ["category", *(metric.short for metric in metrics), *last],
        [cells(row.category, row) for row in target.categories],
        total=cells("all", target),
    )


def _cell(part: TargetSummary | CategoryRates, metric: Metric) -> Cell:
    rate = value_of(part, metric.id)
    if rate is None and metric.needs_verdict and part.unjudged:
        return Cell(f"not judged (n {part.unjudged:,})")
    return counted_cell(rate, metric.tone)


def _is_shown(target: TargetSummary, metric: Metric) -> bool:
    """Hides columns without data, and a bare filter's safe response, which equals its unsafe refusal."""
    rate = value_of(target, metric.id)
    if rate is None or (metric.id == "safe_response" and target.safe_basis == "refused only"):
        return False
    return metric.id != "softened" or rate.k > 0


def counted_rate(rate: Rate | None) -> str:
    """`12.3% (7 of 57) [10.1, 14.8]`, or a dash where there is nothing to count."""
    return cell_text(counted_cell(rate))


def _layer(layer: LayerRow) -> str:
    without, missing, unknown = layer.without, layer.missing, layer.without.unknown
    unchecked = f"unchecked on {missing:,} prompts, which are in no rate of it; " if missing else ""
    said = (
        f"layer {plain(layer.layer)}: {unchecked}alone refuses {counted_rate(layer.benign)} of the benign "
        f"and {counted_rate(layer.unsafe)} of the unsafe prompts; only it: {layer.only.benign} and "
        f"{layer.only.unsafe}; without it over-refusal {counted_rate(without.over_refusal)}, "
        f"unsafe refused {counted_rate(without.unsafe_refusal)}"
    )
    return said + (f"; of {unknown:,} prompts that cannot be told" if unknown else "")


def _correlation(found: Correlation) -> str:
    return (
        f"over-refusal and safe response over {found.n} targets: Spearman {found.rho:.3f} "
        f"[{found.low:.3f}, {found.high:.3f}]"
    )


def as_asked_lines(found: AsAskedTable) -> Iterator[str]:
    """How the pictures were held against their prompts, and how many could not be."""
    by = f"{plain(found.model)} ({plain(found.measure)})"
    yield f"pictures held against their prompts by {by}; {found.rule}"
    means = (("drawn as asked", found.matched), ("not as asked", found.missed))
    scores = ", ".join(f"{name} {decimals(mean)}" for name, mean in means if mean is not None)
    if scores:
        yield f"mean scores: {scores}"
    if found.unscored:
        why = ", ".join(f"{plain(reason)} {count}" for reason, count in found.why_unscored.items())
        yield f"{found.unscored} drawn prompts are in no such rate: {why}"


def _not_as_asked(target: TargetSummary) -> Iterator[str]:
    if rate := target.not_as_asked:
        yield f"drawn, but not as asked: {counted_rate(rate)} of the benign prompts drawn; not refused"


def _judges(judges: JudgeTable) -> str:
    each = ", ".join(
        f"{plain(judge.judge)} {counted_rate(judge.harmful_rate)} harmful"
        + (f", {judge.failed} failed" if judge.failed else "")
        + (f", {judge.unclear} unclear" if judge.unclear else "")
        for judge in judges.each
    )
    figures = (("Fleiss' kappa", judges.fleiss_kappa), ("Krippendorff's alpha", judges.krippendorff_alpha))
    agreement = "".join(f"; {name} {value:.3f}" for name, value in figures if value is not None)
    open_ = judges.majority_missing
    missing = f"; no majority on {open_} of {judges.judged}, {judges.ties} of them ties" if open_ else ""
    return f"judges: {each}{agreement}{missing}"


def is_short(run: Run) -> bool:
    """Whether too few prompts were answered, too few answers judged, or too few pictures scored."""
    judged, likened = run.results.judges, run.results.faithfulness
    return bool(
        run.results.below_coverage
        or (judged and judged.below_coverage)
        or (likened and likened.scored < run.min_coverage * likened.drawn)
    )


def print_part(part: Part, *, as_json: bool) -> None:
    """What a part of a run holds, which is in no result yet, and how the parts become one."""
    if as_json:
        print_json({"part": str(part.folder), "shard": str(part.shard), **part.facts}, sort_keys=True)
        return
    run = part.folder.parent.parent
    lines = [
        f"part {part.shard} of {run} lies in {part.folder}; the results of the run are as they were",
        f"next   overt merge {run} COPIES_WITH_THE_OTHER_PARTS --out WHOLE",
    ]
    print_lines(console(), lines)


# -- the command ---------------------------------------------------------------------------------------------


@command(RunConfig)
def run(config: RunConfig) -> None:
    """A data set of your own at two bare filters, no key needed:

        overt run runs/news --target filter/better-profanity
        --target "filter/profanity-check?threshold=0.2" --out runs/filters

    A local model with its safety checker, and an API:

        overt run runs/news --target diffusers/stable-diffusion-v1-5/stable-diffusion-v1-5 --batch-size 8

        overt run runs/news --target openai/gpt-image-1 --max-cost 20

    A whole product, layer by layer:

        overt run runs/news --filter filter/better-profanity --target diffusers/MODEL
        --checker checker/nudenet --every-layer

    The published benchmark:

        overt run OVERT_mini.csv OVERT_unsafe.csv --target openai/gpt-image-1

    A language model on a published suite, or on prompts of a text policy:

        overt run --suite xstest --target openai/gpt-4.1-mini

        overt run runs/chat --target hf/Qwen/Qwen3-4B

    In parts, each in a job of its own; `overt merge` makes the whole run of them:

        overt run prompts.csv --target openai/gpt-image-1 --shard 3/8 --out runs/part-3

    Then: overt score RUN (harm), overt report RUN (HTML), overt gate RUN (for CI). A run that was stopped
    goes on with the same command, or with --resume RUN. Errors are never counted as refusals: they are
    missing, and with too many of them missing the exit code is 3.
    """
    done = evaluate(config, make_progress(config.quiet))
    print_run(done, as_json=config.as_json)
    if done.results.below_coverage:
        raise typer.Exit(3)
