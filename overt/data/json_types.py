"""The types of decoded JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

# The result of `json.loads`. `JsonObject` is read-only; build one as a dict[str, Json].
Json = Mapping[str, "Json"] | Sequence["Json"] | str | int | float | bool | None
JsonObject = Mapping[str, Json]


def texts_of(value: Json) -> Iterable[str]:
    """Every text in JSON data, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from texts_of(inner)
    elif isinstance(value, Sequence):
        for inner in value:
            yield from texts_of(inner)
