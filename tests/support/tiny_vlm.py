"""Vision-language models of a few hundred kB, built on the spot: random weights, tokenizer, image processor.

Each family's configuration, processor and form of chat template are as its authors publish them, only small.
`build(family, folder)` saves one; `FAMILIES` names them.
"""

SMALL = 28  # pixels a side of what the tiny vision parts see
_TEXT = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 8192,
    "initializer_range": 0.2,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 2,
}
_UNTIED = {"tie_word_embeddings": False}  # tied, a random model repeats its last token
_SEEING = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "initializer_range": 0.2,
}

# A template that takes lists of parts only, pictures first (LLaVA); a text would be dropped.
PARTS = (
    "{% for m in messages %}{{ m.role.upper() }}: "
    "{% for p in m.content | selectattr('type', 'equalto', 'image') %}IMAGE\n{% endfor %}"
    "{% for p in m.content | selectattr('type', 'equalto', 'text') %}{{ p.text }} {% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
# A template that takes both (Qwen, Gemma, GLM).
BOTH = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.content is string %}{{ m.content }}{% else %}"
    "{% for p in m.content %}{% if p.type == 'image' %}IMAGE{% else %}{{ p.text }}{% endif %}{% endfor %}"
    "{% endif %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# A template that writes the first token itself, takes the system's and the assistant's content as a text and
# the user's as parts (Pixtral): parts of the others would be written as Python writes a list.
MIXED = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST]{% if m.content is string %}"
    "{{ m.content }}{% else %}{% for p in m.content %}{% if p.type == 'image' %}IMAGE{% else %}{{ p.text }}"
    "{% endif %}{% endfor %}{% endif %}[/INST]{% else %}{{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
)
# No system role beside a picture (Llama 3.2 Vision), and the first token is written by the template.
NO_SYSTEM = (
    "{{ bos_token }}{% set seen = namespace(n=0) %}{% for m in messages %}"
    "{% if m.content is not string %}{% for p in m.content if p.type == 'image' %}"
    "{% set seen.n = seen.n + 1 %}{% endfor %}{% endif %}{% endfor %}"
    "{% if seen.n and messages[0].role == 'system' %}{{ raise_exception('no system beside images') }}"
    "{% endif %}"
) + BOTH
# A template that takes texts only; the user's text holds the places of pictures (Phi).
TEXTS = (
    "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def tokenizer(template="", *, more=(), **named):
    """A tokenizer of single bytes. named: special tokens that processors look up by name. more: others."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    specials = ["<s>", "</s>", "<pad>", *named.values(), *more, "<|im_start|>", "<|im_end|>"]
    specials = list(dict.fromkeys(specials))
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: n for n, token in enumerate([*specials, *letters])}
    words = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    words.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in specials])
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    words.decoder = decoders.ByteLevel()
    words.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    made = PreTrainedTokenizerFast(
        tokenizer_object=words,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        extra_special_tokens=dict(named),
        model_input_names=["input_ids", "attention_mask"],
    )
    if template:
        made.chat_template = template
    return made


def _save(folder, model_class, config, processor):
    import torch

    torch.manual_seed(0)
    config.architectures = [model_class.__name__]
    model = model_class(config).eval()
    model.generation_config.eos_token_id = 1
    model.generation_config.pad_token_id = 2
    with torch.no_grad():  # projections that start at zero or one would hide the picture
        for name, weight in model.named_parameters():
            if weight.dim() > 1:
                weight.normal_(0, 0.2)
            elif name.endswith("gate"):
                weight.fill_(1.0)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _llama(words, **more):
    from transformers import LlamaConfig

    return LlamaConfig(**{**_TEXT, "vocab_size": len(words), **more})


def _clip(**more):
    from transformers import CLIPVisionConfig

    return CLIPVisionConfig(**{**_SEEING, "image_size": SMALL, "patch_size": 14, **more})


def _siglip(**more):
    from transformers import SiglipVisionConfig

    return SiglipVisionConfig(**{**_SEEING, "image_size": SMALL, "patch_size": 14, **more})


def _id(words, token):
    return words.convert_tokens_to_ids(token)


def llava(folder, template=PARTS):
    import transformers as t

    words = tokenizer(image_token="<image>")
    config = t.LlavaConfig(
        vision_config=_clip(),
        text_config=_llama(words),
        image_token_index=_id(words, "<image>"),
        image_seq_length=4,
        vision_feature_layer=-1,
    )
    eyes = t.CLIPImageProcessor(size={"shortest_edge": SMALL}, crop_size={"height": SMALL, "width": SMALL})
    processor = t.LlavaProcessor(
        eyes,
        words,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template.replace("IMAGE", "<image>") if template else None,
    )
    return _save(folder, t.LlavaForConditionalGeneration, config, processor)


def llava_next(folder):
    import transformers as t

    words = tokenizer(image_token="<image>")
    grid = [[SMALL, 2 * SMALL], [2 * SMALL, SMALL], [2 * SMALL, 2 * SMALL]]
    config = t.LlavaNextConfig(
        vision_config=_clip(),
        text_config=_llama(words),
        image_token_index=_id(words, "<image>"),
        image_grid_pinpoints=grid,
        image_seq_length=4,
        vision_feature_layer=-1,
    )
    eyes = t.LlavaNextImageProcessor(
        size={"shortest_edge": SMALL}, crop_size={"height": SMALL, "width": SMALL}, image_grid_pinpoints=grid
    )
    processor = t.LlavaNextProcessor(
        eyes,
        words,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=MIXED.replace("IMAGE", "<image>\n"),
    )
    return _save(folder, t.LlavaNextForConditionalGeneration, config, processor)


def llava_onevision(folder):
    import transformers as t

    words = tokenizer(image_token="<image>", video_token="<video>")
    grid = [[SMALL, SMALL], [SMALL, 2 * SMALL], [2 * SMALL, SMALL], [2 * SMALL, 2 * SMALL]]
    config = t.LlavaOnevisionConfig(
        vision_config=_siglip(),
        text_config=t.Qwen2Config(**_TEXT, vocab_size=len(words)),
        image_token_index=_id(words, "<image>"),
        video_token_index=_id(words, "<video>"),
        image_grid_pinpoints=grid,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
    )
    size = {"height": SMALL, "width": SMALL}
    eyes = t.LlavaOnevisionImageProcessor(size=size, image_grid_pinpoints=grid)
    video = t.LlavaOnevisionVideoProcessor(size=size)
    processor = t.LlavaOnevisionProcessor(
        eyes,
        words,
        video,
        num_image_tokens=4,
        vision_feature_select_strategy="full",
        chat_template=PARTS.replace("IMAGE", "<image>"),
    )
    return _save(folder, t.LlavaOnevisionForConditionalGeneration, config, processor)


def _qwen(folder, kind):
    import transformers as t

    words = tokenizer(
        more=["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"],
    )
    ids = {
        "image_token_id": _id(words, "<|image_pad|>"),
        "video_token_id": _id(words, "<|video_pad|>"),
        "vision_start_token_id": _id(words, "<|vision_start|>"),
        "vision_end_token_id": _id(words, "<|vision_end|>"),
    }
    patch = 16 if kind == "Qwen3VL" else 14
    seeing = {"depth": 2, "num_heads": 4, "hidden_size": 32, "intermediate_size": 48, "patch_size": patch}
    rope = {"rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 10000.0}
    if kind == "Qwen2VL":
        seeing = {"depth": 2, "num_heads": 4, "embed_dim": 32, "hidden_size": 32, "mlp_ratio": 2}
    elif kind == "Qwen2_5_VL":
        seeing |= {"out_hidden_size": 32, "fullatt_block_indexes": [1], "window_size": 56}
    else:
        seeing |= {"out_hidden_size": 32, "deepstack_visual_indexes": [0], "num_position_embeddings": 16}
    text = {**_TEXT, "vocab_size": len(words), "rope_parameters": rope}
    if kind == "Qwen3VL":
        text["head_dim"] = 8
    config = getattr(t, f"{kind}Config")(text_config=text, vision_config=seeing, **ids)
    side = 2 * patch
    sizes = {"shortest_edge": side * side, "longest_edge": 4 * side * side}
    eyes = t.Qwen2VLImageProcessor(size=sizes, patch_size=patch)
    video = (t.Qwen3VLVideoProcessor if kind == "Qwen3VL" else t.Qwen2VLVideoProcessor)()
    made = {"Qwen2VL": "Qwen2VLProcessor", "Qwen2_5_VL": "Qwen2_5_VLProcessor", "Qwen3VL": "Qwen3VLProcessor"}
    processor = getattr(t, made[kind])(
        eyes,
        words,
        video,
        chat_template=BOTH.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>"),
    )
    return _save(folder, getattr(t, f"{kind}ForConditionalGeneration"), config, processor)


def qwen2_vl(folder):
    return _qwen(folder, "Qwen2VL")


def qwen2_5_vl(folder):
    return _qwen(folder, "Qwen2_5_VL")


def qwen3_vl(folder):
    return _qwen(folder, "Qwen3VL")


def gemma3(folder):
    import transformers as t

    words = tokenizer(
        image_token="<image_soft_token>", boi_token="<start_of_image>", eoi_token="<end_of_image>"
    )
    text = {
        **_TEXT,
        "vocab_size": len(words),
        "head_dim": 8,
        "sliding_window": 512,
        "query_pre_attn_scalar": 8,
    }
    config = t.Gemma3Config(
        text_config=t.Gemma3TextConfig(**text, tie_word_embeddings=False),
        tie_word_embeddings=False,
        vision_config=_siglip(),
        mm_tokens_per_image=4,
        boi_token_index=_id(words, "<start_of_image>"),
        eoi_token_index=_id(words, "<end_of_image>"),
        image_token_index=_id(words, "<image_soft_token>"),
    )
    eyes = t.Gemma3ImageProcessor(size={"height": SMALL, "width": SMALL})
    processor = t.Gemma3Processor(
        eyes,
        words,
        image_seq_length=4,
        chat_template="{{ bos_token }}" + BOTH.replace("IMAGE", "<start_of_image>"),
    )
    return _save(folder, t.Gemma3ForConditionalGeneration, config, processor)


def mistral3(folder):
    import transformers as t

    return _pixtral(folder, t.Mistral3ForConditionalGeneration, 2)


def pixtral(folder):
    import transformers as t

    return _pixtral(folder, t.LlavaForConditionalGeneration, 1)


def _pixtral(folder, model_class, merge):
    import transformers as t

    words = tokenizer(more=["[IMG]", "[IMG_BREAK]", "[IMG_END]", "[INST]", "[/INST]"])
    vision = t.PixtralVisionConfig(**{**_SEEING, "image_size": 56, "patch_size": 14, "head_dim": 8})
    shared = {
        "vision_config": vision,
        "image_token_index": _id(words, "[IMG]"),
        "vision_feature_layer": -1,
    }
    text = t.MistralConfig(**_TEXT, vocab_size=len(words), head_dim=8, sliding_window=None)
    if merge == 1:
        config = t.LlavaConfig(**shared, text_config=text, vision_feature_select_strategy="full")
    else:
        config = t.Mistral3Config(**shared, text_config=text, spatial_merge_size=merge)
    eyes = t.PixtralImageProcessor(size={"longest_edge": 56}, patch_size=14 * merge)
    processor = t.PixtralProcessor(
        eyes, words, patch_size=14, spatial_merge_size=merge, chat_template=MIXED.replace("IMAGE", "[IMG]")
    )
    return _save(folder, model_class, config, processor)


def build(family, folder):
    """Saves a family's tiny model and gives its folder."""
    from support.tiny_vlm_latest import LATEST
    from support.tiny_vlm_more import MORE

    return (FAMILIES | MORE | LATEST)[family](folder)


def picture(seed, size=(40, 30), mode="RGB"):
    """A picture of noise, as a PNG's bytes."""
    import io

    import numpy
    from PIL import Image

    shape = (size[1], size[0]) + {"RGB": (3,), "RGBA": (4,), "L": ()}[mode]
    levels = numpy.random.default_rng(seed).integers(0, 256, shape, dtype="uint8")
    file = io.BytesIO()
    Image.fromarray(levels).save(file, "PNG")
    return file.getvalue()


FAMILIES = {
    "LLaVA 1.5": llava,
    "LLaVA-NeXT": llava_next,
    "LLaVA-OneVision": llava_onevision,
    "Qwen2-VL": qwen2_vl,
    "Qwen2.5-VL": qwen2_5_vl,
    "Qwen3-VL": qwen3_vl,
    "Gemma 3": gemma3,
    "Mistral 3": mistral3,
    "Pixtral": pixtral,
}
