"""`checker/vlm/MODEL?base_url=..&policy=NAME_OR_FILE`: a vision model that judges the picture by a policy.

`checker/vlm/hf/REPO_OR_FOLDER` is one of this machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from overt.data.chat import AnswerError, ChatReply, ChatRequest, Message
from overt.data.filters import FilterDecision
from overt.data.json_types import Json, JsonObject
from overt.data.local.looking import Onlooker
from overt.data.plugins.names import one_line, spell
from overt.data.provider.completion import read_completion
from overt.data.provider.dialect import Dialect, Learnt
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


class VLMChecker:
    """Blocks a picture if a vision model says that it breaks the policy. There is no score, since a model's
    stated confidence is not a probability.

    The picture is sent as a JPEG of at most 768 pixels a side, without metadata.

    Args:
        model: the endpoint's name of the model; or "hf/" and a Hub id or a folder, for a model of this
            machine, unless there is a `base_url`.
        policy: a shipped policy's name, or a file; its categories are the rubric.
        base_url: the OpenAI-compatible endpoint's address; None: `OPENAI_BASE_URL`, else OpenAI itself.
        api_key_env: the environment variable that holds the key.
        templates: a folder with the user's check_image.yaml.
        timeout: seconds to wait for an answer of an endpoint.
        device, dtype, trust_remote_code: of a model of this machine, see `Onlooker`.

    Raises:
        InputError: no key, a bad address, an invalid policy or template; a model of this machine that cannot
            be loaded or sees no pictures.
        ModuleNotFoundError: torch or transformers is not installed (the registry reports it).
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
        device: str | None = None,
        dtype: str | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        self.name = spell(
            f"checker/vlm/{model}",
            policy=None if policy == "overt" else policy,
            base_url=base_url,
            api_key_env=None if api_key_env == _KEY else api_key_env,
            templates=templates,
            dtype=dtype,
            trust_remote_code=trust_remote_code or None,
        )
        self._policy = load_policy(policy)
        self._categories = {c.id for c in self._policy.categories}
        self.covers = tuple(sorted(self._categories))
        self._template = load_template(
            "scoring", "check_image", Path(templates).expanduser() if templates else None
        )
        self._request("")  # raises early if the template cannot be filled
        self._asked: _Remote | Onlooker
        where, _, source = model.partition("/")
        if where == "hf" and source and base_url is None:
            self._asked = Onlooker(
                f"checker/vlm/{model}",
                source,
                device=device,
                dtype=dtype,
                trust_remote_code=trust_remote_code,
            )
            self.device = self._asked.language.device
        else:
            endpoint = Endpoint(self.name, base_url=base_url, api_key_env=api_key_env, timeout=timeout)
            self._asked = _Remote(model, endpoint)
            self.api_key_env = api_key_env

    def check(self, image: Image.Image, prompt: str) -> FilterDecision:
        """Sends one request, and another if the reply cannot be read; then the decision is "unclear". The
        reason holds the category and the model's words."""
        request = seeing(self._request(prompt), [image])
        why = ""
        for _ in range(2):
            reply = self._asked.complete(request)
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
        if isinstance(self._asked, _Remote):
            self._asked.close()

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


class _Remote:
    """A model behind an endpoint."""

    def __init__(self, model: str, endpoint: Endpoint) -> None:
        self._model, self._endpoint, self._learnt = model, endpoint, Learnt()

    def complete(self, request: ChatRequest) -> ChatReply:
        """Sends one request; where the endpoint says what of it it does not take, sends it again without."""
        trial = self._learnt.trial(request)
        while True:
            reply = self._attempt(request, trial.dialect)
            if not trial.goes_on(reply):
                return reply

    def close(self) -> None:
        self._endpoint.close()

    def _attempt(self, request: ChatRequest, dialect: Dialect) -> ChatReply:
        turns: list[Json] = [_turn(message) for message in dialect.turns(request)]
        body = {"model": self._model, "messages": turns, **dialect.fields(request)}
        data = self._endpoint.post("/chat/completions", body)
        if isinstance(data, Refused):
            return ChatReply(refusal=data.code)
        return ChatReply(error=data.error) if isinstance(data, Failed) else read_completion(data)


def _turn(message: Message) -> JsonObject:
    text = encodable(message.content)
    if not message.images:
        return {"role": message.role, "content": text}
    content: list[Json] = [{"type": "text", "text": text}]
    content += [{"type": "image_url", "image_url": {"url": data_url(image)}} for image in message.images]
    return {"role": message.role, "content": content}


def _unclear(why: str) -> FilterDecision:
    return FilterDecision(None, None, f"unclear: {one_line(why, 170)}")
