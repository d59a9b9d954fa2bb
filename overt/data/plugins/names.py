"""Parses the names of models, filters, checkers and judges, checks their options, and imports their classes.

A name is one of

    openai/gpt-4o-mini                      a chat model: provider/model
    filter/profanity-check?threshold=0.2    a text filter, with an option
    checker/nudenet                         an image checker
    diffusers/ORG/MODEL                     a target that draws
    builtin/rules                           a judge or a writer that needs no chat model
    mypkg.mymodule:MyModel                  a class of your own
    mypkg.mymodule:MyModel/large?beam=4     the same, given a model's name and an option

Options follow a question mark as in a web address: `?key=value&key=value`, with %26 for `&` and %25 for `%`
inside a value. `?call.key=value` is one entry of an option `call` that takes a mapping. Before the question
mark %3F also stands for `?`; `quoted` writes these escapes. A name must not hold keys or passwords, since
names are printed and recorded. An address in it may have `${VARIABLE}`; a key that stands in the address all
the same is recorded as ***.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import re
import typing
import urllib.parse
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from types import ModuleType

from overt.data.errors import InputError
from overt.data.plugins.install import EXTRAS, how_to_install
from overt.data.secrets import VARIABLE, learn_from

_OWN = re.compile(r"(?P<module>[^\W\d]\w*(?:\.[^\W\d]\w*)*):(?P<cls>[^\W\d]\w*)(?:/(?P<model>.+))?")
_SECRET = re.compile(r"key$|token$|secret|passw|credential|authorization", re.IGNORECASE)
_KEY = re.compile(r"[^\W\d]\w*(?:\.[^\W\d][\w-]*)?")
_USERINFO = re.compile(r"://[^/@\s]*@")
# Only these three, since a folder's name may hold a %20.
_ESCAPED = re.compile("%(?:25|26|3F)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Name:
    """A parsed name.

    text: as the user wrote it.
    provider: the part before the first slash, "" for a user's class.
    own: (module, class) of a user's class, else None.
    model: the part after the first slash, or "".
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
    """Parses a name of any kind.

    Raises:
        InputError: its options cannot be read, or one of them holds a secret.
    """
    learn_from(text)
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
        # The message leaves the full name out, since it holds the secret.
        if equals and (
            (_SECRET.search(key) and not key.endswith("_env"))
            or _USERINFO.search(VARIABLE.sub("", value).replace("://:@", "://"))
        ):
            raise InputError(
                f"{head}: the option {key!r} would put a secret into a name, and names are recorded",
                fix="Put it into an environment variable and name that: api_key_env=VARIABLE, or "
                "${VARIABLE} in an address.",
            )
        if not equals or not _KEY.fullmatch(key):
            raise InputError(
                f"{head}: {pair!r} is not key=value", fix="For instance: filter/keywords?path=words.txt"
            )
        if key in options:
            raise InputError(f"{head}: the option {key!r} is given twice")
        options[key] = value
    return options


def closest_name(text: str, known: Mapping[str, Collection[str]]) -> str:
    """The known name that is closest to a mistyped one, with its options; "" if none is close.

    Args:
        known: the first parts of names, each with the names that may follow it; none: any may.
    """
    head, query, options = text.partition("?")
    first, slash, rest = head.partition("/")
    if not slash:  # "better-profanity" for "filter/better-profanity"
        return next((f"{prefix}/{text}" for prefix, names in known.items() if head in names), "")
    near = difflib.get_close_matches(first, known, n=1)
    if not near or not rest:
        return ""
    name, more, tail = rest.partition("/")
    names = known[near[0]]
    if names and name not in names and not (near[0] == "judge" and more):  # judge/PROVIDER/MODEL
        name = next(iter(difflib.get_close_matches(name, names, n=1)), name)
    found = f"{near[0]}/{name}{more}{tail}{query}{options}"
    return found if found != text else ""


def check_names(*names: str) -> None:
    """Refuses names that must not be recorded; call it before they are.

    Raises:
        InputError: a name holds a secret, or its options cannot be read.
    """
    for name in names:
        read_name(name)


def quoted(part: str) -> str:
    """Escapes a folder, a file or another value for a name."""
    return part.replace("%", "%25").replace("&", "%26").replace("?", "%3F")


def unquoted(head: str) -> str:
    """Reverses `quoted`."""
    return _ESCAPED.sub(lambda escape: urllib.parse.unquote(escape.group()), head)


# -- arguments of a class ------------------------------------------------------------------------------------

Maker = Callable[..., object]  # a class, or a function that makes the object

BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def typed(maker: Maker, options: Mapping[str, str], name: str) -> dict[str, object]:
    """Converts text options by the maker's annotations to bool, int or float, else leaves text.

    The options `call.a` and `call.b` become one mapping `call` with the texts a and b. Where the annotation
    takes a mapping or one value (`threshold`), both may be given: the one value stands under "".

    Raises:
        InputError: an option does not fit its annotation, or is given in two ways.
    """
    if not options:
        return {}
    try:
        hints = typing.get_type_hints(maker.__init__ if inspect.isclass(maker) else maker)
    except Exception:  # a name exists only for the type checker; then all options stay text
        hints = {}
    found: dict[str, object] = {}
    for key, value in options.items():
        head, dot, entry = key.partition(".")
        one = value if dot else _typed(value, hints.get(key), f"{name}: {key}")
        before = found.get(head, {})
        if not dot and head not in found:
            found[head] = one
        elif isinstance(before, dict) and dot:
            found[head] = {**before, entry: one}
        elif _takes_both(hints.get(head)):
            found[head] = {**before, "": one} if isinstance(before, dict) else {"": before, entry: one}
        else:
            raise InputError(f"{name}: {head!r} is given as one value and by name ({head}.NAME=VALUE)")
    return found


def _takes_both(hint: object) -> bool:
    """Whether an option takes a mapping or one value."""
    kinds = typing.get_args(hint)
    is_mapping = [typing.get_origin(kind) in (Mapping, dict) for kind in kinds]
    return any(is_mapping) and any(kind in (str, int, float) for kind in kinds)


def _typed(value: str, hint: object, where: str) -> object:
    # If text is allowed too, the class parses it and has the better message.
    kinds = typing.get_args(hint) or (hint,)
    if str in kinds:
        return value
    try:
        if bool in kinds:
            return BOOLEANS[value.lower()]
        if int in kinds:
            return int(value)
        return float(value) if float in kinds else value
    except (ValueError, KeyError) as error:
        wanted = "true or false" if bool in kinds else "a whole number" if int in kinds else "a number"
        raise InputError(f"{where} is {value!r}, not {wanted}") from error


def accepted(maker: Maker, options: Mapping[str, object]) -> dict[str, object]:
    """The options that the maker takes as arguments and that are not None."""
    try:
        parameters = inspect.signature(maker).parameters
    except (TypeError, ValueError):
        return {}
    return {k: v for k, v in options.items() if k in parameters and v is not None}


def check_arguments(maker: Maker, name: str, model: str, options: Mapping[str, object]) -> None:
    """Checks arguments before the maker is called.

    Args:
        model: the first positional argument, or "".

    Raises:
        InputError: the maker does not take an argument, or lacks one.
    """
    try:
        signature = inspect.signature(maker)
    except (TypeError, ValueError):  # written in C: the call itself checks
        return
    parameters = signature.parameters.values()
    by_place = [
        p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL)
    ]
    if model and not by_place:
        raise InputError(f"{name} takes no model name ({model!r})", fix=_options_line(parameters))
    given = by_place[:1] if model else []
    for key in options:
        _check_option(key, name, parameters, given)
    try:
        signature.bind(*([model] if model else []), **options)
    except TypeError as error:
        raise InputError(f"{name} cannot be made: {error}", fix=_options_line(parameters)) from error


def _check_option(key: str, name: str, parameters: Collection[inspect.Parameter], given: list[str]) -> None:
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    if key in given or (key not in names and not takes_any):
        raise no_such_option(name, key, names, _options_line(parameters))


def no_such_option(name: str, key: str, names: Collection[str], line: str) -> InputError:
    """The error for an option that nothing takes.

    Args:
        names: the options that there are; the nearest one is proposed.
        line: the sentence that lists them.
    """
    near = difflib.get_close_matches(key, names, n=1)
    fix = f"Did you mean {near[0]!r}? " if near and near[0] != key else ""
    return InputError(f"{name} takes no option {key!r}", fix=fix + line)


def own_options(maker: Maker) -> list[str]:
    """The names of the options that a maker takes by keyword."""
    return [p.name for p in inspect.signature(maker).parameters.values() if p.kind is p.KEYWORD_ONLY]


def _options_line(parameters: Iterable[inspect.Parameter]) -> str:
    names = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY or p.default is not p.empty]
    return f"Its options: {', '.join(names)}." if names else "It takes no options."


# -- importing a class ---------------------------------------------------------------------------------------


def import_maker(module_name: str, attribute: str, text: str) -> Maker:
    """Imports a class or factory function from a module.

    Args:
        text: the name that the user wrote, for messages.

    Raises:
        InputError: a missing extra, a module that cannot be imported, no such class in it.
    """
    module = _module(module_name, text)
    if not hasattr(module, attribute):
        classes = [n for n, value in vars(module).items() if inspect.isclass(value) and not n.startswith("_")]
        near = difflib.get_close_matches(attribute, classes, n=1)
        raise InputError(
            f"{text}: {module_name} has no {attribute!r}",
            where=str(getattr(module, "__file__", None) or ""),
            fix=f"Did you mean {near[0]!r}?"
            if near
            else f"Its classes: {', '.join(sorted(classes)) or 'none'}.",
        )
    maker: object = getattr(module, attribute)
    if not callable(maker):
        raise InputError(f"{text}: {attribute} is {type(maker).__name__}, not a class that can be made")
    return maker


def _module(name: str, text: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(error.name + ".")):
            raise InputError(
                f"{text}: no module {error.name!r}",
                fix="Is its package installed in this environment, or its file in the folder you stand in?",
            ) from error
        raise missing_package(text, error, f"{name} imports it") from error
    except (Exception, SystemExit) as error:
        raise InputError(f"{text}: importing {name} failed: {in_words(error)}") from error


def missing_package(text: str, error: ModuleNotFoundError, why: str = "") -> InputError:
    """The error for a missing package, with the command that installs it."""
    missing = error.name or ""
    if missing in EXTRAS:
        return InputError(f"{text} needs {missing}, which is not installed", fix=how_to_install(missing))
    package, dot, _ = missing.partition(".")
    fix = f"Install {package} into this environment" + (", in a version that has it." if dot else ".")
    return InputError(f"{text}: no module {missing!r}" + (f" ({why})" if why else ""), fix=package and fix)


def in_words(error: BaseException) -> str:
    """An error's type and text on one line, at most 400 characters of text."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"


# -- values of options ---------------------------------------------------------------------------------------

# Unquoted characters of an option's value, without %, & and #.
_PLAIN = "/:~ +()[],=?*!@$'{}|"
REASON_CHARS = 190  # a decision's reason stays under 200


def spell(head: str, **options: object) -> str:
    """Returns the name that recreates the object, `head?key=value&...`, without None options."""
    pairs = [
        f"{key}={urllib.parse.quote(_text(value), safe=_PLAIN)}"
        for key, value in options.items()
        if value is not None
    ]
    return f"{head}?{'&'.join(pairs)}" if pairs else head


def fraction(value: str | float, name: str, what: str = "threshold") -> float:
    """Reads a threshold, or another share.

    Raises:
        InputError: the value is not a number from 0 to 1.
    """
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:  # NaN fails this as well
        raise InputError(f"the {what} of {name} is {value!r}, not a number from 0 to 1")
    return number


def in_name(value: str) -> str:
    """Quotes a file or a list for the name of a filter or checker."""
    return urllib.parse.quote(value, safe="/:~ +()[],=")


def words(value: str) -> tuple[str, ...]:
    """Splits a comma-separated list."""
    return tuple(part for entry in value.split(",") if (part := entry.strip()))


def one_line(text: object, most: int = REASON_CHARS) -> str:
    """Makes untrusted text one printable line of at most `most` characters."""
    clean = " ".join("".join(c if c.isprintable() else " " for c in str(text)[: most * 8]).split())
    return clean if len(clean) <= most else clean[: most - 3] + "..."


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)
