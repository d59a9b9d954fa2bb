"""Local language models: loaded, asked in their own chat template, read token by token.

Chat models, guards and judges share this: `LanguageModel` is loaded once, `Turns` turns messages into rows of
tokens, `write` lets the model go on from them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from overt.data.chat import Message
from overt.data.local.pretrained import control_tokens, end_tokens, load_text_model
from overt.data.text import encodable

if TYPE_CHECKING:
    import torch

_NO_LIMIT = 1 << 20


class LanguageModel:
    """A language model from the Hub or a folder, on its device. Weights are safetensors only.

    tokenizer, model: of transformers. pad: the id that fills rows. ends: the ids that end an answer.
    context: tokens that a prompt and its answer may have together. controls: texts of control tokens.

    Args:
        name: the chat model or filter, for messages.
        model: a Hub id or a local folder.
        device, dtype, trust_remote_code: see `load_text_model`.

    Raises:
        InputError: the device or dtype does not exist, or the model cannot be loaded.
        ModuleNotFoundError: torch or transformers is not installed (the registry reports it).
    """

    def __init__(
        self, name: str, model: str, *, device: str | None, dtype: str | None, trust_remote_code: bool
    ) -> None:
        self.name = name
        self.tokenizer, self.model = load_text_model(
            name,
            model,
            "AutoModelForCausalLM",
            device=device,
            dtype=dtype,
            trust_remote_code=trust_remote_code,
            padding_side="left",
        )
        self.device = str(self.model.device)
        self.pad = int(self.tokenizer.pad_token_id or 0)
        self.ends = end_tokens(self.model, self.tokenizer)
        self.context = _context(self.model, self.tokenizer)
        self.controls = control_tokens(self.tokenizer)

    @property
    def has_template(self) -> bool:
        return bool(getattr(self.tokenizer, "chat_template", None))


@dataclass(frozen=True, slots=True)
class Row:
    """A conversation as the model reads it: token ids, and further inputs such as pictures."""

    tokens: list[int]
    inputs: Mapping[str, torch.Tensor] = field(default_factory=dict)


class Turns:
    """Renders conversations by a model's chat template.

    Args:
        language: the model.
        settings: further values for the template, by name.
        in_parts: give the template each content as a list of parts; some drop a plain text silently.
    """

    def __init__(
        self,
        language: LanguageModel,
        settings: Mapping[str, object] | None = None,
        *,
        in_parts: bool = False,
    ) -> None:
        self._language, self._settings, self._in_parts = language, dict(settings or {}), in_parts

    def row(self, messages: Sequence[Message]) -> Row:
        """Returns a conversation as a row, up to where the assistant's answer begins.

        Raises:
            Exception: the template does not take these messages; templates raise what they like.
        """
        language, text = self._language, self.render(messages)
        if not language.has_template:
            return Row(list(language.tokenizer(text)["input_ids"]))
        return Row(list(language.tokenizer(text, add_special_tokens=False)["input_ids"]))

    def render(self, messages: Sequence[Message]) -> str:
        """Returns the text of a conversation's row. Raises as `row`."""
        turns = [{"role": m.role, "content": tame(m.content, self._language)} for m in messages]
        if not self._language.has_template:
            return "".join(f"{t['role'].capitalize()}: {t['content']}\n\n" for t in turns) + "Assistant:"
        return self._text(turns)

    def _text(self, turns: list[dict[str, str]]) -> str:
        system = "\n\n".join(t["content"] for t in turns if t["role"] == "system").strip()
        try:
            text = self._template(turns)
        except Exception:
            if not system:
                raise
            text = ""
        # Some templates have no system role: they raise, or drop it silently.
        if system and turns[0]["content"].strip() not in text:
            text = self._template(_without_system(turns, system))
        return text

    def _template(self, turns: list[dict[str, str]]) -> str:
        given: Sequence[object] = turns
        if self._in_parts:
            given = [{**turn, "content": [{"type": "text", "text": turn["content"]}]} for turn in turns]
        return str(
            self._language.tokenizer.apply_chat_template(
                given, tokenize=False, add_generation_prompt=True, **self._settings
            )
        )


def tame(content: str, language: LanguageModel) -> str:
    """Makes a text encodable and breaks its control tokens with a zero-width space, so that a prompt cannot
    speak for another role."""
    text = encodable(content)
    for token in language.controls:
        text = text.replace(token, f"{token[0]}\u200b{token[1:]}")
    return text


@dataclass(frozen=True, slots=True)
class Written:
    """What a model wrote: the ids of its tokens without the one that ends it, and their text.

    is_cut_off: whether no end token came. logits: float32, (steps, vocabulary), where they were asked for.
    """

    tokens: list[int]
    text: str
    is_cut_off: bool
    logits: torch.Tensor | None = None


def write(
    language: LanguageModel,
    rows: Sequence[Row],
    budgets: Sequence[int],
    *,
    processors: Sequence[Any] = (),
    stopping: Sequence[Any] = (),
    with_logits: bool = False,
) -> list[Written]:
    """Lets the model go on from each row, greedily unless a processor changes the scores.

    Args:
        rows: one batch; they are padded on the left.
        budgets: the most tokens that each row may get.
        processors, stopping: logits processors and stopping criteria of transformers.
        with_logits: also return the logits of each step.
    """
    import torch
    from transformers import LogitsProcessorList, StoppingCriteriaList

    longest = max(len(row.tokens) for row in rows)
    ids = torch.full((len(rows), longest), language.pad, dtype=torch.long)
    mask = torch.zeros((len(rows), longest), dtype=torch.long)
    for place, row in enumerate(rows):
        ids[place, longest - len(row.tokens) :] = torch.tensor(row.tokens, dtype=torch.long)
        mask[place, longest - len(row.tokens) :] = 1
    with torch.inference_mode():
        output = language.model.generate(
            input_ids=ids.to(language.device),
            attention_mask=mask.to(language.device),
            max_new_tokens=max(budgets),
            do_sample=False,
            num_beams=1,
            temperature=None,
            top_p=None,
            top_k=None,
            eos_token_id=sorted(language.ends) or None,
            pad_token_id=language.pad,
            logits_processor=LogitsProcessorList(processors),
            stopping_criteria=StoppingCriteriaList(stopping),
            return_dict_in_generate=True,
            output_logits=with_logits,
        )
    written = []
    for place, budget in enumerate(budgets):
        said = output.sequences[place, longest:].tolist()[:budget]
        stop = next((n for n, token in enumerate(said) if token in language.ends), None)
        kept = said if stop is None else said[:stop]
        logits = torch.stack([step[place].float().cpu() for step in output.logits]) if with_logits else None
        text = str(language.tokenizer.decode(kept, skip_special_tokens=True)).strip()
        written.append(Written(kept, text, stop is None, logits))
    return written


def _without_system(turns: list[dict[str, str]], system: str) -> list[dict[str, str]]:
    """Moves the system text to the start of the first user turn."""
    rest = [dict(t) for t in turns if t["role"] != "system"]
    first = next((t for t in rest if t["role"] == "user"), None)
    if first is None:
        return [{"role": "user", "content": system}, *rest]
    first["content"] = f"{system}\n\n{first['content']}"
    return rest


def _context(model: Any, tokenizer: Any) -> int:
    config = model.config.get_text_config()
    if length := getattr(config, "max_position_embeddings", None):
        return int(length)
    return min(int(tokenizer.model_max_length), _NO_LIMIT)  # no position limit
