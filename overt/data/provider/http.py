"""HTTP helpers of all clients: addresses, keys, statuses, waiting times, and the masking of secrets."""

from __future__ import annotations

import os
import re
import urllib.parse
from collections.abc import Mapping

from overt.data.chat import ErrorKind
from overt.data.errors import InputError
from overt.data.json_types import Json
from overt.data.provider.waits import duration, moment, of_limits
from overt.data.secrets import Known, learn, learn_from, masked, masked_end, without_keys
from overt.data.text import encodable

_LOCAL_HOSTS = ("localhost", "127.", "[::1]", "0.0.0.0", "host.docker.internal")
REDIRECTS = (301, 302, 303, 307, 308)
_PLAIN_STEP = re.compile(r"[\w.~-]{0,24}")  # a step of a path that is no signature
_ADDRESS = re.compile(r"(https?://)([\w.:-]*)[^\s\"'<>\\]*", re.IGNORECASE)
_MASKED_ENDS = re.compile(r"[\w-]*\*{3,}[\w-]*")  # as _MASKED, in JSON
_MASKED = re.compile(r"\S*\*{3,}\S*")  # providers show the two ends of a key


def is_local(url: str | None) -> bool:
    """Whether an address is on this machine. A local server needs no key."""
    return (url or "").partition("//")[2].startswith(_LOCAL_HOSTS)


def openai_base(base_url: str | None) -> str | None:
    """The address of an OpenAI-compatible endpoint: as given, or `OPENAI_BASE_URL`, or None for OpenAI."""
    return base_url or os.environ.get("OPENAI_BASE_URL") or None


def check_address(name: str, base_url: str) -> None:
    """Checks the address of a service.

    Args:
        name: the model, filter or checker with this address.

    Raises:
        InputError: it is not an http(s) address.
    """
    learn_from(base_url)
    try:
        parts = urllib.parse.urlsplit(base_url)
        usable = parts.scheme in ("http", "https") and bool(parts.netloc)
    except ValueError:
        usable = False
    if not usable:
        shown = "".join(c for c in without_keys(base_url)[:80] if c.isprintable())
        raise InputError(
            f"{name}: base_url {shown!r} is no http(s) address",
            fix="Write it like https://api.example.com/v1.",
        )


def key_from(variable: str, name: str, base_url: str | None) -> str:
    """The key in an environment variable; may be "" for a server on this machine.

    Args:
        name: the model, filter or checker as the user wrote it; messages leave its options out.
        base_url: the address of the service; None for the provider's own.

    Raises:
        InputError: the variable is not set.
    """
    key = os.environ.get(variable, "").strip()
    if not key and not is_local(base_url):
        name = name.partition("?")[0]
        raise InputError(
            f"no key for {name}: the environment variable {variable} is not set",
            fix=f"export {variable}=...   (another variable: {name}?api_key_env=NAME; "
            f"a server on this machine needs none: {name}?base_url=http://localhost:...)",
        )
    return key


def status_kind(status: int) -> ErrorKind:
    """The kind of error of an HTTP status from 300 up, if the body does not tell."""
    if status == 401:
        return "auth"
    if status == 403:
        return "forbidden"
    if status == 402:
        return "billing"
    if status == 429:
        return "rate_limit"
    if status in (408, 409, 425) or status >= 500 or (status < 400 and status not in REDIRECTS):
        return "server"
    return "too_long" if status == 413 else "bad_request"


def redirected(method: str, status: int, target: str) -> str:
    """What is said of a request that was answered by a redirect, which is not followed."""
    return (
        f"the {method} was answered by a redirect (HTTP {status}) to {shown(target)}, and a request is not "
        "sent on"
    )


def shown(url: str) -> str:
    """An address for a message: without user and query, and with ... for what may be a signature."""
    try:
        parts = urllib.parse.urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "no address"
    steps = [step if _PLAIN_STEP.fullmatch(step) else "..." for step in parts.path.split("/")]
    return f"{parts.scheme}://{parts.hostname or ''}{port}{'/'.join(steps)}"


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """The waiting time in seconds from `retry-after-ms`, or else `Retry-After` (seconds or an HTTP date), or
    else the headers of rate limits. Header names are in lower case."""
    if (ms := headers.get("retry-after-ms")) is not None:
        return duration(f"{ms}ms")
    if (value := headers.get("retry-after")) is not None:
        return moment(value, now)
    return of_limits(headers, now)


class Mask:
    """Masks the secrets of one service, and all others in use, in what it says: some repeat a rejected key.

    Args:
        secrets: keys. The halves of an "id:secret" key are masked too.
    """

    def __init__(self, *secrets: str) -> None:
        self._own = Known(*secrets)
        learn(*secrets)

    def text(self, text: str) -> str:
        """The text with *** for each secret, in any of its forms."""
        return masked(self._own.masked(text))

    def cut(self, text: str) -> str:
        """As `text`, for the beginning of a longer text, which may end amid a secret."""
        return masked_end(self._own.masked_end(self.text(text)))

    def words(self, text: object, most: int = 500) -> str:
        """A provider's message on one line of at most `most` characters, without secrets and the paths of
        addresses, because a signed address gives access."""
        said = _ADDRESS.sub(r"\1\2/...", " ".join(str(text).split()))
        return encodable(self.cut(_MASKED.sub("***", said)))[:most]

    def whole(self, text: str) -> str:
        """A text of any length without secrets and the paths of addresses."""
        return encodable(self.cut(_MASKED_ENDS.sub("***", _ADDRESS.sub(r"\1\2/...", text))))

    def json(self, value: Json) -> Json:
        """Decoded JSON with *** for each secret in its texts."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {name: self.json(inner) for name, inner in value.items()}
        return [self.json(inner) for inner in value] if isinstance(value, list) else value
