"""Configurations of commands: one typed model for each command, whose fields are its options.

The fields define the command line (overt.cli.options), `run.json`, the run's identity, `--resume`, and the
command that rebuilds a run. `tasks/generate_config.py` is an example; shared options are below.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, ClassVar, Literal, TypeVar, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError
from pydantic_core import PydanticUndefined

from overt.calls.options import CallerOptions
from overt.data.errors import InputError
from overt.data.json_types import Json, JsonObject
from overt.data.run.folder import Addresses, read_addresses, with_stored
from overt.tasks.option import Decides
from overt.tasks.option import Option as Option
from overt.tasks.roles import ModelOptions
from overt.workers.spread import checked

C = TypeVar("C", bound="Config")

CALLS = "Calls, caps and keys"
RUN = "The run"


@dataclass(frozen=True)
class Field:
    """A field of a configuration with its declared option.

    `base` is the type of one value: str, int, float, bool or Path; `is_list` whether there may be several.
    """

    name: str
    option: Option
    base: type
    is_list: bool
    is_required: bool
    default: object

    @property
    def flag(self) -> str:
        """Its spelling on the command line: `--per-seed`, or the name of an argument."""
        if self.option.is_argument:
            return self.option.metavar or self.name.upper()
        return self.option.flag.partition("/")[0] or f"--{self.name.replace('_', '-')}"

    def is_default(self, value: object) -> bool:
        return not self.is_required and value == self.default


class Config(BaseModel):
    """The configuration of one command."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: ClassVar[str] = ""
    left_out: ClassVar[frozenset[str]] = frozenset()  # inherited fields that are no option of this command

    @classmethod
    def fields(cls) -> dict[str, Field]:
        """Every field by name, those of one panel together, panels in the order of their first field."""
        found = {name: _field(name, info.annotation, info.metadata, info.default, info.is_required())
                 for name, info in cls.model_fields.items()}  # fmt: skip
        names: list[str] = []
        for base in (cls, *(c for c in cls.__mro__ if c is not cls)):  # a redeclared field keeps its place
            inherited = {n for c in base.__mro__[1:] for n in vars(c).get("__annotations__", ())}
            names += [n for n in vars(base).get("__annotations__", ()) if n in found and n not in inherited]
        names = [name for name in names if name not in cls.left_out]
        ranks: dict[str, int] = {}
        for name in names:
            if found[name].option.panel not in (CALLS, RUN):
                ranks.setdefault(found[name].option.panel, len(ranks))
        ranks |= {CALLS: len(ranks), RUN: len(ranks) + 1}
        return {name: found[name] for name in sorted(names, key=lambda n: ranks[found[n].option.panel])}

    @classmethod
    def made(cls: type[C], values: Mapping[str, object]) -> C:
        """The configuration of these values.

        Raises:
            InputError: a value is of the wrong type or out of its bounds; the message names the option.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise _spoken(cls, error) from error

    def settled(self: C) -> C:
        """Fills in defaults that depend on other fields, such as the judge."""
        return self

    def decided(self, by: Decides = "value") -> dict[str, Json]:
        """The fields with this `decides`, as JSON data."""
        names = {name for name, field in self.fields().items() if field.option.decides == by}
        data: dict[str, Json] = self.settled().model_dump(mode="json", include=names)
        return data

    @classmethod
    def defaults(cls) -> dict[str, Json]:
        """Defaults of the deciding fields, for records that lack them."""
        names = {name for name, field in cls.fields().items() if field.option.decides == "value"}
        data: dict[str, Json] = cls.model_construct().model_dump(mode="json", include=names)
        return data

    def resumed(self: C, config: JsonObject, given: JsonObject, *, by: str = "--resume") -> C:
        """The configuration of an earlier run: deciding options come from its record, others from this
        command line.

        Raises:
            InputError: a deciding option has a new value, or the record's values are invalid.
        """
        fields = self.fields()
        told = [n for n in self.model_fields_set if not fields[n].is_default(getattr(self, n))]
        plain = self.model_dump(mode="json")
        wrong = [
            fields[n].flag
            for n in told
            if fields[n].option.decides == "policy"
            or (fields[n].option.decides == "value" and plain[n] != config.get(n))
        ]
        if wrong:
            raise InputError(
                f"{by} takes a run as it was started",
                fix=f"Leave out {', '.join(wrong)}, or leave out {by}.",
            )
        known: dict[str, object] = {**given, **config}
        known = {n: v for n, v in known.items() if n in fields}
        return self.made(known | {n: getattr(self, n) for n in told})


def _field(name: str, annotation: object, metadata: list[object], default: object, required: bool) -> Field:
    option = next((m for m in metadata if isinstance(m, Option)), Option())
    base, is_list = _base(annotation)
    return Field(name, option, base, is_list, required, None if default is PydanticUndefined else default)


def _base(annotation: object) -> tuple[type, bool]:
    """The type of one value, and whether there may be several: `tuple[str, ...]` gives (str, True)."""
    if get_origin(annotation) in (Union, UnionType):
        annotation = next(a for a in get_args(annotation) if a is not NoneType)
    if get_origin(annotation) is tuple:
        return _base(get_args(annotation)[0])[0], True
    if get_origin(annotation) is Literal:
        return str, False
    assert isinstance(annotation, type), annotation
    return annotation, False


def _spoken(cls: type[Config], error: ValidationError) -> InputError:
    """The first validation error, as an InputError that names the option."""
    first = error.errors()[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    field = cls.fields().get(name)
    if field is None:
        return InputError(f"{name}: {first['msg']}", fix=f"Known: {', '.join(cls.fields())}")
    where = {"literal_error": f"Give {first.get('ctx', {}).get('expected', '').replace(chr(39), '')}."}
    message = first["msg"].removeprefix("Value error, ")
    said = f"{field.flag} is {first['input']!r}"
    return InputError(
        said if first["type"] in where else f"{said}: {message}", fix=where.get(first["type"], "")
    )


# -- options that several commands share ------------------------------------------------------------------


KeyNames = Annotated[
    tuple[str, ...],
    Option("Environment variable that holds the key. Repeatable.", CALLS, metavar="[ROLE=]NAME"),
]
Concurrency = Annotated[int, Option("Most requests in flight.", CALLS, min=1, max=2048)]
Workers = Annotated[
    str,
    Option(
        "Processes for models of this machine, each with a GPU of its own; or ray: one for each GPU of a "
        "Ray cluster (RAY_ADDRESS, else this machine; ray:4 for four). Results are the same.",
        CALLS,
        metavar="N|ray",
    ),
    AfterValidator(checked),
]
Timeout = Annotated[float, Option("Seconds to wait for one answer.", CALLS, min=0.1)]


class CallConfig(Config):
    """Pace and caps of calls. Of these options only `codes` affects results."""

    concurrency: Concurrency = 32
    rpm: Annotated[float | None, Option("Most requests per minute.", CALLS, min=0.1)] = None
    timeout: Timeout = 120.0
    retries: Annotated[int, Option("Retries of a request that failed on the way.", CALLS, min=0, max=100)] = 6
    max_requests: Annotated[
        int | None, Option("Stop after so many requests; resume later.", CALLS, min=0)
    ] = None
    max_cost: Annotated[float | None, Option("Stop at so many US dollars; resume later.", CALLS, min=0)] = (
        None
    )
    prices: Annotated[Path | None, Option("YAML with your own prices.", CALLS)] = None
    codes: Annotated[
        Path | None,
        Option(
            "YAML with your own words for refusals and errors of services; it goes before overt's.",
            CALLS,
            decides="content",
        ),
    ] = None
    pay_again: Annotated[
        bool, Option("Make calls again whose journal is gone, or whose batch may have been begun.", CALLS)
    ] = False
    batch: Annotated[
        bool, Option("By the batch APIs of the providers: about half the price, within a day.", CALLS)
    ] = False
    batch_wait: Annotated[
        float | None,
        Option(
            "Wait at most so many minutes for batches, then end with exit code 5. 0: send them and leave. "
            "Default: until they are over.",
            CALLS,
            metavar="MINUTES",
            min=0,
        ),
    ] = None
    batch_cancel: Annotated[
        bool,
        Option(
            "Cancel the batches of this run that are under way, keep what is done, and send nothing.", CALLS
        ),
    ] = False

    @property
    def caller(self) -> CallerOptions:
        return CallerOptions(
            self.concurrency,
            self.rpm,
            self.timeout,
            self.retries,
            self.max_requests,
            self.max_cost,
            self.prices,
            self.codes,
            self.pay_again,
            self.batch,
            self.batch_wait,
            self.batch_cancel,
        )


class ReachConfig(Config):
    """Endpoints and keys of models. `roles` lists the roles that may have their own."""

    roles: ClassVar[frozenset[str]] = frozenset()

    base_url: Annotated[
        tuple[str, ...], Option("OpenAI-compatible endpoint.", CALLS, metavar="[ROLE=]URL")
    ] = ()
    api_key_env: Annotated[
        tuple[str, ...],
        Option("Environment variable that holds the key.", CALLS, metavar="[ROLE=]NAME"),
    ] = ()

    def addresses(self, run: Path | None = None) -> dict[str, dict[str, str]]:
        """Addresses by option and role ("" for all roles); those not given come from the resumed `run`.

        Raises:
            InputError: a role is named twice.
        """
        stored: Addresses = read_addresses(run) if run is not None else {}
        given = {"base_url": self.base_url, "api_key_env": self.api_key_env}
        return {
            name: with_stored(by_role(values, self.fields()[name].flag, self.roles), stored.get(name, {}))
            for name, values in given.items()
        }


class LocalConfig(Config):
    """How models of this machine are loaded."""

    device: Annotated[str | None, Option("Device of local models.", CALLS)] = None
    batch_size: Annotated[int | None, Option("Batch of local models.", CALLS, min=1, max=1024)] = None
    workers: Workers = "1"


class TrustConfig(LocalConfig):
    trust_remote_code: Annotated[bool, Option("Run code that a model's repo brings.", CALLS)] = False


class ModelConfig(ReachConfig, CallConfig, TrustConfig):
    """All options about models: endpoints, loading and calls."""

    def models(self, addresses: Addresses) -> ModelOptions:
        """How models are made.

        Args:
            addresses: as `addresses` gives them.
        """
        return ModelOptions(
            base_url=dict(addresses["base_url"]),
            api_key_env=dict(addresses["api_key_env"]),
            device=self.device,
            batch_size=self.batch_size or 8,
            trust_remote_code=self.trust_remote_code,
            timeout=self.timeout,
            workers=self.workers,
        )


TrustAddresses = Annotated[
    bool,
    Option(
        "Go on with a run whose folder names addresses, key variables or classes that no command of yours "
        "has named; without it they are shown, and asked about at a terminal.",
        CALLS,
    ),
]
Resume = Annotated[
    Path | None,
    Option(
        "Go on with this run, as it was started, at the addresses that it had (unless --base-url or "
        "--api-key-env is given). --max-cost and --max-requests hold for one process: give them again.",
        RUN,
        metavar="RUN",
    ),
]


PartOption = Annotated[
    str | None,
    Option(
        "Only this part of the prompts, such as 1/4. It stays out of the run's results until `overt merge` "
        "has all parts.",
        RUN,
        metavar="I/N",
    ),
]


class OutputConfig(Config):
    """What is printed."""

    as_json: Annotated[bool, Option("Print the summary as JSON.", RUN, flag="--json")] = False
    quiet: Annotated[bool, Option("No progress.", RUN, flag="--quiet/-q")] = False


def by_role(values: tuple[str, ...], option: str, known: frozenset[str]) -> dict[str, str]:
    """`judge=URL` and plain `URL` (for every role, key "") as a mapping.

    Raises:
        InputError: a role is named twice.
    """
    roles: dict[str, str] = {}
    for value in values:
        head, equals, tail = value.partition("=")
        role, rest = (head, tail) if equals and head in known else ("", value)
        if role in roles:
            raise InputError(
                f"{option} names {role or 'the same role'} twice", fix=f"Give {option} ROLE=... once a role."
            )
        roles[role] = rest
    return roles


def checked_folder(path: Path | None, flag: str) -> Path | None:
    """The folder that an option names.

    Raises:
        InputError: it is no folder.
    """
    if path is not None and not path.is_dir():
        raise InputError(f"{flag} is not a folder", where=str(path))
    return path
