"""The refusal tokens of a local model: their ids, their probabilities, and rows that go on behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from overt.data.errors import InputError
from overt.data.local.language import LanguageModel, Row
from overt.data.local.writing import write
from overt.data.refusal_gate import Knob
from overt.data.refusal_tokens import Gate, TokenShare
from overt.data.refusal_tokens_file import check_ids, ids_of


class _Tokenizer(Protocol):
    unk_token_id: int | None

    def encode(self, text: str) -> list[int]: ...


class TokenGate:
    """Reads the probabilities of refusal tokens, and puts tokens behind rows.

    Args:
        name: the model, for messages.
    """

    def __init__(self, name: str, knob: Knob) -> None:
        self.knob = knob
        self._name = name
        self._ids: dict[str, int] = {}
        self._added: list[str] = []

    def read(self, tokenizer: _Tokenizer) -> None:
        """Finds the ids of the tokens; called before the weights are loaded.

        Raises:
            InputError: a token is not one id of this tokenizer, or two share one.
        """
        tokens = self.knob.tokens
        try:
            found = ids_of(tokens, lambda text: list(tokenizer.encode(text)))
        except ValueError as error:
            raise InputError(f"{self._name}: {error}") from error
        self._ids = dict(check_ids(found, tokens, self._name))
        unknown = [name for name, id_ in self._ids.items() if id_ == tokenizer.unk_token_id]
        if unknown:
            raise InputError(
                f"{self._name}: its tokenizer does not know the token {tokens.all[unknown[0]]!r}",
                fix="Train the model with these tokens added to its tokenizer, blanks included.",
            )
        added = getattr(tokenizer, "added_tokens_decoder", {})
        self._added = [added[id_].content for id_ in self._ids.values() if id_ in added]

    def settle(self, language: LanguageModel) -> None:
        """Checks that the loaded model knows the tokens, and keeps prompts from speaking them.

        Raises:
            InputError: the tokenizer has tokens that the model has not.
        """
        beyond = [name for name, id_ in self._ids.items() if id_ >= language.vocabulary]
        if beyond:
            text = self.knob.tokens.all[beyond[0]]
            raise InputError(
                f"{self._name}: its tokenizer has the token {text!r}, and the model has no row for it",
                fix="Resize the model's embeddings to its tokenizer before it is trained.",
            )
        controls = {*language.controls, *self._added}
        language.controls = sorted(controls, key=len, reverse=True)

    def look(self, language: LanguageModel, rows: Sequence[Row]) -> list[Gate]:
        """What the rule makes of each row: one forward pass, and the softmax over the whole vocabulary in
        float32."""
        gates = []
        for written in write(language, rows, [1] * len(rows), with_logits=True):
            assert written.logits is not None
            shares = written.logits[0].float().softmax(-1)
            most = int(shares.argmax())
            own = next((name for name, id_ in self._ids.items() if id_ == most), "")
            found = [TokenShare(name, float(shares[id_])) for name, id_ in self._ids.items()]
            gates.append(self.knob.gate(found, own))
        return gates

    def behind(self, language: LanguageModel, row: Row, token: str) -> Row:
        """The row with a token at its end; the row itself for "".

        Raises:
            ValueError: the processor of a vision-language model reads the token otherwise.
        """
        if not token:
            return row
        longer = [*row.tokens, self._ids[token]]
        if row.sight is None or language.eyes is None:
            return replace(row, tokens=longer)
        sight = replace(row.sight, text=row.sight.text + self.knob.tokens.all[token])
        if language.eyes.tokens(sight) != longer:
            raise ValueError(
                f"the model's processor does not read {self.knob.tokens.all[token]!r} as one token"
            )
        return replace(row, tokens=longer, sight=sight)
