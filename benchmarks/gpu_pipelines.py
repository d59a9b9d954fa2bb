"""Pipelines of full size with random weights, made from their configurations on a device: no download.

`tiny` ones have the same parts and fit a CPU; tests run the checks on them.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

# Sizes as in the config.json of stabilityai/stable-diffusion-xl-base-1.0 and black-forest-labs/FLUX.1-dev.
_SDXL_UNET = {
    "sample_size": 128,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 2,
    "attention_head_dim": (5, 10, 20),
    "transformer_layers_per_block": (1, 2, 10),
    "cross_attention_dim": 2048,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
    "use_linear_projection": True,
}
_TINY_UNET = _SDXL_UNET | {
    "sample_size": 16,
    "block_out_channels": (16, 32, 32),
    "layers_per_block": 1,
    "attention_head_dim": (2, 4, 4),
    "transformer_layers_per_block": 1,
    "cross_attention_dim": 64,
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 80,
    "norm_num_groups": 8,
}
_VAE = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
}
_TINY_VAE = _VAE | {"block_out_channels": (8, 8, 8, 8), "layers_per_block": 1, "norm_num_groups": 8}
_CLIP_L = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
_CLIP_G = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20}
_TINY_CLIP = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}


@contextmanager
def _made_on(device: str, dtype: Any) -> Any:
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    torch.manual_seed(0)
    try:
        with torch.device(device):
            yield
    finally:
        torch.set_default_dtype(before)


def _clip(tokenizer: Any, sizes: dict[str, int], projection: int) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=max(len(tokenizer), 512),
        projection_dim=projection or 32,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **sizes,
    )
    return (CLIPTextModelWithProjection if projection else CLIPTextModel)(config)


def sdxl(folder: Path, device: str, dtype: Any, tiny: bool) -> Any:
    """Stable Diffusion XL: 3.5 billion weights in full size, 1024 x 1024 pixels."""
    from diffusers import (
        AutoencoderKL,
        EulerDiscreteScheduler,
        StableDiffusionXLPipeline,
        UNet2DConditionModel,
    )
    from support.tiny_images import clip_tokenizer

    tokenizer = clip_tokenizer(folder / "clip")
    with _made_on(device, dtype):
        parts = {
            "text_encoder": _clip(tokenizer, _TINY_CLIP if tiny else _CLIP_L, 0),
            "text_encoder_2": _clip(tokenizer, _TINY_CLIP if tiny else _CLIP_G, 32 if tiny else 1280),
            "unet": UNet2DConditionModel(**(_TINY_UNET if tiny else _SDXL_UNET)),
            "vae": AutoencoderKL(latent_channels=4, scaling_factor=0.13025, **(_TINY_VAE if tiny else _VAE)),
        }
    return StableDiffusionXLPipeline(
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        scheduler=EulerDiscreteScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", timestep_spacing="leading"
        ),
        add_watermarker=False,
        **{name: part.eval() for name, part in parts.items()},
    )


def flux(folder: Path, device: str, dtype: Any, tiny: bool) -> Any:
    """FLUX.1: a transformer of 12 billion weights and T5-XXL in full size, 1024 x 1024 pixels."""
    from diffusers import (
        AutoencoderKL,
        FlowMatchEulerDiscreteScheduler,
        FluxPipeline,
        FluxTransformer2DModel,
    )
    from support.tiny_images import WORDS, clip_tokenizer
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

    tokenizer = clip_tokenizer(folder / "clip")
    words = {word: number for number, word in enumerate(("<pad>", "</s>", "<unk>", *WORDS))}
    splitter = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    splitter.pre_tokenizer = pre_tokenizers.Whitespace()
    t5 = {"d_model": 32, "d_ff": 64, "d_kv": 8, "num_layers": 1, "num_heads": 4}
    if not tiny:  # T5 v1.1 XXL
        t5 = {"d_model": 4096, "d_ff": 10240, "d_kv": 64, "num_layers": 24, "num_heads": 64}
    transformer: dict[str, Any] = {"guidance_embeds": True}  # the class's defaults are FLUX.1's sizes
    if tiny:
        transformer |= {
            "in_channels": 16,
            "num_layers": 1,
            "num_single_layers": 1,
            "attention_head_dim": 16,
            "num_attention_heads": 2,
            "joint_attention_dim": 32,
            "pooled_projection_dim": 32,
            "axes_dims_rope": (4, 4, 8),
        }
    with _made_on(device, dtype):
        parts = {
            "text_encoder": _clip(tokenizer, _TINY_CLIP if tiny else _CLIP_L, 0),
            "text_encoder_2": T5EncoderModel(T5Config(vocab_size=max(len(words), 128), **t5)),
            "transformer": FluxTransformer2DModel(**transformer),
            "vae": AutoencoderKL(
                latent_channels=4 if tiny else 16,
                use_quant_conv=False,
                use_post_quant_conv=False,
                shift_factor=0.1159,
                scaling_factor=0.3611,
                **(_TINY_VAE if tiny else _VAE),
            ),
        }
    return FluxPipeline(
        tokenizer=tokenizer,
        tokenizer_2=PreTrainedTokenizerFast(
            tokenizer_object=splitter, pad_token="<pad>", eos_token="</s>", unk_token="<unk>",
            model_max_length=512,
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(),
        **{name: part.eval() for name, part in parts.items()},
    )  # fmt: skip


def safety_checker(device: str, tiny: bool) -> Any:
    """Stable Diffusion's checker, CLIP ViT-L/14 in full size, with random concepts, and its processor."""
    import torch
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers import CLIPConfig, CLIPImageProcessor

    side = 32 if tiny else 224
    vision = {"image_size": side, "patch_size": 8 if tiny else 14, "projection_dim": 32 if tiny else 768}
    vision |= _TINY_CLIP if tiny else {
        "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
    }  # fmt: skip
    with _made_on(device, torch.float32):
        config = CLIPConfig(vision_config=vision, projection_dim=vision["projection_dim"])
        checker = StableDiffusionSafetyChecker(config).eval()
        with torch.no_grad():
            checker.concept_embeds.copy_(torch.randn_like(checker.concept_embeds))
            checker.special_care_embeds.copy_(torch.randn_like(checker.special_care_embeds))
            checker.special_care_embeds_weights.fill_(2.0)  # no cosine reaches it
    size = {"height": side, "width": side}
    return checker, CLIPImageProcessor(size={"shortest_edge": side}, crop_size=size)
