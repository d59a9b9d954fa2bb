"""`overt answer-forms`."""

from __future__ import annotations

from collections.abc import Iterator

from overt.cli.options import command
from overt.cli.tables import console, print_json, print_lines, print_table
from overt.data.table_model import counted_cell
from overt.data.text import plain
from overt.report.sections.forms import rates_notes, rates_table
from overt.tasks.answer_forms import AnswerFormsConfig, FormsOf, forms_in

_MOST_REASONS = 5


@command(AnswerFormsConfig)
def answer_forms(config: AnswerFormsConfig) -> None:
    """
        overt answer-forms runs/resa

        overt answer-forms answers.jsonl rows/dataset/train.jsonl --adaptive

    Well-formed: every tag once, in order, something in each part. Contradicting: the check concludes unsafe
    and the request is answered, or safe and it is refused. What cannot be told is in no rate. A missing
    </safety_check> is a failure of the format, and no refusal.
    """
    found = forms_in(config)
    if config.as_json:
        print_json([one.to_json() for one in found])
        return
    to = console()
    if table := rates_table([(one.name, one.forms) for one in found], counted_cell):
        print_lines(to, [plain(table.caption)])
        print_table(to, table)
    for one in found:
        name = f"{plain(one.name)}: " if len(found) > 1 else ""
        print_lines(to, [f"{name}{line}" for line in _notes(one)], folded=True)


def _notes(one: FormsOf) -> Iterator[str]:
    yield from rates_notes(one.forms)
    reasons = list(one.malformed.items())
    for why, count in reasons[:_MOST_REASONS]:
        yield f"{count:,} not in the format: {plain(why)}"
    if len(reasons) > _MOST_REASONS:
        yield f"{sum(n for _, n in reasons[_MOST_REASONS:]):,} not in the format for other reasons"
