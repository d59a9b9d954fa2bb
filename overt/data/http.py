"""What HTTP says to every client alike."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Mapping

_LOCAL_HOSTS = ("localhost", "127.", "[::1]", "0.0.0.0", "host.docker.internal")


def is_local(url: str | None) -> bool:
    """Whether an address is on this machine, where a server needs no key."""
    return (url or "").partition("//")[2].startswith(_LOCAL_HOSTS)


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Seconds that the server asks to wait: `retry-after-ms`, else `Retry-After` as seconds or HTTP date.
    Header names in lower case."""
    try:
        if (ms := headers.get("retry-after-ms")) is not None:
            return max(0.0, float(ms) / 1000)
        if (value := headers.get("retry-after")) is None:
            return None
        try:
            seconds = float(value)
            return seconds if 0 <= seconds < 86_400 else None
        except ValueError:
            date = email.utils.parsedate_to_datetime(value)
            return max(0.0, date.timestamp() - (time.time() if now is None else now))
    except (ValueError, TypeError):
        return None
