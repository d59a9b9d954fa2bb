"""What this process prints, made safe in one place: no secret in use, no character that drives a terminal.

The streams are wrapped for the whole process, so that a traceback, a warning or another library's line goes
the same way as a message of overt. Texts of others are cleaned before, where they are printed
(`overt.data.text`); here what rich and other progress bars write to a terminal may pass.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from typing import TextIO

from overt.data.secrets import masked
from overt.data.text import encodable, visible

# Colours, the cursor, and the erasing of lines, as rich and tqdm write them.
_DRIVES = re.compile(r"(\x1b\[(?:[\d;]*m|\d*[ABCDGHJK]|\?25[lh])|\r)")


class SafeStream:
    """A text stream that hides secrets, and shows control characters by their numbers."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError("a text stream takes text")
        self._stream.write(self._safe(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def _safe(self, text: str) -> str:
        if (text.isascii() and text.isprintable()) or text == "\n":  # most of what is written
            return masked(text)
        text = encodable(masked(text))
        if not self._stream.isatty():
            return "\r".join(map(visible, text.split("\r")))  # a progress bar returns to the line's start
        return "".join(part if n % 2 else visible(part) for n, part in enumerate(_DRIVES.split(text)))


def wrap_streams() -> None:
    """Makes what this process prints safe."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, SafeStream):
            setattr(sys, name, SafeStream(stream))
