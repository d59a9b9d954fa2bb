"""`stability/core`, `stability/ultra`, `stability/sd3.5-large` (v2beta) and engines of v1. Plain HTTP."""

from __future__ import annotations

from typing import Any, ClassVar

from overt.data.chat import ErrorKind
from overt.data.targets import Response
from overt.generation.images.api import ImageAPI, count_at, decoded, dig, given, text_at
from overt.generation.images.wire import Reply, failed


class StabilityImages(ImageAPI):
    """A model of Stability AI's API.

    Args:
        model: core, ultra or an sd3 model (v2beta), or the name of an engine of v1, e.g.
            stable-diffusion-xl-1024-v1-0.
        base_url: where the API stands.
        api_key_env: the environment variable that holds the key.
        timeout: seconds for one attempt.
        aspect_ratio, output_format, style_preset: as v2beta spells them.

    Raises:
        InputError: no key, and the server is not on this machine.
    """

    provider: ClassVar[str] = "stability"

    def __init__(
        self,
        model: str,
        *,
        base_url: str = "https://api.stability.ai",
        api_key_env: str = "STABILITY_API_KEY",
        timeout: float = 180.0,
        aspect_ratio: str = "",
        output_format: str = "",
        style_preset: str = "",
    ) -> None:
        super().__init__(f"stability/{model}", base_url=base_url, api_key_env=api_key_env, timeout=timeout)
        self.model = model.removeprefix("stable-image-")
        self._options = given(
            aspect_ratio=aspect_ratio, output_format=output_format, style_preset=style_preset
        )

    async def _attempt(self, prompt: str, seed: int) -> Response:
        headers = {"Accept": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        if self.model.startswith("stable-diffusion-"):
            url = f"{self._base}/v1/generation/{self.model}/text-to-image"
            body = {"text_prompts": [{"text": prompt}], "seed": seed, "samples": 1}
            reply = await self._send("POST", url, headers=headers, body=body)
        else:
            form = {"prompt": prompt, "seed": str(seed), **self._options}
            if self.model.startswith("sd3"):
                form["model"] = self.model
            kind = "sd3" if self.model.startswith("sd3") else self.model
            url = f"{self._base}/v2beta/stable-image/generate/{kind}"
            reply = await self._send("POST", url, headers=headers, form=form)
        if isinstance(reply, Response):
            return reply
        data = reply.json()
        if not isinstance(data, dict):
            return self._not_json(reply)
        made = dig(data, "artifacts", 0) or data
        if reply.status != 200 or not (text_at(made, "image") or text_at(made, "base64") or _finish(made)):
            return self._problem(reply, data)
        return self._read(reply, made, seed)

    def _read(self, reply: Reply, made: Any, seed: int) -> Response:
        finish = _finish(made)
        sent = text_at(made, "image") or text_at(made, "base64")
        image = decoded(sent)
        filtered = finish == "CONTENT_FILTERED"
        if image is None and not filtered:
            what = "the answer's picture is no base64" if sent else f"no picture came ({finish})"
            return failed("server", what, reply=reply, code=finish)
        if finish not in ("SUCCESS", "CONTENT_FILTERED", ""):  # "ERROR"
            return failed("server", f"the generation ended with {finish}", reply=reply, code=finish)
        drawn_with = count_at(made, "seed")
        return Response(
            images=(image,) if image else (),
            status=reply.status,
            code=finish if filtered else "",
            finish_reason=finish or None,
            seed=drawn_with if drawn_with else seed,
        )

    def _problem(self, reply: Reply, data: dict[str, Any]) -> Response:
        code, errors = text_at(data, "name"), data.get("errors")
        message = "; ".join(map(str, errors)) if isinstance(errors, list) else text_at(data, "message")
        said = message.lower()
        kind: ErrorKind | None = None
        if code in ("insufficient_balance", "payment_required") or "enough balance" in said:
            kind = "billing"  # v1 sends it as a 429
        elif reply.status < 400:
            kind, message = "server", message or "the answer holds no picture"
        return self._turned_down(reply, code, message, kind=kind)


def _finish(made: Any) -> str:
    return text_at(made, "finish_reason") or text_at(made, "finishReason")
