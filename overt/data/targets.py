"""The protocol of targets and their responses.

A target returns exactly what it received: images as they came over the wire, codes as the provider spells
them. overt/scoring/refusal.py decides later whether that is a refusal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from overt.data.chat import CallError, RawResponse
from overt.data.json_types import JsonObject
from overt.data.pictures import PictureFacts, UnreadablePicture
from overt.data.refusal_tokens import Gate
from overt.data.tools import ToolCall

# Keys of `Response.safety` with the flags of a pipeline's or service's own checker: one for each picture, or
# one for all.
SAFETY_FLAGS = ("nsfw_content_detected", "has_nsfw_concepts")
# The key of `Response.safety` that is true where the model's decoder gave NaN or infinity.
NOT_FINITE = "not_finite"
# True where half precision overflowed in the decoder, and float32 gave the picture.
DECODED_AGAIN = "decoded_in_float32"
# True where a pipeline's checker blackened a picture for a watermark in it, which refuses nothing.
WATERMARKED = "watermark_detected"

NOT_ASKED = "not asked: "

# What a prompt may carry besides its text: keys of `Target.takes` and keywords of its `respond`.
Extra = Literal["picture", "turns", "tools"]

# A check of the prompt, of the picture that came with it, the model's own no, a check of what was drawn.
RefusalStage = Literal["prompt_filter", "input_filter", "model", "image_filter"]


@dataclass(frozen=True, slots=True)
class LayerDecision:
    """The decision of one layer of a product: a text filter, the model's own check, an image checker.

    `blocked` is None if no checker ran ("unchecked", never "passed") or its answer was unreadable. `score`
    is from 0 (harmless) to 1, or None. `reason` has under 200 characters and may be ""; of a layer that did
    not see the prompt it begins with `NOT_ASKED`.
    """

    layer: str
    stage: RefusalStage
    blocked: bool | None
    score: float | None = None
    reason: str = ""

    @property
    def was_asked(self) -> bool:
        """Whether the layer saw the prompt or its picture."""
        return self.blocked is not None or not self.reason.startswith(NOT_ASKED)


@dataclass(frozen=True, slots=True)
class Response:
    """The unchanged response of one attempt.

    images: encoded images, byte for byte as received.
    text: text instead of an image or beside it.
    status: the HTTP status, None without HTTP.
    code: the provider's error, refusal or filter code, or "".
    message: the provider's message, at most 500 characters.
    finish_reason: as the provider spells it.
    safety: raw safety attributes as plain JSON data; the diffusers flag is
        {"nsfw_content_detected": true | false | null}, null if no checker ran.
    revised_prompt: the provider's own version of the prompt.
    seed: the seed of the image, if the target takes or reports one.
    layers: decisions of layers that overt itself asked; empty for a plain model.
    latency_s: seconds of the last attempt, with the wait for a place in a local model's batch.
    batch_s, batch_size: of a local model that draws in batches: the seconds of the whole batch that the
        answer was part of, and its prompts; the quotient is the seconds per picture. None: no batch.
    cost: US dollars if the provider reports them, else None.
    error: the reason why nothing is usable (network, limits, billing, a broken response). A provider's
        refusal is not an error: it comes as status, code and message, with `error` None.
    raw: the HTTP response behind a refusal or an error; None for an answer, and without HTTP.
    adapted, is_estimate, price_share, gate, calls: as in `overt.data.chat.ChatReply`.
    measured: the facts of the images in their order, where they were measured by the process that drew them;
        None: whoever gets them measures.
    """

    images: tuple[bytes, ...] = ()
    text: str = ""
    status: int | None = None
    code: str = ""
    message: str = ""
    finish_reason: str | None = None
    safety: JsonObject = field(default_factory=dict)
    revised_prompt: str | None = None
    seed: int | None = None
    layers: tuple[LayerDecision, ...] = ()
    input_tokens: int | None = None
    output_tokens: int | None = None
    latency_s: float = 0.0
    batch_s: float | None = None
    batch_size: int | None = None
    cost: float | None = None
    error: CallError | None = None
    raw: RawResponse | None = None
    adapted: tuple[str, ...] = ()
    is_estimate: bool = False
    price_share: float | None = None
    gate: Gate | None = None
    calls: tuple[ToolCall, ...] = ()
    measured: tuple[PictureFacts | UnreadablePicture, ...] | None = None


def safety_flags(response: Response) -> list[object]:
    """The flags of the target's own checker in the order of the pictures; empty if no checker ran."""
    found: list[object] = []
    if not response.safety:
        return found
    for name in SAFETY_FLAGS:
        value: object = response.safety.get(name) if isinstance(response.safety, Mapping) else None
        found += value if isinstance(value, (list, tuple)) else [value] if value is not None else []
    return found


@runtime_checkable
class Target(Protocol):
    """The extension point for targets. `respond` may also be a plain function, which runs in a thread.

    `respond` makes ONE attempt. It does not raise for failures of the network or the provider but returns
    them as `Response.error`, with the server's `retry_after` if any. The caller retries, paces, journals and
    caps. `seed` is 0..2**31-1, one for each prompt; a target without seeds leaves `Response.seed` None.

    Optional: `async def close(self)`; `max_concurrency: int`, the useful number of requests in flight (a
    local model batches them, and waiting in its queue has no time limit); `batch_size: int`, how many it
    works on at once (under `--workers` they are sent to it together); `modality`: "image" (the default),
    "text", or "none" for a bare filter; `def reread(self, raw: RawResponse) -> Response | None`, which reads
    a response that was kept by today's vocabulary, without a request (None if it cannot tell);
    `notes`, lines that the reader of a run must know, and `facts`, the same as JSON data for its manifest;
    `blank_is_refusal: bool`, true if a picture of one plain colour is how it refuses. Without that
    declaration, and without a safety flag, such a picture counts as an error: nothing was drawn.

    `takes`: what it takes besides the text, of `Extra`; empty by default. With "picture", `respond` gets
    `picture=` (encoded bytes: the picture to edit, or to ask about) for prompts that carry one; with "turns"
    `turns=` (a tuple of `overt.data.records.Turn`, what was said before), and where the assistant drew in
    them also `drawn=` (encoded bytes by the names in `Turn.images`). Prompts that carry what a target does
    not take are refused before anything is asked. With "tools" it gets `tools=` (a tuple of
    `overt.data.tools.Tool`) and its turns may hold calls and results; an empty prompt then says nothing
    after the last of them.
    """

    name: str  # "provider/model", as the user wrote it

    async def respond(self, prompt: str, *, seed: int) -> Response: ...
