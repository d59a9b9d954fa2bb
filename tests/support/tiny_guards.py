"""Guards of 200 kB that say what a script tells them to. Nothing is trained: the weights are set by hand.

A model of one layer: each token is a direction, attention looks for bad words, and the output goes from one
token of a script to the next. Bad words choose among scripts.
"""

from itertools import pairwise

from support.tiny_filters import BAD, CALM, words_tokenizer

_STEP, _PREFERENCE, _TURN = 40.0, 4.0, 8.0


def tokenizer_for(chunks, template, controls=(), words=()):
    """A tokenizer that knows each chunk of a reply, and each control token, as one token."""
    tokenizer = words_tokenizer([*words, *CALM, *BAD])
    tokenizer.add_special_tokens({"additional_special_tokens": list(controls)})
    known = tokenizer.get_vocab()
    tokenizer.add_tokens([chunk for chunk in dict.fromkeys(chunks) if chunk not in known])
    tokenizer.chat_template = template
    return tokenizer


def build_scripted(
    folder, template, safe, unsafe, *, ends_with, controls=(), near=(), words=(), context=1024, broken=False
):
    """Saves a guard that answers `safe`, and `unsafe[word]` to a text with that bad word; gives the folder.

    safe: chunks of a reply. unsafe: bad word -> chunks. ends_with: what the model reads, for any text; its
    last token starts the script. near: (chunk, share) pairs: other tokens that are nearly as likely at the
    start, with this part of the likeliest one's logit. broken: some of its weights are NaN.
    """
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    scripts = {None: safe, **unsafe}
    chunks = [chunk for script in scripts.values() for chunk in script] + [chunk for chunk, _ in near]
    tokenizer = tokenizer_for(chunks, template, controls, words)
    ids = tokenizer.convert_tokens_to_ids
    size = len(tokenizer) + len(BAD)
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(tokenizer),
            n_embd=size,
            n_layer=1,
            n_head=1,
            n_inner=4,
            n_positions=context,
            eos_token_id=1,
            bos_token_id=1,
            pad_token_id=2,
            tie_word_embeddings=False,
        )
    )
    flags = {word: len(tokenizer) + n for n, word in enumerate(BAD)}
    scale = size**0.5
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.fill_(1.0 if name.endswith((".ln_1.weight", ".ln_2.weight", "ln_f.weight")) else 0.0)
        wte, block = model.transformer.wte.weight, model.transformer.h[0].attn
        for token in range(len(tokenizer)):
            wte[token, token] = 1.0
        block.c_attn.bias[0] = 1.0  # the query
        for word, flag in flags.items():
            block.c_attn.weight[ids(word), size] = 30.0  # the key
            block.c_attn.weight[ids(word), 2 * size + flag] = 1.0 / scale  # the value
            block.c_proj.weight[flag, flag] = float("nan") if broken else 1.0
        start = tokenizer(ends_with, add_special_tokens=False)["input_ids"][-1]
        head = model.lm_head.weight
        for word, script in scripts.items():
            steps = [start, *map(ids, script), tokenizer.eos_token_id]
            for here, there in pairwise(steps):
                head[there, here] = (_STEP + (_PREFERENCE if word is None else 0.0)) / scale
            own = set(steps) - {s for w, other in scripts.items() if w != word for s in map(ids, other)}
            for token in own - {start, tokenizer.eos_token_id}:
                for flagged in unsafe:
                    head[token, flags[flagged]] = (_TURN if flagged == word else -_TURN) / scale
        for chunk, share in near:
            head[ids(chunk), start] = share * _STEP / scale
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


# The shape of each family's chat template, shortened: what it holds, and where the text stands in it.
_TEXT = "{{ messages[0]['content'] | trim }}"
_PARTS = (
    "{% for p in messages[0]['content'] | selectattr('type', 'equalto', 'text') %}{{ p['text'] }}{% endfor %}"
)
_LLAMA = (
    "Task: Check if there is unsafe content in 'User' messages.\n<BEGIN UNSAFE CONTENT CATEGORIES>\n"
    "S1: One.\n<END UNSAFE CONTENT CATEGORIES>\n<BEGIN CONVERSATION>\nUser: TEXT\n<END CONVERSATION>\n"
    "- First line must read 'safe' or 'unsafe'.\n- If unsafe, a second line lists the categories. "
)
_TURNS = (
    "{% for m in messages %}<|{{ m['role'] }}|> {{ m['content'] }} {% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
TEMPLATES = {
    "llama 1": f"[INST] {_LLAMA.replace('TEXT', _TEXT)}[/INST]",
    "llama 3": f"<|user|>{_LLAMA.replace('TEXT', _TEXT)}<|assistant|>",
    "llama parts": f"<|user|>{_LLAMA.replace('TEXT', _PARTS)}<|assistant|>",
    "shieldgemma": "You are a policy expert trying to help determine whether a user prompt is in violation.\n"
    f"Human Question: {_TEXT}\nOur safety principle: {{{{ guideline | trim }}}}\n"
    "{% if not guideline %}{{ raise_exception('a guideline is needed') }}{% endif %}Is it? Answer: ",
    "granite": "{% set risk = guardian_config['risk_name'] if guardian_config else 'harm' %}<|user|>User "
    f"Message: {_TEXT} Risk: {{{{ risk }}}} <|assistant|>",
    "granite 3.3": "{% set risk = guardian_config['criteria_id'] if guardian_config else 'harm' %}<|user|>"
    f"{_TEXT} <guardian> {{{{ risk }}}} {{{{ 'think' if think else 'no' }}}} <|assistant|>",
    "qwen": f"<|user|>Classify. Safety: Safe, Unsafe, Controversial. USER: {_TEXT} <|assistant|>",
    "categories": "{% if not request_categories %}{{ raise_exception('lost') }}{% endif %}"
    f"<|user|> {_TEXT} User Safety <|assistant|>",
    "turns": _TURNS,
    "thinks": _TURNS.replace("<|assistant|>{% endif", "<|assistant|><think>{% endif"),
}
CONTROLS = ("<|user|>", "<|assistant|>", "<|system|>")


def build_random(folder, kind, template, chunks, controls=CONTROLS):
    """Saves a guard of the family's own class with random weights: `kind` names a model of transformers."""
    import torch
    import transformers

    tokenizer = tokenizer_for(chunks, template, controls)
    sizes = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 1024,
        "initializer_range": 0.3,
        "eos_token_id": 1,
        "bos_token_id": 1,
        "pad_token_id": 2,
    }
    if kind in ("GptOss", "GraniteMoe"):
        sizes |= {"num_local_experts": 2, "num_experts_per_tok": 1}
    config = getattr(transformers, "Gemma3TextConfig" if kind == "Gemma3" else f"{kind}Config")(**sizes)
    torch.manual_seed(0)
    model = getattr(transformers, f"{kind}ForCausalLM")(config)
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return folder
