"""Tiny pipelines of further families: HunyuanDiT, HunyuanImage, CogView 3, Bria, Ovis, LongCat, Krea ..."""

from functools import partial
from pathlib import Path

from support import tiny_images
from support import tiny_parts as parts
from support.tiny_parts import WIDTH, lively
from support.tiny_pipelines import Family
from support.tiny_pipelines_readers import _qwen_vae, qwen3_vl, qwen_processor


def _bert(folder):
    """(a BertTokenizer of letters, a BertModel)."""
    from transformers import BertConfig, BertModel, BertTokenizer

    letters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *("##" + letter for letter in letters)]
    (Path(folder) / "tokenizer").mkdir(parents=True)
    (Path(folder) / "tokenizer" / "vocab.txt").write_text("\n".join(words) + "\n", "utf-8")
    tokenizer = BertTokenizer.from_pretrained(str(Path(folder) / "tokenizer"), model_max_length=77)
    sizes = {"hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "num_hidden_layers": 1}
    return tokenizer, lively(
        BertModel(BertConfig(vocab_size=len(tokenizer), num_attention_heads=4, **sizes)), 1
    )


def hunyuan_dit(folder, kind="HunyuanDiTPipeline", threshold=tiny_images.NEVER):
    import diffusers

    bert, t5 = _bert(folder), parts.t5_tokenizer(256)
    transformer = diffusers.HunyuanDiT2DModel(
        sample_size=8,
        num_layers=2,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=3,
        in_channels=4,
        cross_attention_dim=WIDTH,
        cross_attention_dim_t5=WIDTH,
        pooled_projection_dim=16,
        hidden_size=24,
        activation_fn="gelu-approximate",
    )
    checker, processor = tiny_images.safety_checker(threshold)
    getattr(diffusers, kind)(
        vae=parts.vae(4),
        text_encoder=bert[1],
        tokenizer=bert[0],
        text_encoder_2=parts.t5_encoder(t5),
        tokenizer_2=t5,
        transformer=lively(transformer),
        scheduler=diffusers.DDPMScheduler(
            beta_start=0.00085, beta_end=0.02, beta_schedule="scaled_linear", prediction_type="v_prediction"
        ),
        safety_checker=checker,
        feature_extractor=processor,
    ).save_pretrained(folder)


def hunyuan_image(folder, distilled=False):
    """HunyuanImage 2.1: Qwen reads the prompt, ByT5 what stands in quotes; guided by guiders or distilled."""
    from diffusers import (
        AdaptiveProjectedMixGuidance,
        AutoencoderKLHunyuanImage,
        HunyuanImagePipeline,
        HunyuanImageTransformer2DModel,
    )
    from transformers import ByT5Tokenizer

    words, letters = parts.qwen_tokenizer(), ByT5Tokenizer()
    transformer = HunyuanImageTransformer2DModel(
        in_channels=4,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=1,
        num_single_layers=1,
        num_refiner_layers=1,
        patch_size=(1, 1),
        guidance_embeds=distilled,
        text_embed_dim=WIDTH,
        text_embed_2_dim=WIDTH,
        rope_axes_dim=(4, 4),
    )
    vae = AutoencoderKLHunyuanImage(
        in_channels=3,
        out_channels=3,
        latent_channels=4,
        block_out_channels=(32, 32, 32),
        layers_per_block=1,
        spatial_compression_ratio=4,
        sample_size=32,
        scaling_factor=0.75,
    )
    guiders = [
        None if distilled else AdaptiveProjectedMixGuidance(adaptive_projected_guidance_start_step=start)
        for start in (2, 3)
    ]
    HunyuanImagePipeline(
        transformer=lively(transformer),
        vae=vae.eval(),
        scheduler=parts.flow_scheduler(shift=7.0),
        guider=guiders[0],
        ocr_guider=guiders[1],
        text_encoder=parts.qwen_vl(words),
        tokenizer=words,
        text_encoder_2=parts.t5_encoder(letters),
        tokenizer_2=letters,
    ).save_pretrained(folder)


def cogview3(folder):
    from diffusers import CogVideoXDDIMScheduler, CogView3PlusPipeline, CogView3PlusTransformer2DModel

    words = parts.t5_tokenizer(224)
    transformer = CogView3PlusTransformer2DModel(
        patch_size=2,
        in_channels=4,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        out_channels=4,
        text_embed_dim=WIDTH,
        time_embed_dim=8,
        condition_dim=2,
        pos_embed_max_size=16,
        sample_size=8,
    )
    CogView3PlusPipeline(
        transformer=lively(transformer),
        vae=parts.vae(4),
        scheduler=CogVideoXDDIMScheduler(),
        text_encoder=parts.t5_encoder(words),
        tokenizer=words,
    ).save_pretrained(folder)


def bria(folder):
    from diffusers import BriaPipeline, BriaTransformer2DModel

    words = parts.t5_tokenizer(128)
    transformer = BriaTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        pooled_projection_dim=None,
        axes_dims_rope=[0, 4, 4],
    )
    BriaPipeline(
        transformer=lively(transformer),
        vae=parts.vae(2, shift_factor=0, scaling_factor=0.13025, force_upcast=False),
        scheduler=parts.flow_scheduler(),
        text_encoder=parts.t5_encoder(words),
        tokenizer=words,
    ).save_pretrained(folder)


def ovis(folder):
    from diffusers import OvisImagePipeline, OvisImageTransformer2DModel

    words = parts.qwen_tokenizer()
    transformer = OvisImageTransformer2DModel(
        patch_size=1,
        in_channels=16,
        out_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        axes_dims_rope=(4, 4, 8),
    )
    OvisImagePipeline(
        transformer=lively(transformer),
        vae=parts.flux_vae(2),
        scheduler=parts.flow_scheduler(),
        text_encoder=parts.decoder_lm("Qwen3Model", words),
        tokenizer=words,
    ).save_pretrained(folder)


def longcat(folder):
    from diffusers import LongCatImagePipeline, LongCatImageTransformer2DModel

    words = parts.qwen_tokenizer()
    transformer = LongCatImageTransformer2DModel(
        patch_size=1,
        in_channels=64,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        pooled_projection_dim=WIDTH,
        axes_dims_rope=[4, 4, 8],
    )
    LongCatImagePipeline(
        transformer=lively(transformer),
        vae=parts.flux_vae(2, channels=16),
        scheduler=parts.flow_scheduler(),
        text_encoder=parts.qwen_vl(words),
        tokenizer=words,
        text_processor=qwen_processor(words),
    ).save_pretrained(folder)


def ernie(folder):
    from diffusers import AutoencoderKLFlux2, ErnieImagePipeline, ErnieImageTransformer2DModel
    from transformers import Mistral3Model

    processor = parts.pixtral_processor(parts.llama_tokenizer(add_bos_token=True))
    encoder = Mistral3Model(parts.mistral_vl(processor.tokenizer).config)
    transformer = ErnieImageTransformer2DModel(
        hidden_size=32,
        num_attention_heads=2,
        num_layers=1,
        ffn_hidden_size=32,
        in_channels=16,
        out_channels=16,
        text_in_dim=WIDTH,
        rope_axes_dim=(4, 6, 6),
    )
    vae = AutoencoderKLFlux2(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=4,
    )
    ErnieImagePipeline(
        transformer=lively(transformer),
        vae=lively(vae, 6),
        scheduler=parts.flow_scheduler(),
        text_encoder=lively(encoder, 5),
        tokenizer=processor.tokenizer,
    ).save_pretrained(folder)


def krea2(folder):
    from diffusers import Krea2Pipeline, Krea2Transformer2DModel

    words = parts.qwen_tokenizer()
    transformer = Krea2Transformer2DModel(
        in_channels=16,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=32,
        timestep_embed_dim=8,
        text_hidden_dim=WIDTH,
        num_text_layers=3,
        text_num_attention_heads=2,
        text_num_key_value_heads=1,
        text_intermediate_size=16,
        num_layerwise_text_blocks=1,
        num_refiner_text_blocks=1,
        axes_dims_rope=(4, 2, 2),
        rope_theta=1000.0,
    )
    Krea2Pipeline(
        transformer=lively(transformer),
        vae=_qwen_vae(),
        scheduler=parts.flow_scheduler(use_dynamic_shifting=True),
        text_encoder=qwen3_vl(words, "Qwen3VLModel"),
        tokenizer=words,
        text_encoder_select_layers=(0, 1, 2),
    ).save_pretrained(folder)


def nucleus(folder):
    from diffusers import NucleusMoEImagePipeline, NucleusMoEImageTransformer2DModel

    words = parts.qwen_tokenizer()
    transformer = NucleusMoEImageTransformer2DModel(
        patch_size=2,
        in_channels=16,
        out_channels=4,
        num_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        axes_dims_rope=(8, 4, 4),
        moe_enabled=False,
        capacity_factors=[8.0],
    )
    NucleusMoEImagePipeline(
        transformer=lively(transformer),
        vae=_qwen_vae(),
        scheduler=parts.flow_scheduler(),
        text_encoder=qwen3_vl(words, num_hidden_layers=8),
        processor=qwen_processor(words, "Qwen3VLProcessor"),
    ).save_pretrained(folder)


def prx(folder):
    from diffusers import PRXPipeline
    from diffusers.models.transformers.transformer_prx import PRXTransformer2DModel
    from transformers.models.t5gemma.configuration_t5gemma import T5GemmaConfig, T5GemmaModuleConfig
    from transformers.models.t5gemma.modeling_t5gemma import T5GemmaEncoder

    words = parts.gemma_tokenizer(256, add_bos_token=True)
    sizes = {
        "vocab_size": len(words),
        "hidden_size": WIDTH,
        "intermediate_size": WIDTH,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "max_position_embeddings": 256,
        "layer_types": ["full_attention"],
        "dropout_rate": 0.0,
        "query_pre_attn_scalar": 8,
        "rms_norm_eps": 1e-6,
        "hidden_activation": "gelu_pytorch_tanh",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "attn_logit_softcapping": 50.0,
        "sliding_window": 4096,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        "use_cache": False,
        "is_decoder": False,
    }
    config = T5GemmaConfig(encoder=T5GemmaModuleConfig(**sizes), is_encoder_decoder=False, **sizes)
    transformer = PRXTransformer2DModel(
        patch_size=1,
        in_channels=4,
        context_in_dim=WIDTH,
        hidden_size=16,
        mlp_ratio=2.0,
        num_heads=2,
        depth=1,
        axes_dim=[4, 4],
    )
    PRXPipeline(
        transformer=lively(transformer),
        vae=parts.flux_vae(2),
        scheduler=parts.flow_scheduler(),
        text_encoder=lively(T5GemmaEncoder(config), 3),
        tokenizer=words,
    ).save_pretrained(folder)


def latent_diffusion(folder):
    from diffusers import DDIMScheduler, LDMTextToImagePipeline

    words = parts.clip_tokenizer(Path(folder) / "tokenizer")
    LDMTextToImagePipeline(
        vqvae=parts.vae(4),
        bert=parts.clip_text(words),
        tokenizer=words,
        unet=parts.unet(),
        scheduler=DDIMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            clip_sample=False,
            set_alpha_to_one=False,
        ),
    ).save_pretrained(folder)


# Without the probe picture, which would also be drawn at the sizes that the family was trained for.
UNBINNED = {"call.use_resolution_binning": "false", "probe": "false"}
BINNED = {"use_resolution_binning": False}
FAMILIES = {
    "HunyuanDiT": Family(
        hunyuan_dit,
        options=UNBINNED,
        call=BINNED,
        size=(64, 64),
        flagging=partial(hunyuan_dit, threshold=tiny_images.ALWAYS),
    ),
    "HunyuanImage 2.1": Family(hunyuan_image, guidance=None, size=(32, 32)),
    "HunyuanImage 2.1 distilled": Family(
        partial(hunyuan_image, distilled=True), guidance=None, size=(32, 32)
    ),
    "CogView 3 Plus": Family(cogview3, size=(48, 32)),
    "Bria 3.2": Family(bria, size=(48, 32)),
    "Ovis-Image": Family(ovis, size=(48, 32)),
    "LongCat-Image": Family(
        longcat,
        options={"call.enable_prompt_rewrite": "false"},
        call={"enable_prompt_rewrite": False},
        size=(48, 32),
    ),
    "Ernie-Image": Family(ernie, size=(48, 32)),
    "Krea 2": Family(krea2, size=(48, 32)),
    "NucleusMoE-Image": Family(nucleus, size=(48, 32)),
    "PRX": Family(prx, options=UNBINNED, call=BINNED, size=(48, 32)),
    "Latent Diffusion": Family(latent_diffusion, size=(64, 64), decoder="vqvae", denoiser="unet"),
}
