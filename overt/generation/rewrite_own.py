"""Rewriters that need no chat model: the builtin, and classes of the user's own, which may give anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from overt.data.errors import InputError, OvertError
from overt.data.faults import raised
from overt.data.records import Drop, Failure, Prompt
from overt.data.rewrites import STRATEGIES, Candidate
from overt.generation.rewrite import fit
from overt.policies.schema import Policy


def rewrite_with(
    rewriter: Any, prompts: Sequence[Prompt], policy: Policy, *, count: int, seed: int
) -> Iterator[Candidate | Drop | Failure]:
    """At most `count` wordings of each prompt, looked at as a chat model's are: the floor, the length, a
    repeat.

    Raises:
        InputError: the rewriter raised, or gave something else than candidates and drops.
    """
    seen: set[str] = set()
    for prompt in prompts:
        try:
            results = list(rewriter.rewrite(policy, prompt, count=count, seed=seed))
        except OvertError:
            raise
        except Exception as error:  # whatever a class of the user's own may raise
            raise _wrong(rewriter, f"failed with {raised(rewriter, error)}") from error
        made = 0
        for result in results:
            if isinstance(result, Drop | Failure):
                yield result
                continue
            if not isinstance(result, Candidate) or not isinstance(result.text, str):
                raise _wrong(rewriter, f"gave {type(result).__name__} where a Candidate was expected")
            if result.strategy not in STRATEGIES:
                raise _wrong(
                    rewriter, f"gave the strategy {result.strategy!r:.60}; there are {', '.join(STRATEGIES)}"
                )
            if made == count:
                break
            made += 1
            yield fit(prompt, result.text, result.strategy, result.writer, result.template, seen)


def _wrong(rewriter: Any, what: str) -> InputError:
    return InputError(
        f"the rewriter {getattr(rewriter, 'name', type(rewriter).__name__)} {what}",
        fix="`rewrite(policy, prompt, *, count, seed)` gives Candidates and Drops (see CONTRIBUTING).",
    )
