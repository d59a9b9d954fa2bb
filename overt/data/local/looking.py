"""A vision-language model of this machine that is asked about pictures in the caller's own thread."""

from __future__ import annotations

import io
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from overt.data.chat import CallError, ChatReply, ChatRequest, Message
from overt.data.errors import InputError
from overt.data.local.devices import one_line
from overt.data.local.language import LanguageModel, Row, Turns
from overt.data.local.memory import free_memory, out_of_memory
from overt.data.local.writing import Written, write

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image as Picture


class Onlooker:
    """A vision-language model that answers one request at a time, greedily. Weights are safetensors only.

    Args:
        name: the checker or judge, for messages.
        model: a Hub id or a local folder.
        device, dtype, trust_remote_code: see `load_text_model`.
        settings: further values for the chat template, by name.

    Raises:
        InputError: the model cannot be loaded, or sees no pictures.
        ModuleNotFoundError: torch or transformers is not installed (the registry reports it).
    """

    def __init__(
        self,
        name: str,
        model: str,
        *,
        device: str | None = None,
        dtype: str | None = None,
        trust_remote_code: bool = False,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        self.name = name
        self.language = LanguageModel(
            name, model, device=device, dtype=dtype, trust_remote_code=trust_remote_code
        )
        if not self.language.sees_pictures:
            raise InputError(
                f"{name} sees no pictures, so it cannot judge them: {self.language.why_blind}",
                fix="Name the folder of a vision-language model with its processor's files.",
            )
        self._turns = Turns(self.language, settings)
        self._lock = threading.Lock()  # the memory is for one request at a time

    def complete(self, request: ChatRequest) -> ChatReply:
        """Returns the reply to a request with pictures; what fails becomes its error."""
        try:
            row = self._turns.row(request.messages)
            room = self.language.context - len(row.tokens)
            if room < 1:
                said = f"the prompt has {len(row.tokens)} tokens, the context holds {self.language.context}"
                return ChatReply(error=CallError("too_long", said))
            written = self._written(row, min(request.max_tokens, room), with_logits=False)
        except Exception as error:  # templates and models raise what they like
            is_full, said = out_of_memory(error), f"{type(error).__name__}: {one_line(error)}"
        else:
            return ChatReply(
                text=written.text,
                finish_reason="length" if written.is_cut_off else "stop",
                input_tokens=len(row.tokens),
                output_tokens=len(written.tokens),
            )
        if is_full:
            free_memory()
            return ChatReply(error=CallError("too_long", "out of memory with this request alone"))
        return ChatReply(error=CallError("bad_request", said))

    def written(self, messages: Sequence[Message], most: int, *, with_logits: bool = False) -> Written:
        """What the model says to a conversation, with the logits of each step if they are asked for.

        Args:
            most: tokens that it may say.

        Raises:
            Exception: the template does not take these messages, or the model fails.
        """
        return self._written(self._turns.row(messages), most, with_logits=with_logits)

    def first_logits(self, messages: Sequence[Message]) -> torch.Tensor:
        """The logits of the first token of the answer, float32, shape (vocabulary,).

        Raises:
            Exception: as `written`.
        """
        logits = self.written(messages, 1, with_logits=True).logits
        assert logits is not None
        return logits[0]

    def _written(self, row: Row, most: int, *, with_logits: bool) -> Written:
        with self._lock:
            return write(self.language, [row], [most], with_logits=with_logits)[0]


def encoded(picture: Picture) -> bytes:
    """A picture in RGB as a PNG without metadata, for `Message.images`: nothing is lost, unlike in a JPEG."""
    from PIL import Image, ImageOps

    upright = ImageOps.exif_transpose(picture).convert("RGB")
    bare = Image.new("RGB", upright.size)
    bare.paste(upright)
    file = io.BytesIO()
    bare.save(file, "PNG")
    return file.getvalue()
