"""Where a pipeline's parts lie, what happens when the memory runs out, and the options for speed."""

import pytest
from support import tiny_images

torch = pytest.importorskip("torch", reason="needs the extra [local]")
diffusers = pytest.importorskip("diffusers", reason="needs the extra [local]")
np = pytest.importorskip("numpy")

from overt.data.errors import InputError  # noqa: E402
from overt.generation.images import pipeline_placement as placing  # noqa: E402
from overt.generation.images.pipeline_placement import (  # noqa: E402
    check_offload,
    checker_in_float32,
    decode_one_by_one_if_full,
    fitting,
    part_sizes,
    place,
)
from overt.generation.images.pipeline_speed import TUNINGS, tune  # noqa: E402

GB = 1 << 30
ALLOC_FAILED = "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_images.pipeline(tmp_path_factory.mktemp("tiny") / "with-checker")


pytestmark = pytest.mark.usefixtures("light_torch")


def load(folder, **options):
    made = diffusers.StableDiffusionPipeline.from_pretrained(folder, **options)
    made.set_progress_bar_config(disable=True)
    return made


def draw(made, count=4):
    prompts = [f"a shot of espresso {n}" for n in range(count)]
    generators = [torch.Generator("cpu").manual_seed(n) for n in range(count)]
    pictures = made(prompt=prompts, generator=generators, num_inference_steps=2).images
    return [np.asarray(picture).astype(int) for picture in pictures]


# -- offloading ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "free", "way"),
    [
        ({"unet": 5 * GB, "vae": GB}, 80 * GB, "none"),
        ({"transformer": 24 * GB, "text_encoder": 10 * GB}, 32 * GB, "model"),
        ({"transformer": 24 * GB, "text_encoder": 10 * GB}, 16 * GB, "sequential"),
        ({"transformer": 24 * GB}, None, "none"),  # main memory: nothing to offload from
    ],
)
def test_the_quickest_way_that_fits_is_taken(sizes, free, way):
    assert fitting(sizes, free) == way


def test_parts_are_measured_in_bytes(folder):
    full, half = part_sizes(load(folder)), part_sizes(load(folder, dtype=torch.float16))
    assert set(full) == {"unet", "vae", "text_encoder", "safety_checker"}
    assert full["unet"] == 2 * half["unet"] > 10_000


class Crowded:
    """A pipeline that does not fit a GPU with all, or any, of its parts at once."""

    def __init__(self, fits):
        self.fits, self.tried, self.components = fits, [], {}

    def _try(self, way):
        self.tried.append(way)
        if way != self.fits:
            raise RuntimeError(ALLOC_FAILED)

    def to(self, where):
        if where != "cpu":
            self._try("none")

    def enable_model_cpu_offload(self, device):
        self._try("model")

    def enable_sequential_cpu_offload(self, device):
        self._try("sequential")


def test_what_does_not_fit_is_offloaded_and_told(monkeypatch, caplog):
    monkeypatch.setattr(placing, "_free", lambda where: None)
    made = Crowded("sequential")
    assert place(made, "cuda", "auto", "diffusers/x") == "sequential"
    assert made.tried == ["none", "model", "sequential"]
    assert "does not fit cuda as a whole: offload=sequential" in caplog.text
    with pytest.raises(InputError, match="does not go onto cuda") as caught:
        place(Crowded("nothing"), "cuda", "auto", "diffusers/x")
    assert "offload=sequential" in caught.value.fix
    with pytest.raises(InputError):  # what the user chose is not changed behind their back
        place(Crowded("model"), "cuda", "none", "diffusers/x")


def test_offloading_is_checked_before_anything_is_loaded():
    for offload, where in (("some", "cuda"), ("model", "cpu")):
        with pytest.raises(InputError):
            check_offload(offload, where, "diffusers/x")
    check_offload("auto", "cpu", "diffusers/x")


# -- decoding ------------------------------------------------------------------------------------------------


def test_a_batch_that_cannot_be_decoded_is_decoded_one_by_one(folder, caplog):
    """The denoised batch is kept: the denoiser runs no further step, and the pictures are the same."""
    made = load(folder)
    expected = draw(made)
    steps, batches = [], []
    made.unet.register_forward_hook(lambda *_: steps.append(1))
    real = made.vae.decoder.forward

    def tight(latents, *others):
        batches.append(len(latents))
        if len(latents) > 1:
            raise RuntimeError("GET was unable to find an engine to execute this computation")
        return real(latents, *others)

    made.vae.decoder.forward = tight
    decode_one_by_one_if_full(made, "diffusers/x")
    found = draw(made)
    assert max(np.abs(a - b).max() for a, b in zip(expected, found, strict=True)) <= 1
    assert len(steps) == 2
    assert batches == [4, 1, 1, 1, 1]
    draw(made)
    assert batches[5:] == [1, 1, 1, 1]
    assert caplog.text.count("decoded one by one from now on") == 1


def test_other_errors_of_a_decoder_stay_errors(folder):
    made = load(folder)

    def broken(*_):
        raise RuntimeError("device-side assert")

    made.vae.decoder.forward = broken
    decode_one_by_one_if_full(made, "diffusers/x")
    with pytest.raises(RuntimeError, match="device-side"):
        draw(made)
    assert not made.vae.use_slicing


# -- the safety checker --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_checker_computes_in_float32(folder, dtype):
    made = load(folder, dtype=dtype)
    assert made.safety_checker.dtype == dtype
    checker_in_float32(made)
    seen = []
    # The checker itself, and the pixels that it is given.
    made.safety_checker.vision_model.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    draw(made, 2)
    assert made.safety_checker.dtype == torch.float32
    (pixels,) = seen
    assert pixels.dtype == torch.float32
    assert not torch.equal(pixels, pixels.to(dtype).float())  # they were not rounded on their way


def test_a_pipeline_without_a_checker_is_left_alone(tmp_path):
    checker_in_float32(load(tiny_images.pipeline(tmp_path / "without", checker=False)))


# -- options for speed ---------------------------------------------------------------------------------------


@pytest.fixture
def _tf32():
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@pytest.mark.usefixtures("_tf32")
@pytest.mark.parametrize("option", sorted(set(TUNINGS) - {"compile"}))
def test_an_option_for_speed_draws_the_same_and_is_told(folder, option):
    expected = draw(load(folder))
    made = load(folder)
    (note,) = tune(made, {option: True, "compile": False}, "diffusers/x")
    assert note.startswith(f"{option} changes")
    found = draw(made)
    assert max(np.abs(a - b).max() for a, b in zip(expected, found, strict=True)) <= 1


def test_the_denoiser_is_compiled_and_nothing_else(folder, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda call, **_: compiled.append(call) or call)
    made = load(folder)
    tune(made, {"compile": True}, "diffusers/x")
    assert compiled
    inside = set(made.unet.modules())
    assert all(call.__self__ in inside for call in compiled)
    assert len(draw(made, 1)) == 1


def test_an_option_that_has_nothing_to_change_is_refused(folder):
    made = load(folder)
    made.register_modules(vae=None)
    for option in ("vae_slicing", "vae_tiling"):
        with pytest.raises(InputError, match=f"has no {option}"):
            tune(made, {option: True}, "diffusers/x")


@pytest.mark.usefixtures("_tf32")
def test_tf32_changes_nothing_in_half_precision_and_says_so(folder):
    with pytest.raises(InputError, match="has no tf32"):
        tune(load(folder, dtype=torch.bfloat16), {"tf32": True}, "diffusers/x")


# -- dtypes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("supported", "usual"), [(True, torch.bfloat16), (False, torch.float16)])
def test_bfloat16_is_the_default_only_where_the_gpu_computes_in_it(monkeypatch, supported, usual):
    from overt.data.local.devices import pick_dtype

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: supported)
    assert pick_dtype(None, "cuda:1", "diffusers/x") == usual
    assert pick_dtype(None, "cpu", "diffusers/x") == torch.float32
    assert pick_dtype("float16", "cpu", "diffusers/x") == torch.float16
