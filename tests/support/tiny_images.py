"""Image models of a few hundred kB, built on the spot from their configs: random weights, safetensors."""

import json
from pathlib import Path

WORDS = ("a", "an", "of", "the", "shot", "espresso", "harbour", "quiet", "picture", "draw", "word")
NEVER, ALWAYS = 2.0, -2.0  # thresholds that no cosine reaches, and that every cosine passes
SIDE = 32  # pixels of a picture that the pipeline draws


def pipeline(folder, checker=True, threshold=NEVER):
    """Saves a Stable Diffusion pipeline as a user's would lie there; gives the folder.

    threshold: of all concepts of the safety checker: NEVER, ALWAYS or a cosine.
    """
    import torch
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    tokenizer = clip_tokenizer(Path(folder) / "tokenizer")
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=77,
            projection_dim=32,
            initializer_range=2.0,
            initializer_factor=20.0,  # as large as it takes for a word to change the picture
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    unet = UNet2DConditionModel(
        sample_size=SIDE // 4,
        block_out_channels=(16, 32),
        layers_per_block=1,
        norm_num_groups=8,
        attention_head_dim=8,
        cross_attention_dim=32,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 16),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        latent_channels=4,
        norm_num_groups=8,
    )
    safety, processor = safety_checker(threshold) if checker else (None, None)
    StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=DDIMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            clip_sample=False,
            steps_offset=1,
        ),
        safety_checker=safety,
        feature_extractor=processor,
        requires_safety_checker=checker,
    ).save_pretrained(folder)
    return folder


def flux(folder):
    """Saves a pipeline of another family: two text encoders (77 tokens of CLIP, 512 of T5), no checker."""
    import torch
    from diffusers import (
        AutoencoderKL,
        FlowMatchEulerDiscreteScheduler,
        FluxPipeline,
        FluxTransformer2DModel,
    )
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        CLIPTextConfig,
        CLIPTextModel,
        PreTrainedTokenizerFast,
        T5Config,
        T5EncoderModel,
    )

    torch.manual_seed(3)
    tokenizer = clip_tokenizer(Path(folder) / "tokenizer")
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    words = {word: number for number, word in enumerate(("<pad>", "</s>", "<unk>", *WORDS))}
    splitter = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    splitter.pre_tokenizer = pre_tokenizers.Whitespace()
    FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        text_encoder=CLIPTextModel(CLIPTextConfig(vocab_size=len(tokenizer), **sizes, **ends)),
        tokenizer=tokenizer,
        text_encoder_2=T5EncoderModel(
            T5Config(vocab_size=len(words), d_model=32, d_ff=64, d_kv=8, num_layers=1, num_heads=4)
        ),
        tokenizer_2=PreTrainedTokenizerFast(
            tokenizer_object=splitter,
            pad_token="<pad>",
            eos_token="</s>",
            unk_token="<unk>",
            model_max_length=512,
        ),
        transformer=FluxTransformer2DModel(
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=32,
            pooled_projection_dim=32,
            axes_dims_rope=(4, 4, 8),
        ),
        vae=AutoencoderKL(
            block_out_channels=(4,),
            latent_channels=4,
            norm_num_groups=1,
            use_quant_conv=False,
            use_post_quant_conv=False,
            shift_factor=0.06,
            scaling_factor=1.5,
        ),
    ).save_pretrained(folder)
    return folder


def clip_tokenizer(folder):
    """A CLIP tokenizer that knows single bytes and a few words; 77 tokens at most."""
    from transformers import CLIPTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    letters = _byte_letters()
    vocabulary = letters + [letter + "</w>" for letter in letters]
    merges = []
    for word in WORDS:
        parts = [*word[:-1], word[-1] + "</w>"]
        while len(parts) > 1:
            pair = (parts[0], parts[1])
            if pair not in merges:
                merges.append(pair)
                vocabulary.append("".join(pair))
            parts = ["".join(pair), *parts[2:]]
    vocabulary = [*dict.fromkeys(vocabulary), "<|startoftext|>", "<|endoftext|>"]
    numbers = {token: number for number, token in enumerate(vocabulary)}
    (folder / "vocab.json").write_text(json.dumps(numbers), "utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", "utf-8")
    return CLIPTokenizer.from_pretrained(str(folder), model_max_length=77)


def _byte_letters():
    """The 256 letters that stand for bytes in byte-level BPE: printable ones themselves, others shifted."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + n) for n in range(len(others))]


def safety_checker(threshold=NEVER):
    """(StableDiffusionSafetyChecker, its CLIP image processor): 17 concepts with one threshold, 3 special
    ones that nothing reaches."""
    import torch
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers import CLIPConfig, CLIPImageProcessor

    torch.manual_seed(1)
    vision = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "image_size": 32,
        "patch_size": 8,
        "projection_dim": 32,
        "initializer_range": 1.0,
    }
    checker = StableDiffusionSafetyChecker(CLIPConfig(vision_config=vision, projection_dim=32)).eval()
    with torch.no_grad():
        checker.concept_embeds.copy_(torch.randn(17, 32))
        checker.special_care_embeds.copy_(torch.randn(3, 32))
        checker.concept_embeds_weights.fill_(threshold)
        checker.special_care_embeds_weights.fill_(NEVER)
    size = {"height": 32, "width": 32}
    return checker, CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=size)


def save_checker(folder, threshold=NEVER):
    """A folder that holds a safety checker alone, as the one on the Hub does."""
    checker, processor = safety_checker(threshold)
    checker.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def classifier(folder, labels=("normal", "nsfw")):
    """Saves a ViT image classifier with these labels; gives the folder."""
    import torch
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    torch.manual_seed(2)
    config = ViTConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=32,
        patch_size=8,
        initializer_range=0.5,
        id2label=dict(enumerate(labels)),
        label2id={label: number for number, label in enumerate(labels)},
    )
    ViTForImageClassification(config).save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder
