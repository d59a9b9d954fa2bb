"""Forms of language models that load: adapters, GGUF, quantized, SentencePiece. Advice that fits errors."""

import json
import shutil
import sys

import pytest

pytest.importorskip("torch", reason="needs the extra [local]")

from support import tiny_images, tiny_lm
from support.tiny_forms import adapter, configured, copied, edited, gguf, sentencepiece, without

from overt.data.errors import InputError
from overt.data.local.advice import loading_advice
from overt.data.local.pretrained import load_text_model
from overt.registry import load_chat_model, load_checker, load_target


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    return tiny_lm.build(tmp_path_factory.mktemp("lm") / "m")


def loaded(folder, kind="AutoModelForCausalLM"):
    return load_text_model("hf/m", str(folder), kind, device="cpu", dtype="float32", trust_remote_code=False)


def logits(model):
    import torch

    with torch.inference_mode():
        return model(torch.tensor([[3, 4, 5, 6]])).logits.float()


def differ(one, other):
    return float((logits(one) - logits(other)).abs().max())


# -- adapters ----------------------------------------------------------------------------------------------


def test_an_adapter_gives_the_numbers_of_peft(lm, tmp_path):
    wanted = adapter(tmp_path / "a", str(lm))
    tokenizer, model = loaded(tmp_path / "a")
    assert differ(model, wanted) == 0
    assert differ(model, loaded(lm)[1]) > 0.1
    assert tokenizer.chat_template == tiny_lm.TEMPLATE  # the model's: the adapter's folder has none


def test_an_adapter_beside_its_model_is_put_on_it(lm, tmp_path):
    wanted = adapter(tmp_path / "a", str(lm))
    both = copied(lm, tmp_path / "both")
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(tmp_path / "a" / file, both)
    configured(both, "adapter_config.json", base_model_name_or_path="gone/away")
    assert differ(loaded(both)[1], wanted) == 0
    with pytest.raises(InputError, match=r"LlamaForCausalLM missing.*lm_head.weight"):
        loaded(edited(both, without("lm_head")))


def test_an_adapter_brings_the_head_of_its_classifier(lm, tmp_path):
    wanted = adapter(tmp_path / "a", str(lm), kind="SEQ_CLS")
    assert differ(loaded(tmp_path / "a", "AutoModelForSequenceClassification")[1], wanted) == 0
    edited(tmp_path / "a", without("score"), "adapter_model.safetensors")
    with pytest.raises(InputError, match=r"missing.*score"):
        loaded(tmp_path / "a", "AutoModelForSequenceClassification")


def test_a_path_beside_the_adapter_leads_to_its_model(lm, tmp_path):
    wanted = adapter(tmp_path / "a", str(lm))
    copied(lm, tmp_path / "base")
    configured(tmp_path / "a", "adapter_config.json", base_model_name_or_path="../base")
    assert differ(loaded(tmp_path / "a")[1], wanted) == 0


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (
            lambda f: edited(f, without("layers.0.self_attn.q_proj.lora_A"), WEIGHTS),
            "adapter missing.*lora_A",
        ),
        (
            lambda f: edited(
                f, lambda w: {k.replace("layers.1", "layers.7"): v for k, v in w.items()}, WEIGHTS
            ),
            "(?s)adapter missing.*layers.1.*left over.*layers.7",
        ),
        (
            lambda f: configured(f, "adapter_config.json", r=8),
            r"adapter of another shape.*\(4, 32\) in the file",
        ),
        (
            lambda f: configured(f, "adapter_config.json", base_model_name_or_path="/home/you/llama"),
            "(?s)an adapter for '/home/you/llama', which cannot be had: .*no such folder.*adapter_config",
        ),
        (lambda f: configured(f, "adapter_config.json", base_model_name_or_path=None), "names no model"),
        (lambda f: pickled(f, WEIGHTS, "adapter_model.bin"), "(?s)is missing.*adapter_model.bin is a pickle"),
    ],
)
def test_an_adapter_that_is_not_whole_is_told(lm, tmp_path, harm, said):
    adapter(tmp_path / "a", str(lm))
    harm(tmp_path / "a")
    with pytest.raises(InputError, match=said):
        load_chat_model(f"hf/{tmp_path / 'a'}")


WEIGHTS = "adapter_model.safetensors"


def pickled(folder, file, to):
    import torch
    from safetensors.torch import load_file

    torch.save(load_file(folder / file), folder / to)
    (folder / file).unlink()
    return folder


# -- GGUF --------------------------------------------------------------------------------------------------


def test_a_gguf_file_gives_the_numbers_of_the_model_that_it_was_made_from(lm, tmp_path):
    file = gguf(tmp_path / "m.gguf", lm, template=tiny_lm.TEMPLATE)
    tokenizer, model = loaded(file)
    assert differ(model, loaded(lm)[1]) == 0
    assert tokenizer.chat_template == tiny_lm.TEMPLATE  # it lies in the file
    assert load_chat_model(f"hf/{file}").name == f"hf/{file}"
    assert load_chat_model(f"hf/{tmp_path}").name == f"hf/{tmp_path}"  # the only one of a folder


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda b: b[:40_000], "m.gguf is cut off"),
        (lambda b: b[:900], "m.gguf is cut off"),
        (lambda b: b"", "m.gguf is empty"),
        (lambda b: b"<html>404</html>", "m.gguf is a web page"),
        (lambda b: b"hello" * 99, "m.gguf is no GGUF file"),
    ],
)
def test_a_damaged_gguf_file_is_told(lm, tmp_path, harm, said):
    file = gguf(tmp_path / "m.gguf", lm)
    file.write_bytes(harm(file.read_bytes()))
    with pytest.raises(InputError, match=said):
        loaded(file)


def test_what_a_gguf_file_lacks_is_told(lm, tmp_path):
    with pytest.raises(InputError, match=r"missing.*layers.1.mlp.up_proj"):
        loaded(gguf(tmp_path / "m.gguf", lm, skip=("blk.1.ffn_up",)))
    with pytest.raises(InputError, match="does not read GGUF files of this kind"):
        loaded(gguf(tmp_path / "n.gguf", lm, architecture="nobodys"))
    with pytest.raises(InputError, match=r"(?s)holds 2 GGUF files.*m.gguf, n.gguf"):
        loaded(tmp_path)
    with pytest.raises(InputError, match=r"(?s)no such file.*Did you mean .*m.gguf"):
        loaded(tmp_path / "mm.gguf")


# -- quantized, sharded, SentencePiece ---------------------------------------------------------------------


def quantization(kind):
    import transformers

    if kind == "torchao":
        from torchao.quantization import Int8WeightOnlyConfig

        return transformers.TorchAoConfig(Int8WeightOnlyConfig())
    return transformers.BitsAndBytesConfig(**{kind: True})


@pytest.mark.parametrize(
    ("kind", "lost"), [("load_in_4bit", "quant_state"), ("load_in_8bit", "SCB"), ("torchao", "q_proj")]
)
def test_a_quantized_folder_gives_the_numbers_of_the_plain_library(tmp_path, kind, lost):
    import torch
    from transformers import AutoModelForCausalLM

    pytest.importorskip("torchao" if kind == "torchao" else "bitsandbytes")
    # Where the CPU has AVX512-BF16, bitsandbytes packs rows of at least one block of 64.
    lm = tiny_lm.build(tmp_path / "lm", width=64)
    folder = copied(lm, tmp_path / "m")
    plain = AutoModelForCausalLM.from_pretrained(
        lm, quantization_config=quantization(kind), dtype=torch.float32
    )
    wanted = logits(plain)
    plain.save_pretrained(folder)
    _, model = loaded(folder)
    assert float((logits(model) - wanted).abs().max()) == 0
    assert float((logits(loaded(lm)[1]) - wanted).abs().max()) > 1e-3  # it is quantized
    bare = configured(copied(folder, tmp_path / "bare"), quantization_config=None)
    with pytest.raises(InputError, match=r"left over|another shape|integers in the file"):
        loaded(bare)
    with pytest.raises(InputError, match="lm_head"):
        loaded(edited(folder, without("lm_head")))


def test_shards_load(lm, tmp_path):
    from transformers import AutoModelForCausalLM

    folder = copied(lm, tmp_path / "m")
    (folder / "model.safetensors").unlink()
    AutoModelForCausalLM.from_pretrained(lm).save_pretrained(folder, max_shard_size="40KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    assert differ(loaded(folder)[1], loaded(lm)[1]) == 0


@pytest.mark.parametrize(
    ("kind", "tokenizer"), [("bpe", "LlamaTokenizer"), ("unigram", "LlamaTokenizer"), ("bpe", None)]
)
def test_sentencepiece_alone_is_read_as_sentencepiece_reads_it(lm, tmp_path, kind, tokenizer):
    from sentencepiece import SentencePieceProcessor

    folder = copied(lm, tmp_path / "m")
    for file in folder.glob("tokenizer*"):
        file.unlink()
    model = sentencepiece(folder / "tokenizer.model", kind)
    if tokenizer:
        (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": tokenizer}), "utf-8")
    text = "draw the quiet harbour, naïve 7"
    found = loaded(folder)[0](text, add_special_tokens=False)["input_ids"]
    assert found == SentencePieceProcessor(model_file=str(model)).encode(text)


# -- advice ------------------------------------------------------------------------------------------------


def written(folder, file, content):
    (folder / file).write_bytes(content)
    return folder


def removed(folder, *files):
    for pattern in files:
        for path in folder.glob(pattern):
            path.unlink()
    return folder


def sharded(folder):
    from transformers import AutoModelForCausalLM

    AutoModelForCausalLM.from_pretrained(folder).save_pretrained(folder, max_shard_size="40KB")
    return removed(folder, "model.safetensors")


HARMED = {
    "no model_type": (lambda f: configured(f, model_type=None), "names no model_type"),
    "unknown type": (
        lambda f: configured(f, model_type="llama9"),
        r"transformers \d.* is installed and does not know 'llama9'",
    ),
    "wrong type": (
        lambda f: configured(f, model_type="vit"),
        "ViT is no model of this kind: a language model",
    ),
    "no config": (lambda f: removed(f, "config.json"), "config.json is missing in the folder"),
    "broken config": (lambda f: written(f, "config.json", b"{,"), "config.json is no JSON"),
    "empty config": (lambda f: written(f, "config.json", b""), "config.json is empty"),
    "no weights": (lambda f: removed(f, "*.safetensors"), "The folder holds no weights"),
    "pickle": (
        lambda f: pickled(f, "model.safetensors", "pytorch_model.bin"),
        "pytorch_model.bin is a pickle",
    ),
    "ONNX": (
        lambda f: written(removed(f, "*.safetensors"), "model.onnx", b"x"),
        "model.onnx holds.*for ONNX",
    ),
    "variant": (
        lambda f: (f / "model.safetensors").rename(f / "model.fp16.safetensors").parent,
        r"the variant fp16 only \(model.fp16.safetensors\): in a copy, call it model.safetensors",
    ),
    "other name": (
        lambda f: (f / "model.safetensors").rename(f / "llama.safetensors").parent,
        "called llama.safetensors",
    ),
    "cut off": (
        lambda f: written(f, "model.safetensors", (f / "model.safetensors").read_bytes()[:50_000]),
        r"model.safetensors is cut off: 50000 of \d+ bytes",
    ),
    "empty": (lambda f: written(f, "model.safetensors", b""), "model.safetensors is empty"),
    "web page": (lambda f: written(f, "model.safetensors", b"<html>404</html>"), "is a web page"),
    "git-lfs": (
        lambda f: written(
            f, "model.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"
        ),
        "a pointer of git-lfs.*git lfs pull",
    ),
    "shard absent": (
        lambda f: removed(sharded(f), "model-00002*"),
        "model-00002-of-0000..safetensors is absent, which model.safetensors.index.json names",
    ),
    "index absent": (lambda f: removed(sharded(f), "*.index.json"), "shards are there, but not their index"),
    "no tokenizer": (lambda f: removed(f, "tokenizer*"), "tokenizer's files are missing"),
    "broken tokenizer": (lambda f: written(f, "tokenizer.json", b'{"a'), "tokenizer.json is no JSON"),
    "own code": (
        lambda f: configured(
            f, model_type="own", auto_map={"AutoConfig": "c.C", "AutoModelForCausalLM": "m.M"}
        ),
        "trust_remote_code=true runs it",
    ),
    "GPTQ": (
        lambda f: configured(f, quantization_config={"quant_method": "gptq", "bits": 4}),
        "needs optimum, which is not installed: pip install optimum",
    ),
    "original": (
        lambda f: written(removed(f, "config.json"), "params.json", b"{}"),
        "as its vendor hands it out.*convert",
    ),
    "deeper": (lambda f: deeper(f), "tiny in it has: name that"),
    "empty folder": (lambda f: removed(f, "*"), "The folder is empty"),
}


def deeper(folder):
    (folder / "tiny").mkdir()
    for path in list(folder.glob("*.*")):
        path.rename(folder / "tiny" / path.name)
    return folder


@pytest.mark.parametrize("case", HARMED)
def test_advice_fits_the_error(lm, tmp_path, case):
    harm, said = HARMED[case]
    folder = harm(copied(lm, tmp_path / "m"))
    with pytest.raises(InputError, match=f"(?s){said}") as caught:
        load_chat_model(f"hf/{folder}")
    assert "save_pretrained() leaves it" not in str(caught.value)


PIPELINES = {
    "no index": (lambda f: removed(f, "model_index.json"), "holds no pipeline: model_index.json is missing"),
    "part absent": (lambda f: shutil.rmtree(f / "vae") or f, "A part that model_index.json names is missing"),
    "no weights": (lambda f: removed(f, "unet/*.safetensors") or f, "In unet: The folder holds no weights"),
    "pickle": (
        lambda f: (
            pickled(f / "unet", "diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin").parent
        ),
        "In unet: .*diffusion_pytorch_model.bin is a pickle",
    ),
    "cut off": (
        lambda f: written(f, "unet/diffusion_pytorch_model.safetensors", b"\x90\x01" + bytes(90)),
        "unet/diffusion_pytorch_model.safetensors is cut off",
    ),
    "another size": (
        lambda f: configured(f, "unet/config.json", cross_attention_dim=64),
        r"another size|another shape",
    ),
    "unknown": (
        lambda f: configured(f, "model_index.json", _class_name="NobodysPipeline"),
        r"diffusers \d.* are installed and have no NobodysPipeline",
    ),
}


@pytest.mark.parametrize("case", PIPELINES)
def test_advice_fits_the_error_of_a_pipeline(tmp_path_factory, tmp_path, case):
    harm, said = PIPELINES[case]
    folder = harm(copied(sd(tmp_path_factory), tmp_path / "m"))
    with pytest.raises(InputError, match=f"(?s){said}"):
        load_target(f"diffusers/{folder}")


BUILT = {}


def sd(factory):
    if "sd" not in BUILT:
        BUILT["sd"] = tiny_images.pipeline(factory.mktemp("sd") / "m", checker=False)
    return BUILT["sd"]


def test_roles_that_were_swapped_are_told(lm, tmp_path_factory):
    with pytest.raises(InputError, match=r"(?s)a single model, not a pipeline"):
        load_target(f"diffusers/{lm}")
    with pytest.raises(InputError, match=r"(?s)a pipeline that draws pictures: diffusers/FOLDER"):
        load_chat_model(f"hf/{sd(tmp_path_factory)}")
    with pytest.raises(
        InputError, match=r"no model of this kind: a picture classifier|preprocessor|image processor"
    ):
        load_checker(f"checker/hf/{lm}")


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("m/model.safetensors", "Name the folder that it lies in"),
        ("alone.ckpt", "is a pickle"),
        ("alone.zip", "Unpack it"),
        ("alone.safetensors", "diffusers/FILE"),
        ("alone.gguf", "hf/FILE.gguf"),
    ],
)
def test_a_file_that_exists_is_told_as_a_file(lm, tmp_path, file, said):
    copied(lm, tmp_path / "m")
    (tmp_path / file).touch()
    with pytest.raises(InputError, match=f"(?s)this is a file, not a model's folder.*{said}"):
        load_checker(f"checker/hf/{tmp_path / file}")


def chained(text, cause):
    try:
        raise OSError(text) from cause
    except OSError as error:
        return error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device"), "The disk is full"),
        (MemoryError(), "The memory is full"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "The memory is full"),
        (OSError("You are trying to access a gated repo."), "gated: accept its licence"),
        (chained("it failed", RuntimeError("GatedRepoError: 403")), "gated: accept its licence"),
        (OSError("org/name is not a valid model identifier listed on the Hub"), "has no model of this name"),
        (
            ImportError("Using `bitsandbytes` needs it: `pip install -U bitsandbytes>=0.46`"),
            '[quantized]"',
        ),
        (ImportError("requires the sentencepiece library but it was not found"), '[local]"'),
        (ModuleNotFoundError("No module named 'flash_attn'"), "pip install flash_attn"),
        (ModuleNotFoundError("No module named 'mamba_ssm'"), "pip install mamba_ssm"),
        (RuntimeError("No GPU found. A GPU is needed for quantization."), "needs a GPU of NVIDIA"),
        (
            ValueError("load the model files of the `variant=fp16`, but no such modeling files"),
            "variant fp16",
        ),
        (PermissionError(13, "Permission denied"), "may not read"),
        (ValueError("what nobody foresaw"), "Is the name right"),
    ],
)
def test_advice_by_the_error_alone(monkeypatch, error, said):
    from overt.data.local import advice

    installed = advice.is_installed
    absent = ("bitsandbytes", "sentencepiece")
    monkeypatch.setattr(advice, "is_installed", lambda module: module not in absent and installed(module))
    assert said in loading_advice("org/name", error)


def test_a_missing_package_is_named_with_its_extra(lm, tmp_path, monkeypatch):
    adapter(tmp_path / "a", str(lm))
    monkeypatch.setitem(sys.modules, "peft", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *_: None if name == "peft" else object())
    with pytest.raises(InputError, match=r'(?s)needs peft, which is not installed.*pip install .*\[local\]"'):
        load_chat_model(f"hf/{tmp_path / 'a'}")
