"""Trains the upper layers of a decoder on what its lower layers gave once.

The lower layers and the matrix of the vocabulary do not learn, so what they make of a row never changes: it
is kept. New tokens keep their rows of the input matrix as `add_tokens` started them; their rows of the output
are trained apart, so the model is saved with two matrices ("untied").
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from train_refusal_tokens import encoded, token_shares

BATCH = 8
LOWER_BATCH = 16


@dataclass(frozen=True)
class Kept:
    """A row behind the lower layers: its ids, how many of them are the prompt's, and the hidden states of all
    of them, float32 (len(ids), width)."""

    ids: list[int]
    prompt: int
    hidden: torch.Tensor


def batches(rows: Sequence[Any], size: int, length: Any) -> Iterator[list[int]]:
    """The places of rows in batches of about one length."""
    order = sorted(range(len(rows)), key=lambda n: (length(rows[n]), n))
    for start in range(0, len(order), size):
        yield order[start : start + size]


def padded(states: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """(batch, longest, width), filled on the right, and its mask. Attention is causal: what fills the end of
    a row changes nothing before."""
    hidden = torch.nn.utils.rnn.pad_sequence(list(states), batch_first=True)
    lengths = torch.tensor([len(one) for one in states])
    return hidden, (torch.arange(hidden.shape[1])[None] < lengths[:, None]).long()


class Parts:
    """A model of the Llama kind in two parts.

    Args:
        ids: of the new tokens by name; their rows are in both matrices already (`add_tokens`). Empty: none.
        upper: how many layers are trained.
    """

    def __init__(self, model: Any, tokenizer: Any, ids: Mapping[str, int], *, upper: int) -> None:
        self.model, self.tokenizer, self.ids, self.count = model.eval(), tokenizer, ids, upper
        model.requires_grad_(False)

    def run_lower(self, rows: Sequence[tuple[str, str]], most: int) -> list[Kept]:
        """
        Args:
            rows: (prompt, token + answer).
            most: tokens of an answer, with the one before it.
        """
        chats = [
            {"prompt": [{"role": "user", "content": p}], "completion": [{"content": a}]} for p, a in rows
        ]
        made = encoded(chats, self.tokenizer, 4096)
        prompts = [row["completion_mask"].index(1) for row in made]
        ids = [row["input_ids"][: n + most] for row, n in zip(made, prompts, strict=True)]
        lower = copy.copy(self.model.model)
        lower._modules = {**self.model.model._modules}
        lower.layers = self.model.model.layers[: -self.count]
        lower.norm = torch.nn.Identity()
        kept: dict[int, Kept] = {}
        with torch.inference_mode():
            for places in batches(ids, LOWER_BATCH, len):
                filled, mask = padded([torch.tensor(ids[n])[:, None] for n in places])
                hidden = lower(
                    input_ids=filled[:, :, 0], attention_mask=mask, use_cache=False
                ).last_hidden_state
                for row, n in enumerate(places):
                    kept[n] = Kept(ids[n], prompts[n], hidden[row, : len(ids[n])].clone())
        return [kept[n] for n in range(len(ids))]

    def fresh(self) -> Upper:
        """The upper layers as they were before any training."""
        return Upper(self)


class Upper:
    """The upper layers with the output, while they learn."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        whole = parts.model.model
        self.body = copy.copy(whole)
        self.body._modules = {**whole._modules}
        self.body.layers = copy.deepcopy(whole.layers[-parts.count :])
        self.body.norm = copy.deepcopy(whole.norm)
        self.learnt = [*self.body.layers.parameters(), *self.body.norm.parameters()]
        for weight in self.learnt:
            weight.requires_grad_(True)
        self.output = parts.model.get_output_embeddings().weight.detach()
        self.places = list(parts.ids.values())
        self.new = torch.nn.Parameter(self.output[self.places].clone())

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """(n, width) -> (n, vocabulary)."""
        old = states @ self.output.T
        if not self.places:
            return old
        columns = torch.tensor(self.places).expand(len(states), -1)
        return old.scatter(1, columns, states @ self.new.T)

    def _states(self, rows: Sequence[torch.Tensor]) -> torch.Tensor:
        hidden, mask = padded(rows)
        return self.body(inputs_embeds=hidden, attention_mask=mask, use_cache=False).last_hidden_state

    def train(self, rows: Sequence[Kept], epochs: int, lr: float, token_lr: float, seed: int) -> list[float]:
        """Trains on token + answer, each batch's mean over all its tokens as in plain fine-tuning.

        Returns:
            The mean loss of each epoch.
        """
        rates = [lr, token_lr]
        optimizer = torch.optim.AdamW(
            [{"params": self.learnt, "lr": lr}, {"params": [self.new], "lr": token_lr}], weight_decay=0.0
        )
        dice = random.Random(seed)
        steps, done, losses = epochs * -(-len(rows) // BATCH), 0, []
        for _ in range(epochs):
            groups = list(batches(rows, BATCH, lambda row: len(row.ids)))
            dice.shuffle(groups)
            total = 0.0
            for places in groups:
                chosen = [rows[n] for n in places]
                states = self._states([row.hidden[:-1] for row in chosen])
                answers = torch.cat(
                    [states[n, row.prompt - 1 : len(row.ids) - 1] for n, row in enumerate(chosen)]
                )
                wanted = torch.tensor([id_ for row in chosen for id_ in row.ids[row.prompt :]])
                loss = torch.nn.functional.cross_entropy(self.logits(answers), wanted)
                loss.backward()
                torch.nn.utils.clip_grad_norm_([*self.learnt, self.new], 1.0)
                done += 1
                for group, full in zip(optimizer.param_groups, rates, strict=True):
                    group["lr"] = full * min(1.0, done / (0.1 * steps), (steps - done + 1) / (0.9 * steps))
                optimizer.step()
                optimizer.zero_grad()
                total += loss.item() * len(chosen)
            losses.append(round(total / len(rows), 3))
        return losses

    def shares(self, rows: Sequence[Kept]) -> dict[str, np.ndarray[Any, Any]]:
        """Each token's probability where the answer of each row begins, in one pass."""
        found = {name: np.zeros(len(rows)) for name in self._parts.ids}
        with torch.inference_mode():
            for places in batches(rows, LOWER_BATCH, lambda row: row.prompt):
                states = self._states([rows[n].hidden[: rows[n].prompt] for n in places])
                last = torch.stack([states[k, rows[n].prompt - 1] for k, n in enumerate(places)])
                for name, chances in token_shares(self.logits(last), self._parts.ids).items():
                    found[name][places] = chances.numpy()
        return found

    def assembled(self) -> Any:
        """The whole model with what was learnt, and a matrix of its own for the output."""
        whole = copy.deepcopy(self._parts.model)
        first = len(whole.model.layers) - self._parts.count
        for place, layer in enumerate(self.body.layers):
            whole.model.layers[first + place] = copy.deepcopy(layer)
            whole.model.layers[first + place].self_attn.layer_idx = first + place
        whole.model.norm = copy.deepcopy(self.body.norm)
        output = self.output.clone()
        output[self.places] = self.new.detach()
        whole.config.tie_word_embeddings = False
        whole.lm_head.weight = torch.nn.Parameter(output, requires_grad=False)
        return whole.eval().requires_grad_(False)


def written_by(model: Any, tokenizer: Any, texts: Sequence[str], most: int) -> Iterator[str]:
    """What a whole model answers, greedily, in batches filled on the left."""
    end = tokenizer.eos_token_id
    for start in range(0, len(texts), BATCH):
        rows = [
            tokenizer.apply_chat_template(
                [{"role": "user", "content": text}], add_generation_prompt=True, return_dict=False
            )
            for text in texts[start : start + BATCH]
        ]
        longest = max(map(len, rows))
        ids = torch.tensor([[end] * (longest - len(row)) + row for row in rows])
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
        with torch.inference_mode():
            done = model.generate(
                input_ids=ids, attention_mask=mask, max_new_tokens=most, do_sample=False, pad_token_id=end
            )
        yield from tokenizer.batch_decode(done[:, longest:], skip_special_tokens=True)
