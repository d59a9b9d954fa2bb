"""What a review says: the precision of the audit, agreement among people, and what they rejected."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from overt.data.json_types import Json
from overt.data.results.summary import Corrected
from overt.data.run.finished import Run
from overt.data.run.record import RunRecord, read_record
from overt.data.text import plain
from overt.data.typed_json import from_json, to_json
from overt.review.corrected import corrections_of
from overt.review.label_store import FILE, HumanLabel, Item, LabelStore, by_item
from overt.review.questions import QUESTIONS, Question
from overt.scoring.summary.corrected import corrected_said

if TYPE_CHECKING:
    from overt.review.estimate import Share


def rejected(run: Path) -> set[str]:
    """Ids of prompts that people rejected: more than half of a prompt's reviewers said that a benign one is
    not benign, or that an unsafe one is benign. Empty where the run has not been reviewed.

    Raises:
        RunError: the review cannot be read.
    """
    if not (run / FILE).exists():
        return set()
    with LabelStore(run) as store:
        said = by_item(store.labels())
        found = set()
        for item in store.items():
            labels = list(said.get(item.place, {}).values())
            if item.subject.question != "prompts" or not labels:
                continue
            benign = labels.count("benign")
            wrong = len(labels) - benign if item.subject.said == "benign" else benign
            if 2 * wrong > len(labels):
                found.add(item.subject.prompt_id)
    return found


def confirmed(run: Path, *, level: float = 0.95) -> tuple[Share, int] | None:
    """How often people confirm the labels of a run's prompts, as estimated for all of them, and how many
    people reviewed; None where nobody has.

    Raises:
        RunError: the review cannot be read.
    """
    from overt.review.estimate import Reviewed, share

    if not (run / FILE).exists():
        return None
    with LabelStore(run) as store:
        said, items = by_item(store.labels()), store.items()
        sizes = {stratum.id: stratum.size for stratum in store.strata("prompts")}
    done = [
        item
        for item in items
        if item.subject.question == "prompts" and item.subject.said and item.place in said
    ]
    reviewed = [
        Reviewed(item.stratum, True, _share_of(item.subject.said, item, list(said[item.place].values())))
        for item in done
    ]
    found = share(sizes, reviewed, level=level)
    people = {name for item in done for name in said[item.place]}
    return None if found is None else (found, len(people))


def results(run: Path, *, level: float = 0.95) -> dict[str, Json]:
    """What the labels so far say, as plain JSON data; a review may go on while this is read.

    Returns:
        `plan`; `reviewers`: name -> labels and median seconds; `questions`: one for each that was asked, with
        `items`, `labelled`, `population`; `precision`: rows {part, value, low, high, n, population} of how
        often people confirm what the run says ("part" is "all", "said: benign", "category: x",
        "target: y"), empty where the run says nothing; `shares`: the same for each label among the whole
        population (for a scale: `mean`); `agreement`. `corrected`: of a run of `overt run`, rows {target,
        category, ...} of the over-refusal rates that the labels correct (`Corrected`).

    Raises:
        InputError: the run has not been reviewed.
        RunError: the review cannot be read.
    """
    with LabelStore(run) as store:
        plan, items, labels = store.plan, store.items(), store.labels()
        strata = {name: store.strata(name) for name in QUESTIONS}
    said = by_item(labels)
    found: list[Json] = []
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
                "precision": _precision(sizes, done, level),
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
        "corrected": _corrected(run, level),
    }


def corrected_lines(rows: Iterable[Mapping[str, Json]]) -> list[str]:
    """The rows of `corrected` as text, a line each."""
    place = ("target", "category")
    return [
        f"{plain(', '.join(str(row[name]) for name in place if row[name]))}: "
        + plain(corrected_said(from_json(Corrected, {k: v for k, v in row.items() if k not in place})))
        for row in rows
    ]


def _corrected(folder: Path, level: float) -> list[Json]:
    run = Run(folder, read_record(folder) or RunRecord("", ""))
    if run.kind != "run" or not run.is_complete:
        return []
    return [
        {"target": target, "category": category, **to_json(found)}
        for (target, category), found in corrections_of(run, level).items()
    ]


Done = Sequence[tuple[Item, list[str]]]
Belongs = Callable[[Item], bool]


def _precision(sizes: dict[int, int], done: Done, level: float) -> list[dict[str, Json]]:
    """How often people confirm the run's label. An item's value is the share of its reviewers who confirm it
    ("unclear" counts as no)."""
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


def _shares(question: Question, sizes: dict[int, int], done: Done, level: float) -> list[dict[str, Json]]:
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
        if not choice.of_words or any(choice.label in labels for _, labels in done)
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
) -> list[dict[str, Json]]:
    from overt.review.estimate import Reviewed, mean, share

    rows: list[dict[str, Json]] = []
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


def _agreement(labels: Sequence[dict[str, str]]) -> dict[str, Json]:
    """Agreement over items that two people or more have labelled. Kappa and alpha take labels as names."""
    from overt.scoring.stats import fleiss_kappa, krippendorff_alpha

    rows = [row for row in labels if len(row) > 1]
    people = sorted({name for row in rows for name in row})
    pairs = (_pair(rows, a, b) for a, b in combinations(people, 2))
    full = [[row[name] for name in people] for row in rows if len(row) == len(people)]
    alpha = krippendorff_alpha([[row.get(name) for name in people] for row in rows]) if rows else math.nan
    return {
        "items": len(rows),
        "pairs": [pair for pair in pairs if pair is not None],
        "fleiss": {
            "reviewers": len(people),
            "n": len(full),
            "kappa": _figure(fleiss_kappa(full)) if full else None,
        },
        "krippendorff": _figure(alpha),
    }


def _pair(rows: Sequence[dict[str, str]], a: str, b: str) -> dict[str, Json] | None:
    """How far two people agree; None where no item has labels of both."""
    from overt.scoring.stats import cohen_kappa

    both = [(row[a], row[b]) for row in rows if a in row and b in row]
    if not both:
        return None
    first, second = zip(*both, strict=True)
    same = sum(x == y for x, y in both) / len(both)
    return {"a": a, "b": b, "n": len(both), "same": same, "kappa": _figure(cohen_kappa(first, second))}


def _figure(value: float) -> float | None:
    return value if value == value else None  # NaN: only one label was ever used


def _reviewers(labels: Iterable[HumanLabel]) -> dict[str, Json]:
    from statistics import median

    seconds: dict[str, list[float]] = defaultdict(list)
    for label in labels:
        seconds[label.reviewer].append(label.seconds)
    return {
        name: {"labels": len(s), "median_seconds": round(median(s), 2)} for name, s in sorted(seconds.items())
    }
