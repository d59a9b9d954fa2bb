"""`checker/hf` with ShieldGemma 2, on a tiny model: its policies are labels, and Yes is what blocks."""

import pytest

torch = pytest.importorskip("torch", reason="needs the extra [local]")
pytest.importorskip("transformers", reason="needs the extra [local]")
np = pytest.importorskip("numpy")

from PIL import Image  # noqa: E402
from support import tiny_classifiers as tiny  # noqa: E402
from support.family_table import check_row  # noqa: E402

from overt.data.errors import InputError  # noqa: E402
from overt.registry import load_checker  # noqa: E402

POLICIES = ("dangerous", "sexual", "violence")


def test_policies_are_labels_and_scores_are_those_of_transformers(tmp_path):
    from transformers import AutoProcessor, ShieldGemma2ForImageClassification

    folder = tiny.shieldgemma2(tmp_path / "m")
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)) for _ in range(4)]
    processor = AutoProcessor.from_pretrained(folder)
    model = ShieldGemma2ForImageClassification.from_pretrained(folder).eval()
    yes = []
    for picture in pictures:
        with torch.no_grad():
            yes.append(model(**processor(images=[picture], return_tensors="pt")).probabilities[:, 0].tolist())

    named = f"checker/hf/{folder}?preset=shieldgemma-2"
    judge = load_checker(named, device="cpu")
    assert judge.labels == POLICIES
    assert {"sexual", "violence"} <= set(judge.covers)
    alone = [judge.check(picture, "").score for picture in pictures]
    assert len({round(score, 5) for score in alone}) == len(pictures)
    same = alone == pytest.approx([max(row) for row in yes], abs=1e-5)
    together = [d.score for d in judge.check_many(pictures, [""] * 4)]
    try:
        load_checker(f"checker/hf/{tiny.without_head(folder, tmp_path / 'x', 'lm_head')}", device="cpu")
        told = "no"
    except InputError as error:
        told = "yes" if "not whole" in str(error) else f"no: {error}"
    check_row(
        "Picture classifiers",
        "ShieldGemma 2",
        {
            "loads": "yes",
            "same scores as the plain library": "yes" if same else f"no: {alone} for {yes}",
            "batch 1 = 4": "yes" if together == pytest.approx(alone, abs=1e-5) else f"no: {together}",
            "a missing head is told": told,
        },
    )
    assert load_checker(f"checker/hf/{folder}", device="cpu").labels == POLICIES
    one = load_checker(f"checker/hf/{folder}?labels=violence", device="cpu")
    assert [one.check(picture, "").score for picture in pictures] == pytest.approx(
        [row[2] for row in yes], abs=1e-5
    )
    with pytest.raises(InputError, match="no label 'hate'"):
        load_checker(f"checker/hf/{folder}?labels=hate", device="cpu")
