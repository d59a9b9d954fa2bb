"""Pipelines of two stages, a prior and a decoder: arguments reach their stage, and NaN in either is told."""

import asyncio
import shutil
import warnings

import pytest
from support import tiny_pipelines_stages as stages

torch = pytest.importorskip("torch", reason="needs the extra [local]")
pytest.importorskip("diffusers", reason="needs the extra [local]")

from support.picture_measures import levels, nan_in  # noqa: E402

from overt.data.errors import InputError  # noqa: E402
from overt.registry import load_target  # noqa: E402

PROMPT = "a shot of espresso"


@pytest.fixture(scope="module")
def kandinsky(tmp_path_factory):
    place = tmp_path_factory.mktemp("kandinsky") / "model"
    stages.kandinsky22(place)
    return place


@pytest.fixture(scope="module")
def cascade(tmp_path_factory):
    place = tmp_path_factory.mktemp("cascade") / "model"
    stages.stable_cascade(place)
    return place


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def draw(folder, size, **options):
    """(the response to PROMPT, the target's notes)."""
    query = "&".join(f"{key}={value}" for key, value in options.items())
    target = load_target(f"diffusers/{folder}?device=cpu&steps=2&width={size}&height={size}&{query}")

    async def ask():
        try:
            return await target.respond(PROMPT, seed=3)
        finally:
            await target.close()

    return asyncio.run(ask()), target.notes


USUAL = {"probe": "false", "call.prior_num_inference_steps": 2}


@pytest.fixture(scope="module")
def of_kandinsky(kandinsky):
    return draw(kandinsky, 64, **USUAL)[0].images


@pytest.fixture(scope="module")
def of_cascade(cascade):
    return draw(cascade, 40, **USUAL)[0].images


@pytest.mark.parametrize(
    "changes",
    [
        {"call.prior_guidance_scale": 2.5},
        {"call.prior_num_inference_steps": 3},
        {"guidance_scale": 1.5},
        {"negative_prompt": "word"},
    ],
)
def test_arguments_of_either_stage_change_the_picture(kandinsky, of_kandinsky, changes):
    other, _ = draw(kandinsky, 64, **USUAL | changes)
    assert len(other.images) == 1
    assert other.images != of_kandinsky


@pytest.mark.parametrize(
    "changes",
    [{"call.prior_guidance_scale": 2.5}, {"call.decoder_guidance_scale": 3.0}, {"negative_prompt": "word"}],
)
def test_stable_cascade_takes_arguments_for_either_stage(cascade, of_cascade, changes):
    other, _ = draw(cascade, 40, **USUAL | changes)
    assert len(other.images) == 1
    assert other.images != of_cascade


def test_a_size_that_a_cascade_rounds_is_told(cascade):
    response, notes = draw(cascade, 64, **{"call.prior_num_inference_steps": 1, "batch_size": 1})
    assert levels(response.images[0]).shape == (84, 84, 3)
    assert any("asked for 64 x 64, it draws 84 x 84" in note for note in notes)


@pytest.mark.parametrize("part", ["prior_prior", "unet", "movq"])
def test_nan_in_either_stage_is_told(kandinsky, part):
    target = load_target(f"diffusers/{kandinsky}?device=cpu&steps=2&width=64&height=64&probe=false")
    with nan_in(getattr(target.drawing.pipeline, part)):
        response = asyncio.run(target.respond(PROMPT, seed=3))
    asyncio.run(target.close())
    assert (response.safety or {}).get("not_finite") is True


def test_a_prior_in_a_folder_of_its_own_is_found_by_the_card(kandinsky, tmp_path):
    """As kandinsky-community/kandinsky-2-2-decoder names its prior on the Hub."""
    stages.kandinsky22_apart(tmp_path / "decoder")
    apart, _ = draw(tmp_path / "decoder", 64, probe="false")
    whole, _ = draw(kandinsky, 64, probe="false")
    assert apart.images == whole.images


def test_a_decoder_without_its_prior_is_refused_with_a_way_out(kandinsky, tmp_path):
    stages.kandinsky22_apart(tmp_path / "decoder")
    (tmp_path / "decoder" / "README.md").unlink()
    shutil.rmtree(tmp_path / "decoder-prior")
    with pytest.raises(InputError, match="does not name its prior") as caught:
        load_target(f"diffusers/{tmp_path / 'decoder'}?device=cpu")
    assert "README.md" in caught.value.fix
