"""When a run must stop, because every other request would meet the same failure.

One failure says little: a 403 may be a word about one prompt. So what stops a run is a failure whose body
says that it concerns the key or the account, or a row of failures with no answer and no refusal in between.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

from overt.calls.channel import Subject
from overt.calls.finality import RETRIED, holds, place
from overt.calls.waits import LONGEST_WAIT_S, clock, in_words
from overt.data.chat import CallError, ErrorKind
from overt.data.errors import BudgetReached, OvertError, RunError
from overt.data.plugins.attempts import BROKEN_CLASS, MEND
from overt.data.text import plain

MISFITS = 8  # rejections in a row after which the model, the address, the key or the class must be wrong
UNPAID = 2  # different requests in a row that were not paid for, where earlier ones were
EXHAUSTED = 8  # requests in a row that stayed rate-limited after all their retries

_REJECTED = frozenset({"bad_request", "forbidden"})
_WORDLESS = re.compile(r"HTTP \d+(?:: (?:an empty body|\W*))?")
_KEPT = "Everything so far is kept: "
_MOST_REASONS = 3


class Standing:
    """What one model has answered so far, and how many failures in a row it gave. It does not hold the model,
    and so outlives it.

    Args:
        has_answered: whether the journal has an answer or a refusal of this model.
    """

    def __init__(self, channel: Subject, has_answered: Callable[[], bool]) -> None:
        self._name, self._key_hint = channel.name, channel.key_hint
        self._journal_has = has_answered
        self._failures: Counter[tuple[ErrorKind, int | None]] = Counter()  # replies without an answer
        self.place = place(channel.address)
        self._answered: bool | None = None
        self._row: Counter[str] = Counter()  # failures by kind since the last answer
        self._reasons: Counter[str] = Counter()  # rejections of a model that never answered
        self._has_status = False  # whether a service rejected something, and not a class of the user's own
        self._last: CallError | None = None

    @property
    def has_answered(self) -> bool:
        """Whether the model has ever answered or refused in this run, this process or an earlier one."""
        if self._answered is None:
            self._answered = self._journal_has()
        return self._answered

    def remembers(self, error: CallError | None) -> None:
        """Counts a reply from the journal."""
        if error is not None and (error.kind in _REJECTED or error.status == 401):
            self._reasons[plain(error.message)] += 1
            self._has_status |= error.status is not None

    def failed(self, error: CallError) -> None:
        """Counts a reply that is a failure, whether it came now or was journalled."""
        self._failures[error.kind, error.status] += 1

    @property
    def failures(self) -> tuple[int, int]:
        """How many failures the next run asks again, and how many hold until the address is another."""
        rejected = sum(
            count
            for (kind, status), count in self._failures.items()
            if holds(CallError(kind, "", status), has_answered=self.has_answered)
        )
        return self._failures.total() - rejected, rejected

    def saw(self, error: CallError | None, *, is_known: bool = False) -> OvertError | None:
        """Counts one reply after its retries. Returns the error that stops the run, if any.

        Args:
            is_known: whether an earlier run met a failure at this request. It says nothing new about the
                others then, and the run goes past it.
        """
        if error is None or error.is_of_answer:
            self._answered = True
            self._row.clear()
            return None
        kind: str = error.kind
        self.remembers(error)
        self._last = error
        if kind == "auth" or error.status == 401:
            # Once a key has worked, a status without a word about it may concern one prompt.
            if not self.has_answered or (kind == "auth" and not _WORDLESS.fullmatch(error.message)):
                return self._key(error)
            kind = "forbidden"
        if is_known and self.has_answered:
            return None
        self._row[kind] += 1
        return self._end_of_row(error, kind)

    def _end_of_row(self, error: CallError, kind: str) -> OvertError | None:
        """The error that stops the run if this failure was one too many of its kind in a row."""
        row = self._row[kind]
        if kind == "billing" and (row >= UNPAID or not self.has_answered):
            return self._bill(error)
        if kind == BROKEN_CLASS and row >= MISFITS and not self.has_answered:
            return RunError(f"the class fails at every request: {plain(error.message)}", fix=MEND)
        if kind == "rate_limit" and row >= EXHAUSTED:
            return self._limited(error)
        # A model that answers other prompts does not reject everything, but a key can be barred on the way.
        rejected = self._row["forbidden"] + (0 if self.has_answered else self._row["bad_request"])
        return self._rejects() if kind in _REJECTED and rejected >= MISFITS else None

    def at_the_end(self) -> OvertError | None:
        """The error of a model of which nothing came, after the last of its requests."""
        if self._row["billing"] and self._last is not None:
            return self._bill(self._last)
        others = self._row.total() - self._row["bad_request"] - self._row["forbidden"]
        if self._reasons and self._has_status and not others and not self.has_answered:
            return self._rejects()
        return None

    def waits_too_long(self, error: CallError) -> OvertError | None:
        """The error that stops the run where a service names a wait that is too long to sit out."""
        if error.kind not in RETRIED or (error.retry_after or 0.0) <= LONGEST_WAIT_S:
            return None
        wait = error.retry_after or 0.0
        return BudgetReached(
            f"{self._name} asks to wait {in_words(wait)}, until about {clock(wait)}: {plain(error.message)}",
            fix=f"{_KEPT}give the same command again after that.",
        )

    # -- words --------------------------------------------------------------------------------------------

    def _key(self, error: CallError) -> RunError:
        hint = self._key_hint
        return RunError(
            f"{self._name}: the key was not accepted: {plain(error.message)}",
            fix=f"Look at the key in the environment variable {hint}." if hint else "Mend it, then resume.",
        )

    def _bill(self, error: CallError) -> RunError:
        return RunError(
            f"{self._name}: the account has no credit left: {plain(error.message)}",
            fix="Top it up, then resume.",
        )

    def _limited(self, error: CallError) -> BudgetReached:
        return BudgetReached(
            f"{self._name} limits every request, and waiting did not help: {plain(error.message)}",
            fix=f"{_KEPT}give the same command again later, with a lower --concurrency or --rpm.",
        )

    def _rejects(self) -> RunError:
        said = self._reasons.most_common(_MOST_REASONS)
        total, name = self._reasons.total(), self._name
        if len(said) == 1:
            words = f"{name} rejects every request ({total} of {total}): {said[0][0]}"
        else:
            words = f"{name} rejects every request, {total} in all:"
            words += "".join(f"\n    {count} times: {message}" for message, count in said)
        if self._row["forbidden"]:
            hint = self._key_hint
            key = f"the key in {hint}" if hint else "the key"
            fix = (
                "If these words refuse the content, name them in a file (--codes FILE) and give the same "
                "command again: it sends nothing twice."
            )
            if not self.has_answered:
                fix = f"The key was not accepted, or may not use this: look at {key}. {fix}"
        else:
            fix = "Look at the model's name and at --base-url. "
            fix += "The same command, mended, asks again; nothing has to be deleted."
        return RunError(words, fix=fix)
