"""What rewordings cost in meaning: the scorers of `overt rewrite`, and the choice among wordings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from overt import registry
from overt.data.errors import InputError
from overt.data.outcomes import Outcome
from overt.data.progress import Progress
from overt.data.records import Prompt
from overt.data.results.remedy import MeasureScale
from overt.data.rewrites import Candidate, Choice, Faithfulness, FaithfulnessCase, FaithfulnessScorer
from overt.data.run.images import ImageStore
from overt.data.templates import Template, load_template
from overt.scoring.faithfulness.checked import score_checked
from overt.scoring.faithfulness.judge import FidelityJudge
from overt.scoring.faithfulness.vqa import VQAScorer
from overt.tasks.roles import ModelOptions, chat_model
from overt.tasks.task import Work

Tried = tuple[Candidate, Outcome]


def open_scorers(
    names: Sequence[str],
    work: Work,
    models: ModelOptions,
    *,
    modality: str,
    batch_size: int | None,
    seed: int,
    templates: Path | None,
) -> list[FaithfulnessScorer]:
    """The scorers by name: models of their own, or chat models behind the caller (vqa/... and judge/...).

    Args:
        modality: of the policy, "image" or "text".
        templates: folder with the user's own instructions.

    Raises:
        InputError: a scorer cannot be had, or two names mean the same one.
    """

    def template(which: str) -> Template:
        return load_template("scoring", which, templates)

    found: list[FaithfulnessScorer] = []
    for name in names:
        kind, _, model = name.partition("/")
        if kind not in ("vqa", "judge"):
            found.append(registry.load_scorer(name, device=models.device, batch_size=batch_size))
            continue
        ask = work.caller.bind(chat_model(model, "judge", models), name)
        if kind == "vqa":
            asking, answering = template("vqa_questions"), template("vqa_answers")
            found.append(VQAScorer(name, ask, asking, answering, seed=seed))
        else:
            found.append(FidelityJudge(name, ask, template("fidelity"), seed=seed, modality=modality))
    said: dict[str, str] = {}
    for scorer in found:  # text/auto may have become what another one names
        same = said.setdefault(getattr(scorer, "model", scorer.name), scorer.name)
        if same != scorer.name:
            raise InputError(f"{same} and {scorer.name} are one and the same here", fix="Leave one out.")
    return found


def cases_of(
    prompts: Sequence[Prompt],
    candidates: Sequence[Candidate],
    tried: Sequence[Tried],
    outcomes: Sequence[Outcome],
) -> list[FaithfulnessCase]:
    """What is to be scored: every candidate that was let through, with the pictures of both wordings."""
    originals = {p.id: p for p in prompts}
    before = {
        (o.target, o.prompt_id): o.images
        for o in outcomes
        if o.sample == 0 and (o.state in ("generated", "softened") or len(o.layers) > 1)
    }
    return [
        FaithfulnessCase(
            candidate,
            originals[candidate.prompt_id],
            outcome.target,
            outcome.images,
            before.get((outcome.target, candidate.prompt_id), ()),
        )
        for candidate, outcome in tried
        if outcome.state == "generated"
    ]


def score_all(
    scorers: Sequence[FaithfulnessScorer],
    cases: Sequence[FaithfulnessCase],
    images: ImageStore,
    progress: Progress,
) -> tuple[list[Faithfulness], list[MeasureScale]]:
    """All scores, and what each measure gives pairs that belong together and pairs that do not, in the data
    just scored: without it a cosine of 0.3 says nothing."""
    scores: list[Faithfulness] = []
    scales: list[MeasureScale] = []
    for scorer in scorers:
        model = scorer.name
        with progress.stage(scorer.name[:40], len(cases)) as advance:
            for rows in score_checked(scorer, cases, images.get):
                scores += rows
                model = rows[0].model if rows else model  # text/auto says there what it became
                advance(1)
        for measure, scale in getattr(scorer, "scale", {}).items():
            scales.append(MeasureScale(measure, model, scale.matched, scale.mismatched, scale.prompts))
    return scores, scales


def choose(
    todo: dict[str, list[Prompt]],
    candidates: Sequence[Candidate],
    tried: Sequence[Tried],
    scores: Sequence[Faithfulness],
) -> list[Choice]:
    """Per target and prompt the most faithful candidate that was accepted.

    Chosen by the picture where the first scorer that looks at pictures has a score for any of them, else
    by the wording. Candidates without a score come last; of equal ones the first stands.
    """
    values: dict[tuple[str, str], dict[tuple[str, str], float]] = defaultdict(dict)
    measures = dict.fromkeys((s.measure, s.model) for s in scores)
    order = sorted(measures, key=lambda m: m[0] in ("text_text", "judge"))  # stable: pictures before wordings
    for s in scores:
        if s.value is not None:
            values[s.measure, s.model][s.target, s.candidate_id] = s.value
    by_prompt: dict[tuple[str, str], list[Tried]] = defaultdict(list)
    for candidate, outcome in tried:
        by_prompt[outcome.target, candidate.prompt_id].append((candidate, outcome))
    choices = []
    for target, prompts in todo.items():
        for prompt in prompts:
            rows = by_prompt[target, prompt.id]
            accepted = [c.id for c, o in rows if o.state == "generated"]
            best, by, score = _most_faithful(target, accepted, {m: values[m] for m in order})
            choices.append(Choice(prompt.id, target, len(rows), len(accepted), best, *by, score))
    return choices


def _most_faithful(
    target: str,
    accepted: Sequence[str],
    values: dict[tuple[str, str], dict[tuple[str, str], float]],
) -> tuple[str | None, tuple[str, str], float | None]:
    """The candidate with the highest score by the first measure that scored any, that measure and the score.

    Args:
        values: by measure, in the order in which they count: the scores by target and candidate.
    """
    for measure, scores in values.items():
        if scored := [c for c in accepted if (target, c) in scores]:
            best = max(scored, key=lambda c: scores[target, c])
            return best, measure, scores[target, best]
    return (accepted[0] if accepted else None), ("", ""), None
