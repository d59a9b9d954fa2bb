"""`checker/openai-moderation[/MODEL]?threshold=..`: the moderation endpoint for pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from overt.data.filters import FilterDecision
from overt.data.json_types import JsonObject
from overt.data.text import encodable
from overt.scoring.filters.openai_moderation import DEFAULT_KEY, DEFAULT_MODEL, Moderation, moderation_name
from overt.scoring.outgoing_pictures import data_url, outgoing

if TYPE_CHECKING:
    from PIL.Image import Image


class OpenAIImageModeration:
    """Blocks a picture that the moderation endpoint flags, or whose highest score reaches the threshold.

    The picture is sent as a JPEG of at most 768 pixels a side, without metadata.

    Args:
        model, threshold, base_url, api_key_env, timeout: as in `filter/openai-moderation`.
        with_prompt: send the prompt with the picture.

    Raises:
        InputError: no key, a bad address, a threshold outside 0 to 1.
    """

    is_free = True

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        threshold: str | float | None = None,
        base_url: str | None = None,
        api_key_env: str = DEFAULT_KEY,
        with_prompt: bool = False,
        timeout: float = 60.0,
    ) -> None:
        self.name = moderation_name("checker", model, threshold, base_url, api_key_env)
        if with_prompt:
            self.name += ("&" if "?" in self.name else "?") + "with_prompt=true"
        # Its other categories are told of texts alone, as its documentation says.
        self.covers = ("sexual", "violence", "self_harm")
        self._with_prompt = self.reads_prompt = with_prompt
        self.api_key_env = api_key_env
        self._moderation = Moderation(
            self.name, model, threshold=threshold, base_url=base_url, api_key_env=api_key_env, timeout=timeout
        )

    def check(self, image: Image, prompt: str) -> FilterDecision:
        """Sends one request. The score is the highest category score; the reason names the top categories."""
        parts: list[JsonObject] = [{"type": "image_url", "image_url": {"url": data_url(outgoing(image))}}]
        if self._with_prompt and prompt.strip():
            parts.insert(0, {"type": "text", "text": encodable(prompt)})
        return self._moderation.ask(parts)

    def close(self) -> None:
        self._moderation.close()
