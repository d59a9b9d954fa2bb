"""What the card of answer-then-check says: the format, its two rates, and the paper's figures beside ours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from overt.data.answer_plans import Plan
from overt.data.export import escape_markdown
from overt.data.results.summary import AnswerForms, Rate
from overt.tasks.export_config import OWN, TEMPLATES
from overt.tasks.export_making import Making
from overt.tasks.export_resa_config import NO_GUARD

# Rows of the paper's training set (arXiv 2509.11629, table of query types), and its safe completions.
PUBLISHED = {
    "vanilla harmful": 12_412,
    "vanilla benign": 16_179,
    "adversarial harmful": 22_763,
    "adversarial benign": 29_072,
}
PUBLISHED_COMPLETIONS, PUBLISHED_PLAIN = 167 + 357, 1_000
# Its figure 4 (Qwen2.5-7B): rows -> safety (the mean over four attacks) and over-refusal accuracy.
PUBLISHED_SUBSETS = {
    "0.1K": (0.88, 0.87),
    "0.5K": (0.89, 0.91),
    "1K": (0.92, 0.90),
    "5K": (0.92, 0.95),
    "80K": (0.94, 0.94),
    "untouched base": (0.49, 0.93),
}


def said_of(plans: Sequence[Plan], forms: AnswerForms, plain: int) -> list[str]:
    """The paragraphs of the card.

    Args:
        plans: of the rows with a check.
        plain: rows without one.
    """
    return [
        "A completion is a thought and what the user sees behind it:",
        "    <safety_check> ... <intended_answer_summary> the plan </intended_answer_summary> its check "
        "</safety_check>\n    the answer, the fixed refusal, or a safe completion",
        "The intended answers of unsafe prompts were asked for in outline, without anything that could be "
        "used, and stand in no row; their summaries keep to what the answer would be about.",
        _rates(forms),
        _beside_the_paper(plans, plain),
        _of_subsets(),
    ]


def who_of(making: Making) -> str:
    """Who wrote what."""
    config = making.config
    analyst = config.analyst or config.model or ""
    answers = f"The answers to benign prompts are {escape_markdown(_whose(config.answers))}."
    guard = (
        "**No guard was asked (filter 1 was left out)**: labels are those of the data set alone."
        if config.guard == NO_GUARD
        else f"{escape_markdown(config.guard or '')} was the guard (filter 1)."
    )
    return " ".join(
        [
            f"**{answers}**" if config.answers == TEMPLATES else answers,
            f"{escape_markdown(analyst)} wrote the summaries and checks, and looked for contradictions.",
            f"{escape_markdown(config.intended or analyst)} outlined what must not be answered.",
            guard,
            f"{escape_markdown(config.judge or 'judge/rules')} told refusals from answers.",
        ]
    )


def _whose(answers: str) -> str:
    """Whose the answers of `--answers` are."""
    if answers == TEMPLATES:
        return "fixed sentences, not answers"
    return "the data set's own" if answers == OWN else f"by {answers}"


def _rates(forms: AnswerForms) -> str:
    return (
        f"Of the rows with a check {_share(forms.well_formed)} are well-formed, and "
        f"{_share(forms.contradicting)} contradict their own check; of {forms.unclear:,} that cannot be "
        "told. These are the rows, not what a model makes of them."
    )


def _share(rate: Rate | None) -> str:
    if rate is None:
        return "none of none"
    return f"{rate.k:,} of {rate.n:,} ({rate.rate:.1%} [{rate.low:.1%}, {rate.high:.1%}])"


def _beside_the_paper(plans: Sequence[Plan], plain: int) -> str:
    ours = Counter(_query_type(plan) for plan in plans)
    completions = sum(plan.kind == "safe_completion" for plan in plans)
    rows = [
        *((name, f"{ours[name]:,}", f"{published:,}") for name, published in PUBLISHED.items()),
        ("all with a check", f"{len(plans):,}", f"{sum(PUBLISHED.values()):,}"),
        ("safe completions", f"{completions:,}", f"{PUBLISHED_COMPLETIONS:,}, of self-harm alone"),
        ("plain rows (adaptive variant)", f"{plain:,}", f"{PUBLISHED_PLAIN:,}"),
    ]
    table = ["| rows | here | in the paper |", "| --- | --- | --- |"]
    table += [f"| {' | '.join(row)} |" for row in rows]
    adversarial = sum(n for name, n in PUBLISHED.items() if name.startswith("adversarial"))
    note = (
        f"Of the paper's rows {adversarial:,} are jailbroken prompts, and its claim is defence against "
        "those. Here a prompt counts as adversarial if its file names an attack. How many the paper's two "
        "filters dropped is not published. The card of its published data set gives 16,179 as vanilla "
        "harmful: the labels are swapped there."
    )
    return "\n".join(table) + "\n\n" + note


def _query_type(plan: Plan) -> str:
    """A name of `PUBLISHED`."""
    dress = "vanilla" if plan.prompt.attack is None else "adversarial"
    return f"{dress} {'harmful' if plan.is_unsafe else 'benign'}"


def _of_subsets() -> str:
    head = f"| rows | {' | '.join(PUBLISHED_SUBSETS)} |"
    rule = "|" + " --- |" * (len(PUBLISHED_SUBSETS) + 1)
    safety = f"| safety | {' | '.join(f'{s:.2f}' for s, _ in PUBLISHED_SUBSETS.values())} |"
    accuracy = f"| over-refusal accuracy | {' | '.join(f'{a:.2f}' for _, a in PUBLISHED_SUBSETS.values())} |"
    note = (
        "How many rows it takes, by the paper (Qwen2.5-7B): 500 nearly match all of them on safety, and are "
        "worse on over-refusal than the model before any training; it takes 5,000 to be better than that."
    )
    return f"{note}\n\n" + "\n".join([head, rule, safety, accuracy])
