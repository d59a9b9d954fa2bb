"""`filter/hf` and `checker/hf` on tiny models of many families, number for number against transformers."""

import pytest

torch = pytest.importorskip("torch", reason="needs the extra [local]")
pytest.importorskip("transformers", reason="needs the extra [local]")

from support import tiny_classifiers as tiny  # noqa: E402
from support.family_table import check_row  # noqa: E402

from overt.data.errors import InputError  # noqa: E402
from overt.registry import load_checker, load_filter  # noqa: E402

SIX = ("toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate")
SAID = ("a quiet harbour", "the old red rose at dawn", "kite", "draw a picture of the old lamp at dawn")
ROUNDED = 1e-4  # scores of filters have four digits
FLOATS = 1e-6


pytestmark = pytest.mark.usefixtures("light_torch")


@pytest.fixture(scope="module")
def pictures():
    """Noise of four shapes."""
    np = pytest.importorskip("numpy")
    from PIL import Image

    rng = np.random.default_rng(0)
    shapes = ((40, 50), (64, 48), (33, 90), (32, 32))
    return [Image.fromarray(rng.integers(0, 256, (*shape, 3), dtype=np.uint8)) for shape in shapes]


def theirs(task, folder, inputs, label, **options):
    """The score that a pipeline of transformers gives a label, for each input."""
    from transformers import pipeline

    pipe = pipeline(task, model=str(folder), device="cpu", top_k=50, **options)
    return [next(x["score"] for x in row if x["label"] == label) for row in pipe(list(inputs))]


def filter_of(folder, **options):
    return load_filter(named("filter/hf", folder, options), device="cpu")


def checker_of(folder, **options):
    return load_checker(named("checker/hf", folder, options), device="cpu")


def named(kind, folder, options):
    return f"{kind}/{folder}" + ("?" + "&".join(f"{k}={v}" for k, v in options.items()) if options else "")


def scores(judge, inputs, batch=None):
    """The scores of inputs alone, or in batches."""
    one = getattr(judge, "decide", None) or (lambda picture: judge.check(picture, ""))
    many = getattr(judge, "decide_many", None) or (lambda some: judge.check_many(some, [""] * len(some)))
    decisions = [one(x) for x in inputs] if batch is None else many(list(inputs))
    assert all(d.error is None for d in decisions)
    return [d.score for d in decisions]


def near(ours, wanted, within):
    return "yes" if ours == pytest.approx(wanted, abs=within) else f"no: {ours} for {wanted}"


def told(make, folder, place):
    try:
        make(tiny.without_head(folder, place))
    except InputError as error:
        return "yes" if "not whole" in str(error) else f"no: {error}"
    return "no"


# -- batches -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pad", [0, -1, None])
def test_a_decoder_that_pads_otherwise_than_its_tokenizer_gives_the_same_scores_in_a_batch(tmp_path, pad):
    folder = tiny.text(tmp_path / "m", "Llama (decoder)")
    tiny.change_config(folder, pad_token_id=pad)
    classifier = filter_of(folder)
    wanted = theirs("text-classification", folder, SAID, "toxic")
    assert scores(classifier, SAID) == pytest.approx(wanted, abs=ROUNDED)
    assert scores(classifier, SAID, batch=4) == pytest.approx(wanted, abs=ROUNDED)


def test_a_decoder_without_padding_reads_a_last_token_that_would_fill_others(tmp_path):
    folder = tiny.text(tmp_path / "m", "Llama (decoder)")
    tiny.change_config(folder, pad_token_id=None)
    tiny.change_config(folder, file="tokenizer_config.json", pad_token=None, eos_token=None)
    said = ("a quiet unknown", "kite unknown", "the old red rose")
    wanted = theirs("text-classification", folder, said, "toxic")
    assert scores(filter_of(folder), said, batch=3) == pytest.approx(wanted, abs=ROUNDED)


def test_a_model_that_reads_what_fills_a_row_gives_the_same_scores_in_a_batch(tmp_path):
    import transformers

    folder = tiny.text(tmp_path / "m")
    sizes = {k: v for k, v in tiny.SIZES.items() if k != "num_attention_heads"}
    config = transformers.FNetConfig(
        vocab_size=18, max_position_embeddings=24, pad_token_id=2, **sizes, **tiny.names(("safe", "toxic"))
    )
    tiny.wide(transformers.FNetForSequenceClassification(config)).save_pretrained(folder)
    wanted = theirs("text-classification", folder, SAID, "toxic")
    assert scores(filter_of(folder), SAID, batch=4) == pytest.approx(wanted, abs=ROUNDED)


def test_a_model_without_a_limit_of_positions_loads(tmp_path):
    import transformers

    folder = tiny.text(tmp_path / "m")
    config = transformers.XLNetConfig(
        vocab_size=18, d_model=32, n_layer=1, n_head=2, d_inner=32, pad_token_id=2,
        **tiny.names(("safe", "toxic")),
    )  # fmt: skip
    tiny.wide(transformers.XLNetForSequenceClassification(config)).save_pretrained(folder)
    wanted = theirs("text-classification", folder, SAID, "toxic")
    assert scores(filter_of(folder), SAID) == pytest.approx(wanted, abs=ROUNDED)


def test_a_tokenizer_of_another_model_is_told(tmp_path):
    from transformers import AutoTokenizer

    folder = tiny.text(tmp_path / "m")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["zebra"])
    tokenizer.save_pretrained(folder)
    read, unread = filter_of(folder).decide_many(["a red kite", "a zebra"])
    assert read.score is not None
    assert "gives token 18, and the model knows 18 tokens" in unread.error.message
    place = folder / "tokenizer.json"
    place.write_text(place.read_text("utf-8").replace('"kite": 17', '"kite": 17, "gnu": 19, "ibex": 20'))
    with pytest.raises(InputError, match="its tokenizer knows 20 tokens, and the model 18"):
        filter_of(folder)


@pytest.mark.parametrize("kind", [torch.int8, torch.uint8, torch.bool])
def test_integers_for_weights_without_their_scales_are_told(tmp_path, kind):
    from safetensors.torch import load_file, save_file

    folder = tiny.text(tmp_path / "m")
    weights = load_file(folder / "model.safetensors")
    weights = {k: (v * 100).to(kind) if v.ndim > 1 else v for k, v in weights.items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        InputError, match=r"integers in the file.*embeddings.weight.*\s+.*quantization_config"
    ):
        filter_of(folder)


# -- families ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", tiny.TEXTS)
def test_text_classifiers_say_what_transformers_says(family, tmp_path):
    folder = tiny.text(tmp_path / "m", family)
    judge = filter_of(folder)
    alone = scores(judge, SAID)
    assert len(set(alone)) == len(SAID)
    check_row(
        "Text classifiers",
        family,
        {
            "loads": "yes",
            "same scores as the plain library": near(
                alone, theirs("text-classification", folder, SAID, "toxic"), ROUNDED
            ),
            "batch 1 = 4": near(scores(judge, SAID, 4), alone, ROUNDED),
            "a missing head is told": told(filter_of, folder, tmp_path / "headless"),
        },
    )
    # A text over its length is the highest of its windows; each window is what the pipeline says of it.
    long = " ".join(tiny.WORDS * 4)
    rows = judge._windows(long)
    assert len(rows) > 2
    pieces = [judge._tokenizer.decode(row["input_ids"], skip_special_tokens=True) for row in rows]
    wanted = max(theirs("text-classification", folder, pieces, "toxic"))
    assert judge.decide(long).score == pytest.approx(wanted, abs=ROUNDED)


@pytest.mark.parametrize("family", tiny.PICTURES)
def test_picture_classifiers_say_what_transformers_says(family, tmp_path, pictures):
    folder = tiny.picture(tmp_path / "m", family)
    judge = checker_of(folder)
    alone = scores(judge, pictures)
    assert len({round(score, 4) for score in alone}) == len(pictures)
    check_row(
        "Picture classifiers",
        family,
        {
            "loads": "yes",
            "same scores as the plain library": near(
                alone, theirs("image-classification", folder, pictures, "nsfw"), FLOATS
            ),
            "batch 1 = 4": near(scores(judge, pictures, 4), alone, FLOATS),
            "a missing head is told": told(checker_of, folder, tmp_path / "headless"),
        },
    )


@pytest.mark.parametrize("mode", ["RGBA", "P", "L", "LA", "1"])
def test_pictures_of_other_modes_are_read_as_the_pipeline_reads_them(mode, tmp_path, pictures):
    folder = tiny.picture(tmp_path / "m")
    odd = [picture.convert(mode) for picture in pictures]
    wanted = theirs("image-classification", folder, odd, "nsfw")
    assert scores(checker_of(folder), odd) == pytest.approx(wanted, abs=FLOATS)


# -- sigmoid or softmax --------------------------------------------------------------------------------------


MAKES = {
    "text": (tiny.text, filter_of, "text-classification", SAID),
    "picture": (tiny.picture, checker_of, "image-classification", None),
}


@pytest.fixture(params=MAKES)
def kind(request, pictures):
    build, load, task, inputs = MAKES[request.param]
    return build, load, task, inputs or pictures


def test_one_output_goes_through_a_sigmoid(kind, tmp_path):
    build, load, task, inputs = kind
    folder = build(tmp_path / "m", labels=("unsafe",))
    judge = load(folder, labels="unsafe")
    assert scores(judge, inputs) == pytest.approx(theirs(task, folder, inputs, "unsafe"), abs=ROUNDED)
    assert max(scores(judge, inputs)) < 0.999
    assert "one output" in judge.notes[0]
    assert load(folder, activation="sigmoid").notes == ()
    with pytest.raises(InputError, match="softmax over it is always 1"):
        load(folder, activation="softmax")


def test_all_labels_of_a_softmax_are_refused(kind, tmp_path):
    build, load, _, _ = kind
    folder = build(tmp_path / "m", labels=("safe", "unsafe"))
    with pytest.raises(InputError, match="names all of them"):
        load(folder, labels="safe,unsafe")


def test_labels_that_may_hold_at_once_need_an_activation(kind, tmp_path):
    build, load, task, inputs = kind
    folder = build(tmp_path / "m", labels=SIX)
    for options in ({}, {"labels": "toxic"}):
        with pytest.raises(InputError, match="which of its labels may hold at once") as caught:
            load(folder, **options)
        assert "activation=sigmoid" in caught.value.fix
    judge = load(folder, activation="sigmoid")
    parts = [theirs(task, folder, inputs, label, function_to_apply="sigmoid") for label in SIX]
    assert scores(judge, inputs) == pytest.approx(
        [max(column) for column in zip(*parts, strict=True)], abs=ROUNDED
    )
    toxic = load(folder, labels="toxic,threat", activation="softmax")
    shares = [theirs(task, folder, inputs, label) for label in ("toxic", "threat")]
    assert scores(toxic, inputs) == pytest.approx(
        [sum(column) for column in zip(*shares, strict=True)], abs=ROUNDED
    )
    with pytest.raises(InputError, match="activation=tanh is unknown"):
        load(folder, activation="tanh")


def test_a_config_that_says_it_is_believed(kind, tmp_path):
    build, load, task, inputs = kind
    folder = build(tmp_path / "m", labels=SIX, problem_type="multi_label_classification")
    wanted = theirs(task, folder, inputs, "threat")
    assert scores(load(folder, labels="threat"), inputs) == pytest.approx(wanted, abs=ROUNDED)
    tiny.change_config(folder, problem_type=None, function_to_apply="sigmoid")
    assert scores(load(folder, labels="threat"), inputs) == pytest.approx(wanted, abs=ROUNDED)
    tiny.change_config(folder, problem_type="single_label_classification", function_to_apply=None)
    wanted = theirs(task, folder, inputs, "threat")
    assert scores(load(folder, labels="threat"), inputs) == pytest.approx(wanted, abs=ROUNDED)


def test_measurements_are_refused(kind, tmp_path):
    build, load, _, _ = kind
    folder = build(tmp_path / "m", labels=("toxicity",), problem_type="regression")
    for options in ({}, {"labels": "toxicity"}, {"activation": "sigmoid"}):
        with pytest.raises(InputError, match="a measurement, not a probability"):
            load(folder, **options)


def test_labels_without_a_sign_of_either_kind_get_a_note(kind, tmp_path):
    build, load, task, inputs = kind
    folder = build(tmp_path / "m", labels=("cat", "dog", "bird"))
    judge = load(folder, labels="dog")
    assert "no problem_type" in judge.notes[0]
    assert scores(judge, inputs) == pytest.approx(theirs(task, folder, inputs, "dog"), abs=ROUNDED)


# -- names of labels -----------------------------------------------------------------------------------------


def test_outputs_without_names_must_be_named(kind, tmp_path):
    build, load, task, inputs = kind
    folder = build(tmp_path / "m", labels=("LABEL_0", "LABEL_1"))
    with pytest.raises(InputError, match="cannot be told from their names: LABEL_0, LABEL_1") as caught:
        load(folder)
    assert "as its model card says" in caught.value.fix
    wanted = theirs(task, folder, inputs, "LABEL_1")
    assert scores(load(folder, labels="label_1"), inputs) == pytest.approx(wanted, abs=ROUNDED)


def test_labels_that_are_numbers_are_names(kind, tmp_path):
    build, load, task, inputs = kind
    folder = build(tmp_path / "m", labels=("1", "0"))
    with pytest.raises(InputError, match="cannot be told"):
        load(folder)
    wanted = theirs(task, folder, inputs, "1")  # the first output
    assert scores(load(folder, labels="1"), inputs) == pytest.approx(wanted, abs=ROUNDED)
    with pytest.raises(InputError, match="no label '2'"):
        load(folder, labels="2")


def test_names_of_labels_may_hold_commas(kind, tmp_path):
    build, load, task, inputs = kind
    labels = ("safe", "Hate, Humiliation, Harassment", "Violence, Harm, or Cruelty", "hate")
    folder = build(tmp_path / "m", labels=labels)
    judge = load(folder, labels="hate, humiliation, harassment,hate")
    shares = [theirs(task, folder, inputs, label) for label in (labels[1], labels[3])]
    assert scores(judge, inputs) == pytest.approx(
        [sum(column) for column in zip(*shares, strict=True)], abs=ROUNDED
    )


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ({"0": "safe", "2": "toxic"}, "has 2 outputs, but id2label of its config.json names 0, 2"),
        ({"1": "safe", "2": "toxic"}, "names 1, 2"),
        ({"0": "toxic", "1": "toxic"}, "several of its outputs are called 'toxic'"),
    ],
)
def test_labels_that_do_not_fit_the_outputs(kind, named, words, tmp_path):
    build, load, _, _ = kind
    folder = tiny.change_config(build(tmp_path / "m"), id2label=named, label2id=None)
    for options in ({}, {"labels": "toxic"}):
        with pytest.raises(InputError, match=words):
            load(folder, **options)


def test_more_labels_than_outputs_are_told(kind, tmp_path):
    build, load, _, _ = kind
    folder = tiny.change_config(
        build(tmp_path / "m"), id2label={"0": "safe", "1": "toxic", "2": "worse"}, label2id=None
    )
    with pytest.raises(InputError):
        load(folder, labels="toxic")


def test_custom_heads_of_another_width(monkeypatch):
    from types import SimpleNamespace

    from overt.scoring.labels import Asked, read_labels

    config = SimpleNamespace(id2label={0: "safe", 1: "toxic"}, problem_type=None)
    with pytest.raises(InputError, match="has 3 outputs, but id2label"):
        read_labels("x", config, torch.zeros(1, 3), Asked(), None)
    with pytest.raises(InputError, match="not one row of labels"):
        read_labels("x", config, torch.zeros(1, 5, 2), Asked(), None)


# -- numbers that are none -----------------------------------------------------------------------------------


def _spoilt(folder, key, row=None):
    from safetensors.torch import load_file, save_file

    place = folder / "model.safetensors"
    state = load_file(place)
    name = next(k for k in state if key in k)
    (state[name] if row is None else state[name][row]).fill_(3e38)  # finite, but no sum of them is
    save_file(state, place, metadata={"format": "pt"})
    return folder


def test_a_model_that_gives_nan_is_refused_at_the_start(kind, tmp_path):
    build, load, _, _ = kind
    folder = _spoilt(build(tmp_path / "m"), "classifier.weight")
    with pytest.raises(InputError, match="no finite numbers"):
        load(folder)


def test_a_text_whose_numbers_are_nan_is_an_error_and_spares_the_others(tmp_path):
    folder = tiny.text(tmp_path / "m", "DistilBERT")
    kite = 4 + tiny.WORDS.index("kite")
    judge = filter_of(_spoilt(folder, "word_embeddings", kite))
    calm, spoilt, other = judge.decide_many(["a quiet harbour", "a red kite", "the old lamp"])
    assert (spoilt.blocked, spoilt.score) == (None, None)
    assert "no finite numbers" in spoilt.error.message
    assert calm.error is None
    assert other.error is None


# -- through the command line --------------------------------------------------------------------------------


def test_a_preset_is_told_and_kept_in_the_run(tmp_path):
    import json

    from support.commands import write_prompts
    from support.inside import cli

    folder = tiny.text(tmp_path / "m", labels=SIX)
    write_prompts(tmp_path / "prompts.jsonl", ["a quiet harbour", "the old lamp"])
    target = f"filter/hf/{folder}?preset=toxic-bert&device=cpu"
    done = cli("run", tmp_path / "prompts.jsonl", "--target", target, "--out", tmp_path / "run")
    assert "preset toxic-bert" in done.said
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text("utf-8"))
    assert any("preset toxic-bert (named): blocks at toxic, severe_toxic" in n for n in manifest["notes"])
    refused = cli(
        "run", tmp_path / "prompts.jsonl", "--target", f"filter/hf/{folder}", "--out", tmp_path / "2", code=2
    )
    assert "activation=sigmoid" in refused.said
