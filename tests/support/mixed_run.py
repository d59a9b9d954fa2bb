"""A made-up evaluation in which everything occurs: three kinds of targets, seeds, pairs, versions by who is
depicted, several samples, layers with and without a decision, scores, judges that fail, disagree and abstain,
pictures that are not as asked, errors, and prompts that are neither benign nor unsafe."""

import random

from overt.data.outcomes import Harm, HarmVote, Outcome, outcome_id
from overt.data.records import Prompt, prompt_id
from overt.data.results.likeness import AsAsked
from overt.data.targets import LayerDecision
from overt.scoring import stats

KINDS = {"filter/k": "none", "img/x": "image", "chat/y": "text"}
CATEGORIES = ("a", "b", "c")
GROUPS = ("religion: Muslim", "religion: Jewish", "skin: with dark skin", "age: old")


def make_run(seed, count=100, samples=1):
    """Prompts, outcomes, harms, and whether pictures are as asked."""
    draw = random.Random(seed)
    prompts = [_prompt(i, draw) for i in range(count)]
    prompts += [_version(prompts[i], draw) for i in range(count // 2) if draw.random() < 0.5]
    outcomes = [
        _outcome(target, prompt, sample, draw)
        for target in KINDS
        for prompt in prompts
        for sample in range(samples)
    ]
    labels = {prompt.id: prompt.label for prompt in prompts}
    harms, as_asked = [], []
    for one in outcomes:
        given = one.state in ("generated", "softened") and KINDS[one.target] != "none"
        if given and labels[one.prompt_id] == "unsafe" and draw.random() < 0.9:
            harms.append(_harm(one, draw))
        if one.images and one.state == "generated" and labels[one.prompt_id] == "benign":
            as_asked.append(_as_asked(one, draw))
    return prompts, outcomes, harms, as_asked


def _prompt(number, draw):
    label = draw.choices(["benign", "unsafe", "unclear"], [6, 4, 0.3])[0]
    kind, text = draw.random(), f"a {label} scene {number}"
    return Prompt(
        prompt_id(text), text, draw.choice(CATEGORIES), label, "convert", "w", "t",
        seed_id=f"seed-{number // 3}" if kind < 0.5 else None,
        pair_id=f"pair-{number // 2}" if 0.5 <= kind < 0.8 else None,
    )  # fmt: skip


def _version(base, draw):
    group = draw.choice(GROUPS)
    text = f"{base.text}, {group}"
    return Prompt(
        prompt_id(text), text, base.category, base.label, "convert", "w", "t", seed_id=base.seed_id,
        pair_id=base.pair_id, variant_of=base.id, group=group,
    )  # fmt: skip


def _outcome(target, prompt, sample, draw):
    kind, luck = KINDS[target], draw.random()
    state = (
        "error" if luck < 0.04
        else "refused" if luck < (0.2 if prompt.label == "benign" else 0.7)
        else "softened" if luck < 0.75 and kind != "none"
        else "generated"
    )  # fmt: skip
    stage, code, layers = None, "", ()
    if state == "refused":
        stage = draw.choice(["prompt_filter", "model", "image_filter"])
        code = draw.choice(["word", "black", "policy"])
    elif state == "error":
        code = draw.choice(["timeout", "server", ""])
    if kind == "image" and state != "error":
        layers = _layers(stage, draw)
    elif kind == "none" and state != "error":
        layers = (LayerDecision("words", "prompt_filter", state == "refused", round(draw.random(), 2)),)
    drawn = kind == "image" and (state == "generated" or draw.random() < 0.3)
    return Outcome(
        outcome_id(target, prompt.id, sample), prompt.id, target, sample, state, stage, code, "because",
        ("images/a.png",) if drawn else (),
        "an answer" if kind == "text" and state != "error" else "",
        score=round(draw.random(), 2) if kind == "none" and draw.random() < 0.97 else None,
        layers=layers,
    )  # fmt: skip


def _layers(stage, draw):
    seen = None if draw.random() < 0.05 else stage == "image_filter"
    reason = draw.choice(["", "not asked: no picture"]) if draw.random() < 0.1 else "seen"
    return (
        LayerDecision("words", "prompt_filter", stage == "prompt_filter" or draw.random() < 0.02),
        LayerDecision("gen", "model", stage == "model"),
        LayerDecision("eye", "image_filter", seen, None, reason),
    )


def _harm(outcome, draw):
    votes = []
    for name in "abc":
        label = draw.choice(["harmful", "harmless", "unclear"])
        failure = "timeout" if label == "unclear" and draw.random() < 0.4 else None
        votes.append(HarmVote(name, label, "why", failure))
    votes = [] if draw.random() < 0.03 else votes
    cast = [None if vote.label == "unclear" else vote.label for vote in votes]
    label = stats.majority(cast).label if votes else None
    return Harm(outcome.id, outcome.prompt_id, outcome.target, label or "unclear", tuple(votes))


def _as_asked(outcome, draw):
    told = draw.choice([True, True, False, None])
    value = None if told is None else round(draw.random(), 3)
    return AsAsked(
        outcome.id, outcome.prompt_id, outcome.target, "text_image", "clip", value, draw.randint(5, 39), 1,
        told, "no score" if told is None else "",
    )  # fmt: skip
