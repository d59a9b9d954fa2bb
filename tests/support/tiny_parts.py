"""Parts of tiny picture pipelines: tokenizers, text encoders and decoders of a few kB, built from configs.

`lively` gives every part weights in which signals neither die nor grow, so that prompt, noise and steps all
show in the picture. Tokenizers know single bytes or letters and `tiny_images.WORDS`; none comes from a hub.
"""

from support.tiny_images import WORDS, clip_tokenizer

__all__ = ["WORDS", "clip_tokenizer"]

WIDTH = 32  # of every text encoder's hidden states
CHAT = (  # content as a text, or as the list of parts that processors use
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.content is string %}{{ m.content }}"
    "{% else %}{% for part in m.content %}{{ part.text }}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def lively(model, seed=0, scale=1.0):
    """Fills a model's weights at random, each layer keeping the size of what passes; gives the model."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    tables = {m.weight for m in model.modules() if isinstance(m, torch.nn.Embedding)}
    with torch.no_grad():
        for weight in model.parameters():
            if weight in tables:
                weight.normal_(0.0, scale, generator=generator)  # a row is looked up, not summed over
            elif weight.dim() >= 2 and weight.numel():
                weight.normal_(0.0, scale * weight[0].numel() ** -0.5, generator=generator)
    return model.eval()


# -- tokenizers ---------------------------------------------------------------------------------------------


def t5_tokenizer(length=512, **options):
    """A T5Tokenizer that knows WORDS and printable ASCII; everything else is one unknown token."""
    from transformers import T5Tokenizer

    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    pieces += [(f"▁{word}", -2.0) for word in WORDS]
    pieces += [(letter, -6.0) for letter in ("▁", *_ascii())]
    return T5Tokenizer(
        vocab=list(dict(pieces).items()), extra_ids=0, model_max_length=length, legacy=True, **options
    )


def qwen_tokenizer(length=4096, **options):
    """A Qwen2Tokenizer (byte-level BPE) with Qwen's control tokens and a chat template."""
    from transformers import Qwen2Tokenizer
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    letters = list(bytes_to_unicode().values())
    vocabulary, merges = _merged(letters, [letters[ord(" ") - ord("!")], *WORDS])
    tokenizer = Qwen2Tokenizer(
        vocab=_numbered([*vocabulary, "<|endoftext|>"]),
        merges=merges,
        model_max_length=length,
        additional_special_tokens=["<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>",
                                   "<|image_pad|>", "<|video_pad|>"],
        **options,
    )  # fmt: skip
    tokenizer.chat_template = CHAT
    return tokenizer


def gemma_tokenizer(length=8192, text="", **options):
    """A GemmaTokenizer (BPE with bytes to fall back on), padded on the left; also knows the words of text."""
    from transformers import GemmaTokenizer

    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    vocabulary, merges = _merged(
        [*_bytes(), "▁", *_ascii()], [*WORDS, *(f"▁{word}" for word in text.split())]
    )
    return GemmaTokenizer(
        vocab=_numbered([*special, *vocabulary]),
        merges=merges,
        model_max_length=length,
        **{"padding_side": "left"} | options,
    )


def llama_tokenizer(length=4096, text="", **options):
    """A LlamaTokenizer (BPE with bytes to fall back on) with a pad token; knows the words of text, too."""
    from transformers import LlamaTokenizer

    vocabulary, merges = _merged(
        [*_bytes(), "▁", *_ascii()], [*WORDS, *(f"▁{word}" for word in text.split())]
    )
    return LlamaTokenizer(
        vocab=_numbered(["<unk>", "<s>", "</s>", "<pad>", *vocabulary]),
        merges=merges,
        pad_token="<pad>",
        model_max_length=length,
        **{"padding_side": "left"} | options,
    )


def _merged(letters, words):
    """(letters and words as a vocabulary, the merges that build the words out of letters)."""
    vocabulary, merges = list(letters), []
    for word in words:
        parts = list(word)
        while len(parts) > 1:
            pair = (parts[0], parts[1])
            if pair not in merges:
                merges.append(pair)
                vocabulary.append("".join(pair))
            parts = ["".join(pair), *parts[2:]]
    return list(dict.fromkeys(vocabulary)), merges


def _numbered(vocabulary):
    return {token: number for number, token in enumerate(vocabulary)}


def _ascii():
    return [chr(code) for code in range(33, 127)]


def _bytes():
    return [f"<0x{byte:02X}>" for byte in range(256)]


# -- text encoders ------------------------------------------------------------------------------------------


def clip_text(tokenizer, projection=False, seed=1, **sizes):
    """A CLIPTextModel, or one with a projection, for `clip_tokenizer`'s tokens."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = {
        "hidden_size": WIDTH,
        "intermediate_size": 2 * WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "projection_dim": WIDTH,
        "max_position_embeddings": 77,
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    kind = CLIPTextModelWithProjection if projection else CLIPTextModel
    return lively(kind(CLIPTextConfig(**config | sizes)), seed)


def t5_encoder(tokenizer, kind="T5", seed=2, **sizes):
    """A T5EncoderModel, or with kind "UMT5" an UMT5EncoderModel."""
    import transformers

    config = {"d_model": WIDTH, "d_ff": 2 * WIDTH, "d_kv": 8, "num_layers": 1, "num_heads": 4}
    config |= {"vocab_size": len(tokenizer), "feed_forward_proj": "gated-gelu", "tie_word_embeddings": True}
    made = getattr(transformers, f"{kind}Config")(**config | sizes)
    return lively(getattr(transformers, f"{kind}EncoderModel")(made), seed, scale=0.7)


def decoder_lm(kind, tokenizer, seed=3, **sizes):
    """A decoder as a text encoder.

    kind: a class of transformers, such as "Gemma2Model", "LlamaForCausalLM", "Qwen3ForCausalLM".
    """
    import transformers

    config = {
        "hidden_size": WIDTH,
        "intermediate_size": 2 * WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 4096,
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    family = kind.removesuffix("ForCausalLM").removesuffix("Model")
    made = getattr(transformers, f"{family}Config")(**config | sizes)
    return lively(getattr(transformers, kind)(made), seed)


def qwen_vl(tokenizer, seed=4, **sizes):
    """A Qwen2_5_VLForConditionalGeneration, the text encoder of Qwen-Image and its kin."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    number = tokenizer.convert_tokens_to_ids
    config = Qwen2_5_VLConfig(
        text_config={
            "hidden_size": WIDTH,
            "intermediate_size": 2 * WIDTH,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 4096,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [1, 1, 2]},
            "vocab_size": len(tokenizer),
            "bos_token_id": tokenizer.pad_token_id,
            "eos_token_id": tokenizer.eos_token_id,
        }
        | sizes,
        vision_config={
            "depth": 1,
            "hidden_size": WIDTH,
            "intermediate_size": 2 * WIDTH,
            "num_heads": 2,
            "out_hidden_size": sizes.get("hidden_size", WIDTH),
            "fullatt_block_indexes": [0],
        },
        image_token_id=number("<|image_pad|>"),
        video_token_id=number("<|video_pad|>"),
        vision_start_token_id=number("<|vision_start|>"),
        vision_end_token_id=number("<|vision_end|>"),
        tie_word_embeddings=False,
    )
    return lively(Qwen2_5_VLForConditionalGeneration(config), seed)


def mistral_vl(tokenizer, seed=5, **sizes):
    """A Mistral3ForConditionalGeneration, the text encoder of FLUX.2."""
    from transformers import Mistral3Config, Mistral3ForConditionalGeneration

    config = Mistral3Config(
        text_config={
            "model_type": "mistral",
            "hidden_size": WIDTH,
            "intermediate_size": 2 * WIDTH,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 8,
            "max_position_embeddings": 4096,
            "sliding_window": None,
            "vocab_size": len(tokenizer),
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        }
        | sizes,
        vision_config={
            "model_type": "pixtral",
            "hidden_size": WIDTH,
            "num_hidden_layers": 1,
            "num_attention_heads": 4,
            "intermediate_size": 2 * WIDTH,
            "image_size": 32,
            "patch_size": 8,
        },
        image_token_index=tokenizer.convert_tokens_to_ids("[IMG]"),
        vision_feature_layer=-1,
    )
    return lively(Mistral3ForConditionalGeneration(config), seed)


def pixtral_processor(tokenizer):
    """A PixtralProcessor around a tokenizer that gets the control tokens of pictures and a chat template."""
    from transformers import PixtralImageProcessor, PixtralProcessor

    tokenizer.add_tokens(["[IMG]", "[IMG_BREAK]", "[IMG_END]"], special_tokens=True)
    pictures = PixtralImageProcessor(size={"longest_edge": 32}, patch_size={"height": 8, "width": 8})
    return PixtralProcessor(image_processor=pictures, tokenizer=tokenizer, patch_size=8, chat_template=CHAT)


# -- decoders of latents ------------------------------------------------------------------------------------


def vae(levels=2, channels=4, seed=6, scale=1.0, **config):
    """An AutoencoderKL that makes 2 ** (levels - 1) pixels of each latent."""
    from diffusers import AutoencoderKL

    sizes = {
        "block_out_channels": (8,) * levels,
        "down_block_types": ("DownEncoderBlock2D",) * levels,
        "up_block_types": ("UpDecoderBlock2D",) * levels,
        "layers_per_block": 1,
        "latent_channels": channels,
        "norm_num_groups": 4,
    }
    return lively(AutoencoderKL(**sizes | config), seed, scale)


def flux_vae(levels=2, channels=4, **config):
    """The decoder of FLUX and SD 3: without the convolutions around the latents, with a shift."""
    plain = {"use_quant_conv": False, "use_post_quant_conv": False}
    return vae(levels, channels, **plain | {"shift_factor": 0.0609, "scaling_factor": 1.5035} | config)


def flow_scheduler(**config):
    from diffusers import FlowMatchEulerDiscreteScheduler

    return FlowMatchEulerDiscreteScheduler(**config)


def unet(width=WIDTH, size=16, seed=7, **config):
    """A UNet2DConditionModel of two levels, conditioned on hidden states of `width`."""
    from diffusers import UNet2DConditionModel

    sizes = {
        "sample_size": size,
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "attention_head_dim": 4,
        "cross_attention_dim": width,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    }
    return lively(UNet2DConditionModel(**sizes | config), seed)
