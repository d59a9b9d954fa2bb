"""What the caller needs to know of whatever it calls: how to send, what to write down, what it cost."""

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


class Reply(Protocol):
    """What every answer has, whoever gave it. `latency_s` in seconds."""

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
    """What the caller keeps of a channel: whom it calls, how fast, and whose key it needs.

    `name` goes into the journal and its keys; `subject` is the thing itself: channels to the same one
    share its pace. `ceiling` is how many calls it wants in flight at most (None: as many as the user
    allows), `patient` whether a call may wait in its queue without a time limit.
    """

    name: str
    subject: object
    ceiling: int | None
    patient: bool
    key_hint: str  # the environment variable of its key, "" where it has none

    async def close(self) -> None: ...


class Channel(Subject, Protocol[Q, R]):
    """One model behind the caller: chat, a target that draws, a judge that sees."""

    async def send(self, request: Q) -> R:
        """One attempt."""
        ...

    def failed(self, error: CallError) -> R:
        """A reply that says that there was no answer."""
        ...

    def timed(self, reply: R, seconds: float) -> R:
        """The reply with its latency."""
        ...

    def plain(self, request: Q) -> JsonObject:
        """The request as JSON data: what the journal's key is made from."""
        ...

    def pack(self, reply: R) -> JsonObject:
        """The reply as JSON data."""
        ...

    def unpack(self, data: JsonObject) -> R:
        """The reply back from `pack`'s data."""
        ...

    def cost(self, reply: R) -> float:
        """US dollars of one answer; 0 where nobody knows."""
        ...


class ChatChannel:
    """A chat model."""

    def __init__(self, chat: ChatModel, price: Price | None) -> None:
        self.name = chat.name
        self.subject: object = chat
        own = getattr(chat, "max_concurrency", None)
        self.ceiling = int(own) if own else None
        # A local model works its queue off in batches: waiting in it is no sign of trouble.
        self.patient = self.ceiling is not None
        self.key_hint = str(getattr(chat, "api_key_env", "") or "")
        self._chat, self._price = chat, price

    async def send(self, request: ChatRequest) -> ChatReply:
        """One attempt. What the class raises, or gives back instead of a reply, is an error as well."""
        try:
            reply = await self._chat.complete(request)
        except (TimeoutError, OvertError):  # the caller knows what to do with these
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
        # By hand: `dataclasses.asdict` copies every schema, at a tenth of a call's CPU time.
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
        fields: dict[str, Any] = dict(data)  # `pack` wrote them: nothing is to be checked
        error = fields.pop("error", None)
        return ChatReply(**fields, error=CallError(**error) if error else None)

    def cost(self, reply: ChatReply) -> float:
        return self._price.cost(reply.input_tokens, reply.output_tokens) if self._price else 0.0

    async def close(self) -> None:
        await self._chat.close()


def _turn(message: Message) -> dict[str, Json]:
    turn: dict[str, Json] = {"role": message.role, "content": message.content}
    if message.images:  # pictures stand in the run folder: the journal holds their hashes
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
