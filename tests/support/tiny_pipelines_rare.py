"""Tiny pipelines of families that are seldom met: aMUSEd, perturbed attention."""

from functools import partial
from pathlib import Path

from support import tiny_parts as parts
from support.tiny_parts import WIDTH, lively
from support.tiny_pipelines import Family
from support.tiny_pipelines_kin import BINNED, UNBINNED, hunyuan_dit


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
    "aMUSEd": Family(amused, size=(16, 16), decoder="vqvae"),
    "HunyuanDiT with PAG": Family(
        partial(hunyuan_dit, kind="HunyuanDiTPAGPipeline"),
        options=UNBINNED,
        call=BINNED,
        size=(32, 32),
        flagging=partial(hunyuan_dit, kind="HunyuanDiTPAGPipeline", threshold=-2.0),
    ),
}
