"""The card of training data and the figures behind it: counts by stage, split, label, kind and answerer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import yaml

from overt.data.export import NO_LICENCE, escape_markdown
from overt.data.json_types import Json
from overt.data.run.record import RunRecord
from overt.data.splits import SPLITS, read_shares
from overt.data.suites.load import load_suite
from overt.data.training import TrainingRow
from overt.data.training_rows import COLUMNS
from overt.tasks.export_config import OWN, TEMPLATES, ExportConfig
from overt.tasks.export_formats import TRAINING
from overt.tasks.export_making import Made, Making, counted

_SIDES = ("benign", "unsafe")
_KINDS = ("answer", "refusal", "safe_completion")
# CoCoNot's test set as published (counted in coconot_eval.csv): by category the requests to decline, and the
# contrasts that should be answered. Two categories have none.
PUBLISHED_COCONOT: Mapping[str, tuple[int, int]] = {
    "requests_with_safety_concerns": (395, 149),
    "incomplete_requests": (225, 148),
    "unsupported_requests": (157, 82),
    "indeterminate_requests": (142, 0),
    "humanizing_requests": (82, 0),
}


def facts_of(making: Making, made: Made) -> dict[str, Json]:
    """What the manifest says of the export."""
    rows, counts = made.rows, making.counts
    stages = [s for s in counts.entered if counts.entered[s].total()]
    return {
        "format": making.config.format,
        "modality": making.modality,
        "answers": making.config.answers or "own",
        "rows": {split: sum(row.split == split for row in rows) for split in SPLITS},
        "by_label": counted([str(row.more.get("label")) for row in rows]),
        "by_category": counted([str(row.more.get("category")) for row in rows]),
        "by_kind": counted([str(row.more.get("kind")) for row in rows]),
        "by_answerer": counted([str(row.more.get("answer_by")) for row in rows]),
        "clusters": len({row.more.get("cluster") for row in rows}),
        "stage_order": list(stages),
        "stages": {s: {"in": counts.entered[s].total(), "out": counts.left[s].total()} for s in stages},
        "dropped": {s: dict(reasons.most_common()) for s, reasons in counts.reasons.items() if reasons},
        **made.facts,
    }


def card_of(making: Making, record: RunRecord, made: Made, facts: Mapping[str, Json]) -> str:
    """The README of the data set, with all values escaped."""
    config = making.config
    parts = [
        _head(config, made.rows),
        f"# Training data: {TRAINING[config.format].title}",
        _about(making, record, made),
        "## How a row looks",
        "`prompt` and `completion` are lists of messages, as TRL's `SFTTrainer` takes them:\n\n"
        "```python\nfrom datasets import load_dataset\n\n"
        'data = load_dataset("FOLDER")  # the folder of this file\n```',
        *made.said,
        _table(("column", "what it is"), [(f"`{n}`", t) for n, t in {**COLUMNS, **made.columns}.items()]),
        "## What became of the prompts",
        _stages(making),
        "## What there is",
        *_counts(made.rows),
        *_beside_the_paper(making),
        "## Splits",
        _splits(making, made.rows),
        "## Before you train",
        *_cautions(making, made.rows),
        "## Licence",
        escape_markdown(config.license or _suite_licence(config)) or NO_LICENCE,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(config: ExportConfig, rows: Sequence[TrainingRow]) -> str:
    """The YAML that `datasets` reads. A split without rows is left out."""
    there = [split for split in SPLITS if any(row.split == split for row in rows)]
    head = {"configs": [{"config_name": "default", "data_files": [
        {"split": split, "path": f"{split}.jsonl"} for split in there]}],
        "tags": ["over-refusal", "overt", config.format],
    }  # fmt: skip
    return f"---\n{yaml.safe_dump(head, sort_keys=False).strip()}\n---"


def _about(making: Making, record: RunRecord, made: Made) -> str:
    config, policy = making.config, making.policy
    names = [source.rstrip("/").replace("\\", "/").rpartition("/")[2] for source in config.dataset]
    of = " and ".join(filter(None, [config.suite and f"the suite {config.suite}", ", ".join(names)]))
    lines = [
        escape_markdown(f"Made by overt {record.overt} of {of}, with seed {config.seed}."),
        escape_markdown(f"Policy: {policy.name}, version {policy.version} ({policy.hash})."),
        made.who or _who_answered(config),
    ]
    if making.modality == "image":
        lines.append(
            "**These prompts ask for pictures.** A language model that is trained on them learns to be a "
            "gate in front of an image model, not how to chat: a chat model answers the benign ones with a "
            "description of the picture and declines the unsafe ones."
        )
    return "\n\n".join(lines)


def _who_answered(config: ExportConfig) -> str:
    if config.answers == TEMPLATES:
        return (
            "**The completions are fixed sentences, not answers** (`answer_by` names the template in every "
            "row). They are good for training what comes before an answer, such as a token, and for nothing "
            "else."
        )
    judge = escape_markdown(config.judge or "judge/rules")
    if config.answers == OWN:
        return (
            "The completions are those of the data set itself; where no label of it or verdict of its run "
            f"says what an answer is, {judge} said it."
        )
    return (
        f"Completions were written by {escape_markdown(config.answers)}: to a benign prompt as to any, to an "
        f"unsafe one with an instruction to decline politely and to say why. {judge} told refusals from "
        "answers."
    )


def _suite_licence(config: ExportConfig) -> str:
    return load_suite(config.suite).licence if config.suite else ""


# -- counts ----------------------------------------------------------------------------------------------


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)])


def _stages(making: Making) -> str:
    counts = making.counts
    rows = []
    for stage in dict.fromkeys([*counts.entered, *counts.reasons]):
        why = ", ".join(f"{n:,} {escape_markdown(r)}" for r, n in counts.reasons[stage].most_common())
        entered, left = counts.entered[stage].total(), counts.left[stage].total()
        rows.append((escape_markdown(stage), f"{entered:,}", f"{left:,}", why or "none"))
    return _table(("stage", "in", "out", "lost, and why"), rows)


def _counts(rows: Sequence[TrainingRow]) -> list[str]:
    by = Counter((r.split, str(r.more.get("label")), str(r.more.get("kind"))) for r in rows)
    first = _table(
        ("split", "rows", *(f"{side}, {kind.replace('_', ' ')}" for side in _SIDES for kind in _KINDS)),
        [
            (
                split,
                f"{sum(n for key, n in by.items() if key[0] == split):,}",
                *(f"{by[split, side, kind]:,}" for side in _SIDES for kind in _KINDS),
            )
            for split in SPLITS
        ],
    )
    sides = Counter((str(r.more.get("category")), str(r.more.get("label"))) for r in rows)
    names = sorted({category for category, _ in sides})
    second = _table(
        ("category", *_SIDES),
        [(escape_markdown(name), *(f"{sides[name, side]:,}" for side in _SIDES)) for name in names],
    )
    answerers = Counter(str(r.more.get("answer_by")) for r in rows).most_common()
    third = _table(("answered by", "rows"), [(escape_markdown(name), f"{n:,}") for name, n in answerers])
    return [first, second, third]


def _beside_the_paper(making: Making) -> list[str]:
    """What was read of CoCoNot beside what was published of it; the later stages of the paper (arXiv
    2412.06748) are of its training set, whose counts it does not give."""
    if making.config.suite not in ("coconot", "coconot_original", "coconot_contrast"):
        return []
    read = Counter((one.category, one.prompt.label) for one in making.placed)
    rows = []
    for name, published in PUBLISHED_COCONOT.items():
        ours = [read[name, side] for side in ("unsafe", "benign")]
        rows.append((name, f"{ours[0]:,}", f"{published[0]:,}", f"{ours[1]:,}", f"{published[1]:,}"))
    head = ("category", "to decline", "published", "contrasts", "published")
    return ["Read of CoCoNot, beside its test set as published:", _table(head, rows)]


def _splits(making: Making, rows: Sequence[TrainingRow]) -> str:
    clusters = Counter(row.more.get("cluster") for row in rows)
    shares = " / ".join(f"{share:g}" for share in read_shares(making.config.split).values())
    largest = max(clusters.values(), default=0)
    return (
        f"Asked for were {shares} in {', '.join(SPLITS)}. {len(rows):,} rows lie in {len(clusters):,} "
        f"clusters, the largest with {largest:,} rows. Prompts of one seed, pair or type (with its contrast "
        "type), versions of a prompt, and prompts of nearly the same words form a cluster, and no cluster is "
        "divided: the shares are met only as well as that allows. The rows were then checked: no cluster, no "
        "seed, no pair and no text (without case and punctuation) stands in two splits."
    )


def lacking(rows: Sequence[TrainingRow], split: str) -> list[str]:
    """What the splits that were asked for (`--split`) have none of, a sentence each."""
    found = []
    kinds = Counter((row.split, str(row.more.get("kind")) == "answer") for row in rows)
    for name, share in read_shares(split).items():
        answers, others = kinds[name, True], kinds[name, False]
        if share and not (answers and others):
            missing = "answer" if others else "refusal" if answers else "row"
            found.append(f"the split {name} has no {missing}")
    return found


def _cautions(making: Making, rows: Sequence[TrainingRow]) -> list[str]:
    has_test = any(row.split == "test" for row in rows)
    found = [
        "Some prompts ask for what the policy disallows; their completions decline. Keep the folder where it "
        "cannot be crawled. A model that was trained on these prompts can no longer be measured with them: "
        f"measure on {'the test split, or on ' if has_test else ''}other data.",
        "Labels and refusals are as right as the judges that told them. Counts above are of prompts, not of "
        "what a model will do.",
    ]
    return found + [f"**{one[0].upper()}{one[1:]}.**" for one in lacking(rows, making.config.split)]
