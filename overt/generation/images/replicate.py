"""`replicate/OWNER/NAME` or `replicate/OWNER/NAME:VERSION`: a prediction is created, then polled.

Replicate's client is not used: it repeats polls that meet a 429 up to ten times regardless of the caller's
time limit, does not know the documented state `aborted`, and reports a model's error as an exception's text.
"""

from __future__ import annotations

import re
from typing import ClassVar

from overt.data.json_types import Json, JsonObject
from overt.data.jsonpath import first, text_at
from overt.data.targets import Extra
from overt.generation.images.engine import Answer, Asked, Found, ImageAPI, Job, Request, given
from overt.generation.images.pictures import as_input
from overt.generation.transport import Reply

_ENDED = ("succeeded", "failed", "canceled", "aborted")
_CODE = re.compile(r"\b(?:code:\s*)?\(?(E\d{3,4}|PA)\)?(?!\w)")  # in the sentence of an error


class ReplicateImages(ImageAPI):
    """A text-to-image or editing model on Replicate.

    Args:
        model: owner/name (an official model) or owner/name:version.
        base_url: the API's address.
        api_key_env: the environment variable that holds the token.
        timeout: seconds for one attempt, cold start and job included.
        poll_s: seconds before the first poll.
        disable_safety_checker, safety_tolerance, safety_filter_level, aspect_ratio, output_format: the
            model's own inputs; unset ones are not sent, since models differ.
        send_seed: false for models that have no input `seed`.
        picture_input: the model's own name for the picture to edit: input_image, image, ...; one that ends in
            "s" is sent a list.

    Raises:
        InputError: no token, and the server is not on this machine.
    """

    provider: ClassVar[str] = "replicate"
    takes: tuple[Extra, ...] = ("picture",)

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
        picture_input: str = "input_image",
    ) -> None:
        super().__init__(
            f"replicate/{model}", base_url=base_url, api_key_env=api_key_env, timeout=timeout, poll_s=poll_s
        )
        self._headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        self.model, _, self.version = model.partition(":")
        self._send_seed, self._picture_input = send_seed, picture_input
        self._options = given(
            disable_safety_checker=disable_safety_checker,
            safety_tolerance=safety_tolerance,
            safety_filter_level=safety_filter_level,
            aspect_ratio=aspect_ratio,
            output_format=output_format,
        )

    def request(self, asked: Asked) -> Request:
        seed = {"seed": asked.seed} if self._send_seed else {}
        inputs: dict[str, Json] = {"prompt": asked.prompt, **seed, **self._options}
        if asked.picture is not None:
            inputs |= as_input(self._picture_input, asked.picture)
        if not self.version:
            url = f"{self._base}/v1/models/{self.model}/predictions"
            return Request(url, self._headers, json={"input": inputs})
        body: Json = {"input": inputs, "version": self.version}
        return Request(f"{self._base}/v1/predictions", self._headers, json=body)

    def job(self, reply: Reply) -> Job | None:
        identity = text_at(reply.data, "$.id")
        if reply.status >= 400 or not identity or _has_ended(reply):
            return None
        url = text_at(reply.data, "$.urls.get")
        url = url if self.is_own(url) else f"{self._base}/v1/predictions/{identity}"
        return Job(url, _has_ended, self._headers, every_s=self._poll_s)

    def read(self, data: JsonObject, answer: Answer) -> Found:
        status = text_at(data, "$.status")
        if status == "succeeded" and (urls := _urls(data.get("output"))):
            seed = answer.asked.seed if self._send_seed else None
            return Found(urls, by_address=True, headers=self._headers, finish_reason=status, seed=seed)
        if status not in _ENDED:
            return Found(missing="the answer holds no prediction")
        # Some models hold back flagged pictures and report it only in their log.
        said = text_at(data, "$.error") or text_at(data, "$.logs")[-2000:]
        said = said or f"there is no picture, and the prediction {status}"
        own = _CODE.search(said)
        return Found(codes=(own[1] if own else status,), message=said)


def _has_ended(reply: Reply) -> bool:
    return text_at(reply.data, "$.status") in _ENDED


def _urls(output: Json) -> list[Json]:
    """Returns the addresses in a model's output: a text, a list or a mapping."""
    if isinstance(output, str):
        return [output]
    if isinstance(output, list):
        return [url for one in output for url in _urls(one)]
    named = [first(output, f"$.{name}") for name in ("image", "images", "url", "output")]
    return [url for one in named if one is not None for url in _urls(one)]
