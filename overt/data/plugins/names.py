"""Names of models, filters, checkers and judges, taken apart. Nothing is looked up or imported here.

A name is one of

    openai/gpt-4o-mini                      a chat model: provider/model
    filter/profanity-check?threshold=0.2    a text filter, with an option
    checker/nudenet                         an image checker
    diffusers/ORG/MODEL                     a target that draws
    builtin/rules                           a judge or a writer that needs no chat model
    mypkg.mymodule:MyModel                  a class of your own
    mypkg.mymodule:MyModel/large?beam=4     the same, given a model's name and an option

Options stand behind a question mark as in a web address: `?key=value&key=value`, with %26 for a `&` and
%25 for a `%` inside a value. Before the question mark these two mean the same, and %3F is a `?`; `quoted`
writes them. Keys and passwords have no place in a name: names are printed and recorded.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass

from overt.data.errors import InputError

_OWN = re.compile(r"(?P<module>[^\W\d]\w*(?:\.[^\W\d]\w*)*):(?P<cls>[^\W\d]\w*)(?:/(?P<model>.+))?")
_SECRET = re.compile(r"key$|token$|secret|passw|credential|authorization", re.IGNORECASE)
_USERINFO = re.compile(r"://[^/@\s]*@")
# No more than these three: a folder's name may hold a %20.
_ESCAPED = re.compile("%(?:25|26|3F)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Name:
    """A name taken apart.

    text: as it was written.
    provider: what stands before the first slash, "" for a class of the user's own.
    own: (module, class) of a class of the user's own, else None.
    model: what stands behind the first slash, or what the class of the user's own is given; "" for nothing.
    options: as text.
    """

    text: str
    provider: str
    own: tuple[str, str] | None
    model: str
    options: Mapping[str, str]

    @property
    def is_more_than_a_model(self) -> bool:
        """Whether the text holds more than provider and model: options, or an escaped character."""
        return "?" in self.text or bool(_ESCAPED.search(self.text))


def read_name(text: str) -> Name:
    """Takes a name apart, whatever it names.

    Raises:
        InputError: its options cannot be read, or one of them holds a secret.
    """
    head, _, query = text.partition("?")
    head = unquoted(head)
    options = _options(head, query)
    if own := _OWN.fullmatch(head):
        return Name(text, "", (own["module"], own["cls"]), own["model"] or "", options)
    provider, _, model = head.partition("/")
    return Name(text, provider, None, model, options)


def _options(head: str, query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for pair in filter(None, query.split("&")):
        key, equals, value = pair.partition("=")
        value = urllib.parse.unquote(value)
        # The name is not repeated here: it would show the secret.
        if equals and ((_SECRET.search(key) and not key.endswith("_env")) or _USERINFO.search(value)):
            raise InputError(
                f"{head}: the option {key!r} would put a secret into a name, and names are recorded",
                fix="Put it into an environment variable and name that: api_key_env=VARIABLE.",
            )
        if not equals or not key.isidentifier():
            raise InputError(
                f"{head}: {pair!r} is not key=value", fix="For instance: filter/keywords?path=words.txt"
            )
        if key in options:
            raise InputError(f"{head}: the option {key!r} is given twice")
        options[key] = value
    return options


def check_names(*names: str) -> None:
    """Refuses names that must not be recorded; to be called before one is.

    Raises:
        InputError: a name holds a secret, or its options cannot be read.
    """
    for name in names:
        read_name(name)


def quoted(part: str) -> str:
    """A folder, a file or another value as it is written inside a name."""
    return part.replace("%", "%25").replace("&", "%26").replace("?", "%3F")


def unquoted(head: str) -> str:
    """The folder, the file or the provider and model that `quoted` wrote."""
    return _ESCAPED.sub(lambda found: urllib.parse.unquote(found.group()), head)
