"""Every family of picture pipelines, built tiny: loaded by the registry, held against the plain library.

The rows stand in docs/families.md. Families come from the modules `tests/support/tiny_pipelines_*.py`.
"""

import gc
import warnings

import pytest
from support.family_table import check_row
from support.tiny_pipelines import families

torch = pytest.importorskip("torch", reason="needs the extra [local]")
pytest.importorskip("diffusers", reason="needs the extra [local]")

from support.picture_measures import row  # noqa: E402

FAMILIES = families()


@pytest.fixture(scope="module", autouse=True)
def _light():
    """One thread, a garbage collector that need not walk over torch, and nothing on the screen."""
    from diffusers.utils import logging

    before, verbosity = torch.get_num_threads(), logging.get_verbosity()
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    gc.freeze()
    yield
    gc.unfreeze()
    logging.set_verbosity(verbosity)
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_a_family_against_the_plain_library(name, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cells = row(FAMILIES[name], tmp_path)
    check_row("Picture pipelines", name, cells)
