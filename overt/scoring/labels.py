"""What the outputs of a classifier mean: which labels block, and how a score is made of the logits.

Text filters and picture checkers read a model in the same way. As in the pipelines of transformers, labels
that exclude each other get a softmax (their score is the sum over those that block), independent labels and a
single output get a sigmoid (their score is the likeliest of those that block). What the model's config leaves
open is asked, never guessed: `labels=` and `activation=` of the name, or a preset (classifiers.yaml).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from overt.data.errors import InputError
from overt.data.plugins.names import fraction, one_line, words
from overt.scoring.classifiers import Found, Preset, has_no_name, plain

if TYPE_CHECKING:
    import torch

# Unambiguous labels, with "_" for all that is no letter. Others, such as LABEL_1, "sexy" or "drawings", are
# for the user to name.
_BLOCKING = frozenset({
    "toxic", "toxicity", "severe_toxic", "severe_toxicity", "very_toxic", "obscene", "threat", "insult",
    "identity_hate", "identity_attack", "unsafe", "not_safe", "nsfw", "hate", "hateful", "hate_speech",
    "offensive", "harmful", "abusive", "profane", "profanity", "porn", "pornography", "pornographic",
    "explicit", "sexual_explicit", "sexually_explicit", "nude", "nudity", "violence", "violent", "gore",
    "jailbreak", "injection", "malicious",
})  # fmt: skip
_PASSING = frozenset({
    "safe", "sfw", "neutral", "benign", "harmless", "clean", "ok", "normal", "normal_or_safe", "none",
    "neither", "legit", "safe_for_work",
})  # fmt: skip
# Beginnings of words that name a harm, and the same with a "not" before it: harmless.
_HARM = (
    "toxic|obscen|threat|insult|identity_|hat(?:e|red|ing)|harass|bull(?:y|ies)|abus|violen|sex|porn|nsfw|nud"
    "|self_?harm|suicid|weapon|drug|gore|blood|profan|offens|harm|unsafe|explicit|hentai|jailbreak|injection"
    "|malicious|crim|illegal|terror|extrem|discrimin|racis|severe_"
)
_names_harm = re.compile(rf"(?:^|_)(?:{_HARM})")
_denies_harm = re.compile(rf"(?:non|not|no|un)_?(?:{_HARM})")

# Kinds of harm (harm_kinds.yaml) that words of labels speak of; "unsafe" does not say which.
_KINDS = {
    "sexual": {"nsfw", "porn", "pornography", "explicit", "nude", "nudity", "hentai", "sexual"},
    "violence": {"violence", "violent", "gore", "blood", "graphic_violence"},
}
ACTIVATIONS = ("sigmoid", "softmax")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The score of one text or picture, from 0 to 1, and its likeliest blocking label with its share."""

    score: float
    label: str
    share: float


@dataclass(frozen=True, slots=True)
class Labels:
    """The outputs of a classifier, read.

    names: of all outputs, in their order.
    blocking: indices of those that block.
    independent: each has a probability of its own (a sigmoid); else they share one (a softmax).
    inverted: the one output is the probability of what is harmless.
    threshold: the score that blocks.
    covers: kinds of harm that the blocking labels speak of.
    notes: what the user should know, for the start of a run.
    """

    names: tuple[str, ...]
    blocking: tuple[int, ...]
    independent: bool
    inverted: bool = False
    threshold: float = 0.5
    covers: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def wanted(self) -> tuple[str, ...]:
        """The names of the labels that block."""
        return tuple(self.names[place] for place in self.blocking)

    def read(self, logits: torch.Tensor) -> list[Verdict | None]:
        """Reads (n, k) logits, one row for each text or picture; None where a number is not finite."""
        import torch

        logits = logits.detach().float().cpu()
        if logits.ndim != 2 or logits.shape[1] != len(self.names):
            raise ValueError(f"logits of shape {tuple(logits.shape)} for {len(self.names)} labels")
        shares = torch.sigmoid(logits) if self.independent else torch.softmax(logits, dim=-1)
        if self.inverted:
            shares = 1 - shares
        chosen = shares[:, list(self.blocking)]
        whole = chosen.max(dim=1).values if self.independent else chosen.sum(dim=1)
        found: list[Verdict | None] = []
        rows = zip(
            torch.isfinite(logits).all(dim=1).tolist(),
            whole.clamp(0, 1).tolist(),
            chosen.argmax(dim=1).tolist(),
            chosen.tolist(),
            strict=True,
        )
        for is_finite, score, place, row in rows:
            verdict = Verdict(score, self.wanted[place], row[place])
            found.append(verdict if is_finite else None)
        return found


NOT_FINITE = "the model gave no finite numbers (NaN or infinite logits)"


@dataclass(frozen=True, slots=True)
class Asked:
    """What the options of a classifier's name say; None where they say nothing."""

    labels: str | None = None
    activation: str | None = None
    threshold: str | float | None = None


def read_labels(head: str, config: Any, logits: torch.Tensor, asked: Asked, found: Found | None) -> Labels:
    """Finds out what the outputs of a model mean.

    Args:
        head: the model as the user wrote it, for messages.
        config: the model's.
        logits: of any one input.
        found: a preset for this model.

    Raises:
        InputError: the model measures instead of classifying; its labels do not fit its outputs, the preset
            or those asked for; which of them block or which activation is right cannot be told; the model
            gives numbers that are not finite.
    """
    _check_logits(head, logits)
    own = _names(head, config, int(logits.shape[1]))
    preset, known = _fitted(head, own, asked, found)
    names = known if all(map(has_no_name, own)) else own
    independent, note = _activation(head, config, names, asked.activation, preset)
    if asked.labels is not None:
        blocking = _asked_for(head, own, known, asked.labels)
    elif preset is not None:
        blocking = tuple(place for place, label in enumerate(known) if label in preset.blocks)
    else:
        blocking = _unmistakable(head, names, independent)
    if len(blocking) == len(names) and not independent:
        raise InputError(f"{head}: labels= names all of them, and one always applies", fix=_shown(names))
    wanted = tuple(names[place] for place in blocking)
    threshold = 0.5 if asked.threshold is None else fraction(asked.threshold, head)
    read = Labels(names, blocking, independent, False, threshold, kinds(wanted), (note,) if note else ())
    return read if preset is None or found is None else _by_preset(read, preset, found, asked)


def _by_preset(read: Labels, preset: Preset, found: Found, asked: Asked) -> Labels:
    """Adds what a preset says besides labels and activation, as far as the name's options leave it."""
    said = f"preset {preset.name} ({found.why}): blocks at {', '.join(read.wanted)}"
    if asked.labels is None and preset.note:
        said += f". {preset.note}"
    return replace(
        read,
        inverted=preset.inverted,
        threshold=read.threshold if asked.threshold is not None else preset.threshold or read.threshold,
        covers=preset.covers if asked.labels is None else read.covers,
        notes=(said, *read.notes),
    )


def _check_logits(head: str, logits: torch.Tensor) -> None:
    if logits.ndim != 2 or not logits.shape[1]:
        raise InputError(
            f"{head} gives numbers of shape {tuple(logits.shape)}, not one row of labels",
            fix="Use a model that classifies a whole text or picture.",
        )
    if not logits.isfinite().all():
        raise InputError(
            f"{head}: {NOT_FINITE} even for a plain input",
            fix="Are the weights sound? On a number format that is too small: dtype=float32.",
        )


def _fitted(
    head: str, own: tuple[str, ...], asked: Asked, found: Found | None
) -> tuple[Preset | None, tuple[str, ...]]:
    """The preset, if its labels are the model's, and the names that it gives them."""
    if found is None:
        return None, own
    if (known := found.preset.named(own)) is not None:
        return found.preset, known
    if asked.labels is None or found.is_named:
        raise _misfit(head, own, found)
    return None, own  # a model that was made from that one, with labels of its own


def kinds(labels: Sequence[str]) -> tuple[str, ...]:
    """The kinds of harm that labels speak of."""
    folded = {plain(label) for label in labels}
    return tuple(kind for kind, of in _KINDS.items() if folded & of)


# -- names ---------------------------------------------------------------------------------------------------


def _names(head: str, config: Any, width: int) -> tuple[str, ...]:
    """The labels by output: each output has one name, and no two the same."""
    told: Mapping[Any, Any] = getattr(config, "id2label", None) or {}
    try:
        names = {int(place): one_line(name, 200) for place, name in told.items()}
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{head}: id2label of its config.json has keys that are no numbers",
            fix="Number its outputs from 0.",
        ) from error
    if sorted(names) != list(range(width)):
        raise InputError(
            f"{head} has {width} {'output' if width == 1 else 'outputs'}, but id2label of its config.json "
            f"names {', '.join(map(str, sorted(names)[:20])) or 'none'}",
            fix=f"In a copy of the folder, name each of the outputs 0 to {width - 1} in id2label.",
        )
    ordered = tuple(names[place] for place in range(width))
    if twice := [name for place, name in enumerate(ordered) if name in ordered[:place]]:
        raise InputError(
            f"{head}: several of its outputs are called {twice[0]!r}",
            fix=f"In a copy of the folder, give them names of their own. {_shown(ordered)}",
        )
    return ordered


def _shown(names: Sequence[str]) -> str:
    return f"Its labels: {', '.join(one_line(name, 60) for name in names[:50])}."


def _misfit(head: str, names: Sequence[str], found: Found) -> InputError:
    return InputError(
        f"{head}: the preset {found.preset.name} ({found.why}) is of a model with the labels "
        f"{', '.join(found.preset.labels)}",
        fix=f"Is this that model? {_shown(names)} Else name those that block, without a preset: "
        f"{head}?preset=none&labels=NAME,NAME",
    )


# -- sigmoid or softmax --------------------------------------------------------------------------------------


def _activation(
    head: str, config: Any, names: Sequence[str], asked: str | None, preset: Preset | None
) -> tuple[bool, str]:
    """(labels are independent, a note). The name's option wins, then the preset, then the config, in the
    order in which the pipelines of transformers read it."""
    if asked is not None and asked not in ACTIVATIONS:
        raise InputError(f"{head}: activation={asked} is unknown", fix=f"One of: {', '.join(ACTIVATIONS)}.")
    kind = getattr(config, "problem_type", None)
    function = getattr(config, "function_to_apply", None)
    if preset is None and (kind == "regression" or (kind is None and function == "none")):
        raise InputError(f"{head} gives a measurement, not a probability", fix="Use a classifier.")
    is_told = _told(kind, function, asked, preset)
    if len(names) == 1:
        return _of_one_output(head, asked, is_told)
    if is_told is not None:
        return is_told, ""
    return False, _softmax_note(head, names)


def _told(kind: str | None, function: str | None, asked: str | None, preset: Preset | None) -> bool | None:
    """Whether labels are independent, as far as anything says so."""
    if asked is not None or preset is not None:
        return (asked or (preset.activation if preset else "")) == "sigmoid"
    if kind is not None:
        return kind == "multi_label_classification"
    return function == "sigmoid" if function in ACTIVATIONS else None


def _of_one_output(head: str, asked: str | None, is_told: bool | None) -> tuple[bool, str]:
    if asked == "softmax":
        raise InputError(f"{head} has one output: a softmax over it is always 1", fix="activation=sigmoid")
    return True, "" if is_told else (
        "its one output goes through a sigmoid, as in the pipelines of transformers; its "
        "config.json does not say that it is a probability (activation=sigmoid says so)"
    )


def _softmax_note(head: str, names: Sequence[str]) -> str:
    """A note for labels that get a softmax although nothing says so, or "".

    Raises:
        InputError: they look as if several may hold at once.
    """
    if any(map(_passes, names)):
        return ""
    if sum(map(_is_harm, names)) > 1:
        raise InputError(
            f"{head}: which of its labels may hold at once cannot be told: its config.json has no "
            "problem_type. Has each a probability of its own (a sigmoid), or do they share one (a softmax)?",
            fix=f"Say what its model card says: {head}?activation=sigmoid or activation=softmax. "
            + _shown(names),
        )
    if len(names) == 2:
        return ""
    return (
        "its config.json has no problem_type, so its labels share one probability (a softmax), "
        "as in the pipelines of transformers; activation=sigmoid if several may hold at once"
    )


def _passes(name: str) -> bool:
    flat = plain(name)
    return flat in _PASSING or bool(_denies_harm.match(flat))


def _is_harm(name: str) -> bool:
    return not _passes(name) and bool(_names_harm.search(plain(name)))


# -- labels that block ---------------------------------------------------------------------------------------


def _asked_for(head: str, names: tuple[str, ...], known: tuple[str, ...], asked: str) -> tuple[int, ...]:
    """The indices of the labels asked for, by the model's names or a preset's."""
    parts, found = list(words(asked)), set()
    spelt = {name.casefold() for name in (*names, *known)}
    while parts:
        # A name may hold commas itself: the longest one that begins here counts.
        joined = (", ".join(parts[:count]) for count in range(len(parts), 1, -1))
        label = next((name for name in joined if name.casefold() in spelt), parts[0])
        found.add(_place(head, names, known, label))
        del parts[: label.count(",") + 1]
    if not found:
        raise InputError(f"{head}: labels= names none", fix=_shown(names))
    return tuple(sorted(found))


def _place(head: str, names: tuple[str, ...], known: tuple[str, ...], label: str) -> int:
    for spelt in (names, known):
        if label in spelt:
            return spelt.index(label)
    near = [place for place, name in enumerate(names) if name.casefold() == label.casefold()]
    near = near or [place for place, name in enumerate(known) if name.casefold() == label.casefold()]
    if len(near) == 1:
        return near[0]
    raise InputError(
        f"{head}: {label!r} is one of several of its labels" if near else f"{head} has no label {label!r}",
        fix=_shown(names),
    )


def _unmistakable(head: str, names: tuple[str, ...], independent: bool) -> tuple[int, ...]:
    """The labels that block if every label says whether it does; exclusive ones need one that passes."""
    blocking = tuple(place for place, name in enumerate(names) if plain(name) in _BLOCKING)
    passing = [name for name in names if _passes(name)]
    if blocking and len(blocking) + len(passing) == len(names) and (passing or independent):
        return blocking
    unnamed = all(map(has_no_name, names))
    raise InputError(
        f"{head}: which of its labels block cannot be told from their names: "
        f"{', '.join(one_line(name, 40) for name in names[:40])}",
        fix=f"Name them{' as its model card says' if unnamed else ''}: {head}?labels=NAME,NAME. "
        f"{_shown(names)}",
    )
