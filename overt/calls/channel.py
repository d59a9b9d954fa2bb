"""What the caller needs to know of whatever it calls: how to send, what to write down, what it cost."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any, Protocol, TypeVar

from overt.calls.prices import Price
from overt.data.chat import CallError, ChatModel, ChatReply, ChatRequest, Message
from overt.data.errors import OvertError
from overt.data.json_types import Json, JsonObject
from overt.data.plugins.faults import fault, of_reply, raised


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
