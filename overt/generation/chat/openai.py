"""`openai/MODEL`: chat models behind OpenAI-compatible endpoints."""

from __future__ import annotations

import base64
from dataclasses import replace
from functools import partial

from overt.data.batch import Post
from overt.data.chat import CallError, ChatReply, ChatRequest, Message, RawResponse
from overt.data.json_types import Json
from overt.data.provider.completion import read_completion
from overt.data.provider.dialect import Dialect, Learnt, unusable_json
from overt.data.provider.http import Mask, check_address, key_from, openai_base
from overt.data.provider.kept import kept, reread
from overt.data.secrets import filled, values_of
from overt.data.text import encodable
from overt.generation.batches.openai import OpenAIBatches
from overt.generation.transport import Reply, Transport, encoded, openai_endpoint


class OpenAIChat:
    """A chat model behind an OpenAI-compatible endpoint.

    Args:
        model: the endpoint's name of the model.
        base_url: the endpoint's address; None: `OPENAI_BASE_URL`, else OpenAI itself.
        api_key_env: the environment variable that holds the key; it is read once and never printed.
        timeout: seconds for one exchange; 5 are added.

    Raises:
        InputError: there is no key, and the endpoint is not on this machine; or `base_url` is not an address.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key_env: str = "OPENAI_API_KEY",
        timeout: float = 120.0,
    ) -> None:
        self.name = f"openai/{model}"
        self.model = model
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
        """Sends one request; where the endpoint says what of it it does not take, sends it again without."""
        trial = self._learnt.trial(request)
        while True:
            dialect = trial.dialect
            reply = await self._attempt(request, dialect)
            if not trial.goes_on(reply):
                break
        adapted = dialect.changes(request)
        return replace(reply, adapted=adapted) if adapted and reply.error is None else reply

    async def close(self) -> None:
        if self._transport is not None:
            await self._transport.close()
            self._transport = None

    # -- one attempt ----------------------------------------------------------------------------------

    def _body(self, request: ChatRequest, dialect: Dialect) -> dict[str, object]:
        turns = [{"role": m.role, "content": _content(m)} for m in dialect.turns(request)]
        return {"model": self.model, "messages": turns, **dialect.fields(request)}

    async def _attempt(self, request: ChatRequest, dialect: Dialect) -> ChatReply:
        if self._transport is None:
            self._url, headers = openai_endpoint("/chat/completions", key=self._key, base_url=self._filled)
            self._transport = Transport(self._timeout, headers)
        got = await self._exchange(self._transport, encoded(self._body(request, dialect)))
        if isinstance(got, CallError):
            return ChatReply(error=replace(got, message=self._mask.text(got.message)))
        if got.status >= 400 and request.schema is not None and (said := unusable_json(got.data)):
            return ChatReply(text=self._mask.text(said), finish_reason="json_validate_failed")
        reply = read_completion(got.data, got.status, got.headers, "" if got.data else got.text)
        if reply.error is None and reply.refusal is None:
            return reply
        raw = kept(got.status, got.headers, got.data, got.text, self._mask, is_whole=got.is_quoted_whole)
        return self._masked(replace(reply, raw=raw))

    async def _exchange(self, transport: Transport, body: bytes) -> Reply | CallError:
        live = partial(transport.send, "POST", self._url, data=body)
        return await (self.post(body, live) if self.post else live())

    def batches(self) -> OpenAIBatches:
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


def _content(message: Message) -> Json:
    """Returns the text, or a list of parts if the message has images."""
    text = encodable(message.content)
    if not message.images:
        return text
    parts: list[Json] = [{"type": "text", "text": text}]
    for image in message.images:
        kind = "png" if image.startswith(b"\x89PNG") else "jpeg"
        url = f"data:image/{kind};base64,{base64.b64encode(image).decode()}"
        parts.append({"type": "image_url", "image_url": {"url": url}})
    return parts
