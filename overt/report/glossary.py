"""What the words and figures of the page mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from overt.data.results.summary import Summary
from overt.report.block import Block
from overt.scoring.summary.metrics import has_pictures, has_words, metrics_of

Terms = list[tuple[str, str]]

_FIGURES: Terms = [
    (
        "Paired difference",
        "rate of one target minus rate of the other on the prompts both answered; p by McNemar's test, "
        "corrected after Holm over categories",
    ),
    (
        "Rank correlation",
        "Spearman's rho: correlation of the targets' ranks in over-refusal and in safe response, −1 to 1",
    ),
    ("Only it refuses", "prompts that this layer refuses and that no other layer of the target refuses"),
    (
        "AUC",
        "chance that an unsafe prompt scores above a benign one, ties counting half; 0.5 is a coin toss",
    ),
    (
        "Operating point",
        "the lowest threshold that keeps over-refusal at or below the limit on these prompts",
    ),
    (
        "Fleiss kappa, Krippendorff alpha",
        "(observed − chance agreement) ÷ (1 − chance agreement) between judges; 1 is full agreement, 0 "
        "chance. Alpha allows for missing votes",
    ),
]
_SLIPPED = (
    "Slipped through",
    "an unsafe prompt let through, and no majority of judges found what came out harmless",
)
_BY_LABELS: Terms = [
    (
        "Corrected by people's labels",
        "benign prompts refused ÷ benign prompts, where people say of a sample which prompts are truly "
        "benign and which answers are truly refusals; each label stands for as many prompts as its part of "
        "the sample was drawn from",
    )
]
_OF_REWRITING: Terms = [
    (
        "Refused after rewriting",
        "benign prompts that the target refused, and every wording of them ÷ benign prompts answered",
    ),
    ("Won", "refused prompts of which a wording was accepted ÷ refused prompts to be reworded"),
    (
        "Meaning lost",
        "score of the original's own picture − score of the new one; where there is no such picture, "
        "1 − score. Each measure has its own scale: compare targets, not measures",
    ),
    ("Scored in windows", "texts longer than the encoder reads: scored in overlapping parts, never cut"),
]
_OF_WORDS: Terms = [
    (
        "Smallest edit",
        "words of a refused prompt without which the target lets it through; with any one of them put back "
        "it is refused again. Of several words that each suffice for a refusal all are in it",
    ),
    (
        "Term",
        "the shortest stretch of words around a part of the smallest edit that is refused without the rest "
        "of the prompt; else that part itself",
    ),
]
_OF_FORMS: Terms = [
    (
        "In the format",
        "answers of answer-then-check that have the plan, the check and the final answer, each tag once and "
        "in order ÷ answers that came; where a target may answer directly, one without any tag is too",
    ),
    (
        "Contradicts its check",
        "the check finds the plan unsafe and the request is answered, or finds it safe and the request is "
        "refused ÷ answers in the format of which both can be told",
    ),
]
_OF_EPISODES: Terms = [
    ("Episode", "one task played by one target over many turns, with a seed of its own"),
    (
        "Ended, refused, capped, missing",
        "the state of an episode: the environment or the target ended it; the service or the model refused, "
        "and what was asked was not done; the cap on turns ended it; an error, or an answer that could not "
        "be read, which is in no rate",
    ),
    ("Repaired", "turns whose first answer could not be read, and whose second, after being told why, could"),
]
_OF_THRESHOLDS: Terms = [
    (
        "Calibration split, held-out split",
        "the seeds that the threshold was found on, and the others, which took no part in it: only these "
        "say what it "
        "gives",
    ),
    (
        "Calibrated threshold",
        "the lowest one at which so few benign prompts of the calibration split are refused that "
        "over-refusal of new "
        "prompts is expected to stay at or below the limit (conformal risk control)",
    ),
    (
        "Unsafe let through",
        "unsafe prompts neither refused nor met with a safe completion ÷ unsafe prompts scored",
    ),
    (
        "Token mass",
        "probability of all refusal tokens together before the answer; far below 1 the model does not use "
        "them",
    ),
]
_OF_BOUNDARIES: Terms = [
    (
        "Boundary score",
        "sum of the points of the patterns that an answer shows, 0 to 10: how much it does at a "
        "boundary, not whether it is right",
    )
]


# Terms that stand on a page where one of its parts has something of the kind.
_OF_PARTS: tuple[tuple[Terms, Callable[[Block], object]], ...] = (
    (_OF_REWRITING, lambda block: block.remedy),
    (_OF_WORDS, lambda block: block.explanations),
    (_OF_FORMS, lambda block: any(target.forms for target in block.summary.targets)),
    (_OF_EPISODES, lambda block: block.episodes),
    (_OF_THRESHOLDS, lambda block: block.calibrations),
    (_OF_BOUNDARIES, lambda block: block.boundaries),
)


def build_glossary(blocks: Sequence[Block]) -> Terms:
    """Each term of the page once."""
    summaries = [block.summary for block in blocks]
    rates = {m.title: m.meaning for s in summaries for m in metrics_of(s.targets).values()}
    return [
        *rates.items(),
        ("Coverage", "prompts answered ÷ prompts asked; an error (limit, timeout, fault) is no answer"),
        ("Interval", _interval(summaries[0])),
        *(_BY_LABELS if any(t.corrected for s in summaries for t in s.targets) else ()),
        *_FIGURES,
        ("Refused", _refused(summaries)),
        _SLIPPED,
        *(term for terms, has in _OF_PARTS if any(map(has, blocks)) for term in terms),
    ]


def _interval(summary: Summary) -> str:
    level = f"{100 * summary.level:g}%"
    if summary.resamples:  # of 0.1.0
        return (
            f"{level}; bootstrap over seeds, since prompts from one seed share their fate "
            f"({summary.resamples:,} resamples, seed {summary.seed}); Wilson's score interval where there "
            "are no seeds"
        )
    return (
        f"{level}; Wilson's score interval of a rate, and its like of a difference; prompts from one seed "
        "share their fate, so that they count as fewer (n over the design effect, Student's t)"
    )


def _refused(summaries: Sequence[Summary]) -> str:
    words = any(has_words(s.targets) for s in summaries)
    said = []
    if not words or any(has_pictures(s.targets) for s in summaries):
        said.append(
            "a provider's refusal code, a checker's flag, text instead of a picture, a blackened picture"
        )
    if words:
        said.append("of a language model: a provider's refusal code, or a full refusal as its judge says")
    return "; ".join(said)
