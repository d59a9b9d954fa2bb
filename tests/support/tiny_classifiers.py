"""Tiny classifiers of texts and pictures, built from their configs with random weights, one of each family.

Each is a few dozen kB. The weights are drawn wide, so that words and pictures change the logits.
"""

import json
from pathlib import Path

WORDS = (
    "a", "quiet", "harbour", "at", "dawn", "draw", "the", "old", "lamp", "picture", "of", "red", "rose",
    "kite",
)  # fmt: skip
SIZES = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
SIDE = 32
TEXTS = (
    "ALBERT", "BERT", "DeBERTa-v2", "DistilBERT", "Llama (decoder)", "ModernBERT", "RoBERTa", "XLM-RoBERTa",
)  # fmt: skip
PICTURES = ("BEiT", "CLIP", "ConvNeXt", "SigLIP", "SigLIP 2 NaFlex", "Swin", "timm", "ViT")


def names(labels, problem_type=None):
    named = {"id2label": dict(enumerate(labels)), "label2id": {label: n for n, label in enumerate(labels)}}
    return named | ({"problem_type": problem_type} if problem_type else {})


def text(folder, family="BERT", labels=("safe", "toxic"), length=24, problem_type=None, **more):
    """Saves a text classifier; gives the folder. `length`: tokens that it reads at once."""
    import transformers as t

    tokenizer = _tokenizer(length, decoder=family.startswith("Llama"))
    common = {"vocab_size": len(tokenizer), "pad_token_id": 2, **names(labels, problem_type), **more}
    relative = {"relative_attention": True, "position_buckets": 8, "max_relative_positions": -1}
    relative |= {"pos_att_type": ["p2c", "c2p"], "position_biased_input": False, "type_vocab_size": 0}
    front = {"max_position_embeddings": length}
    behind = {"max_position_embeddings": length + 3, "type_vocab_size": 1}
    ends = {"cls_token_id": 3, "sep_token_id": 1, "bos_token_id": 3, "eos_token_id": 1}
    config = {
        "BERT": lambda: t.BertConfig(max_position_embeddings=length, **SIZES, **common),
        "RoBERTa": lambda: t.RobertaConfig(**behind, **SIZES, **common),
        "XLM-RoBERTa": lambda: t.XLMRobertaConfig(**behind, **SIZES, **common),
        "DistilBERT": lambda: t.DistilBertConfig(
            max_position_embeddings=length, dim=32, hidden_dim=32, n_layers=1, n_heads=2, **common
        ),
        "DeBERTa-v2": lambda: t.DebertaV2Config(**front, **relative, **SIZES, **common),
        "ALBERT": lambda: t.AlbertConfig(**front, embedding_size=16, **SIZES, **common),
        "ModernBERT": lambda: t.ModernBertConfig(max_position_embeddings=length, **ends, **SIZES, **common),
        "Llama (decoder)": lambda: t.LlamaConfig(
            max_position_embeddings=length, num_key_value_heads=2, **SIZES, **common
        ),
    }[family]()
    model = wide(t.AutoModelForSequenceClassification.from_config(config))
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return Path(folder)


def _tokenizer(length, decoder=False):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: n for n, word in enumerate(["<unk>", "<eos>", "<pad>", "<cls>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if not decoder:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<cls> $A <eos>", special_tokens=[("<cls>", 3), ("<eos>", 1)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        eos_token="<eos>",
        pad_token="<pad>",
        cls_token="<cls>",
        model_max_length=length,
    )


def picture(folder, family="ViT", labels=("normal", "nsfw"), problem_type=None, **more):
    """Saves a picture classifier; gives the folder."""
    import transformers as t

    if family == "timm":
        return timm(folder, labels)
    common = {**names(labels, problem_type), **more}
    towers = {"image_size": SIDE, "patch_size": 8, **SIZES}
    size = {"height": SIDE, "width": SIDE}
    plain = (t.ViTImageProcessor, {"size": size})
    siglip = (t.SiglipImageProcessor, {"size": size})
    naflex = {k: v for k, v in towers.items() if k != "image_size"} | {"num_patches": 16}
    depths = {"depths": [1, 1], "num_heads": [2, 2]}
    make, (processor, options) = {
        "ViT": (lambda: t.ViTConfig(**towers, **common), plain),
        "Swin": (
            lambda: t.SwinConfig(
                image_size=SIDE, patch_size=4, embed_dim=8, window_size=4, **depths, **common
            ),
            plain,
        ),
        "SigLIP": (lambda: t.SiglipConfig(vision_config=towers, text_config=SIZES, **common), siglip),
        "SigLIP 2 NaFlex": (
            lambda: t.Siglip2Config(vision_config=naflex, text_config=SIZES, **common),
            (t.Siglip2ImageProcessor, {"patch_size": 8, "max_num_patches": 16}),
        ),
        "CLIP": (
            lambda: t.CLIPConfig(vision_config=towers, text_config=SIZES, **common),
            (t.CLIPImageProcessor, {"size": {"shortest_edge": SIDE}, "crop_size": size}),
        ),
        "BEiT": (
            lambda: t.BeitConfig(**towers, **common),
            (t.BeitImageProcessor, {"size": size, "crop_size": size, "do_center_crop": True}),
        ),
        "ConvNeXt": (
            lambda: t.ConvNextConfig(hidden_sizes=[8, 16], depths=[1, 1], num_stages=2, **common),
            (t.ConvNextImageProcessor, {"size": {"shortest_edge": SIDE}, "crop_pct": 0.875}),
        ),
    }[family]
    wide(t.AutoModelForImageClassification.from_config(make())).save_pretrained(folder)
    processor(**options).save_pretrained(folder)
    return Path(folder)


def timm(folder, labels=("NSFW", "SFW")):
    """A folder as timm pushes it to the Hub, such as Marqo's: no model_type, names in label_names."""
    import torch
    from safetensors.torch import save_file
    from timm import create_model

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(5)
    sizes = {"img_size": SIDE, "patch_size": 8, "embed_dim": 32, "depth": 1, "num_heads": 2}
    model = wide(create_model("vit_tiny_patch16_224", pretrained=False, num_classes=len(labels), **sizes))
    state = {key: value.contiguous() for key, value in model.state_dict().items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    prepared = {"input_size": [3, SIDE, SIDE], "interpolation": "bicubic", "crop_pct": 1.0}
    prepared |= {"crop_mode": "center"}
    prepared |= {"mean": [0.5] * 3, "std": [0.5] * 3, "num_classes": len(labels), "fixed_input_size": True}
    config = {
        "architecture": "vit_tiny_patch16_224",
        "num_classes": len(labels),
        "num_features": 32,
        "label_names": list(labels),
        "model_args": sizes,
        "pretrained_cfg": {**prepared, "first_conv": "patch_embed.proj", "classifier": "head"},
    }
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    return folder


def wide(model, seed=0):
    """The model with weights so wide that inputs make a difference."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    norms = {
        f"{place}.{name}"
        for place, module in model.named_modules()
        if "norm" in type(module).__name__.lower()
        for name, _ in module.named_parameters(recurse=False)
    }
    with torch.no_grad():
        for name, value in model.named_parameters():
            if value.ndim > 1:
                value.normal_(std=0.25, generator=generator)
            elif name not in norms:
                value.normal_(std=0.1, generator=generator)
    return model.eval()


def change_config(folder, file="config.json", **entries):
    """Rewrites entries of a folder's config.json or another file; None takes one out."""
    place = Path(folder) / file
    config = json.loads(place.read_text("utf-8")) | entries
    place.write_text(json.dumps({k: v for k, v in config.items() if v is not None}), "utf-8")
    return Path(folder)


def without_head(folder, place, *parts):
    """A copy of a folder at `place` whose weights lack the classifier's head, or parts of these names."""
    import shutil

    from safetensors.torch import load_file, save_file

    shutil.copytree(folder, place)
    state = load_file(Path(place) / "model.safetensors")
    heads = set(parts or ("classifier", "score", "head"))
    kept = {k: v for k, v in state.items() if not heads & set(k.split(".") if parts else k.split(".")[:1])}
    assert len(kept) < len(state), sorted(state)
    save_file(kept, Path(place) / "model.safetensors", metadata={"format": "pt"})
    return place


def shieldgemma2(folder):
    """ShieldGemma 2, which answers Yes or No about each of its policies; gives the folder."""
    import transformers as t
    from tokenizers import Tokenizer, models, pre_tokenizers

    marks = {"image_token": "<image_soft_token>", "boi_token": "<start_of_image>"}
    marks |= {"eoi_token": "<end_of_image>"}
    words = ["<unk>", "<eos>", "<pad>", "<bos>", *marks.values(), "Yes", "No", "image", "shall", "not"]
    words += [
        "Sexually",
        "Dangerous",
        "Violence",
        "explicit",
        "content",
        "the",
        "that",
        "excessive",
        "blood",
        ".",
    ]
    known = {word: n for n, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(known, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    made = t.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        eos_token="<eos>",
        pad_token="<pad>",
        bos_token="<bos>",
        extra_special_tokens=marks,
    )
    text = {**SIZES, "vocab_size": len(words), "head_dim": 16, "num_key_value_heads": 2, "sliding_window": 64}
    text |= {"query_pre_attn_scalar": 16, "pad_token_id": 2, "bos_token_id": 3, "eos_token_id": 1}
    config = t.ShieldGemma2Config(
        text_config=t.Gemma3TextConfig(**text, tie_word_embeddings=False),
        vision_config=t.SiglipVisionConfig(image_size=SIDE, patch_size=8, **SIZES),
        tie_word_embeddings=False,
        mm_tokens_per_image=4,
        boi_token_index=known[marks["boi_token"]],
        eoi_token_index=known[marks["eoi_token"]],
        image_token_index=known[marks["image_token"]],
        yes_token_index=known["Yes"],
        no_token_index=known["No"],
    )
    template = (
        "{{ bos_token }}{% for m in messages %}{% for p in m.content %}{% if p.type == 'image' %}"
        "<start_of_image>{% else %} {{ p.text }} {% endif %}{% endfor %}{% endfor %}"
    )
    processor = t.ShieldGemma2Processor(
        t.Gemma3ImageProcessor(size={"height": SIDE, "width": SIDE}),
        made,
        image_seq_length=4,
        chat_template=template,
    )
    wide(t.ShieldGemma2ForImageClassification(config)).save_pretrained(folder)
    processor.save_pretrained(folder)
    return Path(folder)
