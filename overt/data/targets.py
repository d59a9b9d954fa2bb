"""What a target under test is asked and what comes back: plain records and one short protocol.

A target hands over exactly what it got, unjudged: pictures as they came over the wire, codes as the
provider spells them. Whether that was a refusal is decided later (overt/scoring/refusal.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from overt.data.chat import CallError
from overt.data.json_types import JsonObject

RefusalStage = Literal["prompt_filter", "model", "image_filter"]


@dataclass(frozen=True, slots=True)
class LayerDecision:
    """What one layer of a product said: a text filter, the model's own check, an image checker.

    `blocked` is None where the layer did not say: no checker ran ("unchecked", never "passed"), or its
    answer could not be read. `score` from 0 (harmless) to 1 where the layer gives one. `reason` is what
    it found or its own code, under 200 characters, "" where it does not tell.
    """

    layer: str
    stage: RefusalStage
    blocked: bool | None
    score: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Response:
    """Exactly what one attempt brought.

    images: encoded pictures, byte for byte as received; empty if none came.
    text: text that came instead of a picture or beside it.
    status: the HTTP status, None where there is no HTTP.
    code: the provider's own error, refusal or filter code, "" for none.
    message: the provider's words beside the code, at most 500 characters.
    finish_reason: as the provider spells it.
    safety: raw safety attributes as plain JSON data; the diffusers flag stands here as
        {"nsfw_content_detected": true | false | null}, null where no checker ran.
    revised_prompt: what the provider says it drew instead of the prompt.
    seed: the seed the picture was drawn with, where the target takes or tells one.
    layers: decisions of layers that overt itself asked; empty for a plain model.
    latency_s: seconds of the last attempt. cost: US dollars where the provider itself says, else None.
    error: why there is nothing usable (network, limits, billing, a broken answer). A provider's refusal
        is no error: it comes as status, code and message, with `error` None.
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
    cost: float | None = None
    error: CallError | None = None


@runtime_checkable
class Target(Protocol):
    """The extension point: a name and one coroutine (a plain function is run in a thread of its own).

    `respond` makes ONE attempt and never raises for what the network or the provider does: that comes
    back as `Response.error`, with `retry_after` where the server said so. Retrying, pacing, journalling
    and caps are the caller's job. `seed` is 0..2**31-1, another one for each prompt; a target that takes
    none leaves `Response.seed` None.

    Optional: `async def close(self)`; `max_concurrency: int`, how many requests are worth having in
    flight (a local model batches what is waiting; no time limit is then set on waiting in its queue);
    `modality`, "image" (the default), "text", or "none" for a bare filter.
    """

    name: str  # "provider/model", as the user wrote it

    async def respond(self, prompt: str, *, seed: int) -> Response: ...
