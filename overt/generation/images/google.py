"""`google/imagen-*` by `:predict`, `google/gemini-*-image*` by `:generateContent`.

Google's SDK is not used: it repeats a POST when a connection drops (so one attempt could be paid for twice),
takes a second to import, and does not tell an empty response from a filtered one.
"""

from __future__ import annotations

from typing import ClassVar

from overt.data.json_types import JsonObject
from overt.data.targets import Extra
from overt.generation.batches.google import GoogleBatches
from overt.generation.images import gemini, imagen
from overt.generation.images.engine import Answer, Asked, Found, ImageAPI, Request
from overt.generation.transport import encoded


class GoogleImages(ImageAPI):
    """An Imagen or Gemini image model. Gemini goes on with a conversation: its earlier turns are sent with
    the pictures that it drew, but without the signatures of its thoughts, which are not kept.

    Args:
        model: as Google spells it. Imagen takes no seed here, Gemini does.
        base_url: the Gemini API; for Vertex AI with an API key
            https://aiplatform.googleapis.com/v1/publishers/google
        api_key_env: the environment variable that holds the key, or an OAuth token (ya29...).
        timeout: seconds for one attempt.
        aspect_ratio: as Google spells it, e.g. 16:9.
        safety: the threshold of the adjustable filters, e.g. BLOCK_LOW_AND_ABOVE or BLOCK_ONLY_HIGH; "":
            Google's default.
        person_generation: for Imagen only, e.g. allow_adult.

    Raises:
        InputError: no key, and the server is not on this machine.
    """

    provider: ClassVar[str] = "google"
    takes: tuple[Extra, ...] = ("picture", "turns")

    def __init__(
        self,
        model: str,
        *,
        base_url: str = "https://generativelanguage.googleapis.com/v1beta",
        api_key_env: str = "GEMINI_API_KEY",
        timeout: float = 180.0,
        aspect_ratio: str = "",
        safety: str = "",
        person_generation: str = "",
    ) -> None:
        super().__init__(f"google/{model}", base_url=base_url, api_key_env=api_key_env, timeout=timeout)
        self.model = model
        self._aspect_ratio, self._safety, self._people = aspect_ratio, safety, person_generation
        self._is_imagen = model.startswith(("imagen", "imagegeneration"))
        self.takes = () if self._is_imagen else ("picture", "turns")
        self._headers = {"x-goog-api-key": self._key} if self._key else {}
        if self._key.startswith("ya29."):
            self._headers = {"Authorization": f"Bearer {self._key}"}

    def batches(self) -> GoogleBatches | None:
        if self._is_imagen:  # Google takes Gemini models alone
            return None
        return GoogleBatches(self.model, base_url=self._base, headers=self._headers, mask=self._mask)

    def request(self, asked: Asked) -> Request:
        if self._is_imagen:
            verb, body = "predict", imagen.body(asked, self._aspect_ratio, self._safety, self._people)
        else:
            signs = not self.model.startswith("gemini-2")
            verb = "generateContent"
            body = gemini.body(asked, self._aspect_ratio, self._safety, signs=signs)
        headers = {**self._headers, "Content-Type": "application/json"}
        return Request(f"{self._base}/models/{self.model}:{verb}", headers, data=encoded(body))

    def read(self, data: JsonObject, answer: Answer) -> Found:
        return imagen.read(data, answer.reply.status) if self._is_imagen else gemini.read(data, answer.asked)
