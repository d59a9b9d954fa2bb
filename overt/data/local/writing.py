"""Lets a local language model go on from rows of tokens, in batches that change no answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from overt.data.errors import InputError
from overt.data.local.context import stays_same_below
from overt.data.local.endings import Numbers, Stops
from overt.data.local.language import LanguageModel, Row
from overt.data.local.sharing import STEPS, Scores, Sharing, measured_sharing
from overt.data.plugins.names import one_line
from overt.data.replies import read_reply
from overt.data.thinking import marks_in, without_worded_marks, worded_marks_in

if TYPE_CHECKING:
    import torch

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Written:
    """What a model wrote: the ids of its tokens without the one that ends it, and their text.

    text: with the marks of its thinking, also where they are control tokens or the template's; without other
    control tokens. is_cut_off: whether nothing ended it but the budget. logits: float32, (steps, vocabulary),
    where they were asked for.
    """

    tokens: list[int]
    text: str
    is_cut_off: bool
    logits: torch.Tensor | None = None


class NoNumbers(ArithmeticError):
    """A model's scores are no numbers, so what it wrote means nothing."""


def write(
    language: LanguageModel,
    rows: Sequence[Row],
    budgets: Sequence[int],
    *,
    processors: Sequence[Any] = (),
    with_logits: bool = False,
) -> list[Written]:
    """Lets the model go on from each row, greedily unless a processor changes the scores.

    Args:
        rows: they are padded on the left, unless the model reads what fills a row, see `sharing_of`.
        budgets: the most tokens that each row may get.
        processors: logits processors of transformers; they know a row by its place, so the rows have to be
            one of `batches_of`.
        with_logits: also return the logits of each step.

    Raises:
        NoNumbers: the scores of a row overflowed.
    """
    groups = [list(range(len(rows)))] if processors else batches_of(language, rows, budgets)
    written: dict[int, Written] = {}
    for group in groups:
        part = [rows[place] for place in group]
        done = _write(
            language,
            part,
            [budgets[place] for place in group],
            processors=processors,
            with_logits=with_logits,
        )
        written.update(zip(group, done, strict=True))
    return [written[place] for place in range(len(rows))]


def _write(
    language: LanguageModel,
    rows: Sequence[Row],
    budgets: Sequence[int],
    *,
    processors: Sequence[Any] = (),
    ends: set[int] | None = None,
    with_logits: bool = False,
) -> list[Written]:
    """As `write`, for one batch. ends: other tokens than the model's own."""
    import torch
    from transformers import LogitsProcessorList, StoppingCriteriaList

    ends = language.ends if ends is None else ends
    inputs = _inputs(language, rows)
    longest = inputs["input_ids"].shape[1]
    numbers = Numbers()
    stops = Stops(
        budgets,
        longest,
        tokenizer=language.tokenizer,
        strings=language.shipped.stop_strings,
        message_end=language.message_end,
        has_answer=lambda said, place: bool(read_reply(_text(language, said, rows[place])).answer.strip()),
    )
    with torch.inference_mode():
        output = language.model.generate(
            **inputs,
            max_new_tokens=max(budgets),
            do_sample=False,
            num_beams=1,
            eos_token_id=sorted(ends) or None,
            pad_token_id=language.pad,
            logits_processor=LogitsProcessorList([numbers, *processors]),
            stopping_criteria=StoppingCriteriaList([stops]),
            return_dict_in_generate=True,
            output_logits=with_logits,
        )
    if numbers.broken_rows():
        kind = str(getattr(language.model, "dtype", "")).removeprefix("torch.")
        raise NoNumbers(
            f"the model's scores are no numbers (NaN or infinite) in {kind}; dtype=bfloat16 or dtype=float32 "
            "has room for larger ones"
        )
    if not torch.equal(output.sequences[:, :longest], inputs["input_ids"]):
        raise ValueError(f"{type(language.model).__name__} does not go on from its prompt")
    written = []
    for place, budget in enumerate(budgets):
        said = output.sequences[place, longest:].tolist()[: stops.whole_at.get(place, budget)]
        stop = next((n for n, token in enumerate(said) if token in ends), None)
        kept = said if stop is None else said[:stop]
        logits = torch.stack([step[place].float().cpu() for step in output.logits]) if with_logits else None
        text = _text(language, kept, rows[place])
        written.append(Written(kept, text, stop is None and place not in stops.whole_at, logits))
    return written


def _inputs(language: LanguageModel, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
    """The model's inputs for a batch, padded on the left."""
    import torch

    longest = max(len(row.tokens) for row in rows)
    ids = torch.full((len(rows), longest), language.pad, dtype=torch.long)
    mask = torch.zeros((len(rows), longest), dtype=torch.long)
    for place, row in enumerate(rows):
        ids[place, longest - len(row.tokens) :] = torch.tensor(row.tokens, dtype=torch.long)
        mask[place, longest - len(row.tokens) :] = 1
    sights = [row.sight for row in rows if row.sight is not None]
    if language.eyes is None or len(sights) < len(rows):
        return {"input_ids": ids.to(language.device), "attention_mask": mask.to(language.device)}
    inputs = language.eyes.inputs(sights, language.device)
    own = inputs["input_ids"].cpu()
    if own.shape != ids.shape or not torch.equal(own[mask.bool()], ids[mask.bool()]):
        raise ValueError("the processor reads these conversations otherwise in a batch than alone")
    return inputs


def _text(language: LanguageModel, tokens: list[int], row: Row) -> str:
    """The text of an answer. Control tokens are left out, but for those that are marks of thinking."""
    specials = language.specials
    kept: set[int] = set()
    if any(token in specials for token in tokens):
        whole = row.opened + str(language.tokenizer.decode(tokens, skip_special_tokens=False))
        marks = [*marks_in(whole), *worded_marks_in(whole)]
        kept = {token for token in set(tokens) & specials.keys() if any(specials[token] in m for m in marks)}
    shown = [token for token in tokens if token in kept or token not in specials] if kept else tokens
    text = without_worded_marks(str(language.tokenizer.decode(shown, skip_special_tokens=not kept)))
    for string in language.shipped.stop_strings:
        text = text.partition(string)[0]
    return (row.opened + text).strip()


def sharing_of(language: LanguageModel) -> Sharing:
    """Which rows may share a batch without reading each other. It is measured once, see `measured_sharing`.

    Raises:
        InputError: the model cannot write, or its scores are no numbers.
    """
    if language.sharing is None:
        found = _measured(language)
        language.sharing = "length" if found == "any" and language.shipped.reads_prompt else found
    return language.sharing


def batches_of(language: LanguageModel, rows: Sequence[Row], budgets: Sequence[int]) -> list[list[int]]:
    """The places of the rows, in groups of those that may share a batch."""
    if len(rows) < 2 or sharing_of(language) == "none":
        return [[place] for place in range(len(rows))]
    apart = stays_same_below(language.model)
    groups: dict[object, list[int]] = {}
    for place, (row, budget) in enumerate(zip(rows, budgets, strict=True)):
        size = len(row.tokens)
        key: object = size if language.sharing == "length" else "any"
        # Behind this length, the longest row decides the positions of all.
        key = ("alone", place) if apart is not None and size + budget > apart else key
        # Some processors take no batch of rows with and without pictures.
        groups.setdefault((key, row.pictures), []).append(place)
    return list(groups.values())


def try_out(language: LanguageModel) -> None:
    """Lets a model go on from a few words, alone.

    Raises:
        InputError: it cannot write, or its scores are no numbers.
    """
    _on_trial(language, lambda words, scores: scores([words[:5]]))


def _measured(language: LanguageModel) -> Sharing:
    import torch

    is_exact = language.model.dtype == torch.float32
    return _on_trial(language, lambda words, scores: measured_sharing(words, scores, is_exact=is_exact))


def _on_trial(language: LanguageModel, trial: Callable[[Sequence[int], Scores], T]) -> T:
    """Calls `trial` with words of a model and with what lets it go on from rows of them."""
    known = min(language.vocabulary, len(language.tokenizer))
    words = [n for n in range(known) if n not in language.specials] or [0]

    def scores(rows: Sequence[Sequence[int]]) -> tuple[list[int], torch.Tensor]:
        asked = [Row(list(row)) for row in rows]
        first = _write(language, asked, [STEPS] * len(rows), ends=set(), with_logits=True)[0]
        assert first.logits is not None
        return first.tokens, first.logits

    try:
        return trial(words, scores)
    except NoNumbers as error:
        raise InputError(f"{language.name} cannot be used: {error}") from error
    except Exception as error:  # what fails here would fail at each request
        raise InputError(f"{language.name} loads, but cannot write: {one_line(error, 300)}") from error
