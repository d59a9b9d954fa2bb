"""The options of a guard, held against what its preset documents."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from overt.data.errors import InputError
from overt.data.local.language import LanguageModel
from overt.data.plugins.names import fraction, one_line, words
from overt.scoring.filters.guard_presets import PLAIN, Preset, choose, is_marked

_THOUGHTS = 2048  # tokens, for a guard that is asked to think


@dataclass(frozen=True, slots=True)
class Given:
    """The options as the user gave them; `Guard` describes them."""

    preset: str | None
    unsafe_words: str | None
    safe_words: str | None
    threshold: str | float | None
    guideline: str | None
    policy: str | None
    risk: str | None
    prompt: str | None
    controversial: str | None
    think: bool
    new_tokens: int | None

    def to_name(self) -> dict[str, object]:
        """The options that stand in the guard's name."""
        return {name: getattr(self, name) or None for name in self.__slots__} | {"threshold": self.threshold}


@dataclass(frozen=True, slots=True)
class Setup:
    """How a guard is asked and read.

    threshold: None: the guard's own. blocks_unsure: whether what it calls neither safe nor unsafe is blocked.
    question: what it is asked, with {prompt} in it; None: its chat template says that. is_raw: whether this
    is the whole input, without a chat template. system, after: further messages around it. settings: values
    for the chat template. notes: said at the start.
    """

    preset: Preset
    threshold: float | None
    blocks_unsure: bool
    question: str | None
    is_raw: bool
    system: str
    after: str
    settings: Mapping[str, object]
    new_tokens: int
    notes: tuple[str, ...]


def set_up(head: str, model: str, language: LanguageModel, given: Given) -> Setup:
    """Finds the preset of a guard and reads the options by it.

    Args:
        head: the filter as the user wrote it, for messages.
        model: its Hub id or folder.

    Raises:
        InputError: the guard cannot be told, or an option is wrong or has no effect on it.
    """
    named = named_words(head, given)
    template = language.template or ""
    marked = "\n".join([template, *language.controls])
    known, note = choose(head, model, marked, asked=given.preset, has_words=named is not None)
    _check_effects(head, known, given)
    if given.controversial not in (None, "block", "pass"):
        raise InputError(f"{head}: controversial= is block or pass, not {given.controversial!r}")
    guideline = _guideline(head, known, given)
    settings: dict[str, object] = {**known.settings}
    if guideline is not None:
        settings["guideline"] = guideline
    if given.risk is not None:  # older templates read the first key, newer ones the second
        settings["guardian_config"] = {"risk_name": given.risk, "criteria_id": given.risk}
    if given.think:
        settings["think"] = True
    question = _question(head, known, given.prompt, marked)
    is_alone = not language.has_template and not known.system and not known.after
    return Setup(
        preset=_with_words(known, named),
        threshold=None if given.threshold is None else fraction(given.threshold, head),
        blocks_unsure=given.controversial != "pass",
        question=question,
        is_raw=question is not None and (known.is_raw or is_alone),
        system=known.system.replace("{guideline}", guideline or ""),
        after=_second(head, known, guideline or "", given.risk),
        settings=settings,
        new_tokens=given.new_tokens or (_THOUGHTS if given.think else known.new_tokens),
        notes=tuple(filter(None, [note, known.note, _bare_note(known, question, marked)])),
    )


def named_words(head: str, given: Given) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """The words for unsafe and for safe that the user gave; None if there are none.

    Raises:
        InputError: they are the same, or one side is empty.
    """
    if given.unsafe_words is None and given.safe_words is None:
        return None
    unsafe = words("unsafe" if given.unsafe_words is None else given.unsafe_words)
    safe = words("safe" if given.safe_words is None else given.safe_words)
    if not unsafe or not safe or _folded(unsafe) & _folded(safe):
        raise InputError(
            f"{head}: unsafe_words and safe_words have to hold different words, at least one each",
            fix="For instance: unsafe_words=yes&safe_words=no",
        )
    return unsafe, safe


def _folded(listed: tuple[str, ...]) -> set[str]:
    return {word.casefold() for word in listed}


def _with_words(preset: Preset, named: tuple[tuple[str, ...], tuple[str, ...]] | None) -> Preset:
    """The preset with the user's words, where they are others than its own."""
    if named is None or [*map(_folded, named)] == [_folded(preset.unsafe), _folded(preset.safe)]:
        return preset
    unsafe, safe = named
    score = preset.score and "spelled"
    return dataclasses.replace(preset, unsafe=unsafe, safe=safe, unsure="", score=score)


def _check_effects(head: str, preset: Preset, given: Given) -> None:
    takes = preset.takes | ({"policy"} if "guideline" in preset.takes else set())
    for option in ("guideline", "policy", "risk", "think", "controversial"):
        if getattr(given, option) and option not in takes:
            raise InputError(
                f"{head}: {option}= has no effect on the preset {preset.name}",
                fix="Leave it out, or say which guard it is: preset=NAME.",
            )


def _guideline(head: str, preset: Preset, given: Given) -> str | None:
    """What the user says is unsafe."""
    if given.guideline is not None and given.policy is not None:
        raise InputError(f"{head}: guideline= and policy= are two ways to say the same", fix="Give one.")
    text = given.guideline if given.policy is None else _read(head, given.policy)
    if preset is PLAIN or "guideline" not in preset.takes:
        return text
    if not (text or "").strip():
        raise InputError(
            f"{head}: a {preset.name} has to be told what is unsafe, in the words of its makers",
            fix=f"Add guideline=TEXT, or policy=FILE with the text. The card: {preset.source}",
        )
    return text


def _second(head: str, preset: Preset, guideline: str, risk: str | None) -> str:
    """The message behind the text that is judged, with the risk where it says {criteria}."""
    takes_risk = "{criteria}" in guideline
    if preset.after and takes_risk != (risk is not None):
        raise InputError(
            f"{head}: risk= " + ("is missing" if takes_risk else "has no effect"),
            fix="The text of policy= says {criteria} where the risk goes.",
        )
    return preset.after.replace("{guideline}", guideline).replace("{criteria}", risk or "")


def _question(head: str, preset: Preset, file: str | None, marked: str) -> str | None:
    if file is not None:
        text = _read(head, file)
        if "{prompt}" not in text:
            raise InputError(
                f"{head}: the prompt does not say where the text goes",
                where=file,
                fix="Write {prompt} there.",
            )
        return text
    if is_marked(preset, marked):
        return None
    if preset.needs_prompt:
        raise InputError(
            f"{head}: a {preset.name} is asked in a format that stands neither in its chat template nor in "
            "overt",
            fix="Write what its card says into a file, with {prompt} where the text goes, and add "
            f"prompt=FILE. The card: {preset.source}",
        )
    return preset.prompt


def _read(head: str, file: str) -> str:
    try:
        return Path(file).expanduser().read_text("utf-8")
    except (OSError, ValueError) as error:
        raise InputError(f"{head}: {file} cannot be read: {one_line(error)}") from error


def _bare_note(preset: Preset, question: str | None, marked: str) -> str:
    """That the chat template is not the known guard's, though the name is."""
    if question is not None or is_marked(preset, marked) or not preset.marks:
        return ""
    return (
        f"Its chat template does not hold what a {preset.name} is asked ({preset.marks[0]!r}), so it is "
        "asked something else than its makers say; prompt=FILE gives it the question of its card."
    )
