"""The calls that a run has made, read from its journal without writing beside it: what each one took."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from overt.data.errors import InputError
from overt.data.json_types import Json, JsonObject
from overt.data.run.folder import JOURNAL
from overt.data.run.journal import COLUMNS, Entry, entry_of
from overt.data.run.united import read_only
from overt.data.text import is_figure

_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')  # a text in quotes, as the templates write it


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeCall:
    """One call of a journal.

    `about` stands for what was asked about (see `_Abouts`). `seconds` is the latency of the last attempt,
    None where the row has none; `cost` in US dollars, as it was booked. Tokens are None where nobody counted
    them; `is_estimate` says that overt took them from the texts, since the service counts none. `ended` is
    the time at which the row was written, in seconds since 1970. `failed` says that no answer came.
    `is_taken`: it was made by an earlier run, from which the journal was copied. `by_batch`: by a batch API,
    so that `seconds` is the wait for the batch.
    """

    model: str
    purpose: str
    about: int
    seconds: float | None
    input_tokens: int | None
    output_tokens: int | None
    pictures: int
    cost: float
    ended: float
    failed: bool
    is_taken: bool
    is_estimate: bool
    by_batch: bool


def made_calls(run: Path, *, by_seed: bool = False) -> Iterator[MadeCall | None]:
    """Each call of a run's journal, those of targets first; None for a row that cannot be read.

    Args:
        by_seed: of a run of many turns: each episode has a seed of its own, which is in every request to a
            target, and `about` is that.

    Raises:
        InputError: there is no journal, or it cannot be read.
    """
    path = run / JOURNAL
    if not path.is_file():
        raise InputError(
            "this run has no journal, so that nothing is known of its calls",
            where=str(path),
            fix="Put the file back, or name another run.",
        )
    try:
        with contextlib.closing(sqlite3.connect(read_only(path), uri=True)) as db:
            known = {str(name) for (name,) in db.execute("SELECT name FROM sqlite_master")}
            if "calls" not in known:
                return
            taken = "key IN (SELECT key FROM taken)" if "taken" in known else "0"
            created = "CASE WHEN typeof(created) IN ('real', 'integer') THEN created END"
            abouts = _Abouts(by_seed)
            # A call that asks a target has the target's name as its purpose.
            for side in ("IS", "IS NOT"):
                query = f"SELECT {COLUMNS}, {created}, {taken} FROM calls WHERE purpose {side} model"
                for *columns, ended, is_taken in db.execute(query):
                    entry = entry_of(tuple(columns))
                    yield (
                        None
                        if entry is None or ended is None
                        else _made(entry, float(ended), bool(is_taken), abouts)
                    )
    except sqlite3.Error as error:
        raise InputError(
            f"cannot read the journal: {error}",
            where=str(path),
            fix="The file is damaged or no journal: name another run.",
        ) from error


def _made(entry: Entry, ended: float, is_taken: bool, abouts: _Abouts) -> MadeCall:
    # A target's reply stands below `response`, beside its pictures; a chat model's is the row itself.
    inner = entry.reply.get("response")
    reply: JsonObject = inner if isinstance(inner, Mapping) else entry.reply
    pictures = entry.reply.get("images")
    return MadeCall(
        model=entry.model,
        purpose=entry.purpose,
        about=abouts.of(entry.request),
        seconds=_amount(reply.get("latency_s")),
        input_tokens=_count(reply.get("input_tokens")),
        output_tokens=_count(reply.get("output_tokens")),
        pictures=len(pictures) if isinstance(pictures, list) else 0,
        cost=entry.cost,
        ended=ended,
        failed=reply.get("error") is not None,
        is_taken=is_taken,
        is_estimate=reply.get("is_estimate") is True,
        by_batch=reply.get("price_share") is not None,
    )


class _Abouts:
    """Numbers for what requests are about: the calls of one prompt share one.

    Of a target's request it is that of the prompt (text, picture, turns before), so that all samples of a
    prompt go together. A judge's request quotes the prompt, so what it says of the answers of several targets
    goes with it too. Of another chat request it is that of what the user says first, so that a repaired
    answer goes with the first one.
    """

    def __init__(self, by_seed: bool) -> None:
        self._by_seed = by_seed
        self._of_prompts: dict[int, int] = {}  # by the number of a prompt's text

    def of(self, written: str) -> int:
        try:
            request = json.loads(written)
        except ValueError:
            request = None
        if not isinstance(request, dict):
            return _number(written)
        messages = request.get("messages")
        if isinstance(messages, list):
            return self._of_chat(messages, written)
        return self._of_target(request) if "prompt" in request else _number(written)

    def _of_target(self, request: JsonObject) -> int:
        prompt = request["prompt"]
        if self._by_seed:
            return _number([request.get("seed")])
        found = _number([prompt, request.get("image"), request.get("turns")])
        self._of_prompts.setdefault(_number(prompt), found)
        return found

    def _of_chat(self, messages: Sequence[Json], written: str) -> int:
        said = next((m for m in messages if isinstance(m, dict) and m.get("role") == "user"), None)
        content = said.get("content") if isinstance(said, dict) else None
        if self._of_prompts and isinstance(content, str):
            for quoted in _QUOTED.finditer(content):
                with contextlib.suppress(ValueError):
                    about = self._of_prompts.get(_number(json.loads(quoted[0])))
                    if about is not None:
                        return about
        return _number(written if said is None else said)


def _number(said: Json) -> int:
    text = said if isinstance(said, str) else json.dumps(said, sort_keys=True)
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "big")


def _amount(value: Json) -> float | None:
    return float(value) if is_figure(value) and value >= 0 else None


def _count(value: Json) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
