"""The secrets in use, and the one place that hides them in whatever is written, kept or shown.

A value is learnt where it is read: a key from its variable (`overt.data.provider.http.key_from`),
`${VARIABLE}` where it is filled in, a key inside an address that the user typed. From then on `masked` puts
*** in its place, also where a service repeats it URL-encoded, in base64, or escaped. `without_keys` hides
what is a key by its place or form in an address, so that a name or an address is recorded alike by a process
that knows the key and by one that does not.
"""

from __future__ import annotations

import base64
import dataclasses
import html
import json
import os
import re
import threading
import urllib.parse
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, TypeVar

from overt.data.errors import InputError
from overt.data.text import writable

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")

_IN_NAMES = "base_url="  # the option of a model's name that holds an address
HIDDEN = "***"
VARIABLE = re.compile(r"\$\{([^{}]*)\}")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SHORTEST = 4  # characters; masking "-" or "no" would spoil messages and hide nothing
_SHORTEST_PART = 6
_SHORTEST_ENCODED = 6
_SHORTEST_CUT = 8  # characters of a secret at the end of a text that was cut there

# -- the values in use ---------------------------------------------------------------------------------------


class Known:
    """Secrets with all the forms in which a text may hold them. Safe for several threads."""

    def __init__(self, *secrets: str) -> None:
        self._lock = threading.Lock()
        self._secrets: frozenset[str] = frozenset()
        self._encoded: tuple[tuple[str, re.Pattern[str]], ...] = ()
        self._binary: tuple[str, ...] = ()
        self.learn(*secrets)

    def learn(self, *secrets: str) -> None:
        """Adds secrets. The halves of an "id:secret" key are secrets too."""
        whole = {secret for secret in secrets if len(secret) >= _SHORTEST}
        parts = {part for secret in whole for part in secret.split(":") if len(part) >= _SHORTEST_PART}
        with self._lock:
            if (whole | parts) - self._secrets:
                self._secrets |= whole | parts
                # The longest first, since one secret may contain another.
                ordered = sorted(self._secrets, key=lambda secret: (-len(secret), secret))
                self._encoded = tuple(map(_encoded, ordered))
                self._binary = tuple(form for secret in ordered for form in sorted(_binary(secret)))

    def masked(self, text: str) -> str:
        """The text with *** for each secret."""
        for part, pattern in self._encoded:
            if part in text:
                text = pattern.sub(HIDDEN, text)
        for form in self._binary:
            if form in text:
                text = text.replace(form, HIDDEN)
        return text

    def masked_end(self, text: str) -> str:
        """A text that was cut, with *** for the beginning of a secret at its end."""
        for secret in self._secrets:
            for length in range(len(secret) - 1, _SHORTEST_CUT - 1, -1):
                if text.endswith(secret[:length]):
                    return text[:-length] + HIDDEN
        return text


_IN_RECORDS = Known()


def learn(*secrets: str) -> None:
    """Hides these values from now on in all that this process writes or prints.

    A short or plain word ("test", "not-needed") is no secret worth a hole in the texts of others: it is
    masked only in what its own service says (`overt.data.provider.http.Mask`).
    """
    _IN_RECORDS.learn(*(secret for secret in secrets if _is_distinctive(secret)))


def masked(text: str) -> str:
    """The text with *** for each secret in use, and for the keys in the address of a model's name."""
    text = _IN_RECORDS.masked(text)
    return without_keys(text) if _IN_NAMES in text else text


def masked_end(text: str) -> str:
    """As `Known.masked_end`, for all secrets in use."""
    return _IN_RECORDS.masked_end(text)


def storable(value: T) -> T:
    """JSON data or a record whose texts can be stored: without secrets, NUL and lone surrogates.

    Lists, tuples, mappings and dataclasses are walked through; what needs no change is returned as it is.
    """
    found: object = value
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        found = writable(masked(value))
    elif isinstance(value, dict):
        found = {storable(name): storable(inner) for name, inner in value.items()}
    elif isinstance(value, list):
        found = [storable(inner) for inner in value]
    elif isinstance(value, tuple) and not hasattr(value, "_fields"):
        found = tuple(storable(inner) for inner in value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        found = _storable_record(value)
    return found  # type: ignore[return-value]


def _storable_record(record: DataclassInstance) -> DataclassInstance:
    changed = {}
    for name in _names(type(record)):
        old = getattr(record, name)
        if not old or old is True:  # most fields of most records hold nothing
            continue
        new = storable(old)
        if new is not old and new != old:
            changed[name] = new
    return dataclasses.replace(record, **changed) if changed else record


@cache
def _names(kind: type[DataclassInstance]) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind) if field.init)


def storable_json(data: object, *, indent: int | None = None, sort_keys: bool = False) -> str:
    """JSON text that can be stored (see `storable`). Most data are clean, and are walked through once."""
    text = json.dumps(data, ensure_ascii=False, indent=indent, sort_keys=sort_keys)
    if "\\u0000" in text or text != writable(text) or masked(text) != text:
        return json.dumps(storable(data), ensure_ascii=False, indent=indent, sort_keys=sort_keys)
    return text


def _is_distinctive(secret: str) -> bool:
    has_digit, is_number = any(c.isdigit() for c in secret), secret.isdigit()
    return len(secret) >= (8 if has_digit and not is_number else 12)


def _encoded(secret: str) -> tuple[str, re.Pattern[str]]:
    """Finds a secret however its characters are escaped: by URLs (partly, or twice), JSON, HTML, backslashes.

    Returns the longest part that no one escapes, for a quick look, and the pattern.
    """
    runs = re.findall("[A-Za-z0-9]+", secret)
    return max(runs, key=len, default=""), re.compile("".join(map(_any_escape, secret)))


def _any_escape(character: str) -> str:
    if character.isascii() and character.isalnum():
        return character
    by_url = "".join(f"%(?:25)*(?i:{byte:02x})" for byte in character.encode("utf-8", "replace"))
    by_json = "".join(
        rf"\\u(?i:{unit})"
        for unit in re.findall("....", character.encode("utf-16-be", "surrogatepass").hex())
    )
    by_html = rf"&\#0*{ord(character)};|&\#[xX]0*(?i:{ord(character):x});|{re.escape(html.escape(character))}"
    space = r"|\+" if character == " " else ""
    return rf"(?:\\*{re.escape(character)}|{by_url}|{by_json}|{by_html}{space})"


def _binary(secret: str) -> set[str]:
    """The secret in base64 and in hexadecimal digits."""
    if len(secret) < _SHORTEST_ENCODED:
        return set()
    raw = secret.encode("utf-8", "replace")
    return {*_in_base64(raw), raw.hex(), raw.hex().upper()}


def _in_base64(raw: bytes) -> set[str]:
    """The characters that base64 has for these bytes, wherever they begin in what was encoded: the key
    itself, or the second half of a user and a password."""
    found = set()
    for before, first in ((0, 0), (1, 2), (2, 3)):
        last = (before + len(raw)) * 8 // 6
        whole = base64.b64encode(b"\0" * before + raw).decode()[first:last]
        found |= {whole, whole.replace("+", "-").replace("/", "_")}
    return found


# -- keys in addresses and names -----------------------------------------------------------------------------

_OF_KEYS = re.compile(
    "key|token|secret|passw|pwd|pass$|sig|auth|cred|code$|^code|jwt|bearer|session", re.IGNORECASE
)
_NO_KEYS = frozenset({"refusal_tokens"})  # options of names that only sound like a key's: this is a file
# Parameters of an address, also of one that is written %-encoded inside another.
_PARAMETER = re.compile(r"(?:[?&;#]|%3f|%26|%23|%3b)(?P<name>[\w.~-]+)(?:=|%3d)", re.IGNORECASE)
_VALUE = re.compile(r"(?:(?!%26|%23)[^&#\s\"'<>\\])*")
_USER = re.compile(r"(?P<head>(?::|%3a)(?://|%2f%2f))(?P<user>[^/@\s?#\"'<>]*)@", re.IGNORECASE)
_ADDRESS = re.compile(r"https?://[^\s\"'<>\\]*", re.IGNORECASE)
_KEY_LIKE = re.compile(
    r"(?:(?:sk|pk|rk|gsk|xai|key|nvapi|pplx|tgp|fw|r8|hf|gh[pousr]|github_pat|glpat|npm|pypi|xox[a-z])[-_]"
    r"(?=[\w-]*\d)[\w-]{8,}|AIza[\w-]{20,}|A[KS]IA[0-9A-Z]{12,}|eyJ[\w-]{8,}(?:\.[\w-]+)*)"
)
_LONG_RUN = re.compile(r"(?=[A-Za-z]*\d)(?=\d*[A-Za-z])[A-Za-z0-9]{20,}")


def without_keys(text: str) -> str:
    """An address, or a name with an address in it, with *** for what is a key by its place or its form.

    That is a user or a password, the value of a parameter that is named like a key, and a step of the path
    that looks like one. `${VARIABLE}` stays, since it is no secret.
    """
    text = _USER.sub(lambda m: m[0] if _is_variable(m["user"]) else f"{m['head']}{HIDDEN}@", text)
    for start, end in reversed(_keys_of_parameters(text)):
        text = text[:start] + HIDDEN + text[end:]
    return _ADDRESS.sub(lambda m: "/".join(map(_plain_step, m[0].split("/"))), text)


def learn_from(text: str) -> None:
    """Learns the keys that `without_keys` hides in an address or a name."""
    found: list[str] = []
    for match in _USER.finditer(text):
        found += [match["user"], *match["user"].split(":")] if not _is_variable(match["user"]) else []
    found += [text[start:end] for start, end in _keys_of_parameters(text)]
    for match in _ADDRESS.finditer(text):
        steps = match[0].partition("?")[0].split("/")
        found += [step for step in steps if _plain_step(step) != step and "@" not in step]
    learn(*found, *(urllib.parse.unquote(value) for value in found))


def _keys_of_parameters(text: str) -> list[tuple[int, int]]:
    """Where the values of parameters stand that are keys. A value may hold an address with its own."""
    found: list[tuple[int, int]] = []
    for match in _PARAMETER.finditer(text):
        value = _VALUE.match(text, match.end())
        is_new = not found or match.end() >= found[-1][1]
        if value is not None and is_new and _is_key(match["name"], value[0]):
            found.append(value.span())
    return found


def has_lost_keys(text: str) -> bool:
    """Whether a recorded address or name had a key that was not recorded."""
    return HIDDEN in text


def _is_variable(text: str) -> bool:
    return VARIABLE.sub("", urllib.parse.unquote(text)).strip(": ") == ""


def _is_key(name: str, value: str) -> bool:
    if _is_variable(value) or name.lower().endswith("_env"):
        return False
    sounds = name not in _NO_KEYS and _OF_KEYS.search(name)
    return bool(sounds or _KEY_LIKE.fullmatch(value) or _LONG_RUN.fullmatch(value))


def _plain_step(step: str) -> str:
    head, mark, query = step.partition("?")
    is_key = _KEY_LIKE.search(head) or any(_LONG_RUN.fullmatch(run) for run in re.split("[-_.:=~]", head))
    return (HIDDEN if is_key else head) + mark + query


# -- ${VARIABLE} ---------------------------------------------------------------------------------------------


def variables(text: str) -> list[str]:
    """The names of the variables in a text, in their order."""
    return VARIABLE.findall(text)


def filled(text: str, where: str = "", *, in_url: bool = True) -> str:
    """A text with the values of its `${VARIABLES}`, which are learnt. Call it where a request is made, and
    record the text itself.

    Args:
        where: what the text is, for messages.
        in_url: %-encodes the values.

    Raises:
        InputError: a variable is not set, or is no variable's name.
    """

    def value_of(found: re.Match[str]) -> str:
        name = found[1]
        value = os.environ.get(name, "").strip() if _VARIABLE_NAME.fullmatch(name) else ""
        if not value:
            raise InputError(
                f"{where + ': ' if where else ''}the environment variable {name} is not set",
                fix=f"export {name}=...",
            )
        learn(value)
        return urllib.parse.quote(value, safe=":") if in_url else value

    return VARIABLE.sub(value_of, text)


def values_of(texts: Iterable[str]) -> list[str]:
    """The values of all variables in these texts that are set."""
    names = {name for text in texts for name in variables(text)}
    return [value for name in sorted(names) if (value := os.environ.get(name, "").strip())]
