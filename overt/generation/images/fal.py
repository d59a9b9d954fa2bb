"""`fal/APP`: fal's queue, e.g. fal/fal-ai/flux/dev.

fal's client is not used: it retries on 408, 409, 429 and dropped connections, which hides rate limits from
the caller that paces all targets.
"""

from __future__ import annotations

from typing import ClassVar

from overt.data.json_types import Json, JsonObject
from overt.data.jsonpath import count_at, first, parse_path, text_at, texts_at
from overt.data.targets import Extra
from overt.generation.images.engine import Answer, Asked, Found, ImageAPI, Job, Request, given
from overt.generation.images.pictures import as_input
from overt.generation.transport import Reply


class FalImages(ImageAPI):
    """A text-to-image or editing app on fal.

    Args:
        model: the app's path, e.g. fal-ai/flux/dev.
        base_url: the queue's address.
        api_key_env: the environment variable that holds the key.
        timeout: seconds for one attempt, queue and job included.
        poll_s: seconds before the first poll.
        enable_safety_checker, safety_tolerance, image_size, aspect_ratio, output_format: the app's own
            inputs; unset ones are not sent, since apps differ.
        picture_input: the app's own name for the picture to edit: image_url, or image_urls for a list.

    Raises:
        InputError: no key, and the server is not on this machine.
    """

    provider: ClassVar[str] = "fal"
    takes: tuple[Extra, ...] = ("picture",)

    def __init__(
        self,
        model: str,
        *,
        base_url: str = "https://queue.fal.run",
        api_key_env: str = "FAL_KEY",
        timeout: float = 300.0,
        poll_s: float = 1.0,
        enable_safety_checker: bool | None = None,
        safety_tolerance: str = "",
        image_size: str = "",
        aspect_ratio: str = "",
        output_format: str = "",
        picture_input: str = "image_url",
    ) -> None:
        super().__init__(
            f"fal/{model}", base_url=base_url, api_key_env=api_key_env, timeout=timeout, poll_s=poll_s
        )
        self.model, self._picture_input = model, picture_input
        self._headers = {"Authorization": f"Key {self._key}"} if self._key else {}
        self._options = given(
            enable_safety_checker=enable_safety_checker,
            safety_tolerance=safety_tolerance,
            image_size=image_size,
            aspect_ratio=aspect_ratio,
            output_format=output_format,
        )

    def request(self, asked: Asked) -> Request:
        body: dict[str, Json] = {"prompt": asked.prompt, "seed": asked.seed, **self._options}
        if asked.picture is not None:
            body |= as_input(self._picture_input, asked.picture)
        return Request(f"{self._base}/{self.model}", self._headers, json=body)

    def job(self, reply: Reply) -> Job | None:
        identity = text_at(reply.data, "$.request_id")
        if reply.status >= 400 or not identity:
            return None
        # A job's address leaves out the app's inner path.
        at = f"{self._base}/{'/'.join(self.model.split('/')[:2])}/requests/{identity}"
        state, result = text_at(reply.data, "$.status_url"), text_at(reply.data, "$.response_url")
        return Job(
            state if self.is_own(state) else f"{at}/status",
            lambda got: text_at(got.data, "$.status") == "COMPLETED",
            self._headers,
            result_url=result if self.is_own(result) else at,
            every_s=self._poll_s,
        )

    def read(self, data: JsonObject, answer: Answer) -> Found:
        # A finding's category says whether the model's maker refused instead of fal's checker.
        categories = first(data, "$.detail[*].categories", "$.detail[*].ctx.categories")
        findings = texts_at(data, "$.detail[*].type")
        named = tuple(
            f"{type_}:{category}" for type_ in findings for category in texts_at(categories, "$[*]")
        )
        # `loc` names the input that was flagged: the prompt, or one whose name begins with "image".
        if any(name.startswith("image") for name in texts_at(data, "$.detail[*].loc[1]")):
            named += tuple(f"{type_}:input_image" for type_ in findings)
        flags = data.get("has_nsfw_concepts")
        flagged = ("has_nsfw_concepts",) if True in parse_path("$[*]").find(flags) else ()
        safety = {"has_nsfw_concepts": flags, "categories": categories}
        return Found(
            pictures=parse_path("$.images[*].url").find(data) or parse_path("$.image.url").find(data),
            by_address=True,
            text=text_at(data, "$.description"),
            codes=flagged or named,
            safety={name: value for name, value in safety.items() if value is not None},
            revised_prompt=text_at(data, "$.prompt", "$.revised_prompt"),
            seed=count_at(data, "$.seed", answer.asked.seed),
        )
