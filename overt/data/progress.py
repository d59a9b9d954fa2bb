"""Progress on stderr: bars on a terminal, lines in a log, nothing with --quiet."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from overt.data.secrets import masked
from overt.data.text import visible

Advance = Callable[[int], None]


class Progress(Protocol):
    """Shows the progress of the pipeline."""

    def stage(self, name: str, total: int) -> contextlib.AbstractContextManager[Advance]: ...

    def note(self, text: str) -> None: ...

    def calls(self, text: str) -> None: ...


class Silent:
    """Shows nothing; warnings are still in the manifest."""

    @contextlib.contextmanager
    def stage(self, name: str, total: int) -> Iterator[Advance]:
        yield lambda count: None

    def note(self, text: str) -> None:
        pass

    def calls(self, text: str) -> None:
        pass


class _FirstWord:
    """Says what is under way where a command has been silent since it began.

    Args:
        say: is called once, from a thread of its own, unless `spoken` comes first.
    """

    after_s = 1.0

    def __init__(self, say: Callable[[str], None]) -> None:
        self.doing = "reading what was given, loading what is needed"
        self._say = say
        self._timer = threading.Timer(self.after_s, lambda: self._say(f"{self.doing} ..."))
        self._timer.daemon = True
        self._timer.start()

    def spoken(self) -> None:
        self._timer.cancel()


class Lines:
    """For logs: a line every ten seconds during a stage, and one at its end."""

    every_s = 10.0

    def __init__(self) -> None:
        self._calls = ""
        self._first = _FirstWord(self._say)

    @contextlib.contextmanager
    def stage(self, name: str, total: int) -> Iterator[Advance]:
        done, started, spoke = 0, time.monotonic(), time.monotonic()
        self._first.doing = f"{name}: {total:,} to do"

        def advance(count: int) -> None:
            nonlocal done, spoke
            done += count
            if time.monotonic() - spoke >= self.every_s:
                spoke = time.monotonic()
                self._say(f"{name}: {done:,} of {total:,} {self._calls}")

        yield advance
        self._say(f"{name}: {done:,} done in {time.monotonic() - started:.1f} s")

    def note(self, text: str) -> None:
        self._say(f"note: {text}")

    def calls(self, text: str) -> None:
        self._calls = text

    def _say(self, text: str) -> None:
        self._first.spoken()
        # Line and end in one: threads speak at once.
        print(f"overt: {visible(masked(text))}\n", end="", file=sys.stderr, flush=True)


class Bars:
    """For a terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        self._console = Console(stderr=True)
        self._bars = RichProgress(
            TextColumn("{task.description:<12}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[calls]}"),
            console=self._console,
        )
        self._tasks: list[int] = []  # of stages under way; several models may be asked at once
        self._lock = threading.Lock()
        self._first = _FirstWord(lambda text: self._console.print(f"[dim]{text}[/dim]"))

    @contextlib.contextmanager
    def stage(self, name: str, total: int) -> Iterator[Advance]:
        self._first.spoken()
        with self._lock:
            task = self._bars.add_task(visible(name), total=total, calls="")
            self._tasks.append(task)
            self._bars.start()
        try:
            yield lambda count: self._bars.advance(task, count)
        finally:
            with self._lock:
                self._tasks.remove(task)
                if not self._tasks:
                    self._bars.stop()
                self._bars.remove_task(task)

    def note(self, text: str) -> None:
        from rich.text import Text

        self._first.spoken()
        self._console.print(Text(f"note: {visible(masked(text))}", style="yellow"))

    def calls(self, text: str) -> None:
        with self._lock:  # the stage of another thread may end meanwhile
            for task in self._tasks[:1]:  # what is said is of all of them
                self._bars.update(task, calls=visible(masked(text)))  # type: ignore[arg-type]


def make_progress(quiet: bool) -> Progress:
    """Chooses the display that fits stderr."""
    if quiet:
        return Silent()
    return Bars() if sys.stderr.isatty() else Lines()
