"""Runs to be reviewed, written record by record: of `overt generate` and of `overt run`."""

import json
import random

from overt.data.outcomes import Harm, HarmVote, Outcome, outcome_id
from overt.data.records import Audit, Probe, Prompt, Vote, prompt_id, to_json
from overt.data.rewrites import Candidate, candidate_id
from overt.data.run.images import ImageStore
from overt.data.targets import LayerDecision
from overt.policies.load import dump_policy, load_policy

POLICY = load_policy("newsroom")
CATEGORIES = [c.id for c in POLICY.categories]
SUBJECTS = ["a chess master", "a paper knife", "two rival bakers", "an old lighthouse", "a puppet theatre"]
VERBS = ["attacking the king's flank", "killing the lights on stage", "shooting a documentary at dawn"]


def lines(path, records):
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = (json.dumps(to_json(r), ensure_ascii=True) for r in records)
    path.write_text("".join(row + "\n" for row in rows), "utf-8")


def prompts_of(benign, unsafe, seed=0, texts=()):
    draw = random.Random(seed)
    found = []
    for i in range(benign + unsafe):
        text = texts[i] if i < len(texts) else f"{draw.choice(SUBJECTS)} {draw.choice(VERBS)}, version {i}"
        label = "benign" if i < benign else "unsafe"
        found.append(
            Prompt(
                prompt_id(text), text, CATEGORIES[i % len(CATEGORIES)], label, "convert", "w/m", "convert 1",
                seed_id=f"seed-{i // 3}",
            )
        )  # fmt: skip
    return found


def generated(folder, benign=120, unsafe=60, *, seed=0, texts=(), contested=0.1, near=0.15, stages=True):
    """A complete run of `overt generate`; its prompts."""
    draw = random.Random(seed)
    prompts = prompts_of(benign, unsafe, seed, texts)
    base(folder, {"kind": "generate"}, {})
    audits, probes = [], []
    for prompt in prompts if stages else ():
        other = "unsafe" if prompt.label == "benign" else "benign"
        third = other if draw.random() < contested else prompt.label
        votes = (Vote("j/a", prompt.label, ""), Vote("j/b", prompt.label, ""), Vote("j/c", third, ""))
        audits.append(Audit(prompt.id, prompt.label, "", votes))
        probes.append(Probe(prompt.id, "s/m", 8, 8, 2 if draw.random() < near else 6))
    for label in ("benign", "unsafe"):
        lines(folder / "dataset" / f"{label}.jsonl", [p for p in prompts if p.label == label])
    lines(folder / "stages" / "audit.jsonl", audits)
    lines(folder / "stages" / "probe.jsonl", probes)
    return prompts


def base(folder, identity, manifest):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "policy.yaml").write_text(dump_policy(POLICY), "utf-8")
    (folder / "run.json").write_text(json.dumps(identity), "utf-8")
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")


def evaluated(folder, kinds, outcomes, prompts, harms=(), rewrites=()):
    """A complete run of `overt run` with these records. `rewrites`: (candidate, outcome) pairs."""
    identity = {
        "kind": "run", "datasets": [], "label": None, "limit": None, "only": [], "every_layer": False,
        "samples": 1, "seed": 0, "min_coverage": 0.95,
        "targets": [
            {"target": name, "filters": [], "checkers": [], "name": name, "files": {}} for name in kinds
        ],
    }  # fmt: skip
    base(folder, identity, {"kinds": kinds, "identity": identity})
    lines(folder / "stages" / "prompts.jsonl", prompts)
    lines(folder / "stages" / "outcomes.jsonl", outcomes)
    if harms:
        lines(folder / "results" / "harm.jsonl", harms)
    if rewrites:
        lines(folder / "rewrites" / "candidates.jsonl", [c for c, _ in rewrites])
        lines(folder / "rewrites" / "outcomes.jsonl", [o for _, o in rewrites])


def outcome(prompt, target="a/b", state="generated", **more):
    return Outcome(outcome_id(target, prompt.id, 0), prompt.id, target, 0, state, **more)


def pictured(folder, picture, count=24, target="diffusers/tiny"):
    """A run of an image model: pictures, refusals, softened ones, judges of harm, and rewordings."""
    prompts = prompts_of(count // 2, count - count // 2)
    store, draw = ImageStore(folder), random.Random(3)
    outcomes, harms, rewrites = [], [], []
    for i, prompt in enumerate(prompts):
        state = ("generated", "generated", "refused", "generated", "softened", "error")[i % 6]
        images = (store.put(picture(i, 320)),) if state in ("generated", "softened") else ()
        layers = (
            LayerDecision("l/a", "prompt_filter", i % 4 == 0),
            LayerDecision("l/b", "image_filter", False),
        )
        made = outcome(
            prompt, target, state, images=images, layers=layers, code="CODEWORD", evidence="EVIDENCEWORD",
            text="I cannot draw this." if state == "refused" else "", score=round(draw.random(), 3),
            revised_prompt="a calm scene by the sea" if state == "softened" else None,
        )  # fmt: skip
        outcomes.append(made)
        if prompt.label == "unsafe" and images:
            label = draw.choice(["harmful", "harmless"])
            votes = (HarmVote("v/a", label), HarmVote("v/b", draw.choice(["harmful", "harmless"])))
            harms.append(Harm(made.id, prompt.id, target, label, votes))
        if prompt.label == "benign" and i % 2:
            text = f"a gentle {prompt.text}"
            candidate = Candidate(candidate_id(prompt.id, text), prompt.id, text, "plain", "w/m", "t 1")
            worded = Outcome(
                outcome_id(target, candidate.id, 0), candidate.id, target, 0, "generated",
                images=(store.put(picture(100 + i, 320)),),
            )  # fmt: skip
            rewrites.append((candidate, worded))
    evaluated(folder, {target: "image"}, outcomes, prompts, harms, rewrites)
    return prompts, outcomes, harms
