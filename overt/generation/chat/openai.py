"""`openai/MODEL`: chat models behind OpenAI-compatible endpoints."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace
from functools import partial

from overt.data.batch import Post
from overt.data.chat import CallError, ChatReply, ChatRequest, Message, RawResponse
from overt.data.json_types import Json
from overt.data.provider.completion import read_completion
from overt.data.provider.dialect import (
    NOTHING_BESIDE,
    Beside,
    Dialect,
    Learnt,
    failed_call,
    unusable_json,
)
from overt.data.provider.http import Mask, check_address, key_from, openai_base
from overt.data.provider.kept import kept, reread
from overt.data.refusal_gate import Threshold, knob_of
from overt.data.secrets import filled, values_of
from overt.data.text import encodable
from overt.data.tools import IN_WORDS, ToolCall, call_json
from overt.generation.batches.openai import OpenAIBatches
from overt.generation.chat.gated import Gated
from overt.generation.transport import Reply, Transport, encoded, openai_endpoint


class OpenAIChat:
    """A chat model behind an OpenAI-compatible endpoint.

    Args:
        model: the endpoint's name of the model.
        base_url: the endpoint's address; None: `OPENAI_BASE_URL`, else OpenAI itself.
        api_key_env: the environment variable that holds the key; it is read once and never printed.
        timeout: seconds for one exchange; 5 are added.
        refusal_tokens, threshold, both, margin: of a model that was trained with refusal tokens, see
            `knob_of` and `overt.generation.chat.gated`. Each reply then has a `gate`.

    Raises:
        InputError: there is no key, and the endpoint is not on this machine; `base_url` is not an address; or
            the options of the refusal tokens are wrong.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key_env: str = "OPENAI_API_KEY",
        timeout: float = 120.0,
        refusal_tokens: str | None = None,
        threshold: Threshold = None,
        both: bool = False,
        margin: float | None = None,
    ) -> None:
        self.name = f"openai/{model}"
        knob = knob_of(self.name, refusal_tokens, threshold, both=both, margin=margin)
        self._gated = None if knob is None else Gated(lambda: self.name, knob, self._sent)
        self.model = model
        self.takes_tools = True  # an endpoint that takes none is asked in words, once that is known
        self._has_tools: bool | None = None  # whether it was seen to take them
        self._looks_left = 3
        self._looking = asyncio.Lock()
        self.api_key_env = api_key_env
        self._base = openai_base(base_url)
        if self._base is not None:
            check_address(self.name, self._base)
        self._key = key_from(api_key_env, self.name, self._base)
        self._filled = None if self._base is None else filled(self._base, self.name)
        self._mask = Mask(self._key, *values_of([self._base or ""]))
        self._timeout = timeout + 5
        self._transport: Transport | None = None
        self._url = ""
        self._learnt = Learnt()
        self.post: Post[Reply] | None = None

    @property
    def address(self) -> str:
        """Where requests go, without the values of its variables. It may hold a key: it is not printed."""
        return self._base or ""

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Sends one request; where the endpoint says what of it it does not take, sends it again without.
        A model with refusal tokens is asked for their probabilities before.

        Raises:
            InputError: an endpoint cannot be asked for refusal tokens.
        """
        if self._gated is not None:
            return await self._gated.complete(request)
        reply = (await self._sent(request, NOTHING_BESIDE))[0]
        if request.tools and await self._ignores_tools(request, reply):
            return (await self._sent(request, NOTHING_BESIDE))[0]
        return reply

    async def _ignores_tools(self, request: ChatRequest, reply: ChatReply) -> bool:
        """Whether the endpoint dropped the tools without a word, as servers do whose chat template has no
        place for them: its model was then never told what it may do. The same request without tools tells:
        it has as many tokens. It is asked once, where a first reply calls none; an endpoint that does not
        answer that, or counts no tokens, is believed to take tools."""
        if reply.calls:
            self._has_tools = True
        is_open = reply.error is None and reply.refusal is None and IN_WORDS not in reply.adapted
        if self._has_tools or not is_open or not reply.input_tokens:  # some servers say 0
            return False
        async with self._looking:
            if self._has_tools is None:
                bare = replace(request, tools=(), max_tokens=1)
                found = (await self._sent(bare, NOTHING_BESIDE))[0]
                if found.error is not None or not found.input_tokens:
                    self._looks_left -= 1
                    self._has_tools = None if self._looks_left else True
                    return False
                self._has_tools = found.input_tokens < reply.input_tokens
                if not self._has_tools:
                    self._learnt.drops_tools()
        return not self._has_tools

    async def _sent(self, request: ChatRequest, beside: Beside) -> tuple[ChatReply, Json]:
        """The reply, and the body that it was read from."""
        trial = self._learnt.trial(request)
        while True:
            dialect = trial.dialect
            reply, data = await self._attempt(request, dialect, beside)
            if not trial.goes_on(reply):
                break
        adapted = dialect.changes(request)
        return (replace(reply, adapted=adapted) if adapted and reply.error is None else reply), data

    async def close(self) -> None:
        if self._transport is not None:
            await self._transport.close()
            self._transport = None

    # -- one attempt ----------------------------------------------------------------------------------

    def _body(self, request: ChatRequest, dialect: Dialect, beside: Beside) -> dict[str, object]:
        turns = [_turn(message) for message in dialect.turns(request)]
        turns[-1:] = [{**turn, **beside.turn} for turn in turns[-1:]]
        return {"model": self.model, "messages": turns, **dialect.fields(request), **beside.fields}

    async def _attempt(
        self, request: ChatRequest, dialect: Dialect, beside: Beside
    ) -> tuple[ChatReply, Json]:
        if self._transport is None:
            self._url, headers = openai_endpoint("/chat/completions", key=self._key, base_url=self._filled)
            self._transport = Transport(self._timeout, headers)
        got = await self._exchange(self._transport, encoded(self._body(request, dialect, beside)))
        if isinstance(got, CallError):
            return ChatReply(error=replace(got, message=self._mask.text(got.message))), None
        if got.status >= 400 and request.schema is not None and (said := unusable_json(got.data)):
            return ChatReply(text=self._mask.text(said), finish_reason="json_validate_failed"), None
        if got.status >= 400 and request.tools and (said := failed_call(got.data)):
            unread = ToolCall("unread", "", self._mask.text(said))
            return ChatReply(finish_reason="tool_use_failed", calls=(unread,)), None
        reply = read_completion(got.data, got.status, got.headers, "" if got.data else got.text)
        if reply.error is None and reply.refusal is None:
            return reply, got.data
        raw = kept(got.status, got.headers, got.data, got.text, self._mask, is_whole=got.is_quoted_whole)
        return self._masked(replace(reply, raw=raw)), got.data

    async def _exchange(self, transport: Transport, body: bytes) -> Reply | CallError:
        live = partial(transport.send, "POST", self._url, data=body)
        return await (self.post(body, live) if self.post else live())

    def batches(self) -> OpenAIBatches | None:
        if self._gated is not None:  # what the second call says hangs on the answer to the first
            return None
        return OpenAIBatches("/chat/completions", key=self._key, base_url=self._filled, mask=self._mask)

    def reread(self, raw: RawResponse) -> ChatReply | None:
        """Reads a response that was kept by today's vocabulary, without a request."""
        data = reread(raw)
        if data is None and not raw.is_whole:
            return None
        reply = read_completion(data, raw.status, raw.headers, "" if data is not None else raw.body)
        return self._masked(replace(reply, raw=raw))

    def _masked(self, reply: ChatReply) -> ChatReply:
        """Masks the key, which some servers repeat."""
        if reply.error is None:
            return reply
        return replace(reply, error=replace(reply.error, message=self._mask.words(reply.error.message)))


def _turn(message: Message) -> dict[str, Json]:
    if not (message.images or message.calls or message.call_id):  # of a conversation most turns
        return {"role": message.role, "content": encodable(message.content)}
    words = encodable(message.content) if not message.images else _parts(message)
    turn: dict[str, Json] = {"role": message.role, "content": words}
    if message.calls:
        turn |= {"content": turn["content"] or None, "tool_calls": [call_json(c) for c in message.calls]}
    if message.call_id:
        turn["tool_call_id"] = message.call_id
    return turn


def _parts(message: Message) -> Json:
    """A text with images as a list of parts."""
    parts: list[Json] = [{"type": "text", "text": encodable(message.content)}]
    for image in message.images:
        kind = "png" if image.startswith(b"\x89PNG") else "jpeg"
        url = f"data:image/{kind};base64,{base64.b64encode(image).decode()}"
        parts.append({"type": "image_url", "image_url": {"url": url}})
    return parts
