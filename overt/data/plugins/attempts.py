"""One attempt at a target, whatever its class does: an exception is a datum, not the run's end."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import inspect

from overt.data.plugins.faults import fault, of_response, raised
from overt.data.targets import Response, Target


async def call_target(target: Target, prompt: str, seed: int) -> Response:
    """One attempt; a plain function runs in a thread. What it raises, or gives back instead of a response,
    is a datum, not the run's end."""
    try:
        if inspect.iscoroutinefunction(target.respond):
            response = await target.respond(prompt, seed=seed)
        else:
            response = await asyncio.to_thread(target.respond, prompt, seed=seed)  # type: ignore[arg-type]
    except (asyncio.CancelledError, TimeoutError):
        raise
    except Exception as error:
        return Response(error=fault(target.name, raised(target, error)))
    if wrong := of_response(response):
        return Response(error=fault(target.name, wrong))
    # Services say None where they have no word; everything behind this reads texts.
    return dataclasses.replace(
        response,
        text=response.text or "",
        code=response.code or "",
        message=response.message or "",
        safety=response.safety or {},
    )


async def close_target(target: Target) -> None:
    """Closes a target that can be closed; one that fails at it must not hide the results."""
    close = getattr(target, "close", None)
    if close is None:
        return
    with contextlib.suppress(Exception):
        done = close()
        if inspect.isawaitable(done):
            await done
