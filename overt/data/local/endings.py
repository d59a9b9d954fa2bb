"""Where a model's answer ends, and what its authors' generation_config.json does to it.

The plain library applies that file, and so does overt, since authors ship a model with it: a repetition
penalty, tokens that are suppressed. What would make of it something else than one answer of the run's own
temperature, which ends by itself or at its budget, is set back (`settle`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from overt.data.errors import InputError
from overt.data.local.pretrained import end_tokens
from overt.data.thinking import THINKING_MESSAGES

if TYPE_CHECKING:
    import torch

# Set back: field -> its neutral value. A forced end makes half an answer look whole; removing invalid values
# makes an overflow look like a word; beams, several sequences and sampling are not what was asked for.
_NEUTRAL: dict[str, object] = {
    **dict.fromkeys(("do_sample", "remove_invalid_values", "token_healing"), False),
    **dict.fromkeys(("num_beams", "num_beam_groups", "num_return_sequences"), 1),
    **dict.fromkeys(
        (
            *("temperature", "top_p", "top_k", "top_h", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff"),
            *("penalty_alpha", "dola_layers", "force_words_ids", "constraints", "diversity_penalty"),
            *("length_penalty", "early_stopping", "forced_eos_token_id", "max_time", "max_length"),
            *("prompt_lookup_num_tokens", "assistant_early_exit", "use_mtp", "speculation_type"),
            *("return_dict_in_generate", "output_scores", "output_logits"),
            *("output_attentions", "output_hidden_states"),
        )
    ),
}
# Applied, and told: field -> its neutral values.
_APPLIED: dict[str, tuple[object, ...]] = {
    "repetition_penalty": (None, 1, 1.0),
    "no_repeat_ngram_size": (None, 0),
    "encoder_repetition_penalty": (None, 1, 1.0),
    "bad_words_ids": (None, []),
    "sequence_bias": (None, {}),
    "suppress_tokens": (None, []),
    "begin_suppress_tokens": (None, []),
    "forced_bos_token_id": (None,),
    "min_length": (None, 0),
    "min_new_tokens": (None, 0),
    "exponential_decay_length_penalty": (None,),
    "guidance_scale": (None, 1, 1.0),
    "renormalize_logits": (None, False),
    "watermarking_config": (None,),
    "stop_strings": (None, []),
}
# Of these, the ones that look at the prompt: to them, tokens that fill a row are words.
_READS_PROMPT = {
    *("repetition_penalty", "encoder_repetition_penalty", "no_repeat_ngram_size", "sequence_bias"),
    *("bad_words_ids", "min_length", "exponential_decay_length_penalty"),
}


@dataclass(frozen=True, slots=True)
class Shipped:
    """What a model's generation_config.json does to its answers.

    applied: field -> value. reads_prompt: whether one of them looks at the prompt's tokens, so that rows of
    different length cannot share a batch. stop_strings: texts that end an answer.
    """

    applied: dict[str, object] = field(default_factory=dict)
    reads_prompt: bool = False
    stop_strings: tuple[str, ...] = ()


def settle(model: Any) -> Shipped:
    """Sets a model's generation settings back to one plain answer; returns those that stay in force."""
    config = model.generation_config
    for key, neutral in _NEUTRAL.items():
        if hasattr(config, key):
            setattr(config, key, neutral)
    applied = {
        key: value
        for key, neutral in _APPLIED.items()
        if (value := getattr(config, key, None)) not in neutral
    }
    strings = applied.get("stop_strings") or ()
    stops = (strings,) if isinstance(strings, str) else tuple(map(str, strings))
    if hasattr(config, "stop_strings"):
        config.stop_strings = None  # `Stops` looks for them, and knows when they came
    return Shipped(applied, bool(_READS_PROMPT.intersection(applied)), stops)


def refuse_readers(name: str, source: str, *, trust_remote_code: bool) -> None:
    """Refuses a model that does not go on from a text, by its configuration.

    Raises:
        InputError: it is an encoder with a decoder (T5, BART), or one that fills gaps or classifies (BERT),
            which would load as a language model all the same, and write at random.
    """
    import transformers

    try:
        config = transformers.AutoConfig.from_pretrained(source, trust_remote_code=trust_remote_code)
    except Exception:  # loading the model says what is wrong; an adapter's folder has none
        return
    made_for = [str(a) for a in getattr(config, "architectures", None) or ()]
    why = ""
    if getattr(config, "is_encoder_decoder", False) and not all("ForCausalLM" in a for a in made_for or [""]):
        kind = made_for[0] if made_for else config.model_type
        why = f"a {kind}, an encoder with a decoder, which rewrites a text and does not go on from it"
    elif made_for and all(_READER.search(a) for a in made_for):
        why = f"a {made_for[0]}, which reads a text and does not go on from it"
    if why:
        raise InputError(f"{name} is {why}", fix="hf/ takes models that go on from a text (...ForCausalLM).")


_READER = re.compile(
    r"For(?:MaskedLM|PreTraining|SequenceClassification|TokenClassification|QuestionAnswering|MultipleChoice"
    r"|NextSentencePrediction)$"
)


def special_tokens(tokenizer: Any) -> dict[int, str]:
    """The control tokens of a tokenizer: id -> text."""
    added = getattr(tokenizer, "added_tokens_decoder", {})
    named = zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=False)
    return {int(n): str(t) for n, t in named} | {int(n): t.content for n, t in added.items() if t.special}


def answer_ends(model: Any, tokenizer: Any) -> tuple[set[int], int | None]:
    """The tokens that end an answer, and the one that ends a message of it, where the model thinks in a
    message of its own (see `THINKING_MESSAGES`)."""
    ends = end_tokens(model, tokenizer)
    for form in THINKING_MESSAGES:
        ids = [token_id(tokenizer, t) for t in (form.token, form.ends_message, *form.ends_answer)]
        known = {i for i in ids[2:] if i is not None}
        if ids[0] is not None and ids[1] is not None:
            return (ends | known) - {ids[1]}, ids[1]
    return ends, None


def token_id(tokenizer: Any, text: str) -> int | None:
    """The id of a token that the tokenizer knows as one of its own; None if it has no such token."""
    found = tokenizer.get_added_vocab().get(text) if hasattr(tokenizer, "get_added_vocab") else None
    if found is None and text in tokenizer.all_special_tokens:
        found = tokenizer.convert_tokens_to_ids(text)
    return None if found is None else int(found)


class Stops:
    """A stopping criterion that ends each row at its budget, at a stop string, or after a message that is no
    thinking. whole_at: row -> the tokens behind which it ended by itself, other than by an end token.

    Args:
        budgets: the most tokens of each row.
        prompt_length: tokens of the padded prompts.
        has_answer: tokens -> whether they hold an answer besides the thinking.
    """

    def __init__(
        self,
        budgets: Sequence[int],
        prompt_length: int,
        *,
        strings: Sequence[str] = (),
        message_end: int | None = None,
        tokenizer: Any = None,
        has_answer: Any = None,
    ) -> None:
        self._budgets, self._prompt_length = budgets, prompt_length
        self._strings, self._message_end = tuple(strings), message_end
        self._tokenizer, self._has_answer = tokenizer, has_answer
        self.whole_at: dict[int, int] = {}

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: object) -> torch.Tensor:
        import torch

        said = input_ids.shape[1] - self._prompt_length
        if self._strings or self._message_end is not None:
            rows = input_ids[:, self._prompt_length :].tolist()
            for row, tokens in enumerate(rows):
                if row not in self.whole_at and self._ends(tokens, row):
                    self.whole_at[row] = said
        done = [said >= budget or row in self.whole_at for row, budget in enumerate(self._budgets)]
        return torch.tensor(done, device=input_ids.device)

    def _ends(self, tokens: list[int], row: int) -> bool:
        if self._message_end is not None and tokens[-1] == self._message_end:
            return bool(self._has_answer(tokens, row))
        if not self._strings:
            return False
        longest = max(map(len, self._strings))
        tail = str(self._tokenizer.decode(tokens[-longest - 4 :]))
        return any(string in tail for string in self._strings)


class Numbers:
    """A logits processor that notes the rows whose scores are no numbers; it changes nothing."""

    def __init__(self) -> None:
        self._broken: torch.Tensor | None = None

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        # Tokens that are suppressed have minus infinity.
        broken = scores.isnan().any(1) | scores.isposinf().any(1) | scores.isneginf().all(1)
        self._broken = broken if self._broken is None else self._broken | broken
        return scores

    def broken_rows(self) -> list[int]:
        """The places of the rows, in order."""
        return [] if self._broken is None else [int(n) for n in self._broken.nonzero().flatten()]
