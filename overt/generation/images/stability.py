"""`stability/core`, `stability/ultra`, `stability/sd3.5-large` (v2beta) and engines of v1."""

from __future__ import annotations

from typing import ClassVar

from overt.data.json_types import Json, JsonObject
from overt.data.jsonpath import count_at, object_at, text_at
from overt.data.targets import Extra
from overt.generation.images.engine import Answer, Asked, Found, ImageAPI, Request, given
from overt.generation.images.pictures import as_file
from overt.generation.transport import Upload

_WITH_PICTURE = ("SUCCESS", "CONTENT_FILTERED", "")  # finish reasons, without "ERROR"


class StabilityImages(ImageAPI):
    """A model of Stability AI's API.

    Args:
        model: core, ultra or an sd3 model (v2beta), or the name of an engine of v1, e.g.
            stable-diffusion-xl-1024-v1-0.
        base_url: the API's address.
        api_key_env: the environment variable that holds the key.
        timeout: seconds for one attempt.
        aspect_ratio, output_format, style_preset: as v2beta spells them.
        strength: of prompts with a picture (ultra and sd3): how much is changed, 0 to 1.

    Raises:
        InputError: no key, and the server is not on this machine.
    """

    provider: ClassVar[str] = "stability"
    takes: tuple[Extra, ...] = ("picture",)

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
        strength: float = 0.7,
    ) -> None:
        super().__init__(f"stability/{model}", base_url=base_url, api_key_env=api_key_env, timeout=timeout)
        self.model = model.removeprefix("stable-image-")
        self._strength = strength
        self.takes = ("picture",) if self.model.startswith(("ultra", "sd3")) else ()
        self._headers = {"Accept": "application/json"}
        if self._key:
            self._headers["Authorization"] = f"Bearer {self._key}"
        self._options = given(
            aspect_ratio=aspect_ratio, output_format=output_format, style_preset=style_preset
        )

    def request(self, asked: Asked) -> Request:
        if self.model.startswith("stable-diffusion-"):
            body: Json = {"text_prompts": [{"text": asked.prompt}], "seed": asked.seed, "samples": 1}
            url = f"{self._base}/v1/generation/{self.model}/text-to-image"
            return Request(url, self._headers, json=body)
        is_sd3 = self.model.startswith("sd3")
        form: dict[str, str | Upload] = {"prompt": asked.prompt, "seed": str(asked.seed)}
        form |= {name: str(value) for name, value in self._options.items()}
        if is_sd3:
            form["model"] = self.model
        if asked.picture is not None:
            form["image"] = as_file(asked.picture)
            form["strength"] = f"{self._strength:g}"
            if is_sd3:
                form["mode"] = "image-to-image"
                form.pop("aspect_ratio", None)  # the picture's own
        url = f"{self._base}/v2beta/stable-image/generate/{'sd3' if is_sd3 else self.model}"
        return Request(url, self._headers, form=form)

    def read(self, data: JsonObject, answer: Answer) -> Found:
        made = object_at(data, "$.artifacts[0]") or data
        finish = text_at(made, "$.finish_reason", "$.finishReason")
        return Found(
            pictures=[text_at(made, "$.image", "$.base64")] if finish in _WITH_PICTURE else (),
            codes=(finish,) if finish not in ("", "SUCCESS") else (),
            finish_reason=finish or None,
            seed=count_at(made, "$.seed") or answer.asked.seed,
            missing=f"no picture came ({finish})" if finish else "the answer holds no picture",
        )
