"""The models of the tiny world, empty, and how they are stored: stock classes, built from small configs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from scenes import SIDE

TOKENS = 40  # that a text encoder reads, begin and end included
LATENT_CHANNELS = 8
CLIP_CONFIG: dict[str, Any] = {
    "embed_dim": 128,
    "vision_cfg": {
        "image_size": SIDE,
        "patch_size": 4,
        "width": 96,
        "layers": 3,
        "head_width": 24,
        "mlp_ratio": 3.0,
    },
    "text_cfg": {
        "context_length": TOKENS,
        "width": 128,
        "heads": 4,
        "layers": 2,
        "mlp_ratio": 3.0,
        "hf_tokenizer_name": "tiny_world",  # any name: the tokenizer is that of the folder
    },
}


# -- tokenizer --------------------------------------------------------------------------------------------


def tokenizer(folder: Path, captions: list[str], words: int = 900) -> Any:
    """A CLIP tokenizer learnt from captions (byte pairs), saved in the folder, and loaded again."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    # As CLIP's own tokenizer takes a text apart; that one learns nothing, so this one stands in for it.
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(
                Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"), "removed", invert=True
            ),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=512 + words, min_frequency=4, end_of_word_suffix="</w>", show_progress=False
    )
    learner.train_from_iterator(captions, trainer)
    merges = [pair if isinstance(pair, list) else pair.split() for pair in _merges(learner)]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = [*letters, *(letter + "</w>" for letter in letters), *("".join(pair) for pair in merges)]
    vocabulary = [*dict.fromkeys(vocabulary), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    numbers = {token: number for number, token in enumerate(vocabulary)}
    (folder / "vocab.json").write_text(json.dumps(numbers, ensure_ascii=False), "utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", "utf-8")
    made = CLIPTokenizer.from_pretrained(str(folder), model_max_length=TOKENS)
    made.save_pretrained(folder)
    return made


def _merges(learner: Any) -> list[Any]:
    return list(json.loads(learner.to_str())["model"]["merges"])


def tokens(tokenizer: Any, captions: list[str]) -> torch.Tensor:
    """int64 of shape (captions, TOKENS), as a pipeline pads them."""
    return tokenizer(
        captions, padding="max_length", max_length=TOKENS, truncation=True, return_tensors="pt"
    ).input_ids


# -- CLIP -------------------------------------------------------------------------------------------------


def clip(vocabulary: int) -> tuple[Any, dict[str, Any]]:
    """An open_clip model with random weights, and its config."""
    import open_clip

    config = json.loads(json.dumps(CLIP_CONFIG))
    config["text_cfg"]["vocab_size"] = vocabulary
    return open_clip.CLIP(**config), config


def save_clip(model: Any, config: dict[str, Any], tokenizer: Any, folder: Path) -> None:
    """As open_clip's `local-dir:` reads it, half precision."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.half().contiguous() for name, value in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors", metadata={"format": "pt"})
    # Pixels from -1 to 1, and no crop: the whole picture counts.
    preprocess = {
        "size": [SIDE, SIDE],
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
        "interpolation": "bicubic",
        "resize_mode": "squash",
    }
    text = json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}, indent=1)
    (folder / "open_clip_config.json").write_text(text + "\n", "utf-8")
    tokenizer.save_pretrained(folder)


# -- pipeline ---------------------------------------------------------------------------------------------


def autoencoder() -> Any:
    """From (3, 32, 32) to latents of (8, 8, 8) and back.

    The tiny autoencoder of diffusers, not its usual one (AutoencoderKL): that one's group norms take the
    mean off flat pictures, and at this size it needs three times as long to get the colours right.
    """
    from diffusers import AutoencoderTiny

    return AutoencoderTiny(
        encoder_block_out_channels=(24, 24, 24),
        decoder_block_out_channels=(24, 24, 24),
        num_encoder_blocks=(0, 1, 2),
        num_decoder_blocks=(2, 1, 1),
        latent_channels=LATENT_CHANNELS,
    )


def text_encoder(tokenizer: Any) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=128,
            intermediate_size=384,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=TOKENS,
            projection_dim=128,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def denoiser() -> Any:
    """The caption reaches every layer twice: by attention, and as one vector beside the time step. It is the
    second that teaches forms in few steps, since every layer sees it at its full resolution."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=SIDE // 4,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=(64, 96),
        layers_per_block=1,
        norm_num_groups=16,
        attention_head_dim=4,
        cross_attention_dim=128,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        mid_block_type="UNetMidBlock2DCrossAttn",
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        addition_embed_type="text",
        addition_embed_type_num_heads=8,
        resnet_time_scale_shift="scale_shift",
    )


def scheduler() -> Any:
    """Noise that ends in nothing but noise: otherwise the ground's colour shows through at the last step
    of training and is missing at the first of drawing."""
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        steps_offset=1,
    )


def save_pipeline(parts: dict[str, Any], folder: Path) -> None:
    """A StableDiffusionPipeline's folder, half precision.

    The text encoder's config says float32: transformers would otherwise load it in half precision where
    diffusers loads its own parts in full, and the two do not go together.
    """
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline(
        **parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False
    )
    shutil.rmtree(folder, ignore_errors=True)
    pipeline.to(torch.float16).save_pretrained(folder)
    for config in folder.rglob("config.json"):
        text = config.read_text("utf-8")
        config.write_text(text.replace('"float16"', '"float32"'), "utf-8")


# -- checker ----------------------------------------------------------------------------------------------


def checker() -> Any:
    from transformers import ResNetConfig, ResNetForImageClassification

    labels = ("safe", "unsafe")
    return ResNetForImageClassification(
        ResNetConfig(
            embedding_size=16,
            hidden_sizes=[16, 32, 64],
            depths=[1, 1, 1],
            layer_type="basic",
            id2label=dict(enumerate(labels)),
            label2id={label: number for number, label in enumerate(labels)},
        )
    )


def save_checker(model: Any, folder: Path) -> None:
    from transformers import ViTImageProcessor

    shutil.rmtree(folder, ignore_errors=True)
    model.half().save_pretrained(folder)
    config = folder / "config.json"
    config.write_text(config.read_text("utf-8").replace('"float16"', '"float32"'), "utf-8")
    ViTImageProcessor(size={"height": SIDE, "width": SIDE}, resample=3).save_pretrained(folder)
