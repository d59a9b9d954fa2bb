"""`google/imagen-*` by `:predict`, `google/gemini-*-image*` by `:generateContent`. Plain HTTP.

Not Google's SDK: it sends a POST a second time when a connection drops (an attempt would be two, and paid
for twice), takes a second to import, and folds an empty answer and a filtered one into the same object.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

from overt.data.chat import ErrorKind
from overt.data.codes import refusal_stage
from overt.data.targets import Response
from overt.generation.images.api import ImageAPI, count_at, decoded, dig, entries, given, rewritten, text_at
from overt.generation.images.wire import Reply, failed

_SUPPORT_CODES = re.compile(r"support codes?:\s*((?:\d{6,}[\s,]*)+)", re.IGNORECASE)
# How an input that Imagen filtered is told: HTTP 400 INVALID_ARGUMENT, as for any bad request.
_PROMPT_BLOCKED = re.compile(
    r"could not be submitted|input blocked|responsible ai practices|prohibited use policy|usage guidelines",
    re.IGNORECASE,
)
# Vertex AI tells beside the predictions which model made them.
_IMAGEN_FIELDS = {
    "predictions",
    "raiFilteredReason",
    "metadata",
    "deployedModelId",
    "model",
    "modelDisplayName",
    "modelVersionId",
}
_HARMS = ("HARASSMENT", "HATE_SPEECH", "SEXUALLY_EXPLICIT", "DANGEROUS_CONTENT")


class GoogleImages(ImageAPI):
    """An Imagen or Gemini image model.

    Args:
        model: as Google spells it. Imagen takes no seed here, Gemini does.
        base_url: the Gemini API; for Vertex AI with an API key
            https://aiplatform.googleapis.com/v1/publishers/google
        api_key_env: the environment variable that holds the key, or an OAuth token (ya29...).
        timeout: seconds for one attempt.
        aspect_ratio: as Google spells it, e.g. 16:9.
        safety: the threshold of the adjustable filters, e.g. BLOCK_LOW_AND_ABOVE or BLOCK_ONLY_HIGH; ""
            leaves Google the choice.
        person_generation: of Imagen, e.g. allow_adult.

    Raises:
        InputError: no key, and the server is not on this machine.
    """

    provider: ClassVar[str] = "google"

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

    async def _attempt(self, prompt: str, seed: int) -> Response:
        imagen = self.model.startswith(("imagen", "imagegeneration"))
        headers = {"x-goog-api-key": self._key} if self._key else {}
        if self._key.startswith("ya29."):
            headers = {"Authorization": f"Bearer {self._key}"}
        verb, body = (
            ("predict", self._imagen_body(prompt))
            if imagen
            else ("generateContent", self._gemini_body(prompt, seed))
        )
        reply = await self._send(
            "POST", f"{self._base}/models/{self.model}:{verb}", headers=headers, body=body
        )
        if isinstance(reply, Response):
            return reply
        data = reply.json()
        if isinstance(data, list) and data:  # Vertex wraps some errors in a list
            data = data[0]
        if not isinstance(data, dict):
            return self._not_json(reply)
        if reply.status != 200 or data.get("error"):
            return self._problem(reply, data)
        return self._read_imagen(reply, data, prompt) if imagen else self._read_gemini(reply, data, seed)

    # -- Imagen ---------------------------------------------------------------------------------------

    def _imagen_body(self, prompt: str) -> dict[str, Any]:
        parameters = given(
            aspectRatio=self._aspect_ratio,
            safetySetting=self._safety.lower(),
            personGeneration=self._people,
        )
        parameters |= {"sampleCount": 1, "includeRaiReason": True, "includeSafetyAttributes": True}
        return {"instances": [{"prompt": prompt}], "parameters": parameters}

    def _read_imagen(self, reply: Reply, data: dict[str, Any], prompt: str) -> Response:
        predictions = entries(data.get("predictions"))
        made = [one for one in predictions if one.get("bytesBase64Encoded")]
        images = tuple(decoded(one["bytesBase64Encoded"]) for one in made)
        if None in images:
            return failed("server", "the answer's picture is no base64", reply=reply)
        reasons = [text_at(one, "raiFilteredReason") for one in (*predictions, data)]
        reason = next(filter(None, reasons), "")
        safety: dict[str, Any] = {}
        if scores := [one["safetyAttributes"] for one in predictions if one.get("safetyAttributes")]:
            safety["safetyAttributes"] = scores
        if reason:
            safety["raiFilteredReason"] = self._words(reason)
        if images:
            return Response(
                images=tuple(image for image in images if image),
                status=reply.status,
                safety=safety,
                revised_prompt=rewritten(prompt, text_at(made, 0, "prompt")),
            )
        if any(one.get("gcsUri") for one in predictions):
            return failed("bad_request", "the picture was put into a storage bucket", reply=reply)
        if not set(data) <= _IMAGEN_FIELDS or not isinstance(data.get("predictions", []), list):
            return failed("server", "the answer is none of Imagen's", reply=reply)
        # Imagen filters pictures away and says nothing of it: an empty answer is its refusal.
        code = (_support_code(reason) or "raiFilteredReason") if reason else "empty_result"
        if codes := _SUPPORT_CODES.findall(reason):
            safety["supportCodes"] = re.findall(r"\d+", " ".join(codes))
        return self._turned_down(reply, code, reason or "no picture came, and no reason", safety=safety)

    # -- Gemini ---------------------------------------------------------------------------------------

    def _gemini_body(self, prompt: str, seed: int) -> dict[str, Any]:
        config: dict[str, Any] = {"responseModalities": ["TEXT", "IMAGE"], "seed": seed}
        if self._aspect_ratio:
            config["imageConfig"] = {"aspectRatio": self._aspect_ratio}
        body = {"contents": [{"role": "user", "parts": [{"text": prompt}]}], "generationConfig": config}
        if self._safety:
            body["safetySettings"] = [
                {"category": f"HARM_CATEGORY_{harm}", "threshold": self._safety.upper()} for harm in _HARMS
            ]
        return body

    def _read_gemini(self, reply: Reply, data: dict[str, Any], seed: int) -> Response:
        candidate = dig(data, "candidates", 0) or {}
        # Thoughts hold drafts, not the picture that the user gets.
        parts = [
            part for part in entries(dig(candidate, "content", "parts")) if part.get("thought") is not True
        ]
        sent = [dig(part, "inlineData", "data") or dig(part, "inline_data", "data") for part in parts]
        images = tuple(decoded(one) for one in sent if one)
        if None in images:
            return failed("server", "the answer's picture is no base64", reply=reply)
        text = "".join(text_at(part, "text") for part in parts)
        finish = text_at(candidate, "finishReason")
        blocked = text_at(data, "promptFeedback", "blockReason")
        safety = {
            name: found
            for name, found in (
                ("safetyRatings", dig(candidate, "safetyRatings")),
                ("promptFeedback", dig(data, "promptFeedback")),
            )
            if found
        }
        if blocked and not images:
            code, message = f"blockReason:{blocked}", text_at(data, "promptFeedback", "blockReasonMessage")
        elif finish in ("", "STOP") or images:
            code, message = "", text_at(candidate, "finishMessage")
        else:
            code, message = finish, text_at(candidate, "finishMessage")
        if not images and not text and not refusal_stage("google", code):
            return self._turned_down(
                reply,
                code,
                message or f"the answer holds no picture and no text (finishReason {finish or 'not given'})",
                kind=_FINISH_KINDS.get(code, "server"),
                safety=safety,
            )
        return Response(
            images=tuple(image for image in images if image),
            text=text,
            status=reply.status,
            code=code,
            message=self._words(message),
            finish_reason=finish or None,
            safety=safety,
            seed=seed,
            input_tokens=count_at(data, "usageMetadata", "promptTokenCount"),
            output_tokens=count_at(data, "usageMetadata", "candidatesTokenCount"),
        )

    # -- errors ---------------------------------------------------------------------------------------

    def _problem(self, reply: Reply, data: dict[str, Any]) -> Response:
        error = data.get("error")
        message, code = text_at(error, "message"), text_at(error, "status")
        details = entries(dig(error, "details"))
        reason = next(filter(None, (text_at(one, "reason") for one in details)), "")
        wait = next(filter(None, (_seconds(text_at(one, "retryDelay")) for one in details)), None)
        said, safety = message.lower(), {}
        kind: ErrorKind | None = None
        if reply.status == 400 and (_PROMPT_BLOCKED.search(message) or _SUPPORT_CODES.search(message)):
            if codes := _SUPPORT_CODES.findall(message):
                safety["supportCodes"] = re.findall(r"\d+", " ".join(codes))
            return self._turned_down(
                reply, _support_code(message) or "prompt_blocked", message, safety=safety
            )
        if reason == "API_KEY_INVALID" or "api key not valid" in said or code == "UNAUTHENTICATED":
            kind = "auth"
        elif reason == "BILLING_DISABLED" or "billed users" in said or "credits are depleted" in said:
            kind = "billing"
        elif code == "FAILED_PRECONDITION":  # the account's country or plan: every request would fail
            kind = "billing" if "billing" in said else "auth"
        elif code == "RESOURCE_EXHAUSTED" and re.search(r"limit: 0\b", said):
            kind = "billing"  # the plan has none of this model
        elif "token count" in said and "exceeds" in said:
            kind = "too_long"
        return self._turned_down(reply, code, message, kind=kind, wait=wait)


# What ends a Gemini answer without a picture and is no refusal of content.
_FINISH_KINDS: dict[str, ErrorKind] = {
    "MAX_TOKENS": "bad_request",
    "LANGUAGE": "bad_request",
    "PUP_LIMITED_DISABLED": "auth",
}


def _support_code(text: str) -> str:
    """The first support code whose stage Google documents, "" where there is none."""
    codes = re.findall(r"\d+", " ".join(_SUPPORT_CODES.findall(text)))
    return next((code for code in codes if refusal_stage("google", code)), "")


def _seconds(duration: str) -> float | None:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)s", duration)
    return float(found[1]) if found else None
