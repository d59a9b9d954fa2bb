"""Tiny pipelines with a UNet: Stable Diffusion 1.5, its distilled kin, SDXL, Kolors, DeepFloyd IF.

Sizes follow `get_dummy_components` in the tests of diffusers; schedulers follow the published folders.
"""

import io
import re
from functools import partial

from support import tiny_images, tiny_parts
from support.tiny_images import ALWAYS, NEVER
from support.tiny_pipelines import Family

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def safe_stable_diffusion(folder, threshold=NEVER):
    """Safe Stable Diffusion: guided away from a text of its own; its checker is of a package that diffusers
    has moved, and leaves the blackening to the pipeline."""
    from diffusers import DiffusionPipeline
    from diffusers.pipelines.deprecated.stable_diffusion_safe import StableDiffusionPipelineSafe
    from diffusers.pipelines.deprecated.stable_diffusion_safe.safety_checker import (
        SafeStableDiffusionSafetyChecker,
    )

    parts = DiffusionPipeline.from_pretrained(tiny_images.pipeline(folder, threshold=threshold)).components
    checker = SafeStableDiffusionSafetyChecker(parts["safety_checker"].config)
    checker.load_state_dict(parts["safety_checker"].state_dict())
    if not hasattr(checker, "all_tied_weights_keys"):
        checker.post_init()  # without it transformers 5 does not even save it
    StableDiffusionPipelineSafe(**parts | {"safety_checker": checker}).save_pretrained(folder)
    index = folder / "model_index.json"  # diffusers writes a library that it does not find again
    text = re.sub(r'"\w+"(,\s*"SafeStableD)', r'"stable_diffusion_safe"\1', index.read_text("utf-8"))
    index.write_text(text, "utf-8")


def latent_consistency(folder, threshold=NEVER):
    """LatentConsistencyModelPipeline: guidance as an embedding of the UNet, noise at every step."""
    from diffusers import LatentConsistencyModelPipeline, LCMScheduler

    tokenizer = tiny_parts.clip_tokenizer(folder / "tokenizer")
    checker, processor = tiny_images.safety_checker(threshold)
    LatentConsistencyModelPipeline(
        vae=tiny_parts.vae(),
        text_encoder=tiny_parts.clip_text(tokenizer),
        tokenizer=tokenizer,
        unet=tiny_parts.unet(time_cond_proj_dim=32),
        scheduler=LCMScheduler(**BETAS, clip_sample=False, set_alpha_to_one=False),
        safety_checker=checker,
        feature_extractor=processor,
    ).save_pretrained(folder)


def lcm(folder):
    """A Stable Diffusion 1.5 with the UNet and the scheduler of a consistency model, no checker."""
    from diffusers import LCMScheduler

    _stable_diffusion(folder, LCMScheduler(**BETAS), tiny_parts.unet(time_cond_proj_dim=32))


def sd_turbo(folder):
    """SD-Turbo: the model of Stable Diffusion 2.1 with few ancestral steps and no guidance."""
    from diffusers import EulerDiscreteScheduler

    scheduler = EulerDiscreteScheduler(
        **BETAS, timestep_spacing="trailing", prediction_type="epsilon", steps_offset=1
    )
    _stable_diffusion(folder, scheduler, tiny_parts.unet(use_linear_projection=True))


def _stable_diffusion(folder, scheduler, unet):
    from diffusers import StableDiffusionPipeline

    tokenizer = tiny_parts.clip_tokenizer(folder / "tokenizer")
    StableDiffusionPipeline(
        vae=tiny_parts.vae(),
        text_encoder=tiny_parts.clip_text(tokenizer),
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)


def sdxl(folder, turbo=False):
    """Stable Diffusion XL: two CLIP encoders, size and crop as conditions; SDXL-Turbo's scheduler."""
    from diffusers import EulerAncestralDiscreteScheduler, EulerDiscreteScheduler, StableDiffusionXLPipeline

    tokenizer = tiny_parts.clip_tokenizer(folder / "tokenizer")
    other = tiny_parts.clip_tokenizer(folder / "tokenizer_2")
    unet = tiny_parts.unet(
        2 * tiny_parts.WIDTH,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + tiny_parts.WIDTH,
    )
    if turbo:
        scheduler = EulerAncestralDiscreteScheduler(**BETAS, timestep_spacing="trailing", steps_offset=1)
    else:
        scheduler = EulerDiscreteScheduler(**BETAS, timestep_spacing="leading", steps_offset=1)
    StableDiffusionXLPipeline(
        vae=tiny_parts.vae(scaling_factor=0.13025),
        text_encoder=tiny_parts.clip_text(tokenizer),
        text_encoder_2=tiny_parts.clip_text(other, projection=True, seed=11),
        tokenizer=tokenizer,
        tokenizer_2=other,
        unet=unet,
        scheduler=scheduler,
    ).save_pretrained(folder)


def kolors(folder):
    """Kolors: the UNet of SDXL behind a ChatGLM, whose tokenizer is a SentencePiece model."""
    from diffusers import EulerDiscreteScheduler, KolorsPipeline
    from diffusers.pipelines.kolors.text_encoder import ChatGLMConfig, ChatGLMModel
    from diffusers.pipelines.kolors.tokenizer import ChatGLMTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "spm.model").write_bytes(sentence_pieces())
    tokenizer = ChatGLMTokenizer(str(folder / "spm.model"), model_max_length=256)
    config = ChatGLMConfig(
        num_layers=2,
        padded_vocab_size=tokenizer.vocab_size,
        hidden_size=tiny_parts.WIDTH,
        ffn_hidden_size=2 * tiny_parts.WIDTH,
        kv_channels=8,
        num_attention_heads=4,
        multi_query_attention=True,
        multi_query_group_num=2,
        add_qkv_bias=True,
        seq_length=512,
        original_rope=True,
    )
    encoder = tiny_parts.lively(ChatGLMModel(config), seed=8)
    for name, weight in encoder.named_parameters():
        if weight.dim() == 1:  # left uninitialised by the class
            weight.data.fill_(1.0 if name.endswith("weight") else 0.0)
    KolorsPipeline(
        vae=tiny_parts.vae(scaling_factor=0.13025),
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=tiny_parts.unet(
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + tiny_parts.WIDTH,
        ),
        scheduler=EulerDiscreteScheduler(**BETAS, timestep_spacing="leading", steps_offset=1),
    ).save_pretrained(folder)


def sentence_pieces():
    """A SentencePiece model of `tiny_parts.WORDS` and bytes."""
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([" ".join(tiny_parts.WORDS)] * 20),
        model_writer=model,
        vocab_size=300,
        model_type="bpe",
        byte_fallback=True,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return model.getvalue()


def deepfloyd(folder, flags=False, watermarks=False):
    """DeepFloyd IF, first stage: draws pixels, behind a T5, with its safety checker and its watermark.

    flags, watermarks: whether the checker says so of every picture.
    """
    import torch
    from diffusers import DDPMScheduler, IFPipeline
    from diffusers.pipelines.deepfloyd_if import IFSafetyChecker, IFWatermarker
    from transformers import CLIPConfig, CLIPImageProcessor

    tokenizer = tiny_parts.t5_tokenizer(77)
    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
    vision |= {"image_size": 32, "patch_size": 8, "projection_dim": 32}
    checker = tiny_parts.lively(IFSafetyChecker(CLIPConfig(vision_config=vision, projection_dim=32)))
    with torch.no_grad():
        checker.p_head.weight.zero_()
        checker.p_head.bias.fill_(1.0 if flags else 0.0)  # flagged above 0.5
        checker.w_head.weight.zero_()
        checker.w_head.bias.fill_(1.0 if watermarks else 0.0)
    size = {"height": 32, "width": 32}
    IFPipeline(
        tokenizer=tokenizer,
        text_encoder=tiny_parts.t5_encoder(tokenizer),
        unet=tiny_parts.unet(
            size=32,
            block_out_channels=(16, 32),
            down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
            mid_block_type="UNetMidBlock2DSimpleCrossAttn",
            up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
            in_channels=3,
            out_channels=6,
            encoder_hid_dim=tiny_parts.WIDTH,
            attention_head_dim=8,
            addition_embed_type="text",
            addition_embed_type_num_heads=2,
            cross_attention_norm="group_norm",
            resnet_time_scale_shift="scale_shift",
            act_fn="gelu",
        ),
        scheduler=DDPMScheduler(
            beta_schedule="squaredcos_cap_v2",
            thresholding=True,
            dynamic_thresholding_ratio=0.95,
            sample_max_value=1.5,
            variance_type="learned_range",
        ),
        safety_checker=checker,
        feature_extractor=CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=size),
        watermarker=IFWatermarker(),
    ).save_pretrained(folder)


FAMILIES = {
    "Stable Diffusion 1.5": Family(
        tiny_images.pipeline, flagging=partial(tiny_images.pipeline, threshold=ALWAYS), denoiser="unet"
    ),
    "Stable Diffusion 1.5 with LCM": Family(lcm, denoiser="unet"),
    "Latent Consistency Models": Family(
        latent_consistency, flagging=partial(latent_consistency, threshold=ALWAYS), denoiser="unet"
    ),
    "Safe Stable Diffusion": Family(
        safe_stable_diffusion, flagging=partial(safe_stable_diffusion, threshold=ALWAYS), denoiser="unet"
    ),
    "SD-Turbo": Family(sd_turbo, steps=1, guidance=0.0, denoiser="unet"),
    "Stable Diffusion XL": Family(sdxl, denoiser="unet"),
    "SDXL-Turbo": Family(partial(sdxl, turbo=True), steps=2, guidance=0.0, denoiser="unet"),
    "Kolors": Family(kolors, denoiser="unet"),
    "DeepFloyd IF": Family(deepfloyd, flagging=partial(deepfloyd, flags=True), decoder=None, denoiser="unet"),
}
