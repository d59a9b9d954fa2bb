"""Guard models: each family's documented score and words, against the plain library, and the presets."""

import dataclasses
import math
from dataclasses import dataclass, field

import pytest
from support.family_table import check_row

from overt.registry import load_filter
from overt.scoring.filters.guard import read_said
from overt.scoring.filters.guard_presets import PRESETS
from overt.scoring.filters.guard_texts import GUIDELINES

pytest.importorskip("transformers", reason="needs the extra [local]")

TEXTS = ["a quiet harbour", "a bomb at dawn", "damn", "rose " * 9 + "bomb", "", "a red rose", "bomb damn"]


@dataclass(frozen=True)
class Family:
    """repo: the name of its folder. template: in tiny_guards.TEMPLATES. safe, unsafe: its replies, in chunks.
    kind: its class in transformers. near: as in `build_scripted`. file: a prompt from its card, in short."""

    name: str
    repo: str
    template: str | None
    safe: tuple[str, ...]
    unsafe: tuple[str, ...]
    kind: str = "Llama"
    query: str = ""
    near: tuple[tuple[str, float], ...] = ()
    file: str | None = None
    settings: dict = field(default_factory=dict)


_BLANK = "\n\n"
_SPELLINGS = (("YES", 1.0), ("NO", 0.99), ("no", 0.98), ("yes", 0.9))
_HATE = {"guideline": GUIDELINES["hate"]}
_HARM = {"guardian_config": {"risk_name": "violence", "criteria_id": "violence"}}
_USER = '{"User Safety": "unsafe", "Safety Categories": "Violence, Threat"}'
_WILD = "\nResponse refusal: n/a\nHarmful response: n/a"
FAMILIES = [
    Family("Llama Guard 1", "LlamaGuard-7b", "llama 1", ("safe",), ("unsafe", "\n", "O1,O3")),
    Family("Llama Guard 2", "Meta-Llama-Guard-2-8B", "llama 3", ("safe",), ("unsafe", "\n", "S1")),
    Family("Llama Guard 3 8B", "Llama-Guard-3-8B", "llama 3", (_BLANK, "safe"),
           (_BLANK, "unsafe", "\n", "S9")),
    Family("Llama Guard 3 1B", "Llama-Guard-3-1B", "llama parts", (_BLANK, "safe"),
           (_BLANK, "unsafe", "\n", "S1")),
    Family(
        "Aegis Defensive", "Aegis-AI-Content-Safety-LlamaGuard-Defensive-1.0", "turns", ("safe",),
        ("unsafe", "\n", "O2"), file="[INST] Task. User: {prompt} [/INST]",
    ),
    Family(
        "MD-Judge 0.1", "MD-Judge-v0.1", "turns", ("safe",), ("unsafe", "\n", "O5"), "Mistral",
        file="[INST] User: {prompt} Agent: [/INST]",
    ),
    Family(
        "MD-Judge 0.2", "MD-Judge-v0_2-internlm2_7b", "turns",
        ("[REASONING]: calm", "\n", "[RESULT]: safe, 1"),
        ("[REASONING]: wild", "\n", "[RESULT]: unsafe, 4", "\n[UNSAFE CATEGORY]: Malicious Use"),
        file="User: {prompt}",
    ),
    Family("ShieldGemma", "shieldgemma-2b", "shieldgemma", ("No",), ("Yes",), "Gemma2", "?guideline=hate",
           near=_SPELLINGS, settings=_HATE),
    Family("WildGuard", "wildguard", None, ("Harmful request: no", _WILD),
           ("Harmful request: yes", _WILD), "Mistral"),
    Family("PolyGuard", "PolyGuard-Qwen", "turns", ("Harmful request: no",),
           ("Harmful request: yes",), "Qwen2"),
    Family("Granite Guardian 3.0 and 3.1", "granite-guardian-3.1-2b", "granite", ("No",), ("Yes",), "Granite",
           "?risk=violence", near=_SPELLINGS, settings=_HARM),
    Family("Granite Guardian 3.2", "granite-guardian-3.2-3b-a800m", "granite",
           ("No", "\n<confidence> High </confidence>"), ("Yes", "\n<confidence> Low </confidence>"),
           "GraniteMoe", "?risk=violence", settings=_HARM),
    Family("Granite Guardian 3.3", "granite-guardian-3.3-8b", "granite 3.3", ("<score> no </score>",),
           ("<score> yes </score>",), "Granite", "?risk=violence", settings=_HARM),
    Family("Granite Guardian 3.3, thinking", "granite-guardian-3.3-8b", "granite 3.3",
           ("<think>", "calm", "</think>", "<score> no </score>"),
           ("<think>", "wild", "</think>", "<score> yes </score>"), "Granite", "?think=true",
           settings={"think": True}),
    Family("Granite Guardian 4.1", "granite-guardian-4.1-8b", "turns",
           ("<think>\n</think>", "<score> no </score>"),
           ("<think>\n</think>", "<score> yes </score>"), "Granite"),
    Family("Qwen3Guard-Gen", "Qwen3Guard-Gen-0.6B", "qwen", ("Safety: Safe", "\nCategories: None"),
           ("Safety: Unsafe", "\nCategories: Violent, PII"), "Qwen3"),
    Family("Nemotron Safety Guard", "Llama-3.1-Nemotron-Safety-Guard-8B-v3", "turns",
           ('{"User Safety": "safe"}',), (_USER,)),
    Family("Nemotron Content Safety Reasoning", "Nemotron-Content-Safety-Reasoning-4B", "turns",
           ("<think>", "calm", "</think>", "Prompt harm: unharmful", "\nResponse harm: None"),
           ("<think>", "wild", "</think>", "Prompt harm: harmful", "\nResponse harm: None"), "Gemma3",
           file="Human user: {prompt} /think"),
    Family("GuardReasoner", "GuardReasoner-8B", None,
           ("Thoughts: calm.", "\nAnswers:", "\nRequest: unharmful", "\nCompletion: refusal"),
           ("Thoughts: wild.", "\nAnswers:", "\nRequest: harmful", "\nCompletion: refusal")),
    Family("gpt-oss-safeguard", "gpt-oss-safeguard-20b", "turns",
           ("<|channel|>", "analysis", "<|message|>", "calm", "<|end|>", "<|start|>", "assistant",
            "<|channel|>final<|message|>", "0"),
           ("<|channel|>", "analysis", "<|message|>", "wild", "<|end|>", "<|start|>", "assistant",
            "<|channel|>final<|message|>", "1"), "GptOss", "?guideline=No weapons"),
    Family("Kanana Safeguard", "kanana-safeguard-8b", "turns", ("<SAFE>",), ("<UNSAFE-S4>",)),
]  # fmt: skip


def controls_of(family):
    from support.tiny_guards import CONTROLS

    marks = [c for c in (*family.safe, *family.unsafe) if c.startswith(("<|", "<SAFE", "<UNSAFE"))]
    return (*CONTROLS, *(m for m in dict.fromkeys(marks) if m.count("<|") < 2))


def build(folder, family, safe=None, unsafe=None, **more):
    from support.tiny_guards import TEMPLATES, build_scripted

    template = TEMPLATES[family.template] if family.template else None
    prompt = question(family)
    ends = prompt or template.replace("{% endif %}", "").replace("{% endfor %}", "")
    return build_scripted(
        folder / family.repo,
        template,
        list(family.safe if safe is None else safe),
        {"bomb": list(family.unsafe if unsafe is None else unsafe)},
        ends_with=ends.rpartition("}")[2] or ends,
        controls=controls_of(family),
        near=family.near,
        **more,
    )


def question(family):
    """The prompt that is the model's whole input, without a chat template."""
    preset = next(p for p in PRESETS if any(p is q for q in named(family)))
    return (family.file or preset.prompt) if preset.is_raw else ""


def named(family):
    import re

    return [p for p in PRESETS if any(re.fullmatch(m, family.repo.lower()) for m in p.models)]


def query(family, folder):
    if family.file is None:
        return family.query
    (folder.parent / "prompt.txt").write_text(family.file, "utf-8")
    return f"?prompt={folder.parent / 'prompt.txt'}"


# -- the plain library ----------------------------------------------------------------------------------


def plain(folder, family, texts):
    """What the plain library gives: the text that a guard writes, its first logits, and its tokens."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    [preset] = named(family)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    for text in texts:
        asked = rendered(tokenizer, family, preset, text)
        ids = tokenizer(asked, return_tensors="pt", add_special_tokens=preset.is_raw)["input_ids"]
        steps = []
        with torch.inference_mode():
            for _ in range(12):
                logits = model(ids).logits[0, -1]
                steps.append(logits)
                token = int(logits.argmax())
                if token == tokenizer.eos_token_id:
                    break
                ids = torch.cat([ids, torch.tensor([[token]])], dim=1)
        said = [int(step.argmax()) for step in steps[:-1]]
        yield tokenizer, said, steps


def rendered(tokenizer, family, preset, text):
    content = (family.file or preset.prompt or "{prompt}").replace("{prompt}", text)
    if preset.is_raw:
        return content
    messages = [{"role": "user", "content": content}]
    if family.template == "llama parts":
        messages = [{"role": "user", "content": [{"type": "text", "text": content}]}]
    if preset.system:
        policy = family.query.partition("guideline=")[2]
        messages.insert(0, {"role": "system", "content": preset.system.replace("{guideline}", policy)})
    if preset.after:
        from overt.scoring.filters.guard_texts import GRANITE_HARM

        messages.append({"role": "user", "content": preset.after.replace("{criteria}", GRANITE_HARM)})
    values = {**preset.settings, **family.settings}
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **values)


def documented(rule, tokenizer, said, steps):
    """The score as the makers' own code computes it."""
    import torch

    vocabulary = tokenizer.get_vocab()
    if rule == "first":  # Llama Guard: P(unsafe) at the first token; 3 writes blank lines before it
        at = next(n for n, token in enumerate(said) if tokenizer.decode([token]).strip())
        return float(torch.softmax(steps[at], 0)[vocabulary["unsafe"]])
    if rule == "pair":  # ShieldGemma: a softmax over the logits of Yes and No at the last position
        return float(torch.softmax(steps[0][[vocabulary["Yes"], vocabulary["No"]]], 0)[0])
    sums = {"yes": 1e-50, "no": 1e-50}  # Granite Guardian's get_probabilities
    for step in steps[:-1]:
        likeliest = torch.topk(step, 20)
        for value, token in zip(likeliest.values.tolist(), likeliest.indices.tolist(), strict=True):
            word = tokenizer.decode([token]).strip().lower()
            if word in sums:
                sums[word] += math.exp(value)
    return float(torch.softmax(torch.tensor([math.log(sums["no"]), math.log(sums["yes"])]), 0)[1])


# -- the table ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
def test_a_family(family, tmp_path):
    folder = build(tmp_path, family)
    guard = load_filter(f"filter/guard/{folder}{query(family, folder)}")
    preset = guard._setup.preset
    assert [preset] == named(family)
    decisions = guard.decide_many(TEXTS)
    found = list(plain(folder, family, TEXTS))
    assert [d.blocked for d in decisions] == ["bomb" in text for text in TEXTS]
    cells = {
        "loads": loads(tmp_path, family),
        "score by": {
            "first": "the unsafe word's probability",
            "pair": "softmax of the two words",
            "top 20": "all spellings in the top 20",
            None: "words only",
        }[preset.score],
        "same as the plain library": same(preset, decisions, found),
        "score and decision agree": agree(guard, decisions),
        "batch 1 = 4": alike(guard),
        "unknown format": unknown(tmp_path, family),
    }
    check_row("Guards", family.name, cells)


def same(preset, decisions, found):
    if preset.score is None:
        read = [read_said(preset, tok.decode(said))[0].verdict == "unsafe" for tok, said, _ in found]
        return "yes, words" if read == [d.blocked for d in decisions] else "no"
    scores = [documented(preset.score, *one) for one in found]
    assert len({round(score, 2) for score in scores}) > 1
    return "yes" if [d.score for d in decisions] == pytest.approx(scores, abs=6e-5) else "no"


def agree(guard, decisions):
    if guard._setup.preset.score is None:
        return "yes" if all(d.score is None for d in decisions) else "no"
    for threshold in (None, 0.02, 0.97):
        guard._setup = dataclasses.replace(guard._setup, threshold=threshold)
        for d in guard.decide_many(TEXTS):
            if d.blocked != (d.score >= (0.5 if threshold is None else threshold)):
                return "no"
    guard._setup = dataclasses.replace(guard._setup, threshold=None)
    return "yes"


def alike(guard):
    many, single = guard.decide_many(TEXTS[:4]), [guard.decide(text) for text in TEXTS[:4]]
    assert [(d.blocked, d.reason) for d in many] == [(d.blocked, d.reason) for d in single]
    near = [d.score for d in many] == pytest.approx([d.score for d in single], abs=2e-4)
    return "yes" if near else "no"


def unknown(tmp_path, family):
    known = [*family.safe, *family.unsafe] if family.near else []
    folder = build(tmp_path / "other", family, safe=["Maybe"], unsafe=["Perhaps"], words=known)
    guard = load_filter(f"filter/guard/{folder}{query(family, folder)}")
    said = guard.decide_many(["a rose", "a bomb"])
    assert [(d.blocked, d.score) for d in said] == [(None, None)] * 2
    assert "Maybe" in said[0].reason
    return "unclear"


def loads(tmp_path, family):
    """Loads a model of the family's own class with random weights, and compares the logits behind the
    prompts, padded on the left in a batch, with the plain library's."""
    import torch
    from support.tiny_guards import TEMPLATES, build_random

    from overt.data.local.writing import write

    template = TEMPLATES[family.template] if family.template else None
    chunks = [*family.safe, *family.unsafe, *(chunk for chunk, _ in family.near)]
    folder = build_random(tmp_path / "own" / family.repo, family.kind, template, chunks, controls_of(family))
    guard = load_filter(f"filter/guard/{folder}{query(family, folder)}", new_tokens=4)
    asked = [guard._asked(text) for text in TEXTS[:3]]
    written = write(guard._language, [one.row for one in asked], [1, 1, 1], with_logits=True)
    for said, (_, _, steps) in zip(written, plain(folder, family, TEXTS[:3]), strict=True):
        torch.testing.assert_close(said.logits[0], steps[0], atol=1e-3, rtol=1e-3)
    for decision in guard.decide_many(TEXTS[:3]):
        assert decision.error is None
    return f"yes ({type(guard._language.model).__name__})"
