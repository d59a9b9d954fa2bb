"""Every family of picture pipelines, built tiny: loaded by the registry, held against the plain library.

The rows stand in docs/families.md. Families come from the modules `tests/support/tiny_pipelines_*.py`.
"""

import warnings

import pytest
from support.family_table import check_row
from support.tiny_pipelines import families

torch = pytest.importorskip("torch", reason="needs the extra [local]")
pytest.importorskip("diffusers", reason="needs the extra [local]")

from support.picture_measures import loaded, row, state  # noqa: E402

FAMILIES = families()


pytestmark = pytest.mark.usefixtures("light_torch")


@pytest.fixture(scope="module", autouse=True)
def _quiet():
    """Nothing on the screen."""
    from diffusers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    yield
    logging.set_verbosity(verbosity)


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_a_family_against_the_plain_library(name, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cells = row(FAMILIES[name], tmp_path)
    check_row("Picture pipelines", name, cells)


# -- what a family's size, parts and prompts come to --------------------------------------------------------


def build(name, folder):
    FAMILIES[name].build(folder)
    return FAMILIES[name]


def test_a_pipeline_without_one_of_its_encoders(tmp_path):
    """Stable Diffusion 3 without its T5, of which diffusers wants to be told; CLIP alone reads 77 tokens."""
    from diffusers import StableDiffusion3Pipeline

    family = build("Stable Diffusion 3", tmp_path / "whole")
    without = {"text_encoder_3": None, "tokenizer_3": None}
    StableDiffusion3Pipeline.from_pretrained(tmp_path / "whole", **without).save_pretrained(tmp_path / "less")
    with loaded(family, tmp_path / "less", probe=False) as tiny:
        (response,) = tiny.ask(["word " * 200], [0])
    assert state(response) == "generated"
    assert response.safety["truncated_tokens"] == 2 + 200 - 77


def test_tokens_behind_a_processor_are_counted(tmp_path):
    """FLUX.2 has a processor where others have a tokenizer; the call's limit is 128 here."""
    family = build("FLUX.2 dev", tmp_path)
    with loaded(family, tmp_path, probe=False) as tiny:
        cut, short = tiny.ask(["quiet" * 200, "quiet"], [0, 1])
    assert cut.safety["truncated_tokens"] == 1 + 200 - 128  # with the space before the first word
    assert "truncated_tokens" not in short.safety


def test_an_invisible_watermark_is_told(tmp_path, monkeypatch):
    """It depends on whether a package is installed."""
    from diffusers.pipelines.stable_diffusion_xl import pipeline_stable_diffusion_xl as module

    class Watermarker:
        def apply_watermark(self, images):
            return images

    family = build("Stable Diffusion XL", tmp_path)
    with loaded(family, tmp_path, probe=False) as tiny:
        assert tiny.target.facts["watermark"] is False
    monkeypatch.setattr(module, "is_invisible_watermark_available", lambda: True)
    monkeypatch.setattr(module, "StableDiffusionXLWatermarker", Watermarker, raising=False)
    with loaded(family, tmp_path, probe=False) as tiny:
        assert tiny.target.facts["watermark"] is True
        assert any("invisible-watermark" in note for note in tiny.target.notes)
