"""Tiny Kandinsky 2.2, 3, 5, Stable Cascade and Wuerstchen pipelines: most draw in two stages."""

import json
from pathlib import Path

import torch
from support import tiny_parts as parts
from support.tiny_parts import lively
from support.tiny_pipelines import Family


def _movq(levels=2):
    from diffusers import VQModel

    return VQModel(
        block_out_channels=(32,) * levels,  # some of its norms have 32 groups, whatever is asked for
        down_block_types=("DownEncoderBlock2D",) * (levels - 1) + ("AttnDownEncoderBlock2D",),
        up_block_types=("AttnUpDecoderBlock2D",) + ("UpDecoderBlock2D",) * (levels - 1),
        latent_channels=4,
        vq_embed_dim=4,
        num_vq_embeddings=12,
        norm_num_groups=8,
        norm_type="spatial",
    ).eval()


def _kandinsky22_decoder():
    from diffusers import DDIMScheduler, UNet2DConditionModel

    unet = UNet2DConditionModel(
        in_channels=4,
        out_channels=8,
        addition_embed_type="image",
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        block_out_channels=(16, 32),
        norm_num_groups=8,
        layers_per_block=1,
        encoder_hid_dim=32,
        encoder_hid_dim_type="image_proj",
        cross_attention_dim=16,
        attention_head_dim=4,
        resnet_time_scale_shift="scale_shift",
    )
    scheduler = DDIMScheduler(
        beta_schedule="linear",
        beta_start=0.00085,
        beta_end=0.012,
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    return {"unet": lively(unet), "scheduler": scheduler, "movq": _movq()}


def _kandinsky22_prior(folder):
    from diffusers import PriorTransformer, UnCLIPScheduler
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

    words = parts.clip_tokenizer(Path(folder) / "tokenizer")
    eye = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=32,
        projection_dim=32,
        num_hidden_layers=1,
        num_attention_heads=4,
        image_size=32,
        patch_size=16,
    )
    prior = PriorTransformer(num_attention_heads=2, attention_head_dim=8, embedding_dim=32, num_layers=1)
    with torch.no_grad():
        prior.clip_std.fill_(1.0)
    return {
        "prior": lively(prior),
        "image_encoder": CLIPVisionModelWithProjection(eye),
        "text_encoder": parts.clip_text(words, projection=True),
        "tokenizer": words,
        "scheduler": UnCLIPScheduler(
            variance_type="fixed_small_log",
            prediction_type="sample",
            clip_sample=True,
            clip_sample_range=10.0,
        ),
        "image_processor": CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=32),
    }


def kandinsky22(folder):
    """Kandinsky 2.2, both stages in one folder."""
    from diffusers import KandinskyV22CombinedPipeline

    torch.manual_seed(0)
    first = {f"prior_{name}": part for name, part in _kandinsky22_prior(folder).items()}
    KandinskyV22CombinedPipeline(**_kandinsky22_decoder(), **first).save_pretrained(folder)


def kandinsky22_apart(folder):
    """Kandinsky 2.2 as its authors publish it: the decoder's card names the repository of the prior."""
    from diffusers import KandinskyV22Pipeline, KandinskyV22PriorPipeline

    torch.manual_seed(0)
    prior = f"{folder}-prior"
    KandinskyV22PriorPipeline(**_kandinsky22_prior(prior)).save_pretrained(prior)
    KandinskyV22Pipeline(**_kandinsky22_decoder()).save_pretrained(folder)
    card = f"---\nprior:\n- {json.dumps(prior)}\n---\n"
    (Path(folder) / "README.md").write_text(card, "utf-8")


def kandinsky3(folder):
    from diffusers import DDPMScheduler, Kandinsky3Pipeline, Kandinsky3UNet

    torch.manual_seed(0)
    words = parts.t5_tokenizer(128)
    unet = Kandinsky3UNet(
        in_channels=4,
        time_embedding_dim=8,
        groups=2,
        attention_head_dim=4,
        layers_per_block=3,
        block_out_channels=(32, 64),
        cross_attention_dim=8,
        encoder_hid_dim=32,
    )
    scheduler = DDPMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="squaredcos_cap_v2", steps_offset=1
    )
    Kandinsky3Pipeline(
        tokenizer=words,
        text_encoder=parts.t5_encoder(words),
        unet=lively(unet),
        scheduler=scheduler,
        movq=_movq(4),
    ).save_pretrained(folder)


def _kandinsky5_parts(folder):
    from diffusers import FlowMatchEulerDiscreteScheduler, Kandinsky5Transformer3DModel
    from transformers import Qwen2VLImageProcessor, Qwen2VLProcessor
    from transformers.models.qwen2_vl.video_processing_qwen2_vl import Qwen2VLVideoProcessor

    chat, words = parts.qwen_tokenizer(), parts.clip_tokenizer(Path(folder) / "tokenizer")
    transformer = Kandinsky5Transformer3DModel(
        in_visual_dim=4,
        out_visual_dim=4,
        in_text_dim=parts.WIDTH,
        in_text_dim2=parts.WIDTH,
        time_dim=16,
        patch_size=(1, 2, 2),
        model_dim=16,
        ff_dim=32,
        num_text_blocks=1,
        num_visual_blocks=1,
        axes_dims=(4, 6, 6),
        visual_cond=False,
        attention_type="regular",
    )
    return {
        "transformer": lively(transformer),
        "text_encoder": parts.qwen_vl(chat),
        "tokenizer": Qwen2VLProcessor(Qwen2VLImageProcessor(), chat, Qwen2VLVideoProcessor()),
        "text_encoder_2": parts.clip_text(words),
        "tokenizer_2": words,
        "scheduler": FlowMatchEulerDiscreteScheduler(shift=7.0),
    }


def kandinsky5(folder):
    from diffusers import Kandinsky5T2IPipeline

    # It draws the nearest of these sizes, the smallest of which has a million pixels: too many for a test.
    small = property(lambda self: [(64, 64), (96, 64), (64, 96)], lambda self, sizes: None)
    Kandinsky5T2IPipeline.resolutions = small
    torch.manual_seed(0)
    Kandinsky5T2IPipeline(vae=parts.vae(4), **_kandinsky5_parts(folder)).save_pretrained(folder)


def _vqgan():
    from diffusers.pipelines.deprecated.wuerstchen import PaellaVQModel

    made = PaellaVQModel(bottleneck_blocks=1, num_vq_embeddings=16, embed_dim=8, latent_channels=4)
    with torch.no_grad():  # so that not every pixel is black or white
        made.out_block[0].weight.mul_(0.05)
        made.out_block[0].bias.fill_(0.5)
    return made.eval()


def _cascade_unets():
    from diffusers import StableCascadeUNet

    prior = StableCascadeUNet(
        in_channels=16,
        out_channels=16,
        conditioning_dim=32,
        block_out_channels=(32, 32),
        num_attention_heads=(2, 2),
        down_num_layers_per_block=(1, 1),
        up_num_layers_per_block=(1, 1),
        down_blocks_repeat_mappers=(1, 1),
        up_blocks_repeat_mappers=(1, 1),
        block_types_per_layer=(("SDCascadeResBlock", "SDCascadeTimestepBlock", "SDCascadeAttnBlock"),) * 2,
        clip_image_in_channels=32,
        clip_text_in_channels=32,
        clip_text_pooled_in_channels=32,
        switch_level=(False,),
        dropout=(0.1, 0.1),
    )
    with_words = ("SDCascadeResBlock", "SDCascadeTimestepBlock", "SDCascadeAttnBlock")
    decoder = StableCascadeUNet(
        in_channels=4,
        out_channels=4,
        conditioning_dim=32,
        block_out_channels=(16, 32),
        num_attention_heads=(-1, 2),
        down_num_layers_per_block=(1, 1),
        up_num_layers_per_block=(1, 1),
        down_blocks_repeat_mappers=(1, 1),
        up_blocks_repeat_mappers=(1, 1),
        block_types_per_layer=(with_words[:2], with_words),
        clip_text_pooled_in_channels=32,
        effnet_in_channels=16,
        switch_level=None,
        dropout=(0.1, 0.1),
    )
    return lively(prior), lively(decoder)


def stable_cascade(folder):
    """Stable Cascade, both stages in one folder."""
    from diffusers import DDPMWuerstchenScheduler, StableCascadeCombinedPipeline

    torch.manual_seed(0)
    words = parts.clip_tokenizer(Path(folder) / "tokenizer")
    prior, decoder = _cascade_unets()
    vqgan = _vqgan()
    StableCascadeCombinedPipeline(
        tokenizer=words,
        text_encoder=parts.clip_text(words, projection=True),
        decoder=decoder,
        scheduler=DDPMWuerstchenScheduler(),
        vqgan=vqgan,
        prior_prior=prior,
        prior_text_encoder=parts.clip_text(words, projection=True),
        prior_tokenizer=words,
        prior_scheduler=DDPMWuerstchenScheduler(),
    ).save_pretrained(folder)


def wuerstchen(folder):
    """Wuerstchen, both stages in one folder."""
    from diffusers import DDPMWuerstchenScheduler, WuerstchenCombinedPipeline
    from diffusers.pipelines.deprecated.wuerstchen import WuerstchenDiffNeXt, WuerstchenPrior

    torch.manual_seed(0)
    words = parts.clip_tokenizer(Path(folder) / "tokenizer")
    vqgan = _vqgan()
    decoder = WuerstchenDiffNeXt(
        patch_size=1,
        c_cond=32,
        c_hidden=(8, 16),
        nhead=(-1, 2),
        blocks=(1, 1),
        level_config=("CT", "CTA"),
        inject_effnet=[False, True],
        effnet_embd=4,
        clip_embd=32,
    )
    prior = WuerstchenPrior(c_in=4, c=16, c_cond=32, c_r=16, depth=1, nhead=2)
    WuerstchenCombinedPipeline(
        tokenizer=words,
        text_encoder=parts.clip_text(words),
        decoder=lively(decoder),
        scheduler=DDPMWuerstchenScheduler(),
        vqgan=vqgan,
        prior_tokenizer=words,
        prior_text_encoder=parts.clip_text(words),
        prior_prior=lively(prior),
        prior_scheduler=DDPMWuerstchenScheduler(),
    ).save_pretrained(folder)


# Of the first stage; 25 and 60 would be usual.
FEW = {"call.prior_num_inference_steps": 2}
FEWER = {"prior_num_inference_steps": 2}
FAMILIES = {
    "Kandinsky 2.2": Family(
        kandinsky22, size=(64, 64), decoder="movq", denoiser="unet", options=FEW, call=FEWER
    ),
    "Kandinsky 3": Family(kandinsky3, size=(64, 64), decoder="movq", denoiser="unet"),
    "Kandinsky 5": Family(kandinsky5, size=(64, 64)),
    "Stable Cascade": Family(
        stable_cascade,
        guidance=None,
        options=FEW,
        call=FEWER,
        size=(40, 40),
        decoder="vqgan",
        denoiser="decoder",
    ),
    "Wuerstchen": Family(
        wuerstchen,
        guidance=None,
        options=FEW,
        call=FEWER,
        size=(40, 40),
        decoder="vqgan",
        denoiser="prior_prior",
    ),
}
