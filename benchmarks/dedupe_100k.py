"""Dedupe of 100,000 prompts and more: seconds, peak memory, recall on planted near-repeats, false removals.

    python benchmarks/dedupe_100k.py                      # lexical at 0.7, semantic at 0.9
    python benchmarks/dedupe_100k.py --encoder minilm     # another encoder for the semantic run
    python benchmarks/dedupe_100k.py --rows 1000000       # some minutes
    python benchmarks/dedupe_100k.py --growth             # how the seconds grow from 10,000 to 1,000,000 rows

Nine rows in ten are made of words drawn at random, so that no two are alike. Each tenth row repeats one
of them: a word changed, two changed, the clauses reordered, or case and punctuation changed. A repeat
counts as found when one row of the two is left, and a removal as false when none is. The order is
shuffled. `similar enough` counts the planted pairs whose exact similarity reaches the threshold: what is
below it no index should find.

Without an encoder from the Hub, a cache or `--encoder`, a stand-in is made: a model2vec model with one
random vector for each word. It shows the time and memory of a static encoder and the index's recall;
what the similarity means for prompts it cannot show.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from growth import exponent

from overt.data.records import Prompt, prompt_id
from overt.scoring.dedupe import dedupe, repeat_key
from overt.scoring.encoders import Encoder, pick_encoder
from overt.scoring.near_duplicates import jaccard
from overt.scoring.select import select


def _words(text: str) -> list[str]:
    return text.split()


STYLES = _words(
    "photo watercolour etching poster comic fresco mosaic diagram collage engraving woodcut sketch"
)
ADJECTIVES = _words(
    "old young tall narrow broken golden silent crowded empty wooden painted rusty bright pale giant tiny "
    "frozen dusty striped woven marble copper velvet hollow crooked polished faded ancient modern plain "
    "muddy curved heavy folded glowing quiet ruined floating hidden spotted sharp smooth rough round"
)
NOUNS = _words(
    "baker sailor soldier lantern bridge harbour violin kettle orchard tractor museum theatre sword cannon "
    "knife rifle castle forest desert glacier airport hospital courtroom prison library kitchen workshop "
    "carpenter surgeon chemist dancer wrestler goalkeeper beekeeper gardener potter blacksmith clown judge "
    "monk pilot diver shepherd tailor fisherman magician archer knight pirate robot dragon puppet statue "
    "skeleton mask coffin candle mirror ladder hammer anchor compass telescope balloon bicycle carriage "
    "locomotive submarine windmill lighthouse cathedral pyramid volcano waterfall meadow vineyard market "
    "bakery brewery foundry mine quarry tunnel canal garden greenhouse stable barn cottage tower"
)
VERBS = _words(
    "carrying painting guarding repairing watching lifting hiding drawing cleaning opening breaking burning "
    "building measuring climbing crossing chasing catching holding pushing pulling selling weighing carving "
    "polishing decorating photographing rescuing feeding teaching"
)
PLACES = _words(
    "Lisbon Oslo Kyoto Cairo Lima Dakar Prague Havana Sydney Nairobi Vienna Seoul Dublin Quito Athens Riga "
    "Mumbai Hanoi Bergen Porto Split Krakow Ghent Bilbao Tallinn Malmo Genoa Basel Leeds Galway"
)
TIMES = _words("dawn noon dusk midnight breakfast harvest carnival winter spring summer autumn monsoon")


def rows(count: int, seed: int) -> tuple[list[str], list[int], list[str]]:
    """(texts, cluster of each, kind of each: "" or how it was changed), shuffled."""
    rng = random.Random(seed)

    def clauses() -> list[list[str]]:
        p = rng.choice
        return [
            ["a", p(STYLES), "of", "a", p(ADJECTIVES), p(NOUNS), p(VERBS), "a", p(ADJECTIVES), p(NOUNS)],
            ["beside", "a", p(ADJECTIVES), p(NOUNS), "in", p(PLACES)],
            ["a", p(NOUNS), p(VERBS), "a", p(NOUNS), "at", p(TIMES)],
        ]

    content = set(ADJECTIVES + NOUNS + VERBS + PLACES + TIMES)

    def change(parts: list[list[str]], times: int) -> None:
        places = [(i, j) for i, part in enumerate(parts) for j, word in enumerate(part) if word in content]
        for i, j in rng.sample(places, times):
            word = parts[i][j]
            alike = next(words for words in (ADJECTIVES, NOUNS, VERBS, PLACES, TIMES) if word in words)
            parts[i][j] = rng.choice([other for other in alike if other != word])

    def text(parts: list[list[str]]) -> str:
        return ", ".join(" ".join(part) for part in parts)

    made: list[tuple[str, int, str]] = []
    kinds = ["one word", "two words", "order", "case and punctuation"]
    for cluster in range(count - count // 10):
        parts = clauses()
        made.append((text(parts), cluster, ""))
        if cluster < count // 10:
            kind = kinds[cluster % len(kinds)]
            other = [list(part) for part in parts]
            if kind == "order":
                other = other[1:] + other[:1]
            elif kind != "case and punctuation":
                change(other, 1 if kind == "one word" else 2)
            planted = text(other)
            if kind == "case and punctuation":
                planted = planted.upper().replace(",", " -") + "!"
            made.append((planted, cluster, kind))
    rng.shuffle(made)
    return [m[0] for m in made], [m[1] for m in made], [m[2] for m in made]


class StandIn:
    """A static encoder with a random vector for each word, made of model2vec's own parts."""

    name = "stand-in (random word vectors)"
    version = "1"

    def __init__(self, texts: list[str]) -> None:
        import numpy as np
        from model2vec import StaticModel
        from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

        words = sorted({word for text in texts for word in re.findall(r"[a-z]+", text.lower())})
        numbers = {word: i for i, word in enumerate(["[UNK]", *words])}
        tokenizer = Tokenizer(models.WordLevel(numbers, unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.Lowercase()
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        vectors = np.random.default_rng(0).standard_normal((len(words) + 1, 256), dtype=np.float32)
        count = Counter(word for text in texts[:10_000] for word in text.lower().split())
        weights = [1e-3 / (1e-3 + count[w] / count.total()) for w in ["[UNK]", *words]]  # commoner, lighter
        vectors *= np.asarray(weights, dtype=np.float32)[:, None]
        self._model = StaticModel(vectors, tokenizer)

    def encode(self, inputs: Any) -> Any:
        return self._model.encode(list(inputs), use_multiprocessing=False)


def measure(kind: str, args: argparse.Namespace) -> dict[str, Any]:
    texts, clusters, kinds = rows(args.rows, args.seed)
    threshold = args.lexical_threshold if kind == "lexical" else args.semantic_threshold
    encoder: Encoder | None = None
    why = ""
    if kind == "semantic":
        encoder, why = pick_encoder(args.encoder) if args.encoder != "stand-in" else (None, "asked for")
        if encoder is None:
            encoder = StandIn(texts)
    prompts = [Prompt(prompt_id(t), t, "c", "benign", "direct", "benchmark", "none") for t in texts]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start, cpu = time.perf_counter(), time.process_time()
    result = dedupe(
        prompts, threshold_of=lambda _: threshold, encoder=encoder, why=why, exact_limit=args.exact_limit
    )
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    kept_ids = Counter(p.id for p in result.kept)
    left: Counter[int] = Counter()
    for prompt, cluster in zip(prompts, clusters, strict=True):
        if kept_ids[prompt.id] > 0:
            kept_ids[prompt.id] -= 1
            left[cluster] += 1
    planted = {c: k for c, k in zip(clusters, kinds, strict=True) if k}
    pairs: dict[int, list[str]] = {}
    for text, cluster in zip(texts, clusters, strict=True):
        if cluster in planted:
            pairs.setdefault(cluster, []).append(text)
    if encoder is None:
        similarity = {c: jaccard(a, b) for c, (a, b) in pairs.items()}
    else:
        import numpy as np

        order = list(pairs)
        sides = [np.asarray(encoder.encode([pairs[c][k] for c in order]), dtype=np.float64) for k in (0, 1)]
        sides = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in sides]
        similarity = dict(zip(order, (sides[0] * sides[1]).sum(axis=1).tolist(), strict=True))
    table = {}
    for name in dict.fromkeys(sorted(planted.values())):
        mine = [c for c, k in planted.items() if k == name]
        same = name == "case and punctuation"  # an exact repeat, whatever an encoder makes of capitals
        alike = [c for c in mine if same or similarity[c] >= threshold]
        table[name] = (len(mine), len(alike), sum(left[c] < 2 for c in mine), sum(left[c] < 2 for c in alike))
    return {
        "kind": kind,
        "threshold": threshold,
        "rows": len(texts),
        "index": f"{result.index.index} | {result.index.encoder or 'shingles'} | {why}",
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
        "peak_mb": round(peak),
        "before_mb": round(before),
        "kept": len(result.kept),
        "false_removals": sum(left[c] == 0 for c in set(clusters)),
        "planted": table,
    }


def show(result: dict[str, Any]) -> None:
    print(f"{result['kind']} at {result['threshold']}: {result['rows']:,} rows, {result['index']}")
    print(
        f"  {result['cpu_seconds']} CPU s ({result['seconds']} s), "
        f"peak {result['peak_mb']} MB ({result['before_mb']} MB before)"
    )
    print("  planted               rows  similar enough  found  recall of all  recall of similar enough")
    table = result["planted"]
    table["all"] = tuple(sum(column) for column in zip(*table.values(), strict=True))
    for name, (count, alike, found, found_alike) in table.items():
        share = f"{found_alike / alike:.4f}" if alike else "-"
        print(f"  {name:20} {count:6} {alike:15} {found:6} {found / count:14.4f} {share:>25}")
    print(f"  false removals: {result['false_removals']} of {result['rows'] - table['all'][0]:,}", flush=True)


def growth(seed: int) -> None:
    """Prints the CPU seconds of 10,000 to 1,000,000 rows, and the exponent that fits them best.

    `select` keeps 200 of a tenth of the rows: it is for one category at a time.
    """
    counts = (10_000, 100_000, 1_000_000)
    spent: dict[str, list[float]] = {}
    for count in counts:
        texts = rows(count, seed)[0]
        prompts = [Prompt(prompt_id(t), t, "c", "benign", "direct", "benchmark", "none") for t in texts]
        steps: dict[str, Callable[[], object]] = {
            "repeat_key": lambda texts=texts: [repeat_key(text) for text in texts],  # type: ignore[misc]
            "dedupe": lambda prompts=prompts: dedupe(prompts, threshold_of=lambda _: 0.7, encoder=None),  # type: ignore[misc]
            "select": lambda prompts=prompts[: count // 10]: select(prompts, {"c": 200}, seed=0),  # type: ignore[misc]
        }
        for name, step in steps.items():
            start = time.process_time()
            step()
            spent.setdefault(name, []).append(time.process_time() - start)
            taken = count // 10 if name == "select" else count
            print(f"{name:12} {taken:>9,} rows  {spent[name][-1]:8.2f} CPU s", flush=True)
    for name, seconds in spent.items():
        slope = exponent(list(zip(counts, seconds, strict=True)))
        print(f"{name:12} grows with rows to the power of {slope:.2f}")


def main() -> None:
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=plain)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--only", choices=["lexical", "semantic"])
    parser.add_argument("--encoder", default="auto", help="auto, stand-in, minilm, a folder or a Hub id")
    parser.add_argument("--lexical-threshold", type=float, default=0.7)
    parser.add_argument("--semantic-threshold", type=float, default=0.9)
    parser.add_argument("--exact-limit", type=int, help="rows above which an index proposes the pairs")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--growth", action="store_true", help="how seconds grow with rows")
    args = parser.parse_args()
    if args.growth:
        growth(args.seed)
        return
    if args.only:
        result = measure(args.only, args)
        print(json.dumps(result)) if args.json else show(result)
        return
    for kind in ("lexical", "semantic"):  # each in a process of its own: peak memory is a process's
        call = [sys.executable, __file__, "--only", kind, *sys.argv[1:]]
        if subprocess.run(call, check=False).returncode:
            raise SystemExit(1)


if __name__ == "__main__":
    main()
