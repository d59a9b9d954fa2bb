"""What a command says while it works: within two seconds something, and of several stages at once."""

import io
import sys
import threading
import time

from overt.data import progress
from overt.data.progress import Bars, Lines


def test_a_silent_start_is_told(capsys, monkeypatch):
    monkeypatch.setattr(progress._FirstWord, "after_s", 0.05)
    Lines()
    deadline = time.monotonic() + 5
    said = ""
    while not said and time.monotonic() < deadline:
        time.sleep(0.02)
        said += capsys.readouterr().err
    assert said == "overt: reading what was given, loading what is needed ...\n"


def test_the_first_word_names_the_stage_that_is_under_way(capsys, monkeypatch):
    monkeypatch.setattr(progress._FirstWord, "after_s", 0.2)
    lines = Lines()
    with lines.stage("audit", 1200):
        time.sleep(0.6)
    assert "overt: audit: 1,200 to do ...\n" in capsys.readouterr().err


def test_who_has_spoken_says_no_first_word(capsys, monkeypatch):
    monkeypatch.setattr(progress._FirstWord, "after_s", 0.1)
    Lines().note("hello")
    time.sleep(0.4)
    assert capsys.readouterr().err == "overt: note: hello\n"


def test_a_line_is_written_at_once(monkeypatch):
    """Its end as well: else two threads that speak at once share a line."""
    written = []

    class Log(io.StringIO):
        def write(self, text):
            written.extend([text] if text else [])
            return len(text)

    monkeypatch.setattr(sys, "stderr", Log())
    lines = Lines()
    with lines.stage("first", 1) as advance:
        advance(1)
    lines.note("hello")
    monkeypatch.undo()
    assert len(written) == 2, written
    assert all(text.startswith("overt: ") and text.endswith("\n") for text in written)


def test_bars_of_several_stages_at_once(monkeypatch):
    terminal = io.StringIO()
    monkeypatch.setattr(sys, "stderr", terminal)
    bars = Bars()
    with bars.stage("first", 10) as first, bars.stage("second", 10) as second:
        first(5)
        bars.calls("7 calls")
        second(10)
    with bars.stage("third", 1) as third:
        third(1)
    bars.note("after")
    assert "after" in terminal.getvalue()


def test_what_is_said_of_calls_does_not_meet_the_end_of_a_stage(monkeypatch):
    """Stages end in threads of their own while others tell of their calls."""
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    bars = Bars()
    failed = []

    class Slow(list):  # the moment between the look at the stages and the word to the first of them
        def __getitem__(self, place):
            found = super().__getitem__(place)
            time.sleep(0.1)
            return found

    bars._tasks = Slow()

    def speak():
        try:
            bars.calls("7 calls")
        except Exception as error:
            failed.append(error)

    with bars.stage("first", 1):
        speaker = threading.Thread(target=speak)
        speaker.start()
        time.sleep(0.03)
    speaker.join()
    assert failed == []
