"""Who judged, how far the judges agree, and when each was last checked against human labels."""

from __future__ import annotations

from collections.abc import Sequence

import overt
from overt.data.judge_check_history import SHIPPED, Span
from overt.data.results.summary import JudgeTable
from overt.data.table_model import Cell, Table, count_cell, rate_cell
from overt.data.text import decimals
from overt.report.block import JudgeLine
from overt.report.sections.wording import counted


def judge_table(judges: JudgeTable | None) -> Table | None:
    """The rate of each judge of harm alone."""
    if judges is None:
        return None
    return Table(
        "judges-table",
        "Each judge alone",
        ["Judge", "Harmful, by this judge alone", "Failed", "Unclear"],
        [
            [
                Cell(each.judge),
                rate_cell(each.harmful_rate, "cost"),
                count_cell(each.failed),
                count_cell(each.unclear),
            ]
            for each in judges.each
        ],
    )


def agreement_said(judges: JudgeTable | None) -> list[str]:
    """How far the judges of harm agree, in sentences."""
    if judges is None:
        return ["No model judged harm in this run."]
    said = []
    if judges.fleiss_kappa is not None:
        said.append(f"Fleiss kappa {decimals(judges.fleiss_kappa)}.")
    if judges.krippendorff_alpha is not None:
        said.append(f"Krippendorff alpha {decimals(judges.krippendorff_alpha)}.")
    if not said:
        said.append("Agreement cannot be told: it takes two judges and two labels.")
    missing = counted(judges.majority_missing, "outcome")
    return [*said, f"{missing} without a majority, left out of the rates."]


def check_table(judges: Sequence[JudgeLine]) -> Table | None:
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
