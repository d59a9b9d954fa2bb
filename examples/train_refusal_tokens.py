r"""Trains a chat model on the rows that `overt export` wrote, with TRL: refusal tokens, ReSA or plain rows.

    pip install "overt[local,train]"
    overt export RUN --format refusal-tokens --answers MODEL --out data
    python examples/train_refusal_tokens.py data/dataset ORG/MODEL --out model
    overt run SUITE --target "hf/model?refusal_tokens=model/tokens.json&threshold=0.5"

The tokens of a folder with a tokens.json become new rows of the vocabulary; a folder without one (`--format
resa`, `sft`) is plain supervised fine-tuning. Copy this file and change what you need: docs/howto/train.md
says why each setting is what it is.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed

from overt.data.errors import OvertError
from overt.data.refusal_tokens import REFUSE, RESPOND, Tokens
from overt.data.refusal_tokens_file import TOKENS_FILE, check_ids, ids_of, read_tokens

# What the new rows start from: words that answers begin with. A row that starts at the mean of all others
# gives its token next to no probability.
ANSWERS_BEGIN, REFUSALS_BEGIN = "Sure", "Sorry"


def load(source: str) -> tuple[Any, Any]:
    """The tokenizer and the model in float32, of the Hub, a folder, or a GGUF file (overt[quantized])."""
    path = Path(source)
    place: dict[str, Any] = {}
    if path.suffix == ".gguf":
        source, place = str(path.parent), {"gguf_file": path.name}
    tokenizer = AutoTokenizer.from_pretrained(source, **place)
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32, **place)
    if quantizer := getattr(model, "hf_quantizer", None):
        quantizer.remove_quantization_config(
            model
        )  # the weights are plain numbers now, and are saved as such
    return tokenizer, model


# -- the new tokens -----------------------------------------------------------------------------------------


def words_of(name: str) -> str:
    """The words that a token's row starts from, by the token's name."""
    if name == RESPOND:
        return ANSWERS_BEGIN
    return REFUSALS_BEGIN if name == REFUSE else f"{REFUSALS_BEGIN} {name.replace('_', ' ')}"


def add_tokens(model: Any, tokenizer: Any, tokens: Tokens, *, mean_start: bool = False) -> dict[str, int]:
    """Adds the tokens to the tokenizer and their rows to the model's matrices. Returns their ids by name.

    Args:
        mean_start: rows start at the mean of all others, as most libraries do it: only to see what that does.

    Raises:
        InputError: the tokenizer still does not have each token as one id of its own.
    """
    from tokenizers import AddedToken

    def piece(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False))

    started = {name: piece(words_of(name)) for name in tokens.all}
    known = len(tokenizer)
    tokenizer.add_tokens(
        # A special token is left out when the model's answer is made a text. Its blank belongs to it.
        [AddedToken(text, normalized=False, special=True) for text in tokens.all.values()],
        special_tokens=True,
    )
    ids = dict(check_ids(ids_of(tokens, piece), tokens, "the tokenizer"))
    embeddings = model.get_input_embeddings()
    if len(tokenizer) > embeddings.weight.shape[0]:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    with torch.no_grad():
        for matrix in matrices(model):
            mean = matrix[:known].mean(0)
            for name, id_ in ids.items():
                matrix[id_] = mean if mean_start else matrix[started[name]].mean(0)
    return ids


def matrices(model: Any) -> list[torch.nn.Parameter]:
    """The matrices of the vocabulary: one where input and output share it ("tied"), else two."""
    first, last = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    return [first] if first is last else [first, last]


def token_shares(logits: torch.Tensor, ids: Mapping[str, int]) -> dict[str, torch.Tensor]:
    """Each token's probability over the whole vocabulary.

    Args:
        logits: (n, vocabulary), at the place where the answer begins.

    Returns:
        float32 of shape (n,), by name.
    """
    chances = torch.softmax(logits.float(), dim=-1)
    return {name: chances[:, id_] for name, id_ in ids.items()}


# -- the rows -----------------------------------------------------------------------------------------------


def read_rows(folder: Path, split: str) -> list[dict[str, Any]]:
    """The rows of a split; none where the file does not exist."""
    path = folder / f"{split}.jsonl"
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]


def encoded(rows: Iterable[Mapping[str, Any]], tokenizer: Any, most: int) -> list[dict[str, list[int]]]:
    """Rows as TRL takes them when they are tokens already: `input_ids`, and a mask of what is learnt.

    They are made here, since many chat templates strip an answer: a token's leading blank would be lost, and
    with it the token. So its place is the first one behind the template's opening of an answer, where overt
    reads its probability.

    Args:
        most: tokens of a row; a longer answer is cut, and a row without room for its answer is left out.
    """
    done = []
    for row in rows:
        prompt = tokenizer.apply_chat_template(
            list(row["prompt"]), add_generation_prompt=True, tokenize=True, return_dict=False
        )
        answer = tokenizer.encode(row["completion"][0]["content"], add_special_tokens=False)
        ids = [*prompt, *answer, tokenizer.eos_token_id][:most]
        if len(ids) > len(prompt):
            mask = [0] * len(prompt) + [1] * (len(ids) - len(prompt))
            done.append({"input_ids": list(ids), "completion_mask": mask})
    return done


# -- training -----------------------------------------------------------------------------------------------


def choose_weights(model: Any, upper: int, new: Sequence[int]) -> tuple[list[Any], list[Any]]:
    """Says what learns: the upper layers (0: all of them), and of the vocabulary the new rows alone.

    Returns:
        The layers' weights, and the matrices of the vocabulary. The gradient of all old rows is zero, so that
        Adam without weight decay leaves them as they are.
    """
    model.requires_grad_(False)
    layers = model.get_decoder().layers
    body = [weight for layer in layers[-upper if upper else 0 :] for weight in layer.parameters()]
    for weight in body:
        weight.requires_grad_(True)
    rows = matrices(model) if new else []
    for matrix in rows:
        matrix.requires_grad_(True)
        keep = torch.zeros(matrix.shape[0], 1, dtype=matrix.dtype)
        keep[list(new)] = 1
        matrix.register_hook(lambda grad, keep=keep: grad * keep.to(grad.device))
    return body, rows


def train(model: Any, tokenizer: Any, rows: list[dict[str, list[int]]], args: argparse.Namespace) -> None:
    """Trains in place with TRL's SFTTrainer.

    LoRA is not used: with `trainable_token_indices` it fails on models whose two matrices are tied.
    """
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    body, matrix = choose_weights(model, args.upper, list(args.ids.values()))
    groups = [{"params": body, "lr": args.lr}, {"params": matrix, "lr": args.token_lr}]
    on_cpu = args.cpu or not torch.cuda.is_available()
    config = SFTConfig(
        output_dir=str(args.out),
        num_train_epochs=args.epochs,
        per_device_train_batch_size=args.batch,
        learning_rate=args.lr,
        lr_scheduler_type="cosine",
        warmup_steps=round(0.1 * args.epochs * len(rows) / args.batch),
        completion_only_loss=True,
        max_length=None,  # rows are cut already
        seed=args.seed,
        use_cpu=on_cpu,
        # SFTConfig turns both on, which only serves GPUs.
        bf16=not on_cpu,
        gradient_checkpointing=not on_cpu,
        report_to="none",
        save_strategy="no",
        logging_steps=10,
    )
    SFTTrainer(
        model=model,
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        optimizers=(torch.optim.AdamW([g for g in groups if g["params"]], weight_decay=0.0), None),
    ).train()


def mean_mass(model: Any, rows: Iterable[Mapping[str, list[int]]], ids: Mapping[str, int]) -> float:
    """The probability of all tokens together where an answer begins, as a mean over the rows. Far below 1 the
    model does not use its tokens, however good the loss looks."""
    found = []
    model.eval()
    with torch.inference_mode():
        for row in rows:
            prompt = row["input_ids"][: row["completion_mask"].index(1)]
            logits = model(input_ids=torch.tensor([prompt], device=model.device)).logits[:, -1]
            found.append(sum(float(share[0]) for share in token_shares(logits, ids).values()))
    return sum(found) / len(found)


def save(model: Any, tokenizer: Any, out: Path) -> None:
    """Saves what `hf/FOLDER` loads: safetensors, config and tokenizer."""
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "data", type=Path, help="the folder `dataset` of an export: train.jsonl, tokens.json ..."
    )
    parser.add_argument("model", help="a chat model: a Hub id, a folder, or a GGUF file")
    parser.add_argument("--out", type=Path, required=True, help="where the trained model goes")
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--lr", type=float, default=2e-5, help="of the layers")
    parser.add_argument("--token-lr", type=float, default=3e-3, help="of the new rows")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--upper", type=int, default=0, help="train the upper N layers only; 0: all")
    parser.add_argument("--max-tokens", type=int, default=1024, help="of a row; longer answers are cut")
    parser.add_argument("--mean-start", action="store_true", help="new rows start at the mean of all rows")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cpu", action="store_true", help="although there is a GPU")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> None:
    args = arguments(words)
    set_seed(args.seed)
    described = args.data / TOKENS_FILE
    try:
        tokens = read_tokens(described) if described.is_file() else None
        tokenizer, model = load(args.model)
        args.ids = add_tokens(model, tokenizer, tokens, mean_start=args.mean_start) if tokens else {}
    except OvertError as error:
        raise SystemExit(str(error)) from None
    rows = {split: read_rows(args.data, split) for split in ("train", "validation")}
    ready = {split: encoded(found, tokenizer, args.max_tokens) for split, found in rows.items()}
    for split, found in rows.items():
        cut = f", {less} without room for an answer" if (less := len(found) - len(ready[split])) else ""
        print(f"{split}: {len(ready[split])} rows{cut}")
    if not ready["train"]:
        raise SystemExit(f"{args.data}: no row of train.jsonl can be used")
    random.Random(args.seed).shuffle(ready["train"])
    train(model, tokenizer, ready["train"], args)
    save(model, tokenizer, args.out)
    if tokens:
        shutil.copyfile(described, args.out / TOKENS_FILE)
        held_out = ready["validation"][:200] or ready["train"][:200]
        print(f"token mass where answers begin: {mean_mass(model, held_out, args.ids):.3f} (1 is all)")
    print(f"saved in {args.out}")


if __name__ == "__main__":
    main()
