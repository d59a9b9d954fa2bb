"""`openai/gpt-image-*`, `openai/dall-e-*`, and endpoints that copy them: pictures, and edits of pictures."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar

from overt.data.json_types import JsonObject
from overt.data.jsonpath import count_at, first, object_at, parse_path, text_at, texts_at
from overt.data.provider.http import openai_base
from overt.data.targets import Extra
from overt.generation.batches.openai import OpenAIBatches
from overt.generation.images.engine import Answer, Asked, Found, ImageAPI, Request, given
from overt.generation.images.pictures import as_file
from overt.generation.transport import Upload, encoded, openai_endpoint

# Paths of the filter results in a response, and in its error.
_SAFETY = {
    "prompt_filter_results": ("$.data[0].prompt_filter_results", "$.prompt_filter_results"),
    "content_filter_results": ("$.data[0].content_filter_results", "$.content_filter_results"),
    "respect_moderation": ("$.data[0].respect_moderation", "$.respect_moderation"),  # xAI
}
_ERROR_SAFETY = {
    "moderation_details": ("$.moderation_details",),
    "safety_violations": ("$.safety_violations",),
    "content_filter_results": ("$.inner_error.content_filter_results", "$.innererror.content_filter_results"),
    "content_filter_result": ("$.inner_error.content_filter_result", "$.innererror.content_filter_result"),
}


class OpenAIImages(ImageAPI):
    """An image model behind `/images/generations`, and for prompts with a picture behind `/images/edits`. It
    takes no seed.

    Args:
        model: the endpoint's name of the model.
        base_url: the endpoint's address; None: `OPENAI_BASE_URL`, else OpenAI itself.
        api_key_env: the environment variable that holds the key.
        timeout: seconds for one attempt.
        size, quality: as the endpoint spells them, e.g. 1024x1024 and low; "": its default.
        moderation: for gpt-image models, "auto" or "low"; "": the default.

    Raises:
        InputError: no key, and the endpoint is not on this machine.
    """

    provider: ClassVar[str] = "openai"
    takes: tuple[Extra, ...] = ("picture",)
    batch_takes: ClassVar[tuple[Extra, ...]] = ()  # edits are forms with a file

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
        base_url = openai_base(base_url) or "https://api.openai.com/v1"
        super().__init__(f"openai/{model}", base_url=base_url, api_key_env=api_key_env, timeout=timeout)
        self.model = model
        self._options = given(size=size, quality=quality, moderation=moderation)
        self.takes = () if model.startswith("dall-e-3") else ("picture",)
        if model.startswith("dall-e"):  # returns addresses by default; gpt-image always returns pictures
            self._options["response_format"] = "b64_json"

    @cached_property
    def _endpoint(self) -> tuple[str, dict[str, str]]:
        return openai_endpoint("/images/generations", key=self._key, base_url=self._base)

    @cached_property
    def _editing(self) -> tuple[str, dict[str, str]]:
        url, headers = openai_endpoint("/images/edits", key=self._key, base_url=self._base)
        return url, {name: value for name, value in headers.items() if name != "Content-Type"}

    def batches(self) -> OpenAIBatches:
        return OpenAIBatches("/images/generations", key=self._key, base_url=self._base, mask=self._mask)

    def request(self, asked: Asked) -> Request:
        if asked.picture is not None:
            return self._edit(asked, asked.picture)
        url, headers = self._endpoint
        body = {"model": self.model, "prompt": asked.prompt, "n": 1, **self._options}
        return Request(url, headers, data=encoded(body))

    def _edit(self, asked: Asked, picture: bytes) -> Request:
        url, headers = self._editing
        form: dict[str, str | Upload] = {"model": self.model, "prompt": asked.prompt, "n": "1"}
        form |= {name: str(value) for name, value in self._options.items()}
        form["image"] = as_file(picture)
        return Request(url, headers, form=form)

    def read(self, data: JsonObject, answer: Answer) -> Found:
        pictures = texts_at(data, "$.data[*].b64_json")
        error = object_at(data, "$.error") or data
        safety = {name: first(data, *paths) for name, paths in _SAFETY.items()}
        safety |= {name: first(error, *paths) for name, paths in _ERROR_SAFETY.items() if not pictures}
        return Found(
            pictures=pictures or parse_path("$.data[*].url").find(data),
            by_address=not pictures,
            safety={name: found for name, found in safety.items() if found is not None},
            # Azure also reports the rewritten prompt of a refused request.
            revised_prompt=text_at(data, "$.data[0].revised_prompt")
            or text_at(error, "$.inner_error.revised_prompt", "$.innererror.revised_prompt"),
            input_tokens=count_at(data, "$.usage.input_tokens"),
            output_tokens=count_at(data, "$.usage.output_tokens"),
        )
