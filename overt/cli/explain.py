"""`overt explain`."""

from __future__ import annotations

from collections.abc import Iterator

import typer

from overt.cli.options import command
from overt.cli.run import calls_line
from overt.cli.tables import console, counted_cell, print_json, print_lines, print_table
from overt.data.errors import BudgetReached
from overt.data.progress import make_progress
from overt.data.results.explanation import ExplainedTarget, Explanation, Term
from overt.data.results.files import read_explanation
from overt.data.run.finished import Explained, Run, open_run
from overt.data.table_model import Cell, Table, count_cell
from overt.data.text import decimals, mean_limits, p_value, plain
from overt.data.typed_json import to_json
from overt.report.terms import difference_cell, layers_said, statuses_said
from overt.tasks import explain as task
from overt.tasks.explain import ExplainConfig

MOST_TERMS = 30  # that are printed of each target; results/explain.json has all

# -- what is printed -----------------------------------------------------------------------------------------


def print_explain(run: Run, *, as_json: bool) -> None:
    """Per target: what became of its refused prompts, and the terms that explain them."""
    found = read_explanation(run.folder)
    facts = run.results.explain or Explained()
    if as_json:
        whole = {"run": str(run.folder), "explain": run.manifest_data["explain"], "results": to_json(found)}
        print_json(whole, sort_keys=True)
        return
    to = console()
    for target in found.targets:
        print_lines(to, [plain(target.name)], style="bold")
        print_lines(to, [plain(line) for line in statuses_said(target, found.categories)])
        if target.terms:
            print_table(to, _table(target))
        if len(target.terms) > MOST_TERMS:
            print_lines(to, [f"{len(target.terms) - MOST_TERMS:,} more terms are in results/explain.json"])
        to.print()
    print_lines(to, [calls_line(facts.calls)])
    print_lines(to, list(_warnings(found)), style="yellow")
    print_lines(to, [f"next   overt report {run.folder}"])


def _table(target: ExplainedTarget) -> Table:
    """A row for each term, the one that explains most prompts first."""
    scored = any(term.score_fall for term in target.terms)
    several = len({layer for term in target.terms for layer in term.layers}) > 1
    return Table(
        "terms",
        target.name,
        [
            "term", "explains", "of refused with it", "benign with it refused", "difference to without",
            "p (Holm)", *(["score falls by"] if scored else []), *(["layer"] if several else []),
        ],
        [_cells(term, scored=scored, several=several) for term in target.terms[:MOST_TERMS]],
    )  # fmt: skip


def _cells(term: Term, *, scored: bool, several: bool) -> list[Cell]:
    fall = term.score_fall
    return [
        Cell(plain(term.term)),
        count_cell(term.causes),
        count_cell(term.refused),
        counted_cell(term.rate),
        difference_cell(term),
        Cell(p_value(term.difference.p_holm if term.difference else None)),
        *([Cell(decimals(fall.mean) if fall else "-", span=mean_limits(fall))] if scored else []),
        *([Cell(plain(layers_said(term.layers)))] if several else []),
    ]


def _warnings(found: Explanation) -> Iterator[str]:
    if not found.complete:
        left = sum(target.statuses.get("not reached", 0) for target in found.targets)
        yield f"stopped: {plain(found.why)}; {left:,} prompts were not finished, and are in no figure"
    if found.limit is not None:
        yield f"a sample: at most {found.limit:,} refused prompts of each target were explained"
    for target in found.targets:
        if capped := target.statuses.get("capped", 0):
            yield f"{plain(target.name)}: --max-calls was reached in {capped:,} prompts; give more"


def _exit_code(run: Run) -> int:
    """4 where --max-calls left nothing explained; 3 where too many prompts got no answer; else 0."""
    counts = (run.results.explain or Explained()).statuses
    tried = sum(counts.values())
    if counts.get("capped") and not counts.get("explained"):
        return 4
    return 3 if counts.get("unanswered", 0) > (1 - run.min_coverage) * tried else 0


# -- the command ---------------------------------------------------------------------------------------------


@command(ExplainConfig)
def explain(config: ExplainConfig) -> None:
    """Which words make the targets of a run refuse benign prompts:

        overt explain runs/mine

    Of each refused benign prompt the smallest edit is sought that the target lets through: words are taken
    out, or replaced by the policy's neutral wordings, and the target is asked again, with the same seed. Over
    all prompts: which terms it is, with intervals, and which layer says no.

    A costly target: a sample, phrases instead of words, and caps:

        overt explain runs/mine --target openai/gpt-image-1 --limit 40 --granularity spans --max-cost 10

    Everything is kept in the journal: the same command goes on where it ended, and pays for nothing twice.
    Where a cap is reached the exit code is 4, and what was found so far is written and printed. With too many
    prompts without an answer it is 3. `overt report` shows the terms, and `overt compare` those that a new
    version added.
    """
    try:
        run = task.explain(config, make_progress(config.quiet))
    except BudgetReached:
        print_explain(open_run(config.run, "run"), as_json=config.as_json)
        raise
    print_explain(run, as_json=config.as_json)
    if code := _exit_code(run):
        raise typer.Exit(code)
