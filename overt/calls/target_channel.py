"""The channel of a target: its pictures go into the run's image store, their facts into the journal."""

from __future__ import annotations

import asyncio
import dataclasses
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from overt.calls.channel import (
    UnreadableRow,
    bare_gate,
    check,
    code_alone,
    made,
    needs_tokens,
    packed,
    share,
    stopped_error,
)
from overt.calls.costs import Price, estimated_tokens
from overt.data.chat import CallError, RawResponse
from overt.data.json_types import Json, JsonObject
from overt.data.measured import facts_of
from overt.data.pictures import PictureFacts, UnreadablePicture
from overt.data.plugins.attempts import call_target, close_target, of_response
from overt.data.records import Turn, to_json
from overt.data.run.images import ImageStore
from overt.data.secrets import storable
from overt.data.targets import LayerDecision, Response, Target
from overt.data.tools import Tool
from overt.policies.floor import stopped


@lru_cache(maxsize=8192)
def _json_of(part: Turn | Tool) -> JsonObject:
    """A part of a request as JSON data: each request of a conversation has nearly all of the one before."""
    return to_json(part)


@dataclass(frozen=True, slots=True)
class TargetRequest:
    """One request to a target. `image` and `turns` are those of the prompt; `tools` what it may call."""

    prompt: str
    seed: int
    sample: int
    image: str | None = None
    turns: tuple[Turn, ...] | None = None
    tools: tuple[Tool, ...] = ()

    def plain(self) -> JsonObject:
        """The request as JSON data, from which the journal's key is made. Requests of a text alone keep the
        keys that they had before there was anything else."""
        found: dict[str, Json] = {"prompt": self.prompt, "seed": self.seed, "sample": self.sample}
        if self.image is not None:
            found["image"] = self.image
        if self.turns is not None:
            found["turns"] = [_json_of(turn) for turn in self.turns]
        if self.tools:
            found["tools"] = [_json_of(tool) for tool in self.tools]
        return found


@dataclass(frozen=True, slots=True)
class TargetReply:
    """A response whose images are in the store: their paths ("" for an unreadable one) and facts."""

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

    @property
    def raw(self) -> RawResponse | None:
        return self.response.raw

    @property
    def adapted(self) -> tuple[str, ...]:
        return self.response.adapted

    @property
    def is_estimate(self) -> bool:
        return self.response.is_estimate

    @property
    def price_share(self) -> float | None:
        return self.response.price_share


class TargetChannel:
    """The channel of a target."""

    def __init__(self, name: str, target: Target, price: Price | None, store: ImageStore) -> None:
        self.name = name
        self.subject: object = target
        own = getattr(target, "max_concurrency", None)
        self.ceiling = int(own) if own else None
        self.patient = self.ceiling is not None
        self.key_hint = str(getattr(target, "api_key_env", "") or "")
        self.address = str(getattr(target, "address", "") or "")
        self._target, self.price, self._store = target, price, store
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="overt-pictures")

    async def send(self, request: TargetRequest) -> TargetReply:
        """Makes one attempt. If no image is readable, the reply is an error, since another try can help."""
        picture = await asyncio.to_thread(self._store.get, request.image) if request.image else None
        turns = request.turns or ()
        # A thread for each call would cost more than the call itself.
        drawn = await asyncio.to_thread(self._drawn, turns) if any(turn.images for turn in turns) else {}
        said = await call_target(
            self._target,
            request.prompt,
            request.seed,
            picture=picture,
            turns=turns,
            tools=request.tools,
            drawn=drawn,
        )
        response = storable(said)
        if not response.images:
            return TargetReply(response)
        bare = dataclasses.replace(response, images=(), measured=None)
        if response.error is not None:
            return TargetReply(bare)
        if stopped(self.pack(TargetReply(bare))):  # the caller drops the text; its pictures are never stored
            paid = self.cost(TargetReply(bare, ("",) * len(response.images)))
            return TargetReply(dataclasses.replace(bare, cost=paid))
        stored = await self._stored(response)
        images = tuple(reference for reference, _ in stored)
        facts = tuple(facts for _, facts in stored)
        broken = [f for f in facts if isinstance(f, UnreadablePicture)]
        if len(broken) == len(facts) and not broken[0].is_too_large:
            bare = dataclasses.replace(bare, error=CallError("server", f"no usable picture: {broken[0]}"))
        return TargetReply(bare, images, facts)

    async def _stored(self, response: Response) -> list[tuple[str, PictureFacts | UnreadablePicture]]:
        """Stores the pictures of a response, each with its facts."""
        loop = asyncio.get_running_loop()
        known = response.measured or ()
        measured = known if len(known) == len(response.images) else (None,) * len(response.images)
        work = [
            loop.run_in_executor(self._pool, self._store_measured, data, facts)
            for data, facts in zip(response.images, measured, strict=True)
        ]
        return await asyncio.gather(*work)

    def _drawn(self, turns: tuple[Turn, ...]) -> dict[str, bytes]:
        """The pictures in a conversation."""
        return {name: self._store.get(name) for turn in turns for name in turn.images or ()}

    def _store_measured(
        self, data: bytes, known: PictureFacts | UnreadablePicture | None
    ) -> tuple[str, PictureFacts | UnreadablePicture]:
        """Stores a picture that can be read, and measures it unless a worker has."""
        facts = facts_of(data) if known is None else known
        return "" if isinstance(facts, UnreadablePicture) else self._store.put(data), facts

    def failed(self, error: CallError) -> TargetReply:
        return TargetReply(storable(Response(error=error)))

    def timed(self, reply: TargetReply, seconds: float) -> TargetReply:
        return dataclasses.replace(reply, response=dataclasses.replace(reply.response, latency_s=seconds))

    def by_batch(self, reply: TargetReply, share: float) -> TargetReply:
        return dataclasses.replace(reply, response=dataclasses.replace(reply.response, price_share=share))

    def plain(self, request: TargetRequest) -> JsonObject:
        return request.plain()

    def pack(self, reply: TargetReply) -> JsonObject:
        said = reply.response
        response = packed(said, apart=("images", "measured", "layers", "safety"))
        if said.layers:
            response["layers"] = [dataclasses.asdict(layer) for layer in said.layers]
        if said.safety:
            response["safety"] = _jsonable(said.safety)
        facts: list[Json] = [
            {"broken": str(f), "too_large": f.is_too_large}
            if isinstance(f, UnreadablePicture)
            else dataclasses.asdict(f)
            for f in reply.facts
        ]
        return {"response": response, "images": list(reply.images), "facts": facts}

    def unpack(self, data: JsonObject) -> TargetReply:
        row: dict[str, Any] = dict(data)
        try:
            fields = dict(row["response"])
            layers = tuple(LayerDecision(**layer) for layer in fields.pop("layers", ()))
            facts = tuple(map(_facts, row["facts"]))
            images = tuple(row["images"])
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise UnreadableRow(str(error)) from error
        if len(images) != len(facts) or not all(isinstance(image, str) for image in images):
            raise UnreadableRow("the pictures do not fit their facts")
        response = made(Response, fields, layers=layers)
        check(of_response(response), response.latency_s)
        return TargetReply(response, images, facts)

    def reread(self, reply: TargetReply) -> TargetReply | None:
        old, read = reply.response, getattr(self._target, "reread", None)
        if old.raw is None or read is None:
            return reply
        found = read(old.raw)
        if not isinstance(found, Response):
            return reply
        if found.images and not reply.images:
            return None
        new = {layer.layer for layer in found.layers}
        kept = dataclasses.replace(
            found,
            images=(),
            layers=(*(layer for layer in old.layers if layer.layer not in new), *found.layers),
            seed=old.seed,
            latency_s=old.latency_s,
            adapted=old.adapted,
            price_share=old.price_share,
            gate=old.gate,
        )
        return dataclasses.replace(reply, response=kept)

    def counted(self, request: TargetRequest, reply: TargetReply) -> TargetReply:
        response = reply.response
        if response.cost is not None or not needs_tokens(self.price, response):
            return reply
        said = (request.prompt, *(turn.content for turn in request.turns or ()))
        into, out = estimated_tokens(response, said)
        counted = dataclasses.replace(response, is_estimate=True, input_tokens=into, output_tokens=out)
        return dataclasses.replace(reply, response=counted)

    def without_body(self, reply: TargetReply, note: str) -> TargetReply:
        said = reply.response
        layers = tuple(
            layer if stopped(layer.reason) is None else dataclasses.replace(layer, reason="")
            for layer in said.layers
        )
        kept = dataclasses.replace(
            said,
            text="",
            code=code_alone(said.code),
            message=note,
            finish_reason=code_alone(said.finish_reason or "") or None,
            safety={},
            revised_prompt=None,
            layers=layers,
            error=stopped_error(said.error, note),
            raw=None,
            gate=bare_gate(said.gate),
            calls=(),
        )
        return TargetReply(kept)

    def cost(self, reply: TargetReply) -> float:
        """The provider's own figure if there is one, else from the price list."""
        if reply.response.cost is not None:
            return reply.response.cost
        if self.price is None:
            return 0.0
        live = self.price.cost(reply.input_tokens, reply.output_tokens, len(reply.images))
        return live * share(reply)

    async def close(self) -> None:
        await close_target(self._target)
        self._pool.shutdown(wait=False)


def _facts(data: Any) -> PictureFacts | UnreadablePicture:
    if "broken" in data:
        return UnreadablePicture(str(data["broken"]), is_too_large=bool(data["too_large"]))
    scalars = all(isinstance(value, int | float | str | None) for value in data.values())
    if not scalars or not all(isinstance(data[name], int) for name in ("width", "height")):
        raise TypeError("a fact about a picture is of a wrong type")
    return PictureFacts(**data)


def _jsonable(value: object) -> Json:
    """Raw safety attributes as JSON data; other types become text."""
    if isinstance(value, dict):
        return {str(k): _jsonable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(v) for v in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)
