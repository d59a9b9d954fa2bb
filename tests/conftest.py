"""Keeps what tests name to themselves: a developer's own list of known places is neither read nor
written; gives a core to each test process; and has what saves many tests their time."""

import gc
import os
import sys
import tempfile

import pytest

os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="overt-tests-")
# Test processes stand side by side, a core for each: threads of small models would only wait for each other.
# torch and numpy read it when they are imported, here and in the commands that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# What was compiled is kept, also where the environment says otherwise, as images of containers do: each
# process that a test starts would compile overt anew, and pytest all test files.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Test files bring torch and its like, whose objects stay to the end: the garbage collector need not walk
    over them while they are imported, nor each time that a model's memory is given back."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


def pytest_collection_modifyitems(items):
    """Tests with worker processes come first: at the end, where test processes take tests from each other,
    each would start workers of its own. The sort keeps the order of all others."""
    items.sort(key=lambda item: "_warm" not in item.fixturenames)


@pytest.fixture(scope="session")
def _warm():
    from overt.workers.hiring import crew_of, kept
    from overt.workers.spread import Spread

    two = Spread("processes", 2)
    with kept(two):
        yield lambda: crew_of(two)


@pytest.fixture
def workers(_warm):
    """What `--workers` says, of two warm workers for all tests: to start them for each would take most of the
    time. Afterwards nothing is loaded, and both workers are there."""
    yield "2"
    if (crew := _warm()) is not None:
        crew.wait()


@pytest.fixture
def no_plots(monkeypatch):
    """Reports without plots, which take most of a report's time, for tests of what stands around them."""
    monkeypatch.setattr("overt.report.plots.write_plots", lambda *_, **__: {})


@pytest.fixture(scope="module")
def light_torch():
    """One thread, since small models lose time to threads that wait for each other, and a garbage collector
    that does not walk over a torch that was imported only now."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    gc.freeze()
    yield
    torch.set_num_threads(before)
