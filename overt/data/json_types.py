"""The types of decoded JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

# The result of `json.loads`. `JsonObject` is read-only; build one as a dict[str, Json].
Json = Mapping[str, "Json"] | Sequence["Json"] | str | int | float | bool | None
JsonObject = Mapping[str, Json]
