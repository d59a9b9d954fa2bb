"""More tiny vision-language models; see tiny_vlm.py."""

from support.tiny_vlm import (
    _SEEING,
    _TEXT,
    _UNTIED,
    BOTH,
    NO_SYSTEM,
    PARTS,
    SMALL,
    TEXTS,
    _id,
    _llama,
    _save,
    _siglip,
    tokenizer,
)


def internvl(folder):
    import transformers as t

    words = tokenizer(
        start_image_token="<img>",
        end_image_token="</img>",
        context_image_token="<IMG_CONTEXT>",
        video_token="<video>",
    )
    vision = t.InternVLVisionConfig(**_SEEING, image_size=[SMALL, SMALL], patch_size=[14, 14])
    config = t.InternVLConfig(
        vision_config=vision,
        text_config=t.Qwen2Config(**_TEXT, vocab_size=len(words)),
        image_token_id=_id(words, "<IMG_CONTEXT>"),
        image_seq_length=1,
        downsample_ratio=0.5,
    )
    eyes = t.GotOcr2ImageProcessor(
        size={"height": SMALL, "width": SMALL}, crop_to_patches=True, min_patches=1, max_patches=4
    )
    processor = t.InternVLProcessor(
        eyes,
        words,
        t.InternVLVideoProcessor(),
        image_seq_length=1,
        chat_template=BOTH.replace("IMAGE", "<IMG_CONTEXT>\n"),
    )
    return _save(folder, t.InternVLForConditionalGeneration, config, processor)


def idefics3(folder, kind="Idefics3"):
    import transformers as t

    more = [f"<row_{i}_col_{j}>" for i in range(1, 4) for j in range(1, 4)]
    words = tokenizer(
        more=["<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>", "<video>", *more]
    )
    vision = getattr(t, f"{kind}VisionConfig")(**_SEEING, image_size=SMALL, patch_size=14)
    config = getattr(t, f"{kind}Config")(
        vision_config=vision,
        text_config=_llama(words),
        scale_factor=2,
        image_token_id=_id(words, "<image>"),
        pad_token_id=2,
    )
    eyes = getattr(t, f"{kind}ImageProcessor")(
        size={"longest_edge": 2 * SMALL}, max_image_size={"longest_edge": SMALL}
    )
    more_parts = (
        [
            t.SmolVLMVideoProcessor(
                size={"longest_edge": SMALL},
                max_image_size={"longest_edge": SMALL},
                num_frames=1,
                fps=1,
            )
        ]
        if kind == "SmolVLM"
        else []
    )
    processor = getattr(t, f"{kind}Processor")(
        eyes, words, *more_parts, image_seq_len=1, chat_template=PARTS.replace("IMAGE\n", "<image>")
    )
    return _save(folder, getattr(t, f"{kind}ForConditionalGeneration"), config, processor)


def smolvlm(folder):
    return idefics3(folder, "SmolVLM")


def paligemma(folder):
    import transformers as t

    words = tokenizer(more=["<image>"])
    eyes = t.SiglipImageProcessor(size={"height": SMALL, "width": SMALL})
    eyes.image_seq_length = 4
    processor = t.PaliGemmaProcessor(eyes, words)
    text = {**_TEXT, "vocab_size": len(processor.tokenizer), "head_dim": 8}
    config = t.PaliGemmaConfig(
        vision_config=_siglip(vision_use_head=False, projection_dim=32).to_dict(),
        text_config=t.GemmaConfig(**text, tie_word_embeddings=False).to_dict(),
        tie_word_embeddings=False,
        projection_dim=32,
        image_token_index=_id(words, "<image>"),
    )
    return _save(folder, t.PaliGemmaForConditionalGeneration, config, processor)


def mllama(folder):
    import transformers as t

    words = tokenizer(more=["<|python_tag|>"], image_token="<|image|>")
    vision = t.MllamaVisionConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_global_layers=1,
        attention_heads=4,
        image_size=SMALL,
        patch_size=14,
        max_num_tiles=2,
        intermediate_layers_indices=[0],
        vision_output_dim=64,
        supported_aspect_ratios=[[1, 1], [1, 2], [2, 1]],
    )
    text = {**_TEXT, "vocab_size": len(words) - 1, "cross_attention_layers": [1]}
    config = t.MllamaConfig(
        vision_config=vision,
        text_config=t.MllamaTextConfig(**text),
        image_token_index=_id(words, "<|image|>"),
    )
    eyes = t.MllamaImageProcessor(size={"height": SMALL, "width": SMALL}, max_image_tiles=2)
    processor = t.MllamaProcessor(eyes, words, chat_template=NO_SYSTEM.replace("IMAGE", "<|image|>"))
    return _save(folder, t.MllamaForConditionalGeneration, config, processor)


def chameleon(folder):
    import transformers as t

    image = [f"IMGIMG{letter}Z" for letter in "ABCDEFGH"]
    words = tokenizer(more=["<racm3:break>", "<eoss>", "<reserved08706>", *image], image_token="<image>")
    words.add_special_tokens({"sep_token": "<reserved08706>"})
    vq = {
        "embed_dim": 8,
        "num_embeddings": 8,
        "latent_channels": 8,
        "resolution": 16,
        "base_channels": 32,
        "channel_multiplier": [1, 1],
        "num_res_blocks": 1,
    }
    config = t.ChameleonConfig(
        **_TEXT, vocab_size=len(words), vq_config=vq, vocabulary_map=words.get_vocab(), swin_norm=False
    )
    eyes = t.ChameleonImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    processor = t.ChameleonProcessor(eyes, words, image_seq_length=64)
    return _save(folder, t.ChameleonForConditionalGeneration, config, processor)


def llama4(folder):
    import transformers as t

    words = tokenizer(
        more=[
            "<|image|>",
            "<|image_start|>",
            "<|image_end|>",
            "<|patch|>",
            "<|tile_x_separator|>",
            "<|tile_y_separator|>",
        ]
    )
    vision = {
        "hidden_size": 32,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "image_size": SMALL,
        "patch_size": 14,
        "vision_output_dim": 32,
        "projector_input_dim": 32,
        "projector_output_dim": 32,
        "pixel_shuffle_ratio": 0.5,
    }
    text = {
        **_TEXT,
        "vocab_size": len(words),
        "head_dim": 8,
        "intermediate_size_mlp": 48,
        "num_local_experts": 2,
        "attention_chunk_size": 8192,
        "interleave_moe_layer_step": 2,
    }
    config = t.Llama4Config(
        vision_config=vision,
        text_config=text,
        image_token_index=_id(words, "<|patch|>"),
        boi_token_index=_id(words, "<|image_start|>"),
        eoi_token_index=_id(words, "<|image_end|>"),
    )
    eyes = t.Llama4ImageProcessor(
        size={"height": SMALL, "width": SMALL}, max_patches=4, resize_to_max_canvas=False
    )
    processor = t.Llama4Processor(
        eyes,
        words,
        patch_size=14,
        pixel_shuffle_ratio=0.5,
        chat_template="{{ bos_token }}" + BOTH.replace("IMAGE", "<|image|>"),
    )
    return _save(folder, t.Llama4ForConditionalGeneration, config, processor)


def glm4v(folder):
    import transformers as t

    marks = [
        "<|image|>",
        "<|video|>",
        "<|begin_of_image|>",
        "<|end_of_image|>",
        "<|begin_of_video|>",
        "<|end_of_video|>",
    ]
    words = tokenizer(more=marks)
    names = [
        "image_token_id",
        "video_token_id",
        "image_start_token_id",
        "image_end_token_id",
        "video_start_token_id",
        "video_end_token_id",
    ]
    ids = {name: _id(words, mark) for name, mark in zip(names, marks, strict=True)}
    vision = {
        "depth": 2,
        "hidden_size": 32,
        "num_heads": 4,
        "out_hidden_size": 32,
        "intermediate_size": 48,
        "image_size": 56,
        "patch_size": 14,
    }
    rope = {
        "rope_type": "default",
        "mrope_section": [2, 1, 1],
        "rope_theta": 10000.0,
        "partial_rotary_factor": 1.0,
    }
    config = t.Glm4vConfig(
        vision_config=vision, text_config={**_TEXT, "vocab_size": len(words), "rope_parameters": rope}, **ids
    )
    eyes = t.Glm4vImageProcessor(size={"shortest_edge": 28 * 28 * 2, "longest_edge": 56 * 56 * 2})
    processor = t.Glm4vProcessor(
        eyes,
        words,
        t.Glm4vVideoProcessor(),
        chat_template="[gMASK]" + BOTH.replace("IMAGE", "<|begin_of_image|><|image|><|end_of_image|>"),
    )
    return _save(folder, t.Glm4vForConditionalGeneration, config, processor)


def aya_vision(folder):
    import transformers as t

    words = tokenizer(
        more=["<image>", "<|START_OF_IMG|>", "<|END_OF_IMG|>", "<|IMG_PATCH|>", "<|IMG_LINE_BREAK|>"]
    )
    text = t.Cohere2Config(
        **{**_TEXT, "vocab_size": len(words), "head_dim": 8, "sliding_window": 512, **_UNTIED}
    )
    config = t.AyaVisionConfig(
        vision_config=_siglip(),
        text_config=text,
        downsample_factor=2,
        image_token_index=_id(words, "<|IMG_PATCH|>"),
        **_UNTIED,
    )
    eyes = t.GotOcr2ImageProcessor(
        size={"height": SMALL, "width": SMALL}, crop_to_patches=True, min_patches=1, max_patches=4
    )
    processor = t.AyaVisionProcessor(
        eyes, words, patch_size=28, img_size=SMALL, chat_template=BOTH.replace("IMAGE", "<image>")
    )
    return _save(folder, t.AyaVisionForConditionalGeneration, config, processor)


def phi4(folder):
    import transformers as t

    words = tokenizer(
        image_token="<|endoftext10|>",
        audio_token="<|endoftext11|>",
        more=["<|end|>", "<|user|>", "<|system|>", "<|assistant|>"],
    )
    vision = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "image_size": 448,
        "crop_size": 448,
        "patch_size": 14,
        "image_token_id": _id(words, "<|endoftext10|>"),
    }
    audio = {
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_blocks": 1,
        "num_attention_heads": 4,
        "ext_pw_out_channel": 32,
        "depthwise_separable_out_channel": 32,
        "nemo_conv_channels": 8,
        "audio_token_id": _id(words, "<|endoftext11|>"),
    }
    config = t.Phi4MultimodalConfig(
        **_TEXT,
        vocab_size=len(words),
        vision_config=vision,
        audio_config=audio,
        original_max_position_embeddings=8192,
    )
    eyes = t.Phi4MultimodalImageProcessor(dynamic_hd=2)
    processor = t.Phi4MultimodalProcessor(
        eyes, t.Phi4MultimodalFeatureExtractor(), words, chat_template=TEXTS
    )
    return _save(folder, t.Phi4MultimodalForCausalLM, config, processor)


def idefics2(folder):
    import transformers as t

    words = tokenizer(
        image_token="<image>", image_boundary_token="<fake_token_around_image>", more=["<end_of_utterance>"]
    )
    vision = t.Idefics2VisionConfig if hasattr(t, "Idefics2VisionConfig") else None
    seeing = {**_SEEING, "image_size": SMALL, "patch_size": 14}
    perceiver = {
        "resampler_n_latents": 4,
        "resampler_depth": 1,
        "resampler_n_heads": 2,
        "resampler_head_dim": 16,
        "num_key_value_heads": 1,
        "hidden_size": 32,
    }
    config = t.Idefics2Config(
        vision_config=vision(**seeing) if vision else seeing,
        perceiver_config=perceiver,
        text_config=t.MistralConfig(**_TEXT, vocab_size=len(words)),
        image_token_id=_id(words, "<image>"),
    )
    eyes = t.Idefics2ImageProcessor(
        size={"shortest_edge": SMALL, "longest_edge": 2 * SMALL}, do_image_splitting=False
    )
    processor = t.Idefics2Processor(
        eyes, words, image_seq_len=4, chat_template=PARTS.replace("IMAGE\n", "<image>")
    )
    return _save(folder, t.Idefics2ForConditionalGeneration, config, processor)


MORE = {
    "InternVL 3": internvl,
    "Idefics 3": idefics3,
    "SmolVLM": smolvlm,
    "PaliGemma": paligemma,
    "Llama 3.2 Vision": mllama,
    "Chameleon": chameleon,
    "Llama 4": llama4,
    "GLM-4.1V": glm4v,
    "Aya Vision": aya_vision,
    "Phi-4 multimodal": phi4,
    "Idefics 2": idefics2,
}
