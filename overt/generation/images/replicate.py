"""`replicate/OWNER/NAME` or `replicate/OWNER/NAME:VERSION`: a prediction is made, then looked at. Plain HTTP.

Not Replicate's client: it repeats looks that meet a 429 up to ten times with no regard for the caller's
clock, holds `aborted` (a documented end) to be no state, and gives a model's error as an exception's text.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

from overt.data.chat import ErrorKind
from overt.data.targets import Response
from overt.generation.images.api import ImageAPI, dig, given, text_at
from overt.generation.images.wire import Reply, failed

_ENDED = ("succeeded", "failed", "canceled", "aborted")
# A prediction's error is a sentence; what marks a refusal in it, and the code it is handed on with.
# Models that Replicate passes on to their makers bring the makers' codes along.
_REFUSALS = (
    (re.compile(r"\bE005\b|flagged as sensitive", re.IGNORECASE), "E005"),
    (re.compile(r"\bNSFW\b", re.IGNORECASE), "NSFW content detected"),
    (re.compile(r"request moderated", re.IGNORECASE), "Request Moderated"),
    (re.compile(r"content moderated", re.IGNORECASE), "Content Moderated"),
    (re.compile(r"content_policy_violation", re.IGNORECASE), "content_policy_violation"),
    (re.compile(r"moderation_blocked", re.IGNORECASE), "moderation_blocked"),
    (re.compile(r"\b(IMAGE_SAFETY|IMAGE_PROHIBITED_CONTENT|PROHIBITED_CONTENT)\b"), ""),
    (re.compile(r"safety system", re.IGNORECASE), "safety_system"),
)
_CODE = re.compile(r"\b(?:code:\s*)?\(?(E\d{3,4}|PA)\)?(?!\w)")


class ReplicateImages(ImageAPI):
    """A text-to-image model on Replicate.

    Args:
        model: owner/name (an official model) or owner/name:version.
        base_url: where the API stands.
        api_key_env: the environment variable that holds the token.
        timeout: seconds for one attempt, cold start and job included.
        poll_s: seconds before the first look at the prediction.
        disable_safety_checker, safety_tolerance, safety_filter_level, aspect_ratio, output_format: the
            model's own inputs; unset ones are not sent, since models take different ones.
        send_seed: false for models that have no input `seed`.

    Raises:
        InputError: no token, and the server is not on this machine.
    """

    provider: ClassVar[str] = "replicate"

    def __init__(
        self,
        model: str,
        *,
        base_url: str = "https://api.replicate.com",
        api_key_env: str = "REPLICATE_API_TOKEN",
        timeout: float = 300.0,
        poll_s: float = 1.0,
        disable_safety_checker: bool | None = None,
        safety_tolerance: int | None = None,
        safety_filter_level: str = "",
        aspect_ratio: str = "",
        output_format: str = "",
        send_seed: bool = True,
    ) -> None:
        super().__init__(
            f"replicate/{model}", base_url=base_url, api_key_env=api_key_env, timeout=timeout, poll_s=poll_s
        )
        self.model, _, self.version = model.partition(":")
        self._send_seed = send_seed
        self._options = given(
            disable_safety_checker=disable_safety_checker,
            safety_tolerance=safety_tolerance,
            safety_filter_level=safety_filter_level,
            aspect_ratio=aspect_ratio,
            output_format=output_format,
        )

    async def _attempt(self, prompt: str, seed: int) -> Response:
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        inputs: dict[str, Any] = {
            "prompt": prompt,
            **({"seed": seed} if self._send_seed else {}),
            **self._options,
        }
        url = f"{self._base}/v1/models/{self.model}/predictions"
        body: dict[str, Any] = {"input": inputs}
        if self.version:
            url = f"{self._base}/v1/predictions"
            body["version"] = self.version
        reply = await self._send("POST", url, headers=headers, body=body)
        if isinstance(reply, Response):
            return reply
        data = reply.json()
        if reply.status >= 400 or not text_at(data, "id"):
            return self._problem(reply)
        if text_at(data, "status") not in _ENDED:
            look = text_at(data, "urls", "get")
            if not self._is_own(look):
                look = f"{self._base}/v1/predictions/{text_at(data, 'id')}"
            polled = await self._poll(look, headers, lambda found: text_at(found, "status") in _ENDED)
            if isinstance(polled, Response):
                return polled
            reply, data = polled, polled.json()
            if text_at(data, "status") not in _ENDED:
                return self._problem(reply)
        if text_at(data, "status") != "succeeded":
            return self._ended(reply, data)
        images = await self._pictures(_urls(data.get("output")), headers)
        if isinstance(images, Response):
            return images
        if not images:  # some models hold back what their checker flags, and tell it to their log only
            return self._ended(reply, {"error": text_at(data, "logs")[-2000:] or "the prediction is empty"})
        return Response(
            images=images,
            status=reply.status,
            finish_reason="succeeded",
            seed=seed if self._send_seed else None,
        )

    def _ended(self, reply: Reply, data: dict[str, Any]) -> Response:
        """A prediction without a picture: a refusal where the model's sentence says so, else an error."""
        status = text_at(data, "status")
        said = text_at(data, "error") or f"the prediction was {status or 'not made'}"
        for pattern, code in _REFUSALS:
            if found := pattern.search(said):
                return self._turned_down(reply, code or found[0].upper(), said)
        own = _CODE.search(said)
        code = own[1] if own else status
        # E006: the model's maker calls the input invalid; the others pass (no capacity, a lost worker).
        kind: ErrorKind = "bad_request" if code == "E006" else "server"
        return self._turned_down(reply, code, said, kind=kind)

    def _problem(self, reply: Reply) -> Response:
        data = reply.json()
        if not isinstance(data, dict):
            return self._not_json(reply)
        if reply.status < 400:
            return failed("server", "the answer holds no prediction", reply=reply)
        message = ": ".join(filter(None, (text_at(data, "title"), text_at(data, "detail"))))
        wait = dig(data, "retry_after")
        seconds = float(wait) if isinstance(wait, int | float) and not isinstance(wait, bool) else None
        kind: ErrorKind | None = "billing" if "spend limit" in message.lower() else None
        return self._turned_down(reply, text_at(data, "type"), message, kind=kind, wait=seconds)


def _urls(output: Any) -> list[Any]:
    """The addresses in a model's output: one, several, or under names."""
    if isinstance(output, str):
        return [output]
    if isinstance(output, list):
        return [url for one in output for url in _urls(one)]
    if isinstance(output, dict):
        return [url for name in ("image", "images", "url", "output") for url in _urls(output.get(name))]
    return []
