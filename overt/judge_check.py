"""Judges held against a file of human labels: reads the file, runs the judges, compares."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from overt.data.errors import InputError, OvertError
from overt.data.faults import broken, of_decision, raised
from overt.data.tables import Row, read_rows
from overt.models import ModelOptions

PROMPTS = ("prompt", "request", "question", "instruction")
ANSWERS = ("response", "answer", "completion", "output", "text")
IMAGES = ("image", "image_path", "picture", "path", "file")
LABELS = ("label", "final_label", "human_label", "human", "gold")

# How files call what an image checker calls blocked and allowed.
_PICTURE_LABELS = {
    **dict.fromkeys(("blocked", "unsafe", "harmful", "nsfw", "1", "true", "yes"), "blocked"),
    **dict.fromkeys(("allowed", "safe", "harmless", "benign", "sfw", "0", "false", "no"), "allowed"),
}

Advance = Callable[[int], None]


@dataclass(frozen=True)
class Labelled:
    """One row: a text that was answered or a picture, and what a human says of it."""

    prompt: str
    answer: str
    image: Path | None
    label: str
    where: str


@dataclass(frozen=True)
class LabelFile:
    """The rows of a file of labels. `kind`: answers in words, or pictures. `dropped`: without a label."""

    path: Path
    kind: Literal["text", "image"]
    rows: tuple[Labelled, ...]
    dropped: int


def read_labels(path: Path, columns: Mapping[str, str]) -> LabelFile:
    """The labelled rows of a table (CSV, TSV, JSONL, JSON, Parquet).

    Args:
        columns: "prompt", "answer", "image", "label" -> the column that holds it; where one is not given
            the usual names are looked for.

    Raises:
        InputError: a column that is not there, a label that nobody knows, no labelled row.
    """
    rows: list[Labelled] = []
    dropped = 0
    names: dict[str, str] | None = None
    for row in read_rows(path):
        if names is None:
            names = _columns(row, columns)
        label = str(row.values.get(names["label"]) or "").strip()
        if not label:
            dropped += 1
            continue
        rows.append(_labelled(row, names, label, path))
    if names is None or not rows:
        raise InputError("there is no labelled row", where=str(path))
    return LabelFile(path, "image" if "image" in names else "text", tuple(rows), dropped)


def _columns(row: Row, wanted: Mapping[str, str]) -> dict[str, str]:
    there = {name.strip().casefold(): name for name in row.values}
    found: dict[str, str] = {}
    for role, usual in (("label", LABELS), ("prompt", PROMPTS), ("answer", ANSWERS), ("image", IMAGES)):
        given = wanted.get(role)
        if given is not None and given.strip().casefold() not in there:
            raise InputError(
                f"there is no column {given!r}; there are {', '.join(map(repr, there.values()))}",
                where=row.where,
            )
        name = next((there[u] for u in ([given.strip().casefold()] if given else usual) if u in there), None)
        if name is not None:
            found[role] = name
    # A picture comes with its prompt only; a file of answers may well have a column called "path" too.
    if "answer" in found and "image" not in wanted:
        found.pop("image", None)
    missing = [
        f"{role} ({' or '.join(usual[:3])})"
        for role, usual in (("label", LABELS), ("prompt", PROMPTS))
        if role not in found and not (role == "prompt" and "image" in found)
    ]
    if "answer" not in found and "image" not in found:
        missing.append("answer (response or answer or completion), or image")
    if missing:
        raise InputError(
            f"these columns are missing: {', '.join(missing)}; there are "
            f"{', '.join(map(repr, there.values()))}",
            where=row.where,
            fix="Name them: --prompt-column, --answer-column, --image-column, --label-column.",
        )
    return found


def _labelled(row: Row, names: Mapping[str, str], label: str, path: Path) -> Labelled:
    from overt.scoring.judgecheck import REFUSAL_LABELS

    prompt = str(row.values.get(names.get("prompt", "")) or "")
    if "image" in names:
        known = _PICTURE_LABELS.get(label.casefold())
        image: Path | None = path.parent / str(row.values.get(names["image"]) or "")
    else:
        key = label.casefold().replace(" ", "_").replace("-", "_")
        own = {value: value for value in REFUSAL_LABELS.values()}
        known, image = (own | REFUSAL_LABELS).get(key), None
    if known is None:
        fix = (
            "Of pictures: blocked, allowed (or unsafe, safe; harmful, harmless)."
            if image
            else "Of answers: compliance, full_refusal, partial_refusal, refusal, or XSTest's names."
        )
        raise InputError(f"the label {label!r} is not known", where=row.where, fix=fix)
    answer = str(row.values.get(names.get("answer", "")) or "")
    return Labelled(prompt, answer, image, known, row.where)


# -- judges --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CheckConfig:
    """Which judges. `journal`: where answers that were paid for are kept; None: beside the labels."""

    judges: tuple[str, ...]
    journal: Path | None = None
    templates: Path | None = None
    seed: int = 0


def judge_check(
    labels: LabelFile,
    config: CheckConfig,
    *,
    calls: Any,
    models: ModelOptions,
    advance: Callable[[str, int], Any],
) -> dict[str, Any]:
    """Each judge's check against the labels.

    Args:
        calls: `CallerOptions` for judges that are chat models.
        advance: makes a progress stage of a name and a total (`Progress.stage`).

    Returns:
        `file`, `kind`, `rows`, `dropped`, `judges`: name -> {"two": check with partial refusals counted as
        refusals, "three": check of all three labels (None where the file has two only), "failed": calls
        without an answer}. For pictures only "two". See `overt.scoring.judgecheck.check`.

    Raises:
        InputError: a judge that is not known or cannot read such rows; a picture that is not there.
        BudgetReached: a cap was reached.
    """
    from overt.scoring.judgecheck import check, refused

    truth = [row.label for row in labels.rows]
    # One prompt that several models answered is one cluster; a picture without prompt stands alone.
    clusters = [row.prompt or row.where for row in labels.rows]
    fine = labels.kind == "text" and "refusal" not in truth
    found: dict[str, Any] = {}
    for name in config.judges:
        with advance(f"judge {name}", len(truth)) as step:
            if labels.kind == "image":
                said, failed = _pictures(name, labels, models, step)
            else:
                said, failed = _texts(name, labels, config, calls, models, step)
        two = check(
            [refused(t) for t in truth], [refused(s) for s in said], clusters=clusters, seed=config.seed
        )
        three = check(truth, said, clusters=clusters, seed=config.seed) if fine else None
        found[name] = {"two": two, "three": three, "failed": failed}
    return {
        "file": str(labels.path),
        "kind": labels.kind,
        "rows": len(truth),
        "dropped": labels.dropped,
        "judges": found,
    }


def _texts(
    name: str, labels: LabelFile, config: CheckConfig, calls: Any, models: ModelOptions, step: Advance
) -> tuple[list[str], int]:
    pairs = [(row.prompt, row.answer) for row in labels.rows]
    chat = _chat_name(name)
    if chat is None:
        return _counted(_offline(name, pairs), step)
    from overt.calls import Caller
    from overt.data.templates import load_template
    from overt.models import chat_model
    from overt.scoring.judges.llm import llm_judge

    template = load_template("scoring", "judge_refusal", config.templates)
    model = chat_model(chat, "judge", models)
    journal = config.journal or labels.path.with_name(labels.path.name + ".judge-check.sqlite")
    with Caller(journal, calls) as caller:
        ask = caller.bind(model, f"judge {chat}")
        return _counted(llm_judge(ask=ask, template=template, seed=config.seed)(pairs), step)


def _offline(name: str, pairs: list[tuple[str, str]]) -> Iterable[Any]:
    from overt import registry
    from overt.scoring.answers import offline

    return offline(registry.load_refusal_judge(name))(pairs)


def _counted(judgements: Iterable[Any], step: Advance) -> tuple[list[str], int]:
    said, failed = [], 0
    for judgement in judgements:
        said.append(str(judgement.label))
        failed += judgement.error is not None
        step(1)
    return said, failed


def _chat_name(name: str) -> str | None:
    """The chat model of `judge/PROVIDER/MODEL`; None for an offline judge.

    Raises:
        InputError: a judge of another kind.
    """
    head = name.partition("?")[0]
    if ":" in head.partition("/")[0]:
        return None  # a class of the user's own
    prefix, _, rest = name.partition("/")
    if prefix != "judge":
        raise InputError(
            f"{name} does not judge answers in words",
            fix="Name judge/rules, judge/embedded, judge/PROVIDER/MODEL or module:Class.",
        )
    return rest if "/" in rest.partition("?")[0] else None


def _pictures(name: str, labels: LabelFile, models: ModelOptions, step: Advance) -> tuple[list[str], int]:
    from overt import registry
    from overt.data.pictures import UnreadablePicture, open_picture

    if not registry.is_checker(name):
        raise InputError(f"{name} does not judge pictures", fix="Name checker/NAME or module:Class.")
    _present(labels.rows)
    checker = registry.load_checker(name, device=models.device, timeout=models.timeout)
    said, failed = [], 0
    for row in labels.rows:
        try:
            picture = open_picture(row.image.read_bytes() if row.image else b"")
        except (OSError, UnreadablePicture) as error:
            raise InputError(f"the picture cannot be read: {error}", where=row.where) from error
        try:
            decision = checker.check(picture, row.prompt)
        except OvertError:
            raise
        except Exception as error:
            raise broken(name, raised(checker, error)) from error
        if wrong := of_decision(decision):
            raise broken(name, wrong)
        failed += decision.error is not None
        said.append("unclear" if decision.blocked is None else "blocked" if decision.blocked else "allowed")
        step(1)
    return said, failed


def _present(rows: Sequence[Labelled]) -> None:
    """Before a model is loaded: is every picture there?"""
    for row in rows:
        if row.image is None or not row.image.is_file():
            raise InputError(
                f"there is no picture {str(row.image)!r}",
                where=row.where,
                fix="Paths are read from the folder of the labels.",
            )
