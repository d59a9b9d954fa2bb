"""Adapters between the caller and the models: how to send a request, journal its reply, and price it."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Collection
from typing import Any, Protocol, TypeVar

from overt.calls.costs import Price, estimated_tokens
from overt.data.chat import (
    CallError,
    ChatModel,
    ChatReply,
    ChatRequest,
    Message,
    RawResponse,
    is_blind,
)
from overt.data.errors import OvertError
from overt.data.json_types import Json, JsonObject
from overt.data.plugins.attempts import fault, of_reply, raised
from overt.data.records import from_json
from overt.data.refusal_tokens import Gate
from overt.data.secrets import storable
from overt.data.targets import Response
from overt.data.tools import ToolCall
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
    @property
    def raw(self) -> RawResponse | None: ...
    @property
    def adapted(self) -> tuple[str, ...]: ...
    @property
    def is_estimate(self) -> bool: ...
    @property
    def price_share(self) -> float | None: ...


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
    address: str  # where its requests go, or "" if that is fixed; may hold a secret
    price: Price | None  # None: unknown

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

    def by_batch(self, reply: R, share: float) -> R:
        """The reply of a call by batch, which costs this share of its live price."""
        ...

    def plain(self, request: Q) -> JsonObject:
        """The request as JSON data, from which the journal's key is made."""
        ...

    def pack(self, reply: R) -> JsonObject:
        """The reply as JSON data."""
        ...

    def unpack(self, data: JsonObject) -> R:
        """The reply from `pack`'s data. Fields of other versions are left out.

        Raises:
            UnreadableRow: the data are damaged.
        """
        ...

    def reread(self, reply: R) -> R | None:
        """A journalled reply as today's vocabulary reads its raw response, without a request; the reply as it
        is if it has none or if nothing more can be told. None: it is an answer now, whose pictures were not
        kept, so that it must be asked again."""
        ...

    def counted(self, request: Q, reply: R) -> R:
        """The reply with its tokens estimated from the texts, where the price needs them and the service did
        not count them."""
        ...

    def without_body(self, reply: R, note: str) -> R:
        """A reply that the floor stopped: what was said is gone, `note` stands for it, and the cost stays.

        A refusal stays a refusal and an error its error; any other reply becomes a "floor" error.
        """
        ...

    def cost(self, reply: R) -> float:
        """US dollars of one reply; 0 if the price is unknown."""
        ...


class UnreadableRow(ValueError):
    """A journalled reply that is damaged."""


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
        self.address = str(getattr(chat, "address", "") or "")
        self._chat, self.price = chat, price

    async def send(self, request: ChatRequest) -> ChatReply:
        """Makes one attempt. An exception or a wrong return value of the class becomes an error reply."""
        if is_blind(self._chat) and any(message.images for message in request.messages):
            return self.failed(CallError("bad_request", f"{self.name} sees no pictures"))
        try:
            reply = await self._chat.complete(request)
        except (TimeoutError, OvertError):  # the caller handles these
            raise
        except Exception as error:
            return self.failed(fault(self.name, raised(self._chat, error)))
        wrong = of_reply(reply)
        return self.failed(fault(self.name, wrong)) if wrong else storable(reply)

    def failed(self, error: CallError) -> ChatReply:
        return storable(ChatReply(error=error))

    def timed(self, reply: ChatReply, seconds: float) -> ChatReply:
        return dataclasses.replace(reply, latency_s=seconds)

    def by_batch(self, reply: ChatReply, share: float) -> ChatReply:
        return dataclasses.replace(reply, price_share=share)

    def plain(self, request: ChatRequest) -> JsonObject:
        # `dataclasses.asdict` would copy every schema, at a tenth of a call's CPU time.
        tools: list[Json] = [dataclasses.asdict(tool) for tool in request.tools]
        return {
            "messages": [_turn(message) for message in request.messages],
            "temperature": request.temperature,
            "max_tokens": request.max_tokens,
            "seed": request.seed,
            "sample": request.sample,
            "schema": request.schema,
            **({"tools": tools} if tools else {}),
        }

    def pack(self, reply: ChatReply) -> JsonObject:
        return packed(reply)

    def unpack(self, data: JsonObject) -> ChatReply:
        reply = made(ChatReply, data)
        check(of_reply(reply), reply.latency_s)
        return reply

    def reread(self, reply: ChatReply) -> ChatReply | None:
        read = getattr(self._chat, "reread", None)
        if reply.raw is None or read is None:
            return reply
        found = read(reply.raw)
        if not isinstance(found, ChatReply):
            return reply
        return dataclasses.replace(
            found,
            latency_s=reply.latency_s,
            adapted=reply.adapted,
            price_share=reply.price_share,
            gate=reply.gate,
        )

    def counted(self, request: ChatRequest, reply: ChatReply) -> ChatReply:
        if not needs_tokens(self.price, reply):
            return reply
        sent = (m.content for m in request.messages)
        pictures = sum(len(m.images) for m in request.messages)
        into, out = estimated_tokens(reply, sent, pictures)
        return dataclasses.replace(reply, is_estimate=True, input_tokens=into, output_tokens=out)

    def without_body(self, reply: ChatReply, note: str) -> ChatReply:
        is_refusal = reply.error is None and bool(reply.refusal)
        return dataclasses.replace(
            reply,
            text="",
            finish_reason=code_alone(reply.finish_reason or "") or None,
            refusal=note if is_refusal else None,
            error=None if is_refusal else stopped_error(reply.error, note),
            raw=None,
            gate=bare_gate(reply.gate),
            calls=(),
        )

    def cost(self, reply: ChatReply) -> float:
        if self.price is None:
            return 0.0
        return self.price.cost(reply.input_tokens, reply.output_tokens) * share(reply)

    async def close(self) -> None:
        await self._chat.close()


def within_floor(channel: Channel[Q, R], reply: R) -> tuple[R, JsonObject]:
    """The reply without its body if the floor stops it: before the journal, a repair that quotes it, or a
    failure's message can hold it. And the reply as JSON data."""
    packed = channel.pack(reply)
    stop = stopped(packed)
    if stop is None:
        return reply, packed
    bare = channel.without_body(reply, str(stop))
    return bare, channel.pack(bare)


def stopped_error(error: CallError | None, note: str) -> CallError:
    """The error of a reply that the floor stopped."""
    return dataclasses.replace(error, message=note) if error else CallError("floor", note)


def bare_gate(gate: Gate | None) -> Gate | None:
    """A gate without what was written behind other tokens."""
    return gate and dataclasses.replace(gate, others=())


def code_alone(text: str) -> str:
    """A code or a finish reason as it is; anything longer than a word is part of the body and goes."""
    return text if len(text) <= 60 and len(text.split()) <= 1 and stopped(text) is None else ""


# The names of all fields with their defaults; of a field without one, what no value is equal to.
_CHAT = tuple((field.name, field.default) for field in dataclasses.fields(ChatReply))
_TARGET = tuple((field.name, field.default) for field in dataclasses.fields(Response))


def packed(reply: ChatReply | Response, apart: Collection[str] = ()) -> dict[str, Json]:
    """The fields of a reply that say something, and the error even where there is none, which older versions
    look for.

    Args:
        apart: fields that the caller packs.
    """
    found: dict[str, Json] = {}
    for name, default in _CHAT if isinstance(reply, ChatReply) else _TARGET:
        value = getattr(reply, name)
        if value != default and name not in apart:
            found[name] = value
    if reply.adapted:
        found["adapted"] = list(reply.adapted)
    if reply.raw is not None:
        found["raw"] = dataclasses.asdict(reply.raw)
    if reply.gate is not None:
        gate = dataclasses.asdict(reply.gate)
        # Lists, since the floor reads JSON data: what was written behind other tokens is in there.
        found["gate"] = {**gate, "shares": list(gate["shares"]), "others": list(gate["others"])}
    if reply.calls:
        # Without their ids, which only tie results to calls within one conversation.
        found["calls"] = [{"name": call.name, "arguments": call.arguments} for call in reply.calls]
    found["error"] = dataclasses.asdict(reply.error) if reply.error else None
    return found


def share(reply: Reply) -> float:
    """The share of the live price that a reply costs."""
    return 1.0 if reply.price_share is None else reply.price_share


M = TypeVar("M", ChatReply, Response)


def made(kind: type[M], data: JsonObject, **more: Any) -> M:
    """A reply from journalled data.

    Raises:
        UnreadableRow: a field is missing or of a wrong type.
    """
    known = _CHAT if kind is ChatReply else _TARGET
    fields: dict[str, Any] = {name: data[name] for name, _ in known if name in data}
    try:
        error, raw, adapted = fields.pop("error"), fields.pop("raw", None), fields.pop("adapted", ())
        gate, calls = fields.pop("gate", None), fields.pop("calls", ())
        if not isinstance(fields.get("price_share", 1.0), int | float):
            raise TypeError("price_share is not a number")
        return kind(
            **{**fields, **more},
            adapted=tuple(map(str, adapted)),
            error=CallError(**error) if error else None,
            raw=RawResponse(**raw) if raw else None,
            gate=from_json(Gate, gate) if gate else None,
            calls=tuple(ToolCall(f"call-{n}", **call) for n, call in enumerate(calls, 1)),
        )
    except (TypeError, KeyError, AttributeError) as error:
        raise UnreadableRow(str(error)) from error


def check(wrong: str, latency_s: object) -> None:
    if wrong or isinstance(latency_s, bool) or not isinstance(latency_s, int | float):
        raise UnreadableRow(wrong or "latency_s is not a number")


def needs_tokens(price: Price | None, reply: ChatReply | Response) -> bool:
    was_paid = reply.error is None or reply.error.is_of_answer
    is_missing = was_paid and (reply.input_tokens is None or reply.output_tokens is None)
    return is_missing and price is not None and price.is_by_token


def _turn(message: Message) -> dict[str, Json]:
    turn: dict[str, Json] = {"role": message.role, "content": message.content}
    if message.images:  # the journal holds hashes; the images are in the run folder
        turn["images"] = [hashlib.blake2b(image, digest_size=16).hexdigest() for image in message.images]
    if message.calls:
        turn["calls"] = [dataclasses.asdict(call) for call in message.calls]
    if message.call_id:
        turn["call_id"] = message.call_id
    return turn
