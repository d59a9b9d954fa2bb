"""Keeps what tests name to themselves: a developer's own list of known places is neither read nor written."""

import gc
import os
import tempfile

import pytest

os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="overt-tests-")


@pytest.fixture(scope="module")
def light_torch():
    """One thread, since small models lose time to threads that wait for each other, and a garbage collector
    that need not walk over torch each time memory is given back."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    gc.freeze()
    yield
    gc.unfreeze()
    torch.set_num_threads(before)
