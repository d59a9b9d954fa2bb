"""`bfl/MODEL`: Black Forest Labs' FLUX API. A job is submitted, then polled until it ends."""

from __future__ import annotations

import json
from typing import ClassVar

from overt.data.json_types import JsonObject
from overt.data.jsonpath import count_at, first, parse_path, text_at, texts_at
from overt.data.targets import Extra
from overt.generation.images.engine import Answer, Asked, Found, ImageAPI, Job, Request, given
from overt.generation.images.pictures import base64_of
from overt.generation.transport import Reply

_ENDED = ("Ready", "Request Moderated", "Content Moderated", "Task not found", "Error", "Failed")


class BFLImages(ImageAPI):
    """A FLUX model of the API, e.g. flux-pro-1.1.

    Args:
        model: the endpoint's name.
        base_url: the API's address.
        api_key_env: the environment variable that holds the key.
        timeout: seconds for one attempt, the job included.
        poll_s: seconds before the first poll.
        safety_tolerance: 0 (strict) to 6; None: the API's default.
        aspect_ratio, width, height, output_format: as the API spells them.
        prompt_upsampling: whether the API may rewrite the prompt.

    Raises:
        InputError: no key, and the server is not on this machine.
    """

    provider: ClassVar[str] = "bfl"
    takes: tuple[Extra, ...] = ("picture",)

    def __init__(
        self,
        model: str,
        *,
        base_url: str = "https://api.bfl.ai",
        api_key_env: str = "BFL_API_KEY",
        timeout: float = 300.0,
        poll_s: float = 1.0,
        safety_tolerance: int | None = None,
        aspect_ratio: str = "",
        width: int | None = None,
        height: int | None = None,
        output_format: str = "",
        prompt_upsampling: bool | None = None,
    ) -> None:
        super().__init__(
            f"bfl/{model}", base_url=base_url, api_key_env=api_key_env, timeout=timeout, poll_s=poll_s
        )
        self.model = model
        self.takes = ("picture",) if "kontext" in model or model.startswith("flux-2") else ()
        self._headers = {"x-key": self._key} if self._key else {}
        self._options = given(
            safety_tolerance=safety_tolerance,
            aspect_ratio=aspect_ratio,
            width=width,
            height=height,
            output_format=output_format,
            prompt_upsampling=prompt_upsampling,
        )

    def request(self, asked: Asked) -> Request:
        body = {"prompt": asked.prompt, "seed": asked.seed, **self._options}
        if asked.picture is not None:
            body["input_image"] = base64_of(asked.picture)
        return Request(f"{self._base}/v1/{self.model}", self._headers, json=body)

    def job(self, reply: Reply) -> Job | None:
        identity = text_at(reply.data, "$.id")
        if reply.status != 200 or not identity or _has_ended(reply):  # rejected at once
            return None
        # A job is known only at the region that accepted it, so its own address is preferred.
        url = text_at(reply.data, "$.polling_url")
        url = url if self.is_own(url) else f"{self._base}/v1/get_result?id={identity}"
        return Job(url, _has_ended, self._headers, every_s=self._poll_s)

    def read(self, data: JsonObject, answer: Answer) -> Found:
        status, details = text_at(data, "$.status"), first(data, "$.details")
        safety = details if isinstance(details, dict) else {"details": details} if details else {}
        if status == "Ready":
            return Found(
                pictures=parse_path("$.result.sample").find(data),
                by_address=True,
                finish_reason=status,
                safety=safety,
                revised_prompt=text_at(data, "$.result.prompt"),
                seed=count_at(data, "$.result.seed", answer.asked.seed),
                cost=_dollars(answer.accepted),
            )
        if status not in _ENDED:
            return Found(missing="the answer holds no job")
        # The body's status decides: the HTTP status may be 200 or 503.
        reasons = ", ".join(texts_at(data, "$.details['Moderation Reasons'][*]")) or json.dumps(safety)
        return Found(codes=(status,), message=f"{status}: {reasons}" if details else status, safety=safety)


def _has_ended(reply: Reply) -> bool:
    return text_at(reply.data, "$.status") in _ENDED


def _dollars(accepted: JsonObject) -> float | None:
    credits = accepted.get("cost")  # a credit is a cent
    if isinstance(credits, bool) or not isinstance(credits, int | float) or credits < 0:
        return None
    return credits / 100
