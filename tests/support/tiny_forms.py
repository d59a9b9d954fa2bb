"""The forms in which a language model may lie about: GGUF, adapters (PEFT), quantized, SentencePiece only."""

import io
import json
import shutil
from pathlib import Path

_NAMES = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
_PARTS = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def copied(folder, to):
    """A copy of a folder; gives its path."""
    return Path(shutil.copytree(folder, to))


def edited(folder, change, file="model.safetensors"):
    """Changes the weights of a file in a folder; gives the folder. change: names -> weights to the same."""
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    path = Path(folder) / file
    with safe_open(path, framework="pt") as opened:
        metadata = opened.metadata()
    weights = {name: weight.contiguous().clone() for name, weight in change(load_file(path)).items()}
    save_file(weights, path, metadata)
    return Path(folder)


def without(*parts):
    """A change that drops each weight whose name holds one of the parts."""
    return lambda weights: {k: v for k, v in weights.items() if not any(part in k for part in parts)}


def prefixed(prefix):
    return lambda weights: {prefix + name: weight for name, weight in weights.items()}


def as_integers(name):
    """A change of weights that casts one to int8."""
    import torch

    return lambda weights: weights | {name: (weights[name] * 100).to(torch.int8)}


def with_nan(part):
    return lambda weights: {k: v * float("nan") if part in k else v for k, v in weights.items()}


def configured(folder, file="config.json", **fields):
    """Changes fields of a JSON file in a folder; None takes one out. Gives the folder."""
    path = Path(folder) / file
    fields = json.loads(path.read_text("utf-8")) | fields
    path.write_text(json.dumps({k: v for k, v in fields.items() if v is not None}), "utf-8")
    return Path(folder)


def adapter(folder, base, kind="CAUSAL_LM", modules=("q_proj", "v_proj")):
    """Puts a random LoRA on a model and saves it; gives the model with it, as peft has it."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    of_kind = {"CAUSAL_LM": AutoModelForCausalLM, "SEQ_CLS": AutoModelForSequenceClassification}
    torch.manual_seed(7)
    model = of_kind[kind].from_pretrained(base, dtype=torch.float32)
    lora = LoraConfig(task_type=kind, r=4, target_modules=list(modules), init_lora_weights=False)
    with_lora = get_peft_model(model, lora).eval()
    with_lora.save_pretrained(folder)
    return with_lora


def gguf(path, folder, template="", skip=(), architecture="llama"):
    """Writes the tiny Llama of a folder as GGUF in float32, with a byte-level vocabulary; gives the path.

    llama.cpp rotates neighbouring numbers of a head, transformers its halves: hence the other order.
    """
    import numpy as np
    from gguf import GGUFWriter
    from safetensors.torch import load_file
    from tokenizers.pre_tokenizers import ByteLevel

    config = json.loads((Path(folder) / "config.json").read_text("utf-8"))
    heads, groups = config["num_attention_heads"], config["num_key_value_heads"]
    writer = GGUFWriter(str(path), architecture)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(groups)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(config["hidden_size"] // heads)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(config["vocab_size"])
    letters = sorted(ByteLevel.alphabet())[: config["vocab_size"] - 4]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(["<unk>", "<eos>", "<pad>", *letters, letters[0] + letters[1]])
    writer.add_token_types([3, 3, 3] + [1] * (len(letters) + 1))
    writer.add_token_merges([f"{letters[0]} {letters[1]}"])
    for add, number in (
        (writer.add_unk_token_id, 0),
        (writer.add_eos_token_id, 1),
        (writer.add_bos_token_id, 1),
        (writer.add_pad_token_id, 2),
    ):
        add(number)
    if template:
        writer.add_chat_template(template)
    for name, weight in load_file(Path(folder) / "model.safetensors").items():
        name, array = name.removesuffix(".weight"), weight.float().numpy()
        if name not in _NAMES:
            _, _, layer, part = name.split(".", 3)
            name = f"blk.{layer}.{_PARTS[part]}"
        for part, count in (("attn_q", heads), ("attn_k", groups)):
            if name.endswith(part):
                rows = array.reshape(count, 2, array.shape[0] // count // 2, array.shape[1])
                array = rows.swapaxes(1, 2).reshape(array.shape)
        name = _NAMES.get(name, name)
        if name not in skip:
            writer.add_tensor(f"{name}.weight", np.ascontiguousarray(array))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return Path(path)


def sentencepiece(path, kind="bpe"):
    """Trains a small SentencePiece model with bytes for what it does not know; gives the path."""
    from sentencepiece import SentencePieceTrainer

    written = io.BytesIO()
    corpus = [f"word{n} draw a picture of the quiet harbour at night {n}" for n in range(60)]
    SentencePieceTrainer.train(
        sentence_iterator=iter(corpus),
        model_writer=written,
        vocab_size=290,
        model_type=kind,
        byte_fallback=True,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    Path(path).write_bytes(written.getvalue())
    return Path(path)
