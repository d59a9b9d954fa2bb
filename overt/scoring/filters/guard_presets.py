"""Guard models that are known by name: how each is asked, how its reply is read, what its score is.

Each row says where its facts stand. What a guard is asked is its makers' text: it comes from the chat
template, or the user gives it as a file; overt repeats none. A guard without a row is asked in its own chat
template and read by the words that the user names; its format is never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from overt.data.errors import InputError
from overt.data.local.folders import saved_from
from overt.scoring.filters.guard_replies import (
    Reading,
    Words,
    read_codes,
    read_field,
    read_first_line,
    read_first_word,
    read_number,
    read_rated_field,
    read_tag,
)

# How the score is computed; guard_scores.py has the formulas.
#   "first": the probability of the unsafe word's token at the first token that is not blank.
#   "pair": a softmax over the logits of exactly the two words' tokens behind the prompt.
#   "top 20": the probabilities of all spellings of the two words among the 20 likeliest tokens.
#   "spelled": as "pair", in the spelling that the guard wrote.
ScoreRule = Literal["first", "pair", "top 20", "spelled"]
Reader = Callable[[str, Words], Reading]


@dataclass(frozen=True, slots=True)
class Preset:
    """One family of guards.

    name: for `preset=`. source: where the facts stand. models: patterns of a repo's name without its owner.
    marks: texts that its chat template, or its control tokens, hold all of.
    unsafe, safe: its words. unsure: its word for a case between the two.
    reads: how the reply is read. key: the name of the field that holds the word. detail: the name of the
    field with the categories.
    score: the rule of its score; None: it documents words only.
    new_tokens: what its reply may take. thinks: whether it reasons before its verdict.
    prompt: what it is asked, with {prompt} in it, where its chat template does not say that itself. "": the
    user has to give it as a file. system: the system message. after: a second message.
    is_raw: whether the prompt is the whole input, without a chat template.
    settings: values for its chat template. takes: options that it understands. note: said at the start.
    """

    name: str
    source: str
    models: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    unsafe: tuple[str, ...] = ("unsafe",)
    safe: tuple[str, ...] = ("safe",)
    unsure: str = ""
    reads: Reader = read_first_line
    key: str = ""
    detail: str = ""
    score: ScoreRule | None = None
    new_tokens: int = 24
    thinks: bool = False
    prompt: str | None = None
    system: str = ""
    after: str = ""
    is_raw: bool = False
    settings: Mapping[str, object] = field(default_factory=dict)
    takes: frozenset[str] = frozenset()
    note: str = ""

    @property
    def needs_prompt(self) -> bool:
        return self.prompt == ""


# What a guard without a row gets. Its words are the user's.
PLAIN = Preset(
    "words",
    source="the options unsafe_words and safe_words",
    score="spelled",
    takes=frozenset({"guideline", "risk"}),
)

_PURPLE = "https://github.com/meta-llama/PurpleLlama/blob/main/"
_GRANITE = "https://github.com/ibm-granite/granite-guardian/tree/main/cookbooks/granite-guardian-"
_CATEGORIES_MARK = "UNSAFE CONTENT CATEGORIES"
_FIRST_LINE_MARK = "First line must read 'safe' or 'unsafe'"
_YES, _NO = ("Yes",), ("No",)
_HARMFUL, _UNHARMFUL = ("harmful",), ("unharmful",)

PRESETS: tuple[Preset, ...] = (
    # 1 to 3 document the probability of the first token, 2 the threshold of 0.5. The cards of 3-1B, 3-11B
    # and 4 say nothing of scores; they are read as their elder sisters. 3 writes blank lines first.
    Preset(
        "llama-guard",
        f"{_PURPLE}Llama-Guard/MODEL_CARD.md, Llama-Guard2/MODEL_CARD.md, Llama-Guard3/8B/MODEL_CARD.md",
        (r"(meta-)?llama-?guard(-?[1-4])?(-\d+b)?(-vision|-int[48])?",),
        (_CATEGORIES_MARK, _FIRST_LINE_MARK),
        score="first",
    ),
    Preset(
        "aegis",
        "https://huggingface.co/nvidia/Aegis-AI-Content-Safety-LlamaGuard-Defensive-1.0",
        (r"aegis-ai-content-safety-llamaguard-(defensive|permissive)-[\d.]+",),
        score="first",
        prompt="",
        is_raw=True,
    ),
    Preset(
        "md-judge",
        "https://huggingface.co/OpenSafetyLab/MD-Judge-v0.1",
        (r"md-judge-v0[._]1",),
        (_CATEGORIES_MARK, '"Agent" response to the corresponding "User" instruction'),
        prompt="",
        is_raw=True,
        new_tokens=32,
        note="MD-Judge was made to judge answers; its card documents no score for a question alone.",
    ),
    Preset(
        "md-judge-v0.2",
        "https://huggingface.co/OpenSafetyLab/MD-Judge-v0_2-internlm2_7b",
        (r"md-judge-v0[._]2(-internlm2_7b)?",),
        reads=read_rated_field,
        key="[RESULT]",
        detail="[UNSAFE CATEGORY]",
        prompt="",
        new_tokens=512,
        note="MD-Judge was made to judge answers; its card documents no score for a question alone.",
    ),
    Preset(
        "shieldgemma",
        "https://ai.google.dev/gemma/docs/shieldgemma/model_card",
        (r"shieldgemma-(2b|9b|27b)",),
        ("policy expert trying to help determine whether",),
        _YES,
        _NO,
        reads=read_first_word,
        score="pair",
        new_tokens=4,
        takes=frozenset({"guideline"}),
    ),
    Preset(
        "wildguard",
        "https://github.com/allenai/wildguard/blob/main/wildguard/utils.py",
        (r"wildguard(-7b)?",),
        (),
        ("yes",),
        ("no",),
        reads=read_field,
        key="Harmful request",
        new_tokens=32,
        prompt="",
        is_raw=True,
    ),
    Preset(
        "polyguard",
        "https://huggingface.co/ToxicityPrompts/PolyGuard-Qwen-Smol",
        (r"polyguard-(ministral|qwen|qwen-smol)",),
        (),
        ("yes",),
        ("no",),
        reads=read_field,
        key="Harmful request",
        new_tokens=100,
        system="{guideline}",
        takes=frozenset({"guideline"}),
        prompt="Human user:\n{prompt}\n\nAI assistant:\n{response}",
    ),
    # get_probabilities of the cookbooks; the label is what it writes.
    Preset(
        "granite-guardian",
        f"{_GRANITE}3.0/quick_start_vllm.ipynb and 3.1",
        (r"granite-guardian-3\.[01]-\db",),
        ("guardian_config", "risk_name"),
        _YES,
        _NO,
        reads=read_first_word,
        score="top 20",
        takes=frozenset({"risk"}),
    ),
    Preset(
        "granite-guardian-3.2",
        f"{_GRANITE}3.2/quick_start_vllm.ipynb",
        (r"granite-guardian-3\.2-.*",),
        ("guardian_config", "risk_name"),
        _YES,
        _NO,
        reads=read_first_word,
        detail="confidence",
        takes=frozenset({"risk"}),
    ),
    Preset(
        "granite-guardian-3.3",
        f"{_GRANITE}3.3/quickstart.ipynb",
        (r"granite-guardian-3\.3-.*",),
        ("guardian_config", "criteria_id"),
        ("yes",),
        ("no",),
        reads=read_tag,
        key="score",
        new_tokens=48,
        takes=frozenset({"risk", "think"}),
    ),
    Preset(
        "granite-guardian-4.1",
        f"{_GRANITE}4.1/quickstart.ipynb",
        (r"granite-guardian-4\.1-.*",),
        (),
        ("yes",),
        ("no",),
        reads=read_tag,
        key="score",
        new_tokens=48,
        after="{guideline}",
        takes=frozenset({"guideline", "risk"}),
    ),
    Preset(
        "qwen3guard",
        "https://github.com/QwenLM/Qwen3Guard/blob/main/README.md and eval/eval_gen.py",
        (r"qwen3guard-gen-[\d.]+b", r"qwen3guard-[\d.]+b-gen"),
        ("Controversial", "Safety"),
        unsure="controversial",
        reads=read_field,
        key="Safety",
        detail="Categories",
        new_tokens=128,
        takes=frozenset({"controversial"}),
    ),
    Preset(
        "nemotron-safety-guard",
        "https://docs.nvidia.com/nim/llama-3-1-nemotron-safety-guard-multilingual-8b-v1/latest/prompt-template.html",
        (r"llama-3\.1-nemotron-safety-guard-.*", r"llama-3\.1-nemoguard-8b-content-safety"),
        ("User Safety", _CATEGORIES_MARK),
        reads=read_field,
        key="User Safety",
        detail="Safety Categories",
        new_tokens=100,
        prompt="",
    ),
    Preset(
        "nemotron-3-content-safety",
        "https://huggingface.co/nvidia/Nemotron-3-Content-Safety",
        (r"nemotron-3-content-safety",),
        ("request_categories",),
        reads=read_field,
        key="User Safety",
        detail="Safety Categories",
        new_tokens=100,
        settings={"request_categories": "/categories"},
    ),
    Preset(
        "nemotron-content-safety-reasoning",
        "https://huggingface.co/nvidia/Nemotron-Content-Safety-Reasoning-4B",
        (r"nemotron-content-safety-reasoning-4b",),
        ("Prompt harm",),
        _HARMFUL,
        _UNHARMFUL,
        reads=read_field,
        key="Prompt harm",
        new_tokens=400,
        thinks=True,
        prompt="",
    ),
    Preset(
        "guardreasoner",
        "https://github.com/yueliu1999/GuardReasoner (template.py, deploy.py, evaluate.py)",
        (r"guardreasoner-\db",),
        (),
        _HARMFUL,
        _UNHARMFUL,
        reads=read_field,
        key="Request",
        new_tokens=2048,
        thinks=True,
        prompt="",
        is_raw=True,
    ),
    Preset(
        "gpt-oss-safeguard",
        "https://cookbook.openai.com/articles/gpt-oss-safeguard-guide (its binary output)",
        (r"gpt-oss-safeguard-\d+b",),
        (),
        ("1",),
        ("0",),
        reads=read_number,
        key="violation",
        detail="policy_category",
        new_tokens=2048,
        thinks=True,
        system="{guideline}",
        takes=frozenset({"guideline"}),
    ),
    Preset(
        "kanana-safeguard",
        "https://huggingface.co/kakaocorp/kanana-safeguard-8b",
        (r"kanana-safeguard-(siren-|prompt-)?[\d.]+b",),
        ("<SAFE>", "<UNSAFE-"),
        ("<UNSAFE-",),
        ("<SAFE>",),
        reads=read_codes,
        new_tokens=4,
    ),
)


def choose(head: str, model: str, template: str, *, asked: str | None, has_words: bool) -> tuple[Preset, str]:
    """Returns the preset of a model and a note for the start.

    Args:
        head: the filter as the user wrote it, for messages.
        model: a Hub id or a folder.
        template: the model's chat template and control tokens.
        asked: the preset that the user named.
        has_words: whether the user named words; then an unknown model needs no note.

    Raises:
        InputError: there is no such preset, or the name and the template say different ones.
    """
    if asked is not None:
        return _called(head, asked), ""
    named = [preset for preset in PRESETS if _is_named(preset, model)]
    marked = _most_marks(preset for preset in PRESETS if is_marked(preset, template))
    found = _common(named, marked)
    if len(found) == 1:
        return found[0], ""
    if has_words:
        return PLAIN, ""
    if not named and not marked:
        return PLAIN, _UNKNOWN
    could = sorted({preset.name for preset in (*named, *marked)})
    raise InputError(
        f"{head}: its name and its chat template do not say which guard it is: {', '.join(could)}",
        fix=f"Say it: preset=NAME. There are: {_listed()}.",
    )


_UNKNOWN = (
    "No known guard has this name, and its chat template is not a known guard's. It is read by the words "
    "safe and unsafe; preset=NAME, or unsafe_words= and safe_words=, say how it is read."
)


def _common(named: list[Preset], marked: list[Preset]) -> list[Preset]:
    """What name and template both say; if only one of them says anything, what it says."""
    if not named or not marked:
        return named or marked
    return [preset for preset in named if preset in marked]


def _called(head: str, name: str) -> Preset:
    for preset in (*PRESETS, PLAIN):
        if preset.name == name.casefold():
            return preset
    raise InputError(f"{head} has no preset {name!r}", fix=f"There are: {_listed()}.")


def _listed() -> str:
    return ", ".join(preset.name for preset in (*PRESETS, PLAIN))


def is_marked(preset: Preset, template: str) -> bool:
    """Whether a chat template, or the control tokens, hold the marks of a preset."""
    return bool(preset.marks) and all(mark in template for mark in preset.marks)


def _is_named(preset: Preset, model: str) -> bool:
    names = [_QUANTIZED.sub("", name.casefold()) for name in _names(model)]
    return any(re.fullmatch(pattern, name) for pattern in preset.models for name in names)


# What copies of a repo in another format add to its name.
_QUANTIZED = re.compile(
    r"(?:[-_.](?:gguf|awq|gptq|fp8|bnb|[48]bit|int[48]|mlx|hf|quantized|dynamic|w\d+a\d+))+$"
)


def _names(model: str) -> list[str]:
    """The names under which a model may be known: its own, and the repo that its folder was saved from."""
    saved = saved_from(Path(model).expanduser())
    return [Path(model).name, *([Path(saved).name] if saved else [])]


def _most_marks(presets: Iterable[Preset]) -> list[Preset]:
    """The presets whose marks are not all marks of another one."""
    found = list(presets)
    return [p for p in found if not any(set(p.marks) < set(other.marks) for other in found)]
