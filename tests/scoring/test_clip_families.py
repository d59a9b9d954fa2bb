"""`clip/` on tiny models of many families, number for number against open_clip and transformers."""

import io

import pytest

np = pytest.importorskip("numpy")
torch = pytest.importorskip("torch", reason="needs the extra [local]")
pytest.importorskip("open_clip", reason="needs the extra [local]")

from PIL import Image  # noqa: E402
from support import tiny_clip, tiny_dual  # noqa: E402
from support.family_table import check_row  # noqa: E402

from overt.data.errors import InputError  # noqa: E402
from overt.data.records import Prompt, prompt_id  # noqa: E402
from overt.data.rewrites import Candidate, FaithfulnessCase, candidate_id  # noqa: E402
from overt.registry import load_scorer  # noqa: E402

PAIRS = (
    ("a red kite", "two kites seen from below"),
    ("A round blue boat ON the sea", "small yellow circle and square"),
    ("the quiet house", "a star in the sky with grass and tree on"),
    ("three bird", "picture of the sea"),
)


pytestmark = pytest.mark.usefixtures("light_torch")


@pytest.fixture(scope="module")
def store():
    made = {}
    for n in range(8):
        blocks = np.random.default_rng(n).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        image = Image.fromarray(blocks).resize((40 + 8 * n, 48), Image.Resampling.BICUBIC)
        file = io.BytesIO()
        image.save(file, "PNG")
        made[f"p{n}"] = file.getvalue()
    return made


def cases():
    found = []
    for n, (prompt, wording) in enumerate(PAIRS):
        original = Prompt(prompt_id(prompt), prompt, "violence", "benign", "direct", "w", "t@1")
        candidate = Candidate(candidate_id(original.id, wording), original.id, wording, "plain", "w", "t@1")
        found.append(FaithfulnessCase(candidate, original, "t", (f"p{n}",), (f"p{n + 4}",)))
    return found


def numbers(scorer, store, some=None):
    """(text_image, its baseline, text_text, image_image) of each case."""
    every = []
    for rows in scorer.score(some if some is not None else cases(), store.__getitem__):
        by = {r.measure: r for r in rows}
        image = by["text_image"]
        every += [image.value, image.baseline, by["text_text"].value, by["image_image"].value]
    return every


def wanted(texts, pictures):
    """The same from unit vectors of the plain library: texts of all pairs in a row, p0 to p7."""
    texts, pictures = (torch.nn.functional.normalize(torch.stack(v), dim=-1) for v in (texts, pictures))
    found = []
    for n in range(len(PAIRS)):
        first, second, new, old = texts[2 * n], texts[2 * n + 1], pictures[n], pictures[n + 4]
        found += [float(new @ first), float(old @ first), float(first @ second), float(new @ old)]
    return found


def of_transformers(folder, store):
    """As its documentation has it: each text padded to the encoder's length, one picture at a time."""
    from transformers import AutoModel, AutoProcessor

    model, processor = AutoModel.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)
    length = model.config.text_config.max_position_embeddings
    padded = {"padding": "max_length", "max_length": length, "truncation": True, "return_tensors": "pt"}
    texts, pictures = [], []
    with torch.no_grad():
        for text in (text for pair in PAIRS for text in pair):
            found = model.get_text_features(**processor(text=[text], **padded))
            texts.append(getattr(found, "pooler_output", found)[0])
        for data in store.values():
            image = Image.open(io.BytesIO(data))
            found = model.get_image_features(**processor(images=image, return_tensors="pt"))
            pictures.append(getattr(found, "pooler_output", found)[0])
    return wanted(texts, pictures)


def of_open_clip(folder, store):
    import open_clip

    model, transform = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    model.eval()
    with torch.no_grad():
        texts = [model.encode_text(tokenizer([text]))[0] for pair in PAIRS for text in pair]
        images = [transform(Image.open(io.BytesIO(data)).convert("RGB")) for data in store.values()]
        return wanted(texts, [model.encode_image(image[None])[0] for image in images])


def near(ours, theirs, within=2e-5):
    return "yes" if ours == pytest.approx(theirs, abs=within) else f"no: {ours} for {theirs}"


def told(folder, weights):
    """Takes one weight out of a folder and loads it."""
    from safetensors.torch import load_file, save_file

    state = load_file(folder / weights)
    state.pop(next(key for key in state if key.endswith("weight") and ("attn" in key or "mlp" in key)))
    save_file(state, folder / weights, metadata={"format": "pt"})
    try:
        load_scorer(f"clip/{folder}", device="cpu")
    except InputError as error:
        return "yes" if "not whole" in str(error) or "Missing key" in str(error) else f"no: {error}"
    return "no"


FAMILIES = [("transformers", family) for family in tiny_dual.OF_TRANSFORMERS] + [
    ("open_clip", family) for family in tiny_dual.OF_OPEN_CLIP
]


@pytest.mark.parametrize(("library", "family"), FAMILIES, ids=lambda part: part)
def test_cosines_are_those_of_the_plain_library(library, family, tmp_path, store):
    folder = getattr(tiny_dual, f"of_{library}")(tmp_path / "m", family)
    plain = {"transformers": of_transformers, "open_clip": of_open_clip}[library](folder, store)
    ours = numbers(load_scorer(f"clip/{folder}?batch_size=1", device="cpu"), store)
    assert len({round(value, 5) for value in ours}) > 10
    weights = "model.safetensors" if library == "transformers" else "open_clip_model.safetensors"
    check_row(
        "CLIP and encoders",
        f"clip/ {family} of {library}",
        {
            "loads": "yes",
            "same numbers as the plain library": near(ours, plain),
            "batch 1 = 4": near(
                numbers(load_scorer(f"clip/{folder}?batch_size=4", device="cpu"), store), ours
            ),
            "a missing weight is told": told(folder, weights),
        },
    )


@pytest.mark.parametrize("family", ["CLIP", "SigLIP", "Chinese CLIP"])
def test_long_texts_are_windows_and_not_cut(family, tmp_path, store):
    scorer = load_scorer(f"clip/{tiny_dual.of_transformers(tmp_path / 'm', family)}", device="cpu")
    long = "a red kite " * 20
    prompt = Prompt(prompt_id(long), long, "violence", "benign", "direct", "w", "t@1")
    other = long + "house"
    candidate = Candidate(candidate_id(prompt.id, other), prompt.id, other, "plain", "w", "t@1")
    [rows] = scorer.score([FaithfulnessCase(candidate, prompt, "t", (), ())], store.__getitem__)
    [text] = [row for row in rows if row.measure == "text_text"]
    assert text.windows > 2
    assert text.value < 0.99999, "the word at the end is read"
    rows = scorer._loaded.tokens.rows(long)
    assert {len(row) for row in rows} == {scorer._loaded.tokens.context}


def test_a_folder_that_is_no_pair_of_towers_is_told(tmp_path):
    from support import tiny_classifiers

    with pytest.raises(InputError, match="no pair of encoders for texts and pictures"):
        load_scorer(f"clip/{tiny_classifiers.text(tmp_path / 'bert')}", device="cpu")
    with pytest.raises(InputError, match="how its pictures are prepared"):
        load_scorer(f"clip/{tiny_dual.of_transformers(tmp_path / 'c')}?mean=0.5", device="cpu")


@pytest.mark.parametrize(
    ("build", "file"),
    [
        (tiny_dual.of_transformers, "model.safetensors"),
        (tiny_dual.of_open_clip, "open_clip_model.safetensors"),
    ],
)
def test_integers_for_weights_without_their_scales_are_told(build, file, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = build(tmp_path / "m")
    weights = load_file(folder / file)
    weights = {k: (v * 100).to(torch.int8) if v.ndim > 1 else v for k, v in weights.items()}
    save_file(weights, folder / file, metadata={"format": "pt"})
    with pytest.raises(InputError, match="are integers in the file"):
        load_scorer(f"clip/{folder}", device="cpu")


def test_a_folder_of_both_libraries_is_one_of_open_clip(tmp_path):
    folder = tiny_clip.clip(tmp_path / "m")
    (folder / "config.json").write_text('{"model_type": "clip"}')
    assert load_scorer(f"clip/{folder}", device="cpu")._loaded.model.__class__.__name__ == "CLIP"


def test_a_folder_that_does_not_say_how_pictures_are_prepared_is_told(tmp_path):
    import json

    folder = tiny_clip.clip(tmp_path / "m")
    assert load_scorer(f"clip/{folder}", device="cpu").notes == ()
    config = json.loads((folder / "open_clip_config.json").read_text())
    del config["preprocess_cfg"]
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    [note] = load_scorer(f"clip/{folder}", device="cpu").notes
    assert "does not say mean, std, interpolation" in note


# -- MODEL:FILE.safetensors ----------------------------------------------------------------------------------


@pytest.fixture
def listed(tmp_path, monkeypatch):
    """A model that open_clip lists, with two tags that differ, and its weights as a file alone."""
    import json
    import shutil

    import open_clip

    folder = tiny_clip.clip(tmp_path / "m", tokenizer="bpe")
    config = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "tiny-one", config)
    tags = {
        "half": {"mean": (0.5,) * 3, "std": (0.5,) * 3, "interpolation": "bicubic", "resize_mode": "squash"},
        "quick": {"mean": (0.4,) * 3, "std": (0.3,) * 3, "interpolation": "bilinear", "quick_gelu": True},
    }
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "tiny-one", dict(tags))
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(folder / "open_clip_model.safetensors", alone / "weights.safetensors")
    return folder, alone / "weights.safetensors"


def loaded(file, options=""):
    return load_scorer(f"clip/tiny-one:{file}{options}", device="cpu")


def test_a_file_whose_preparation_is_not_known_is_told(listed, store):
    import open_clip

    folder, file = listed
    [note] = loaded(file).notes
    assert "the tags of tiny-one differ" in note
    plain = of_open_clip(folder, store)  # half, squashed
    assert numbers(loaded(file), store) != pytest.approx(plain, abs=1e-4)
    tagged = loaded(file, "?tag=half")
    assert numbers(tagged, store) == pytest.approx(plain, abs=2e-5)
    assert "as for its tag half" in tagged.notes[0]
    said = "?mean=0.5&std=0.5,0.5,0.5&interpolation=bicubic&resize_mode=squash&quick_gelu=false"
    assert numbers(loaded(file, said), store) == pytest.approx(plain, abs=2e-5)
    assert loaded(file, said).notes == ()
    assert numbers(loaded(file, "?tag=half&quick_gelu=true"), store) != pytest.approx(plain, abs=1e-4)
    open_clip.pretrained._PRETRAINED["tiny-one"].pop("quick")  # all that are left agree
    agreed = loaded(file)
    assert "as for all tags" in agreed.notes[0]
    assert numbers(agreed, store) == pytest.approx(plain, abs=2e-5)


def test_a_config_beside_the_file_is_taken(listed, store):
    import shutil

    folder, file = listed
    shutil.copy(folder / "open_clip_config.json", file.parent)
    scorer = loaded(file)
    assert "open_clip_config.json beside the file" in scorer.notes[0]
    assert numbers(scorer, store) == pytest.approx(of_open_clip(folder, store), abs=2e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("?tag=openai", "has no tag 'openai'"),
        ("?mean=half", "mean=half is neither one nor three numbers"),
        ("?std=0.5,0.5", "std=0.5,0.5 is neither"),
        ("?interpolation=nearest", "interpolation=nearest is unknown"),
        ("?resize_mode=pad", "resize_mode=pad is unknown"),
    ],
)
def test_settings_that_cannot_be(listed, options, words):
    _, file = listed
    with pytest.raises(InputError, match=words):
        loaded(file, options)
