"""`openai/MODEL`: every endpoint that speaks OpenAI's protocol.

The official client knows the address, the key and the headers (organisation, project). The exchange itself
goes straight over aiohttp, which it offers as a transport: its own request path takes two thirds of the
CPU time of a call, and at hundreds of calls a second that is the limit. The body is read here, field by
field, since endpoints differ.
"""

from __future__ import annotations

import base64
import json
import os
import urllib.request
from collections.abc import Mapping
from typing import Any

from overt.data.chat import CallError, ChatReply, ChatRequest, ErrorKind, Message
from overt.data.errors import InputError
from overt.data.http import is_local, retry_after

MAX_BYTES = 32 << 20  # of one body; an answer in words comes nowhere near it
# A request that a provider's filter turned away is an answer, not an error. Codes as they are spelt by
# OpenAI, Azure OpenAI, and others that copied them.
_FILTER_CODES = (
    "content_filter",
    "content_policy_violation",
    "responsibleaipolicyviolation",
    "moderation_blocked",
    "safety",
    "invalid_prompt",
)


class OpenAIChat:
    """A chat model behind an OpenAI-compatible endpoint.

    Args:
        model: the endpoint's name of the model.
        base_url: where the endpoint stands; None: `OPENAI_BASE_URL`, else OpenAI itself.
        api_key_env: the environment variable that holds the key; it is read once and never shown.
        timeout: seconds that the client itself waits.

    Raises:
        InputError: no key, and the endpoint is not on this machine.
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
        base_url = base_url or os.environ.get("OPENAI_BASE_URL") or None
        if base_url is not None and not base_url.startswith(("http://", "https://")):
            raise InputError(f"--base-url {base_url!r} is no http(s) address")
        key = os.environ.get(api_key_env, "")
        if not key:
            if not is_local(base_url):
                raise InputError(
                    f"no key for {self.name}: the environment variable {api_key_env} is not set",
                    fix=f"export {api_key_env}=...   (or name another one with --api-key-env; "
                    "a server on this machine needs none: --base-url http://localhost:...)",
                )
            key = "none"
        self._settings: dict[str, Any] = {"api_key": key, "base_url": base_url}
        self._timeout = timeout + 5
        self._session: Any = None
        self._url = ""
        # What this endpoint does not take; learnt from its first complaint.
        self._schema_mode = 0  # 0 json_schema, 1 json_object, 2 none
        self._token_field = "max_tokens"
        self._without: set[str] = set()

    def _open(self) -> None:
        """Makes the session, on the loop that uses it."""
        import aiohttp
        from openai import AsyncOpenAI

        client = AsyncOpenAI(**self._settings)
        path, question, query = str(client.base_url).partition("?")
        self._url = f"{path.rstrip('/')}/chat/completions{question}{query}"
        headers = {
            name: value
            for name, value in (*client.default_headers.items(), *client.auth_headers.items())
            if isinstance(value, str)
        }
        self._session = aiohttp.ClientSession(
            headers=headers | {"Content-Type": "application/json"},
            # How many connections there are is the caller's business.
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(self._timeout),
            # Proxies, as the client does; looking for them takes two threads' time in every request.
            trust_env=bool(urllib.request.getproxies()),
        )

    async def complete(self, request: ChatRequest) -> ChatReply:
        """One attempt; a complaint about a parameter is met by leaving it out and asking once more."""
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
        """Closes the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    # -- one attempt ----------------------------------------------------------------------------------

    def _body(self, request: ChatRequest) -> dict[str, Any]:
        body: dict[str, Any] = {
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
        import aiohttp

        if self._session is None:
            self._open()
        blob = json.dumps(self._body(request), ensure_ascii=False, separators=(",", ":")).encode()
        try:
            # A redirect would carry the key on to another host.
            async with self._session.post(self._url, data=blob, allow_redirects=False) as answer:
                body = await answer.content.read(MAX_BYTES)
                if not answer.content.at_eof():
                    return _failed("server", f"the answer is larger than {MAX_BYTES >> 20} MiB")
                status, headers = answer.status, answer.headers
        except TimeoutError:
            return _failed("timeout", "the client gave up waiting")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return _failed("connection", f"{type(error).__name__}: {error}")
        if status >= 300:
            return _status_error(status, body.decode("utf-8", "replace"), headers)
        try:
            return read_completion(json.loads(body))
        except (ValueError, RecursionError):
            return read_completion(body.decode("utf-8", "replace"))

    def _adapt(self, message: str, request: ChatRequest) -> bool:
        """Changes what is sent if the complaint names it; whether anything changed."""
        said = message.lower()
        if "max_completion_tokens" in said and self._token_field == "max_tokens":
            self._token_field = "max_completion_tokens"
            return True
        for field in ("temperature", "seed"):
            if field in said and field not in self._without:
                self._without.add(field)
                return True
        schema_words = ("response_format", "json_schema", "schema", "json_object", "structured")
        if request.schema is not None and self._schema_mode < 2 and any(w in said for w in schema_words):
            self._schema_mode += 1
            return True
        return False


def read_completion(data: object, status: int = 200) -> ChatReply:
    """A decoded `chat.completion` body as a reply; one that is none is an error of kind "server"."""
    if isinstance(data, str):
        return _failed("server", f"the body is not JSON: {data[:120]!r}", status)
    if not isinstance(data, dict):
        return _failed("server", "the body is not a JSON object", status)
    if data.get("error") and not data.get("choices"):  # some gateways wrap errors in a 200
        error = data["error"]
        code = error.get("code") if isinstance(error, dict) else None
        return _status_error(code if isinstance(code, int) else 500, json.dumps(data), {})
    choices = data.get("choices")
    usage = _mapping(data.get("usage"))
    sent, received = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        feedback = data.get("promptFeedback") or data.get("prompt_filter_results")
        if feedback and "block" in json.dumps(feedback).lower():
            return ChatReply(refusal="prompt blocked", input_tokens=sent, output_tokens=received)
        return _failed("server", "the answer holds no choices", status)
    choice = choices[0]
    finish = choice.get("finish_reason")
    message = _mapping(choice.get("message"))
    refusal = message.get("refusal") or ("content_filter" if finish == "content_filter" else None)
    return ChatReply(
        text=_text(message.get("content")),
        finish_reason=str(finish) if finish is not None else None,
        refusal=str(refusal) if refusal else None,
        input_tokens=sent,
        output_tokens=received,
    )


def _content(message: Message) -> str | list[dict[str, Any]]:
    """A plain text, or parts where pictures go with it."""
    text = _sendable(message.content)
    if not message.images:
        return text
    parts: list[dict[str, Any]] = [{"type": "text", "text": text}]
    for image in message.images:
        kind = "png" if image.startswith(b"\x89PNG") else "jpeg"
        url = f"data:image/{kind};base64,{base64.b64encode(image).decode()}"
        parts.append({"type": "image_url", "image_url": {"url": url}})
    return parts


def _sendable(text: str) -> str:
    """Half a surrogate pair cannot be put into UTF-8; it goes out as a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):  # content parts
        parts = (p.get("text", "") for p in content if isinstance(p, dict))
        return "".join(p for p in parts if isinstance(p, str))
    return ""


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _failed(
    kind: ErrorKind, message: str, status: int | None = None, retry_after: float | None = None
) -> ChatReply:
    return ChatReply(error=CallError(kind, " ".join(message.split())[:500], status, retry_after))


def _status_error(status: int, text: str, headers: Mapping[str, str]) -> ChatReply:
    """An HTTP error as a reply: a refusal where a content filter spoke, else an error with its kind."""
    code, kind_, message = "", "", text[:500]
    try:
        data = json.loads(text)
        error = data.get("error", data) if isinstance(data, dict) else {}
        if isinstance(error, str):
            message = error
        elif isinstance(error, dict):
            inner = error.get("innererror")
            code = " ".join(
                str(c)
                for c in (error.get("code"), inner.get("code") if isinstance(inner, dict) else None)
                if c
            ).lower()
            kind_ = str(error.get("type") or "").lower()
            message = str(error.get("message") or error.get("detail") or text[:500])
    except ValueError:
        pass
    said = message.lower()
    if status in (400, 403, 422) and (
        any(c in code.split() for c in _FILTER_CODES) or "content management policy" in said
    ):
        return ChatReply(
            refusal=code.split()[0] if code else "content_filter", finish_reason="content_filter"
        )
    if status == 429:
        if "insufficient_quota" in (*code.split(), kind_) or "exceeded your current quota" in said:
            return _failed("billing", message, status)
        return _failed("rate_limit", message, status, retry_after(headers))
    if status == 402 or "billing" in code:
        return _failed("billing", message, status)
    if status == 401 or status == 403:
        return _failed("auth", message, status)
    if status in (408, 409, 425) or status >= 500:
        return _failed("server", message, status, retry_after(headers))
    if (
        "context_length" in code
        or "maximum context length" in said
        or "too many tokens" in said
        or status == 413
    ):
        return _failed("too_long", message, status)
    return _failed("bad_request", message, status)
