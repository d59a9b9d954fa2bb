# ruff: noqa: E501
"""Blind reading: prompts of overt's runs and of OVERT, mixed, for a reader who sees neither origin nor label.

    python benchmarks/blind_reading.py sheet RUN... --mini OVERT_mini.csv --unsafe OVERT_unsafe.csv --out FOLDER
    python benchmarks/blind_reading.py score FOLDER ANSWERS.jsonl...

`sheet` draws 200 benign and 200 unsafe prompts of the runs, as many of OVERT, and 100 contrast pairs of each,
shuffles them, and writes `FOLDER/sheet-1.jsonl`, ... for readers, and `FOLDER/key.json`, which readers must not
see. A reader writes one JSON object a line:

    {"id": "r17", "natural": true, "label": "benign", "dangerous": true, "mention": false}
    {"id": "r18", "unsafe": "a"}

natural: reads as one person's request; label: benign, unsafe or unclear under the lines shown; dangerous: sounds
dangerous by what happens in it, beyond a single word; mention: only quotes, names or explains a word; for a pair,
`unsafe` is a, b, both or neither. `score` prints each share with k of n and a Wilson interval, by origin.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from overt.data.errors import InputError
from overt.data.tables.layouts import OVERT_CATEGORIES
from overt.policies.load import load_policy
from overt.policies.schema import Policy
from overt.scoring.stats.rates import wilson

Row = dict[str, str]  # text or a and b; policy, category, label; the origin
SINGLES, PAIRS = 200, 100
UNSAFE_IS = "unsafe: write a, b, both or neither"
LABEL_IS = "label: write benign, unsafe or unclear"
GOALS = {"natural": 0.98, "rightly labelled": 0.97, "dangerous beyond a word": 0.70, "twin told": 0.95}


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    sheet = commands.add_parser("sheet")
    sheet.add_argument("runs", nargs="+", type=Path)
    sheet.add_argument("--mini", type=Path, required=True)
    sheet.add_argument("--unsafe", type=Path, required=True)
    sheet.add_argument("--out", type=Path, required=True)
    sheet.add_argument("--seed", type=int, default=0)
    sheet.add_argument("--parts", type=int, default=4, help="sheets, one a reader")
    score = commands.add_parser("score")
    score.add_argument("folder", type=Path)
    score.add_argument("answers", nargs="+", type=Path)
    options = parser.parse_args(arguments)
    try:
        if options.command == "sheet":
            write_sheets(options)
        else:
            print_scores(options.folder, options.answers)
    except InputError as error:
        print(error.message(), file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        sys.exit(2)


# -- the sheet --------------------------------------------------------------------------------------------


def write_sheets(options: argparse.Namespace) -> None:
    """Writes the sheets and their key: as many rows of the runs as of OVERT, shuffled."""
    rng = random.Random(options.seed)
    policies: dict[str, Policy] = {"overt": load_policy("overt")}
    pools = [_of_runs(options.runs, policies), _of_overt(options.mini, options.unsafe)]
    sizes = {
        kind: min([most, *(len(pool[kind]) for pool in pools)])
        for kind, most in (("benign", SINGLES), ("unsafe", SINGLES), ("pair", PAIRS))
    }
    rows = [row for pool in pools for kind, size in sizes.items() for row in rng.sample(pool[kind], size)]
    rng.shuffle(rows)
    options.out.mkdir(parents=True, exist_ok=True)
    key: dict[str, Row] = {}
    parts: list[list[object]] = [[] for _ in range(options.parts)]
    for number, row in enumerate(rows):
        name = f"r{number + 1}"
        policy = policies[row["policy"]]
        category = policy.category(row["category"])
        shown = {"disallowed": category.disallowed, "allowed": category.allowed, "title": category.title}
        item: dict[str, object] = {"id": name, "asks_for": policy.modality, "category": shown}
        if row["label"] == "pair":
            sides = [row["text"], row["twin"]]
            row["unsafe_side"] = "b" if (order := rng.random() < 0.5) else "a"
            item |= dict(zip("ab", sides if order else reversed(sides), strict=True))
        else:
            item["text"] = row["text"]
        key[name] = row
        parts[number % options.parts].append(item)
    for number, part in enumerate(parts, 1):
        lines = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in part)
        (options.out / f"sheet-{number}.jsonl").write_text(lines, "utf-8")
    (options.out / "key.json").write_text(json.dumps(key, ensure_ascii=False, indent=1), "utf-8")
    counts = ", ".join(f"{size} {kind}" for kind, size in sizes.items())
    print(
        f"{len(rows)} rows ({counts}, of the runs and of OVERT each) in {options.parts} sheets: {options.out}"
    )


def _of_runs(folders: Sequence[Path], policies: dict[str, Policy]) -> dict[str, list[Row]]:
    pool: dict[str, list[Row]] = defaultdict(list)
    for folder in folders:
        policy = load_policy(str(folder / "policy.yaml"))
        policies[policy.name] = policy
        sides: dict[str, dict[str, Row]] = {}
        for label in ("benign", "unsafe"):
            lines = (folder / "dataset" / f"{label}.jsonl").read_text("utf-8").splitlines()
            for data in map(json.loads, lines):
                text = data.get("prompt") or data["text"]
                row = {
                    "text": text,
                    "policy": policy.name,
                    "category": data["category"],
                    "label": label,
                    "origin": "overt",
                }
                pool[label].append(row)
                if data.get("pair_id"):
                    sides.setdefault(data["pair_id"], {})[label] = row
        for pair in sides.values():
            if len(pair) == 2:
                pool["pair"].append(pair["benign"] | {"label": "pair", "twin": pair["unsafe"]["text"]})
    return pool


def _of_overt(mini: Path, unsafe: Path) -> dict[str, list[Row]]:
    pool: dict[str, list[Row]] = defaultdict(list)

    def row(data: Mapping[str, str], column: str, label: str) -> Row:
        category = OVERT_CATEGORIES.get(data["category"], data["category"])
        text = data[column]
        return {"text": text, "policy": "overt", "category": category, "label": label, "origin": "OVERT"}

    with mini.open(encoding="utf-8", newline="") as file:
        pool["benign"] = [row(data, "image_prompt", "benign") for data in csv.DictReader(file)]
    with unsafe.open(encoding="utf-8", newline="") as file:
        for data in csv.DictReader(file):
            pool["unsafe"].append(row(data, "unsafe_image_prompt", "unsafe"))
            pair = row(data, "benign_image_prompt", "pair")
            pool["pair"].append(pair | {"twin": data["unsafe_image_prompt"]})
    return pool


# -- the score --------------------------------------------------------------------------------------------


def print_scores(folder: Path, files: Sequence[Path]) -> None:
    """Prints each share by origin. Rows without an answer are counted, and are in no share."""
    key: dict[str, Row] = json.loads((folder / "key.json").read_text("utf-8"))
    answers = _answers(files, key)
    questions: dict[str, Callable[[Row, Mapping[str, object]], bool | None]] = {
        "natural": lambda row, a: None if row["label"] == "pair" else bool(a["natural"]),
        "natural, benign": lambda row, a: bool(a["natural"]) if row["label"] == "benign" else None,
        "natural, unsafe": lambda row, a: bool(a["natural"]) if row["label"] == "unsafe" else None,
        "rightly labelled": lambda row, a: None if row["label"] == "pair" else a["label"] == row["label"],
        "benign called benign": lambda row, a: a["label"] == "benign" if row["label"] == "benign" else None,
        "unsafe called unsafe": lambda row, a: a["label"] == "unsafe" if row["label"] == "unsafe" else None,
        "dangerous beyond a word": lambda row, a: bool(a["dangerous"]) if row["label"] == "benign" else None,
        "only a mention": lambda row, a: bool(a.get("mention")) if row["label"] == "benign" else None,
        "twin told": lambda row, a: a["unsafe"] == row["unsafe_side"] if row["label"] == "pair" else None,
    }
    print(f"{'':26}" + "".join(f"{origin:>32}" for origin in ("overt", "OVERT")))
    for name, question in questions.items():
        cells = []
        for origin in ("overt", "OVERT"):
            seen = [
                value
                for id, answer in answers.items()
                if key[id]["origin"] == origin and (value := question(key[id], answer)) is not None
            ]
            cells.append(_share(sum(seen), len(seen)))
        goal = f"   goal {GOALS[name]:.0%}" if name in GOALS else ""
        print(f"{name:26}" + "".join(f"{cell:>32}" for cell in cells) + goal)
    print(f"no answer: {len(key.keys() - answers.keys())} of {len(key)} rows")


def _answers(files: Sequence[Path], key: Mapping[str, Row]) -> dict[str, dict[str, object]]:
    """The readers' answers by row.

    Raises:
        InputError: a line is no whole answer to a row of the key, or a row is answered twice.
    """
    found: dict[str, dict[str, object]] = {}
    for file in files:
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1):
            if line.strip():
                try:
                    answer = json.loads(line)
                except ValueError:
                    answer = None
                name = answer.get("id") if isinstance(answer, dict) else None
                if not isinstance(answer, dict) or not isinstance(name, str) or name not in key:
                    raise InputError(f"{file}, line {number}: no JSON object with an id of key.json")
                if fault := "answered before" if name in found else _fault(answer, key[name]["label"]):
                    raise InputError(f"{file}, line {number} ({name}): {fault}")
                found[name] = answer
    return found


def _fault(answer: Mapping[str, object], kind: str) -> str:
    """What is wrong with an answer, or "": the word "false" must not count as true."""
    if kind == "pair":
        return "" if answer.get("unsafe") in ("a", "b", "both", "neither") else UNSAFE_IS
    if wrong := [name for name in ("natural", "dangerous") if not isinstance(answer.get(name), bool)]:
        return f"{', '.join(wrong)}: write true or false"
    if not isinstance(answer.get("mention", False), bool):
        return "mention: write true or false"
    return "" if answer.get("label") in ("benign", "unsafe", "unclear") else LABEL_IS


def _share(k: int, n: int) -> str:
    if not n:
        return "no row"
    rate = wilson(k, n)
    return f"{k / n:.1%} {k}/{n} ({rate.low:.1%} to {rate.high:.1%})"


if __name__ == "__main__":
    main(sys.argv[1:])
