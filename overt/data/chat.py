"""What is said to a chat model and what comes back: plain records and the protocols around them.

They stand in the lowest room so that the stages that make (generation) and the stages that judge
(scoring) both speak to models without knowing each other, the providers, or how calls are
journalled: the pipeline hands each stage an `Ask`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Protocol, TypeVar, runtime_checkable

from overt.data.json_types import JsonObject

T = TypeVar("T")
Role = Literal["system", "user", "assistant"]

ErrorKind = Literal[
    "rate_limit",  # 429: retried
    "server",  # 5xx, or an answer that is not one: retried
    "timeout",  # no answer in time: retried
    "connection",  # dropped or refused: retried
    "auth",  # bad or missing key: final, ends the run (every other request would fail too)
    "billing",  # no credit left: final, ends the run
    "bad_request",  # the provider rejects this request: final for this request
    "too_long",  # the prompt does not fit the context: final for this request
    "broken_class",  # code of the user's own raised: not kept, asked again once it is mended
]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. `images` are encoded pictures that go with it, for models that see."""

    role: Role
    content: str
    images: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One request. `sample` tells apart repeats of the same request; `seed` is sent to the model.

    `schema` is the JSON Schema that the answer should meet, None for free text.
    """

    messages: tuple[Message, ...]
    temperature: float = 1.0
    max_tokens: int = 1024
    seed: int | None = None
    sample: int = 0
    schema: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class CallError:
    """Why there is no answer. `retry_after` in seconds where the server said so."""

    kind: ErrorKind
    message: str
    status: int | None = None
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class ChatReply:
    """Exactly what came back, unjudged.

    `text` is "" when the model said nothing. `refusal` is the provider's own refusal field or
    content-filter code, None when it gave none. `finish_reason` as the provider spells it.
    Token counts are None when the provider gave none. `latency_s` is of the last attempt.
    """

    text: str = ""
    finish_reason: str | None = None
    refusal: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    latency_s: float = 0.0
    error: CallError | None = None

    @property
    def is_cut_off(self) -> bool:
        """Whether the answer ended at the token limit and not where the model would have ended it."""
        return (self.finish_reason or "").casefold() in ("length", "max_tokens")


@runtime_checkable
class ChatModel(Protocol):
    """The extension point: an object with a name and one coroutine.

    `complete` makes ONE attempt and never raises for what the network or the provider does: that
    comes back as `ChatReply.error`. Retrying, pacing, journalling and caps are the caller's job.
    """

    name: str  # "provider/model", as the user wrote it

    async def complete(self, request: ChatRequest) -> ChatReply: ...

    async def close(self) -> None: ...


class AnswerError(ValueError):
    """An answer that cannot be read; the text says why, in words that can be sent back to the model."""


@dataclass(frozen=True, slots=True)
class Question(Generic[T]):
    """A request, how to read its answer, and what it is about (handed back untouched).

    `category` is the policy's category that the cost is booked under, "" for none.
    """

    request: ChatRequest
    parse: Callable[[ChatReply], T]  # raises AnswerError
    about: Any = None
    category: str = ""


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """What became of a question: a value, or a failure with its kind and reason; never both."""

    about: Any
    reply: ChatReply
    value: T | None = None
    failure_kind: str | None = None  # an ErrorKind, "malformed", "empty" or "refused"
    failure: str | None = field(default=None)


class Ask(Protocol):
    """Asks one model many questions; answers come in the order of the questions.

    Journal, cache, retries, pacing and caps are behind it. An answer that cannot be parsed is asked
    for again with the reason, then comes back as a failure of kind "malformed".
    """

    model: str

    def __call__(self, questions: Iterable[Question[T]]) -> Iterator[Answer[T]]: ...
