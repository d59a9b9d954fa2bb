"""Tiny pipelines with a transformer: Stable Diffusion 3, FLUX, PixArt, Sana, AuraFlow, Chroma.

Sizes follow `get_dummy_components` in the tests of diffusers; schedulers follow the published folders.
"""

import inspect
from functools import partial

from support import tiny_parts
from support.tiny_pipelines import Family

WIDTH = tiny_parts.WIDTH


def sd3(folder, newer=False):
    """Stable Diffusion 3: two CLIP encoders and a T5; 3.5 normalises queries and keys, and attends twice."""
    from diffusers import SD3Transformer2DModel, StableDiffusion3Pipeline

    clips = [tiny_parts.clip_tokenizer(folder / name) for name in ("tokenizer", "tokenizer_2")]
    t5 = tiny_parts.t5_tokenizer()
    more = {"qk_norm": "rms_norm", "dual_attention_layers": (0,)} if newer else {}
    StableDiffusion3Pipeline(
        scheduler=tiny_parts.flow_scheduler(shift=3.0),
        text_encoder=tiny_parts.clip_text(clips[0], projection=True),
        tokenizer=clips[0],
        text_encoder_2=tiny_parts.clip_text(clips[1], projection=True, seed=11),
        tokenizer_2=clips[1],
        text_encoder_3=tiny_parts.t5_encoder(t5, d_model=2 * WIDTH),
        tokenizer_3=t5,
        transformer=tiny_parts.lively(
            SD3Transformer2DModel(
                sample_size=16,
                patch_size=2,
                in_channels=4,
                out_channels=4,
                num_layers=2,
                attention_head_dim=8,
                num_attention_heads=4,
                caption_projection_dim=32,
                joint_attention_dim=2 * WIDTH,
                pooled_projection_dim=2 * WIDTH,
                pos_embed_max_size=32,
                **more,
            )
        ),
        vae=tiny_parts.flux_vae(),
    ).save_pretrained(folder)


def flux(folder, guided=True, kind="FluxPipeline"):
    """FLUX.1: guided (dev, Kontext) has guidance as an embedding, unguided (schnell) has none."""
    import diffusers

    clip, t5 = tiny_parts.clip_tokenizer(folder / "tokenizer"), tiny_parts.t5_tokenizer()
    getattr(diffusers, kind)(
        scheduler=tiny_parts.flow_scheduler(shift=3.0, use_dynamic_shifting=guided),
        text_encoder=tiny_parts.clip_text(clip),
        tokenizer=clip,
        text_encoder_2=tiny_parts.t5_encoder(t5),
        tokenizer_2=t5,
        transformer=tiny_parts.lively(
            diffusers.FluxTransformer2DModel(
                in_channels=16,
                num_layers=1,
                num_single_layers=1,
                attention_head_dim=16,
                num_attention_heads=2,
                joint_attention_dim=WIDTH,
                pooled_projection_dim=WIDTH,
                axes_dims_rope=(4, 4, 8),
                guidance_embeds=guided,
            )
        ),
        vae=tiny_parts.flux_vae(),
    ).save_pretrained(folder)


def flux2(folder):
    """FLUX.2 dev: hidden states of three layers of a Mistral that also sees pictures."""
    from diffusers import Flux2Pipeline
    from diffusers.pipelines.flux2.system_messages import SYSTEM_MESSAGE

    processor = tiny_parts.pixtral_processor(tiny_parts.llama_tokenizer(text=SYSTEM_MESSAGE))
    Flux2Pipeline(
        scheduler=tiny_parts.flow_scheduler(use_dynamic_shifting=True),
        text_encoder=tiny_parts.mistral_vl(
            processor.tokenizer, num_hidden_layers=30, hidden_size=16, intermediate_size=16
        ),
        tokenizer=processor,
        transformer=_flux2_transformer(guidance_embeds=True),
        vae=_flux2_vae(),
    ).save_pretrained(folder)


def klein(folder, distilled=True):
    """FLUX.2 klein: hidden states of three layers of a Qwen3; distilled: without guidance."""
    from diffusers import Flux2KleinPipeline

    tokenizer = tiny_parts.qwen_tokenizer()
    Flux2KleinPipeline(
        scheduler=tiny_parts.flow_scheduler(use_dynamic_shifting=True),
        text_encoder=tiny_parts.decoder_lm(
            "Qwen3ForCausalLM", tokenizer, num_hidden_layers=27, hidden_size=16, intermediate_size=16
        ),
        tokenizer=tokenizer,
        transformer=_flux2_transformer(guidance_embeds=False),
        vae=_flux2_vae(),
        is_distilled=distilled,
    ).save_pretrained(folder)


def _flux2_transformer(**config):
    from diffusers import Flux2Transformer2DModel

    return tiny_parts.lively(
        Flux2Transformer2DModel(
            patch_size=1,
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=3 * 16,
            axes_dims_rope=(4, 4, 4, 4),
            **config,
        )
    )


def _flux2_vae():
    from diffusers import AutoencoderKLFlux2

    return tiny_parts.lively(
        AutoencoderKLFlux2(
            block_out_channels=(8, 8),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            layers_per_block=1,
            latent_channels=4,
            norm_num_groups=4,
        ),
        seed=6,
    )


def pixart(folder, kind):
    """PixArt-Alpha or PixArt-Sigma (the class's name), for 256 pixels."""
    import diffusers

    tokenizer = tiny_parts.t5_tokenizer(300 if kind == "PixArtSigmaPipeline" else 120)
    getattr(diffusers, kind)(
        tokenizer=tokenizer,
        text_encoder=tiny_parts.t5_encoder(tokenizer),
        vae=tiny_parts.vae(levels=4),
        transformer=tiny_parts.lively(
            diffusers.PixArtTransformer2DModel(
                sample_size=32,
                num_layers=2,
                patch_size=2,
                attention_head_dim=8,
                num_attention_heads=3,
                caption_channels=WIDTH,
                in_channels=4,
                cross_attention_dim=24,
                out_channels=8,
                attention_bias=True,
                activation_fn="gelu-approximate",
                num_embeds_ada_norm=1000,
                norm_type="ada_norm_single",
                norm_elementwise_affine=False,
                norm_eps=1e-6,
                use_additional_conditions=False,
            )
        ),
        scheduler=diffusers.DPMSolverMultistepScheduler(beta_end=0.02, beta_start=0.0001),
    ).save_pretrained(folder)


def sana(folder, sprint=False):
    """Sana: a Gemma 2 as text encoder, linear attention, a decoder of 32 pixels a latent; Sana-Sprint."""
    import diffusers

    call = inspect.signature(diffusers.SanaPipeline.__call__).parameters
    tokenizer = tiny_parts.gemma_tokenizer(text=" ".join(call["complex_human_instruction"].default))
    transformer = diffusers.SanaTransformer2DModel(
        patch_size=1,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        num_attention_heads=2,
        attention_head_dim=8,
        num_cross_attention_heads=2,
        cross_attention_head_dim=8,
        cross_attention_dim=16,
        caption_channels=WIDTH,
        sample_size=32,
        **({"qk_norm": "rms_norm_across_heads", "guidance_embeds": True} if sprint else {}),
    )
    decoder = diffusers.AutoencoderDC(
        latent_channels=4,
        attention_head_dim=4,
        encoder_block_types=("ResBlock", "EfficientViTBlock"),
        decoder_block_types=("ResBlock", "EfficientViTBlock"),
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        encoder_qkv_multiscales=((), (5,)),
        decoder_qkv_multiscales=((), (5,)),
        encoder_layers_per_block=(1, 1),
        decoder_layers_per_block=(1, 1),
        downsample_block_type="conv",
        upsample_block_type="interpolate",
        decoder_norm_types="rms_norm",
        decoder_act_fns="silu",
        scaling_factor=0.41407,
    )
    kind = diffusers.SanaSprintPipeline if sprint else diffusers.SanaPipeline
    kind(
        tokenizer=tokenizer,
        text_encoder=tiny_parts.decoder_lm("Gemma2Model", tokenizer),
        vae=tiny_parts.lively(decoder, seed=6),
        transformer=tiny_parts.lively(transformer),
        scheduler=diffusers.SCMScheduler() if sprint else tiny_parts.flow_scheduler(shift=3.0),
    ).save_pretrained(folder)


def aura_flow(folder):
    """AuraFlow: an UMT5 as text encoder."""
    from diffusers import AuraFlowPipeline, AuraFlowTransformer2DModel

    tokenizer = tiny_parts.t5_tokenizer(256)
    AuraFlowPipeline(
        tokenizer=tokenizer,
        text_encoder=tiny_parts.t5_encoder(tokenizer, "UMT5"),
        vae=tiny_parts.vae(),
        transformer=tiny_parts.lively(
            AuraFlowTransformer2DModel(
                sample_size=16,
                patch_size=2,
                in_channels=4,
                out_channels=4,
                num_mmdit_layers=1,
                num_single_dit_layers=1,
                attention_head_dim=8,
                num_attention_heads=4,
                caption_projection_dim=32,
                joint_attention_dim=WIDTH,
                pos_embed_max_size=256,
            )
        ),
        scheduler=tiny_parts.flow_scheduler(shift=1.73),
    ).save_pretrained(folder)


def chroma(folder):
    """Chroma: FLUX without CLIP, its modulation from an approximator, with real guidance."""
    from diffusers import ChromaPipeline, ChromaTransformer2DModel

    tokenizer = tiny_parts.t5_tokenizer()
    ChromaPipeline(
        scheduler=tiny_parts.flow_scheduler(),
        text_encoder=tiny_parts.t5_encoder(tokenizer),
        tokenizer=tokenizer,
        transformer=tiny_parts.lively(
            ChromaTransformer2DModel(
                in_channels=16,
                num_layers=1,
                num_single_layers=1,
                attention_head_dim=16,
                num_attention_heads=2,
                joint_attention_dim=WIDTH,
                axes_dims_rope=(4, 4, 8),
                approximator_hidden_dim=32,
                approximator_layers=1,
                approximator_num_channels=16,
            )
        ),
        vae=tiny_parts.flux_vae(),
    ).save_pretrained(folder)


UNBINNED = {  # a probe picture would be drawn with bins as well, which are far larger
    "options": {"call.use_resolution_binning": "false", "probe": "false"},
    "call": {"use_resolution_binning": False},
}
SHORT = {"options": {"call.max_sequence_length": "128"}, "call": {"max_sequence_length": 128}}
FAMILIES = {
    "Stable Diffusion 3": Family(sd3),
    "Stable Diffusion 3.5": Family(partial(sd3, newer=True)),
    "FLUX.1 dev": Family(flux),
    "FLUX.1 schnell": Family(partial(flux, guided=False)),
    "FLUX.1 Kontext": Family(partial(flux, kind="FluxKontextPipeline"), call={"max_area": 48 * 32}),
    "FLUX.2 dev": Family(flux2, **SHORT),
    "FLUX.2 klein": Family(klein, **SHORT),
    "FLUX.2 klein base": Family(partial(klein, distilled=False), **SHORT),
    "PixArt-Alpha": Family(partial(pixart, kind="PixArtAlphaPipeline")),
    "PixArt-Sigma": Family(partial(pixart, kind="PixArtSigmaPipeline")),
    "Sana": Family(sana, size=(64, 32), **UNBINNED),
    "Sana-Sprint": Family(partial(sana, sprint=True), steps=2, size=(64, 32), **UNBINNED),
    "AuraFlow": Family(aura_flow),
    "Chroma": Family(chroma),
}
