"""Requests to chat models, their replies, and the protocols around them.

Generation and scoring both call models through an `Ask`, so neither needs to know the other, the providers or
the journal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Protocol, TypeVar, runtime_checkable

from overt.data.json_types import JsonObject
from overt.data.refusal_tokens import Gate
from overt.data.tools import Tool, ToolCall

T = TypeVar("T")
Role = Literal["system", "user", "assistant", "tool"]

ErrorKind = Literal[
    "rate_limit",  # 429: retried
    "server",  # 5xx, or an unreadable response: retried
    "timeout",  # no answer in time: retried
    "connection",  # dropped or refused: retried
    "auth",  # bad or missing key: ends the run
    "forbidden",  # a 401 or 403 that says nothing about the key: an error of this request
    "billing",  # no credit left: ends the run
    "bad_request",  # the provider rejects this request: see overt/calls/finality.py
    "too_long",  # the prompt does not fit the context: final for this request
    "floor",  # what came is sexual about minors and was dropped: final for this request
    "format",  # the answer is not in the form that was asked for; its text is kept: final for this request
    "broken_class",  # the user's class failed: not journalled, so the next run asks again
]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. `images` are encoded images for vision models. `calls` are the tools that an assistant
    called; a turn of the role "tool" is the result of the call `call_id`."""

    role: Role
    content: str
    images: tuple[bytes, ...] = ()
    calls: tuple[ToolCall, ...] = ()
    call_id: str = ""


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One request. `sample` distinguishes repeats of a request; `seed` is sent to the model.

    `schema` is the JSON Schema for the answer, None for free text. `tools` are what the model may call.
    """

    messages: tuple[Message, ...]
    temperature: float = 1.0
    max_tokens: int = 1024
    seed: int | None = None
    sample: int = 0
    schema: JsonObject | None = None
    tools: tuple[Tool, ...] = ()


@dataclass(frozen=True, slots=True)
class CallError:
    """The reason for a missing answer. `retry_after` is the server's waiting time in seconds."""

    kind: ErrorKind
    message: str
    status: int | None = None
    retry_after: float | None = None

    @property
    def is_of_answer(self) -> bool:
        """Whether the model answered, and what came cannot be used: nothing about it is to be mended, and the
        next request may do well."""
        return self.kind in ("floor", "format")


@dataclass(frozen=True, slots=True)
class RawResponse:
    """A response as it came, kept so that a better vocabulary can decide anew without another request.

    headers: those that say something about a failure, with names in lower case. body: as text, without keys
    and the paths of addresses. is_whole: whether `body` is all of it, and not only its beginning.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class ChatReply:
    """The unchanged reply of one attempt.

    `refusal` is the provider's own refusal field or content-filter code. `finish_reason` is spelled as by
    the provider. Fields that the provider did not send are None. `latency_s` is of the last attempt. `raw` is
    the response behind a refusal or an error; None for a plain answer, and where there was no response.
    `adapted` names what of the request the endpoint does not take, so that it was sent otherwise (keys of
    `overt.data.provider.dialect.CHANGES`). `is_estimate` is whether the tokens were estimated from the texts.
    `price_share` is the share of the live price that a call by batch costs; None: it was a live call.
    `gate` is of a model with refusal tokens. `calls` are the tools that the model called, as it wrote them.
    """

    text: str = ""
    finish_reason: str | None = None
    refusal: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    latency_s: float = 0.0
    error: CallError | None = None
    raw: RawResponse | None = None
    adapted: tuple[str, ...] = ()
    is_estimate: bool = False
    price_share: float | None = None
    gate: Gate | None = None
    calls: tuple[ToolCall, ...] = ()

    @property
    def is_cut_off(self) -> bool:
        """Whether the token limit ended the answer."""
        return ended_at_limit(self.finish_reason)


def ended_at_limit(finish_reason: str | None) -> bool:
    """Whether an answer with this finish reason was ended by the limit of tokens."""
    return (finish_reason or "").casefold() in ("length", "max_tokens")


@runtime_checkable
class ChatModel(Protocol):
    """The extension point for chat models.

    `complete` makes ONE attempt. It does not raise for failures of the network or the provider but returns
    them as `ChatReply.error`. The caller retries, paces, journals and caps.

    Optional: `sees_pictures`, whether pictures of a request reach the model (None or absent: not known), and
    `why_blind`, the reason if they do not. A model that sees none is refused where pictures are to be judged.

    Optional: `def reread(self, raw: RawResponse) -> ChatReply | None`, which reads a response that was kept
    by today's vocabulary, without a request; None if it cannot tell.

    Optional: `takes_tools`, whether it takes the tools of a request. One that does not is asked in words
    (`overt.data.tool_words.in_words`).
    """

    name: str  # "provider/model", as the user wrote it

    async def complete(self, request: ChatRequest) -> ChatReply: ...

    async def close(self) -> None: ...


def is_blind(model: ChatModel) -> bool:
    """Whether a model is known to see no pictures."""
    return getattr(model, "sees_pictures", None) is False


class AnswerError(ValueError):
    """An answer cannot be parsed. The text gives the reason and can be sent to the model."""


@dataclass(frozen=True, slots=True)
class Question(Generic[T]):
    """A request and the parser of its answer. `about` is any object and is returned with the answer.

    The cost is counted under `category`, a category of the policy or "", and under `purpose`, if it is not
    that of the `Ask`.
    """

    request: ChatRequest
    parse: Callable[[ChatReply], T]  # raises AnswerError
    about: Any = None
    category: str = ""
    purpose: str = ""


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """The answer to a question: a value, or a failure with its kind and reason; never both."""

    about: Any
    reply: ChatReply
    value: T | None = None
    failure_kind: str | None = None  # an ErrorKind, "malformed", "empty" or "refused"
    failure: str | None = None


class Ask(Protocol):
    """Asks one model many questions; answers come in the order of the questions.

    It journals, caches, retries, paces and caps the calls. If an answer cannot be parsed, the model is asked
    again with the reason; a final failure has the kind "malformed".
    """

    model: str

    def __call__(self, questions: Iterable[Question[T]]) -> Iterator[Answer[T]]: ...
