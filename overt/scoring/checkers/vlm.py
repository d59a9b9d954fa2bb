"""`checker/vlm/MODEL?base_url=..&policy=NAME_OR_FILE`: a vision model that judges the picture by a policy."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from overt.data.chat import AnswerError, ChatReply, ChatRequest, Message
from overt.data.filters import FilterDecision
from overt.data.json_types import Json, JsonObject
from overt.data.plugins.names import one_line, spell
from overt.data.provider.completion import read_completion
from overt.data.provider.reader import Failed, Refused
from overt.data.replies import AnswerForm, asked_again, read_json
from overt.data.templates import load_template
from overt.data.text import encodable
from overt.policies.load import load_policy
from overt.scoring.endpoint import Endpoint
from overt.scoring.outgoing_pictures import data_url, seeing

if TYPE_CHECKING:
    from PIL import Image

_KEY = "OPENAI_API_KEY"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the model is asked for. `category`: the id of the one that the picture breaks, or empty."""

    verdict: Literal["allowed", "blocked", "unclear"]
    category: str = ""
    reason: str = ""


VERDICT = AnswerForm(Verdict)


@dataclass(frozen=True, slots=True)
class _Dialect:
    """What the endpoint accepts, learnt from its errors."""

    schema: str = "json_schema"  # "json_schema", "json_object", ""
    tokens: str = "max_tokens"
    without: frozenset[str] = frozenset()


class VLMChecker:
    """Blocks a picture if a vision model says that it breaks the policy. There is no score, since a model's
    stated confidence is not a probability.

    The picture is sent as a JPEG of at most 768 pixels a side, without metadata.

    Args:
        model: the endpoint's name of the model.
        policy: a shipped policy's name, or a file; its categories are the rubric.
        base_url: the OpenAI-compatible endpoint's address; None: `OPENAI_BASE_URL`, else OpenAI itself.
        api_key_env: the environment variable that holds the key.
        templates: a folder with the user's check_image.yaml.
        timeout: seconds to wait for an answer.

    Raises:
        InputError: no key, a bad address, an invalid policy or template.
    """

    def __init__(
        self,
        model: str,
        *,
        policy: str = "overt",
        base_url: str | None = None,
        api_key_env: str = _KEY,
        templates: str | None = None,
        timeout: float = 120.0,
    ) -> None:
        self.name = spell(
            f"checker/vlm/{model}",
            policy=None if policy == "overt" else policy,
            base_url=base_url,
            api_key_env=None if api_key_env == _KEY else api_key_env,
            templates=templates,
        )
        self._model = model
        self._policy = load_policy(policy)
        self._categories = {c.id for c in self._policy.categories}
        self.covers = tuple(sorted(self._categories))
        self._template = load_template(
            "scoring", "check_image", Path(templates).expanduser() if templates else None
        )
        self._request("")  # raises early if the template cannot be filled
        self._endpoint = Endpoint(self.name, base_url=base_url, api_key_env=api_key_env, timeout=timeout)
        self._dialect = _Dialect()
        self._lock = threading.Lock()

    def check(self, image: Image.Image, prompt: str) -> FilterDecision:
        """Sends one request, and another if the reply cannot be read; then the decision is "unclear". The
        reason holds the category and the model's words."""
        request = seeing(self._request(prompt), [image])
        why = ""
        for _ in range(2):
            reply = self._complete(request)
            if reply.error is not None:
                return FilterDecision(None, error=reply.error)
            if reply.refusal is not None:
                return _unclear(f"the model declined: {reply.refusal}")
            try:
                return self._decision(read_json(reply, VERDICT))
            except AnswerError as error:
                why = str(error)
            request = asked_again(request, reply.text, why)
        return _unclear(why)

    def close(self) -> None:
        self._endpoint.close()

    def _request(self, prompt: str) -> ChatRequest:
        values = {
            "prompt": prompt.strip(),
            "categories": self._policy.categories,
            "modality": self._policy.modality,
        }
        return self._template.request(values, seed=0, schema=VERDICT.schema)

    def _decision(self, said: Verdict) -> FilterDecision:
        reason = one_line(said.reason, 140)
        if said.verdict == "unclear":
            return _unclear(reason or "the model could not decide")
        if said.verdict == "allowed":
            return FilterDecision(False, None, reason)
        category = said.category.strip()
        known = category if category in self._categories else ""
        return FilterDecision(True, None, one_line(": ".join(filter(None, (known, reason))) or "blocked"))

    # -- the endpoint ---------------------------------------------------------------------------------

    def _complete(self, request: ChatRequest) -> ChatReply:
        """Sends one request; if the endpoint rejects a parameter, sends it again without that parameter."""
        fault: Failed | None = None
        for _ in range(6):
            dialect = self._dialect
            data = self._endpoint.post("/chat/completions", self._body(request, dialect))
            if isinstance(data, Refused):
                return ChatReply(refusal=data.code)
            if not isinstance(data, Failed):
                return read_completion(data)
            fault = data
            if fault.error.kind != "bad_request" or not self._adapt(dialect, fault.error.message):
                break
        return ChatReply(error=fault.error if fault else None)

    def _body(self, request: ChatRequest, dialect: _Dialect) -> dict[str, Json]:
        body: dict[str, Json] = {
            "model": self._model,
            "messages": [_turn(message) for message in request.messages],
            "temperature": request.temperature,
            dialect.tokens: request.max_tokens,
            "seed": request.seed,
        }
        if dialect.schema == "json_schema":
            schema: JsonObject = {"name": "answer", "strict": True, "schema": VERDICT.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif dialect.schema:
            body["response_format"] = {"type": dialect.schema}
        return {key: value for key, value in body.items() if key not in dialect.without}

    def _adapt(self, used: _Dialect, complaint: str) -> bool:
        """Drops or replaces the parameter that the error names. Returns whether a retry makes sense."""
        with self._lock:
            if self._dialect != used:  # changed by another thread
                return True
            said = complaint.lower()
            if "max_completion_tokens" in said and used.tokens == "max_tokens":
                self._dialect = _Dialect(used.schema, "max_completion_tokens", used.without)
            elif field := next(
                (f for f in ("temperature", "seed") if f in said and f not in used.without), ""
            ):
                self._dialect = _Dialect(used.schema, used.tokens, used.without | {field})
            elif used.schema and any(w in said for w in ("response_format", "schema", "json_object")):
                weaker = "json_object" if used.schema == "json_schema" else ""
                self._dialect = _Dialect(weaker, used.tokens, used.without)
            else:
                return False
            return True


def _turn(message: Message) -> JsonObject:
    text = encodable(message.content)
    if not message.images:
        return {"role": message.role, "content": text}
    content: list[Json] = [{"type": "text", "text": text}]
    content += [{"type": "image_url", "image_url": {"url": data_url(image)}} for image in message.images]
    return {"role": message.role, "content": content}


def _unclear(why: str) -> FilterDecision:
    return FilterDecision(None, None, f"unclear: {one_line(why, 170)}")
