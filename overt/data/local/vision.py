"""Vision-language models of this machine: how their processor takes a conversation with pictures.

The processor builds each batch (it pads, cuts pictures into tiles and counts their tokens), since every
family does it in its own way. Where a picture stands in the text is the chat template's affair.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from overt.data.errors import InputError
from overt.data.local.devices import one_line
from overt.data.pictures import open_sheet

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image as Picture

# How a template takes the content of a message: as a list of parts, or as a plain text.
Form = Literal["parts", "text"]
Render = Callable[[Sequence["Turn"]], str]
Turn = dict[str, Any]  # role, content (a text) and pictures (how many)

TEXT_ONLY = "AutoModelForCausalLM"
_MARK = "overt asks whether this arrives"
# A template that expects a text writes a list of parts as Python or JSON would.
_LISTED = re.compile(r"""['"]text['"]\s*:""")
_MEDIA = re.compile(r"image|img|video|vid_|audio|vision|media|patch|row_\d|speaker", re.IGNORECASE)
# What processors add that only training or other code reads.
_UNREAD = ("labels", "text_replacement_offsets", "token_type_ids", "mm_token_type_ids")
_WORDS = {"input_ids", "attention_mask", *_UNREAD}
# Families without a chat template whose processor adds what ends a turn, by the type of their configuration.
_BARE = ("chameleon", "paligemma")


def model_class(source: str, *, trust_remote_code: bool) -> str:
    """The class of `transformers` that loads a language model: the one for pictures and text if its
    configuration names such a model, even where only text is asked for; else `TEXT_ONLY`.

    Args:
        source: a Hub id or a folder.
    """
    import transformers
    from transformers.models.auto import modeling_auto

    try:
        config: Any = transformers.AutoConfig.from_pretrained(source, trust_remote_code=trust_remote_code)
    except Exception:  # the loader says what is wrong, with advice
        return TEXT_ONLY
    kind, own = config.model_type, next(iter(config.architectures or ()), "")
    if own and own == modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(kind):
        seen = modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES.get(kind)
        if own != seen and not own.startswith("Phi4Multimodal"):
            return TEXT_ONLY  # the text part of a vision model, saved alone
    for name, kinds in (
        ("AutoModelForImageTextToText", "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES"),
        ("AutoModelForMultimodalLM", "MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES"),
    ):
        own_code = trust_remote_code and name in (getattr(config, "auto_map", None) or {})
        if hasattr(transformers, name) and (own_code or kind in getattr(modeling_auto, kinds, ())):
            return name
    return TEXT_ONLY


@dataclass(frozen=True, slots=True)
class Sight:
    """A conversation with pictures, as the processor takes it: the rendered text, and pictures in RGB."""

    text: str
    pictures: tuple[Picture, ...] = ()


class Eyes:
    """The processor of a vision-language model.

    why_blind: why its pictures cannot be sent to it; "" if they can. needs_picture: why it takes no text
    alone; "" if it does. marks: texts that would stand for
    pictures, sound or their parts if a prompt held them. is_bare: whether a conversation is told by the texts
    alone, since the processor adds what ends a turn.

    Args:
        processor: of transformers, with an `image_processor` and a `tokenizer` that pads on the left.
        model: the loaded model.
        render: renders turns by the chat template, in the form that the template takes.
    """

    def __init__(self, processor: Any, model: Any, render: Render) -> None:
        self.processor, self._model, self._render = processor, model, render
        self.image_token = str(getattr(processor, "image_token", None) or "")
        self.marks = _marks(processor)
        self.is_bare = not self.has_template and model.config.model_type in _BARE
        self._forms: dict[str, Form] = {}
        self.why_blind = self._look() or self._try(1)
        self.needs_picture = self._try(0) if not self.why_blind else ""

    @property
    def has_template(self) -> bool:
        return bool(getattr(self.processor, "chat_template", None))

    # -- the template -----------------------------------------------------------------------------------

    def _look(self) -> str:
        """Finds out how the template takes messages and pictures. Returns why it takes no pictures, or ""."""
        if not self.image_token:
            return f"its {type(self.processor).__name__} has no token for a picture"
        if not self.has_template:
            return ""
        forms: tuple[Form, ...] = ("parts", "text")
        why = "its chat template leaves pictures out"
        for form in forms:
            if self._arrives([_turn("user", pictures=1)], {"user": form}, pictures=1):
                self._forms["user"], why = form, ""
                break
        else:
            self._forms["user"] = self._first([_turn("user")], "user")
        self._forms["system"] = self._first([_turn("system"), _turn("user", "?")], "system")
        middle = [_turn("user", "?"), _turn("assistant"), _turn("user", "?")]
        self._forms["assistant"] = self._first(middle, "assistant")
        return why

    def _try(self, pictures: int) -> str:
        """Lets the processor make one conversation with so many pictures. Returns why it cannot, or ""."""
        from PIL import Image

        turns = [_turn("user", pictures=pictures)]
        shown = (Image.new("RGB", (96, 64), (90, 120, 30)),) * pictures
        try:
            text = self._render(self.shaped(turns)) if self.has_template else self.plain(turns)
            made = self._batch([Sight(text, shown)])
        except Exception as error:  # processors raise many types
            what = "a picture" if pictures else "a text without a picture"
            return f"its processor does not take {what}: {one_line(error)}"
        if len(made["input_ids"]) != 1:
            return f"its processor makes {len(made['input_ids'])} conversations of one"
        return "" if not pictures or set(made) - _WORDS else "its processor drops pictures"

    def _first(self, turns: list[Turn], role: str) -> Form:
        """The first form in which a message of a role arrives."""
        is_taken = self._arrives(turns, {**self._forms, role: "parts"}, pictures=0)
        return "parts" if is_taken else "text"

    def _arrives(self, turns: list[Turn], forms: Mapping[str, Form], *, pictures: int) -> bool:
        try:
            text = self._render(_shaped(turns, forms, self.image_token))
        except Exception:  # templates raise what they like
            return False
        return _MARK in text and not _LISTED.search(text) and text.count(self.image_token) == pictures

    def shaped(self, turns: Sequence[Turn]) -> list[Turn]:
        """Messages as the chat template takes them. Contents that are in form already stay so.

        Args:
            turns: role, content (a text without control tokens), and pictures (how many) of each message.
        """
        return _shaped(turns, self._forms, self.image_token)

    def _before(self, pictures: int) -> str:
        """The pictures of a message whose text holds their places itself."""
        return self.image_token * pictures + ("\n" if pictures and not self.is_bare else "")

    def plain(self, turns: Sequence[Turn]) -> str:
        """The text of a conversation for a model without a chat template."""
        if self.is_bare:
            end = str(self.processor.tokenizer.sep_token or "\n")
            last = len(turns) - 1
            return "".join(
                f"{self._before(t.get('pictures', 0))}{t['content']}"
                + ("" if n == last else "\n\n" if t["role"] == "system" else end)
                for n, t in enumerate(turns)
            )
        lines = (
            f"{t['role'].capitalize()}: {self._before(t.get('pictures', 0))}{t['content']}\n\n" for t in turns
        )
        return "".join(lines) + "Assistant:"

    # -- tokens and pictures ----------------------------------------------------------------------------

    def sight(self, text: str, encoded: Sequence[bytes]) -> Sight:
        """A rendered conversation with its pictures.

        Raises:
            ValueError: the text does not hold the place of each picture, or the model needs one.
            UnreadablePicture: an encoded picture cannot be opened.
        """
        if encoded and self.why_blind:
            raise ValueError(f"it sees no pictures: {self.why_blind}")
        if not encoded and self.needs_picture:
            raise ValueError(self.needs_picture)
        if self.image_token and (places := text.count(self.image_token)) != len(encoded):
            raise ValueError(f"the chat template made {places} places for {len(encoded)} pictures")
        return Sight(text, tuple(_opened(one) for one in encoded))

    def tokens(self, sight: Sight) -> list[int]:
        """The ids of one conversation, each picture as its tokens."""
        return [int(token) for token in self._batch([sight])["input_ids"][0]]

    def inputs(self, sights: Sequence[Sight], device: str) -> dict[str, torch.Tensor]:
        """The model's inputs for one batch, padded on the left, on a device, in the model's number format.
        All rows hold equally many pictures."""
        inputs = self._batch(sights)
        found = {}
        for name, value in inputs.items():
            if hasattr(value, "to"):
                dtype = {"dtype": self._model.dtype} if value.is_floating_point() else {}
                value = value.to(device, **dtype)
            found[name] = value
        return found

    def _batch(self, sights: Sequence[Sight]) -> dict[str, Any]:
        texts = [sight.text for sight in sights]
        options: dict[str, Any] = {"padding": True, "return_tensors": "pt"}
        # As `apply_chat_template` of processors does: a template that writes the first token itself gets no
        # second one, and all others rely on the tokenizer for it.
        first = self.processor.tokenizer.bos_token
        if self.has_template and first is not None and texts[0].startswith(first):
            options["add_special_tokens"] = False
        if any(sight.pictures for sight in sights):
            options["images"] = [list(sight.pictures) for sight in sights]
        made = self.processor(text=texts, **options)
        read = self._read()
        return {key: made[key] for key in made if key not in _UNREAD or key in read}

    def _read(self) -> set[str]:
        import inspect

        return set(inspect.signature(self._model.forward).parameters) - {"labels"}


class Sighting:
    """What is found out of a model's eyes while it loads.

    why_blind: why it sees no pictures, or "". note: the same for users, of a model that could see.
    tokenizer: the processor's, if there is one.

    Args:
        name: the model as the user wrote it.
        trust_remote_code: run code from the repo. Only if the user asked for it.
    """

    def __init__(self, name: str, *, trust_remote_code: bool) -> None:
        self.why_blind = "it is a language model without a part that sees"
        self.note = ""
        self._name, self._trusts = name, trust_remote_code
        self.tokenizer: Any = None
        self._processor: Any = None

    def choose(self, source: str) -> str:
        """The class that loads the model of a Hub id or a folder, see `model_class`."""
        return model_class(source, trust_remote_code=self._trusts)

    def look(self, tokenizer: Any, source: str) -> Any:
        """Loads the processor of a vision-language model, and gives its tokenizer, which pads on the left and
        has its chat template. Without one the model is asked text only, by the tokenizer given."""
        if self.choose(source) == TEXT_ONLY:
            return tokenizer
        self._processor, self.why_blind = self._load(source)
        if self._processor is None:
            self.note = f"It is asked text only: {self.why_blind}."
            return tokenizer
        own = self.tokenizer = self._processor.tokenizer
        own.padding_side = "left"
        if own.pad_token_id is None:
            own.pad_token = tokenizer.pad_token or own.eos_token or own.unk_token
        if getattr(self._processor, "chat_template", None):
            own.chat_template = self._processor.chat_template
        else:
            self._processor.chat_template = own.chat_template
        return own

    def _load(self, source: str) -> tuple[Any, str]:
        """The processor; or None and why there is none."""
        from transformers import AutoProcessor

        load: Any = AutoProcessor.from_pretrained
        try:
            processor = load(source, trust_remote_code=self._trusts)
        except Exception as error:  # libraries raise many types on a broken folder
            return None, f"its processor cannot be loaded: {one_line(error)}"
        if not hasattr(processor, "image_processor"):
            return None, "its processor reads no pictures (is preprocessor_config.json missing?)"
        return processor, ""

    def open(self, model: Any, render: Render) -> Eyes | None:
        """The processor of the loaded model, ready for conversations; None for a model without one.

        Raises:
            InputError: the model's text part is an encoder with a decoder, which goes on from no prompt.
        """
        configs = (model.config, model.config.get_text_config())
        if any(getattr(config, "is_encoder_decoder", False) for config in configs):
            raise InputError(
                f"{self._name} is an encoder with a decoder ({type(model).__name__}), which goes on from no "
                "conversation",
                fix="Name a model that is made for chats.",
            )
        _mend(model)
        if self._processor is None:
            return None
        eyes = Eyes(self._processor, model, render)
        self.why_blind = eyes.why_blind
        return eyes


def _mend(model: Any) -> None:
    """Works around a fault of transformers 5.24: Llama 4 asks the output of its text model for a field that
    it lacks, so that every call fails."""

    def add_field(module: object, given: object, output: Any) -> None:
        if not hasattr(output, "image_outputs"):
            output.image_outputs = None

    if type(model).__name__ == "Llama4ForConditionalGeneration":
        model.language_model.register_forward_hook(add_field)


def _shaped(turns: Sequence[Turn], forms: Mapping[str, Form], image_token: str) -> list[Turn]:
    """Messages in the form of their role; pictures come before their message's text."""
    shaped = []
    for turn in turns:
        content, pictures = turn["content"], turn.get("pictures", 0)
        if isinstance(content, str) and forms.get(turn["role"], "parts") == "text":
            content = f"{image_token * pictures}{content}"
        elif isinstance(content, str):
            content = [*({"type": "image"} for _ in range(pictures)), {"type": "text", "text": content}]
        shaped.append({"role": turn["role"], "content": content})
    return shaped


def _turn(role: str, content: str = _MARK, pictures: int = 0) -> Turn:
    return {"role": role, "content": content, "pictures": pictures}


def _marks(processor: Any) -> list[str]:
    """Texts that stand for pictures, sound and their parts in a prompt."""
    tokenizer = processor.tokenizer
    added = (str(token) for token in getattr(tokenizer, "added_tokens_decoder", {}).values())
    found = {token for token in added if _MEDIA.search(token)}
    for thing in (processor, tokenizer):
        for name, value in vars(thing).items():
            if re.search(r"token|tag$", name) and type(value).__name__ in ("str", "AddedToken"):
                found.add(str(value))
    return [mark for mark in found if len(mark) > 2 and not mark.isalnum()]


def _opened(encoded: bytes) -> Picture:
    """A picture in RGB, upright; an animation as one picture with its frames side by side."""
    from PIL import ImageOps

    return ImageOps.exif_transpose(open_sheet(encoded)).convert("RGB")
