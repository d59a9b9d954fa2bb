"""A tiny language model with refusal tokens, as training leaves it: tokenizer, embeddings, file."""

from overt.data.refusal_tokens_file import write_tokens


def with_tokens(folder, tokens, *, special=False, lift=0.0):
    """Adds tokens to the model of a folder (`tiny_lm.build`), and writes tokens.json there; gives its path.

    Args:
        lift: what is added to the scores of the tokens, so that the model uses them.
    """
    import torch
    from transformers import AddedToken, AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = list(tokens.all.values())
    tokenizer.add_tokens([AddedToken(text, normalized=False, special=special) for text in texts])
    tokenizer.save_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    torch.manual_seed(1)
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    head = model.get_output_embeddings().weight
    with torch.no_grad():
        rows = head[-len(texts) :]
        rows.normal_(0, 0.2)
        if lift:  # along the state behind such a prompt
            ids = tokenizer("<user> word1 <assistant> ", return_tensors="pt")["input_ids"]
            state = model.base_model(ids).last_hidden_state[0, -1]
            rows += lift * state / state.norm() ** 2
    model.save_pretrained(folder)
    path = folder / "tokens.json"
    write_tokens(path, tokens)
    return path
