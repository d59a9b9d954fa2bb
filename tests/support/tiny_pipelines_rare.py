"""Tiny pipelines of families that are seldom met: Bria FIBO, aMUSEd, perturbed attention."""

from functools import partial
from pathlib import Path

from support import tiny_parts as parts
from support.tiny_parts import WIDTH, lively
from support.tiny_pipelines import Family
from support.tiny_pipelines_kin import BINNED, UNBINNED, hunyuan_dit


def bria_fibo(folder):
    """Bria FIBO: a transformer's blocks read one layer each of SmolLM3."""
    from diffusers import AutoencoderKLWan, BriaFiboPipeline
    from diffusers.models.transformers.transformer_bria_fibo import BriaFiboTransformer2DModel

    words = parts.llama_tokenizer(add_bos_token=True)
    transformer = BriaFiboTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=2 * 8,
        text_encoder_dim=8,
        pooled_projection_dim=None,
        axes_dims_rope=[0, 4, 4],
    )
    vae = AutoencoderKLWan(
        base_dim=8,
        decoder_base_dim=8,
        num_res_blocks=1,
        in_channels=12,
        out_channels=12,
        patch_size=2,
        dim_mult=[1, 1, 1, 1],
        scale_factor_spatial=16,
        scale_factor_temporal=4,
        temperal_downsample=[False, True, True],
        z_dim=16,
    )
    BriaFiboPipeline(
        transformer=lively(transformer),
        vae=lively(vae, 6),
        scheduler=parts.flow_scheduler(),
        text_encoder=parts.decoder_lm(
            "SmolLM3ForCausalLM",
            words,
            vocab_size=128_001,  # an empty prompt is read as the token 128,000, whatever the tokenizer says
            hidden_size=8,
            intermediate_size=8,
            tie_word_embeddings=True,
        ),
        tokenizer=words,
    ).save_pretrained(folder)


def amused(folder):
    """aMUSEd: picture tokens that are unmasked step by step."""
    from diffusers import AmusedPipeline, AmusedScheduler, UVit2DModel, VQModel

    words = parts.clip_tokenizer(Path(folder) / "tokenizer")
    transformer = UVit2DModel(
        hidden_size=16,
        use_bias=False,
        hidden_dropout=0.0,
        cond_embed_dim=WIDTH,
        micro_cond_encode_dim=2,
        micro_cond_embed_dim=10,
        encoder_hidden_size=WIDTH,
        vocab_size=32,
        codebook_size=32,
        in_channels=16,
        block_out_channels=16,
        num_res_blocks=1,
        downsample=True,
        upsample=True,
        block_num_heads=1,
        num_hidden_layers=1,
        num_attention_heads=1,
        attention_dropout=0.0,
        intermediate_size=32,
        layer_norm_eps=1e-6,
        ln_elementwise_affine=True,
    )
    vqvae = VQModel(
        act_fn="silu",
        block_out_channels=(32,),
        down_block_types=("DownEncoderBlock2D",),
        up_block_types=("UpDecoderBlock2D",),
        latent_channels=16,
        layers_per_block=1,
        norm_num_groups=32,
        num_vq_embeddings=32,
        sample_size=32,
        mid_block_add_attention=False,
        lookup_from_codebook=True,
    )
    AmusedPipeline(
        vqvae=vqvae.eval(),
        tokenizer=words,
        text_encoder=parts.clip_text(words, projection=True),
        transformer=lively(transformer),
        scheduler=AmusedScheduler(mask_token_id=31),
    ).save_pretrained(folder)


FAMILIES = {
    "Bria FIBO": Family(bria_fibo, size=(64, 32)),
    "aMUSEd": Family(amused, size=(16, 16), decoder="vqvae"),
    "HunyuanDiT with PAG": Family(
        partial(hunyuan_dit, kind="HunyuanDiTPAGPipeline"),
        options=UNBINNED,
        call=BINNED,
        size=(32, 32),
        flagging=partial(hunyuan_dit, kind="HunyuanDiTPAGPipeline", threshold=-2.0),
    ),
}
