"""The types of decoded JSON, for data that come from outside and are checked before they are used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

# What `json.loads` gives. `JsonObject` is read-only: whoever builds one uses a plain dict of Json.
Json = Mapping[str, "Json"] | Sequence["Json"] | str | int | float | bool | None
JsonObject = Mapping[str, Json]
