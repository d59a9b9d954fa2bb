"""A model that is not whole is refused at the start: missing, left-over or misshapen weights, NaN, no words.

Before, each of these loaded, and what was missing was filled with random numbers: another rate at each run.
"""

import json
import shutil

import pytest

pytest.importorskip("torch", reason="needs the extra [local]")

from support import tiny_images, tiny_lm
from support.tiny_forms import configured, copied, edited, prefixed, with_nan, without

from overt.data.errors import InputError
from overt.data.local.devices import quiet_loading
from overt.data.local.gaps import gaps_of
from overt.data.local.pretrained import load_text_model, speaking_loader
from overt.data.local.whole import check_adapters, whole_weights
from overt.registry import load_chat_model, load_checker, load_filter, load_target


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    return tiny_lm.build(tmp_path_factory.mktemp("lm") / "m")


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    return tiny_images.pipeline(tmp_path_factory.mktemp("sd") / "m")


def text_model(folder, kind="AutoModelForCausalLM"):
    return load_text_model("hf/m", str(folder), kind, device="cpu", dtype="float32", trust_remote_code=False)


def saved(folder, model):
    model.save_pretrained(folder)
    return folder


# -- chat models -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without("lm_head"), "missing, so they would be random: lm_head.weight"),
        (without("layers.1.mlp"), "model.layers.1.mlp.down_proj.weight"),
        (prefixed("module."), "the names begin with 'module.'"),
        (prefixed("_orig_mod."), "the names begin with '_orig_mod.'"),
        (prefixed("language_model."), "the names begin with 'language_model.'"),
        (
            lambda w: w | {"foo.weight": w["lm_head.weight"]},
            "left over, so nothing would read them: foo.weight",
        ),
        (lambda w: w | {"score.weight": w["lm_head.weight"]}, "left over.*score.weight"),
        (with_nan("layers.1.mlp.up"), "hold NaN or infinity.*layers.1.mlp.up_proj.weight"),
        (
            lambda w: w | {"lm_head.weight": w["lm_head.weight"][:50]},
            r"lm_head.weight \(\(50, 32\) in the file",
        ),
    ],
)
def test_a_chat_model_that_is_not_whole_is_refused(lm, tmp_path, change, said):
    folder = edited(copied(lm, tmp_path / "m"), change)
    with pytest.raises(InputError, match=f"(?s)is not whole.*{said}"):
        load_chat_model(f"hf/{folder}")


def test_a_file_with_one_prefix_too_many_that_transformers_takes_off_gives_the_same_numbers(lm, tmp_path):
    import torch

    tokens = torch.tensor([[3, 4, 5]])
    _, whole = text_model(lm)
    _, again = text_model(edited(copied(lm, tmp_path / "m"), prefixed("model.")))
    assert torch.equal(whole(tokens).logits, again(tokens).logits)


def test_weights_that_are_tied_may_be_left_out_but_not_both(tmp_path):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"vocab_size": 90, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
    config = LlamaConfig(num_attention_heads=4, tie_word_embeddings=True, **sizes)
    folder = tiny_lm.build(tmp_path / "m")
    LlamaForCausalLM(config).save_pretrained(folder)
    _, model = text_model(folder)
    assert torch.equal(model.lm_head.weight, model.model.embed_tokens.weight)
    with pytest.raises(InputError, match=r"missing.*embed_tokens"):
        text_model(edited(folder, without("embed_tokens", "lm_head")))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"num_hidden_layers": 1}, "(?s)left over.*layers.1.*of different models"),
        ({"num_hidden_layers": 3}, "missing.*layers.2"),
        (
            {"vocab_size": 99},
            r"(?s)of another shape.*\(90, 32\) in the file, \(99, 32\) in the class.*of different",
        ),
    ],
)
def test_a_config_of_another_size_is_told(lm, tmp_path, fields, said):
    with pytest.raises(InputError, match=said):
        text_model(configured(copied(lm, tmp_path / "m"), **fields))


def test_a_shard_of_another_model_leaves_weights_missing(lm, tmp_path):
    from transformers import AutoModelForCausalLM

    folder = copied(lm, tmp_path / "m")
    (folder / "model.safetensors").unlink()
    AutoModelForCausalLM.from_pretrained(lm).save_pretrained(folder, max_shard_size="40KB")
    shards = sorted(folder.glob("model-*.safetensors"))
    text_model(folder)  # whole
    shutil.copy(shards[1], shards[0])
    with pytest.raises(InputError, match=r"is not whole.*missing"):
        text_model(folder)


# -- classifiers -------------------------------------------------------------------------------------------


def test_a_base_model_is_no_classifier(lm, tmp_path):
    with pytest.raises(InputError, match=r"(?s)missing.*score.weight.*without the head"):
        load_filter(f"filter/hf/{lm}?labels=LABEL_1")
    bare = tiny_images.classifier(tmp_path / "vit")
    with pytest.raises(InputError, match=r"(?s)missing.*classifier.*without the head"):
        load_checker(f"checker/hf/{edited(bare, without('classifier'))}")


def test_a_head_for_other_labels_is_told(tmp_path):
    folder = tiny_images.classifier(tmp_path / "vit", labels=("normal", "nsfw"))
    ids = {str(n): label for n, label in enumerate(("normal", "nsfw", "porn"))}
    configured(folder, id2label=ids, label2id={label: int(n) for n, label in ids.items()})
    with pytest.raises(
        InputError, match=r"of another shape.*classifier.weight \(\(2, 32\) in the file, \(3, 32\)"
    ):
        load_checker(f"checker/hf/{folder}")


def test_a_tokenizer_without_its_vocabulary_is_told(tmp_path):
    """transformers 5 makes one that reads every text as nothing, so that every text gets one score."""
    from transformers import BertConfig, BertForSequenceClassification

    sizes = {"vocab_size": 9, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    config = BertConfig(num_attention_heads=2, id2label={0: "safe", 1: "toxic"}, **sizes)
    folder = saved(tmp_path / "m", BertForSequenceClassification(config))
    with pytest.raises(
        InputError, match=r"BertTokenizer would know no words: vocab.txt or tokenizer.json is missing"
    ):
        load_filter(f"filter/hf/{folder}")
    words = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "rose", "bomb", "damn")
    (folder / "vocab.txt").write_text("\n".join(words), "utf-8")
    assert load_filter(f"filter/hf/{folder}").decide("a rose").score is not None


def test_a_vocabulary_without_its_merges_is_told(tmp_path):
    from transformers import AutoTokenizer

    letters = {letter: number for number, letter in enumerate("abc")}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen2"}), "utf-8")
    (tmp_path / "vocab.json").write_text(json.dumps(letters), "utf-8")
    with pytest.raises(InputError, match=r"merges|letter by letter"), speaking_loader("m", str(tmp_path)):
        AutoTokenizer.from_pretrained(tmp_path)


# -- known harmless ------------------------------------------------------------------------------------------


def known():
    import transformers as t

    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = small | {"vocab_size": 20, "max_position_embeddings": 20}
    vision = small | {"image_size": 16, "patch_size": 8, "projection_dim": 16}
    t5 = {"vocab_size": 20, "d_model": 16, "d_ff": 16, "d_kv": 8, "num_layers": 1, "num_heads": 2}
    clip = {"text_config": text, "vision_config": vision, "projection_dim": 16}
    labels = {"num_labels": 2}
    return {
        "a pooler that RoBERTa's classifier lacks": (
            lambda: t.RobertaForSequenceClassification(t.RobertaConfig(**text | labels)),
            lambda w: (
                w | {f"roberta.pooler.dense.{n}": w[f"classifier.dense.{n}"] for n in ("weight", "bias")}
            ),
            "AutoModelForSequenceClassification",
        ),
        "BERT's heads of pre-training, and a pooler that is missing": (
            lambda: t.BertForMaskedLM(t.BertConfig(**text)),
            lambda w: w,
            "AutoModel",
        ),
        "position_ids": (
            lambda: t.BertForSequenceClassification(t.BertConfig(**text | labels)),
            lambda w: w | {"bert.embeddings.position_ids": w["classifier.bias"]},
            "AutoModelForSequenceClassification",
        ),
        "inv_freq of each layer": (
            lambda: t.LlamaForCausalLM(t.LlamaConfig(**text)),
            lambda w: w | {"model.layers.0.self_attn.rotary_emb.inv_freq": w["model.norm.weight"]},
            "AutoModelForCausalLM",
        ),
        "GPT-2's causal masks": (
            lambda: t.GPT2LMHeadModel(
                t.GPT2Config(n_embd=16, n_layer=1, n_head=2, n_positions=20, vocab_size=20)
            ),
            lambda w: w | {"transformer.h.0.attn.bias": w["transformer.ln_f.bias"]},
            "AutoModelForCausalLM",
        ),
        "CLIP's vision half": (lambda: t.CLIPModel(t.CLIPConfig(**clip)), lambda w: w, "CLIPTextModel"),
        "CLIP's text half": (
            lambda: t.CLIPModel(t.CLIPConfig(**clip)),
            lambda w: w,
            "CLIPVisionModelWithProjection",
        ),
        "T5's decoder": (
            lambda: t.T5ForConditionalGeneration(t.T5Config(**t5)),
            lambda w: w,
            "T5EncoderModel",
        ),
        "UMT5's decoder": (
            lambda: t.UMT5ForConditionalGeneration(t.UMT5Config(**t5)),
            lambda w: w,
            "UMT5EncoderModel",
        ),
        "experts, which transformers 5 joins": (
            lambda: t.MixtralForCausalLM(t.MixtralConfig(num_local_experts=2, **text)),
            lambda w: w,
            "AutoModelForCausalLM",
        ),
        "a value head of trl": (
            lambda: t.LlamaForCausalLM(t.LlamaConfig(**text)),
            lambda w: w | {"v_head.summary.weight": w["model.norm.weight"]},
            "AutoModelForCausalLM",
        ),
        "layers that guess ahead": (
            lambda: t.LlamaForCausalLM(t.LlamaConfig(**text)),
            lambda w: w | {"model.mtp.0.weight": w["model.norm.weight"]},
            "AutoModelForCausalLM",
        ),
    }


@pytest.mark.parametrize("case", known())
def test_what_is_known_to_do_no_harm_loads(tmp_path, case):
    import transformers

    make, change, kind = known()[case]
    folder = edited(saved(tmp_path / "m", make()), change)
    with speaking_loader("m", str(folder)), quiet_loading():
        getattr(transformers, kind).from_pretrained(folder, use_safetensors=True)


def test_names_are_harmless_only_where_the_class_does_not_read_them():
    def left(kind, *names):
        return gaps_of(kind, {"unexpected_keys": names}).unexpected

    assert left("BertForSequenceClassification", "cls.predictions.bias", "loss_fct.pos_weight") == ()
    assert left("LlamaForCausalLM", "cls.predictions.bias", "score.weight") == (
        "cls.predictions.bias",
        "score.weight",
    )
    assert left("BartForSequenceClassification", "final_logits_bias") == ()
    assert left("XLNetForSequenceClassification", "lm_loss.bias") == ()
    assert left("SwinForImageClassification", "swin.encoder.layers.0.blocks.1.attn_mask") == ()
    assert left("BertForSequenceClassification", "layer.1.attn_mask") == ("layer.1.attn_mask",)
    assert left("BertModel", "classifier.weight") == ()
    assert left("ModernBertModel", "decoder.bias", "head.dense.weight") == ()
    assert left("ModernBertModel", "decoder.layers.0.weight") == ("decoder.layers.0.weight",)
    assert left("BertForSequenceClassification", "score.weight") == ("score.weight",)
    assert left("PixArtTransformer2DModel", "caption_projection.y_embedding") == ()
    assert left("LlamaForCausalLM", "model.layers.0.attn.bias") == ("model.layers.0.attn.bias",)

    missing = {"missing_keys": ["pooler.dense.weight", "bert.pooler.dense.weight", "embeddings.position_ids"]}
    assert gaps_of("BertModel", missing, buffers=["embeddings.position_ids"]).missing == (
        "bert.pooler.dense.weight",
    )
    assert len(gaps_of("BertForSequenceClassification", missing).missing) == 3


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        (["lm_head.weight"], "tie_word_embeddings: true"),
        (["bert.pooler.dense.weight", "classifier.weight"], "a model without the head that this needs"),
        (["bert.encoder.layer.0.output.dense.weight", "classifier.weight"], "Copy the model's files again"),
    ],
)
def test_advice_fits_what_is_missing(missing, said):
    assert said in gaps_of("SomeModel", {"missing_keys": missing}).fix()


def test_quantized_weights_without_their_configuration_are_told(lm, tmp_path):
    change = lambda w: w | {"model.layers.0.mlp.up_proj.weight_scale_inv": w["model.norm.weight"]}  # noqa: E731
    with pytest.raises(InputError, match=r"(?s)left over.*weight_scale_inv.*no quantization_config"):
        text_model(edited(copied(lm, tmp_path / "m"), change))


# -- pipelines, checkers, single files, LoRA ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "change", "said"),
    [
        ("unet", without("conv_out.weight"), "UNet2DConditionModel missing.*conv_out.weight"),
        ("unet", prefixed("module."), "missing.*the names begin with 'module.'"),
        ("unet", lambda w: w | {"foo.weight": w["conv_out.bias"]}, "left over.*foo.weight"),
        ("safety_checker", with_nan("concept_embeds"), "SafetyChecker hold NaN.*concept_embeds"),
        ("text_encoder", without("layers.1"), "CLIPTextModel missing.*layers.1"),
        (
            "safety_checker",
            without("concept_embeds_weights"),
            "SafetyChecker missing.*concept_embeds_weights",
        ),
    ],
)
def test_a_pipeline_with_a_part_that_is_not_whole_is_refused(pipeline, tmp_path, part, change, said):
    folder = copied(pipeline, tmp_path / "m")
    file = "model" if part in ("text_encoder", "safety_checker") else "diffusion_pytorch_model"
    edited(folder / part, change, f"{file}.safetensors")
    with pytest.raises(InputError, match=f"(?s)is not whole.*{said}"):
        load_target(f"diffusers/{folder}")


def test_a_weight_that_the_index_names_and_no_shard_holds_is_missing(pipeline, tmp_path):
    """diffusers reads the names from the index, and reports nothing."""
    import diffusers

    folder = copied(pipeline, tmp_path / "m")
    unet = diffusers.UNet2DConditionModel.from_pretrained(folder / "unet")
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    unet.save_pretrained(folder / "unet", max_shard_size="300KB")
    shard = next(p for p in sorted((folder / "unet").glob("*-of-*")))
    names = list(
        json.loads((folder / "unet/diffusion_pytorch_model.safetensors.index.json").read_text())["weight_map"]
    )
    assert len(names) > 100
    edited(folder / "unet", without("conv_in.weight"), shard.name)
    with pytest.raises(InputError, match=r"UNet2DConditionModel missing.*conv_in.weight"):
        load_target(f"diffusers/{folder}")


def test_names_of_older_releases_load(pipeline, tmp_path):
    """Checkpoints of the Hub have text_model., vision_model.vision_model. and former names of attention."""
    folder = copied(pipeline, tmp_path / "m")
    edited(folder / "text_encoder", prefixed("text_model."))
    edited(
        folder / "safety_checker",
        lambda w: {f"vision_model.{k}" if k.startswith("vision_model.") else k: v for k, v in w.items()},
    )
    former = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}

    def renamed(name):
        for new, old in former.items():
            name = name.replace(new, old)
        return name

    change = lambda w: {renamed(k): v for k, v in w.items()}  # noqa: E731
    edited(folder / "vae", change, "diffusion_pytorch_model.safetensors")
    assert load_target(f"diffusers/{folder}").name


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without("concept_embeds"), "missing.*concept_embeds"),
        (without("layers.1."), "missing.*layers.1"),
        (with_nan("visual_projection"), "hold NaN.*visual_projection.weight"),
    ],
)
def test_a_safety_checker_that_is_not_whole_is_refused(tmp_path, change, said):
    folder = edited(tiny_images.save_checker(tmp_path / "m"), change)
    with pytest.raises(InputError, match=f"is not whole.*SafetyChecker {said}"):
        load_checker(f"checker/diffusers/{folder}")


def test_the_safety_checker_is_in_float32_whatever_was_saved(tmp_path):
    import torch

    checker, processor = tiny_images.safety_checker()
    checker.half().save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    loaded = load_checker(f"checker/diffusers/{tmp_path}", device="cpu")
    assert {weight.dtype for weight in loaded._checker.parameters()} == {torch.float32}


def test_a_single_file_that_is_not_whole_is_refused(pipeline, tmp_path, monkeypatch):
    import diffusers
    from diffusers.loaders import single_file_model
    from safetensors.torch import load_file, save_file

    # Names as diffusers has them, so that nothing is converted.
    monkeypatch.setattr(single_file_model, "_should_convert_state_dict_to_diffusers", lambda *_: False)
    weights = load_file(pipeline / "unet" / "diffusion_pytorch_model.safetensors")

    def load(kept):
        save_file(kept, tmp_path / "unet.safetensors")
        with speaking_loader("m", str(tmp_path)), quiet_loading():
            return diffusers.UNet2DConditionModel.from_single_file(
                str(tmp_path / "unet.safetensors"), config=str(pipeline), subfolder="unet"
            )

    assert load(weights)
    with pytest.raises(InputError, match=r"UNet2DConditionModel missing.*conv_out\.weight"):
        load(without("conv_out.weight")(weights))
    with pytest.raises(InputError, match=r"UNet2DConditionModel left over.*foo"):
        load(weights | {"foo": weights["conv_out.bias"].clone()})


def test_a_lora_that_does_not_fit_is_refused(pipeline, tmp_path):
    import diffusers
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict
    from safetensors.torch import load_file, save_file

    source = diffusers.DiffusionPipeline.from_pretrained(pipeline)
    source.unet.add_adapter(LoraConfig(r=2, target_modules=["to_q"], init_lora_weights=False))
    layers = get_peft_model_state_dict(source.unet)
    diffusers.StableDiffusionPipeline.save_lora_weights(tmp_path, unet_lora_layers=layers)
    file = tmp_path / "pytorch_lora_weights.safetensors"
    weights = load_file(file)

    def load(kept):
        save_file({name: weight.clone() for name, weight in kept.items()}, file)
        drawing = diffusers.DiffusionPipeline.from_pretrained(pipeline)
        with speaking_loader("m", str(tmp_path)), quiet_loading():
            drawing.load_lora_weights(str(tmp_path), weight_name=file.name)
            check_adapters("m", drawing)

    load(weights)
    first = sorted(weights)[0]
    with pytest.raises(InputError, match="LoRA missing"):
        load({name: weight for name, weight in weights.items() if name != first})
    with pytest.raises(InputError, match=r"LoRA left over.*down_blocks.7"):
        load(weights | {first.replace("down_blocks.0", "down_blocks.7"): weights[first]})
    with pytest.raises(InputError, match="would change nothing"):
        load({name.replace("unet.", "transformer."): weight for name, weight in weights.items()})


def test_nothing_is_watched_outside(lm):
    from transformers import AutoModelForCausalLM

    with whole_weights("m"):
        AutoModelForCausalLM.from_pretrained(lm)
    model = AutoModelForCausalLM.from_pretrained(lm, num_hidden_layers=1)
    assert model.config.num_hidden_layers == 1
