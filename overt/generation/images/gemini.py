"""Google's Gemini: the body and the response of `:generateContent`."""

from __future__ import annotations

from overt.data.json_types import Json, JsonObject
from overt.data.jsonpath import count_at, first, object_at, objects_at, text_at
from overt.data.records import Turn
from overt.data.text import encodable
from overt.generation.images.engine import Asked, Found
from overt.generation.images.pictures import base64_of, media_type

_HARMS = ("HARASSMENT", "HATE_SPEECH", "SEXUALLY_EXPLICIT", "DANGEROUS_CONTENT")


# Gemini 3 gives its parts signatures of its thoughts, and some of its models answer 400 where a part comes
# back without one. They are not kept; this word stands for parts whose signature nobody has
# (https://ai.google.dev/gemini-api/docs/thought-signatures).
_UNSIGNED = "skip_thought_signature_validator"


def body(asked: Asked, aspect_ratio: str, safety: str, *, signs: bool = False) -> JsonObject:
    """The body of a request.

    Args:
        signs: whether the model wants signatures in its earlier turns.
    """
    config: dict[str, Json] = {"responseModalities": ["TEXT", "IMAGE"], "seed": asked.seed}
    if aspect_ratio:
        config["imageConfig"] = {"aspectRatio": aspect_ratio}
    parts: list[Json] = [{"text": asked.prompt}]
    if asked.picture is not None:
        parts.insert(0, _inline(asked.picture))
    earlier = [_content(turn, asked, signs) for turn in asked.turns if turn.role != "system"]
    made: dict[str, Json] = {
        "contents": [*earlier, {"role": "user", "parts": parts}],
        "generationConfig": config,
    }
    if systems := [turn.content for turn in asked.turns if turn.role == "system"]:
        made["systemInstruction"] = {"parts": [{"text": encodable(text)} for text in systems]}
    if safety:
        made["safetySettings"] = [
            {"category": f"HARM_CATEGORY_{harm}", "threshold": safety.upper()} for harm in _HARMS
        ]
    return made


def _content(turn: Turn, asked: Asked, signs: bool) -> Json:
    """An earlier turn, with the pictures that the model drew in it."""
    parts: list[dict[str, Json]] = [{"text": encodable(turn.content)}] if turn.content else []
    parts += [_inline(asked.drawn[name]) for name in turn.images or () if name in asked.drawn]
    if turn.role != "assistant":
        return {"role": "user", "parts": [*parts]}
    return {
        "role": "model",
        "parts": [{**part, "thoughtSignature": _UNSIGNED} if signs else part for part in parts],
    }


def _inline(picture: bytes) -> dict[str, Json]:
    return {"inlineData": {"mimeType": media_type(picture), "data": base64_of(picture)}}


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
