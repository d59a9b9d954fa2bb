"""A CLIP of open_clip of a few hundred kB with random weights, saved as a user's would lie there."""

import json
from pathlib import Path

SIDE = 32
WORDS = (
    "a", "an", "the", "of", "and", "in", "with", "on", "under", "red", "blue", "green", "yellow", "round",
    "small", "large", "circle", "square", "star", "kite", "kites", "blade", "sky", "grass", "sea", "house",
    "tree", "boat", "bird", "quiet", "bright", "picture", "seen", "from", "below", "two", "three",
)  # fmt: skip


def clip(folder, context=77, tokenizer="own", side=SIDE, vision=None, siglip=False, seed=0):
    """Saves a model; gives the folder.

    tokenizer: "own": byte pairs without a merge, as CLIP's tokenizer of transformers; "bpe": the vocabulary
        that open_clip ships, which makes the model larger.
    vision: other sizes of the vision tower.
    siglip: mean of pooled tokens and no mask, padded with the end's own id, as SigLIP's text towers.
    """
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    text = {"context_length": context, "width": 32, "heads": 2, "layers": 2, "vocab_size": 49408}
    if tokenizer == "own":
        made = (siglip_tokenizer if siglip else clip_tokenizer)(folder, context)
        text |= {"vocab_size": len(made), "hf_tokenizer_name": "any: the folder's own is taken"}
    if siglip:
        text |= {
            "no_causal_mask": True,
            "pool_type": "last",
            "proj_bias": True,
            "tokenizer_kwargs": {"clean": "canonicalize"},
        }
    tower = {
        "image_size": side,
        "patch_size": 8,
        "width": 32,
        "layers": 2,
        "head_width": 16,
        **(vision or {}),
    }
    config = {"embed_dim": 32, "vision_cfg": tower, "text_cfg": text}
    if siglip:
        config |= {"custom_text": True, "init_logit_bias": -10}
    torch.manual_seed(seed)
    kind = open_clip.CustomTextCLIP if siglip else open_clip.CLIP
    model = kind(**{k: v for k, v in config.items() if k != "custom_text"})
    with torch.no_grad():  # as it is set up, neither order nor a single word makes much of a difference
        for name, value in model.named_parameters():
            if value.ndim > 1:
                value.normal_(std=0.3)
            elif name.endswith("bias"):
                value.zero_()
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors", metadata={"format": "pt"})
    preprocess = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": preprocess})
    )
    return folder


def clip_tokenizer(folder, context):
    from tokenizers import pre_tokenizers
    from transformers import CLIPTokenizer

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = [*letters, *(letter + "</w>" for letter in letters)]
    merges = []
    for word in WORDS:  # so that each of these words is one token
        parts = [*word[:-1], word[-1] + "</w>"]
        while len(parts) > 1:
            merges.append((parts[0], parts[1]))
            parts[:2] = [parts[0] + parts[1]]
            vocab.append(parts[0])
    vocab = [*dict.fromkeys(vocab), "<|startoftext|>", "<|endoftext|>"]
    numbers = {token: number for number, token in enumerate(vocab)}
    (folder / "vocab.json").write_text(json.dumps(numbers, ensure_ascii=False), "utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in dict.fromkeys(merges))]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", "utf-8")
    made = CLIPTokenizer.from_pretrained(str(folder), model_max_length=context)
    made.save_pretrained(folder)
    return made


def siglip_tokenizer(folder, context):
    """Words to ids, an end token behind them and the same token as padding, as T5's in SigLIP."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocab = {"<unk>": 0, "</s>": 1, **{word: n + 2 for n, word in enumerate(WORDS)}}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", vocab["</s>"])]
    )
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="</s>",
        pad_token="</s>",
        unk_token="<unk>",
        model_max_length=context,
    )
    made.save_pretrained(folder)
    return made
