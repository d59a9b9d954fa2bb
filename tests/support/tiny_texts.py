"""Tiny text encoders and byte-level tokenizers, for the pipelines of tiny_pipelines_*.py: random weights, no hub."""

import json
from pathlib import Path

from support import tiny_images

ENDS = ("<pad>", "</s>", "<unk>")  # of T5: their ids are 0, 1, 2
CHAT = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.content is string %}{{ m.content }}{% else %}{% for c in m.content %}"
    "{{ c.text }}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)


def byte_tokenizer(specials=CHAT, *, longest=512, side="right", start=None, end=None, **more):
    """A tokenizer of single bytes, so that it reads every text; its first ids are those of `specials`.

    start, end: special tokens put around each text.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = tiny_images._byte_letters()
    words = {token: number for number, token in enumerate((*specials, *letters))}
    splitter = Tokenizer(models.BPE(vocab=words, merges=[]))
    splitter.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    splitter.decoder = decoders.ByteLevel()
    if start or end:
        around = " ".join(part for part in (start, "$A", end) if part)
        splitter.post_processor = processors.TemplateProcessing(
            single=around, special_tokens=[(t, words[t]) for t in (start, end) if t]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=splitter,
        pad_token=more.pop("pad_token", specials[0]),
        eos_token=end or specials[-1],
        additional_special_tokens=list(specials),
        model_max_length=longest,
        padding_side=side,
        **more,
    )


def t5_tokenizer(longest=512):
    return byte_tokenizer(ENDS, longest=longest, end="</s>", unk_token="<unk>")


def t5(tokenizer, hidden=32):
    from transformers import T5Config, T5EncoderModel

    sizes = {"d_model": hidden, "d_ff": hidden, "d_kv": 8, "num_layers": 1, "num_heads": 4}
    return T5EncoderModel(T5Config(vocab_size=len(tokenizer), feed_forward_proj="gated-gelu", **sizes)).eval()


def clip_tokenizer(folder):
    return tiny_images.clip_tokenizer(Path(folder) / "words")


def clip(tokenizer, hidden=32, *, projected=False, layers=2, longest=77, **more):
    """A CLIP text encoder, with or without its projection."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=longest,
        projection_dim=hidden,
        initializer_factor=10.0,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **more,
    )
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config).eval()


def decoder(kind, tokenizer, hidden=16, *, headless=True, layers=2, **more):
    """A causal language model of transformers by the prefix of its classes, such as "Qwen3"."""
    import transformers

    config = getattr(transformers, f"{kind}Config")(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=hidden // 2,
        initializer_range=0.3,
        max_position_embeddings=2048,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        **more,
    )
    return getattr(transformers, f"{kind}{'Model' if headless else 'ForCausalLM'}")(config).eval()


def qwen_vl(tokenizer, hidden=16, *, kind="Qwen2_5_VL", headless=False):
    """A vision-language model of Qwen, as many pipelines use one to read prompts."""
    import transformers

    shared = {"hidden_size": hidden, "intermediate_size": hidden, "initializer_range": 0.3}
    text = shared | {
        "vocab_size": len(tokenizer),
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": hidden // 2,
        "max_position_embeddings": 2048,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 1e6,
            "mrope_section": [hidden // 16, hidden // 16, hidden // 8],
        },
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    vision = shared | {"depth": 1, "num_heads": 2, "out_hidden_size": hidden}
    if kind == "Qwen3VL":
        vision |= {"deepstack_visual_indexes": [0], "num_position_embeddings": 16}
    places = {"image_token_id": 2, "video_token_id": 2, "vision_start_token_id": 1, "vision_end_token_id": 2}
    config = getattr(transformers, f"{kind}Config")(
        text_config=text, vision_config=vision, tie_word_embeddings=False, **places
    )
    return getattr(transformers, f"{kind}{'Model' if headless else 'ForConditionalGeneration'}")(config).eval()


def bert_tokenizer(folder, longest=77):
    from transformers import BertTokenizer

    folder = Path(folder) / "letters"
    folder.mkdir(parents=True, exist_ok=True)
    letters = [chr(n) for n in range(33, 127) if not chr(n).isupper()]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *("##" + letter for letter in letters)]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", "utf-8")
    return BertTokenizer(str(folder / "vocab.txt"), model_max_length=longest)


def bert(tokenizer, hidden=32):
    from transformers import BertConfig, BertModel

    sizes = {"hidden_size": hidden, "intermediate_size": hidden, "num_hidden_layers": 1}
    config = BertConfig(vocab_size=len(tokenizer), num_attention_heads=4, initializer_range=0.3, **sizes)
    return BertModel(config).eval()


def vae(blocks=2, latent=4, width=8, **more):
    """An AutoencoderKL; its pictures are 2 ** (blocks - 1) times as wide as its latents."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(width,) * blocks,
        down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks,
        latent_channels=latent,
        norm_num_groups=4,
        **more,
    ).eval()


def readme(folder, **fields):
    """A model card with these fields, as a pipeline of two repositories names the other one."""
    lines = [f"{name}: {json.dumps(value)}" for name, value in fields.items()]
    (Path(folder) / "README.md").write_text("\n".join(["---", *lines, "---", ""]), "utf-8")
