"""Decodes the values of a JSON file one at a time, so that a list may be larger than memory."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

from overt.data.errors import InputError

BUFFER = 1 << 20  # characters per read
_SPACE = re.compile(r"[ \t\r\n]*")


class JsonValues:
    """Iterates over the members of a JSON list, or over values that follow each other in a file.

    Args:
        read: (size, line) -> at most `size` characters, "" at the end of the file.
        where: the place of a line number, for errors.
        longest: the maximum number of characters in one value.
    """

    def __init__(self, read: Callable[[int, int], str], where: Callable[[int], str], longest: int) -> None:
        self._read, self._where, self._longest = read, where, longest
        self._decoder = json.JSONDecoder()
        self._buffer, self._at, self._line, self._ended = "", 0, 1, False

    def __iter__(self) -> Iterator[tuple[int, object, bool]]:
        """Yields the line of each value, the value, and whether it is in a list.

        Raises:
            InputError: the text is not JSON, with the line.
        """
        while first := self._next_character():
            if first == "[":
                self._move_to(self._at + 1)
                yield from self._members()
                return
            line = self._line
            yield line, self._value(), False

    def _members(self) -> Iterator[tuple[int, object, bool]]:
        value_expected = True
        while (first := self._next_character()) != "]":
            if not first:
                raise self._wrong("the JSON list is never closed")
            if value_expected:
                line = self._line
                yield line, self._value(), True
            elif first == ",":
                self._move_to(self._at + 1)
            else:
                raise self._wrong("a comma is missing between two values")
            value_expected = not value_expected
        self._move_to(self._at + 1)
        if self._buffer[self._at :].strip() or self._read(BUFFER, self._line).strip():
            raise self._wrong("there is more after the end of the JSON list")

    def _value(self) -> object:
        while True:
            try:
                value, end = self._decoder.raw_decode(self._buffer, self._at)
            except RecursionError as error:
                raise self._wrong("a value is nested too deep") from error
            except ValueError as error:
                # The value may only be incomplete in the buffer.
                if self._ended or len(self._buffer) - self._at > self._longest:
                    raise self._wrong(f"this is not valid JSON ({json_reason(error)})") from error
                self._fill(max(BUFFER, len(self._buffer) - self._at))
                continue
            if end < len(self._buffer) or self._ended:
                self._move_to(end)
                decoded: object = value
                return decoded
            self._fill(BUFFER)  # a number may go on in the next piece

    def _next_character(self) -> str:
        """Skips white space and returns the next character; "" at the end."""
        while True:
            space = _SPACE.match(self._buffer, self._at)
            self._move_to(space.end() if space else self._at)
            if self._at < len(self._buffer) or self._ended:
                return self._buffer[self._at : self._at + 1]
            self._fill(BUFFER)

    def _fill(self, size: int) -> None:
        piece = self._read(size, self._line)
        self._ended = not piece
        self._buffer, self._at = self._buffer[self._at :] + piece, 0

    def _move_to(self, place: int) -> None:
        self._line += self._buffer.count("\n", self._at, place)
        self._at = place

    def _wrong(self, what: str) -> InputError:
        return InputError(
            what,
            where=self._where(self._line),
            fix="Give a JSON list of objects, or rename a file of lines .jsonl.",
        )


def json_reason(error: Exception) -> str:
    """The reason why a text is not JSON."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg}, column {error.colno}"
    return "it is nested too deep" if isinstance(error, RecursionError) else str(error)
