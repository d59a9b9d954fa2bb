"""Where services put their codes and sentences: the tables of places, and the walk through them.

Only known fields of known containers are read, to a depth and a number: an error may quote the prompt, and
what a prompt says is no word of the service.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from overt.data.json_types import Json, JsonObject
from overt.data.jsonpath import first, object_at, text_at, texts_at


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# The places in error bodies. Codes are recorded; types only help to classify.
CODES = ("$.error.code", "$.error.status", "$.detail[*].type", "$.error_type", "$.code", "$.name")
TYPES = (
    "$.error.innererror.code",
    "$.error.inner_error.code",
    "$.error.details[*].reason",
    "$.error.type",
    "$.type",
)
MESSAGES = ("$.error.message", "$.error.detail", "$.error")
LISTED_MESSAGES = ("$.detail[*].msg", "$.errors[*]")

# What else is read, wherever it stands in an error. Gateways wrap the answers of others in theirs.
_CONTAINERS = _names(
    "error errors detail details innererror inner_error metadata base_resp cause output data message "
    "hook_results err raw response body moderation moderation_details"
)
_CODE_FIELDS = _names(
    "code error_code errorcode err_code status status_code type __type name key reason error_type "
    "errortype action stop_reason blockreason block_reason failure_code provider_code"
    " task_status finish_reason finishreason"
)
_MESSAGE_FIELDS = _names(
    "message msg error errors error_msg error_message errormessage err_msg status_msg detail details "
    "description error_description failure_reason title reason reasons actionreason raw explanation"
)
# A number is a code only if no HTTP status is meant. It carries its field: other services have it too.
_STATUSES = range(100, 600)
_MOST = 200  # values that are looked at
_DEPTH = 5
_EMBEDDED_CHARS = 20_000

# Values that say without words that the content was the reason. They count where no content came.
_SIGNS = (
    ("$.input_sensitive", True, "input_sensitive"),
    ("$.output_sensitive", True, "output_sensitive"),
    ("$.need_clear_history", True, "need_clear_history"),
    ("$.choices[0].need_clear_history", True, "need_clear_history"),
    ("$.respect_moderation", False, "respect_moderation:false"),
    ("$.data[*].respect_moderation", False, "respect_moderation:false"),
    ("$.images[*].respect_moderation", False, "respect_moderation:false"),
    ("$.data[*].is_image_safe", False, "is_image_safe:false"),
    ("$.flagged", True, "flagged"),
    ("$.error.flagged", True, "flagged"),
    ("$.data[*].flagged", True, "flagged"),
    ("$.moderated", True, "flagged"),
    ("$.data[*].moderated", True, "flagged"),
    ("$.nsfw", True, "has_nsfw_concepts"),
    ("$.data[*].nsfw", True, "has_nsfw_concepts"),
    ("$.has_nsfw_concepts[*]", True, "has_nsfw_concepts"),
    ("$.nsfw_content_detected[*]", True, "has_nsfw_concepts"),
    ("$.is_image_safe", False, "is_image_safe:false"),
)


def walked(body: JsonObject) -> tuple[list[str], list[str]]:
    """The codes and the sentences in all known places of an error body, each once."""
    codes: dict[str, None] = {}
    sentences: dict[str, None] = {}
    for seen, (owner, name, value) in enumerate(_leaves(body, "", 0)):
        if seen > _MOST:
            break
        if isinstance(value, bool):
            continue
        if isinstance(value, int):
            if name in _CODE_FIELDS and value not in _STATUSES:
                codes[f"{owner or name}:{value}"] = None
        elif isinstance(value, str) and value.strip():
            if name in _CODE_FIELDS:
                codes[f"{owner or name}:{value}" if value.isdigit() else value] = None
            if name in _MESSAGE_FIELDS:
                sentences[value] = None
    return list(codes), list(sentences)


def _leaves(value: Json, name: str, depth: int, owner: str = "") -> Iterator[tuple[str, str, Json]]:
    """(the name of the container, the field, its value) of the known fields below a value."""
    if depth > _DEPTH:
        return
    if isinstance(value, list):
        for entry in value[:20]:
            yield from _leaves(entry, name, depth + 1, owner)
    elif isinstance(value, dict):
        for key, inner in value.items():
            known = key.lower()
            if isinstance(inner, dict | list):
                if known in _CONTAINERS or known in _MESSAGE_FIELDS:
                    yield from _leaves(inner, known, depth + 1, name)
            elif known in _CODE_FIELDS or known in _MESSAGE_FIELDS:
                yield name, known, inner
    elif name in _MESSAGE_FIELDS:
        yield owner, name, value


def signs(body: JsonObject) -> tuple[str, ...]:
    """Codes for values that say without words that the content was refused."""
    found = [code for path, wanted, code in _SIGNS if first_bool(body, path) is wanted]
    if _blocks_the_prompt(body):
        found.append("prompt blocked")
    flagged = object_at(body, "$.error.metadata", "$.metadata")  # OpenRouter
    if flagged.get("flagged_input") or (flagged.get("reasons") and "model_slug" in flagged):
        found.append("flagged_input")
    action = text_at(body, "$['amazon-bedrock-guardrailAction']")
    if action.upper().endswith("INTERVENED"):
        found.append("guardrail_intervened")
    return tuple(found)


def first_bool(body: JsonObject, path: str) -> bool | None:
    value = first(body, path)
    return value if isinstance(value, bool) else None


def _blocks_the_prompt(body: JsonObject) -> bool:
    """Whether a response without choices says that the prompt was blocked."""
    feedback = [body[name] for name in _FEEDBACK if name in body]
    return any(_says_blocked(one, 0) for one in feedback)


_FEEDBACK = ("promptFeedback", "prompt_feedback", "prompt_filter_results", "promptFilterResults")


def _says_blocked(value: Json, depth: int) -> bool:
    if depth > _DEPTH:
        return False
    if isinstance(value, list):
        return any(_says_blocked(entry, depth + 1) for entry in value[:50])
    if isinstance(value, str):
        return "block" in value.casefold()
    if not isinstance(value, dict):
        return False
    for key, inner in value.items():
        name = key.casefold()
        if name in ("blocked", "filtered"):
            if inner is True:
                return True
        elif ("block" in name and inner) or _says_blocked(inner, depth + 1):
            return True
    return False


def embedded(text: str) -> JsonObject | None:
    """The JSON object in a text, or None. The text may begin with words: "upstream said: {...}"."""
    start = text.find("{")
    if start < 0 or len(text) > _EMBEDDED_CHARS:
        return None
    try:
        found, _ = json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


_NAMED_CODE = re.compile(r"""["']?\b(?:code|type|status|reason)["']?\s*[:=]\s*["']([\w.:-]{3,80})["']""")


def named_codes(text: str) -> list[str]:
    """Codes in a text that holds a printed dictionary or cut-off JSON: `'code': 'content_filter', 'mess`."""
    return _NAMED_CODE.findall(text[:_EMBEDDED_CHARS])


def message_of(body: JsonObject) -> str:
    """The sentence of an error body."""
    if said := text_at(body, *MESSAGES):
        return said
    for path in LISTED_MESSAGES:
        if listed := texts_at(body, path):
            return "; ".join(listed)
    head, detail = text_at(body, "$.title"), text_at(body, "$.detail")
    return ": ".join(filter(None, (head, detail))) or text_at(body, "$.message")
