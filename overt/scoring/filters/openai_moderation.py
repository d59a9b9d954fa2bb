"""`filter/openai-moderation[/MODEL]?threshold=..`: OpenAI's moderation endpoint or a compatible one."""

from __future__ import annotations

import math

from overt.data.chat import CallError
from overt.data.filters import FilterDecision
from overt.data.json_types import Json, JsonObject
from overt.data.jsonpath import object_at, objects_at
from overt.data.plugins.names import fraction, one_line, spell
from overt.data.provider.reader import Failed, Refused
from overt.data.text import encodable
from overt.scoring.endpoint import Endpoint

DEFAULT_MODEL = "omni-moderation-latest"
DEFAULT_KEY = "OPENAI_API_KEY"
_SHOWN = 3  # categories in a reason


class OpenAIModeration:
    """Blocks what the moderation endpoint flags, or whose highest category score reaches the threshold.

    Args:
        model: the endpoint's name of the model.
        threshold: from 0 to 1; None: only the endpoint's verdict. Flagged texts are always blocked.
        base_url: the endpoint's address; None: `OPENAI_BASE_URL`, else OpenAI itself.
        api_key_env: the environment variable that holds the key.
        timeout: seconds to wait for an answer.

    Raises:
        InputError: no key, a bad address, a threshold outside 0 to 1.
    """

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        threshold: str | float | None = None,
        base_url: str | None = None,
        api_key_env: str = DEFAULT_KEY,
        timeout: float = 60.0,
    ) -> None:
        self.name = moderation_name("filter", model, threshold, base_url, api_key_env)
        self.api_key_env = api_key_env
        self._moderation = Moderation(
            self.name, model, threshold=threshold, base_url=base_url, api_key_env=api_key_env, timeout=timeout
        )

    def decide(self, text: str) -> FilterDecision:
        """Sends one request. The score is the highest category score; the reason names the top categories."""
        return self._moderation.ask(encodable(text))

    def close(self) -> None:
        """Closes the connections."""
        self._moderation.close()


class Moderation:
    """The endpoint, for texts and pictures; the arguments are those of the filter."""

    def __init__(
        self,
        name: str,
        model: str,
        *,
        threshold: str | float | None,
        base_url: str | None,
        api_key_env: str,
        timeout: float,
    ) -> None:
        self._model = model
        self._threshold = None if threshold is None else fraction(threshold, name.partition("?")[0])
        self._endpoint = Endpoint(name, base_url=base_url, api_key_env=api_key_env, timeout=timeout)

    def ask(self, content: Json) -> FilterDecision:
        """Returns the decision on a text, or on a list of content parts judged together."""
        data = self._endpoint.post("/moderations", {"model": self._model, "input": content})
        if isinstance(data, Refused):  # not a verdict: judging such content is its job
            error = CallError("bad_request", f"the endpoint turned the input down: {data.code}")
            return FilterDecision(None, error=error)
        if isinstance(data, Failed):
            return FilterDecision(None, error=data.error)
        return read_moderation(data, self._threshold)

    def close(self) -> None:
        """Closes the connections."""
        self._endpoint.close()


def moderation_name(
    role: str, model: str, threshold: str | float | None, base_url: str | None, api_key_env: str
) -> str:
    """Returns the name with all options that differ from the defaults."""
    return spell(
        f"{role}/openai-moderation" + (f"/{model}" if model != DEFAULT_MODEL else ""),
        threshold=threshold,
        base_url=base_url,
        api_key_env=api_key_env if api_key_env != DEFAULT_KEY else None,
    )


def read_moderation(data: JsonObject, threshold: float | None) -> FilterDecision:
    """Reads a decoded body as a decision; without a verdict it is an error of kind "server"."""
    scores: dict[str, float] = {}
    flags: dict[str, bool] = {}
    verdicts: list[bool] = []
    for result in objects_at(data, "$.results[*]"):  # all results belong to the one input
        for category, score in _scores(result).items():
            scores[category] = max(scores.get(category, 0.0), score)
        own = _flags(result)
        flags.update({c: v or flags.get(c, False) for c, v in own.items()})
        flagged = result.get("flagged")
        if isinstance(flagged, bool) or own:
            verdicts.append(flagged if isinstance(flagged, bool) else any(own.values()))
    highest = max(scores.values(), default=None)
    if not verdicts and (highest is None or threshold is None):
        return FilterDecision(
            None, error=CallError("server", "the answer does not say whether the input is flagged")
        )
    limit = math.inf if threshold is None else threshold
    if any(verdicts) or (highest is not None and highest >= limit):
        return FilterDecision(True, highest, _reason(scores, flags, threshold))
    return FilterDecision(False, highest)


def _flags(result: JsonObject) -> dict[str, bool]:
    """Returns the boolean categories of one result."""
    return {c: v for c, v in object_at(result, "$.categories").items() if isinstance(v, bool)}


def _scores(result: JsonObject) -> dict[str, float]:
    """Returns the finite scores of one result, capped at 1."""
    return {
        category: min(1.0, float(value))
        for category, value in object_at(result, "$.category_scores").items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }


def _reason(scores: dict[str, float], flags: dict[str, bool], threshold: float | None) -> str:
    """Names the categories that caused the block, highest first, or else the highest of all."""
    guilty = {c for c, flag in flags.items() if flag}
    if threshold is not None:
        guilty |= {c for c, score in scores.items() if score >= threshold}
    ranked = sorted(guilty or scores, key=lambda c: (-scores.get(c, 0.0), c))[:_SHOWN]
    shown = [f"{one_line(c, 40)} {scores[c]:.2f}" if c in scores else one_line(c, 40) for c in ranked]
    return ", ".join(shown) or "flagged"
