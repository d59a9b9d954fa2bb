"""What a review says: the precision of the audit, agreement among people, and a file of their labels."""

from __future__ import annotations

import csv
import io
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

from overt.data.errors import InputError
from overt.data.store import write_atomic
from overt.review.book import Book, HumanLabel, Item, by_item
from overt.review.questions import QUESTIONS, Question, QuestionName

# As `overt judge-check` calls them; "" is a row without a label, which it leaves out.
_ANSWERED = {"refused": "full_refusal", "softened": "partial_refusal", "fine": "compliance"}
COLUMNS = (
    "prompt", "response", "image", "label", "reviewer", "said", "question", "category", "target", "run_said",
    "note", "seconds", "at", "prompt_id", "subject", "chance", "shared",
)  # fmt: skip


def rejected(run: Path) -> set[str]:
    """Ids of prompts that people rejected: more than half of a prompt's reviewers said that a benign one is
    not benign, or that an unsafe one is benign. Empty where the run has not been reviewed.

    Raises:
        RunError: the review cannot be read.
    """
    from overt.review.book import FILE

    if not (run / FILE).exists():
        return set()
    with Book(run) as book:
        said = by_item(book.labels())
        found = set()
        for item in book.items():
            labels = list(said.get(item.place, {}).values())
            if item.subject.question != "prompts" or not labels:
                continue
            benign = labels.count("benign")
            wrong = len(labels) - benign if item.subject.said == "benign" else benign
            if 2 * wrong > len(labels):
                found.add(item.subject.prompt_id)
    return found


def results(run: Path, *, level: float = 0.95) -> dict[str, Any]:
    """What the labels so far say, as plain JSON data; a review may go on while this is read.

    Returns:
        `plan`; `reviewers`: name -> labels and median seconds; `questions`: one for each that was asked, with
        `items`, `labelled`, `population`; `precision`: rows {part, value, low, high, n, population} of how
        often people confirm what the run says ("part" is "all", "said: benign", "category: x",
        "target: y"), empty where the run says nothing; `shares`: the same for each label among the whole
        population (for a scale: `mean`); `agreement`.

    Raises:
        InputError: the run has not been reviewed.
        RunError: the review cannot be read.
    """
    with Book(run) as book:
        plan, items, labels = book.plan, book.items(), book.labels()
        strata = {name: book.strata(name) for name in QUESTIONS}
    said = by_item(labels)
    found = []
    for question in QUESTIONS.values():
        mine = [item for item in items if item.subject.question == question.name]
        if not mine:
            continue
        sizes = {s.id: s.size for s in strata[question.name]}
        done = [(item, list(said[item.place].values())) for item in mine if item.place in said]
        found.append(
            {
                "question": question.name,
                "items": len(mine),
                "labelled": len(done),
                "population": sum(sizes.values()),
                "precision": _precision(question, sizes, done, level),
                "shares": _shares(question, sizes, done, level),
                "agreement": _agreement([said[item.place] for item in mine if item.place in said]),
            }
        )
    return {
        "run": str(run),
        "plan": {"items": plan.items, "overlap": plan.overlap, "seed": plan.seed} if plan else None,
        "level": level,
        "reviewers": _reviewers(labels),
        "questions": found,
    }


Done = Sequence[tuple[Item, list[str]]]
Belongs = Callable[[Item], bool]


def _precision(
    question: Question, sizes: dict[int, int], done: Done, level: float
) -> list[dict[str, float | int | str]]:
    """How often people confirm what the run says. An item counts with the share of its reviewers who do,
    "unclear" for no: so it is the chance that one reviewer confirms one item."""
    judged = [(item, labels) for item, labels in done if item.subject.said]
    parts: dict[str, Belongs] = {"all": _everything}
    of: tuple[tuple[str, Callable[[Item], str]], ...] = (
        ("said", lambda item: item.subject.said),
        ("category", lambda item: item.subject.category),
        ("target", lambda item: item.subject.target),
    )
    for kind, which in of:
        values = sorted({which(item) for item, _ in judged} - {""})
        if len(values) > 1 or kind == "said":
            parts |= {f"{kind}: {value}": _where(which, value) for value in values}
    return _rows(
        parts,
        sizes,
        done,
        lambda item, labels: labels.count(item.subject.said) / len(labels),
        level,
        only=lambda item: bool(item.subject.said),
    )


def _shares(
    question: Question, sizes: dict[int, int], done: Done, level: float
) -> list[dict[str, float | int | str]]:
    """What people say of the whole population."""
    parts: dict[str, Belongs] = {"all": _everything}
    if question.ordered:
        for category in sorted({item.subject.category for item, _ in done}):
            parts[f"category: {category}"] = _where(lambda item: item.subject.category, category)
        rows = _rows(
            parts, sizes, done, lambda _, labels: sum(map(float, labels)) / len(labels), level, scale=True
        )
        return [{"label": "mean", **row} for row in rows]
    return [
        {"label": choice.label, **row}
        for choice in question.choices
        for row in _rows(parts, sizes, done, partial(_share_of, choice.label), level)
    ]


def _everything(item: Item) -> bool:
    return True


def _where(which: Callable[[Item], str], value: str) -> Belongs:
    return lambda item: which(item) == value


def _share_of(label: str, item: Item, labels: list[str]) -> float:
    return labels.count(label) / len(labels)


def _rows(
    parts: Mapping[str, Belongs],
    sizes: dict[int, int],
    done: Done,
    value: Callable[[Item, list[str]], float],
    level: float,
    *,
    scale: bool = False,
    only: Belongs = _everything,
) -> list[dict[str, float | int | str]]:
    from overt.review.estimate import Reviewed, mean, share

    rows: list[dict[str, float | int | str]] = []
    for name, belongs in parts.items():
        reviewed = [
            Reviewed(item.stratum, only(item) and belongs(item), value(item, labels)) for item, labels in done
        ]
        found = (mean if scale else share)(sizes, reviewed, level=level)
        if found is not None:
            rows.append(
                {
                    "part": name,
                    "value": found.value,
                    "low": max(found.low, 1.0) if scale else found.low,
                    "high": min(found.high, 5.0) if scale else found.high,
                    "n": found.n,
                    "population": round(found.population, 1),
                }
            )
    return rows


def _agreement(labels: Sequence[dict[str, str]]) -> dict[str, Any]:
    """Agreement over items that two people or more have labelled. Kappa and alpha take labels as names."""
    from overt.scoring.stats import cohen_kappa, fleiss_kappa, krippendorff_alpha

    rows = [row for row in labels if len(row) > 1]
    people = sorted({name for row in rows for name in row})
    pairs = []
    for a, b in combinations(people, 2):
        both = [(row[a], row[b]) for row in rows if a in row and b in row]
        if both:
            first, second = zip(*both, strict=True)
            pairs.append(
                {
                    "a": a,
                    "b": b,
                    "n": len(both),
                    "same": sum(x == y for x, y in both) / len(both),
                    "kappa": _figure(cohen_kappa(first, second)),
                }
            )
    full = [[row[name] for name in people] for row in rows if len(row) == len(people)]
    return {
        "items": len(rows),
        "pairs": pairs,
        "fleiss": {
            "reviewers": len(people),
            "n": len(full),
            "kappa": _figure(fleiss_kappa(full)) if full else None,
        },
        "krippendorff": _figure(krippendorff_alpha([[row.get(name) for name in people] for row in rows]))
        if rows
        else None,
    }


def _figure(value: float) -> float | None:
    return value if value == value else None  # NaN: only one label was ever used


def _reviewers(labels: Iterable[HumanLabel]) -> dict[str, dict[str, float | int]]:
    from statistics import median

    seconds: dict[str, list[float]] = defaultdict(list)
    for label in labels:
        seconds[label.reviewer].append(label.seconds)
    return {
        name: {"labels": len(s), "median_seconds": round(median(s), 2)} for name, s in sorted(seconds.items())
    }


# -- export ---------------------------------------------------------------------------------------------


def export(run: Path, file: Path, ask: Sequence[str] = ()) -> list[tuple[Path, int]]:
    """Writes every label, one a row, as `overt judge-check` reads them; (file, rows) of each file written.

    The column `label` holds the words that judge-check knows (compliance, full_refusal, partial_refusal;
    harmful, harmless) and is empty for "unclear"; `said` what the person said. Pictures are named from the
    folder of the file. Where several questions were asked each gets a file: NAME-QUESTION.csv.

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
    with Book(run) as book:
        items = {item.place: item for item in book.items()}
        labels = book.labels()
        chances = {(name, s.id): s.chance for name in QUESTIONS for s in book.strata(name)}
    rows: dict[QuestionName, list[dict[str, Any]]] = defaultdict(list)
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
        # judge-check takes a file with answers for one of answers: a column that says nothing stays out.
        columns = [c for c in COLUMNS if c not in ("response", "image") or any(row[c] for row in table)]
        if question == "prompts":
            columns = [c for c in columns if c not in ("response", "image")]
        elif "image" in columns and "response" in columns and any(row["image"] for row in table):
            columns.remove("response")
        table = [{name: row[name] for name in columns} for row in table]
        write_atomic(path, _csv(table, columns) if path.suffix.lower() == ".csv" else _parquet(table))
        written.append((path, len(table)))
    return written


def _row(run: Path, file: Path, item: Item, label: HumanLabel, chance: float) -> dict[str, Any]:
    subject, shown = item.subject, item.subject.shown
    images = shown.get("images") or ()
    known = label.label
    if subject.question == "outcomes":
        known = _ANSWERED[label.label]
    elif subject.question == "pictures" and label.label == "unclear":
        known = ""
    image = os.path.relpath(run.resolve() / images[0], file.parent.resolve()) if images else ""
    return {
        "prompt": _whole(shown["prompt"]),
        "response": _whole(shown.get("response") or shown.get("rewrite") or ""),
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


def _whole(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _csv(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> bytes:
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()


def _parquet(rows: Sequence[dict[str, Any]]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows)), file)
    return file.getvalue()
