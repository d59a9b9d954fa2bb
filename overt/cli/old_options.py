"""Options that several commands share, so that they are called and explained alike everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

CALLS = "Calls, caps and keys"
RUN = "The run"

Concurrency = Annotated[
    int, typer.Option(min=1, max=2048, help="Most requests in flight.", rich_help_panel=CALLS)
]
Rpm = Annotated[float | None, typer.Option(min=0.1, help="Most requests per minute.", rich_help_panel=CALLS)]
Timeout = Annotated[
    float, typer.Option(min=0.1, help="Seconds to wait for one answer.", rich_help_panel=CALLS)
]
Retries = Annotated[
    int,
    typer.Option(min=0, max=100, help="Retries of a request that failed on the way.", rich_help_panel=CALLS),
]
MaxRequests = Annotated[
    int | None,
    typer.Option(min=0, help="Stop after so many requests; resume later.", rich_help_panel=CALLS),
]
MaxCost = Annotated[
    float | None,
    typer.Option(min=0, help="Stop at so many US dollars; resume later.", rich_help_panel=CALLS),
]
Prices = Annotated[Path | None, typer.Option(help="YAML with your own prices.", rich_help_panel=CALLS)]
Json = Annotated[bool, typer.Option("--json", help="Print the summary as JSON.", rich_help_panel=RUN)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.", rich_help_panel=RUN)]


def reached(
    base_url: list[str] | None, api_key_env: list[str] | None, roles: set[str], run: Path | None
) -> tuple[dict[str, str], dict[str, str]]:
    """--base-url and --api-key-env by role; for roles that nothing is given for, those that `run` had."""
    from overt.data.store import RunStore, with_stored

    stored = RunStore.addresses(run) if run is not None else {}
    urls = by_role(base_url, "--base-url", roles)
    keys = by_role(api_key_env, "--api-key-env", roles)
    return with_stored(urls, stored.get("base_url", {})), with_stored(keys, stored.get("api_key_env", {}))


def by_role(values: list[str] | None, option: str, known: set[str]) -> dict[str, str]:
    """`judge=URL` and plain `URL` (for every role, key "") as a mapping.

    Raises:
        InputError: a role is named twice.
    """
    from overt.data.errors import InputError

    roles: dict[str, str] = {}
    for value in values or ():
        head, equals, tail = value.partition("=")
        role, rest = (head, tail) if equals and head in known else ("", value)
        if role in roles:
            raise InputError(
                f"{option} names {role or 'the same role'} twice", fix=f"Give {option} ROLE=... once a role."
            )
        roles[role] = rest
    return roles
