"""Tiny vision-language models of later families; see tiny_vlm.py."""

from support.tiny_vlm import _SEEING, _TEXT, _UNTIED, BOTH, SMALL, _id, _save, tokenizer


def ovis2(folder):
    import transformers as t

    marks = ["<img_start>", "<img_end>", "<img_grid>", "<img_col>", "<img_row>"]
    upper = ["<IMG_START>", "<IMG_END>", "<IMG_GRID>", "<IMG_COL>", "<IMG_ROW>"]
    words = tokenizer(more=["<image>", "<IMG_ATOM>", *marks, *upper])
    seeing = {"image_size": SMALL, "patch_size": 14, "hidden_stride": 1, "vocab_size": 64}
    config = t.Ovis2Config(
        vision_config={**_SEEING, **seeing, "num_visual_indicator_tokens": 5},
        text_config=t.Qwen2Config(**_TEXT, vocab_size=len(words)),
        image_token_id=_id(words, "<IMG_ATOM>"),
        visual_indicator_token_ids=[_id(words, mark) for mark in marks],
        vocab_size=len(words),
        hidden_size=32,
    )
    eyes = t.Ovis2ImageProcessor(size={"height": SMALL, "width": SMALL})
    template = BOTH.replace("IMAGE", "<image>\n")
    processor = t.Ovis2Processor(eyes, words, image_seq_length=4, chat_template=template)
    return _save(folder, t.Ovis2ForConditionalGeneration, config, processor)


def lfm2_vl(folder):
    import transformers as t

    words = tokenizer(
        image_token="<image>",
        image_start_token="<|image_start|>",
        image_end_token="<|image_end|>",
        image_thumbnail="<|img_thumbnail|>",
    )
    text = t.Lfm2Config(**_TEXT, **_UNTIED, vocab_size=len(words), full_attn_idxs=[1])
    config = t.Lfm2VlConfig(
        vision_config=t.Siglip2VisionConfig(**_SEEING, patch_size=14, num_patches=16),
        text_config=text,
        image_token_id=_id(words, "<image>"),
        downsample_factor=2,
        projector_hidden_size=32,
    )
    eyes = t.Lfm2VlImageProcessor(
        tile_size=SMALL, encoder_patch_size=14, min_image_tokens=1, max_image_tokens=4, max_num_patches=16,
        min_tiles=1, max_tiles=2, do_image_splitting=False,
    )  # fmt: skip
    processor = t.Lfm2VlProcessor(eyes, words, chat_template=BOTH.replace("IMAGE", "<image>"))
    return _save(folder, t.Lfm2VlForConditionalGeneration, config, processor)


def qwen3_5(folder):
    import transformers as t

    marks = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    words = tokenizer(more=marks)
    names = ["vision_start_token_id", "vision_end_token_id", "image_token_id", "video_token_id"]
    rope = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25}
    linear = {"linear_key_head_dim": 8, "linear_value_head_dim": 8, "linear_num_key_heads": 2}
    text = {
        **_TEXT, **linear, "vocab_size": len(words), "head_dim": 16, "linear_num_value_heads": 4,
        "num_hidden_layers": 4,
        "rope_parameters": {**rope, "mrope_section": [1, 1, 0], "mrope_interleaved": True},
    }  # fmt: skip
    seeing = {"depth": 2, "num_heads": 4, "hidden_size": 32, "intermediate_size": 48, "patch_size": 16}
    config = t.Qwen3_5Config(
        text_config=text,
        vision_config={**seeing, "out_hidden_size": 32, "num_position_embeddings": 16},
        **{name: _id(words, mark) for name, mark in zip(names, marks, strict=True)},
    )
    eyes = t.Qwen2VLImageProcessor(
        size={"shortest_edge": 32 * 32, "longest_edge": 4 * 32 * 32}, patch_size=16
    )
    template = BOTH.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>")
    processor = t.Qwen3VLProcessor(eyes, words, t.Qwen3VLVideoProcessor(), chat_template=template)
    return _save(folder, t.Qwen3_5ForConditionalGeneration, config, processor)


LATEST = {"Ovis 2": ovis2, "LFM2-VL": lfm2_vl, "Qwen3.5": qwen3_5}
