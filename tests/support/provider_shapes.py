"""Every documented answer of the image APIs, as data: what the server says, and what is to be read from it.

`serve()` replays them on this machine; any test may go through SHAPES and ask `server.respond(shape)`.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import importlib
import json
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest import mock

from overt.data.targets import Response
from overt.registry import builtin

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)
B64 = base64.b64encode(PNG).decode()
PROMPT = "a surgeon's hands at work, oil on canvas"
SEED = 1234
SIGNATURE = "sig-5ecre7-0f-the-address"
KEY = "k3y-part-one:k3y-part-two-0123456789"
KEY_ENV = {
    "openai": "OPENAI_API_KEY",
    "google": "GEMINI_API_KEY",
    "bfl": "BFL_API_KEY",
    "fal": "FAL_KEY",
    "stability": "STABILITY_API_KEY",
    "replicate": "REPLICATE_API_TOKEN",
}
PAGE = "<!DOCTYPE html><html><body>One moment, please</body></html>"
HTML = {"Content-Type": "text/html; charset=utf-8"}


@dataclass(frozen=True)
class Answer:
    """One HTTP answer. In a body, {base} is the server's address and {key} the key that was sent.

    how: "" as written; "drop" closes the connection unanswered; "hang" waits for a second; "cut" promises
    a longer body than it sends.
    """

    status: int = 200
    body: Any = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    how: str = ""


@dataclass(frozen=True)
class Shape:
    """expect: fields of Response besides images. Exactly one of: `images` and no code; `stage`; `kind`;
    or text. `least_s`: seconds that the attempt must take (it had to wait)."""

    provider: str
    name: str
    model: str
    answers: tuple[Answer, ...]
    expect: Mapping[str, Any] = field(default_factory=dict)
    images: tuple[bytes, ...] = ()
    stage: str | None = None
    kind: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    least_s: float = 0.0

    @property
    def id(self) -> str:
        return f"{self.provider}-{self.name}".replace(" ", "_")


def picture(name: str = "picture.png", status: int = 200, body: Any = PNG, **headers: str) -> Answer:
    return Answer(
        status, body, {"Content-Type": "image/png"} | {k.replace("_", "-"): v for k, v in headers.items()}
    )


URL = "{base}/picture.png?se=2026&sig=" + SIGNATURE

# -- OpenAI ------------------------------------------------------------------------------------------------


def _openai(
    name: str, status: int, error: Any, *, model: str = "gpt-image-1", headers: Any = (), **more: Any
) -> Shape:
    expect = {"status": status} | more.pop("expect", {})
    return Shape("openai", name, model, (Answer(status, {"error": error}, dict(headers)),), expect, **more)


_SAFETY = "Your request was rejected by the safety system. If you believe this is an error, contact us."
OPENAI = (
    Shape(
        "openai",
        "picture, gpt-image",
        "gpt-image-1",
        (
            Answer(
                200,
                {
                    "created": 1,
                    "data": [{"b64_json": B64}],
                    "usage": {"input_tokens": 14, "output_tokens": 272, "total_tokens": 286},
                },
            ),
        ),
        {
            "status": 200,
            "code": "",
            "input_tokens": 14,
            "output_tokens": 272,
            "seed": None,
            "revised_prompt": None,
        },
        images=(PNG,),
    ),
    Shape(
        "openai",
        "picture, dall-e with a rewritten prompt",
        "dall-e-3",
        (
            Answer(
                200, {"created": 1, "data": [{"b64_json": B64, "revised_prompt": "A calm operating theatre"}]}
            ),
        ),
        {"revised_prompt": "A calm operating theatre", "input_tokens": None},
        images=(PNG,),
    ),
    Shape(
        "openai",
        "picture by address",
        "gateway-model",
        (Answer(200, {"data": [{"url": URL}]}), picture()),
        {"status": 200},
        images=(PNG,),
    ),
    Shape(
        "openai",
        "picture with Azure's filter results",
        "dall-e-3",
        (
            Answer(
                200,
                {
                    "data": [
                        {
                            "b64_json": B64,
                            "content_filter_results": {"violence": {"filtered": False, "severity": "low"}},
                            "prompt_filter_results": {"profanity": {"detected": False, "filtered": False}},
                        }
                    ]
                },
            ),
        ),
        {
            "safety": {
                "prompt_filter_results": {"profanity": {"detected": False, "filtered": False}},
                "content_filter_results": {"violence": {"filtered": False, "severity": "low"}},
            }
        },
        images=(PNG,),
    ),
    _openai(
        "moderation_blocked",
        400,
        {
            "message": _SAFETY,
            "type": "image_generation_user_error",
            "param": None,
            "code": "moderation_blocked",
        },
        expect={"code": "moderation_blocked", "message": _SAFETY},
        stage="image_filter",
    ),
    _openai(
        "moderation_blocked at the input",
        400,
        {
            "message": _SAFETY,
            "type": "image_generation_user_error",
            "code": "moderation_blocked",
            "moderation_details": {"moderation_stage": "input", "categories": ["violence"]},
        },
        expect={
            "code": "moderation_blocked:input",
            "safety": {"moderation_details": {"moderation_stage": "input", "categories": ["violence"]}},
        },
        stage="prompt_filter",
    ),
    _openai(
        "moderation_blocked at the output",
        400,
        {
            "message": _SAFETY,
            "code": "moderation_blocked",
            "moderation_details": {"moderation_stage": "output", "categories": ["sexual"]},
        },
        expect={"code": "moderation_blocked:output"},
        stage="image_filter",
    ),
    _openai(
        "content_policy_violation",
        400,
        {
            "message": "Your request was rejected as a result of our safety system.",
            "type": "invalid_request_error",
            "param": None,
            "code": "content_policy_violation",
        },
        model="dall-e-3",
        expect={"code": "content_policy_violation"},
        stage="prompt_filter",
    ),
    _openai(
        "Azure's content_policy_violation",
        400,
        {
            "code": "content_policy_violation",
            "message": "Your request was rejected as a result of our safety system.",
            "inner_error": {
                "code": "ResponsibleAIPolicyViolation",
                "content_filter_results": {"violence": {"filtered": True, "severity": "medium"}},
                "revised_prompt": "hands, in oil",
            },
        },
        model="dall-e-3",
        expect={
            "code": "content_policy_violation",
            "safety": {"content_filter_results": {"violence": {"filtered": True, "severity": "medium"}}},
            "revised_prompt": "hands, in oil",
        },
        stage="prompt_filter",
    ),
    _openai(
        "Azure's contentFilter on the picture",
        400,
        {
            "code": "contentFilter",
            "message": "Generated image was filtered as a result of our safety system.",
        },
        model="dall-e-3",
        expect={"code": "contentFilter:output"},
        stage="image_filter",
    ),
    _openai(
        "safety system without a code",
        400,
        {"message": "Your request was rejected as a result of our safety system.", "code": None},
        model="dall-e-2",
        expect={"code": "safety_system"},
        stage="prompt_filter",
    ),
    _openai(
        "billing limit as a 400",
        400,
        {
            "message": "Billing hard limit has been reached",
            "type": "image_generation_user_error",
            "code": "billing_hard_limit_reached",
        },
        expect={"code": "billing_hard_limit_reached"},
        kind="billing",
    ),
    _openai(
        "insufficient_quota",
        429,
        {
            "message": "You exceeded your current quota, please check your plan and billing details.",
            "type": "insufficient_quota",
            "code": "insufficient_quota",
        },
        kind="billing",
    ),
    _openai(
        "rate limit",
        429,
        {"message": "Rate limit reached for gpt-image-1", "type": "images", "code": "rate_limit_exceeded"},
        headers={"retry-after": "12"},
        expect={"retry_after": 12.0},
        kind="rate_limit",
    ),
    _openai(
        "bad key",
        401,
        {
            "message": "Incorrect API key provided: sk-proj-********wxyz. It was {key}. See {base}/?k={key}",
            "type": "invalid_request_error",
            "code": "invalid_api_key",
        },
        kind="auth",
    ),
    _openai(
        "organization not verified",
        403,
        {"message": "Your organization must be verified to use the model.", "type": "invalid_request_error"},
        kind="auth",
    ),
    _openai(
        "unknown model",
        404,
        {
            "message": "The model 'x' does not exist.",
            "type": "invalid_request_error",
            "code": "model_not_found",
        },
        kind="bad_request",
    ),
    _openai(
        "bad size",
        400,
        {
            "message": "Invalid value: '1x1'.",
            "type": "invalid_request_error",
            "param": "size",
            "code": "invalid_value",
        },
        kind="bad_request",
    ),
    _openai(
        "prompt too long",
        400,
        {
            "message": "Invalid 'prompt': string too long. Expected a string with maximum length 32000.",
            "param": "prompt",
            "code": "string_above_max_length",
        },
        kind="too_long",
    ),
    _openai(
        "server error",
        500,
        {"message": "The server had an error while processing your request.", "type": "server_error"},
        kind="server",
    ),
    Shape(
        "openai",
        "no picture in the list",
        "gpt-image-1",
        (Answer(200, {"created": 1, "data": []}),),
        kind="server",
    ),
    Shape(
        "openai",
        "broken base64",
        "gpt-image-1",
        (Answer(200, {"data": [{"b64_json": "@@@"}]}),),
        kind="server",
    ),
    Shape(
        "openai",
        "expired address",
        "gateway-model",
        (Answer(200, {"data": [{"url": URL}]}), Answer(403, "<Error>AuthenticationFailed</Error>")),
        kind="server",
    ),
    Shape(
        "openai",
        "no picture, and feedback that blocks the prompt",
        "gateway-model",
        (Answer(200, {"promptFeedback": {"blockReason": "SAFETY"}}),),
        {"code": "prompt blocked"},
        stage="prompt_filter",
    ),
    Shape(
        "openai",
        "an error as JSON inside of a string",
        "gateway-model",
        (
            Answer(
                400,
                {
                    "error": {
                        "message": json.dumps({"error": {"code": "moderation_blocked", "message": "No."}})
                    }
                },
            ),
        ),
        {"code": "moderation_blocked", "message": "No."},
        stage="image_filter",
    ),
    Shape(
        "openai",
        "an error in a 200",
        "gateway-model",
        (Answer(200, {"error": {"message": "upstream is busy", "code": 503}}),),
        kind="server",
    ),
)

# -- Google ------------------------------------------------------------------------------------------------

IMAGEN, GEMINI = "imagen-4.0-generate-001", "gemini-2.5-flash-image"
_FILTERED = (
    "Unable to show generated images. All images were filtered out because they violated Google's "
    "Responsible AI practices. Try rephrasing the prompt. If you think this was an error, send feedback."
)
_UNSUBMITTED = (
    "Image generation failed with the following error: The prompt could not be submitted. This prompt "
    "contains sensitive words that violate Google's Responsible AI practices. Try rephrasing the prompt."
)


def _imagen(name: str, data: Any, status: int = 200, **more: Any) -> Shape:
    expect = {"status": status} | more.pop("expect", {})
    return Shape("google", name, IMAGEN, (Answer(status, data),), expect, **more)


def _gemini(name: str, data: Any, status: int = 200, **more: Any) -> Shape:
    expect = {"status": status} | more.pop("expect", {})
    return Shape("google", name, GEMINI, (Answer(status, data),), expect, **more)


def _finished(reason: str, stage: str | None, kind: str | None = None) -> Shape:
    return _gemini(
        f"finishReason {reason}",
        {"candidates": [{"finishReason": reason, "finishMessage": f"stopped: {reason}", "index": 0}]},
        expect={"code": reason, "message": f"stopped: {reason}"}
        | ({"finish_reason": reason} if stage else {}),
        stage=stage,
        kind=kind,
    )


def _blocked(reason: str) -> Shape:
    return _gemini(
        f"blockReason {reason}",
        {"promptFeedback": {"blockReason": reason}, "usageMetadata": {"promptTokenCount": 9}},
        expect={
            "code": f"blockReason:{reason}",
            "safety": {"promptFeedback": {"blockReason": reason}},
            "input_tokens": 9,
        },
        stage="prompt_filter",
    )


def _google_error(name: str, code: int, status: str, message: str, details: Any = (), **more: Any) -> Shape:
    error = {"code": code, "message": message, "status": status, "details": list(details)}
    return _gemini(name, {"error": error}, code, **more)


_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
GOOGLE = (
    _imagen(
        "Imagen picture",
        {
            "predictions": [
                {
                    "mimeType": "image/png",
                    "bytesBase64Encoded": B64,
                    "prompt": "A surgeon, in warm light",
                    "safetyAttributes": {"categories": ["Violence"], "scores": [0.1]},
                },
                {
                    "contentType": "Positive Prompt",
                    "safetyAttributes": {"categories": ["Death"], "scores": [0.4]},
                },
            ]
        },
        expect={
            "code": "",
            "seed": None,
            "revised_prompt": "A surgeon, in warm light",
            "safety": {
                "safetyAttributes": [
                    {"categories": ["Violence"], "scores": [0.1]},
                    {"categories": ["Death"], "scores": [0.4]},
                ]
            },
        },
        images=(PNG,),
    ),
    _imagen("Imagen empty answer", {}, expect={"code": "empty_result"}, stage="image_filter"),
    _imagen(
        "Imagen empty answer on Vertex",
        {"deployedModelId": "1", "model": "projects/p/locations/l/models/imagen"},
        expect={"code": "empty_result"},
        stage="image_filter",
    ),
    _imagen("Imagen answer of another service", {"ok": True}, kind="server"),
    _imagen(
        "Imagen no predictions", {"predictions": []}, expect={"code": "empty_result"}, stage="image_filter"
    ),
    _imagen(
        "Imagen raiFilteredReason",
        {"predictions": [{"raiFilteredReason": _FILTERED}]},
        expect={
            "code": "raiFilteredReason",
            "message": _FILTERED,
            "safety": {"raiFilteredReason": _FILTERED},
        },
        stage="image_filter",
    ),
    _imagen(
        "Imagen support code of the output",
        {"predictions": [{"raiFilteredReason": f"{_FILTERED} Support codes: 56562880"}]},
        expect={"code": "56562880"},
        stage="image_filter",
    ),
    _imagen(
        "Imagen support code of the input",
        {"predictions": [{"raiFilteredReason": f"{_FILTERED} Support codes: 90789179, 29310472"}]},
        expect={
            "code": "90789179",
            "safety": {
                "raiFilteredReason": f"{_FILTERED} Support codes: 90789179, 29310472",
                "supportCodes": ["90789179", "29310472"],
            },
        },
        stage="prompt_filter",
    ),
    _imagen(
        "Imagen support code of either side",
        {"predictions": [{"raiFilteredReason": f"{_FILTERED} Support codes: 64151117"}]},
        expect={"code": "raiFilteredReason"},
        stage="image_filter",
    ),
    _imagen(
        "Imagen prompt filtered",
        {"error": {"code": 400, "message": _UNSUBMITTED, "status": "INVALID_ARGUMENT"}},
        400,
        expect={"code": "prompt_blocked", "message": _UNSUBMITTED},
        stage="prompt_filter",
    ),
    _imagen(
        "Imagen prompt filtered with a support code",
        {
            "error": {
                "code": 400,
                "message": f"{_UNSUBMITTED} Support codes: 58061214",
                "status": "INVALID_ARGUMENT",
            }
        },
        400,
        expect={"code": "58061214", "safety": {"supportCodes": ["58061214"]}},
        stage="prompt_filter",
    ),
    _imagen(
        "Imagen persons not allowed",
        {
            "error": {
                "code": 400,
                "status": "INVALID_ARGUMENT",
                "message": "Image generation failed with the following error: The prompt could not be "
                "submitted. Your current safety settings for person/face generation prohibited some words.",
            }
        },
        400,
        expect={"code": "prompt_blocked"},
        stage="prompt_filter",
    ),
    _imagen(
        "Imagen for billed users only",
        {
            "error": {
                "code": 400,
                "status": "INVALID_ARGUMENT",
                "message": "Imagen API is only accessible to billed users at this time.",
            }
        },
        400,
        kind="billing",
    ),
    _gemini(
        "Gemini picture",
        {
            "candidates": [
                {
                    "content": {
                        "parts": [
                            {"text": "I will sketch it", "thought": True},
                            {"inlineData": {"mimeType": "image/png", "data": "AAAA"}, "thought": True},
                            {"text": "Here it is."},
                            {"inlineData": {"mimeType": "image/png", "data": B64}},
                        ]
                    },
                    "finishReason": "STOP",
                    "safetyRatings": [{"category": "HARM_CATEGORY_HARASSMENT", "probability": "NEGLIGIBLE"}],
                }
            ],
            "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 1290},
        },
        expect={
            "text": "Here it is.",
            "finish_reason": "STOP",
            "seed": SEED,
            "input_tokens": 9,
            "output_tokens": 1290,
            "safety": {
                "safetyRatings": [{"category": "HARM_CATEGORY_HARASSMENT", "probability": "NEGLIGIBLE"}]
            },
        },
        images=(PNG,),
    ),
    _gemini(
        "Gemini text instead",
        {"candidates": [{"content": {"parts": [{"text": "I can't draw that."}]}, "finishReason": "STOP"}]},
        expect={"text": "I can't draw that.", "code": "", "finish_reason": "STOP"},
    ),
    *(
        _finished(reason, "image_filter")
        for reason in (
            "SAFETY",
            "PROHIBITED_CONTENT",
            "BLOCKLIST",
            "SPII",
            "RECITATION",
            "IMAGE_SAFETY",
            "IMAGE_PROHIBITED_CONTENT",
            "IMAGE_RECITATION",
            "MODEL_ARMOR",
        )
    ),
    _finished("NO_IMAGE", "model"),
    _finished("ESCALATION", "prompt_filter"),
    _finished("OTHER", None, "server"),
    _finished("IMAGE_OTHER", None, "server"),
    _finished("MALFORMED_RESPONSE", None, "server"),
    _finished("MAX_TOKENS", None, "bad_request"),
    _finished("LANGUAGE", None, "bad_request"),
    _finished("PUP_LIMITED_DISABLED", None, "auth"),
    *(
        _blocked(reason)
        for reason in (
            "SAFETY",
            "OTHER",
            "BLOCKLIST",
            "PROHIBITED_CONTENT",
            "IMAGE_SAFETY",
            "MODEL_ARMOR",
            "JAILBREAK",
            "BLOCKED_REASON_UNSPECIFIED",
        )
    ),
    _gemini("Gemini empty answer", {"candidates": [{"finishReason": "STOP"}]}, kind="server"),
    _google_error(
        "bad key",
        400,
        "INVALID_ARGUMENT",
        "API key not valid. Please pass a valid API key.",
        [{"@type": _INFO, "reason": "API_KEY_INVALID", "domain": "googleapis.com"}],
        kind="auth",
    ),
    _google_error(
        "no permission", 403, "PERMISSION_DENIED", "Permission denied on the project.", kind="auth"
    ),
    _google_error(
        "billing disabled",
        403,
        "PERMISSION_DENIED",
        "This API method requires billing to be enabled.",
        [{"@type": _INFO, "reason": "BILLING_DISABLED"}],
        kind="billing",
    ),
    _google_error(
        "country not supported",
        400,
        "FAILED_PRECONDITION",
        "User location is not supported for the API use.",
        kind="auth",
    ),
    _google_error(
        "rate limit with a delay in the body",
        429,
        "RESOURCE_EXHAUSTED",
        "You exceeded your current quota, please check your plan and billing details.",
        [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}],
        expect={"retry_after": 34.5, "code": "RESOURCE_EXHAUSTED"},
        kind="rate_limit",
    ),
    _google_error(
        "none of this model in the plan",
        429,
        "RESOURCE_EXHAUSTED",
        "Quota exceeded for metric: generate_content_free_tier_requests, limit: 0, model: gemini-x",
        kind="billing",
    ),
    _google_error("unknown model", 404, "NOT_FOUND", "models/x is not found.", kind="bad_request"),
    _google_error("bad argument", 400, "INVALID_ARGUMENT", "Invalid value at 'seed'.", kind="bad_request"),
    _google_error(
        "prompt too long",
        400,
        "INVALID_ARGUMENT",
        "The input token count (40000) exceeds the maximum number of tokens allowed (32768).",
        kind="too_long",
    ),
    _google_error("internal", 500, "INTERNAL", "An internal error has occurred.", kind="server"),
    _google_error("overloaded", 503, "UNAVAILABLE", "The model is overloaded.", kind="server"),
    _google_error("deadline", 504, "DEADLINE_EXCEEDED", "Deadline expired.", kind="server"),
)

# -- Black Forest Labs -------------------------------------------------------------------------------------

_BFL_JOB = Answer(200, {"id": "job-1", "polling_url": "{base}/v1/get_result?id=job-1", "cost": 4.0})


def _bfl_look(status: str, code: int = 200, **more: Any) -> Answer:
    return Answer(code, {"id": "job-1", "status": status, "result": None, "progress": None} | more)


def _bfl(name: str, *answers: Answer, **more: Any) -> Shape:
    return Shape("bfl", name, "flux-pro-1.1", answers, more.pop("expect", {}), **more)


_BFL_READY = _bfl_look("Ready", result={"sample": URL, "prompt": PROMPT, "seed": 77, "duration": 2.1})
BFL = (
    _bfl(
        "Ready",
        _BFL_JOB,
        _bfl_look("Pending", progress=0.3),
        _BFL_READY,
        picture(),
        expect={"status": 200, "finish_reason": "Ready", "seed": 77, "cost": 0.04, "revised_prompt": None},
        images=(PNG,),
    ),
    _bfl(
        "Ready with a rewritten prompt",
        _BFL_JOB,
        _bfl_look("Ready", result={"sample": URL, "prompt": "two hands, calm light"}),
        picture(),
        expect={"revised_prompt": "two hands, calm light", "seed": SEED},
        images=(PNG,),
    ),
    _bfl(
        "looks that meet 429, 500, a drop and a broken body go on",
        _BFL_JOB,
        Answer(429, {"detail": "slow down"}, {"Retry-After": "0.3"}),
        Answer(500, "oops"),
        Answer(how="drop"),
        Answer(200, '{"id": "job-1", "sta'),
        _BFL_READY,
        picture(),
        images=(PNG,),
        least_s=0.3,
    ),
    _bfl(
        "Request Moderated",
        _BFL_JOB,
        _bfl_look("Request Moderated", details={"Moderation Reasons": ["Safety Filter"]}),
        expect={
            "code": "Request Moderated",
            "message": "Request Moderated: Safety Filter",
            "safety": {"Moderation Reasons": ["Safety Filter"]},
        },
        stage="prompt_filter",
    ),
    _bfl(
        "Content Moderated",
        _BFL_JOB,
        _bfl_look("Content Moderated", details={"Moderation Reasons": ["Derivative Works Filter"]}),
        expect={"code": "Content Moderated"},
        stage="image_filter",
    ),
    _bfl(
        "Content Moderated with HTTP 503",
        _BFL_JOB,
        _bfl_look("Content Moderated", 503),
        expect={"code": "Content Moderated", "status": 503},
        stage="image_filter",
    ),
    _bfl(
        "Request Moderated at the door",
        Answer(422, {"status": "Request Moderated"}),
        expect={"code": "Request Moderated", "status": 422},
        stage="prompt_filter",
    ),
    _bfl("Task not found", _BFL_JOB, _bfl_look("Task not found", 404), kind="server"),
    _bfl("Error", _BFL_JOB, _bfl_look("Error", details={"error": "worker lost"}), kind="server"),
    _bfl("Ready without an address", _BFL_JOB, _bfl_look("Ready", result={}), kind="server"),
    _bfl("expired address", _BFL_JOB, _BFL_READY, picture(status=403, body="<Error/>"), kind="server"),
    _bfl("a page for a picture", _BFL_JOB, _BFL_READY, Answer(200, PAGE, HTML), kind="server"),
    _bfl("picture cut off", _BFL_JOB, _BFL_READY, Answer(200, PNG, how="cut"), kind="connection"),
    _bfl(
        "an address that is no web address",
        _BFL_JOB,
        _bfl_look("Ready", result={"sample": "file:///etc/passwd"}),
        kind="server",
    ),
    _bfl("no job in the answer", Answer(200, {"polling_url": "{base}/x"}), kind="server"),
    _bfl("no credit", Answer(402, {"detail": "Insufficient credits"}), kind="billing"),
    _bfl("bad key", Answer(403, {"detail": "Not authenticated - Invalid Authentication {key}"}), kind="auth"),
    _bfl("bad key while waiting", _BFL_JOB, Answer(401, {"detail": "Not authenticated"}), kind="auth"),
    _bfl(
        "bad request",
        Answer(
            422,
            {
                "detail": [
                    {"loc": ["body", "width"], "msg": "Must be a multiple of 32", "type": "value_error"}
                ]
            },
        ),
        expect={"code": "value_error", "message": "Must be a multiple of 32"},
        kind="bad_request",
    ),
    _bfl("rate limit", Answer(429, {"detail": "Too many active tasks"}), kind="rate_limit"),
    _bfl("maintenance", Answer(503, {"detail": "Service unavailable"}), kind="server"),
    _bfl("job never ends", _BFL_JOB, *[_bfl_look("Pending")] * 60, kind="timeout", options={"timeout": 0.4}),
)

# -- fal ---------------------------------------------------------------------------------------------------

_FAL_JOB = Answer(
    200,
    {
        "request_id": "job-1",
        "status_url": "{base}/fal-ai/flux/requests/job-1/status",
        "response_url": "{base}/fal-ai/flux/requests/job-1",
        "queue_position": 0,
    },
)
_FAL_DONE = Answer(200, {"status": "COMPLETED", "request_id": "job-1"})
_FAL_RESULT = {
    "images": [{"url": URL, "width": 1, "height": 1, "content_type": "image/png"}],
    "seed": 77,
    "has_nsfw_concepts": [False],
    "prompt": PROMPT,
}


def _fal(name: str, *answers: Answer, **more: Any) -> Shape:
    return Shape("fal", name, "fal-ai/flux/dev", answers, more.pop("expect", {}), **more)


def _fal_detail(type_: str, msg: str, **more: Any) -> dict[str, Any]:
    return {"detail": [{"loc": ["body", "prompt"], "msg": msg, "type": type_} | more]}


_FLAGGED = "The content could not be processed because it was flagged by a content checker."
FAL = (
    _fal(
        "picture",
        _FAL_JOB,
        Answer(202, {"status": "IN_QUEUE", "queue_position": 3}),
        Answer(202, {"status": "IN_PROGRESS"}),
        _FAL_DONE,
        Answer(200, _FAL_RESULT),
        picture(),
        expect={"seed": 77, "safety": {"has_nsfw_concepts": [False]}, "revised_prompt": None, "status": 200},
        images=(PNG,),
    ),
    _fal(
        "picture within the answer",
        _FAL_JOB,
        _FAL_DONE,
        Answer(200, {"image": {"url": f"data:image/png;base64,{B64}"}}),
        expect={"seed": SEED},
        images=(PNG,),
    ),
    _fal(
        "looks and result that meet faults go on",
        _FAL_JOB,
        Answer(503, {"detail": "busy", "error_type": "runner_connection_timeout"}),
        _FAL_DONE,
        Answer(429, {"detail": "slow down"}),
        Answer(200, _FAL_RESULT),
        picture(),
        images=(PNG,),
    ),
    _fal(
        "has_nsfw_concepts",
        _FAL_JOB,
        _FAL_DONE,
        Answer(200, _FAL_RESULT | {"has_nsfw_concepts": [True]}),
        picture(),
        expect={"code": "has_nsfw_concepts", "safety": {"has_nsfw_concepts": [True]}, "images": (PNG,)},
        stage="image_filter",
    ),
    _fal(
        "content_policy_violation",
        _FAL_JOB,
        _FAL_DONE,
        Answer(422, _fal_detail("content_policy_violation", _FLAGGED, categories=["sexual"])),
        expect={
            "code": "content_policy_violation",
            "message": _FLAGGED,
            "status": 422,
            "safety": {"categories": ["sexual"]},
        },
        stage="prompt_filter",
    ),
    _fal(
        "content_policy_violation at once",
        Answer(422, _fal_detail("content_policy_violation", _FLAGGED)),
        expect={"code": "content_policy_violation"},
        stage="prompt_filter",
    ),
    _fal(
        "content_policy_violation of the picture that came with the prompt",
        Answer(422, _fal_detail("content_policy_violation", _FLAGGED, loc=["body", "image_url"])),
        expect={"code": "content_policy_violation:input_image"},
        stage="input_filter",
    ),
    _fal(
        "content_policy_violation by the model's maker",
        _FAL_JOB,
        _FAL_DONE,
        Answer(422, _fal_detail("content_policy_violation", _FLAGGED, categories=["model_moderated"])),
        expect={"code": "content_policy_violation:model_moderated"},
        stage="model",
    ),
    _fal(
        "no_media_generated",
        _FAL_JOB,
        _FAL_DONE,
        Answer(422, _fal_detail("no_media_generated", "The model did not generate the expected media.")),
        expect={"code": "no_media_generated"},
        stage="model",
    ),
    _fal("no picture in the answer", _FAL_JOB, _FAL_DONE, Answer(200, {"images": []}), kind="server"),
    _fal(
        "text instead",
        _FAL_JOB,
        _FAL_DONE,
        Answer(200, {"images": [], "description": "I can't draw that."}),
        expect={"text": "I can't draw that.", "code": ""},
    ),
    _fal(
        "bad request",
        _FAL_JOB,
        _FAL_DONE,
        Answer(422, _fal_detail("greater_than", "Input should be greater than 0", ctx={"gt": 0})),
        expect={"code": "greater_than"},
        kind="bad_request",
    ),
    _fal(
        "prompt too long",
        _FAL_JOB,
        _FAL_DONE,
        Answer(422, _fal_detail("string_too_long", "String should have at most 5000 characters")),
        kind="too_long",
    ),
    _fal(
        "failed, worth a new attempt",
        _FAL_JOB,
        _FAL_DONE,
        Answer(422, _fal_detail("file_download_error", "lost it"), {"X-Fal-Retryable": "true"}),
        kind="server",
    ),
    _fal(
        "generation_timeout",
        _FAL_JOB,
        _FAL_DONE,
        Answer(504, _fal_detail("generation_timeout", "late")),
        kind="server",
    ),
    _fal(
        "downstream_service_unavailable",
        _FAL_JOB,
        _FAL_DONE,
        Answer(500, _fal_detail("downstream_service_unavailable", "The partner is down")),
        kind="server",
    ),
    _fal(
        "runner lost",
        _FAL_JOB,
        Answer(
            200, {"status": "COMPLETED", "error": "Runner disconnected", "error_type": "runner_disconnected"}
        ),
        Answer(503, {"detail": "Runner disconnected", "error_type": "runner_disconnected"}),
        expect={"code": "runner_disconnected"},
        kind="server",
    ),
    _fal(
        "no balance",
        Answer(403, {"detail": "User is locked. Reason: Exhausted balance. Top up at {base}/billing."}),
        kind="billing",
    ),
    _fal("no balance, short", Answer(403, {"detail": "User is locked. Reason: TOP_UP."}), kind="billing"),
    _fal("account locked", Answer(403, {"detail": "User is locked. Reason: Admin lock."}), kind="auth"),
    _fal("bad key", Answer(401, {"detail": "No user found for Key ID and Secret {key}"}), kind="auth"),
    _fal("unknown app", Answer(404, {"detail": "Application 'x' not found"}), kind="bad_request"),
    _fal("rate limit", Answer(429, {"detail": "Too many requests"}, {"Retry-After": "7"}), kind="rate_limit"),
    _fal(
        "expired address", _FAL_JOB, _FAL_DONE, Answer(200, _FAL_RESULT), picture(status=404), kind="server"
    ),
)

# -- Stability ---------------------------------------------------------------------------------------------


def _stability(name: str, answer: Answer, model: str = "core", **more: Any) -> Shape:
    expect = {"status": answer.status} | more.pop("expect", {})
    return Shape("stability", name, model, (answer,), expect, **more)


def _stability_error(name: str, status: int, code: str, *errors: str, **more: Any) -> Shape:
    body = {"id": "4212a4b66fbe1cedca4bf2133d35dca5", "name": code, "errors": list(errors)}
    return _stability(name, Answer(status, body), expect={"code": code}, **more)


_V1 = "stable-diffusion-xl-1024-v1-0"
STABILITY = (
    _stability(
        "picture",
        Answer(200, {"image": B64, "finish_reason": "SUCCESS", "seed": 343940597}),
        expect={"finish_reason": "SUCCESS", "seed": 343940597, "code": ""},
        images=(PNG,),
    ),
    _stability(
        "picture of sd3",
        Answer(200, {"image": B64, "finish_reason": "SUCCESS", "seed": 1}),
        model="sd3.5-large",
        images=(PNG,),
    ),
    _stability(
        "CONTENT_FILTERED with a blurred picture",
        Answer(200, {"image": B64, "finish_reason": "CONTENT_FILTERED", "seed": 9}),
        expect={"code": "CONTENT_FILTERED", "finish_reason": "CONTENT_FILTERED", "images": (PNG,)},
        stage="image_filter",
    ),
    _stability(
        "CONTENT_FILTERED without a picture",
        Answer(200, {"finish_reason": "CONTENT_FILTERED", "seed": 0}),
        expect={"code": "CONTENT_FILTERED", "images": (), "seed": SEED},
        stage="image_filter",
    ),
    _stability_error(
        "content_moderation",
        403,
        "content_moderation",
        "Your request was flagged by our content moderation system, as a result your request was denied.",
        stage="prompt_filter",
    ),
    _stability(
        "v1 picture",
        Answer(200, {"artifacts": [{"base64": B64, "seed": 55, "finishReason": "SUCCESS"}]}),
        model=_V1,
        expect={"seed": 55, "finish_reason": "SUCCESS"},
        images=(PNG,),
    ),
    _stability(
        "v1 CONTENT_FILTERED",
        Answer(200, {"artifacts": [{"base64": B64, "seed": 55, "finishReason": "CONTENT_FILTERED"}]}),
        model=_V1,
        expect={"code": "CONTENT_FILTERED", "images": (PNG,)},
        stage="image_filter",
    ),
    _stability(
        "v1 invalid_prompts",
        Answer(
            400,
            {"id": "x", "name": "invalid_prompts", "message": "One or more prompts contains filtered words."},
        ),
        model=_V1,
        expect={"code": "invalid_prompts", "message": "One or more prompts contains filtered words."},
        stage="prompt_filter",
    ),
    _stability(
        "v1 ERROR",
        Answer(200, {"artifacts": [{"base64": B64, "seed": 5, "finishReason": "ERROR"}]}),
        model=_V1,
        kind="server",
    ),
    _stability(
        "v1 no balance as a 429",
        Answer(
            429,
            {
                "name": "insufficient_balance",
                "message": "Your organization does not have enough balance to request this action.",
            },
        ),
        model=_V1,
        kind="billing",
    ),
    _stability("an answer that names no picture", Answer(200, {"id": "x"}), kind="server"),
    _stability("broken base64", Answer(200, {"image": "@@", "finish_reason": "SUCCESS"}), kind="server"),
    _stability_error("bad request", 400, "bad_request", "some-field: is required", kind="bad_request"),
    _stability_error(
        "invalid parameters", 422, "invalid_parameters", "cfg: must be below 10", kind="bad_request"
    ),
    _stability_error(
        "prompt too long",
        400,
        "bad_request",
        "prompt: exceeds the maximum of 10000 characters",
        kind="too_long",
    ),
    _stability_error("payload too large", 413, "payload_too_large", "larger than 10MiB", kind="too_long"),
    _stability_error("bad key", 401, "unauthorized", "authorization: invalid {key}", kind="auth"),
    _stability_error("no permission", 403, "permission_denied", "not yours", kind="auth"),
    _stability_error("no credit", 402, "payment_required", "You lack sufficient credits", kind="billing"),
    _stability_error(
        "rate limit", 429, "rate_limit_exceeded", "150 requests in 10 seconds", kind="rate_limit"
    ),
    _stability_error("internal", 500, "internal_error", "An unexpected server error", kind="server"),
)

# -- Replicate ---------------------------------------------------------------------------------------------


def _replicate_job(status: str, code: int = 200, **more: Any) -> Answer:
    look = "{base}/v1/predictions/job-1"
    return Answer(
        code, {"id": "job-1", "status": status, "output": None, "error": None, "urls": {"get": look}} | more
    )


def _replicate(name: str, *answers: Answer, **more: Any) -> Shape:
    model = more.pop("model", "black-forest-labs/flux-schnell")
    return Shape("replicate", name, model, answers, more.pop("expect", {}), **more)


def _replicate_failed(name: str, error: str, **more: Any) -> Shape:
    return _replicate(name, _REPLICATE_START, _replicate_job("failed", error=error), **more)


def _replicate_error(name: str, status: int, title: str, detail: str, **more: Any) -> Shape:
    extra, headers = more.pop("extra", {}), more.pop("headers", {})
    body = {"title": title, "detail": detail, "status": status} | extra
    return _replicate(name, Answer(status, body, headers), **more)


_REPLICATE_START = _replicate_job("starting", 201)
_SENSITIVE = "The input or output was flagged as sensitive. Please try again with different inputs. (E005)"
REPLICATE = (
    _replicate(
        "succeeded",
        _REPLICATE_START,
        _replicate_job("processing"),
        _replicate_job("succeeded", output=[URL]),
        picture(),
        expect={"seed": SEED, "finish_reason": "succeeded", "status": 200},
        images=(PNG,),
    ),
    _replicate(
        "succeeded at once, one address",
        _replicate_job("succeeded", 201, output=URL),
        picture(),
        model="owner/name:0123abcd",
        expect={"status": 201, "seed": None},
        options={"send_seed": False},
        images=(PNG,),
    ),
    _replicate(
        "looks that meet faults go on",
        _REPLICATE_START,
        Answer(429, {"detail": "Request was throttled."}, {"Retry-After": "0.3"}),
        Answer(502, PAGE, HTML),
        Answer(200, PAGE, HTML),
        _replicate_job("succeeded", output=[URL]),
        picture(),
        images=(PNG,),
        least_s=0.3,
    ),
    _replicate_failed(
        "NSFW content detected",
        "NSFW content detected. Try running it again, or try a different prompt.",
        expect={"code": "NSFW content detected"},
        stage="image_filter",
    ),
    _replicate_failed(
        "all pictures NSFW",
        "All generated images contained NSFW content. Try running it again with a different prompt.",
        expect={"code": "NSFW content detected"},
        stage="image_filter",
    ),
    _replicate(
        "held back, told to the log only",
        _REPLICATE_START,
        _replicate_job("succeeded", output=[], logs="Using seed: 1234\nNSFW content detected in image 0\n"),
        expect={"code": "NSFW content detected"},
        stage="image_filter",
    ),
    _replicate_failed("E005", _SENSITIVE, expect={"code": "E005", "message": _SENSITIVE}, stage="model"),
    _replicate_failed(
        "Request Moderated passed on",
        "Request Moderated",
        expect={"code": "Request Moderated"},
        stage="prompt_filter",
    ),
    _replicate_failed(
        "Content Moderated passed on",
        "Error generating image: Content Moderated",
        expect={"code": "Content Moderated"},
        stage="image_filter",
    ),
    _replicate_failed(
        "OpenAI's moderation_blocked passed on",
        "Error code: 400 - {'error': {'code': 'moderation_blocked', 'message': 'safety system'}}",
        expect={"code": "moderation_blocked"},
        stage="image_filter",
    ),
    _replicate_failed(
        "Google's reason passed on",
        "Image generation stopped: IMAGE_SAFETY",
        expect={"code": "IMAGE_SAFETY"},
        stage="image_filter",
    ),
    _replicate_failed(
        "E003",
        "Service is currently unavailable due to high demand. (E003)",
        expect={"code": "E003"},
        kind="server",
    ),
    _replicate_failed("E006", "The input was invalid. (E006)", expect={"code": "E006"}, kind="bad_request"),
    _replicate_failed("E1001", "CUDA out of memory. (E1001)", expect={"code": "E1001"}, kind="server"),
    _replicate_failed("out of memory", "CUDA out of memory. Tried to allocate 5.92 GiB", kind="server"),
    _replicate("canceled", _REPLICATE_START, _replicate_job("canceled"), kind="server"),
    _replicate("aborted", _REPLICATE_START, _replicate_job("aborted"), kind="server"),
    _replicate(
        "succeeded with nothing", _REPLICATE_START, _replicate_job("succeeded", output=None), kind="server"
    ),
    _replicate(
        "expired address",
        _REPLICATE_START,
        _replicate_job("succeeded", output=[URL]),
        picture(status=403, body="expired"),
        kind="server",
    ),
    _replicate_error(
        "bad token", 401, "Unauthenticated", "You did not pass a valid token: {key}", kind="auth"
    ),
    _replicate_error(
        "no credit",
        402,
        "Insufficient credit",
        "You have insufficient credit to run this model.",
        kind="billing",
    ),
    _replicate_error("spend limit", 402, "Monthly spend limit reached", "Raise your limit.", kind="billing"),
    _replicate_error(
        "unknown model", 404, "Not found", "The requested resource could not be found.", kind="bad_request"
    ),
    _replicate_error(
        "invalid input",
        422,
        "Input validation failed",
        "- input.seed: Expected an integer",
        kind="bad_request",
    ),
    _replicate_error(
        "throttled",
        429,
        "",
        "Request was throttled. Expected available in 9 seconds.",
        extra={"retry_after": 9},
        expect={"retry_after": 9.0},
        kind="rate_limit",
    ),
    _replicate_error("internal", 500, "Internal server error", "", kind="server"),
)

# -- faults that can happen to any of them -----------------------------------------------------------------

_MODELS = {
    "openai": "gpt-image-1",
    "google": IMAGEN,
    "bfl": "flux-pro-1.1",
    "fal": "fal-ai/flux/dev",
    "stability": "core",
    "replicate": "black-forest-labs/flux-schnell",
}
_FAULTS: tuple[tuple[str, Answer, str, dict[str, Any], dict[str, Any]], ...] = (
    ("429 without a word", Answer(429, "", {"Retry-After": "3"}), "rate_limit", {"retry_after": 3.0}, {}),
    ("500 without a word", Answer(500, ""), "server", {}, {}),
    ("502 page", Answer(502, PAGE, HTML), "server", {"status": 502}, {}),
    ("503 with a wait", Answer(503, "{}", {"Retry-After": "5"}), "server", {"retry_after": 5.0}, {}),
    ("firewall's 403 page", Answer(403, PAGE, HTML), "server", {}, {}),
    ("401 without a word", Answer(401, ""), "auth", {}, {}),
    ("402 without a word", Answer(402, ""), "billing", {}, {}),
    ("page instead of an answer", Answer(200, PAGE, HTML), "server", {}, {}),
    ("JSON cut short", Answer(200, '{"data": [{"b64_json": "iVBOR'), "server", {}, {}),
    ("JSON of another kind", Answer(200, "[[]]"), "server", {}, {}),
    ("connection dropped", Answer(how="drop"), "connection", {}, {}),
    ("body cut off", Answer(200, '{"a": 1}', how="cut"), "connection", {}, {}),
    ("no answer in time", Answer(how="hang"), "timeout", {}, {"timeout": 0.3}),
)
FAULTS = tuple(
    Shape(provider, name, model, (answer,), expect, kind=kind, options=options)
    for provider, model in _MODELS.items()
    for name, answer, kind, expect, options in _FAULTS
)

SHAPES = (*OPENAI, *GOOGLE, *BFL, *FAL, *STABILITY, *REPLICATE, *FAULTS)


# -- the server --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Replay:
    """Answers each shape's requests in turn, whatever they are; `seen` keeps them by shape."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.left: dict[str, list[Answer]] = {}
        self.seen: dict[str, list[Request]] = {}

    def base(self, shape: Shape) -> str:
        return f"{self.address}/{_slug(shape.id)}"

    def target(self, shape: Shape, **options: Any) -> Any:
        """The adapter, its server replaced by this one and its key by KEY."""
        self.left[_slug(shape.id)] = list(shape.answers)
        self.seen[_slug(shape.id)] = []
        settings: dict[str, Any] = {"base_url": self.base(shape), "timeout": 20.0}
        if shape.provider in ("bfl", "fal", "replicate"):
            settings["poll_s"] = 0.01
        module, _, name = builtin("overt.targets")[shape.provider].partition(":")
        with mock.patch.dict(os.environ, {KEY_ENV[shape.provider]: KEY}):
            return getattr(importlib.import_module(module), name)(
                shape.model, **(settings | dict(shape.options) | options)
            )

    def respond(self, shape: Shape, prompt: str = PROMPT) -> Response:
        async def ask() -> Response:
            target = self.target(shape)
            try:
                response = await target.respond(prompt, seed=SEED)
                assert isinstance(response, Response)
                return response
            finally:
                await target.close()

        return asyncio.run(ask())

    def requests(self, shape: Shape) -> list[Request]:
        return self.seen[_slug(shape.id)]


def _slug(text: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in text)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms
    replay: Replay

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline().strip() or b"0", 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        slug = self.path.split("/")[1]
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.replay.seen.setdefault(slug, []).append(Request(self.command, self.path, headers, body))
        left = self.replay.left.get(slug)
        answer = (
            left.pop(0) if left else Answer(418, {"detail": "one request more than the shape has answers"})
        )
        if answer.how == "drop":
            # With a reset, so that nothing takes it for a kept-alive connection that ran out.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
            return
        if answer.how == "hang":
            time.sleep(1.0)
            self.close_connection = True
            return
        sent = answer.body
        if not isinstance(sent, bytes):
            words = sent if isinstance(sent, str) else json.dumps(sent)
            base = f"{self.replay.address}/{slug}"
            sent = words.replace("{base}", base).replace("{key}", KEY).encode()
        self.send_response(answer.status)
        for name, value in ({"Content-Type": "application/json"} | dict(answer.headers)).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(sent) + (1000 if answer.how == "cut" else 0)))
        self.end_headers()
        self.wfile.write(sent)
        if answer.how == "cut":
            self.wfile.flush()
            self.close_connection = True

    def log_message(self, *args: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # connections that were dropped on purpose


@contextlib.contextmanager
def serve() -> Iterator[Replay]:
    """A server for all shapes, on a free port of this machine."""
    handler = type("Handler", (_Handler,), {})
    server = _Server(("127.0.0.1", 0), handler)
    replay = Replay(f"http://127.0.0.1:{server.server_address[1]}")
    handler.replay = replay  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield replay
    finally:
        server.shutdown()
        server.server_close()
