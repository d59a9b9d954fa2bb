"""Asks before a run's folder decides where keys and prompts go, or which code runs.

`--resume`, `overt rewrite` and `overt score` take the models of a run from its folder, which may be another
person's or may have been edited. What this user has not named in a command of their own (see
`overt.data.known_places`) is shown, and needs a yes at the terminal or --trust-addresses:

    an address that is not the provider's own, with the variable whose key goes there
    a variable that is not the provider's usual one
    the address of an HTTP target's file, and the variables in it
    a class or function of the user's own, which would be imported and called
"""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from overt import registry
from overt.data.errors import InputError
from overt.data.known_places import is_known, remember
from overt.data.plugins.names import Name, read_name
from overt.data.plugins.wrapped import inside
from overt.data.run.folder import Addresses
from overt.data.secrets import has_lost_keys, variables, without_keys
from overt.data.text import plain, visible
from overt.tasks.targets import TargetSpec

FLAG = "--trust-addresses"
# Classes that take None for the provider's own address, by their provider.
_OWN_ADDRESSES = {"openai": "https://api.openai.com/v1"}
_GROUPS = ("overt.chat_models", "overt.targets", "overt.filters", "overt.checkers", "overt.scorers",
           "overt.refusal_judges")  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Where a model's requests go, or what code it is.

    address: "" for the provider's own. variables: of the keys that are sent there; () for the usual one.
    code: the class of the user's own, with its options; then the others are empty.
    """

    model: str
    address: str = ""
    variables: tuple[str, ...] = ()
    code: str = ""

    @property
    def key(self) -> str:
        """What is remembered. The provider belongs to it: its own address stands in it as nothing."""
        provider = "" if self.address or self.code else self.model.partition("/")[0]
        return "\n".join((provider, self.address, *self.variables, self.code))

    @property
    def words(self) -> str:
        if self.code:
            return f"{self.code}: code of its own, which would be run"
        keys = f" with the key in {', '.join(self.variables)}" if self.variables else " without a key"
        return f"{self.model}: {self.address or 'the address of the provider'}{keys}"


def places_of(
    specs: Iterable[TargetSpec], models: Mapping[str, Iterable[str]], addresses: Addresses
) -> list[Place]:
    """The places that a run reaches besides the providers' own.

    Args:
        specs: its targets.
        models: the names of its other models, by role.
        addresses: by option and role, as the run would use them.

    Raises:
        InputError: a name cannot be read, or an HTTP target's file cannot be used.
    """
    found = [place for role, name in _named(specs, models) for place in _places(role, name, addresses)]
    return list(dict.fromkeys(found))


def settle(
    run: Path | None,
    specs: Sequence[TargetSpec],
    models: Mapping[str, Iterable[str]],
    addresses: Addresses,
    typed: Addresses,
    *,
    trusted: bool,
    sends: bool = True,
) -> None:
    """Remembers what a new run reaches, or lets the user confirm what a run's folder names and they have not.

    Args:
        run: the folder that the targets and models were taken from; None where this command names them.
        specs, models, addresses: as in `places_of`.
        typed: the addresses that this command names.
        trusted: whether the user said --trust-addresses.
        sends: whether requests will be made, for which a key that was not recorded is missing.

    Raises:
        InputError: as `places_of`; or there are such places, and no terminal, no flag, or no yes; or a key
            that stood in an address was not recorded.
    """
    if run is not None and sends:
        _refuse_lost_keys(run, specs, models, addresses)
    places = places_of(specs, models, addresses)
    if run is not None and not trusted:
        known = {place.key for place in _typed(specs, models, typed)}
        new = [place for place in places if place.key not in known and not is_known(place.key)]
        if new:
            _confirm(run, new)
    remember(place.key for place in places)


def _typed(specs: Iterable[TargetSpec], models: Mapping[str, Iterable[str]], typed: Addresses) -> list[Place]:
    """The places of models whose names say nothing of where they are, at the addresses of this command."""
    bare = [
        dataclasses.replace(
            spec,
            target=spec.target if spec.target and _is_bare(spec.target) else None,
            filters=tuple(filter(_is_bare, spec.filters)),
            checkers=tuple(filter(_is_bare, spec.checkers)),
        )
        for spec in specs
    ]
    return places_of(bare, {role: filter(_is_bare, names) for role, names in models.items()}, typed)


def _is_bare(text: str) -> bool:
    inner = inside(text)
    return "?" not in inner and not inner.startswith("http/") and not read_name(inner).own


def _refuse_lost_keys(
    run: Path, specs: Iterable[TargetSpec], models: Mapping[str, Iterable[str]], addresses: Addresses
) -> None:
    for option, by_role in addresses.items():
        for value in filter(has_lost_keys, by_role.values()):
            flag = f"--{option.replace('_', '-')}"
            raise InputError(
                f"the address {plain(value)} of this run had a key in it, which no record keeps",
                where=str(run),
                fix=f"Give {flag} again; with ${{VARIABLE}} in place of the key it is recorded whole.",
            )
    for _, name in _named(specs, models):
        if has_lost_keys(name):
            raise InputError(
                f"the key in {plain(name)} was not recorded",
                where=str(run),
                fix="Give the whole command again instead of --resume, with --out and this folder. With "
                "${VARIABLE} in place of the key it is recorded whole.",
            )


def _named(specs: Iterable[TargetSpec], models: Mapping[str, Iterable[str]]) -> list[tuple[str, str]]:
    """The names of a run's models, each with its role."""
    parts = [name for spec in specs for name in (*spec.filters, spec.target, *spec.checkers) if name]
    return [
        *(("target", name) for name in parts),
        *((role, n) for role, names in models.items() for n in names),
    ]


def _confirm(run: Path, places: Sequence[Place]) -> None:
    lines = "".join(f"\n    {plain(without_keys(place.words))}" for place in places)
    what = f"this run's folder names what no command of yours has named:{lines}"
    if sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty():
        print(f"overt: {run}: {visible(what)}\nGo on? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() in ("y", "yes"):
            return
    raise InputError(
        what,
        where=str(run),
        fix=f"Nothing was sent. If all of it is right, say {FLAG}. Else name your own with --base-url and "
        "--api-key-env, or make a new run.",
    )


class Named(Protocol):
    """The configuration of a command that names models."""

    @property
    def trust_addresses(self) -> bool: ...

    def addresses(self, run: Path | None = None) -> Addresses: ...


def settled_addresses(config: Named, run: Path | None, specs: Sequence[TargetSpec] = ()) -> Addresses:
    """The addresses of a new run, or of the one in the folder `run`, once they are settled.

    Raises:
        InputError: as `settle`.
    """
    found = config.addresses(run)
    settle(run, specs, models_of(config), found, config.addresses(), trusted=config.trust_addresses)
    return found


def models_of(config: object) -> dict[str, list[str]]:
    """The names in the fields of a configuration that name models, by role. Built-in and offline ones reach
    nothing, and are left to `places_of`."""
    found: dict[str, list[str]] = {}
    for role in ("model", "judge", "probe", "guard", "analyst", "intended"):
        value = getattr(config, role, None)
        names = [value] if isinstance(value, str) else list(value or ())
        found[role] = [name.removeprefix("judge/") if name.count("/") > 1 else name for name in names]
    return found


# -- one name ------------------------------------------------------------------------------------------------


def _places(role: str, text: str, addresses: Addresses) -> Iterator[Place]:
    name = read_name(inside(text))
    if name.own:
        yield Place(name.text, code=name.text)
        return
    if name.provider == "http":
        yield from _http(name)
        return
    if (usual := _usual(name)) is not None:
        yield from _of_service(role, name, addresses, *usual)


def _of_service(role: str, name: Name, addresses: Addresses, own: str, usual: str) -> Iterator[Place]:
    """The places of a model of a service, whose own address and usual variable are given."""
    address = name.options.get("base_url") or _by_role(addresses, "base_url", role)
    variable = name.options.get("api_key_env") or _by_role(addresses, "api_key_env", role) or usual
    address = "" if address.rstrip("/") == own.rstrip("/") else address
    # The other options of a class may be addresses too.
    others = [value for option, value in name.options.items() if "://" in value and option != "base_url"]
    model = name.text.partition("?")[0]
    if address or variable != usual:
        yield Place(model, address, _variables(variable, address))
    for other in others:
        yield Place(model, other, _variables(variable, other))


def _variables(key: str, address: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*([key] if key else []), *variables(address)]))


def _by_role(addresses: Addresses, option: str, role: str) -> str:
    known = addresses.get(option, {})
    return known.get(role, known.get("", ""))


def _http(name: Name) -> Iterator[Place]:
    from overt.generation.images.http_file import read_http_file

    file = read_http_file(name.model)
    named = [v for text in (file.url, *file.headers.values(), *file.query.values()) for v in variables(text)]
    hosts = file.poll.hosts if file.poll is not None else ()
    polled = [file.poll.url] if file.poll is not None and isinstance(file.poll.url, str) else []
    address = " ".join((file.url, *polled, *hosts))
    yield Place(name.text, address, tuple(dict.fromkeys(named)))


def _usual(name: Name) -> tuple[str, str] | None:
    """A provider's own address and usual variable; None for a model that takes neither."""
    for group in _GROUPS:
        if name.provider != registry.POINTS[group].prefix and name.provider not in registry.providers(group):
            continue
        try:
            options = inspect.signature(registry.resolve(group, name.text)).parameters
        except (InputError, TypeError, ValueError):
            continue
        if options.keys() & {"base_url", "api_key_env"}:
            own, variable = (_default(options.get(option)) for option in ("base_url", "api_key_env"))
            return own or _OWN_ADDRESSES.get(name.provider, ""), variable
    return None


def _default(option: inspect.Parameter | None) -> str:
    return option.default if option is not None and isinstance(option.default, str) else ""
