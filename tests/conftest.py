"""Keeps what tests name to themselves: a developer's own list of known places is neither read nor
written; and gives a core to each test process."""

import gc
import os
import tempfile

import pytest

os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="overt-tests-")
# Test processes stand side by side, a core for each: threads of small models would only wait for each other.
# torch and numpy read it when they are imported, here and in the commands that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Test files bring torch and its like, whose objects stay to the end: the garbage collector need not walk
    over them again and again, neither while they are imported nor each time that a model's memory is given back."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


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
