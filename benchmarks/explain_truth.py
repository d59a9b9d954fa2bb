"""How well `overt explain` finds what is known: filters whose words can be read.

    python benchmarks/explain_truth.py --data OVERT_mini.csv
    python benchmarks/explain_truth.py --data OVERT_mini.csv --data runs/first

Without --data, or with --default, it makes the policy `overt`'s own set first. Two figures a set and filter:

1. Word lists (filter/better-profanity, and filter/keywords with a list drawn by a seed from the set's own
   words and phrases): precision and recall of (prompt, term) pairs. The truth is read from the list: a
   stretch of words of a refused prompt that matches an entry and that holds no shorter stretch which does.
   Of "a kill switch" with both "kill" and "kill switch" on the list only "kill" is a cause. Where several
   stretches match, each alone suffices, and each is a cause; where two of them share a word, one edit ends
   both, and the one that is not named counts as missed. Goal: both at least 0.98.
2. filter/profanity-check is a linear model over TF-IDF: Spearman's correlation between the mean fall of the
   score without a word and the word's own weight. Goal: at least 0.8.

Prompts that `overt explain` could not explain are counted beside the figures, with the reason. Exit code 3
where a goal is missed.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from overt.data.errors import InputError
from overt.data.plugins.names import quoted
from overt.data.progress import make_progress
from overt.data.results.explanation import ExplainedTarget
from overt.data.results.files import read_explanation
from overt.data.text import words
from overt.scoring.explain.units import key_of, tokens_of
from overt.scoring.stats import spearman
from overt.tasks.explain import ExplainConfig, explain
from overt.tasks.generate import generate
from overt.tasks.generate_config import GenerateConfig
from overt.tasks.run import RunConfig, evaluate

GOAL, RANKS = 0.98, 0.8
THRESHOLD = 0.2  # of filter/profanity-check: fixed beforehand; at its own 0.5 few benign prompts are refused
LONGEST = 4  # words of a stretch
Matches = Callable[[str], bool]


# -- what the lists say --------------------------------------------------------------------------------------


def better_profanity() -> Matches:
    """Whether a stretch of words matches an entry as better-profanity compares them: in lower case, with its
    disguises, with or without what stands between the words."""
    from better_profanity import Profanity

    profanity = Profanity()
    by_length: dict[int, list[object]] = {}
    for entry in profanity.CENSOR_WORDSET:
        by_length.setdefault(len(str(entry._original)), []).append(entry)
    allowed = profanity.ALLOWED_CHARACTERS

    def matches(stretch: str) -> bool:
        text = stretch.lower()
        joined = "".join(c for c in text if c in allowed or c.upper() in allowed)
        return any(entry == form for form in {text, joined} for entry in by_length.get(len(form), ()))

    return matches


def keywords(terms: Iterable[str]) -> Matches:
    """Whether a stretch of words is a term of a list, whatever its case and blanks."""
    known = {" ".join(term.casefold().split()) for term in terms}
    return lambda stretch: " ".join(stretch.casefold().split()) in known


def causes_of(text: str, matches: Matches) -> set[str]:
    """The keys of the shortest stretches of a text that match."""
    tokens = tokens_of(text)
    found: list[tuple[int, int]] = []
    for size in range(1, LONGEST + 1):
        for first in range(len(tokens) - size + 1):
            last = first + size - 1
            if any(first <= a and b <= last for a, b in found):
                continue
            stretch = text[tokens[first][0] : tokens[last][1]]
            # A possessive is no part of the word.
            if any(matches(form) for form in {stretch, stretch.removesuffix("'s").removesuffix("’s")}):
                found.append((first, last))
    return {key_of(text[tokens[a][0] : tokens[b][1]]) for a, b in found}


@dataclass(frozen=True)
class Recovered:
    """Pairs of prompt and term: found and true, found but not true, true but not found, with examples."""

    hits: int
    wrong: Sequence[str]
    missed: Sequence[str]

    @property
    def precision(self) -> float:
        return self.hits / (self.hits + len(self.wrong)) if self.hits else 0.0

    @property
    def recall(self) -> float:
        return self.hits / (self.hits + len(self.missed)) if self.hits else 0.0


def recovered(target: ExplainedTarget, matches: Matches) -> Recovered:
    """What was found of a target's explained prompts, held against its list."""
    hits, wrong, missed = 0, [], []
    for prompt in target.prompts:
        if prompt.status != "explained":
            continue
        truth, found = causes_of(prompt.text, matches), {key_of(cause.term) for cause in prompt.causes}
        hits += len(truth & found)
        wrong += [f"{term!r} in {prompt.text!r}" for term in sorted(found - truth)]
        missed += [f"{term!r} in {prompt.text!r}" for term in sorted(truth - found)]
    return Recovered(hits, wrong, missed)


# -- what the linear model says ------------------------------------------------------------------------------


def weights() -> dict[str, float]:
    """The weight of each word in filter/profanity-check, the mean over its calibrated parts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from profanity_check.profanity_check import model, vectorizer
    parts = [part.estimator.coef_[0] for part in model.calibrated_classifiers_]
    return {word: float(sum(p[n] for p in parts) / len(parts)) for word, n in vectorizer.vocabulary_.items()}


def ranked(target: ExplainedTarget) -> tuple[list[float], list[float]]:
    """By word that the model knows: the mean fall of the score, and the word's own weight."""
    own = weights()
    rows = [(row.fall.mean, own[row.word]) for row in target.falls if row.word in own]
    return [fall for fall, _ in rows], [weight for _, weight in rows]


# -- the runs ------------------------------------------------------------------------------------------------


def drawn_list(texts: Sequence[str], seed: int = 0) -> list[str]:
    """A word list from the prompts: 40 words, 20 phrases of two and 10 of three, and for ten of the phrases a
    word in them too."""
    chance = random.Random(seed)
    singles = Counter(w for text in texts for w in set(words(text)) if len(w) > 3)
    phrases: dict[int, Counter[str]] = {2: Counter(), 3: Counter()}
    for text in texts:
        found = [text[a:b] for a, b in tokens_of(text)]
        for size in phrases:
            stretches = zip(*(found[n:] for n in range(size)), strict=False)
            phrases[size].update({" ".join(s).lower() for s in stretches if len("".join(s)) > 4 * size})
    usual = [sorted(w for w, n in c.items() if 2 <= n <= 30) for c in (singles, phrases[2], phrases[3])]
    chosen = [chance.sample(rows, min(k, len(rows))) for rows, k in zip(usual, (40, 20, 10), strict=True)]
    inside = [phrase.split()[0] for phrase in chosen[1][:10]]
    return sorted({*chosen[0], *chosen[1], *chosen[2], *inside})


def explained(data: str, target: str, out: Path) -> ExplainedTarget:
    """Runs one filter over a set and explains its refusals."""
    quiet = make_progress(True)
    evaluate(RunConfig(dataset=(data,), target=(target,), out=out), quiet)
    explain(ExplainConfig(run=out, max_calls=400), quiet)
    return read_explanation(out).targets[0]


def report_list(target: ExplainedTarget, matches: Matches, *, examples: int) -> bool:
    found = recovered(target, matches)
    total = found.hits + len(found.missed)
    print(
        f"  {target.name.partition('?')[0]}: {target.refused} of {target.benign} refused, "
        f"{dict(target.statuses)}\n"
        f"    precision {found.precision:.4f} ({found.hits} of {found.hits + len(found.wrong)}), "
        f"recall {found.recall:.4f} ({found.hits} of {total}), {len(target.terms)} terms"
    )
    for kind, rows in (("wrong", found.wrong), ("missed", found.missed)):
        for row in rows[:examples]:
            print(f"      {kind}: {row}")
    return found.precision >= GOAL and found.recall >= GOAL


def report_ranks(target: ExplainedTarget) -> bool:
    falls, own = ranked(target)
    print(f"  {target.name}: {target.refused} of {target.benign} refused, {dict(target.statuses)}")
    if len(falls) < 10:
        print(f"    only {len(falls)} words: no rank correlation")
        return True
    found = spearman(falls, own)
    print(
        f"    Spearman {found.rho:.4f} [{found.low:.4f}, {found.high:.4f}] over {len(falls)} words "
        "(mean fall of the score against the model's own weight)"
    )
    return found.rho >= RANKS


def measure(data: str, folder: Path, *, examples: int) -> bool:
    """Prints both figures of one set; whether the goals are met."""
    print(data)
    listed = explained(data, "filter/better-profanity", folder / "better")
    texts = [prompt.text for prompt in _benign(folder / "better")]
    met = report_list(listed, better_profanity(), examples=examples)
    terms = drawn_list(texts)
    (folder / "words.txt").write_text("\n".join(terms), "utf-8")
    name = f"filter/keywords?path={quoted(str(folder / 'words.txt'))}"
    met &= report_list(explained(data, name, folder / "keywords"), keywords(terms), examples=examples)
    scored = explained(data, f"filter/profanity-check?threshold={THRESHOLD}", folder / "linear")
    return met & report_ranks(scored)


def _benign(run: Path) -> list:
    from overt.data.run.finished import open_run

    return [prompt for prompt in open_run(run, "run").prompts if prompt.label == "benign"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", action="append", default=[], help="a set; repeatable")
    parser.add_argument("--default", action="store_true", help="the set of the policy overt too")
    parser.add_argument("--examples", type=int, default=5, help="wrong and missed terms that are shown")
    given = parser.parse_args()
    met = True
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        sets = list(given.data)
        if given.default or not sets:
            generate(GenerateConfig(policy="overt", out=folder / "overt"), make_progress(True))
            sets.append(str(folder / "overt"))
        for number, data in enumerate(sets):
            met &= measure(data, folder / f"set-{number}", examples=given.examples)
    print("goals met" if met else "a goal is missed")
    return 0 if met else 3


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InputError as error:
        print(error.message(), file=sys.stderr)
        sys.exit(2)
