"""Tiny models with a tower for texts and one for pictures, of transformers and of open_clip."""

import json
from pathlib import Path

from support.tiny_classifiers import SIDE, SIZES, wide
from support.tiny_clip import WORDS, clip_tokenizer

TOWER = {"image_size": SIDE, "patch_size": 8, **SIZES}
OF_TRANSFORMERS = ("CLIP", "Chinese CLIP", "MetaCLIP 2", "SigLIP", "SigLIP 2 NaFlex")
OF_OPEN_CLIP = ("EVA-02", "FastViT (MobileCLIP)", "ViT")


def of_transformers(folder, family="CLIP"):
    """Saves a model with its processor, as save_pretrained() of transformers does; gives the folder."""
    import transformers as t

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    size = {"height": SIDE, "width": SIDE}
    if family in ("CLIP", "MetaCLIP 2"):
        tokenizer = clip_tokenizer(folder, 20)
        ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
        text = {**SIZES, **ids, "vocab_size": len(tokenizer), "max_position_embeddings": 20}
        text |= {"pad_token_id": tokenizer.pad_token_id}
        kind = t.CLIPConfig if family == "CLIP" else t.MetaClip2Config
        config = kind(text_config=text, vision_config=TOWER, projection_dim=16)
        pixels = t.CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size=size)
        processor = t.CLIPProcessor(image_processor=pixels, tokenizer=tokenizer)
    elif family == "Chinese CLIP":
        tokenizer = _words(20, "<cls> $A <eos>", [("<cls>", 3), ("<eos>", 1)])
        text = {**SIZES, "vocab_size": len(tokenizer), "max_position_embeddings": 20, "pad_token_id": 2}
        config = t.ChineseCLIPConfig(text_config=text, vision_config=TOWER, projection_dim=16)
        pixels = t.ChineseCLIPImageProcessor(size=size, do_center_crop=False)
        processor = t.ChineseCLIPProcessor(image_processor=pixels, tokenizer=tokenizer)
    else:
        tokenizer = _words(16, "$A <eos>", [("<eos>", 1)], masked=False)
        text = {**SIZES, "vocab_size": len(tokenizer), "max_position_embeddings": 16, "projection_size": 32}
        if family == "SigLIP":
            config = t.SiglipConfig(text_config=text, vision_config=TOWER)
            pixels = t.SiglipImageProcessor(size=size)
            processor = t.SiglipProcessor(image_processor=pixels, tokenizer=tokenizer)
        else:
            tower = {k: v for k, v in TOWER.items() if k != "image_size"} | {"num_patches": 256}
            tower |= {"patch_size": 16}  # the processor's own, whatever its config says
            config = t.Siglip2Config(text_config=text, vision_config=tower)
            pixels = t.Siglip2ImageProcessor(patch_size=16, max_num_patches=256)
            processor = t.Siglip2Processor(image_processor=pixels, tokenizer=tokenizer)
    wide(t.AutoModel.from_config(config)).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _words(length, frame, special, masked=True):
    """A tokenizer of words in lower case; `masked`: it gives an attention mask, which SigLIP's does not."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: n for n, word in enumerate(["<unk>", "<eos>", "<pad>", "<cls>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single=frame, special_tokens=special)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        eos_token="<eos>",
        pad_token="<pad>",
        cls_token="<cls>",
        model_max_length=length,
        model_input_names=["input_ids", "attention_mask"] if masked else ["input_ids"],
    )


def of_open_clip(folder, family="ViT"):
    """Saves a model of open_clip whose tower for pictures is one of timm's; gives the folder."""
    import open_clip
    from safetensors.torch import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = clip_tokenizer(folder, 20)
    text = {"context_length": 20, "width": 32, "heads": 2, "layers": 1, "vocab_size": len(tokenizer)}
    text |= {"hf_tokenizer_name": "any: the folder's own is taken"}
    tower = {"image_size": SIDE}
    if family == "ViT":
        tower |= {"patch_size": 8, "width": 32, "layers": 1, "head_width": 16}
    else:
        tower |= {"timm_model_name": _timm_tower(family), "timm_pool": "avg", "timm_proj": "linear"}
        tower |= {"timm_model_pretrained": False}
    config = {"embed_dim": 16, "vision_cfg": tower, "text_cfg": text}
    model = wide(open_clip.CLIP(**config))
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors", metadata={"format": "pt"})
    preprocess = {"mean": [0.4] * 3, "std": [0.3] * 3, "interpolation": "bilinear", "resize_mode": "squash"}
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": preprocess})
    )
    return folder


def _timm_tower(family):
    """The name under which timm knows a tiny tower; made known on the first call."""
    import timm
    from timm.models import eva, fastvit

    name = {"EVA-02": "overt_tiny_eva02", "FastViT (MobileCLIP)": "overt_tiny_fastvit"}[family]
    if timm.is_model(name):
        return name

    def known(model):
        model.default_cfg = model.pretrained_cfg = {"pool_size": None}
        return model

    unused = {"pretrained_cfg", "pretrained_cfg_overlay", "cache_dir", "img_size"}
    if family == "EVA-02":
        sizes = {"patch_size": 8, "embed_dim": 32, "depth": 1, "num_heads": 2, "mlp_ratio": 2}
        sizes |= {"swiglu_mlp": True, "use_rot_pos_emb": True, "ref_feat_shape": (4, 4)}

        def make(pretrained=False, **options):
            options = {k: v for k, v in options.items() if k not in unused - {"img_size"}}
            return known(eva.Eva(**({"img_size": SIDE} | sizes | options)))
    else:

        def make(pretrained=False, **options):
            options = {k: v for k, v in options.items() if k not in unused}
            kinds = {"layers": (1, 1, 1, 1), "embed_dims": (8, 8, 16, 16), "mlp_ratios": (2, 2, 2, 2)}
            return known(fastvit.FastVit(**(kinds | {"token_mixers": ("repmixer",) * 4} | options)))

    make.__name__ = name
    make.__module__ = eva.__name__
    timm.models.register_model(make)
    return name
