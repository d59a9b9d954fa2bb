"""Which models may work at the same time: those behind services may, those of a device follow each other."""

from __future__ import annotations

import re
from urllib.parse import unquote

from overt.data.batch import innermost

_DEVICE = re.compile(r"[?&]device=([^&]+)")


def lane_of(model: object) -> str:
    """The device that a model shares with others; "" for one behind a service, which waits and computes
    nothing here.

    A model of the user's own that names neither an address nor a key, nor how many requests it takes at once
    (`max_concurrency`), nor its `device`, is taken for one behind a service.
    """
    inner = innermost(model)
    if any(getattr(one, name, "") for one in (model, inner) for name in ("address", "api_key_env")):
        return ""
    device = getattr(inner, "device", None)
    if device is not None:
        return _device(str(device))
    takes = getattr(model, "max_concurrency", None) or getattr(inner, "max_concurrency", None)
    return "this machine" if takes else ""


def lane_of_name(name: str) -> str:
    """The device that a model's name asks for (`hf/FOLDER?device=cuda:1`), or "" if it names none."""
    found = _DEVICE.search(name)
    return _device(unquote(found[1])) if found else ""


def _device(name: str) -> str:
    return {"cuda": "cuda:0", "cpu": "this machine"}.get(name, name)
