"""Local language models: loaded, asked in their own chat template, read token by token.

Chat models, guards and judges share this: `LanguageModel` is loaded once, `Turns` turns messages into rows of
tokens, `write` lets the model go on from them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from overt.data.chat import Message
from overt.data.local.devices import source_of
from overt.data.local.pretrained import control_tokens, end_tokens, load_text_model
from overt.data.local.vision import Eyes, Sight, Turn, load_eyes, model_class
from overt.data.text import encodable

if TYPE_CHECKING:
    import torch

_NO_LIMIT = 1 << 20


class LanguageModel:
    """A language model from the Hub or a folder, on its device. Weights are safetensors only.

    tokenizer, model: of transformers. pad: the id that fills rows. ends: the ids that end an answer.
    context: tokens that a prompt and its answer may have together. controls: texts of control tokens.
    eyes: the processor of a vision-language model, else None. why_blind: why it sees no pictures, or "".

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
        source = source_of(model, name, "torch", "transformers")
        kind = model_class(source, trust_remote_code=trust_remote_code)
        self.tokenizer, self.model = load_text_model(
            name,
            model,
            kind,
            device=device,
            dtype=dtype,
            trust_remote_code=trust_remote_code,
            padding_side="left",
        )
        self.eyes: Eyes | None = None
        self.why_blind = "it is a language model without a part that sees"
        if kind != "AutoModelForCausalLM":
            self.eyes, self.why_blind = load_eyes(
                name, source, self.tokenizer, self.model, trust_remote_code=trust_remote_code
            )
        if self.eyes is not None:
            self.tokenizer = self.eyes.processor.tokenizer
        self.device = str(self.model.device)
        self.pad = int(self.tokenizer.pad_token_id or 0)
        self.ends = end_tokens(self.model, self.tokenizer)
        self.context = _context(self.model, self.tokenizer)
        marks = self.eyes.marks if self.eyes else []
        self.controls = sorted({*control_tokens(self.tokenizer), *marks}, key=len, reverse=True)

    @property
    def has_template(self) -> bool:
        return bool(getattr(self.tokenizer, "chat_template", None))

    @property
    def sees_pictures(self) -> bool:
        return not self.why_blind


@dataclass(frozen=True, slots=True)
class Row:
    """A conversation as the model reads it: token ids; for a vision-language model also what its processor
    makes them of."""

    tokens: list[int]
    sight: Sight | None = None

    @property
    def pictures(self) -> int:
        return len(self.sight.pictures) if self.sight else 0


class Turns:
    """Renders conversations by a model's chat template.

    Args:
        language: the model.
        settings: further values for the template, by name.
    """

    def __init__(self, language: LanguageModel, settings: Mapping[str, object] | None = None) -> None:
        self._language, self._settings = language, dict(settings or {})

    def row(self, messages: Sequence[Message]) -> Row:
        """Returns a conversation as a row, up to where the assistant's answer begins.

        Raises:
            ValueError: there are pictures, and the model sees none.
            Exception: the template does not take these messages; templates raise what they like.
        """
        language = self._language
        turns: list[Turn] = [
            {"role": m.role, "content": self._tame(m.content), "pictures": len(m.images)} for m in messages
        ]
        encoded = [image for m in messages for image in m.images]
        if encoded and not language.sees_pictures:
            raise ValueError(f"{language.name} sees no pictures: {language.why_blind}")
        if language.eyes is not None:
            text = self._text(turns) if language.has_template else language.eyes.plain(turns)
            sight = language.eyes.sight(text, encoded)
            return Row(language.eyes.tokens(sight), sight)
        if not language.has_template:
            plain = "".join(f"{t['role'].capitalize()}: {t['content']}\n\n" for t in turns) + "Assistant:"
            return Row(list(language.tokenizer(plain)["input_ids"]))
        return Row(list(language.tokenizer(self._text(turns), add_special_tokens=False)["input_ids"]))

    def _text(self, turns: list[Turn]) -> str:
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

    def _template(self, turns: list[Turn]) -> str:
        if self._language.eyes is not None:
            return self._language.eyes.render(turns, self._settings)
        plain = [{"role": turn["role"], "content": turn["content"]} for turn in turns]
        return str(
            self._language.tokenizer.apply_chat_template(
                plain, tokenize=False, add_generation_prompt=True, **self._settings
            )
        )

    def _tame(self, content: str) -> str:
        """Makes a text encodable and breaks its control tokens with a zero-width space, so that a prompt
        cannot speak for another role."""
        text = encodable(content)
        for token in self._language.controls:
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

    inputs = _inputs(language, rows)
    longest = inputs["input_ids"].shape[1]
    with torch.inference_mode():
        output = language.model.generate(
            **inputs,
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
    if not torch.equal(output.sequences[:, :longest], inputs["input_ids"]):
        raise ValueError(f"{type(language.model).__name__} does not go on from its prompt")
    written = []
    for place, budget in enumerate(budgets):
        said = output.sequences[place, longest:].tolist()[:budget]
        stop = next((n for n, token in enumerate(said) if token in language.ends), None)
        kept = said if stop is None else said[:stop]
        logits = torch.stack([step[place].float().cpu() for step in output.logits]) if with_logits else None
        text = str(language.tokenizer.decode(kept, skip_special_tokens=True)).strip()
        written.append(Written(kept, text, stop is None, logits))
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


def _without_system(turns: list[Turn], system: str) -> list[Turn]:
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
