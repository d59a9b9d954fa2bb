"""OpenAI-compatible endpoints for filters, checkers and judges that run off the event loop.

Uses OpenAI's synchronous client, shared by all threads. Callers read the body field by field, since endpoints
differ and the client's response models do not validate.
"""

from __future__ import annotations

import json
import threading
import urllib.parse
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from overt.data.chat import CallError, ErrorKind
from overt.data.errors import InputError
from overt.data.json_types import Json, JsonObject
from overt.data.plugins.names import one_line
from overt.data.provider.completion import SERVICE
from overt.data.provider.http import REDIRECTS, Mask, check_address, key_from, openai_base, redirected
from overt.data.provider.reader import Answered, Failed, Refused, judge, read_said
from overt.data.secrets import filled, values_of, without_keys

if TYPE_CHECKING:
    import openai

_MESSAGE_CHARS = 500


class Endpoint:
    """One endpoint and its key.

    Args:
        name: the filter's or checker's name, for messages.
        base_url: the endpoint's address; None: `OPENAI_BASE_URL`, else OpenAI itself.
        api_key_env: the environment variable that holds the key; it is read once and never printed.
        timeout: seconds to wait for an answer.

    Raises:
        InputError: no http(s) address, an address with a secret in it, or no key for an endpoint that is
            not on this machine.
    """

    def __init__(self, name: str, *, base_url: str | None, api_key_env: str, timeout: float) -> None:
        name = name.partition("?")[0]  # the options may hold a secret
        self._base = openai_base(base_url)
        if self._base is not None:
            check_address(name, self._base)
            if without_keys(self._base) != self._base:
                raise InputError(
                    f"{name}: a base_url with a user, a password or such a query may hold a secret",
                    fix="Put the key into an environment variable and name that: api_key_env=VARIABLE, or "
                    "${VARIABLE} in the address.",
                )
        self._key = key_from(api_key_env, name, self._base)
        self._timeout = timeout
        self._mask = Mask(self._key, *values_of([self._base or ""]))
        self._lock = threading.Lock()
        self._client: openai.OpenAI | None = None

    def post(self, path: str, body: Mapping[str, object]) -> JsonObject | Refused | Failed:
        """Sends one request and returns the decoded JSON object, a refusal or a failure. Thread-safe."""
        import openai

        try:
            data: object = self._open().post(path, cast_to=object, body=body)
        except openai.APITimeoutError:
            return self._failed("timeout", "the client gave up waiting")
        except openai.APIStatusError as error:
            headers = {name.lower(): value for name, value in error.response.headers.items()}
            if error.status_code in REDIRECTS:
                target = urllib.parse.urljoin(str(error.response.url), headers.get("location", ""))
                words = redirected("POST", error.status_code, target)
                return Failed(CallError("bad_request", self._shown(words), error.status_code))
            return self._judged(error.status_code, headers, error.response.text)
        except openai.APIConnectionError as error:
            return self._failed("connection", str(error.__cause__ or error))
        except openai.OpenAIError as error:
            return self._failed("server", str(error))
        except (OSError, ValueError, RecursionError) as error:
            return self._failed("server", f"{type(error).__name__}: {error}")
        if not isinstance(data, dict):
            shown = f": {data[:80]!r}" if isinstance(data, str) else ""
            return self._failed("server", f"the body is not a JSON object{shown}")
        if isinstance(inner := data.get("error"), (dict, str)) and inner:  # gateways wrap errors in a 200
            return self._judged(200, {}, json.dumps(data))
        return data

    def close(self) -> None:
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _open(self) -> openai.OpenAI:
        with self._lock:
            if self._client is None:
                from openai import DefaultHttpxClient, OpenAI

                address, _, query = filled(self._base or "").partition("?")

                # The caller counts and paces attempts. A redirect would turn a POST into a GET, or send what
                # is judged to a place that nobody named.
                self._client = OpenAI(
                    api_key=self._key or "none",
                    base_url=address or None,
                    default_query=dict(urllib.parse.parse_qsl(query)),
                    timeout=self._timeout,
                    max_retries=0,
                    http_client=DefaultHttpxClient(follow_redirects=False),
                )
            return self._client

    def _failed(self, kind: ErrorKind, message: str) -> Failed:
        return Failed(CallError(kind, self._shown(message)))

    def _judged(self, status: int, headers: Mapping[str, str], text: str) -> Refused | Failed:
        """Interprets a response without a usable body by its code, its message or its status."""
        try:
            data: Json = json.loads(text)
        except (ValueError, RecursionError):
            data = None
        verdict = judge(SERVICE, read_said(status, headers, data, text))
        assert not isinstance(verdict, Answered)  # there is no content
        if isinstance(verdict, Refused):
            return replace(verdict, message=self._shown(verdict.message))
        return replace(verdict, error=replace(verdict.error, message=self._shown(verdict.error.message)))

    def _shown(self, message: str) -> str:
        # Some servers repeat a rejected key.
        return one_line(self._mask.text(message), _MESSAGE_CHARS)
