"""Tiny chat models of many families: from their configuration, with random weights, under 1 MB each.

`build(folder, family)` saves one as its authors' folder would lie there. Configurations are of the installed
transformers; sizes are chosen so that sliding windows, chunks and mixtures of experts are in use.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

# What each family's model shares; its own settings follow.
_SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.3,
}
_MOE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
_WINDOW = {"sliding_window": 6, "layer_types": ["sliding_attention", "full_attention"], "head_dim": 8}
_MLA = {
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "v_head_dim": 8,
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "first_k_dense_replace": 1,
    "num_key_value_heads": 4,
    "n_group": 2,
    "topk_group": 1,
}

# family -> (model_type, settings). The order is that of the issue.
FAMILIES: dict[str, tuple[str, dict[str, object]]] = {
    "Llama 3": ("llama", {}),
    "Llama 4 text": (
        "llama4_text",
        {
            "num_local_experts": 2,
            "intermediate_size_mlp": 64,
            "attention_chunk_size": 8,
            "head_dim": 8,
            "interleave_moe_layer_step": 1,
            "no_rope_layers": [1, 0],
        },
    ),
    "Qwen 2.5": ("qwen2", {}),
    "Qwen 3": ("qwen3", {"head_dim": 8}),
    "Qwen 3 MoE": ("qwen3_moe", {**_MOE, "head_dim": 8}),
    "Qwen 3 Next": (
        "qwen3_next",
        {
            **_MOE,
            "head_dim": 8,
            "layer_types": ["linear_attention", "full_attention"],
            "linear_num_value_heads": 4,
            "linear_num_key_heads": 2,
            "linear_key_head_dim": 8,
            "linear_value_head_dim": 8,
            "shared_expert_intermediate_size": 32,
        },
    ),
    "Gemma 2": ("gemma2", {**_WINDOW, "query_pre_attn_scalar": 8, "tie_word_embeddings": False}),
    "Gemma 3 text": ("gemma3_text", {**_WINDOW, "query_pre_attn_scalar": 8, "tie_word_embeddings": False}),
    "Mistral": ("mistral", {"sliding_window": 6, "head_dim": 8}),
    "Mixtral": ("mixtral", {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "Phi 3 and 4": ("phi3", {"pad_token_id": 2, "sliding_window": 6}),
    "GPT-OSS": ("gpt_oss", {**_WINDOW, "num_local_experts": 4, "num_experts_per_tok": 2}),
    "DeepSeek V2": ("deepseek_v2", {**_MLA, "topk_method": "greedy"}),
    "DeepSeek V3": ("deepseek_v3", {**_MLA}),
    "GLM 4": ("glm4", {"head_dim": 8}),
    "Granite": ("granite", {}),
    "Granite 4 hybrid": (
        "granitemoehybrid",
        {
            "layer_types": ["mamba", "attention"],
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "shared_intermediate_size": 32,
            "mamba_n_heads": 8,
            "mamba_d_head": 8,
            "mamba_d_state": 8,
            "mamba_expand": 2,
            "mamba_n_groups": 1,
        },
    ),
    "OLMo 2": ("olmo2", {}),
    "OLMoE": ("olmoe", {"num_experts": 4, "num_experts_per_tok": 2}),
    "Falcon": ("falcon", {"new_decoder_architecture": False, "multi_query": True, "alibi": False}),
    "Falcon H1": (
        "falcon_h1",
        {
            "mamba_d_ssm": 64,
            "mamba_n_heads": 8,
            "mamba_d_head": 8,
            "mamba_d_state": 8,
            "mamba_n_groups": 1,
            "mamba_expand": 2,
        },
    ),
    "StableLM": ("stablelm", {}),
    "Cohere 2": ("cohere2", {**_WINDOW}),
    "Seed-OSS": ("seed_oss", {"head_dim": 8}),
    "MiniMax": (
        "minimax",
        {
            "layer_types": ["linear_attention", "full_attention"],
            "block_size": 8,
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "head_dim": 8,
        },
    ),
    "BLOOM": ("bloom", {"n_layer": 2, "n_head": 4}),
    "MPT": ("mpt", {"d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": 256, "expansion_ratio": 2}),
    "GPT-2": ("gpt2", {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256}),
    "Mamba": ("mamba", {"state_size": 8}),
    "Jamba": (
        "jamba",
        {
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "mamba_d_state": 8,
            "mamba_dt_rank": 4,
            "use_mamba_kernels": False,
            "expert_layer_period": 2,
            "expert_layer_offset": 1,
        },
    ),
    "RWKV": ("rwkv", {"attention_hidden_size": 32, "context_length": 256}),
    "RecurrentGemma": (
        "recurrent_gemma",
        {
            "attention_window_size": 16,
            "lru_width": 32,
            "block_types": ["recurrent", "attention"],
            "w_init_variance_scale": 0.3,
        },
    ),
}


class Format(NamedTuple):
    """How a family writes a conversation, in the marks that its authors use.

    turn: the beginning of a turn, with ROLE. ends: the end of a turn. opens: what the template writes behind
    the beginning of an answer. thinks: the marks around thinking, with the word THOUGHT; "" for none. stops:
    the token behind an answer, if it is not `ends`. special, plain: the texts that are single tokens.
    has_system: whether the template takes a system turn.
    """

    turn: str = "<|im_start|> ROLE "
    ends: str = "<|im_end|>"
    opens: str = ""
    thinks: str = ""
    stops: str = ""
    special: tuple[str, ...] = ("<|im_start|>", "<|im_end|>")
    plain: tuple[str, ...] = ()
    has_system: bool = True

    @property
    def template(self):
        system = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
        is_last = "loop.last and not add_generation_prompt"
        last = f"{{% if {is_last} %}}{self.stops}{{% else %}}{self.ends}{{% endif %}}"
        return (
            ("" if self.has_system else system)
            + "{% for m in messages %}"
            + self.turn.replace("ROLE", "{{ m.role }}")
            + "{{ m.content }} "
            + (last if self.stops else self.ends)
            + " {% endfor %}{% if add_generation_prompt %}"
            + self.turn.replace("ROLE", "assistant")
            + self.opens
            + "{% endif %}"
        )


_THINK = ("<think>", "</think>")
FORMATS = {
    "ChatML": Format(),
    "Llama 3": Format("<|start_header_id|> ROLE <|end_header_id|> ", "<|eot_id|>",
                      special=("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")),
    "Qwen 3": Format(thinks="<think> THOUGHT </think>", plain=_THINK),
    "QwQ": Format(opens="<think> ", thinks="THOUGHT </think>", plain=_THINK),
    "DeepSeek R1": Format("<｜ROLE｜> ", "<eos>", opens="<think> ", thinks="THOUGHT </think>", plain=_THINK,
                          special=("<｜user｜>", "<｜assistant｜>", "<｜system｜>")),
    "Gemma": Format("<start_of_turn> ROLE ", "<end_of_turn>", special=("<start_of_turn>", "<end_of_turn>"),
                    has_system=False),
    "Gemma 4": Format("<|turn> ROLE ", "<turn|>", thinks="<|channel> thought THOUGHT <channel|>",
                      special=("<|turn>", "<turn|>", "<|channel>", "<channel|>")),
    "Magistral": Format("[INST] ROLE ", "[/INST]", thinks="[THINK] THOUGHT [/THINK]", stops="<eos>",
                        special=("[INST]", "[/INST]", "[THINK]", "[/THINK]"), has_system=False),
    "Phi": Format("<|ROLE|> ", "<|end|>", special=("<|user|>", "<|assistant|>", "<|system|>", "<|end|>")),
    "GPT-OSS": Format(
        "<|start|> ROLE ", "<|end|>", stops="<|return|>",
        thinks="<|channel|> analysis <|message|> THOUGHT <|end|> "
        "<|start|> assistant <|channel|> final <|message|>",
        special=("<|start|>", "<|end|>", "<|return|>", "<|call|>", "<|channel|>", "<|message|>"),
    ),
    "Cohere": Format("<|START_OF_TURN_TOKEN|> ROLE ", "<|END_OF_TURN_TOKEN|>",
                     thinks="<|START_THINKING|> THOUGHT <|END_THINKING|> <|START_RESPONSE|>",
                     special=("<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>", "<|START_THINKING|>",
                              "<|END_THINKING|>", "<|START_RESPONSE|>")),
    "Kimi": Format("<|im_ROLE|> ", "<|im_end|>", thinks="◁think▷ THOUGHT ◁/think▷",
                   special=("<|im_user|>", "<|im_assistant|>", "<|im_system|>", "<|im_end|>", "◁think▷",
                            "◁/think▷")),
    "Kimi K3": Format(
        "<|open|> message role ROLE <|sep|> ",
        "<|close|> message <|sep|> <|end_of_msg|>",
        opens="<|open|> think <|sep|> ",
        thinks="THOUGHT <|close|> think <|sep|> <|open|> response <|sep|>",
        stops="<|close|> response <|sep|> <|close|> message <|sep|> <|end_of_msg|>",
        special=("<|open|>", "<|close|>", "<|sep|>", "<|end_of_msg|>"),
    ),
    "Apriel": Format(
        "<|begin_ROLE|> ",
        "<|end|>",
        opens="Here are my reasoning steps: ",
        thinks="THOUGHT [BEGIN FINAL RESPONSE]",
        special=("<|begin_user|>", "<|begin_assistant|>", "<|begin_system|>", "<|end|>"),
        plain=("[BEGIN FINAL RESPONSE]",),
    ),
    "Seed": Format("<seed:bos> ROLE ", "<seed:eos>", thinks="<seed:think> THOUGHT </seed:think>",
                   special=("<seed:bos>", "<seed:eos>", "<seed:think>", "</seed:think>")),
    "Solar Open": Format("<|begin|> ROLE ", "<|end|>", stops="<|flush|>",
                         thinks="<|think|> THOUGHT <|end|> <|begin|> assistant <|content|>",
                         special=("<|begin|>", "<|end|>", "<|flush|>", "<|think|>", "<|content|>")),
}  # fmt: skip
CHATML = FORMATS["ChatML"].template


def save_tokenizer(folder, form=FORMATS["ChatML"], template=None, **options):
    """Saves a word-level tokenizer with the tokens and the template of a format, or another template."""
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel(unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    corpus = [f"word{n} draw a picture of the quiet harbour {n} user assistant system" for n in range(40)]
    corpus += [
        "analysis final commentary thought think response message role",
        "Sure , here it is .",
        "I cannot help with that .",
    ]
    specials = ["<unk>", "<eos>", "<pad>"]
    words.train_from_iterator(corpus, trainers.WordLevelTrainer(special_tokens=specials, show_progress=False))
    named = {"unk_token": "<unk>", "eos_token": "<eos>", "pad_token": "<pad>"} | options
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, **named)
    tokenizer.add_tokens([AddedToken(text, special=True) for text in form.special])
    tokenizer.add_tokens([AddedToken(text, special=False) for text in form.plain])
    tokenizer.chat_template = form.template if template is None else template
    tokenizer.save_pretrained(folder)
    return tokenizer


def save_model(folder, family, tokenizer, **more):
    """Saves a model of a family with random weights that suits the tokenizer."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    kind, settings = FAMILIES[family]
    ids = {
        "vocab_size": len(tokenizer),
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": None,
    }
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(
        AutoConfig.for_model(kind, **{**_SIZES, **ids, **settings, **more})
    )
    with torch.no_grad():  # some families start at zero, where every prompt has one answer
        for name, weight in sorted(model.named_parameters()):
            if weight.ndim > 1 and "norm" not in name and (weight.std() < 0.1):
                weight.normal_(0.0, 0.3)
    model.eval().save_pretrained(folder)
    return model


def build(folder, family="Qwen 2.5", form=FORMATS["ChatML"], **more):
    """Saves a model and its tokenizer; returns the folder."""
    save_model(folder, family, save_tokenizer(folder, form), **more)
    return folder


def save_scripted(folder, tokenizer, asked, script, **more):
    """Saves a model that says the same to every prompt of a length: the words of the script, one by one.

    Its words depend on the position only: positions are unit vectors, layers add nothing, and the head reads
    the word of each position from a table.

    asked: a prompt's text. script: the tokens behind it, as text; behind them comes word7 for ever.
    """
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    size = 160
    ids = {
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": None,
    }
    sizes = {"n_embd": size, "n_layer": 1, "n_head": 2, "n_inner": 8, "n_positions": size}
    config = GPT2Config(vocab_size=len(tokenizer), tie_word_embeddings=False, **{**sizes, **ids, **more})
    model = GPT2LMHeadModel(config)
    start = len(tokenizer(asked, add_special_tokens=False)["input_ids"]) - 1
    said = tokenizer(script, add_special_tokens=False)["input_ids"]
    rest = tokenizer("word7", add_special_tokens=False)["input_ids"][0]
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
        model.transformer.ln_f.weight.fill_(1.0)
        model.transformer.wpe.weight.copy_(torch.eye(size))
        model.lm_head.weight[rest] = 0.5
        for n, token in enumerate(said):
            model.lm_head.weight[token, start + n] = 1.0
    model.save_pretrained(folder)
    return model


def scripted(folder, form, script, *, text="word1", template=None, **more):
    """Saves a scripted model for one user turn; returns the folder."""
    tokenizer = save_tokenizer(folder, form, template)
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True
    )
    save_scripted(folder, tokenizer, asked, script, **more)
    return folder


def edit_json(path, **changes):
    """Changes fields of a JSON file; None removes one."""
    path = Path(path)
    data = json.loads(path.read_text("utf-8")) if path.exists() else {}
    data |= changes
    path.write_text(json.dumps({k: v for k, v in data.items() if v is not None}), "utf-8")
