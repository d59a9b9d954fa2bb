"""Faithfulness of rewordings: opens the scorers of `overt rewrite`, scores candidates, chooses the best."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from overt.data.errors import InputError
from overt.data.lanes import lane_of
from overt.data.outcomes import Outcome
from overt.data.records import Prompt
from overt.data.results.remedy import MeasureScale
from overt.data.rewrites import Candidate, Choice, Faithfulness, FaithfulnessCase, FaithfulnessScorer
from overt.data.run.images import ImageStore
from overt.data.templates import Template, load_template
from overt.scoring.faithfulness.checked import score_checked
from overt.scoring.faithfulness.judge import FidelityJudge
from overt.scoring.faithfulness.vqa import VQAScorer
from overt.tasks.lanes import Job, results
from overt.tasks.roles import ModelOptions, chat_model, seeing_model
from overt.tasks.task import Work
from overt.tasks.verdicts import shelf_of
from overt.workers.load import load_scorer

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
    """Opens the scorers: local models, or chat models called through the caller (vqa/... and judge/...).

    Args:
        modality: of the policy, "image" or "text".
        templates: folder with the user's own templates.

    Raises:
        InputError: a scorer is not available, or two names mean the same scorer.
    """

    def template(which: str) -> Template:
        return load_template("scoring", which, templates)

    scorers: list[FaithfulnessScorer] = []
    for name in names:
        kind, _, model = name.partition("/")
        if kind not in ("vqa", "judge"):
            scorers.append(load_scorer(name, models.workers, device=models.device, batch_size=batch_size))
            continue
        if kind == "vqa":
            chat = seeing_model(model, "judge", models, of=f"model that looks at pictures in {name}")
        else:
            chat = chat_model(model, "judge", models)
        ask = work.caller.bind(chat, name)
        if kind == "vqa":
            asking, answering = template("vqa_questions"), template("vqa_answers")
            scorer: FaithfulnessScorer = VQAScorer(
                name, ask, asking, answering, seed=seed, lane=lane_of(chat)
            )
        else:
            scorer = FidelityJudge(
                name, ask, template("fidelity"), seed=seed, modality=modality, lane=lane_of(chat)
            )
        scorers.append(scorer)
    names_by_model: dict[str, str] = {}
    for scorer in scorers:  # text/auto may have chosen a named scorer
        same = names_by_model.setdefault(getattr(scorer, "model", scorer.name), scorer.name)
        if same != scorer.name:
            raise InputError(f"{same} and {scorer.name} are one and the same here", fix="Leave one out.")
    return scorers


def cases_of(
    prompts: Sequence[Prompt],
    tried: Sequence[Tried],
    outcomes: Sequence[Outcome],
) -> list[FaithfulnessCase]:
    """Returns every accepted candidate, with the pictures of both wordings."""
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
    names: Sequence[str],
    cases: Sequence[FaithfulnessCase],
    images: ImageStore,
    work: Work,
) -> tuple[list[Faithfulness], list[MeasureScale]]:
    """Returns all scores, scorer by scorer, and each measure's values for matched and mismatched pairs of
    this data, without which a cosine of 0.3 cannot be read. Scorers that ask services work side by side.

    Args:
        names: the scorers' names as the user wrote them.
    """

    def job(scorer: FaithfulnessScorer, name: str) -> Job[FaithfulnessScorer, list[Faithfulness]]:
        kept = shelf_of(work.caller, name, scorer)

        def scored(scorer: FaithfulnessScorer) -> list[Faithfulness]:
            found: list[Faithfulness] = []
            with work.progress.stage(scorer.name[:40], len(cases)) as advance:
                for rows in score_checked(scorer, cases, images.get, kept):
                    found += rows
                    advance(1)
            return found

        return Job("", lambda: scorer, _lane, scored, lambda scorer: None, is_late=bool(_lane(scorer)))

    done = results([job(*row) for row in zip(scorers, names, strict=True)])
    scores: list[Faithfulness] = []
    scales: list[MeasureScale] = []
    for scorer, rows in zip(scorers, done, strict=True):
        scores += rows
        model = rows[-1].model if rows else scorer.name  # the model that text/auto chose
        for measure, scale in getattr(scorer, "scale", {}).items():
            scales.append(MeasureScale(measure, model, scale.matched, scale.mismatched, scale.prompts))
    return scores, scales


def _lane(scorer: FaithfulnessScorer) -> str:
    """The device that a scorer shares with others: its own, or that of the model that it asks."""
    own = getattr(scorer, "lane", None)
    if isinstance(own, str):
        return own
    return lane_of(scorer) or ("this machine" if scorer.name.startswith("text/") else "")


def choose(
    todo: dict[str, list[Prompt]],
    candidates: Sequence[Candidate],
    tried: Sequence[Tried],
    scores: Sequence[Faithfulness],
) -> list[Choice]:
    """Chooses the most faithful accepted candidate for each target and prompt.

    The first measure that scored any accepted candidate decides; measures of pictures come before measures of
    wordings. Candidates without a score come last; ties go to the first.
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
    """Returns the candidate with the highest score, the deciding measure, and the score.

    Args:
        values: scores by target and candidate for each measure, in order of precedence.
    """
    for measure, scores in values.items():
        if scored := [c for c in accepted if (target, c) in scores]:
            best = max(scored, key=lambda c: scores[target, c])
            return best, measure, scores[target, best]
    return (accepted[0] if accepted else None), ("", ""), None
