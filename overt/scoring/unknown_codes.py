"""Codes that a target handed on and that mean nothing to overt: told at the end of a run, not passed over.

The adapters of services make an error of what they cannot tell. A class of the user's own may return
`Response(code=...)` unjudged; a code that no row of the vocabulary has leaves the answer missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

from overt.data.outcomes import Outcome
from overt.data.plugins.wrapped import provider_of
from overt.data.provider.vocabulary import find
from overt.data.targets import RefusalStage, Response
from overt.data.text import short

# For each stage a code that refuses there, whoever sends it.
WORDS: Mapping[RefusalStage, str] = {
    "prompt_filter": "content_policy_violation",
    "model": "no_image",
    "image_filter": "image_unsafe",
}
_MOST = 5  # codes that are named
_LONGEST = 60  # characters of one


def unknown_code(response: Response, outcome: Outcome) -> str:
    """The code of a response that could not be placed, in one line; "" where there is none.

    Args:
        outcome: what was decided of the response.
    """
    if outcome.state != "error" or response.error is not None:
        return ""
    if find(provider_of(outcome.target), [response.code], of="errors"):  # a limit, a bill
        return ""
    return short(response.code, _LONGEST)


def unknown_said(target: str, codes: Mapping[str, int]) -> str:
    """What the reader of the run is told.

    Args:
        codes: how often each of them came.
    """
    counted = sorted(codes.items(), key=lambda row: (-row[1], row[0]))
    named = ", ".join(f"{code!r} ({count:,})" for code, count in islice(counted, _MOST))
    more = f" and {len(counted) - _MOST} more" if len(counted) > _MOST else ""
    words = ", ".join(f"{word} ({stage})" for stage, word in WORDS.items())
    return (
        f"{target} returned codes that overt does not know, so these answers are errors, not refusals: "
        f"{named}{more}. If one of them says no, teach it: a file with the line  any: {{prompt_filter: "
        f"[{counted[0][0]!r}]}}  and --codes FILE. Or return a code that counts: {words}, or another of "
        "overt/data/provider/vocabulary.yaml"
    )
