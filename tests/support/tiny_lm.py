"""A causal language model of 30 kB, built on the spot: random weights, a small tokenizer, safetensors."""

TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}> {{ m.content }} {% endfor %}"
    "{% if add_generation_prompt %}<assistant> {% endif %}"
)


def build(folder, template=TEMPLATE, kind="llama", width=32):
    """Saves a model and its tokenizer into the folder as a user's would lie there; gives the folder."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import (
        GPT2Config,
        GPT2LMHeadModel,
        LlamaConfig,
        LlamaForCausalLM,
        PreTrainedTokenizerFast,
    )

    words = Tokenizer(models.WordLevel(unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    corpus = [f"word{n} draw a picture of the quiet harbour {n}" for n in range(40)]
    words.train_from_iterator(corpus, trainers.WordLevelTrainer(special_tokens=["<unk>", "<eos>", "<pad>"]))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="<unk>", eos_token="<eos>", pad_token="<pad>"
    )
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"vocab_size": len(tokenizer), "eos_token_id": 1, "pad_token_id": 2}
    if kind == "llama":
        config = LlamaConfig(
            hidden_size=width,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=128,
            initializer_range=0.2,
            **sizes,
        )
        model = LlamaForCausalLM(config)
    else:  # learnt positions: left padding has to shift them
        config = GPT2Config(
            n_embd=32, n_layer=2, n_head=4, n_positions=128, initializer_range=0.2, bos_token_id=1, **sizes
        )
        model = GPT2LMHeadModel(config)
    model.save_pretrained(folder)
    return folder
