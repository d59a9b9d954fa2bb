"""Names to models: `provider/model`, by entry points, or a class of your own as `module:Class`.

Built-ins come in by the same door as a vendor's plugin: they are entry points of this package. Loading
this module loads no provider; a provider's file is imported when its name is used.

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
writes them. Options are the keyword arguments of the class, read by their annotations (bool, int, float, else
text). Keys and passwords have no place in a name: names are printed and recorded.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import inspect
import re
import sys
import typing
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overt.data.errors import InputError, OvertError

if TYPE_CHECKING:
    from overt.data.chat import ChatModel
    from overt.data.filters import ImageChecker, TextFilter
    from overt.data.judgements import RefusalJudge
    from overt.data.rewrites import FaithfulnessScorer
    from overt.data.targets import Target

# The entry points of pyproject.toml once more, for a checkout that is not installed; a test holds the two
# to each other.
BUILTIN: dict[str, dict[str, str]] = {
    "overt.chat_models": {
        "openai": "overt.generation.chat.openai:OpenAIChat",
        "hf": "overt.generation.chat.hf:HFChat",
    },
    "overt.targets": {
        "diffusers": "overt.generation.images.diffusers:DiffusersTarget",
        "openai": "overt.generation.images.openai:OpenAIImages",
        "google": "overt.generation.images.google:GoogleImages",
        "bfl": "overt.generation.images.bfl:BFLImages",
        "fal": "overt.generation.images.fal:FalImages",
        "stability": "overt.generation.images.stability:StabilityImages",
        "replicate": "overt.generation.images.replicate:ReplicateImages",
        "http": "overt.generation.images.http:HTTPTarget",
    },
    "overt.filters": {
        "keywords": "overt.scoring.filters.keywords:Keywords",
        "better-profanity": "overt.scoring.filters.better_profanity:BetterProfanity",
        "profanity-check": "overt.scoring.filters.profanity_check:ProfanityCheck",
        "openai-moderation": "overt.scoring.filters.openai_moderation:OpenAIModeration",
        "hf": "overt.scoring.filters.hf:HFClassifier",
        "llama-guard": "overt.scoring.filters.llama_guard:LlamaGuard",
    },
    "overt.checkers": {
        "diffusers": "overt.scoring.checkers.diffusers:DiffusersChecker",
        "nudenet": "overt.scoring.checkers.nudenet:NudeNetChecker",
        "hf": "overt.scoring.checkers.hf:HFImageClassifier",
        "vlm": "overt.scoring.checkers.vlm:VLMChecker",
        "openai-moderation": "overt.scoring.checkers.openai_moderation:OpenAIImageModeration",
    },
    "overt.rewriters": {"lexical": "overt.generation.lexical:Lexical"},
    "overt.scorers": {
        "clip": "overt.scoring.faithfulness.clip:ClipScorer",
        "text": "overt.scoring.faithfulness.text:TextScorer",
    },
    "overt.refusal_judges": {
        "rules": "overt.scoring.judges.rules:RulesJudge",
        "embedded": "overt.scoring.judges.embedded:EmbeddedJudge",
    },
    "overt.writers": {"grammar": "overt.generation.grammar:Grammar"},
    "overt.judges": {"rules": "overt.scoring.rules:Rules"},
}
# What stands before the first slash. Chat models have none: there the provider comes first.
_PREFIX = {
    "overt.chat_models": "",
    "overt.targets": "",
    "overt.filters": "filter",
    "overt.checkers": "checker",
    "overt.rewriters": "builtin",
    "overt.scorers": "",
    "overt.refusal_judges": "judge",
    "overt.writers": "builtin",
    "overt.judges": "builtin",
}
_ROLE = {
    "overt.chat_models": "chat model",
    "overt.targets": "target",
    "overt.filters": "text filter",
    "overt.checkers": "image checker",
    "overt.rewriters": "rewriter",
    "overt.scorers": "faithfulness scorer",
    "overt.refusal_judges": "refusal judge",
    "overt.writers": "writer",
    "overt.judges": "judge",
}
# What an object must have to play a role: its functions, besides a `name`.
MEMBERS: dict[str, tuple[str, ...]] = {
    "overt.chat_models": ("complete", "close"),
    "overt.targets": ("respond",),
    "overt.filters": ("decide",),
    "overt.checkers": ("check",),
    "overt.rewriters": ("rewrite",),
    "overt.scorers": ("score",),
    "overt.refusal_judges": ("judge",),
    "overt.writers": ("compose", "twins"),
    "overt.judges": ("audit_text",),
}
_COROUTINES = frozenset({"complete", "close"})
_EITHER = frozenset({"respond"})  # a plain function is run in a thread of its own
_EXTRAS = {
    "torch": "local",
    "transformers": "local",
    "diffusers": "local",
    "accelerate": "local",
    "nudenet": "filters",
    "open_clip": "local",
    "sentence_transformers": "local",
    "better_profanity": "filters",
    "profanity_check": "filters",
}
_OWN = re.compile(r"(?P<module>[^\W\d]\w*(?:\.[^\W\d]\w*)*):(?P<cls>[^\W\d]\w*)(?:/(?P<model>.+))?")
_SECRET = re.compile(r"key$|token$|secret|passw|credential|authorization", re.IGNORECASE)
_USERINFO = re.compile(r"://[^/@\s]*@")
# No more than these: a folder's name may well hold a %20.
_ESCAPED = re.compile("%(?:25|26|3F)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Name:
    """A name taken apart. `own` is (module, class) for a class of the user's own, else None and
    `provider` is an entry point's name."""

    text: str
    provider: str
    own: tuple[str, str] | None
    model: str
    options: Mapping[str, str]


def parse(group: str, spec: str) -> Name:
    """Takes a name apart; nothing is imported.

    Raises:
        InputError: it is no name of this group's form, or its options cannot be read.
    """
    head, options = _split(spec)
    if own := _OWN.fullmatch(head):
        return Name(spec, "", (own["module"], own["cls"]), own["model"] or "", options)
    prefix = _PREFIX[group]
    provider, slash, model = head.partition("/")
    if prefix:
        if provider != prefix or not model:
            raise InputError(
                f"{spec!r} is no {_ROLE[group]}",
                fix=f"Known: {known(group)}, or module:Class for one of your own.",
            )
        provider, _, model = model.partition("/")
    elif not slash or not provider or not model:
        raise InputError(
            f"{spec!r} is not a model's name", fix=f"Write provider/model ({known(group)}) or module:Class."
        )
    return Name(spec, provider, None, model, options)


@lru_cache(maxsize=8)
def providers(group: str) -> dict[str, tuple[str, ...]]:
    """Provider names of a group and where they stand ("module:Class"): built-ins, then plugins by name.

    More than one place means that installed packages quarrel over the name. A built-in's name cannot be
    taken: what `openai/...` means must not depend on what else is installed.
    """
    found: dict[str, set[str]] = {}
    for point in importlib.metadata.entry_points(group=group):
        if point.name not in BUILTIN[group]:
            found.setdefault(point.name, set()).add(point.value)
    plugins = {name: tuple(sorted(found[name])) for name in sorted(found)}
    return {name: (place,) for name, place in BUILTIN[group].items()} | plugins


def known(group: str) -> str:
    """The names of a group as a person would type them, for messages and help."""
    form = "{}/..." if not _PREFIX[group] else _PREFIX[group] + "/{}"
    return ", ".join(form.format(name) for name in providers(group))


def resolve(group: str, spec: str) -> Callable[..., Any]:
    """The class (or function that makes the object) that a name means; imported, not called.

    Raises:
        InputError: unknown provider, missing extra, a module that cannot be imported, no such class.
    """
    return _maker(group, parse(group, spec))


def load_chat_model(spec: str, **options: Any) -> ChatModel:
    """The chat model that `provider/model` or `module:Class[/model]` names.

    Args:
        options: keyword arguments for the class; options in the name itself win over these.

    Raises:
        InputError: unknown provider or option, missing extra, a class that lacks a member of the protocol.
    """
    model: ChatModel = _named(_make("overt.chat_models", spec, options), spec)
    return model


def load_target(spec: str, **options: Any) -> Target:
    """The target that `provider/model` or `module:Class[/model]` names.

    Args:
        options: keyword arguments for the class; those that it does not take are left out. Options in
            the name itself win over these, and must be known to the class.

    Raises:
        InputError: as `load_chat_model`.
    """
    target: Target = _named(_make("overt.targets", spec, taken("overt.targets", spec, options)), spec)
    return target


def load_checker(spec: str, **options: Any) -> ImageChecker:
    """The image checker that `checker/NAME[/MODEL][?key=value&...]` or `module:Class` names.

    Args:
        options: as in `load_target`.

    Raises:
        InputError: as `load_chat_model`.
    """
    checker: ImageChecker = _make("overt.checkers", spec, taken("overt.checkers", spec, options))
    return checker


def load_scorer(spec: str, **options: Any) -> FaithfulnessScorer:
    """The faithfulness scorer that `clip/MODEL`, `text/MODEL` ... or `module:Class` names.

    Args:
        options: as in `load_target`.

    Raises:
        InputError: as `load_chat_model`.
    """
    made = _make("overt.scorers", spec, taken("overt.scorers", spec, options))
    scorer: FaithfulnessScorer = _named(made, spec)
    return scorer


def load_refusal_judge(spec: str, **options: Any) -> RefusalJudge:
    """The offline refusal judge that `judge/rules`, `judge/embedded` or `module:Class` names.

    Raises:
        InputError: as `load_chat_model`.
    """
    judge: RefusalJudge = _make("overt.refusal_judges", spec, taken("overt.refusal_judges", spec, options))
    return judge


def _named(model: Any, spec: str) -> Any:
    """The model, under the name that the user wrote where that holds options: two judges may be one model
    at two endpoints, and records and journal tell them apart by name."""
    if "?" in spec or _ESCAPED.search(spec):
        try:
            model.name = spec
        except AttributeError as error:
            raise InputError(
                f"{spec}: its class does not let its name be set, so it can take no options in its name",
                fix="Make `name` a plain attribute.",
            ) from error
    return model


def taken(group: str, spec: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the options that the class of a name has among its arguments."""
    try:
        parameters = inspect.signature(resolve(group, spec)).parameters
    except (TypeError, ValueError):
        return {}
    return {k: v for k, v in options.items() if k in parameters and v is not None}


def load_filter(spec: str, **options: Any) -> TextFilter:
    """The text filter that `filter/NAME[/MODEL][?key=value&...]` or `module:Class` names.

    Raises:
        InputError: as `load_chat_model`.
    """
    text_filter: TextFilter = _make("overt.filters", spec, taken("overt.filters", spec, options))
    return text_filter


def check(*specs: str) -> None:
    """Refuses names that nobody may write down: to be called before a name is recorded. Imports nothing.

    Raises:
        InputError: a name holds a secret, or its options cannot be read.
    """
    for spec in specs:
        _split(spec)


def is_filter(spec: str) -> bool:
    """Whether a surrogate's name means a bare filter rather than a chat model.

    Raises:
        InputError: it is a class of the user's own and cannot be imported.
    """
    head, _ = _split(spec)
    if _OWN.fullmatch(head):
        return _has_members("overt.filters", resolve("overt.filters", spec))
    return head.partition("/")[0] == "filter"


def is_chat_model(spec: str) -> bool:
    """Whether a class of the user's own is a chat model.

    Raises:
        InputError: it cannot be imported.
    """
    return _has_members("overt.chat_models", resolve("overt.chat_models", spec))


def is_checker(spec: str) -> bool:
    """Whether a name means an image checker.

    Raises:
        InputError: it is a class of the user's own and cannot be imported.
    """
    head, _ = _split(spec)
    if _OWN.fullmatch(head):
        return _has_members("overt.checkers", resolve("overt.checkers", spec))
    return head.partition("/")[0] == "checker"


def find(group: str, spec: str) -> Any | None:
    """The writer or judge that `builtin/NAME` or `module:Class` names; None if it names a chat model.

    Raises:
        InputError: as `load_chat_model`.
    """
    head, _ = _split(spec)
    if _OWN.fullmatch(head):
        return _make(group, spec, {}) if _has_members(group, resolve(group, spec)) else None
    return _make(group, spec, {}) if head.partition("/")[0] == _PREFIX[group] else None


# -- taking names apart -----------------------------------------------------------------------------------


def quoted(part: str) -> str:
    """A folder, a file or another value as it is written inside a name."""
    return part.replace("%", "%25").replace("&", "%26").replace("?", "%3F")


def unquoted(head: str) -> str:
    """What stands before the question mark of a name, as it is called outside of names."""
    return _ESCAPED.sub(lambda found: urllib.parse.unquote(found.group()), head)


def _split(spec: str) -> tuple[str, dict[str, str]]:
    head, _, query = spec.partition("?")
    head = unquoted(head)
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
    return head, options


def _maker(group: str, name: Name) -> Callable[..., Any]:
    if name.own is not None:
        module_name, attribute = name.own
        # The user's own file in the folder where overt was started. Last in line, so that a file called
        # datasets.py does not take the place of a package.
        here = str(Path.cwd())
        if here not in sys.path:
            sys.path.append(here)
            importlib.invalidate_caches()
    else:
        table = providers(group)
        if name.provider not in table:
            raise _unknown(group, name)
        places = table[name.provider]
        if len(places) > 1:
            raise InputError(
                f"{name.text}: several installed packages offer {name.provider!r}",
                fix="Name the class itself: " + " or ".join(places),
            )
        module_name, _, attribute = places[0].partition(":")
    module = _module(module_name, name.text)
    if not hasattr(module, attribute):
        classes = [n for n, value in vars(module).items() if inspect.isclass(value) and not n.startswith("_")]
        near = difflib.get_close_matches(attribute, classes, n=1)
        raise InputError(
            f"{name.text}: {module_name} has no {attribute!r}",
            where=str(getattr(module, "__file__", None) or ""),
            fix=f"Did you mean {near[0]!r}?"
            if near
            else f"Its classes: {', '.join(sorted(classes)) or 'none'}.",
        )
    maker = getattr(module, attribute)
    if not callable(maker):
        raise InputError(f"{name.text}: {attribute} is {type(maker).__name__}, not a class that can be made")
    return typing.cast("Callable[..., Any]", maker)


def _unknown(group: str, name: Name) -> InputError:
    near = difflib.get_close_matches(name.provider, providers(group), n=1, cutoff=0.5)
    guess = f"Did you mean {name.text.replace(name.provider, near[0], 1)!r}? " if near else ""
    return InputError(
        f"{name.text}: there is no {_ROLE[group]} {name.provider!r}",
        fix=f"{guess}Known: {known(group)}, or module:Class for one of your own.",
    )


def _module(name: str, spec: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(error.name + ".")):
            raise InputError(
                f"{spec}: no module {error.name!r}",
                fix="Is its package installed in this environment, or its file in the folder you stand in?",
            ) from error
        raise _missing(spec, error, f"{name} imports it") from error
    except (Exception, SystemExit) as error:
        raise InputError(f"{spec}: importing {name} failed: {_words(error)}") from error


def _missing(spec: str, error: ModuleNotFoundError, why: str = "") -> InputError:
    missing = error.name or ""
    if missing in _EXTRAS:
        return InputError(
            f"{spec} needs {missing}, which is not installed", fix=f'pip install "overt[{_EXTRAS[missing]}]"'
        )
    package, dot, _ = missing.partition(".")
    fix = f"Install {package} into this environment" + (", in a version that has it." if dot else ".")
    return InputError(f"{spec}: no module {missing!r}" + (f" ({why})" if why else ""), fix=package and fix)


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"


# -- making ---------------------------------------------------------------------------------------------


def _make(group: str, spec: str, options: Mapping[str, Any]) -> Any:
    name = parse(group, spec)
    maker = _maker(group, name)
    if inspect.isclass(maker):  # said before anything is made: making a model may take minutes
        _check_members(group, spec, maker)
    args = (name.model,) if name.model else ()
    options = dict(options) | _typed(maker, name)
    _check_arguments(maker, spec, args, options)
    try:
        made = maker(*args, **options)
    except OvertError:
        raise
    except ModuleNotFoundError as error:
        raise _missing(spec, error) from error
    except (Exception, SystemExit) as error:
        raise InputError(f"{spec} cannot be made: {_words(error)}") from error
    _check_members(group, spec, made)
    if not isinstance(getattr(made, "name", None), str) or not made.name.strip():
        raise InputError(f"{spec} has no name", fix="Give it an attribute such as  name = 'vendor/model'.")
    return made


def _typed(maker: Callable[..., Any], name: Name) -> dict[str, Any]:
    """The options of a name as the class's annotations want them."""
    if not name.options:
        return {}
    try:
        hints = typing.get_type_hints(maker.__init__ if inspect.isclass(maker) else maker)
    except Exception:  # names that exist for the type checker only; then all options are text
        hints = {}
    typed: dict[str, Any] = {}
    for key, value in name.options.items():
        hint = hints.get(key)
        # Where text is allowed too the class reads it itself, and can say more than "not a number".
        kinds: tuple[Any, ...] = () if hint is None else typing.get_args(hint) or (hint,)
        kind = next((k for k in (bool, int, float) if k in kinds and str not in kinds), None)
        try:
            typed[key] = value if kind is None else _boolean(value) if kind is bool else kind(value)
        except ValueError as error:
            wanted = {bool: "true or false", int: "a whole number", float: "a number"}[kind or str]
            raise InputError(f"{name.text}: {key} is {value!r}, not {wanted}") from error
    return typed


def _boolean(value: str) -> bool:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if value.lower() not in words:
        raise ValueError(value)
    return words[value.lower()]


def _check_arguments(
    maker: Callable[..., Any], spec: str, args: tuple[Any, ...], options: Mapping[str, Any]
) -> None:
    try:
        signature = inspect.signature(maker)
    except (TypeError, ValueError):  # made in C: it will complain by itself
        return
    parameters = signature.parameters.values()
    positional = [
        p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL)
    ]
    if args and not positional:
        raise InputError(f"{spec} takes no model name ({args[0]!r})", fix=_options_line(parameters))
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    taken = {p.name for p in positional[: len(args)]}
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    for key in options:
        if (key not in names and not takes_any) or key in taken:
            near = difflib.get_close_matches(key, names, n=1)
            fix = f"Did you mean {near[0]!r}? " if near and near[0] != key else ""
            raise InputError(f"{spec} takes no option {key!r}", fix=fix + _options_line(parameters))
    try:
        signature.bind(*args, **options)
    except TypeError as error:
        raise InputError(f"{spec} cannot be made: {error}", fix=_options_line(parameters)) from error


def _options_line(parameters: typing.Iterable[inspect.Parameter]) -> str:
    names = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY or p.default is not p.empty]
    return f"Its options: {', '.join(names)}." if names else "It takes no options."


def _has_members(group: str, thing: Any) -> bool:
    return all(callable(getattr(thing, member, None)) for member in MEMBERS[group])


def _check_members(group: str, spec: str, thing: Any) -> None:
    missing = [f"{m}()" for m in MEMBERS[group] if not callable(getattr(thing, m, None))]
    all_members = ", ".join(["name", *(f"{m}()" for m in MEMBERS[group])])
    if missing:
        raise InputError(
            f"{spec} is no {_ROLE[group]}: it lacks {', '.join(missing)}",
            fix=f"A {_ROLE[group]} has: {all_members} (see CONTRIBUTING.md).",
        )
    for member in MEMBERS[group]:
        function = inspect.unwrap(getattr(thing, member))
        if not (inspect.isfunction(function) or inspect.ismethod(function)):
            continue  # another callable: what it gives back cannot be told beforehand
        if member in _EITHER:
            continue
        if inspect.iscoroutinefunction(function) != (member in _COROUTINES):
            word = "is not" if member in _COROUTINES else "is"
            raise InputError(
                f"{spec}: {member}() {word} a coroutine",
                fix=f"Write it as  {'async ' * (word == 'is not')}def {member}.",
            )
