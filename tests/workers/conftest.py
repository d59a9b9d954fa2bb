"""Two warm workers for all tests of this folder: to start them for each would take most of the time."""

import os

import pytest

from overt.workers.hiring import crew_of, kept
from overt.workers.spread import Spread

TWO = Spread("processes", 2)


@pytest.fixture(scope="session")
def _warm():
    # Small models lose time to threads that wait for each other; pictures do not hang on their number then.
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    with kept(TWO):
        yield
    if before is None:
        del os.environ["OMP_NUM_THREADS"]
    else:
        os.environ["OMP_NUM_THREADS"] = before


@pytest.fixture
def workers(_warm):
    """What `--workers` says. Afterwards nothing is loaded, and both workers are there."""
    yield "2"
    crew = crew_of(TWO)
    if crew is not None:
        crew.wait()
