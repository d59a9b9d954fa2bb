"""A file of people's labels, as `overt judge-check` reads it."""

from __future__ import annotations

import csv
import io
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from overt.data.errors import InputError
from overt.data.run.files import text_bytes, write_atomic
from overt.data.text import guarded, writable
from overt.review.label_store import HumanLabel, Item, LabelStore
from overt.review.questions import QUESTIONS, QuestionName

Row = dict[str, str | float | int | bool]
# As `overt judge-check` calls them; "" is a row without a label, which it leaves out.
_ANSWERED = {
    "refused": "full_refusal",
    "softened": "partial_refusal",
    "helped": "safe_completion",
    "fine": "compliance",
}
COLUMNS = (
    "prompt", "response", "image", "label", "reviewer", "said", "question", "category", "target", "run_said",
    "note", "seconds", "at", "prompt_id", "subject", "chance", "shared",
)  # fmt: skip


def export(run: Path, file: Path, ask: Sequence[str] = ()) -> list[tuple[Path, int]]:
    """Writes every label, one a row, as `overt judge-check` reads them; (file, rows) of each file written.

    The column `label` holds the words that judge-check knows (compliance, full_refusal, partial_refusal,
    safe_completion; harmful, harmless) and is empty for "unclear"; `said` what the person said. Pictures are
    named from the folder of the file. Where several questions were asked each gets a file: NAME-QUESTION.csv.

    Args:
        ask: only these questions.

    Raises:
        InputError: not reviewed, nothing labelled, or a file that is neither CSV nor Parquet.
        RunError: disk full, folder not writable.
    """
    if file.suffix.lower() not in (".csv", ".parquet"):
        raise InputError(
            f"{file.suffix or 'a file without an ending'} cannot be written",
            where=str(file),
            fix="Give a file that ends in .csv or .parquet.",
        )
    with LabelStore(run) as store:
        items = {item.place: item for item in store.items()}
        labels = store.labels()
        chances = {(name, s.id): s.chance for name in QUESTIONS for s in store.strata(name)}
    rows: dict[QuestionName, list[Row]] = defaultdict(list)
    for label in labels:
        item = items[label.place]
        question = item.subject.question
        if not ask or question in ask:
            rows[question].append(_row(run, file, item, label, chances[question, item.stratum]))
    if not rows:
        raise InputError("nothing has been labelled yet", where=str(run), fix=f"overt review {run}")
    written = []
    for question, table in rows.items():
        path = file if len(rows) == 1 else file.with_name(f"{file.stem}-{question}{file.suffix}")
        columns = _columns(question, table)
        table = [{name: row[name] for name in columns} for row in table]
        write_atomic(path, _csv(table, columns) if path.suffix.lower() == ".csv" else _parquet(table))
        written.append((path, len(table)))
    return written


def _columns(question: QuestionName, rows: Sequence[Row]) -> list[str]:
    """The columns to write. judge-check tells text from pictures by the columns, so at most one of `response`
    and `image` stays: the picture if there is one, and neither for labels of prompts."""
    filled = {name for name in ("response", "image") if any(row[name] for row in rows)}
    if question == "prompts":
        filled = set()
    elif "image" in filled:
        filled = {"image"}
    return [name for name in COLUMNS if name not in ("response", "image") or name in filled]


def _row(run: Path, file: Path, item: Item, label: HumanLabel, chance: float) -> Row:
    subject, shown = item.subject, item.subject.shown
    images = shown.get("images") or ()
    known = label.label
    if subject.question == "outcomes":
        known = _ANSWERED[label.label]
    elif subject.question == "pictures" and label.label == "unclear":
        known = ""
    image = os.path.relpath(run.resolve() / images[0], file.parent.resolve()) if images else ""
    return {
        "prompt": writable(shown["prompt"]),
        "response": writable(shown.get("response") or shown.get("rewrite") or ""),
        "image": image,
        "label": known,
        "reviewer": label.reviewer,
        "said": label.label,
        "question": subject.question,
        "category": subject.category,
        "target": subject.target,
        "run_said": subject.said,
        "note": label.note,
        "seconds": label.seconds,
        "at": label.at,
        "prompt_id": subject.prompt_id,
        "subject": subject.id,
        "chance": chance,
        "shared": item.shared,
    }


def _csv(rows: Sequence[Row], columns: Sequence[str]) -> bytes:
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, columns, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return text_bytes(file.getvalue())


def _cell(value: object) -> object:
    return guarded(writable(value)) if isinstance(value, str) else value


def _parquet(rows: Sequence[Row]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows)), file)
    return file.getvalue()
