"""OpenAI-compatible endpoints for filters, checkers and judges that are called off the event loop.

The official client, synchronous and shared by all threads. Bodies are read field by field by whoever asks:
endpoints differ, and the client's own response models believe what they are given.
"""

from __future__ import annotations

import json
import os
import threading
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from overt.data.chat import CallError, ErrorKind
from overt.data.errors import InputError
from overt.data.http import is_local, retry_after
from overt.scoring.spec import one_line


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an endpoint gave no usable body. `code` is the provider's own, in lower case, "" for none."""

    error: CallError
    code: str = ""


class Endpoint:
    """One endpoint and its key.

    Args:
        name: of the filter or checker, for messages.
        base_url: where the endpoint stands; None: `OPENAI_BASE_URL`, else OpenAI itself.
        api_key_env: the environment variable that holds the key; it is read once and never shown.
        timeout: seconds to wait for an answer.

    Raises:
        InputError: no http(s) address, an address with a secret in it, or no key for an endpoint that is
            not on this machine.
    """

    def __init__(self, name: str, *, base_url: str | None, api_key_env: str, timeout: float) -> None:
        name = name.partition("?")[0]  # what stands behind it may be what is wrong
        base_url = base_url or os.environ.get("OPENAI_BASE_URL") or None
        if base_url is not None:
            parts = urllib.parse.urlsplit(base_url)
            if parts.scheme not in ("http", "https") or not parts.netloc:
                raise InputError(f"{name}: base_url {one_line(base_url, 80)!r} is no http(s) address")
            if "@" in parts.netloc or parts.query:
                raise InputError(
                    f"{name}: a base_url with a user, a password or a query may hold a secret",
                    fix="Put the key into an environment variable and name that: api_key_env=VARIABLE.",
                )
        key = os.environ.get(api_key_env, "").strip()
        if not key:
            if not is_local(base_url):
                raise InputError(
                    f"no key for {name}: the environment variable {api_key_env} is not set",
                    fix=f"export {api_key_env}=...   (another variable: {name}?api_key_env=NAME; "
                    "a server on this machine needs none: base_url=http://localhost:...)",
                )
            key = "none"
        self._settings: dict[str, Any] = {"api_key": key, "base_url": base_url, "timeout": timeout}
        self._secret = key if key != "none" else ""
        self._lock = threading.Lock()
        self._client: Any = None

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any] | Fault:
        """One attempt: the decoded JSON object, or what went wrong. Any number of threads at once."""
        import openai

        try:
            data: Any = self._open().post(path, cast_to=object, body=body)
        except openai.APITimeoutError:
            return self._fault("timeout", "the client gave up waiting")
        except openai.APIStatusError as error:
            return self._status(error.status_code, error.response.text, error.response.headers)
        except openai.APIConnectionError as error:
            return self._fault("connection", str(error.__cause__ or error))
        except openai.OpenAIError as error:
            return self._fault("server", str(error))
        except (OSError, ValueError, RecursionError) as error:
            return self._fault("server", f"{type(error).__name__}: {error}")
        if not isinstance(data, dict):
            shown = f": {data[:80]!r}" if isinstance(data, str) else ""
            return self._fault("server", f"the body is not a JSON object{shown}")
        if isinstance(inner := data.get("error"), (dict, str)) and inner:  # gateways wrap errors in a 200
            status = inner.get("code") if isinstance(inner, dict) else None
            known = isinstance(status, int) and not isinstance(status, bool) and 400 <= status < 600
            return self._status(status if known and status else 500, json.dumps(data), {})
        return data

    def close(self) -> None:
        """Closes the connections."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _open(self) -> Any:
        with self._lock:
            if self._client is None:
                from openai import OpenAI

                # Attempts are counted and paced by the caller.
                self._client = OpenAI(**self._settings, max_retries=0)
            return self._client

    def _fault(
        self,
        kind: ErrorKind,
        message: str,
        status: int | None = None,
        retry_after: float | None = None,
        code: str = "",
    ) -> Fault:
        # Some servers repeat the key that they did not like.
        said = message.replace(self._secret, "***") if self._secret else message
        return Fault(CallError(kind, one_line(said, 500), status, retry_after), code)

    def _status(self, status: int, text: str, headers: Mapping[str, str]) -> Fault:
        """An HTTP error, with the kind that its code, its words or else its status mean."""
        code, message = "", text[:500]
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            data = None
        error = data.get("error", data) if isinstance(data, dict) else None
        if isinstance(error, str):
            message = error
        elif isinstance(error, dict):
            code = str(error.get("code") or error.get("type") or "").lower()[:100]
            message = str(error.get("message") or error.get("detail") or text[:500])
        said = message.lower()
        kind: ErrorKind
        if (
            status == 402
            or "billing" in code
            or (status == 429 and ("insufficient_quota" in code or "exceeded your current quota" in said))
        ):
            kind = "billing"
        elif status == 429:
            kind = "rate_limit"
        elif status in (401, 403):
            kind = "auth"
        elif status in (408, 409, 425) or status >= 500:
            kind = "server"
        elif status == 413 or "context_length" in code or "maximum context length" in said:
            kind = "too_long"
        else:
            kind = "bad_request"
        return self._fault(kind, message, status, retry_after(headers), code)


def sendable(text: str) -> str:
    """Half a surrogate pair cannot be put into UTF-8; it goes out as a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")
