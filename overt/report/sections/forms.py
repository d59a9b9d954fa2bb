"""How targets keep to the format of answer-then-check: the rates, and a few answers with their thought."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from overt.data.answer_then_check import CHECK, Checked, read_checked
from overt.data.outcomes import Outcome
from overt.data.results.summary import AnswerForms, Rate, TargetSummary
from overt.data.table_model import Cell, Table, Tone, count_cell, rate_cell
from overt.data.text import plain
from overt.report.cases import GalleryCase
from overt.report.page_data import cut
from overt.report.sections.wording import counted, name_cell
from overt.scoring.answer_forms import FormCode
from overt.scoring.summary.forms import FORMAT, form_of_outcome

TITLE = "Answer, then check"
MEANING = (
    f"These targets plan an answer, check the plan, and then answer. What stands behind </{CHECK}> was "
    "judged; the thought was shown to no judge. An answer that is not in the format has no final answer: it "
    "is missing, and is in no refusal rate."
)
CAPTION = "Answers in the format, and answers that contradict their own check"
OfRate = Callable[[Rate | None, Tone], Cell]
MOST = 2  # examples of each kind
LONGEST = 2_000  # characters of one text
_KINDS: dict[FormCode, str] = {
    "answers_unsafe": "the check finds the plan unsafe, and the request is answered",
    "refuses_safe": "the check finds the plan safe, and the request is refused",
    "malformed": "not in the format",
    "agrees": "in the format",
    "unclear": "in the format; whether it contradicts its check cannot be told",
}


@dataclass(frozen=True, slots=True)
class Example:
    """One answer. `thought` and `answer` are its parts; of one that is not in the format `answer` is all that
    came, and `thought` is ""."""

    target: str
    kind: str
    prompt: str
    thought: str
    answer: str


@dataclass(frozen=True, slots=True)
class FormsView:
    """The section."""

    says: str
    table: Table
    examples: Sequence[Example]


def _rate(rate: Rate | None, tone: Tone) -> Cell:
    return rate_cell(rate, tone, missing="nothing to count")


def build_forms(targets: Sequence[TargetSummary], rows: Sequence[GalleryCase]) -> FormsView | None:
    """The section; None where no target answers in the format."""
    table = forms_table(targets)
    return None if table is None else FormsView(MEANING, table, list(_examples(targets, rows)))


def forms_table(targets: Sequence[TargetSummary], cell: OfRate = _rate) -> Table | None:
    """A row for each target that answers in the format; None where none does.

    Args:
        cell: makes the cell of a rate.
    """
    return rates_table([(target.name, target.forms) for target in targets if target.forms], cell)


def rates_table(found: Sequence[tuple[str, AnswerForms]], cell: OfRate = _rate) -> Table | None:
    """A row for each name with its rates; None where there is none. `cell`: as of `forms_table`."""
    rows = [[name_cell(name), *_cells(forms, cell)] for name, forms in found]
    if not rows:
        return None
    columns = ["Target", "In the format", "Contradict their check", "Unsafe, yet answered"]
    columns += ["Safe, yet refused", "Cannot be told", "Without any tag"]
    return Table("forms-table", CAPTION, columns, rows)


def _cells(found: AnswerForms, cell: OfRate) -> list[Cell]:
    return [
        cell(found.well_formed, "gain"),
        cell(found.contradicting, "cost"),
        *map(count_cell, (found.answers_unsafe, found.refuses_safe, found.unclear, found.plain)),
    ]


def forms_lines(target: TargetSummary) -> Iterator[str]:
    """For the terminal: what is to be known beside the two rates."""
    if (found := target.forms) is None:
        return
    yield from rates_notes(found)
    if missing := target.coverage.errors.get(FORMAT, 0):
        yield (
            f"{counted(missing, 'answer')} missing for the format alone; where the token limit cut them off, "
            "a larger --max-tokens leaves room for thought and answer"
        )


def rates_notes(found: AnswerForms) -> Iterator[str]:
    """What is to be known beside the two rates."""
    if found.unclear:
        answers = counted(found.unclear, "answer")
        yield f"of {answers} in the format it cannot be told whether they contradict their check"
    if found.plain:
        means = "which is in form for it" if found.is_adaptive else "which is not in the format"
        yield f"{counted(found.plain, 'answer')} without any tag, {means}"


def _examples(targets: Sequence[TargetSummary], rows: Sequence[GalleryCase]) -> Iterator[Example]:
    names = [target.name for target in targets if target.forms]
    for name in names:
        mine = [row for row in rows if row.outcome.target == name]
        codes = [_code(row.outcome) for row in mine]
        for code, kind in _KINDS.items():
            found = [row for row, its in zip(mine, codes, strict=True) if its == code]
            yield from (_example(row, kind) for row in found[:MOST])


def _code(outcome: Outcome) -> FormCode | None:
    if outcome.code == FORMAT:
        return "malformed"
    return form_of_outcome(outcome.state, outcome.code, outcome.text)


def _example(row: GalleryCase, kind: str) -> Example:
    found = read_checked(row.outcome.text)
    if isinstance(found, Checked):
        thought, answer = f"{found.summary}\n\n{found.analysis}", found.final
    else:
        thought, answer = "", row.outcome.text
        kind = plain(row.outcome.evidence) if row.outcome.code == FORMAT else kind
    texts = (cut(text, LONGEST) for text in (row.prompt.text, thought, answer))
    return Example(row.outcome.target, kind, *texts)
