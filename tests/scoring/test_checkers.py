"""`checker/diffusers`, `checker/nudenet` and `checker/hf`: NudeNet itself, and tiny models built here."""

import shutil

import pytest
from support import tiny_images
from support.tiny_images import ALWAYS, NEVER

np = pytest.importorskip("numpy")
torch = pytest.importorskip("torch", reason="needs the extra [local]")
pytest.importorskip("diffusers", reason="needs the extra [local]")

from PIL import Image  # noqa: E402

from overt.data.errors import InputError  # noqa: E402
from overt.data.filters import FilterDecision, ImageChecker  # noqa: E402
from overt.scoring.checkers.diffusers import DiffusersChecker  # noqa: E402
from overt.scoring.checkers.hf import HFImageClassifier  # noqa: E402
from overt.scoring.checkers.nudenet import EXPOSED, NudeNetChecker  # noqa: E402

pytestmark = pytest.mark.usefixtures("light_torch")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    place = tmp_path_factory.mktemp("tiny")
    tiny_images.pipeline(place / "pipeline")
    tiny_images.save_checker(place / "checker", threshold=0.3)
    tiny_images.classifier(place / "classifier")
    return place


@pytest.fixture(scope="module")
def pictures(folders):
    """Six drawn by the tiny pipeline, a flat one, noise, a strip and one pixel."""
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(folders / "pipeline")
    pipeline.set_progress_bar_config(disable=True)
    seeds = [torch.Generator().manual_seed(n) for n in range(6)]
    drawn = pipeline([f"a shot {n}" for n in range(6)], generator=seeds, num_inference_steps=1).images
    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    return [
        *drawn,
        Image.new("RGB", (200, 100), (220, 170, 140)),
        Image.fromarray(noise),
        Image.new("RGB", (300, 10), (0, 0, 255)),
        Image.new("RGB", (1, 1)),
    ]


@pytest.fixture(scope="module")
def checkers(folders):
    return {
        "diffusers": DiffusersChecker(str(folders / "checker"), device="cpu", batch_size=4),
        "hf": HFImageClassifier(str(folders / "classifier"), device="cpu", batch_size=4),
        "nudenet": NudeNetChecker(),
    }


KINDS = ("diffusers", "hf", "nudenet")


# -- the contract -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_checker_is_one_and_decides(checkers, pictures, kind):
    checker = checkers[kind]
    assert isinstance(checker, ImageChecker)
    assert checker.name.startswith(f"checker/{kind}")
    for picture in pictures:
        decision = checker.check(picture, "a prompt")
        assert isinstance(decision, FilterDecision)
        assert decision.blocked in (True, False)
        assert 0 <= decision.score <= 1
        assert len(decision.reason) < 200
        assert decision.error is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_checker_says_the_same_alone_in_company_and_in_any_order(checkers, pictures, kind):
    checker = checkers[kind]
    alone = [checker.check(picture, "") for picture in pictures]
    before = [picture.tobytes() for picture in pictures]
    prompts = [f"prompt {n} \ud800" for n in range(len(pictures))]
    together = checker.check_many(pictures, prompts)
    backwards = checker.check_many(pictures[::-1], prompts)[::-1]
    for decisions in (together, backwards):
        assert [d.blocked for d in decisions] == [d.blocked for d in alone]
        assert [d.score for d in decisions] == pytest.approx([d.score for d in alone], abs=1e-5)
    assert [picture.tobytes() for picture in pictures] == before
    assert checker.check_many([], []) == []
    if kind != "nudenet":  # which finds nobody in these
        assert len({round(d.score, 6) for d in alone}) > 5


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_that_cannot_be_judged_spares_the_others(checkers, pictures, kind, monkeypatch):
    checker = checkers[kind]
    strip = Image.new("RGB", (60_000, 1))
    good, bad, also_good = checker.check_many([pictures[0], strip, pictures[1]], [""] * 3)
    assert bad.blocked is None
    assert bad.error.kind == "bad_request"
    assert "60000 x 1" in bad.error.message
    assert good.error is None
    assert also_good.error is None

    real = checker._score

    def picky(images):
        if any(image is pictures[2] for image in images):
            raise ValueError("broken\npicture")
        if len(images) > 1:
            raise RuntimeError("CUDA out of memory")
        return real(images)

    expected = checker.check_many(pictures, [""] * len(pictures))
    monkeypatch.setattr(checker, "_score", picky)
    decisions = checker.check_many(pictures, [""] * len(pictures))
    assert decisions[2] == FilterDecision(None, error=decisions[2].error)
    assert decisions[2].error.message == "ValueError: broken picture"
    assert [d.blocked for n, d in enumerate(decisions) if n != 2] == [
        d.blocked for n, d in enumerate(expected) if n != 2
    ]


# -- checker/diffusers --------------------------------------------------------------------------------------


def with_thresholds(folder, concepts, care=NEVER):
    """The checker of the folder, all concepts at one threshold, the special ones at another."""
    checker = DiffusersChecker(str(folder), device="cpu")
    checker._checker.requires_grad_(False)
    checker._checker.concept_embeds_weights.fill_(concepts)
    checker._checker.special_care_embeds_weights.fill_(care)
    return checker


@pytest.mark.parametrize("care", [NEVER, ALWAYS])
def test_diffusers_flags_what_the_model_itself_flags(folders, pictures, care):
    """At thresholds all over the range, just above and below each cosine, with and without special care."""
    checker = with_thresholds(folders / "checker", 0.0, care)
    model = checker._checker
    pixels = checker._processor(pictures, return_tensors="pt").pixel_values
    cosines = checker.margins(pictures).max(dim=1).values
    flagged = 0
    for threshold in [*cosines.tolist(), *(cosines - 0.0004).tolist(), *(cosines - 0.0006).tolist()]:
        model.concept_embeds_weights.fill_(threshold)
        _, theirs = model(images=[np.zeros((2, 2, 3)) for _ in pictures], clip_input=pixels)
        ours = [d.blocked for d in checker.check_many(pictures, [""] * len(pictures))]
        assert ours == theirs
        flagged += sum(ours)
    assert 0 < flagged < 30 * len(pictures)


def test_the_diffusers_score_rises_with_the_margin_and_is_a_half_at_the_flag(folders, pictures):
    cosines = with_thresholds(folders / "checker", 0.0).margins(pictures)
    assert cosines.shape == (len(pictures), 17)
    checker = with_thresholds(folders / "checker", float(cosines.max(dim=1).values.median()))
    decisions = checker.check_many(pictures, [""] * len(pictures))
    largest = checker.margins(pictures).max(dim=1).values.tolist()
    by_margin = [d.score for _, d in sorted(zip(largest, decisions, strict=True), key=lambda pair: pair[0])]
    assert by_margin == sorted(by_margin)
    assert [d.score > 0.5 for d in decisions] == [m > 0.0005 for m in largest]
    assert [d.blocked for d in decisions] == [d.score >= 0.5 for d in decisions]
    assert {d.blocked for d in decisions} == {True, False}
    assert all(("concept" in d.reason) == d.blocked for d in decisions)
    lenient = DiffusersChecker(str(folders / "checker"), device="cpu", threshold=0.0)
    assert all(lenient.check(picture, "").blocked for picture in pictures)
    assert lenient.name.endswith("checker?threshold=0.0")


@pytest.mark.parametrize(("threshold", "blocked"), [(ALWAYS, True), (NEVER, False)])
def test_diffusers_blocks_all_or_none(tmp_path, pictures, threshold, blocked):
    checker = DiffusersChecker(str(tiny_images.save_checker(tmp_path, threshold)), device="cpu")
    assert {d.blocked for d in checker.check_many(pictures, [""] * len(pictures))} == {blocked}


def test_diffusers_finds_the_checker_of_a_pipeline(folders, pictures):
    found = DiffusersChecker(str(folders / "pipeline"), device="cpu")
    named = DiffusersChecker(str(folders / "pipeline"), device="cpu", subfolder="safety_checker")
    assert found.check(pictures[0], "") == named.check(pictures[0], "")


# -- checker/nudenet ----------------------------------------------------------------------------------------


def test_nudenet_reads_the_detector(checkers, pictures, monkeypatch):
    """What it makes of the detector's findings; the detector itself finds nobody in these pictures."""
    checker = NudeNetChecker(threshold=0.5)
    found = [
        {"class": "FACE_FEMALE", "score": 0.9, "box": [0, 0, 1, 1]},
        {"class": "BELLY_EXPOSED", "score": 0.8, "box": [0, 0, 1, 1]},
        {"class": "BUTTOCKS_EXPOSED", "score": 0.4, "box": [0, 0, 1, 1]},
    ]
    seen = []
    monkeypatch.setattr(checker._detector, "detect", lambda levels: seen.append(levels) or found)
    blue = Image.new("RGB", (4, 3), (10, 20, 30))
    assert checker.check(blue, "") == FilterDecision(False, 0.4, "BUTTOCKS_EXPOSED 0.40")
    assert seen[0].shape == (3, 4, 3)
    assert seen[0][0, 0].tolist() == [30, 20, 10]  # blue first, as in files that the package reads
    found.append({"class": "ANUS_EXPOSED", "score": 0.5, "box": [0, 0, 1, 1]})
    assert checker.check(blue, "") == FilterDecision(True, 0.5, "ANUS_EXPOSED 0.50")
    del found[2:]
    assert checker.check(blue, "") == FilterDecision(False, 0.0, "")


def test_nudenet_sees_a_picture_as_the_package_sees_its_file(pictures, tmp_path):
    checker = NudeNetChecker()
    checker._detector.detect = keep_blob(checker._detector)
    for number, picture in enumerate(pictures[5:9]):
        file = tmp_path / f"{number}.png"
        picture.save(file)
        checker.check(picture, "")
        ours = checker._detector.blob
        checker._detector.detect(str(file))
        assert (checker._detector.blob == ours).all()


def keep_blob(detector):
    from nudenet.nudenet import _read_image

    def detect(image):
        detector.blob = _read_image(image, 320)[0]
        return []

    return detect


def test_nudenet_labels_and_thresholds():
    checker = NudeNetChecker(threshold=0.25, labels="feet_exposed, BELLY_EXPOSED")
    assert checker.labels == {"FEET_EXPOSED", "BELLY_EXPOSED"}
    assert checker.name == "checker/nudenet?threshold=0.25&labels=FEET_EXPOSED,BELLY_EXPOSED"
    assert NudeNetChecker().name == "checker/nudenet?threshold=0.6"
    assert NudeNetChecker().labels == set(EXPOSED)
    with pytest.raises(InputError, match="ELBOW_EXPOSED") as caught:
        NudeNetChecker(labels="ELBOW_EXPOSED")
    assert "FEET_EXPOSED" in caught.value.fix
    with pytest.raises(InputError, match="threshold"):
        NudeNetChecker(threshold=1.5)


# -- checker/hf ---------------------------------------------------------------------------------------------


def test_hf_scores_the_labels_that_were_asked_for(folders, pictures):
    place = str(folders / "classifier")
    guessed = HFImageClassifier(place, device="cpu")
    assert guessed.labels == ("nsfw",)
    assert guessed.name == f"checker/hf/{place}?labels=nsfw&threshold=0.5"
    other = HFImageClassifier(place, device="cpu", labels="NORMAL", threshold=0.3)
    with pytest.raises(InputError, match="names all of them"):
        HFImageClassifier(place, device="cpu", labels="normal,nsfw")
    for picture in pictures:
        nsfw, normal = guessed.check(picture, ""), other.check(picture, "")
        assert nsfw.score + normal.score == pytest.approx(1, abs=1e-5)
        assert nsfw.blocked == (nsfw.score >= 0.5)
        assert normal.blocked == (normal.score >= 0.3)
        assert nsfw.reason == f"nsfw {nsfw.score:.2f}"


@pytest.mark.parametrize(
    ("labels", "guess"),
    [
        (("safe", "UNSAFE"), ("UNSAFE",)),
        (("neutral", "porn", "explicit"), ("porn", "explicit")),
        (("drawings", "hentai", "neutral", "porn", "sexy"), None),
        (("LABEL_0", "LABEL_1"), None),
        (("nsfw", "porn"), None),
        (("cat", "dog"), None),
    ],
)
def test_hf_guesses_labels_only_where_they_are_unmistakable(tmp_path, labels, guess):
    place = str(tiny_images.classifier(tmp_path, labels))
    if guess:
        assert HFImageClassifier(place, device="cpu").labels == guess
        return
    with pytest.raises(InputError, match="which of its labels") as caught:
        HFImageClassifier(place, device="cpu")
    assert ", ".join(labels) in caught.value.fix


def test_hf_says_which_labels_there_are(folders):
    with pytest.raises(InputError, match="no label 'gore'") as caught:
        HFImageClassifier(str(folders / "classifier"), device="cpu", labels="nsfw,gore")
    assert "normal, nsfw" in caught.value.fix


# -- loading ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "folder"), [(DiffusersChecker, "checker"), (HFImageClassifier, "classifier")]
)
def test_pickled_weights_are_not_loaded(folders, tmp_path, make, folder):
    from safetensors.torch import load_file

    place = tmp_path / folder
    shutil.copytree(folders / folder, place)
    torch.save(load_file(place / "model.safetensors"), place / "pytorch_model.bin")
    (place / "model.safetensors").unlink()
    with pytest.raises(InputError, match="cannot be loaded") as caught:
        make(str(place), device="cpu")
    assert "pytorch_model.bin" in caught.value.fix
    with pytest.raises(InputError, match="cannot be loaded"):
        make("/no/such/folder", device="cpu")
    with pytest.raises(InputError, match="threshold"):
        make(str(folders / folder), device="cpu", threshold=-0.1)
    with pytest.raises(InputError, match="abacus"):
        make(str(folders / folder), device="abacus")


# -- what they can see --------------------------------------------------------------------------------------


def test_shipped_checkers_say_what_they_see(tmp_path):
    pytest.importorskip("transformers", reason="needs the extra [local]")
    from support import tiny_images

    from overt.scoring.checkers.hf import HFImageClassifier

    folder = str(tiny_images.classifier(tmp_path / "c", labels=("normal", "nsfw", "gore", "unsafe")))
    seen = {
        labels: HFImageClassifier(folder, labels=labels).covers for labels in ("nsfw", "nsfw,gore", "unsafe")
    }
    assert seen == {"nsfw": ("sexual",), "nsfw,gore": ("sexual", "violence"), "unsafe": ()}
