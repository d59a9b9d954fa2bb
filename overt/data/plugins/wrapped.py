"""Names of models that are asked by way of another: `answer-then-check/openai/MODEL?base_url=...`.

Whoever looks at the provider of a name (for its codes, its price, its keys, its files) wants the model behind
it, and finds it here.
"""

from __future__ import annotations

from collections.abc import Mapping

from overt.data.plugins.names import BOOLEANS

# The providers whose model has another one behind it, each with its own options; all others are for the model
# behind it.
WRAPPERS: Mapping[str, frozenset[str]] = {"answer-then-check": frozenset({"prompt", "adaptive"})}


def inside(text: str) -> str:
    """The name of the model behind a name, with the options that are for it; any other name as it is."""
    head, mark, query = text.partition("?")
    provider, _, rest = head.partition("/")
    own = WRAPPERS.get(provider)
    if own is None:
        return text
    kept = "&".join(pair for pair in query.split("&") if pair.partition("=")[0] not in own)
    return f"{rest}{mark}{kept}" if kept else rest


def is_adaptive(text: str) -> bool:
    """Whether a name asks for the format only where a request may be unsafe."""
    _, _, query = text.partition("?")
    values = [pair.partition("=")[2] for pair in query.split("&") if pair.partition("=")[0] == "adaptive"]
    return any(BOOLEANS.get(value.lower(), False) for value in values)


def provider_of(text: str) -> str:
    """The provider of the model that answers: of `answer-then-check/openai/MODEL?adaptive=true` openai."""
    return inside(text).partition("?")[0].partition("/")[0]
