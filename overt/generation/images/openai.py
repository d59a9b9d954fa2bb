"""`openai/gpt-image-*`, `openai/dall-e-*`: the official client, raw answers."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import Any, ClassVar

from overt.data.chat import ErrorKind
from overt.data.targets import Response
from overt.generation.images.api import ImageAPI, count_at, decoded, dig, entries, given, rewritten, text_at
from overt.generation.images.wire import Reply, failed

_BILLING = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "quota_exceeded")
_SPEND = ("usage_limit_exceeded", "spend_limit_exceeded")


class OpenAIImages(ImageAPI):
    """An image model behind `/images/generations`. It takes no seed.

    Args:
        model: the endpoint's name of the model.
        base_url: where the endpoint stands; None: `OPENAI_BASE_URL`, else OpenAI itself.
        api_key_env: the environment variable that holds the key.
        timeout: seconds for one attempt.
        size, quality: as the endpoint spells them, e.g. 1024x1024 and low; "" leaves it the choice.
        moderation: of gpt-image models, "auto" or "low"; "" leaves it the choice.

    Raises:
        InputError: no key, and the endpoint is not on this machine.
    """

    provider: ClassVar[str] = "openai"

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key_env: str = "OPENAI_API_KEY",
        timeout: float = 180.0,
        size: str = "",
        quality: str = "",
        moderation: str = "",
    ) -> None:
        base_url = base_url or os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"
        super().__init__(f"openai/{model}", base_url=base_url, api_key_env=api_key_env, timeout=timeout)
        self.model = model
        self._options = given(size=size, quality=quality, moderation=moderation)
        if model.startswith(
            "dall-e"
        ):  # it would give addresses; gpt-image gives pictures and knows no choice
            self._options["response_format"] = "b64_json"
        self._client: Any = None

    def _open(self) -> Any:
        from openai import AsyncOpenAI, DefaultAioHttpClient

        # Made on the loop that uses it.
        return AsyncOpenAI(
            api_key=self._key or "none",
            base_url=self._base,
            timeout=self._timeout + 5,
            max_retries=0,
            http_client=DefaultAioHttpClient(),
        )

    async def close(self) -> None:
        """Closes the connections."""
        await super().close()
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _attempt(self, prompt: str, seed: int) -> Response:
        import openai

        if self._client is None:
            self._client = self._open()
        body = {"model": self.model, "prompt": prompt, "n": 1, **self._options}
        try:
            data = await self._client.post("/images/generations", cast_to=object, body=body)
        except openai.APITimeoutError as error:
            root = _root(error)
            # The aiohttp transport calls a refused or dropped connection a timeout, too.
            if isinstance(root, TimeoutError) or "Timeout" in type(root).__name__:
                return failed("timeout", "the client gave up waiting")
            return failed("connection", self._words(root) or type(root).__name__)
        except openai.APIStatusError as error:
            headers = {name.lower(): value for name, value in error.response.headers.items()}
            return self._problem(Reply(error.status_code, headers, error.response.content))
        except openai.APIConnectionError as error:
            return failed("connection", self._words(error.__cause__ or error))
        except (openai.OpenAIError, json.JSONDecodeError) as error:
            return failed("server", self._words(f"the answer cannot be read: {error}"))
        except (OSError, ValueError) as error:
            return failed("connection", self._words(f"{type(error).__name__}: {error}"))
        return await self._read(data, prompt)

    async def _read(self, data: Any, prompt: str) -> Response:
        if not isinstance(data, dict):
            return failed("server", f"the body is no JSON object: {self._words(data)[:120]!r}")
        reply = Reply(200, {}, b"")
        if data.get("error") and not data.get("data"):  # some gateways wrap errors in a 200
            return self._problem(Reply(200, {}, json.dumps(data).encode()))
        made = entries(data.get("data"))
        pictures = [decoded(one.get("b64_json")) for one in made if one.get("b64_json")]
        if None in pictures:
            return failed("server", "the answer's picture is no base64", reply=reply)
        images = tuple(picture for picture in pictures if picture)
        if not images:
            fetched = await self._pictures([one["url"] for one in made if one.get("url")])
            if isinstance(fetched, Response):
                return fetched
            images = fetched
        if not images:
            # Nothing says that an empty list means a refusal here.
            return failed("server", "the answer holds no picture", reply=reply)
        safety = {
            name: found
            for name in ("prompt_filter_results", "content_filter_results")
            if (found := dig(made, 0, name) or data.get(name))
        }
        return Response(
            images=images,
            status=200,
            safety=safety,
            revised_prompt=rewritten(prompt, text_at(made, 0, "revised_prompt")),
            input_tokens=count_at(data, "usage", "input_tokens"),
            output_tokens=count_at(data, "usage", "output_tokens"),
        )

    def _problem(self, reply: Reply) -> Response:
        """An error's body: a refusal where the safety system spoke, else an error with its kind."""
        data = reply.json()
        if not isinstance(data, dict):
            return self._not_json(reply)
        error = data.get("error", data)
        code, type_ = text_at(error, "code"), text_at(error, "type")
        message = error if isinstance(error, str) else text_at(error, "message") or text_at(error, "detail")
        inner = dig(error, "inner_error") or dig(error, "innererror") or {}
        if not code and "safety system" in message.lower():
            code = "safety_system"  # older answers name no code
        stage = text_at(error, "moderation_details", "moderation_stage")
        if not stage and "generated image" in message.lower():
            stage = "output"
        named = f"{code}:{stage}" if stage in ("input", "output") else code
        safety: dict[str, Any] = {}
        for holder, name in (
            (error, "moderation_details"),
            (error, "safety_violations"),
            (inner, "content_filter_results"),
            (inner, "content_filter_result"),
        ):
            if found := dig(holder, name):
                safety[name] = found
        response = self._turned_down(reply, named, message, safety=safety, kind=_kind(code, type_))
        revised = text_at(inner, "revised_prompt")  # Azure tells it of what it refused, too
        return replace(response, revised_prompt=revised) if revised else response


def _kind(code: str, type_: str) -> ErrorKind | None:
    """The kind where code or type say more than the status does (OpenAI's billing limit is a 400)."""
    for word in (code, type_):
        if word in _BILLING or word.endswith(_SPEND):
            return "billing"
    if code == "rate_limit_exceeded":
        return "rate_limit"
    if code in ("invalid_api_key", "account_deactivated"):
        return "auth"
    if code in ("string_above_max_length", "context_length_exceeded"):
        return "too_long"
    return None


def _root(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error
