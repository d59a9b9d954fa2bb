"""Which of diffusers' pipelines are taken, and which are refused before they load or draw anything."""

import json

import pytest
from support.tiny_pipelines import families

torch = pytest.importorskip("torch", reason="needs the extra [local]")
diffusers = pytest.importorskip("diffusers", reason="needs the extra [local]")

from overt.data.errors import InputError  # noqa: E402
from overt.generation.images.pipeline_kinds import check_draws  # noqa: E402
from overt.registry import load_target  # noqa: E402

VIDEO, SOUND, PICTURE, HALF = (
    "draws videos",
    "makes sound",
    "draws from a picture|needs image",
    "first half|second half",
)
REFUSED = {
    "AllegroPipeline": VIDEO,
    "AnimateDiffPipeline": VIDEO,
    "AnimateDiffSDXLPipeline": VIDEO,
    "CogVideoXPipeline": VIDEO,
    "CosmosTextToWorldPipeline": VIDEO,
    "EasyAnimatePipeline": VIDEO,
    "HeliosPipeline": VIDEO,
    "HunyuanVideoPipeline": VIDEO,
    "HunyuanVideo15Pipeline": VIDEO,
    "Kandinsky5T2VPipeline": VIDEO,
    "LTXPipeline": VIDEO,
    "LTX2Pipeline": VIDEO,
    "LattePipeline": VIDEO,
    "MochiPipeline": VIDEO,
    "SanaVideoPipeline": VIDEO,
    "SkyReelsV2Pipeline": VIDEO,
    "StableVideoDiffusionPipeline": VIDEO,
    "TextToVideoSDPipeline": VIDEO,
    "WanPipeline": VIDEO,
    "WanImageToVideoPipeline": VIDEO,
    "AudioLDM2Pipeline": SOUND,
    "MusicLDMPipeline": SOUND,
    "StableAudioPipeline": SOUND,
    "ShapEPipeline": "shapes in 3D",
    "ShapEImg2ImgPipeline": "shapes in 3D",
    "DDPMPipeline": "no prompt",
    "DDIMPipeline": "no prompt",
    "ConsistencyModelPipeline": "no prompt",
    "LDMSuperResolutionPipeline": "no prompt",
    "DiTPipeline": "class_labels",
    "MarigoldDepthPipeline": PICTURE,
    "FluxFillPipeline": PICTURE,
    "FluxPriorReduxPipeline": HALF,
    "HunyuanImageRefinerPipeline": PICTURE,
    "IFSuperResolutionPipeline": PICTURE,
    "KandinskyV22Pipeline": HALF,
    "KandinskyV22PriorPipeline": HALF,
    "Kandinsky5I2IPipeline": PICTURE,
    "LongCatImageEditPipeline": PICTURE,
    "QwenImageEditPipeline": PICTURE,
    "QwenImageEditPlusPipeline": PICTURE,
    "QwenImageLayeredPipeline": PICTURE,
    "StableCascadeDecoderPipeline": HALF,
    "StableCascadePriorPipeline": HALF,
    "StableDiffusionControlNetPipeline": PICTURE,
    "StableDiffusionDepth2ImgPipeline": PICTURE,
    "StableDiffusionImageVariationPipeline": PICTURE,
    "StableDiffusionInpaintPipeline": PICTURE,
    "StableDiffusionInstructPix2PixPipeline": PICTURE,
    "StableDiffusionLatentUpscalePipeline": PICTURE,
    "StableDiffusionUpscalePipeline": PICTURE,
    "StableDiffusionXLImg2ImgPipeline": PICTURE,
    "StableDiffusionXLInpaintPipeline": PICTURE,
    "WuerstchenDecoderPipeline": HALF,
    "WuerstchenPriorPipeline": HALF,
}
# Beside those that are built tiny; a few can also take pictures, but need none.
TAKEN = (
    "AmusedPipeline",
    "BriaFiboPipeline",
    "Cosmos2TextToImagePipeline",
    "DreamLitePipeline",
    "GlmImagePipeline",
    "Ideogram4Pipeline",
    "KandinskyCombinedPipeline",
    "PRXPixelPipeline",
    "PixArtSigmaPAGPipeline",
    "SanaPAGPipeline",
    "StableDiffusionPAGPipeline",
    "StableDiffusionXLPAGPipeline",
    "StableUnCLIPPipeline",
    "UnCLIPPipeline",
    "ZImageOmniPipeline",
)
# Of each kind one, as a folder: refused by the class that it names, before any part of it is loaded.
AS_FOLDERS = ("CogVideoXPipeline", "WanPipeline", "AnimateDiffPipeline", "AudioLDM2Pipeline", "ShapEPipeline")


def bare(kind):
    """A pipeline of a class without any part."""
    return object.__new__(getattr(diffusers, kind))


@pytest.mark.parametrize("kind", REFUSED)
def test_what_draws_no_picture_from_text_is_refused(kind):
    with pytest.raises(InputError, match=REFUSED[kind]) as caught:
        check_draws(bare(kind), "diffusers/x")
    assert kind in str(caught.value)


@pytest.mark.parametrize("kind", TAKEN)
def test_what_draws_from_text_is_taken(kind):
    check_draws(bare(kind), "diffusers/x")


def test_every_family_of_the_table_is_taken():
    assert len(families()) >= 40


@pytest.mark.parametrize("kind", AS_FOLDERS)
def test_a_folder_is_refused_before_its_weights_are_loaded(kind, tmp_path):
    index = {"_class_name": kind, "vae": ["diffusers", "AutoencoderKL"]}
    (tmp_path / "model_index.json").write_text(json.dumps(index), "utf-8")
    with pytest.raises(InputError, match=REFUSED[kind]):
        load_target(f"diffusers/{tmp_path}?device=cpu")
