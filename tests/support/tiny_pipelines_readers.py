"""Tiny pipelines whose prompts a language model reads: Lumina, Qwen-Image, Z-Image, CogView 4, HiDream ..."""

from pathlib import Path

from support import tiny_parts as parts
from support.tiny_parts import WIDTH, lively
from support.tiny_pipelines import Family


def _qwen_vae(**more):
    """The decoder of Qwen-Image and its kin: 4 channels, 4 pixels a latent."""
    from diffusers import AutoencoderKLQwenImage

    sizes = {
        "base_dim": 8,
        "z_dim": 4,
        "dim_mult": [1, 1, 1],
        "num_res_blocks": 1,
        "temperal_downsample": [False, True],
        "latents_mean": [0.0] * 4,
        "latents_std": [1.0] * 4,
    }
    return lively(AutoencoderKLQwenImage(**sizes | more), 6)


def qwen3_vl(tokenizer, kind="Qwen3VLForConditionalGeneration", seed=4, **sizes):
    """A vision-language model of Qwen 3, as text encoder."""
    import transformers

    text = {
        "hidden_size": WIDTH,
        "intermediate_size": 2 * WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 4096,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 1, 1]},
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    number = tokenizer.convert_tokens_to_ids
    config = transformers.Qwen3VLConfig(
        text_config=text | sizes,
        vision_config={
            "depth": 1,
            "hidden_size": WIDTH,
            "intermediate_size": 2 * WIDTH,
            "num_heads": 2,
            "out_hidden_size": WIDTH,
            "deepstack_visual_indexes": [0],
            "num_position_embeddings": 16,
        },
        image_token_id=number("<|image_pad|>"),
        video_token_id=number("<|video_pad|>"),
        vision_start_token_id=number("<|vision_start|>"),
        vision_end_token_id=number("<|vision_end|>"),
        tie_word_embeddings=False,
    )
    return lively(getattr(transformers, kind)(config), seed)


def qwen_processor(tokenizer, kind="Qwen2VLProcessor"):
    """A processor of Qwen's vision-language models around a tokenizer."""
    import transformers

    pictures = transformers.Qwen2VLImageProcessor()
    if kind == "Qwen3VLProcessor":
        from transformers.models.qwen3_vl.video_processing_qwen3_vl import Qwen3VLVideoProcessor as Videos
    else:
        from transformers.models.qwen2_vl.video_processing_qwen2_vl import Qwen2VLVideoProcessor as Videos
    return getattr(transformers, kind)(pictures, tokenizer, Videos(), chat_template=parts.CHAT)


def lumina(folder):
    from diffusers import LuminaNextDiT2DModel, LuminaPipeline

    words = parts.gemma_tokenizer(add_bos_token=True)
    transformer = LuminaNextDiT2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=4,
        hidden_size=24,
        num_layers=1,
        num_attention_heads=1,
        num_kv_heads=1,
        multiple_of=16,
        learn_sigma=True,
        qk_norm=True,
        cross_attention_dim=WIDTH,
        scaling_factor=1.0,
    )
    LuminaPipeline(
        transformer=lively(transformer),
        vae=parts.vae(4),
        scheduler=parts.flow_scheduler(),
        text_encoder=parts.decoder_lm("GemmaForCausalLM", words),
        tokenizer=words,
    ).save_pretrained(folder)


def lumina2(folder):
    from diffusers import Lumina2Pipeline, Lumina2Transformer2DModel

    words = parts.gemma_tokenizer(add_bos_token=True)
    transformer = Lumina2Transformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=4,
        hidden_size=24,
        num_layers=1,
        num_refiner_layers=1,
        num_attention_heads=3,
        num_kv_heads=1,
        multiple_of=16,
        scaling_factor=1.0,
        axes_dim_rope=[4, 2, 2],
        axes_lens=[512, 64, 64],
        cap_feat_dim=WIDTH,
    )
    Lumina2Pipeline(
        transformer=lively(transformer),
        vae=parts.flux_vae(4),
        scheduler=parts.flow_scheduler(),
        text_encoder=parts.decoder_lm("Gemma2Model", words),
        tokenizer=words,
    ).save_pretrained(folder)


def _qwen_transformer(**more):
    from diffusers import QwenImageTransformer2DModel

    sizes = {
        "patch_size": 2,
        "in_channels": 16,
        "out_channels": 4,
        "num_layers": 1,
        "attention_head_dim": 16,
        "num_attention_heads": 2,
        "joint_attention_dim": WIDTH,
        "guidance_embeds": False,
        "axes_dims_rope": (8, 4, 4),
    }
    return lively(QwenImageTransformer2DModel(**sizes | more))


def qwen_image(folder):
    from diffusers import QwenImagePipeline

    words = parts.qwen_tokenizer()
    QwenImagePipeline(
        transformer=_qwen_transformer(),
        vae=_qwen_vae(),
        scheduler=parts.flow_scheduler(),
        text_encoder=parts.qwen_vl(words),
        tokenizer=words,
    ).save_pretrained(folder)


def qwen_image_21(folder):
    from diffusers import AutoencoderKLQwenImage21, QwenImage21Pipeline, QwenImage21Transformer2DModel

    words = parts.qwen_tokenizer()
    transformer = QwenImage21Transformer2DModel(
        in_channels=4,
        out_channels=4,
        num_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        context_in_dim=WIDTH,
        axes_dims_rope=(8, 4, 4),
    )
    vae = AutoencoderKLQwenImage21(
        base_dim=8,
        decoder_base_dim=8,
        z_dim=4,
        dim_mult=[1] * 5,
        num_res_blocks=1,
        latents_mean=[0.0] * 4,
        latents_std=[1.0] * 4,
    )
    QwenImage21Pipeline(
        transformer=lively(transformer),
        vae=lively(vae, 6),
        scheduler=parts.flow_scheduler(),
        text_encoder=qwen3_vl(words),
        processor=qwen_processor(words, "Qwen3VLProcessor"),
    ).save_pretrained(folder)


def z_image(folder):
    from diffusers import ZImagePipeline, ZImageTransformer2DModel

    words = parts.qwen_tokenizer()
    transformer = ZImageTransformer2DModel(
        all_patch_size=(2,),
        all_f_patch_size=(1,),
        in_channels=4,
        dim=32,
        n_layers=1,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        qk_norm=True,
        cap_feat_dim=WIDTH,
        rope_theta=256.0,
        t_scale=1000.0,
        axes_dims=[8, 4, 4],
        axes_lens=[1536, 32, 32],
    )
    ZImagePipeline(
        transformer=lively(transformer),
        vae=parts.flux_vae(4),
        scheduler=parts.flow_scheduler(),
        text_encoder=parts.decoder_lm("Qwen3Model", words),
        tokenizer=words,
    ).save_pretrained(folder)


def cogview4(folder):
    from diffusers import CogView4Pipeline, CogView4Transformer2DModel

    words = parts.llama_tokenizer(padding_side="left", add_bos_token=True)
    transformer = CogView4Transformer2DModel(
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        text_embed_dim=WIDTH,
        time_embed_dim=8,
        condition_dim=4,
    )
    CogView4Pipeline(
        transformer=lively(transformer),
        vae=parts.vae(4),
        scheduler=parts.flow_scheduler(
            base_shift=0.25,
            max_shift=0.75,
            base_image_seq_len=256,
            use_dynamic_shifting=True,
            time_shift_type="linear",
        ),
        text_encoder=parts.decoder_lm("GlmForCausalLM", words),
        tokenizer=words,
    ).save_pretrained(folder)


def hidream(folder):
    """HiDream: two CLIP encoders, T5 and Llama; the Hub's repository leaves the last to the user."""
    from diffusers import HiDreamImagePipeline, HiDreamImageTransformer2DModel

    clip, t5, llama = (
        parts.clip_tokenizer(Path(folder) / "tokenizer"),
        parts.t5_tokenizer(128),
        parts.llama_tokenizer(add_bos_token=True),
    )
    clip.model_max_length = 248  # HiDream's CLIP encoders have more positions than others
    transformer = HiDreamImageTransformer2DModel(
        patch_size=8,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        caption_channels=[WIDTH, WIDTH],
        text_emb_dim=2 * WIDTH,
        num_routed_experts=2,
        num_activated_experts=2,
        axes_dims_rope=(4, 2, 2),
        max_resolution=(32, 32),
        llama_layers=(0, 1),
    )
    HiDreamImagePipeline(
        scheduler=parts.flow_scheduler(),
        vae=parts.flux_vae(1, mid_block_add_attention=False),  # it always draws 128 x 128 latents
        text_encoder=parts.clip_text(clip, projection=True, max_position_embeddings=248),
        tokenizer=clip,
        text_encoder_2=parts.clip_text(clip, projection=True, seed=8, max_position_embeddings=248),
        tokenizer_2=clip,
        text_encoder_3=parts.t5_encoder(t5),
        tokenizer_3=t5,
        text_encoder_4=parts.decoder_lm("LlamaForCausalLM", llama),
        tokenizer_4=llama,
        transformer=lively(transformer),
    ).save_pretrained(folder)


def omnigen(folder):
    from diffusers import OmniGenPipeline, OmniGenTransformer2DModel

    words = parts.llama_tokenizer(add_bos_token=True)
    transformer = OmniGenTransformer2DModel(
        in_channels=4,
        hidden_size=16,
        num_attention_heads=2,
        num_key_value_heads=2,
        intermediate_size=32,
        num_layers=1,
        vocab_size=len(words),
        pad_token_id=words.pad_token_id,
        time_step_dim=8,
        rope_scaling={"long_factor": [1] * 4, "short_factor": [1] * 4},
    )
    OmniGenPipeline(
        transformer=lively(transformer),
        vae=parts.vae(4),
        scheduler=parts.flow_scheduler(invert_sigmas=True, num_train_timesteps=1),
        tokenizer=words,
    ).save_pretrained(folder)


FAMILIES = {
    "Lumina": Family(lumina, size=(32, 32)),
    "Lumina 2": Family(lumina2, size=(48, 32)),
    "Qwen-Image": Family(qwen_image, guidance=None, size=(48, 32)),
    "Qwen-Image 2.1": Family(qwen_image_21, guidance=None, size=(64, 32)),
    "Z-Image": Family(z_image, size=(48, 32)),
    "CogView 4": Family(cogview4, size=(48, 32)),
    "HiDream": Family(hidream, size=(32, 32)),
    "OmniGen": Family(omnigen, size=(48, 32)),
}
