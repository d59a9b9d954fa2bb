"""A configuration model as a command: each field becomes the option or argument that it declares."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar, cast

import typer

from overt.cli.completion import completer
from overt.data.errors import InputError
from overt.tasks.config import Config, Field
from overt.tasks.option import Reads

C = TypeVar("C", bound=Config)
Command = Callable[..., None]
# Typer fills this parameter with what it knows of the call.
_CONTEXT = "context_"
_ABOUT = inspect.Parameter(_CONTEXT, inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)


def command(config: type[C]) -> Callable[[Callable[[C], None]], Command]:
    """Makes a Typer command of a function that takes a configuration.

        @command(GenerateConfig)
        def generate(config: GenerateConfig) -> None: ...

    The function's docstring is the command's help, after the line that overt.cli.COMMANDS has for it.
    """
    fields = config.fields()

    def decorated(handler: Callable[[C], None]) -> Command:
        def run(**values: object) -> None:
            context = cast("typer.Context | None", values.pop(_CONTEXT, None))
            handler(_configured(config, fields, values, _named(context)))

        run.__name__, run.__doc__, run.__module__ = handler.__name__, handler.__doc__, handler.__module__
        parameters = [*(_parameter(field) for field in fields.values()), _ABOUT]
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return run

    return decorated


def _configured(
    config: type[C], fields: dict[str, Field], values: dict[str, object], named: frozenset[str]
) -> C:
    """The configuration of what Typer read; options that were left out are left to their defaults. One that
    was given with its default counts as given: it goes before a recipe's."""
    given = {
        name: _read(field, values[name])
        for name, field in fields.items()
        if values[name] is not None and (not field.is_default(values[name]) or name in named)
    }
    return config.made(given)


def _named(context: typer.Context | None) -> frozenset[str]:
    """The options that the command line names."""
    if context is None:  # called as a function
        return frozenset()
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return frozenset(name for name, source in sources.items() if source and source.name == "COMMANDLINE")


def _read(field: Field, value: object) -> object:
    if not field.option.reads or not isinstance(value, Path):
        return value
    return read_value(value, field.option.reads, field.flag)


def read_value(path: Path, reads: Reads, flag: str) -> str | tuple[str, ...]:
    """What a file gives as an option's value: its text, or its lines that are not empty.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        text = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the file of {flag}: {error}", where=str(path)) from error
    if reads == "text":
        return text
    return tuple(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))


def _parameter(field: Field) -> inspect.Parameter:
    """One parameter as Typer reads it from a function's signature."""
    option = field.option
    base = Path if option.reads else field.base
    annotation: object = base
    default = field.default
    if field.is_list and not option.reads:
        annotation = list[base]  # type: ignore[valid-type]
        default = None if field.default == () else field.default
    elif option.reads:
        default = None
    if default is None and not field.is_required:
        annotation = annotation | None  # type: ignore[operator]
    return inspect.Parameter(
        field.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if field.is_required else default,
        annotation=Annotated[annotation, _declared(field)],
    )


def _declared(field: Field) -> object:
    option = field.option
    least, most = (None, None) if option.reads else (option.min, option.max)
    proposes = completer(option.completes) if option.completes else None
    if option.is_argument:
        return typer.Argument(
            help=option.help or None, metavar=option.metavar, min=least, max=most, autocompletion=proposes
        )
    return typer.Option(
        *_flags(field),
        help=option.help or None,
        metavar=option.metavar,
        rich_help_panel=option.panel or None,
        show_default=option.shown_default or True,
        min=least,
        max=most,
        autocompletion=proposes,
    )


def _flags(field: Field) -> list[str]:
    """The spellings of an option. A switch that is off has no opposite; one that is on has --no-NAME."""
    if field.option.flag.startswith("--") and field.base is not bool:
        return [field.option.flag]
    first = field.flag
    if field.base is not bool:
        return [first]
    if field.default:
        return [field.option.flag or f"{first}/--no-{first.removeprefix('--')}"]
    return [first, *(f for f in field.option.flag.split("/")[1:] if f.startswith("-"))]
