"""Google's Gemini: the body and the response of `:generateContent`."""

from __future__ import annotations

from overt.data.json_types import Json, JsonObject
from overt.data.jsonpath import count_at, first, object_at, objects_at, text_at
from overt.generation.images.engine import Asked, Found
from overt.generation.images.pictures import base64_of, media_type

_HARMS = ("HARASSMENT", "HATE_SPEECH", "SEXUALLY_EXPLICIT", "DANGEROUS_CONTENT")


def body(asked: Asked, aspect_ratio: str, safety: str) -> JsonObject:
    config: dict[str, Json] = {"responseModalities": ["TEXT", "IMAGE"], "seed": asked.seed}
    if aspect_ratio:
        config["imageConfig"] = {"aspectRatio": aspect_ratio}
    parts: list[Json] = [{"text": asked.prompt}]
    if asked.picture is not None:
        kind, data = media_type(asked.picture), base64_of(asked.picture)
        parts.insert(0, {"inlineData": {"mimeType": kind, "data": data}})
    content: Json = [{"role": "user", "parts": parts}]
    if not safety:
        return {"contents": content, "generationConfig": config}
    settings: Json = [{"category": f"HARM_CATEGORY_{harm}", "threshold": safety.upper()} for harm in _HARMS]
    return {"contents": content, "generationConfig": config, "safetySettings": settings}


def read(data: JsonObject, asked: Asked) -> Found:
    """Reads the first candidate and the feedback on the prompt."""
    candidate = object_at(data, "$.candidates[0]")
    # Thoughts hold drafts that the user does not get.
    parts = [p for p in objects_at(candidate, "$.content.parts[*]") if p.get("thought") is not True]
    pictures = [one for p in parts if (one := first(p, "$.inlineData.data", "$.inline_data.data"))]
    finish = text_at(candidate, "$.finishReason")
    blocked = text_at(data, "$.promptFeedback.blockReason")
    code, message = "", text_at(candidate, "$.finishMessage")
    if blocked and not pictures:
        code, message = f"blockReason:{blocked}", text_at(data, "$.promptFeedback.blockReasonMessage")
    elif finish not in ("", "STOP") and not pictures:
        code = finish
    safety = {
        "safetyRatings": first(candidate, "$.safetyRatings"),
        "promptFeedback": first(data, "$.promptFeedback"),
    }
    return Found(
        pictures=pictures,
        text="".join(text_at(part, "$.text") for part in parts),
        codes=(code,) if code else (),
        message=message,
        finish_reason=finish or None,
        safety={name: value for name, value in safety.items() if value is not None},
        seed=asked.seed,
        input_tokens=count_at(data, "$.usageMetadata.promptTokenCount"),
        output_tokens=count_at(data, "$.usageMetadata.candidatesTokenCount"),
        missing=f"the answer holds no picture and no text (finishReason {finish or 'not given'})",
    )
