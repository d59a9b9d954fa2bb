"""Google's Imagen: the body and the response of `:predict`."""

from __future__ import annotations

from overt.data.json_types import JsonObject
from overt.data.jsonpath import parse_path, text_at, texts_at
from overt.data.provider.reader import support_codes
from overt.generation.images.engine import Asked, Found, given

# Vertex AI also names the model beside the predictions.
_FIELDS = {
    "predictions",
    "raiFilteredReason",
    "metadata",
    "deployedModelId",
    "model",
    "modelDisplayName",
    "modelVersionId",
}


def body(asked: Asked, aspect_ratio: str, safety: str, people: str) -> JsonObject:
    options = given(aspectRatio=aspect_ratio, safetySetting=safety.lower(), personGeneration=people)
    options |= {"sampleCount": 1, "includeRaiReason": True, "includeSafetyAttributes": True}
    return {"instances": [{"prompt": asked.prompt}], "parameters": options}


def read(data: JsonObject, status: int) -> Found:
    """Reads a response. Imagen may filter pictures silently, so an empty response is a refusal."""
    pictures = texts_at(data, "$.predictions[*].bytesBase64Encoded")
    reason = text_at(data, "$.predictions[*].raiFilteredReason", "$.raiFilteredReason")
    support = support_codes(reason or text_at(data, "$.error.message"))
    found = {
        "safetyAttributes": [
            one for one in parse_path("$.predictions[*].safetyAttributes").find(data) if one
        ],
        "raiFilteredReason": reason,
        "supportCodes": list(support),
    }
    safety = {name: value for name, value in found.items() if value}
    if pictures:
        return Found(pictures, safety=safety, revised_prompt=text_at(data, "$.predictions[*].prompt"))
    if status != 200 or data.get("error"):
        return Found(safety=safety)
    if text_at(data, "$.predictions[*].gcsUri"):
        return Found(codes=("gcsUri",), message="the picture was put into a storage bucket")
    if not set(data) <= _FIELDS or not isinstance(data.get("predictions", []), list):
        return Found(missing="the answer is none of Imagen's")
    code = "raiFilteredReason" if reason else "empty_result"
    return Found(codes=(*support, code), message=reason or "no picture came, and no reason", safety=safety)
