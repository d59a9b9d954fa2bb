"""Which failures hold, and which the next run asks again.

An answer and a refusal hold. A failure holds only if the same request would meet it again:

    too_long              holds: the prompt does not fit, whatever the address
    floor                 holds: it was answered and paid for, and the answer is not kept
    format                holds: it was answered and paid for, and the answer is kept
    bad_request           holds where the model has answered others and the address is the same; not with a
                          status that speaks of the address or the model (`_OF_THE_PLACE`), and not where the
                          model rejected everything, because then the prompt is hardly the reason
    forbidden, auth,      asked again: a key, an account or a permission can be mended
    billing
    rate_limit, server,   asked again: they pass
    timeout, connection
    broken_class          asked again, and not journalled: the user's class failed, not a service

A failure that came with a response is journalled with it, so that a better vocabulary can find a refusal or
an answer in it without another request (`Channel.reread`).
"""

from __future__ import annotations

import hashlib
from typing import Final

from overt.calls.channel import Reply
from overt.data.chat import CallError
from overt.data.plugins.attempts import BROKEN_CLASS
from overt.data.provider.http import REDIRECTS
from overt.data.secrets import without_keys

RETRIED: Final = frozenset({"rate_limit", "server", "timeout", "connection"})
_MENDED: Final = frozenset({"forbidden", "auth", "billing", BROKEN_CLASS})
ASKED_AGAIN: Final = RETRIED | _MENDED
_OF_THE_PLACE: Final = frozenset({*REDIRECTS, 404, 405, 410, 415, 426, 501})


def is_journalled(reply: Reply) -> bool:
    """Whether a reply after all its retries goes into the journal."""
    error = reply.error
    if error is None:
        return True
    if error.kind == BROKEN_CLASS:
        return False
    return error.kind not in ASKED_AGAIN or reply.raw is not None


def holds(error: CallError | None, *, has_answered: bool, moved: bool = False) -> bool:
    """Whether a reply with this error (None: an answer or a refusal) stands, so that its request is not sent
    again.

    Args:
        has_answered: whether the model has answered or refused any request of this run.
        moved: whether the model's address is another than the one that gave this reply.
    """
    if error is None or error.is_of_answer or error.kind == "too_long":
        return True
    if error.kind in ASKED_AGAIN or error.status in _OF_THE_PLACE:
        return False
    # Without a status it was no service: a local model fails at this prompt again.
    return error.status is None or (has_answered and not moved)


def place(address: str) -> str:
    """A short hash of an address, without the keys in it: a mended key makes no other place."""
    plain = without_keys(address)
    return hashlib.blake2b(plain.encode("utf-8", "replace"), digest_size=8).hexdigest() if plain else ""
