"""Adapters between the caller and the models: how to send a request, journal its reply, and price it."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from overt.calls.costs import Price
from overt.data.chat import CallError, ChatModel, ChatReply, ChatRequest, Message
from overt.data.errors import OvertError
from overt.data.json_types import Json, JsonObject
from overt.data.pictures import PictureFacts, UnreadablePicture, measure
from overt.data.plugins.attempts import call_target, close_target, fault, of_reply, raised
from overt.data.run.images import ImageStore
from overt.data.targets import LayerDecision, Response, Target
from overt.policies.floor import stopped


class Reply(Protocol):
    """The fields that every reply has. `latency_s` is in seconds."""

    @property
    def error(self) -> CallError | None: ...
    @property
    def latency_s(self) -> float: ...
    @property
    def input_tokens(self) -> int | None: ...
    @property
    def output_tokens(self) -> int | None: ...


Q = TypeVar("Q", contravariant=True)
R = TypeVar("R", bound=Reply)


class Subject(Protocol):
    """The part of a channel that does not depend on the types of request and reply.

    `name` goes into the journal and its keys. `subject` is the model object; channels to the same one share
    its pace. `ceiling` is its own limit of parallel calls (None: the user's limit); `patient` is whether a
    call may wait in its queue without a time limit.
    """

    name: str
    subject: object
    ceiling: int | None
    patient: bool
    key_hint: str  # the environment variable of its API key, or ""

    async def close(self) -> None: ...


class Channel(Subject, Protocol[Q, R]):
    """One model as the caller sees it."""

    async def send(self, request: Q) -> R:
        """Makes one attempt."""
        ...

    def failed(self, error: CallError) -> R:
        """A reply that holds only the error."""
        ...

    def timed(self, reply: R, seconds: float) -> R:
        """The reply with its latency."""
        ...

    def plain(self, request: Q) -> JsonObject:
        """The request as JSON data, from which the journal's key is made."""
        ...

    def pack(self, reply: R) -> JsonObject:
        """The reply as JSON data."""
        ...

    def unpack(self, data: JsonObject) -> R:
        """The reply from `pack`'s data."""
        ...

    def without_body(self, reply: R, note: str) -> R:
        """A reply that the floor stopped: what was said is gone, `note` stands for it, and the cost stays.

        A refusal stays a refusal and an error its error; any other reply becomes a "floor" error.
        """
        ...

    def cost(self, reply: R) -> float:
        """US dollars of one reply; 0 if the price is unknown."""
        ...


class ChatChannel:
    """The channel of a chat model."""

    def __init__(self, chat: ChatModel, price: Price | None) -> None:
        self.name = chat.name
        self.subject: object = chat
        own = getattr(chat, "max_concurrency", None)
        self.ceiling = int(own) if own else None
        # A local model works through its queue in batches, so a long wait is normal.
        self.patient = self.ceiling is not None
        self.key_hint = str(getattr(chat, "api_key_env", "") or "")
        self._chat, self._price = chat, price

    async def send(self, request: ChatRequest) -> ChatReply:
        """Makes one attempt. An exception or a wrong return value of the class becomes an error reply."""
        try:
            reply = await self._chat.complete(request)
        except (TimeoutError, OvertError):  # the caller handles these
            raise
        except Exception as error:
            return self.failed(fault(self.name, raised(self._chat, error)))
        wrong = of_reply(reply)
        return self.failed(fault(self.name, wrong)) if wrong else reply

    def failed(self, error: CallError) -> ChatReply:
        return ChatReply(error=error)

    def timed(self, reply: ChatReply, seconds: float) -> ChatReply:
        return dataclasses.replace(reply, latency_s=seconds)

    def plain(self, request: ChatRequest) -> JsonObject:
        # `dataclasses.asdict` would copy every schema, at a tenth of a call's CPU time.
        return {
            "messages": [_turn(message) for message in request.messages],
            "temperature": request.temperature,
            "max_tokens": request.max_tokens,
            "seed": request.seed,
            "sample": request.sample,
            "schema": request.schema,
        }

    def pack(self, reply: ChatReply) -> JsonObject:
        return {
            "text": reply.text,
            "finish_reason": reply.finish_reason,
            "refusal": reply.refusal,
            "input_tokens": reply.input_tokens,
            "output_tokens": reply.output_tokens,
            "latency_s": reply.latency_s,
            "error": dataclasses.asdict(reply.error) if reply.error else None,
        }

    def unpack(self, data: JsonObject) -> ChatReply:
        fields: dict[str, Any] = dict(data)  # written by `pack`, so not checked
        error = fields.pop("error", None)
        return ChatReply(**fields, error=CallError(**error) if error else None)

    def without_body(self, reply: ChatReply, note: str) -> ChatReply:
        refused = reply.error is None and bool(reply.refusal)
        return ChatReply(
            finish_reason=_code(reply.finish_reason or "") or None,
            refusal=note if refused else None,
            input_tokens=reply.input_tokens,
            output_tokens=reply.output_tokens,
            latency_s=reply.latency_s,
            error=None if refused else _stopped_error(reply.error, note),
        )

    def cost(self, reply: ChatReply) -> float:
        return self._price.cost(reply.input_tokens, reply.output_tokens) if self._price else 0.0

    async def close(self) -> None:
        await self._chat.close()


def _stopped_error(error: CallError | None, note: str) -> CallError:
    """The error of a reply that the floor stopped."""
    return dataclasses.replace(error, message=note) if error else CallError("floor", note)


def _code(text: str) -> str:
    """A code or a finish reason as it is; anything longer than a word is part of the body and goes."""
    return text if len(text) <= 60 and len(text.split()) <= 1 and stopped(text) is None else ""


def _turn(message: Message) -> dict[str, Json]:
    turn: dict[str, Json] = {"role": message.role, "content": message.content}
    if message.images:  # the journal holds hashes; the images are in the run folder
        turn["images"] = [hashlib.blake2b(image, digest_size=16).hexdigest() for image in message.images]
    return turn


# -- targets -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TargetRequest:
    """One request to a target."""

    prompt: str
    seed: int
    sample: int


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


class TargetChannel:
    """The channel of a target."""

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
        """Makes one attempt. If no image is readable, the reply is an error, since another try can help."""
        response = await call_target(self._target, request.prompt, request.seed)
        bare = dataclasses.replace(response, images=())
        if not response.images or response.error is not None:
            return TargetReply(bare)
        if stopped(self.pack(TargetReply(bare))):  # the caller drops the text; its pictures are never stored
            paid = self.cost(TargetReply(bare, ("",) * len(response.images)))
            return TargetReply(dataclasses.replace(bare, cost=paid))
        loop = asyncio.get_running_loop()
        work = [loop.run_in_executor(self._pool, self._measure_and_store, data) for data in response.images]
        stored = await asyncio.gather(*work)
        images = tuple(reference for reference, _ in stored)
        facts = tuple(facts for _, facts in stored)
        broken = [f for f in facts if isinstance(f, UnreadablePicture)]
        if len(broken) == len(facts) and not broken[0].is_too_large:
            bare = dataclasses.replace(bare, error=CallError("server", f"no usable picture: {broken[0]}"))
        return TargetReply(bare, images, facts)

    def _measure_and_store(self, data: bytes) -> tuple[str, PictureFacts | UnreadablePicture]:
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
        packed: dict[str, Any] = dict(data)  # written by `pack`, so not checked
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

    def without_body(self, reply: TargetReply, note: str) -> TargetReply:
        said = reply.response
        layers = tuple(
            layer if stopped(layer.reason) is None else dataclasses.replace(layer, reason="")
            for layer in said.layers
        )
        kept = Response(
            status=said.status,
            code=_code(said.code),
            message=note,
            finish_reason=_code(said.finish_reason or "") or None,
            seed=said.seed,
            layers=layers,
            input_tokens=said.input_tokens,
            output_tokens=said.output_tokens,
            latency_s=said.latency_s,
            cost=said.cost,
            error=_stopped_error(said.error, note),
        )
        return TargetReply(kept)

    def cost(self, reply: TargetReply) -> float:
        """The provider's own figure if there is one, else from the price list."""
        if reply.response.cost is not None:
            return reply.response.cost
        if self._price is None:
            return 0.0
        return self._price.cost(reply.input_tokens, reply.output_tokens, len(reply.images))

    async def close(self) -> None:
        await close_target(self._target)
        self._pool.shutdown(wait=False)


def _jsonable(value: object) -> Json:
    """Raw safety attributes as JSON data; other types become text."""
    if isinstance(value, dict):
        return {str(k): _jsonable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(v) for v in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)
