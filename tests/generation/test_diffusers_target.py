"""`diffusers/` on a tiny pipeline that is built here: no hub, real loading, real drawing."""

import asyncio
import io
import json
import shutil

import pytest
from support import tiny_images
from support.tiny_images import ALWAYS, SIDE

torch = pytest.importorskip("torch", reason="needs the extra [local]")
pytest.importorskip("diffusers", reason="needs the extra [local]")
np = pytest.importorskip("numpy")

from PIL import Image  # noqa: E402

from overt.data.errors import InputError  # noqa: E402
from overt.data.targets import Target  # noqa: E402
from overt.generation.images.diffusers import DiffusersTarget  # noqa: E402

PROMPTS = [f"a shot of espresso {n}" for n in range(8)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_images.pipeline(tmp_path_factory.mktemp("tiny") / "with-checker")


@pytest.fixture(scope="module")
def unchecked(tmp_path_factory):
    return tiny_images.pipeline(tmp_path_factory.mktemp("tiny") / "without", checker=False)


@pytest.fixture(scope="module")
def reference(folder):
    """The pictures of PROMPTS with the seeds 0 to 7, drawn as one batch in float64."""
    return [r.images for r in draw(folder, dtype="float64")]


pytestmark = pytest.mark.usefixtures("light_torch")


def target(folder, **options):
    return DiffusersTarget(
        str(folder), **({"device": "cpu", "steps": 2, "batch_size": 8, "probe": False} | options)
    )


def respond(made, prompts=PROMPTS, seeds=None):
    """Responses in the prompts' order, all asked for at once."""
    seeds = range(len(prompts)) if seeds is None else seeds

    async def ask():
        todo = (made.respond(p, seed=s) for p, s in zip(prompts, seeds, strict=True))
        return await asyncio.wait_for(asyncio.gather(*todo), 60)

    return asyncio.run(ask())


def draw(folder, prompts=PROMPTS, seeds=None, **options):
    made = target(folder, **options)
    try:
        return respond(made, prompts, seeds)
    finally:
        asyncio.run(made.close())


def levels(response):
    (data,) = response.images
    return np.asarray(Image.open(io.BytesIO(data))).astype(int)


def count_batches(made):
    """Sizes of the batches that the pipeline is called with, in a list that fills."""
    sizes = []
    pipeline = made.drawing.pipeline

    class Counting:
        def __call__(self, **arguments):
            sizes.append(len(arguments["prompt"]))
            return pipeline(**arguments)

    made.drawing.pipeline = Counting()
    return sizes


# -- batches and seeds --------------------------------------------------------------------------------------


def test_a_batch_draws_what_single_calls_draw(folder, reference):
    """In float64 byte for byte: no noise hangs on the batch. float32 sums in another order, to one level."""
    assert all(len(images) == 1 for images in reference)
    assert len(set(reference)) == 8
    for size in (1, 3):
        assert [r.images for r in draw(folder, dtype="float64", batch_size=size)] == reference

    batch, single = (draw(folder, dtype="float32", batch_size=n) for n in (8, 1))
    apart = [np.abs(levels(a) - levels(b)) for a, b in zip(batch, single, strict=True)]
    assert max(d.max() for d in apart) <= 1
    assert np.mean([d.mean() for d in apart]) < 0.01


def test_the_batch_size_is_used(folder):
    made = target(folder, batch_size=4)
    sizes = count_batches(made)
    respond(made)
    assert sizes == [4, 4]
    assert made.max_concurrency == 8


def test_a_seed_gives_its_picture_and_another_seed_another(folder):
    first, again, other, prompt = draw(
        folder, ["a quiet harbour"] * 3 + ["a shot"], [5, 5, 6, 5], dtype="float64"
    )
    assert first.images == again.images
    assert first.images != other.images
    assert first.images != prompt.images  # a picture is of its prompt, too
    assert [r.seed for r in (first, again, other)] == [5, 5, 6]
    assert draw(folder, ["a quiet harbour"], [5], dtype="float64")[0].images == first.images


def test_pictures_are_png_without_metadata(folder):
    (response,) = draw(folder, PROMPTS[:1])
    picture = Image.open(io.BytesIO(response.images[0]))
    assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", (SIDE, SIDE))
    assert picture.info == {}
    assert set(chunks(response.images[0])) == {b"IHDR", b"IDAT", b"IEND"}
    assert response.latency_s > 0


def test_options_reach_the_pipeline(folder):
    plain, guided, negative, larger = (
        draw(folder, PROMPTS[:2], **options)[0]
        for options in (
            {},
            {"guidance_scale": 1.0},
            {"negative_prompt": "a harbour"},
            {"width": 48, "height": 32},
        )
    )
    assert len({plain.images, guided.images, negative.images}) == 3
    assert levels(larger).shape == (32, 48, 3)
    sliced = draw(folder, PROMPTS[:1], attention_slicing=True, vae_tiling=True)[0]
    assert sliced.error is None


def chunks(data):
    """The names of a PNG's chunks."""
    place = 8
    while place < len(data):
        yield data[place + 4 : place + 8]
        place += 12 + int.from_bytes(data[place : place + 4], "big")


def test_another_family_of_pipelines(tmp_path):
    """FLUX: no safety checker, and what CLIP cuts off at 77 tokens T5 still reads up to 512."""
    place = tiny_images.flux(tmp_path)
    prompts = ["a shot", "quiet " * 300, "quiet " * 600]
    options = {"width": SIDE, "height": SIDE, "dtype": "float64"}
    batch, single = (draw(place, prompts, batch_size=n, **options) for n in (3, 1))
    assert [r.safety for r in batch] == [
        {"nsfw_content_detected": None},
        {"nsfw_content_detected": None},
        {"nsfw_content_detected": None, "truncated_tokens": 88},
    ]
    assert [r.images for r in batch] == [r.images for r in single]
    assert len({r.images for r in batch}) == 3


# -- the safety checker -------------------------------------------------------------------------------------


def with_threshold(folder, place, threshold):
    """A copy of the pipeline whose safety checker has this threshold."""
    shutil.copytree(folder, place)
    tiny_images.save_checker(place / "safety_checker", threshold)
    return place


def test_flags_are_read(folder, unchecked, tmp_path):
    none = draw(folder)
    assert [r.safety for r in none] == [{"nsfw_content_detected": False}] * 8

    every = draw(with_threshold(folder, tmp_path / "all", ALWAYS))
    assert [r.safety for r in every] == [{"nsfw_content_detected": True}] * 8
    assert all(r.images and levels(r).max() == 0 and r.error is None for r in every)

    without = draw(unchecked, PROMPTS[:2])
    assert [r.safety for r in without] == [{"nsfw_content_detected": None}] * 2
    assert levels(without[0]).max() > 0


def test_some_are_flagged_and_the_flag_stays_with_its_picture(folder, tmp_path):
    cosines = largest_cosines(folder)
    middle = float(np.sort(cosines)[3:5].mean())
    some = draw(with_threshold(folder, tmp_path / "some", middle), batch_size=3)
    flags = [r.safety["nsfw_content_detected"] for r in some]
    assert flags == [bool(c > middle) for c in cosines]
    assert sum(flags) == 4
    assert [int(levels(r).max()) == 0 for r in some] == flags


def largest_cosines(folder):
    """Of each picture of PROMPTS with the 17 concepts, as the pipeline's own parts compute it."""
    from diffusers import StableDiffusionPipeline
    from diffusers.pipelines.stable_diffusion.safety_checker import cosine_distance

    parts = StableDiffusionPipeline.from_pretrained(folder)
    pictures = [Image.fromarray(levels(r).astype("uint8")) for r in draw(folder)]
    pixels = parts.feature_extractor(pictures, return_tensors="pt").pixel_values
    with torch.no_grad():
        checker = parts.safety_checker
        seen = checker.visual_projection(checker.vision_model(pixels)[1])
        return cosine_distance(seen, checker.concept_embeds).max(dim=1).values.numpy()


def test_keep_flagged_hands_over_what_the_checker_would_blacken(folder, unchecked, reference, tmp_path):
    kept = draw(with_threshold(folder, tmp_path / "all", ALWAYS), dtype="float64", keep_flagged=True)
    assert [r.safety for r in kept] == [{"nsfw_content_detected": True}] * 8
    assert [r.images for r in kept] == reference

    unflagged = draw(folder, dtype="float64", keep_flagged=True, batch_size=3)
    assert [r.safety for r in unflagged] == [{"nsfw_content_detected": False}] * 8
    assert [r.images for r in unflagged] == reference
    assert draw(unchecked, PROMPTS[:1], keep_flagged=True)[0].safety == {"nsfw_content_detected": None}


# -- what goes wrong ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        lambda: RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"),
    ],
)
def test_out_of_memory_halves_the_batch_for_good(folder, reference, error):
    made = target(folder, dtype="float64")
    real, sizes = made.drawing.pipeline, []

    def small(**arguments):
        sizes.append(len(arguments["prompt"]))
        if len(arguments["prompt"]) > 2:
            raise error()
        return real(**arguments)

    made.drawing.pipeline = small
    assert [r.images for r in respond(made)] == reference
    assert sizes == [8, 4, 2, 2, 2, 2]
    sizes.clear()
    assert [r.images for r in respond(made)] == reference
    assert sizes == [2, 2, 2, 2]


def test_out_of_memory_with_one_picture_is_an_error_and_no_refusal(folder):
    made = target(folder)

    def full(**arguments):
        raise torch.OutOfMemoryError("CUDA out of memory")

    made.drawing.pipeline = full
    responses = respond(made, PROMPTS[:3])
    assert [r.error.kind for r in responses] == ["server"] * 3
    assert all(r.images == () and "nsfw_content_detected" not in r.safety for r in responses)


@pytest.mark.parametrize(
    ("error", "kind"),
    [(ValueError("no\n such prompt"), "bad_request"), (RuntimeError("device-side"), "server")],
)
def test_one_bad_prompt_spares_the_others(folder, reference, error, kind):
    made = target(folder, dtype="float64")
    real = made.drawing.pipeline

    def picky(**arguments):
        if PROMPTS[5] in arguments["prompt"]:
            raise error
        return real(**arguments)

    made.drawing.pipeline = picky
    responses = respond(made)
    assert [r.error is None for r in responses] == [n != 5 for n in range(8)]
    assert responses[5].error.kind == kind
    assert "\n" not in responses[5].error.message
    assert responses[5].images == ()
    assert [r.images for n, r in enumerate(responses) if n != 5] == reference[:5] + reference[6:]
    assert made._batches.room.size == 8


def test_a_guardrail_that_raises_is_a_refusal_and_spares_the_others(folder):
    """Cosmos of diffusers raises a ValueError, which repeats the prompt, for a prompt that it stops."""

    made = target(folder)
    real = made.drawing.pipeline

    def guarded(**arguments):
        for prompt in arguments["prompt"]:
            if prompt == PROMPTS[2]:
                raise ValueError(f"Cosmos Guardrail detected unsafe text in the prompt: {prompt}. Please")
        return real(**arguments)

    made.drawing.pipeline = guarded
    responses = respond(made, PROMPTS[:4])
    assert [r.error for r in responses] == [None] * 4
    assert [len(r.images) for r in responses] == [1, 1, 0, 1]
    (layer,) = responses[2].layers
    assert (layer.layer, layer.stage, layer.blocked) == ("cosmos_guardrail", "prompt_filter", True)
    assert PROMPTS[2] not in layer.reason


def test_hostile_prompts_are_drawn(folder):
    prompts = ["", "a \ud800 shot", "espresso " * 11_000, "\x00<|endoftext|>\u202e", "a shot"]
    made = target(folder)
    tokens = len(made.drawing.tokenizers[0][0](prompts[2])["input_ids"])
    responses = respond(made, prompts)
    assert [len(r.images) for r in responses] == [1] * 5
    assert responses[1].safety["replaced_characters"] == 1
    assert responses[2].safety["truncated_tokens"] == tokens - 77
    assert responses[4].safety == {"nsfw_content_detected": False}


@pytest.mark.parametrize("form", ["list", "tuple", "array"])
def test_other_outputs_are_read(folder, reference, form):
    made = target(folder, dtype="float64")
    real = made.drawing.pipeline

    def other(**arguments):
        images = real(**arguments).images
        if form == "list":
            return images
        return (images, None) if form == "tuple" else (np.stack([np.asarray(i) / 255 for i in images]),)

    made.drawing.pipeline = other
    responses = respond(made)
    assert [r.images for r in responses] == reference
    assert {r.safety["nsfw_content_detected"] for r in responses} == {None}


@pytest.mark.parametrize("output", [None, "picture", [], ["picture"], {"frames": 1}])
def test_an_output_without_pictures_is_an_error(folder, output):
    made = target(folder)
    made.drawing.pipeline = lambda **arguments: output
    (response,) = respond(made, PROMPTS[:1])
    assert response.error.kind == "server"
    assert response.images == ()


# -- loading ------------------------------------------------------------------------------------------------


def test_pickled_weights_are_not_loaded(folder, tmp_path):
    place = tmp_path / "pickled"
    shutil.copytree(folder, place)
    weights = place / "safety_checker" / "model.safetensors"
    from safetensors.torch import load_file

    torch.save(load_file(weights), weights.with_name("pytorch_model.bin"))
    weights.unlink()
    with pytest.raises(InputError, match="safetensors") as caught:
        target(place)
    assert "safety_checker" in caught.value.fix
    assert "pytorch_model.bin is a pickle" in caught.value.fix


def test_code_in_a_folder_does_not_run(folder, tmp_path):
    place = tmp_path / "code"
    shutil.copytree(folder, place)
    ran = tmp_path / "ran"
    code = f"open({str(ran)!r}, 'w')\nfrom diffusers import UNet2DConditionModel as Mine\n"
    (place / "unet" / "mine.py").write_text(code)
    index = json.loads((place / "model_index.json").read_text())
    (place / "model_index.json").write_text(json.dumps(index | {"unet": ["mine", "Mine"]}))
    with pytest.raises(InputError) as caught:
        target(place)
    assert "trust_remote_code" in caught.value.fix
    assert not ran.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch_size": 0}, "at least one"),
        ({"device": "abacus"}, "abacus"),
        ({"dtype": "int8"}, "int8"),
        ({"dtype": "float99"}, "float99"),
        ({"offload": "all"}, "offload"),
        ({"width": 64}, "width and height"),
        ({"offload": "model"}, "nothing to offload"),
        ({"variant": "fp16"}, "cannot be loaded"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_drawn(folder, options, words):
    with pytest.raises(InputError, match=words):
        target(folder, **options)


@pytest.mark.parametrize("model", ["/no/such/folder", "a/b/c/d"])
def test_a_missing_folder_is_said(model):
    with pytest.raises(InputError, match="cannot be loaded") as caught:
        DiffusersTarget(model, device="cpu")
    assert caught.value.fix


def test_a_pipeline_that_draws_no_text_is_said(tmp_path):
    from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

    blocks = {"down_block_types": ("DownBlock2D",), "up_block_types": ("UpBlock2D",)}
    unet = UNet2DModel(sample_size=8, block_out_channels=(8,), norm_num_groups=4, **blocks)
    DDPMPipeline(unet, DDPMScheduler()).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="no text-to-image pipeline"):
        target(tmp_path)


def test_it_is_a_target_and_closes(folder):
    made = target(folder)
    assert isinstance(made, Target)
    assert made.name == f"diffusers/{folder}"
    assert made.modality == "image"
    respond(made, PROMPTS[:1])
    asyncio.run(made.close())
    (after,) = respond(made, PROMPTS[:1])
    assert after.error is not None  # and no exception
    asyncio.run(made.close())


# -- pictures that are no numbers ---------------------------------------------------------------------------


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("has_checker", [True, False])
def test_a_decoder_without_numbers_is_told(folder, unchecked, value, has_checker):
    made = target(folder if has_checker else unchecked)
    with torch.no_grad():
        made.drawing.pipeline.vae.decoder.conv_out.bias.fill_(value)
    found = respond(made, PROMPTS[:2])
    assert [r.safety.get("not_finite") for r in found] == [True, True]
    assert all(len(r.images) == 1 for r in found)
    asyncio.run(made.close())


def test_only_the_picture_without_numbers_is_meant(unchecked):
    made = target(unchecked)
    decode = made.drawing.pipeline.vae.decode
    calls = []

    def one_of_them(latents, **more):
        latents = latents.clone()
        if len(latents) > 1:
            latents[1] = torch.nan
        calls.append(len(latents))
        return decode(latents, **more)

    made.drawing.pipeline.vae.decode = one_of_them
    found = respond(made, PROMPTS[:3])
    assert [r.safety.get("not_finite", False) for r in found] == [False, True, False]
    asyncio.run(made.close())


def test_a_pipeline_without_a_decoder_is_watched_too(unchecked):
    """numpy's warning tells it of the batch, which is then drawn one by one."""
    made = target(unchecked)
    pipeline = made.drawing.pipeline

    class Pixels:
        def __call__(self, prompt, **arguments):
            levels = np.full((len(prompt), 8, 8, 3), 0.5)
            levels[[n for n, text in enumerate(prompt) if text == PROMPTS[1]]] = np.nan
            return type(
                "Output", (), {"images": [Image.fromarray((x * 255).astype("uint8")) for x in levels]}
            )

    made.drawing.pipeline = Pixels()
    found = respond(made, PROMPTS[:3])
    assert [r.error for r in found] == [None] * 3
    assert [r.safety.get("not_finite", False) for r in found] == [False, True, False]
    made.drawing.pipeline = pipeline
    asyncio.run(made.close())


def test_only_a_checker_may_have_blackened(folder, unchecked):
    assert target(folder).blank_is_refusal
    assert not target(unchecked).blank_is_refusal
