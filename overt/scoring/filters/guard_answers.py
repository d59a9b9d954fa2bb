"""Guards that judge an answer to a prompt: what they are asked then, and which word of the reply counts."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

from overt.data.errors import InputError
from overt.scoring.filters.guard_presets import Preset

# The presets whose sources (guard_presets.py) document that an answer to a prompt is judged, with the field
# that holds the word on the answer; "": one word is said, of the last turn that the guard reads. ShieldGemma
# needs a guideline that is worded for answers, as its card has them.
ANSWERS: Mapping[str, str] = {
    **dict.fromkeys(("llama-guard", "aegis", "md-judge", "md-judge-v0.2", "shieldgemma", "qwen3guard"), ""),
    **dict.fromkeys(("granite-guardian", "granite-guardian-3.2", "granite-guardian-3.3", "words"), ""),
    **dict.fromkeys(("wildguard", "polyguard"), "Harmful response"),
    "nemotron-safety-guard": "Response Safety",
    "nemotron-content-safety-reasoning": "Response harm",
    "guardreasoner": "Response",
}
_SLOTS = re.compile(r"\{(prompt|response)\}")


def filled(question: str, prompt: str, answer: str | None) -> str:
    """A guard's question with the prompt in it, and the answer, "" where there is none. What they say is not
    looked through again."""
    values = {"prompt": prompt, "response": answer or ""}
    return _SLOTS.sub(lambda slot: values.pop(slot[1], slot[0]), question)


def of_answers(preset: Preset) -> Preset:
    """How the reply on an answer is read."""
    return dataclasses.replace(preset, key=ANSWERS[preset.name] or preset.key)


def check_answers(head: str, preset: Preset, question: str | None) -> None:
    """Checks that a guard judges answers.

    Args:
        head: the guard as the user wrote it.
        question: what it is asked; None: its chat template says that.

    Raises:
        InputError: its makers document no such use, or the question has no place for an answer.
    """
    if preset.name not in ANSWERS:
        raise InputError(
            f"{head}: the makers of a {preset.name} do not say how it judges an answer",
            fix="Name a guard that judges answers, such as filter/guard/meta-llama/Llama-Guard-3-8B. The "
            f"page that was read: {preset.source}",
        )
    if question is not None and "{response}" not in question:
        raise InputError(
            f"{head}: what it is asked has no place for an answer",
            fix="Write {response} into the file of prompt=, where its card puts the answer.",
        )
