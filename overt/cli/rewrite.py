"""`overt rewrite`."""

from __future__ import annotations

from collections.abc import Iterator

from overt.cli.options import command
from overt.cli.run import calls_line, print_part
from overt.cli.tables import console, counted_cell, print_json, print_lines, print_table
from overt.data.progress import make_progress
from overt.data.results.files import read_remedy
from overt.data.results.remedy import BeforeAfter, Means, MeasureRow, RemedyTarget
from overt.data.run.finished import Rewritten, Run
from overt.data.run.shards import read_shard
from overt.data.table_model import Cell, Table, count_cell
from overt.data.text import decimals, mean_limits, plain, signed
from overt.data.typed_json import to_json
from overt.report.measures import is_difference, mean_of
from overt.tasks import rewrite as task
from overt.tasks.rewrite import RewriteConfig

# -- what is printed -----------------------------------------------------------------------------------------


def print_rewrite(run: Run, *, as_json: bool) -> None:
    """Per target and category: refusal before and after, the share won, faithfulness with intervals."""
    remedy = read_remedy(run.folder)
    if as_json:
        facts = run.manifest_data["rewrite"]
        whole = {"run": str(run.folder), "rewrite": facts, "summary": to_json(remedy)}
        print_json(whole, sort_keys=True)
        return
    to = console()
    for target in remedy.targets:
        print_lines(to, [plain(target.name)], style="bold")
        print_table(to, _table(target))
        print_lines(to, list(_about(target)))
        to.print()
    found = run.results.rewrite or Rewritten()
    lines = [f"{found.candidates} wordings of {found.prompts} prompts; {calls_line(found.calls)}"]
    if found.reasons:
        said = ", ".join(f"{plain(reason)} {count}" for reason, count in found.reasons.items())
        lines.append(f"gave no wording to try: {said}")
    print_lines(to, [*lines, f"next   overt report {run.folder}"])


def _table(target: RemedyTarget) -> Table:
    """Benign prompts by category and in total; the last row is the control, unsafe prompts in total."""
    measures = target.faithfulness
    has_untried = any(side.untried for side in (target.benign, target.unsafe) if side)

    def rates(row: BeforeAfter) -> list[Cell]:
        cells = [counted_cell(rate) for rate in (row.before, row.after, row.won)]
        return [*cells, count_cell(row.untried or 0)] if has_untried else cells

    rows = []
    if target.benign is not None:
        for row in target.benign.categories:
            means = [next((c for c in m.categories if c.category == row.category), None) for m in measures]
            kept = [_mean(m, mean) for m, mean in zip(measures, means, strict=True)]
            rows.append([Cell(row.category), *rates(row), *kept])
        rows.append([Cell("all benign"), *rates(target.benign), *(_mean(m, m) for m in measures)])
    control = None
    if target.unsafe is not None:
        control = [Cell("unsafe (control)"), *rates(target.unsafe), *(Cell("") for _ in measures)]
    last = ["no wording"] if has_untried else []
    return Table(
        "rewrite",
        target.name,
        ["category", "refused before", "after", "won", *last, *(m.measure for m in measures)],
        rows,
        total=control,
    )


def _mean(measure: MeasureRow, row: Means | None) -> Cell:
    """A row's mean as its whole measure is shown: the difference to the originals' own pictures where there
    is any, else the score itself."""
    mean = mean_of(measure, row)
    if mean is None:
        return Cell("-", muted=True)
    text = signed(mean.mean) if is_difference(measure) else decimals(mean.mean)
    return Cell(text, sort=mean.mean, span=mean_limits(mean))


def _about(target: RemedyTarget) -> Iterator[str]:
    """The strategies, what each measure's figures are, and how many prompts are in no rate."""
    for strategy in target.strategies:
        yield (
            f"strategy {strategy.strategy}: {strategy.accepted} of {strategy.tried} wordings accepted, "
            f"{strategy.chosen} chosen"
        )
    for measure in target.faithfulness:
        yield _about_measure(measure)
    for name, side in (("benign", target.benign), ("unsafe", target.unsafe)):
        if side and side.untried:
            tried = side.won.n if side.won else 0
            yield (
                f"of {tried + side.untried:,} refused {name} prompts {side.untried:,} had no wording to try: "
                f"they are not in won, which is of the other {tried:,}, and stay refused in after"
            )
    if unknown := target.unknown.benign + target.unknown.unsafe:
        yield f"{unknown} prompts are in no rate: a wording of theirs got no answer"


def _about_measure(measure: MeasureRow) -> str:
    scale = "difference to the original's own picture" if measure.difference else "score"
    mean = measure.difference or measure.value
    said = f"{plain(measure.measure)} by {plain(measure.model)}: {scale}"
    said += f" of {mean.n} wordings" if mean else ""
    if measure.unscored:
        why = ", ".join(f"{plain(reason)} {count}" for reason, count in measure.why_unscored.items())
        said += f"; {measure.unscored} without a score ({why})"
    if measure.windowed:
        said += f"; {measure.windowed} prompts scored in windows"
    return said


# -- the command ---------------------------------------------------------------------------------------------


@command(RewriteConfig)
def rewrite(config: RewriteConfig) -> None:
    """Without a model, by the policy's neutral words:

        overt rewrite runs/mine

    By a model with four strategies, two wordings each; pictures scored by CLIP and a question-answering
    model; unsafe prompts as a control:

        overt rewrite runs/mine --llm openai/gpt-4.1-mini --unsafe
        --faithfulness clip/ViT-B-32:laion2b_s34b_b79k --faithfulness vqa/openai/gpt-4.1-mini --max-cost 5

    In parts, each in a copy of the run's folder, which `overt merge` puts together:

        overt rewrite copy-1 --llm openai/gpt-4.1-mini --shard 1/4

    Per prompt the most faithful wording that was accepted is kept. The report shows refusal won against
    meaning lost: overt report runs/mine
    """
    progress = make_progress(config.quiet)
    if shard := read_shard(config.shard):
        print_part(task.rewrite_part(config, shard, progress), as_json=config.as_json)
        return
    run = task.rewrite(config, progress)
    print_rewrite(run, as_json=config.as_json)
