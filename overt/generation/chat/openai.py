"""`openai/MODEL`: chat models behind OpenAI-compatible endpoints."""

from __future__ import annotations

import base64
from dataclasses import replace

from overt.data.chat import CallError, ChatReply, ChatRequest, Message, RawResponse
from overt.data.json_types import Json
from overt.data.provider.completion import read_completion
from overt.data.provider.http import Mask, check_address, key_from, openai_base
from overt.data.provider.kept import kept, reread
from overt.data.text import encodable
from overt.generation.transport import Transport, encoded, openai_endpoint

_SCHEMA_WORDS = ("response_format", "json_schema", "schema", "json_object", "structured")


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
        self._mask = Mask(self._key)
        self._timeout = timeout + 5
        self._transport: Transport | None = None
        self._url = ""
        # What this endpoint does not accept, learnt from its errors.
        self._schema_mode = 0  # 0 json_schema, 1 json_object, 2 none
        self._token_field = "max_tokens"
        self._without: set[str] = set()

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Sends one request; if the endpoint rejects a parameter, sends it again without that parameter."""
        for _ in range(5):
            mode = (self._schema_mode, self._token_field, frozenset(self._without))
            reply = await self._attempt(request)
            if reply.error is None or reply.error.kind != "bad_request":
                return reply
            changed = mode != (self._schema_mode, self._token_field, frozenset(self._without))
            if not changed and not self._adapt(reply.error.message, request):
                return reply
        return reply

    async def close(self) -> None:
        if self._transport is not None:
            await self._transport.close()
            self._transport = None

    # -- one attempt ----------------------------------------------------------------------------------

    def _body(self, request: ChatRequest) -> dict[str, object]:
        body: dict[str, object] = {
            "model": self.model,
            "messages": [{"role": m.role, "content": _content(m)} for m in request.messages],
            "temperature": request.temperature,
            self._token_field: request.max_tokens,
        }
        if request.seed is not None:
            body["seed"] = request.seed
        if request.schema is not None and self._schema_mode == 0:
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "strict": True, "schema": request.schema},
            }
        elif request.schema is not None and self._schema_mode == 1:
            body["response_format"] = {"type": "json_object"}
        for field in self._without:
            body.pop(field, None)
        return body

    async def _attempt(self, request: ChatRequest) -> ChatReply:
        if self._transport is None:
            self._url, headers = openai_endpoint("/chat/completions", key=self._key, base_url=self._base)
            self._transport = Transport(self._timeout, headers)
        got = await self._transport.send("POST", self._url, data=encoded(self._body(request)))
        if isinstance(got, CallError):
            return ChatReply(error=got)
        reply = read_completion(got.data, got.status, got.headers, "" if got.data else got.text)
        if reply.error is None and reply.refusal is None:
            return reply
        raw = kept(got.status, got.headers, got.data, got.text, self._mask, is_whole=got.is_quoted_whole)
        return self._masked(replace(reply, raw=raw))

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
        return replace(reply, error=replace(reply.error, message=self._mask.text(reply.error.message)))

    def _adapt(self, message: str, request: ChatRequest) -> bool:
        """Drops or replaces the parameter that the error names. Returns whether anything changed."""
        said = message.lower()
        if "max_completion_tokens" in said and self._token_field == "max_tokens":
            self._token_field = "max_completion_tokens"
            return True
        for field in ("temperature", "seed"):
            if field in said and field not in self._without:
                self._without.add(field)
                return True
        if request.schema is not None and self._schema_mode < 2 and any(w in said for w in _SCHEMA_WORDS):
            self._schema_mode += 1
            return True
        return False


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
