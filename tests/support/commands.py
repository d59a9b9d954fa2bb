"""The command line as a user starts it, in a process of its own, and what its runs hold.

`overt` runs one command in a process whose imports are done (`support/warm.py`), and `started` begins one
that a test kills. `command` gives the words that start Python itself, for tests that measure a command or
look at what it imports.
"""

import json
import os
import sys
from pathlib import Path

from support import warm

from overt.data.outcomes import Outcome
from overt.data.records import Prompt
from overt.data.run.files import read_records

KEY = "vendor-key-that-nobody-may-see-0123456789"
ENV = {**os.environ, "VENDOR_KEY": KEY, "HF_HUB_OFFLINE": "1"}
# For a process that imports `support` itself: pytest puts tests/ on its own path alone.
_paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
ENV_OF_TESTS = {**ENV, "PYTHONPATH": os.pathsep.join(filter(None, _paths))}


def command(*arguments):
    return [sys.executable, "-m", "overt", *map(str, arguments)]


def overt(*arguments, code=0, cwd=None, env=ENV):
    done = warm.run([*map(str, arguments)], env, cwd)
    assert code is None or done.returncode == code, done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    return done


def started(*arguments, cwd=None, env=ENV):
    """A command that has begun, and whose end nobody waits for yet. What it prints is thrown away."""
    with open(os.devnull, "wb") as nowhere:
        return warm.Started([*map(str, arguments)], env, cwd, nowhere, nowhere)


def outcomes(folder):
    return read_records(folder / "stages" / "outcomes.jsonl", Outcome)


def by_text(folder):
    texts = {p.id: p.text for p in read_records(folder / "stages" / "prompts.jsonl", Prompt)}
    return {texts[o.prompt_id]: o for o in outcomes(folder)}


def write_prompts(path, benign, unsafe=()):
    rows = [
        {"text": t, "label": label, "category": f"c{i % 2}"}
        for label, texts in (("benign", benign), ("unsafe", unsafe))
        for i, t in enumerate(texts)
    ]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path
