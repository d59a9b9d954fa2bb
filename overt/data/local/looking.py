"""A vision-language model of this machine that is asked about pictures in the caller's own thread."""

from __future__ import annotations

import io
import threading
from typing import TYPE_CHECKING

from overt.data.chat import CallError, ChatReply, ChatRequest
from overt.data.errors import InputError
from overt.data.local.devices import one_line
from overt.data.local.language import LanguageModel, Turns
from overt.data.local.memory import free_memory, out_of_memory
from overt.data.local.writing import write

if TYPE_CHECKING:
    from PIL.Image import Image as Picture


class Onlooker:
    """A vision-language model that answers one request at a time, greedily. Weights are safetensors only.

    Args:
        name: the checker or judge, for messages.
        model: a Hub id or a local folder.
        device, dtype, trust_remote_code: see `load_text_model`.

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
        self._turns = Turns(self.language)
        self._lock = threading.Lock()  # the memory is for one request at a time

    def complete(self, request: ChatRequest) -> ChatReply:
        """Returns the reply to a request with pictures; what fails becomes its error."""
        try:
            row = self._turns.row(request.messages)
            if refusal := self.language.no_place(row):
                return ChatReply(error=refusal)
            room = self.language.context - len(row.tokens)
            with self._lock:
                (written,) = write(self.language, [row], [min(request.max_tokens, room)])
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


def encoded(picture: Picture) -> bytes:
    """A picture in RGB as a PNG without metadata, for `Message.images`: nothing is lost, unlike in a JPEG."""
    from PIL import Image, ImageOps

    upright = ImageOps.exif_transpose(picture).convert("RGB")
    bare = Image.new("RGB", upright.size)
    bare.paste(upright)
    file = io.BytesIO()
    bare.save(file, "PNG")
    return file.getvalue()
