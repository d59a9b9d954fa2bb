"""Faults of local pictures that nothing told: numbers that are none, options that do nothing, pipelines that
draw no picture, and what a probe picture shows before a run."""

import asyncio
import io
import json
import shutil

import pytest
from support import tiny_images
from support.builders import make_prompt
from support.tiny_images import ALWAYS, SIDE
from support.tiny_pipelines import families

torch = pytest.importorskip("torch", reason="needs the extra [local]")
pytest.importorskip("diffusers", reason="needs the extra [local]")
np = pytest.importorskip("numpy")

from PIL import Image  # noqa: E402

from overt.data.errors import InputError  # noqa: E402
from overt.data.pictures import measure  # noqa: E402
from overt.generation.images import numbers, pipeline_outputs  # noqa: E402
from overt.registry import load_target  # noqa: E402
from overt.scoring.refusal import decide  # noqa: E402

FAMILIES = families()


pytestmark = pytest.mark.usefixtures("light_torch")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """name of a family -> its folder, built once."""
    place, done = tmp_path_factory.mktemp("families"), {}

    def build(name):
        if name not in done:
            done[name] = place / str(len(done))
            FAMILIES[name].build(done[name])
        return done[name]

    return build


def loaded(folder, query="", **options):
    return load_target(f"diffusers/{folder}{query}", device="cpu", **options)


PROMPTS = ("a shot", "a harbour", "an espresso")


def drawn(made, prompts=PROMPTS):
    async def ask():
        return await asyncio.gather(*(made.respond(p, seed=n) for n, p in enumerate(prompts)))

    responses = asyncio.run(ask())
    asyncio.run(made.close())
    return responses


# -- numbers -------------------------------------------------------------------------------------------------


def overflowing(folder, to, factor=3e5):
    """A copy of a pipeline whose decoder overflows in float16 and not in float32: its values are scaled down
    again by the next norm."""
    from diffusers import AutoencoderKL

    shutil.copytree(folder, to)
    vae = AutoencoderKL.from_pretrained(to / "vae")
    with torch.no_grad():
        vae.decoder.conv_in.weight.mul_(factor)
    vae.save_pretrained(to / "vae")
    return to


def test_a_decoder_that_overflows_in_float16_is_no_refusal(tmp_path):
    """Stable Diffusion 1 has no upcast of its own: the picture came out black, and the checker said False."""
    bad = overflowing(tiny_images.pipeline(tmp_path / "good"), tmp_path / "bad")
    query = "?steps=1&guidance_scale=1&width=16&height=16&probe=false"
    (half,) = drawn(loaded(bad, f"{query}&dtype=float16"), PROMPTS[:1])
    (full,) = drawn(loaded(bad, f"{query}&dtype=float32"), PROMPTS[:1])
    assert half.safety == {"nsfw_content_detected": False, "decoded_in_float32": True}
    assert full.safety == {"nsfw_content_detected": False}
    apart = np.abs(levels(half).astype(int) - levels(full).astype(int))
    assert apart.mean() < 8  # the same picture
    assert state_of(half) == state_of(full)


def state_of(response):
    outcome = decide(
        make_prompt(PROMPTS[0]),
        response,
        target="diffusers/x",
        sample=0,
        images=("a.png",),
        facts=[measure(response.images[0])],
        blank_is_refusal=True,
    )
    return outcome.state, outcome.code


def levels(response):
    return np.asarray(Image.open(io.BytesIO(response.images[0])))


class Decoder(torch.nn.Module):
    """A decoder in half precision. `limit`: rows with larger latents overflow unless they are in float32."""

    def __init__(self, limit=1.0, shape=(3, 4, 4)):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1, dtype=torch.float16))
        self.limit, self.shape, self.calls = limit, shape, []

    def decode(self, z, return_dict=True, generator=None):
        self.calls.append((z.dtype, len(z)))
        found = torch.ones(len(z), *self.shape, dtype=z.dtype) * z.flatten(1).mean(1).view(
            -1, *[1] * len(self.shape)
        )
        if z.dtype == torch.float16:
            found[[bool(row.abs().max() > self.limit) for row in z]] = torch.inf
        return type("Output", (dict,), {"sample": found})() if return_dict else (found,)


class Parts:
    def __init__(self, **parts):
        self.components = parts


def watched(**parts):
    return numbers.watch_numbers(Parts(**parts))


LATENTS = torch.tensor([0.5, 2.0, 0.25], dtype=torch.float16).view(3, 1, 1, 1).repeat(1, 4, 2, 2)


@pytest.mark.parametrize("name", ["vae", "movq", "vqgan", "decoder_movq", "vqvae"])
@pytest.mark.parametrize("shape", [(3, 4, 4), (3, 1, 4, 4)])
@pytest.mark.parametrize("return_dict", [True, False])
def test_only_the_picture_that_overflows_is_decoded_again(name, shape, return_dict):
    """Of every kind of decoder: VQ models, and those with a time axis (Qwen-Image)."""
    part = Decoder(shape=shape)
    with watched(**{name: part}) as found:
        output = part.decode(LATENTS, return_dict=return_dict, generator=[1, 2, 3])
    tensor = output.sample if return_dict else output[0]
    assert [(f.is_finite, f.was_decoded_again) for f in found.found(3)] == [
        (True, False),
        (True, True),
        (True, False),
    ]
    assert tensor.flatten(1)[:, 0].tolist() == [0.5, 2.0, 0.25]
    assert part.calls == [(torch.float16, 3), (torch.float32, 1)]
    assert part.weight.dtype == torch.float16  # as it was


def test_decoding_one_by_one_is_read_by_picture():
    part = Decoder()
    with watched(vae=part) as found:
        for row in LATENTS:
            part.decode(row[None])
    assert [f.was_decoded_again for f in found.found(3)] == [False, True, False]


@pytest.mark.parametrize("is_hidden", [True, False])
def test_latents_of_nan_are_told_even_if_the_decoder_hides_them(is_hidden):
    """A codebook has a finite neighbour for NaN as well."""
    part = Decoder()
    if is_hidden:
        part.decode = lambda z: torch.zeros(len(z), 3, 4, 4, dtype=z.dtype)
    spoilt = LATENTS.clone()
    spoilt[2] = torch.nan
    spoilt[1] = 0.0
    with watched(vae=part) as found:
        part.decode(spoilt)
    assert [f.is_finite for f in found.found(3)] == [True, True, False]


@pytest.mark.parametrize("name", ["unet", "net"])
def test_pixels_that_no_decoder_makes_are_watched_where_they_are_drawn(name):
    """DeepFloyd IF clamps infinity to white, so that neither the picture nor numpy tells it."""

    class Unet(torch.nn.Module):
        def forward(self, value):
            return (torch.full((2, 3, 4, 4), value),)

    unet = Unet()
    found = watched(**{name: unet})
    with found:
        unet(float("inf"))  # only the last output counts: what came before may be clipped
        unet(1.0)
    assert [f.is_finite for f in found.found(2)] == [True, True]
    with found:
        unet(float("inf"))
    assert [f.is_finite for f in found.found(1)] == [False]
    with pytest.raises(ArithmeticError):  # drawn one by one, it is known which
        found.found(2)


# -- what a pipeline gives back ------------------------------------------------------------------------------


def picture():
    return Image.new("RGB", (4, 6), (255, 0, 0))


@pytest.mark.parametrize(
    "output",
    [
        {"images": [picture()]},
        type("Output", (), {"image": [picture()]})(),  # Kandinsky 5
        type("Output", (), {"image": picture()})(),
        [picture()],
        (picture(),),
        ([picture()], None),
        np.asarray(picture())[None] / 255,
        (np.asarray(picture()),),
        np.asarray(picture()).astype("int64")[None],
        np.asarray(picture()) * 1.2 / 255 - 0.1,  # a decoder goes a little past the ends
        torch.tensor(np.asarray(picture()) / 255).permute(2, 0, 1)[None],
        ([torch.tensor(np.asarray(picture()) / 255).permute(2, 0, 1)],),
    ],
)
def test_pictures_are_found_in_every_form(output):
    (found,) = pipeline_outputs.pictures(output)
    assert np.array_equal(np.asarray(found), np.asarray(picture()))


@pytest.mark.parametrize("numbers", [np.array([0.0, 255.0]), np.array([-1.0, 1.0]), np.array([0, 300])])
def test_pictures_on_another_scale_are_no_other_pictures(numbers):
    with pytest.raises(RuntimeError, match="instead of 0 to 1"):
        pipeline_outputs.pictures([np.resize(numbers, (4, 6, 3))])


@pytest.mark.parametrize(
    "output",
    [
        ([picture(), picture()], [True, False]),
        (np.zeros((2, 4, 6, 3)), np.array([True, False])),
        {"images": [picture(), picture()], "nsfw_content_detected": torch.tensor([True, False])},
        type("Output", (), {"images": [picture()] * 2, "nsfw_content_detected": [np.True_, np.False_]})(),
    ],
)
def test_flags_are_found_in_every_form(output):
    assert [bool(flag) for flag in pipeline_outputs.safety_flags(output)] == [True, False]


@pytest.mark.parametrize("output", [([picture()], None), ([picture()], [0.3]), ([picture()],), [picture()]])
def test_what_is_no_flag_is_none(output):
    assert pipeline_outputs.safety_flags(output) is None


OWN_CODE = """
from diffusers import StableDiffusionPipeline

class Mine(StableDiffusionPipeline):
    def __call__(self, prompt, generator=None, num_inference_steps=1):
        output = super().__call__(
            prompt, generator=generator, num_inference_steps=num_inference_steps, output_type="np"
        )
        return output.images, FLAGS
"""


@pytest.mark.parametrize(
    ("flags", "found"),
    [
        ("output.nsfw_content_detected", (True, None)),
        ("[0.9]", (None, None)),
        ("{}", (None, None)),
    ],
)
def test_a_pipeline_of_ones_own_hands_its_flags_out_in_a_tuple(tmp_path, flags, found):
    tiny_images.pipeline(tmp_path, threshold=ALWAYS)
    index = json.loads((tmp_path / "model_index.json").read_text())
    (tmp_path / "model_index.json").write_text(json.dumps(index | {"_class_name": ["pipeline", "Mine"]}))
    (tmp_path / "pipeline.py").write_text(OWN_CODE.replace("FLAGS", flags))
    (response,) = drawn(loaded(tmp_path, "?trust_remote_code=true&probe=false"), PROMPTS[:1])
    assert (response.safety["nsfw_content_detected"], response.error) == found


def test_a_checker_that_gives_scores_is_not_read_as_yes(built):
    made = loaded(built("Stable Diffusion 1.5"), "?steps=1&probe=false")
    pipeline = made.drawing.pipeline
    pipeline.run_safety_checker = lambda image, *_: (image, [0.02] * len(image))
    (response,) = drawn(made, PROMPTS[:1])
    assert "neither yes nor no" in response.error.message


def test_a_watermark_that_blackens_is_an_error_and_no_refusal(tmp_path):
    """DeepFloyd IF's checker has two lists; one of them says nothing of what is unsafe."""
    from support.tiny_pipelines_unet import deepfloyd

    deepfloyd(tmp_path / "marked", watermarks=True)
    deepfloyd(tmp_path / "both", flags=True, watermarks=True)
    folders = (tmp_path / "marked", tmp_path / "both")
    states = [state_of(drawn(loaded(one, "?steps=2"), ["a shot"])[0]) for one in folders]
    assert states == [("error", "nothing_drawn"), ("refused", "nsfw_content_detected")]


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("WanPipeline", "draws videos"),
        ("CogVideoXPipeline", "draws videos"),
        ("AnimateDiffPipeline", "draws videos"),
        ("Kandinsky5T2VPipeline", "draws videos"),
        ("StableAudioPipeline", "makes sound"),
        ("ShapEPipeline", "3D"),
        ("KandinskyV22PriorPipeline", "prior"),
    ],
)
def test_what_draws_no_picture_is_refused_before_its_weights_are_read(tmp_path, kind, why):
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": kind}))
    with pytest.raises(InputError, match=why):
        loaded(tmp_path)


# -- arguments -----------------------------------------------------------------------------------------------


def test_any_argument_of_the_pipeline_can_be_passed(built):
    place = built("FLUX.1 dev")
    made = loaded(
        place,
        "?width=32&height=32&steps=1&probe=false&negative_prompt=x&call.true_cfg_scale=4&call.sigmas=[0.7]"
        "&call.prompt_2=a shot&call.max_sequence_length=64",
    )
    assert made.drawing.arguments == {
        "width": 32,
        "height": 32,
        "num_inference_steps": 1,
        "negative_prompt": "x",
        "true_cfg_scale": 4.0,
        "sigmas": [0.7],
        "prompt_2": "a shot",
        "max_sequence_length": 64,
    }
    assert made.name.endswith("call.max_sequence_length=64")
    responses = drawn(made)
    assert [r.error for r in responses] == [None] * 3
    assert [(r.batch_size, r.batch_s > 0) for r in responses] == [(3, True)] * 3


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("call.guidnce_rescale=1", "Did you mean call.guidance_rescale"),
        ("call.nothing_like_it=1", "It takes: "),
        ("call.generator=1", "seed goes there"),
        ("call.prompt=x", "each prompt of the data set"),
        ("call.output_type=pt", "as the pipeline draws them"),
        ("call.callback_on_step_end=x", "between the steps"),
        ("call.eta=much", "not a number"),
        ("call.clip_skip=0.5", "not a whole number"),
        ("call.latents=1", "cannot be written in a name"),
        ("call.cross_attention_kwargs=[1", "JSON"),
        ("call.guidance_scale=2&guidance_scale=3", "the same argument"),
        ("call=3", "call holds arguments"),
        ("call.a.b=3", "not key=value"),
        ("other.eta=3", "takes no option 'other'"),
        ("lora_scale=1", "weight of a LoRA"),
        ("lora=/no/such/file", "no LoRA"),
        ("transformer=/no/such/file.gguf", "no file of weights"),
        ("config=x", "config is for a single file"),
        ("steps=-3", "steps is -3"),
        ("call.num_inference_steps=0", "steps is 0"),
        ("guidance_scale=nan", "no number to draw with"),
        ("call.guidance_rescale=inf", "no number to draw with"),
        ("width=0&height=0", "width is 0"),
        ("call.width=64", "width and height go together"),
        ("revision=main", "revision is for the Hub"),
    ],
)
def test_an_argument_that_does_not_fit_is_told(built, query, words):
    with pytest.raises(InputError) as caught:
        loaded(built("Stable Diffusion 1.5"), f"?probe=false&{query}")
    assert words in f"{caught.value}"


# -- the probe picture ---------------------------------------------------------------------------------------


def notes(folder, query):
    made = loaded(folder, query)
    asyncio.run(made.close())
    return made.notes, made.facts


def test_the_dtype_is_that_of_the_model_that_draws(built):
    """The safety checker computes in float32, and comes first in some processes."""
    _, facts = notes(built("Stable Diffusion 1.5"), "?steps=1&dtype=bfloat16&probe=false")
    assert facts["dtype"] == "torch.bfloat16"


def test_how_it_draws_is_told(built):
    said, facts = notes(built("Stable Diffusion 1.5"), "?steps=3")
    assert said == (
        f"StableDiffusionPipeline draws {SIDE} x {SIDE} in 3 steps, guidance_scale 7.5, its own safety "
        "checker looks at each picture",
    )
    assert facts["size"] == [SIDE, SIDE]
    assert facts["safety_checker"] is True
    assert facts["no_effect"] == {}


@pytest.mark.parametrize("probe", ["true", "false"])
@pytest.mark.parametrize(
    ("family", "query", "idle"),
    [
        ("FLUX.1 schnell", "guidance_scale=5", "guidance_scale"),
        ("FLUX.1 dev", "negative_prompt=x", "negative_prompt"),
        ("Qwen-Image", "steps=2", "true_cfg_scale"),
    ],
)
def test_what_does_nothing_is_told(built, family, query, idle, probe):
    said, facts = notes(built(family), f"?width=32&height=32&{query}&probe={probe}")
    assert idle in facts["no_effect"]
    assert [line for line in said if line.startswith(f"{idle}=") and "no effect" in line]


@pytest.mark.parametrize(
    ("family", "query"),
    [
        ("Stable Diffusion 1.5", "negative_prompt=x"),
        ("FLUX.1 dev", "guidance_scale=5"),
        ("FLUX.1 dev", "negative_prompt=x&call.true_cfg_scale=4"),
        ("Qwen-Image", "negative_prompt=x"),
    ],
)
def test_what_does_something_is_not_told(built, family, query):
    said, facts = notes(built(family), f"?width=32&height=32&{query}")
    assert len(said) == 1
    assert query.partition("=")[0] not in facts["no_effect"]


def test_a_negative_prompt_without_guidance_is_told_by_the_picture_before_the_checker(tmp_path):
    """The checker blackens every picture here: they are compared before it."""
    folder = tiny_images.pipeline(tmp_path / "flagged", threshold=ALWAYS)
    _, facts = notes(folder, "?negative_prompt=x")
    assert facts["no_effect"] == {}
    _, facts = notes(folder, "?negative_prompt=x&guidance_scale=1")
    assert facts["no_effect"] == {"negative_prompt": "x"}
    assert facts["classifier_free_guidance"] is False


def test_another_size_than_asked_for_is_told(built):
    """Kandinsky 3 draws steps of 64 pixels. Its pictures depend on their batch, which is told as well."""
    said, facts = notes(built("Kandinsky 3"), "?width=32&height=32&steps=2")
    assert facts["asked_size"] == [32, 32]
    assert facts["size"] == [64, 64]
    assert any("asked for 32 x 32, it draws 64 x 64" in line for line in said)
    assert facts["batch_levels"] > 1
    assert any("depends on the prompts drawn beside it" in line for line in said)
    said, facts = notes(built("Kandinsky 3"), "?width=64&height=64&steps=2&batch_size=1")
    assert facts["batch_levels"] is None
    assert not any("drawn beside it" in line for line in said)


def test_what_fails_with_every_picture_fails_at_load(built, tmp_path):
    folder = built("Stable Diffusion 1.5")
    with pytest.raises(InputError, match="divisible by 8"):
        loaded(folder, "?width=36&height=36")
    with pytest.raises(InputError, match="drawn to try it is NaN"):
        loaded(overflowing(folder, tmp_path / "nan", 3e38))


def test_the_probe_leaves_no_trace(built):
    """A scheduler with a memory, and random numbers of torch's own."""
    folder = built("Stable Diffusion 1.5")
    from diffusers import DPMSolverMultistepScheduler

    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    found = []
    for probe in (True, False):
        made = loaded(folder, f"?steps=3&dtype=float64&probe={str(probe).lower()}")
        scheduler = made.drawing.pipeline.scheduler
        assert "timesteps" in vars(scheduler)
        made.drawing.pipeline.scheduler = DPMSolverMultistepScheduler.from_config(scheduler.config)
        found.append([r.images for r in drawn(made)])
    assert found[0] == found[1]
    assert torch.equal(torch.random.get_rng_state(), before)


# -- prompts and batches -------------------------------------------------------------------------------------


ODD = (
    "",
    "   ",
    "espresso " * 2_000,
    "a \ud800 shot",
    "\U0001f431\u200d\U0001f409 \u202e\x00",
    "<|endoftext|> <|im_start|>system </s> [INST] <pad>",
    "(a shot:1.5) [harbour|espresso] ((word)) a AND b BREAK <lora:x:1>",
    "{prompt} %s {0} $(ls)",
)


@pytest.mark.parametrize("family", ["Stable Diffusion 1.5", "FLUX.1 dev", "Qwen-Image"])
def test_odd_prompts_are_drawn_and_spare_their_batch(built, family):
    made = loaded(built(family), "?width=32&height=32&steps=1&probe=false", batch_size=8)
    responses = drawn(made, ODD)
    assert [(len(r.images), r.error) for r in responses] == [(1, None)] * len(ODD)
    assert {r.batch_size for r in responses} == {8}


def test_the_single_file_of_a_part_and_a_lora_are_loaded(built, tmp_path):
    folder = built("FLUX.1 dev")
    (weights,) = (folder / "transformer").glob("*.safetensors")
    shutil.copy(weights, tmp_path / "mine.safetensors")
    query = "?width=32&height=32&steps=1&dtype=float64&probe=false"
    plain, apart, whole = (
        [r.images for r in drawn(made)]
        for made in (
            loaded(folder, query),
            loaded(folder, f"{query}&transformer={tmp_path}/mine.safetensors"),
            loaded(tmp_path / "mine.safetensors", f"{query}&config={folder}"),
        )
    )
    assert plain == apart == whole


def test_a_single_file_without_its_configuration_says_what_is_needed(built, tmp_path, monkeypatch):
    monkeypatch.setattr("overt.generation.images.pipeline_loading.is_cached", lambda repo: False)
    monkeypatch.setattr("overt.data.hub.hub_answers", lambda: (False, "it is not reached"))
    (weights,) = (built("FLUX.1 dev") / "transformer").glob("*.safetensors")
    shutil.copy(weights, tmp_path / "mine.safetensors")
    with pytest.raises(InputError, match="weights alone") as caught:
        loaded(tmp_path / "mine.safetensors")
    assert "config=FOLDER" in caught.value.fix


@pytest.mark.parametrize("fault", ["unet.", "down_blocks"])
def test_a_lora_changes_the_pictures_or_is_refused(built, tmp_path, fault):
    from diffusers import StableDiffusionPipeline
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict
    from safetensors.torch import load_file, save_file

    folder = built("Stable Diffusion 1.5")
    pipeline = StableDiffusionPipeline.from_pretrained(folder)
    pipeline.unet.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights=False))
    layers = get_peft_model_state_dict(pipeline.unet)
    pipeline.save_lora_weights(tmp_path, unet_lora_layers=layers)
    query = "?steps=2&dtype=float64&probe=false"
    plain, strong, weak = (
        drawn(loaded(folder, query + more), PROMPTS[:1])[0].images
        for more in ("", f"&lora={tmp_path}", f"&lora={tmp_path}&lora_scale=0")
    )
    assert plain == weak
    assert plain != strong
    (file,) = tmp_path.glob("*.safetensors")
    shutil.copy(file, tmp_path / "a.bin")
    (tmp_path / "cut").write_bytes(file.read_bytes()[:-9])
    (tmp_path / "cut").rename(tmp_path / "cut.safetensors")
    for name, words in (("a.bin", "no file of safetensors"), ("cut.safetensors", "cut off")):
        with pytest.raises(InputError, match=words):
            loaded(folder, f"{query}&lora={tmp_path}/{name}")
    half = {key.replace("unet.", "text_encoder_2."): value for key, value in load_file(file).items()}
    save_file(half | load_file(file), tmp_path / "half.safetensors")
    with pytest.raises(InputError, match="also has weights for text_encoder_2"):
        loaded(folder, f"{query}&lora={tmp_path}/half.safetensors")
    save_file({key.replace(fault, "other."): value for key, value in load_file(file).items()}, file)
    with pytest.raises(InputError):
        loaded(folder, f"{query}&lora={file}")


def apart(some, others):
    """The mean distance of pictures, in levels of 255."""
    pairs = zip(some, others, strict=True)
    return float(np.mean([np.abs(levels(a).astype(int) - levels(b).astype(int)).mean() for a, b in pairs]))


def test_a_transformer_in_gguf_and_one_of_torchao_draw_nearly_the_same(built, tmp_path):
    gguf = pytest.importorskip("gguf")
    pytest.importorskip("torchao")
    from diffusers import FluxTransformer2DModel, TorchAoConfig
    from safetensors.torch import load_file
    from torchao.quantization import Int8WeightOnlyConfig

    folder = built("FLUX.1 dev")
    query = "?width=32&height=32&steps=1&probe=false"
    plain = drawn(loaded(folder, query))

    (weights,) = (folder / "transformer").glob("*.safetensors")
    writer = gguf.GGUFWriter(str(tmp_path / "mine.gguf"), "flux")
    kind = gguf.GGMLQuantizationType.Q8_0
    for name, tensor in load_file(weights).items():
        values = tensor.float().numpy()
        if values.ndim == 2 and values.shape[-1] % 32 == 0:
            writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    by_block = drawn(loaded(folder, f"{query}&transformer={tmp_path}/mine.gguf"))

    shutil.copytree(folder, tmp_path / "ao")
    shutil.rmtree(tmp_path / "ao" / "transformer")
    FluxTransformer2DModel.from_pretrained(
        folder / "transformer", quantization_config=TorchAoConfig(Int8WeightOnlyConfig(version=2))
    ).save_pretrained(tmp_path / "ao" / "transformer")
    by_row = drawn(loaded(tmp_path / "ao", query))

    other = drawn(loaded(folder, query), PROMPTS[::-1])
    assert 0 < apart(plain, by_block) < apart(plain, other) / 3
    assert 0 < apart(plain, by_row) < apart(plain, other) / 3


def test_a_damaged_file_is_told_from_a_quantized_one(built, tmp_path):
    (weights,) = (built("FLUX.1 dev") / "transformer").glob("*.safetensors")
    (tmp_path / "cut.gguf").write_bytes(b"GGUF\x03\x00\x00\x00")
    (tmp_path / "cut.safetensors").write_bytes(weights.read_bytes()[:-100])
    for name in ("cut.gguf", "cut.safetensors"):
        with pytest.raises(InputError, match="cannot be loaded"):
            loaded(built("FLUX.1 dev"), f"?probe=false&transformer={tmp_path}/{name}")
