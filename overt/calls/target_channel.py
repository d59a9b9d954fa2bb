"""The channel of a target: one attempt, its pictures stored and measured before anything is recorded."""

from __future__ import annotations

import asyncio
import dataclasses
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from overt.calls.prices import Price
from overt.data.chat import CallError
from overt.data.json_types import Json, JsonObject
from overt.data.pictures import PictureFacts, UnreadablePicture, measure
from overt.data.plugins.attempts import call_target, close_target
from overt.data.run.images import ImageStore
from overt.data.targets import LayerDecision, Response, Target


@dataclass(frozen=True, slots=True)
class TargetRequest:
    """One request to a target."""

    prompt: str
    seed: int
    sample: int


@dataclass(frozen=True, slots=True)
class TargetReply:
    """A response whose pictures lie in the store: paths ("" for one that is no picture) and facts."""

    response: Response
    images: tuple[str, ...] = ()
    facts: tuple[PictureFacts | UnreadablePicture, ...] = ()

    @property
    def error(self) -> CallError | None:
        return self.response.error

    @property
    def latency_s(self) -> float:
        return self.response.latency_s

    @property
    def input_tokens(self) -> int | None:
        return self.response.input_tokens

    @property
    def output_tokens(self) -> int | None:
        return self.response.output_tokens


class TargetChannel:
    """A target behind the caller."""

    def __init__(self, name: str, target: Target, price: Price | None, store: ImageStore) -> None:
        self.name = name
        self.subject: object = target
        own = getattr(target, "max_concurrency", None)
        self.ceiling = int(own) if own else None
        self.patient = self.ceiling is not None
        self.key_hint = str(getattr(target, "api_key_env", "") or "")
        self._target, self._price, self._store = target, price, store
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="overt-pictures")

    async def send(self, request: TargetRequest) -> TargetReply:
        """One attempt. A picture that came over cut off is an error, since asking again can help."""
        response = await call_target(self._target, request.prompt, request.seed)
        if not response.images or response.error is not None:
            return TargetReply(dataclasses.replace(response, images=()))
        loop = asyncio.get_running_loop()
        work = [loop.run_in_executor(self._pool, self._take, data) for data in response.images]
        taken = await asyncio.gather(*work)
        images = tuple(reference for reference, _ in taken)
        facts = tuple(found for _, found in taken)
        bare = dataclasses.replace(response, images=())
        broken = [f for f in facts if isinstance(f, UnreadablePicture)]
        if len(broken) == len(facts) and not broken[0].is_too_large:
            bare = dataclasses.replace(bare, error=CallError("server", f"no usable picture: {broken[0]}"))
        return TargetReply(bare, images, facts)

    def _take(self, data: bytes) -> tuple[str, PictureFacts | UnreadablePicture]:
        try:
            facts = measure(data)
        except UnreadablePicture as error:
            return "", error
        return self._store.put(data), facts

    def failed(self, error: CallError) -> TargetReply:
        return TargetReply(Response(error=error))

    def timed(self, reply: TargetReply, seconds: float) -> TargetReply:
        return dataclasses.replace(reply, response=dataclasses.replace(reply.response, latency_s=seconds))

    def plain(self, request: TargetRequest) -> JsonObject:
        return dataclasses.asdict(request)

    def pack(self, reply: TargetReply) -> JsonObject:
        response = dataclasses.asdict(dataclasses.replace(reply.response, safety={}))
        response["safety"] = _jsonable(reply.response.safety)
        del response["images"]
        facts: list[Json] = [
            {"broken": str(f), "too_large": f.is_too_large}
            if isinstance(f, UnreadablePicture)
            else dataclasses.asdict(f)
            for f in reply.facts
        ]
        return {"response": response, "images": list(reply.images), "facts": facts}

    def unpack(self, data: JsonObject) -> TargetReply:
        packed: dict[str, Any] = dict(data)  # `pack` wrote it: nothing is to be checked
        fields = dict(packed["response"])
        error = fields.pop("error", None)
        layers = tuple(LayerDecision(**layer) for layer in fields.pop("layers", ()))
        response = Response(**fields, layers=layers, error=CallError(**error) if error else None)
        facts = tuple(
            UnreadablePicture(f["broken"], is_too_large=f["too_large"])
            if "broken" in f
            else PictureFacts(**f)
            for f in packed["facts"]
        )
        return TargetReply(response, tuple(packed["images"]), facts)

    def cost(self, reply: TargetReply) -> float:
        """What the provider said it cost, else by the price table."""
        if reply.response.cost is not None:
            return reply.response.cost
        if self._price is None:
            return 0.0
        return self._price.cost(reply.input_tokens, reply.output_tokens, len(reply.images))

    async def close(self) -> None:
        await close_target(self._target)
        self._pool.shutdown(wait=False)


def _jsonable(value: object) -> Json:
    """Raw safety attributes as JSON data, whatever a target put there."""
    if isinstance(value, dict):
        return {str(k): _jsonable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(v) for v in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)
