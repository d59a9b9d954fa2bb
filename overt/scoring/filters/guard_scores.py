"""The scores of guards: the probability of the unsafe word, by the rule that a guard's makers document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from overt.data.local.writing import Written

if TYPE_CHECKING:
    import torch

_TOP = 20
_SPELLINGS = ("{}", " {}")


class WordTokens:
    """The first tokens of a guard's words, in the spellings that it may write.

    Args:
        tokenizer: the guard's.
        unsafe, safe: the words as they are documented. Their places go together: "unsafe,yes" and "safe,no".
        any_case: whether capitals may differ.
    """

    def __init__(
        self, tokenizer: Any, unsafe: Sequence[str], safe: Sequence[str], *, any_case: bool = False
    ) -> None:
        self._tokenizer = tokenizer
        self.pairs: list[tuple[int, int]] = []  # unsafe and safe, in the same spelling
        for place, word in enumerate(unsafe):
            other = safe[min(place, len(safe) - 1)]
            self._add(word, other, any_case)
        for word in safe[len(unsafe) :]:
            self._add(unsafe[-1], word, any_case)

    def _add(self, unsafe: str, safe: str, any_case: bool) -> None:
        for change in (str, str.lower, str.capitalize, str.upper) if any_case else (str,):
            for spelling in _SPELLINGS:
                pair = tuple(self._first(spelling.format(change(word))) for word in (unsafe, safe))
                if None not in pair and pair[0] != pair[1] and pair not in self.pairs:
                    self.pairs.append((int(pair[0] or 0), int(pair[1] or 0)))

    def _first(self, word: str) -> int | None:
        """The first token of a word that is not blank; None if the tokenizer does not know it."""
        ids = self._tokenizer(word, add_special_tokens=False)["input_ids"]
        first = next((int(i) for i in ids if str(self._tokenizer.decode([i])).strip()), None)
        return None if first == self._tokenizer.unk_token_id else first

    def pair_of(self, token: int) -> tuple[int, int] | None:
        """The pair that a written token belongs to; None if it is in none, or stands for both words."""
        found = [pair for pair in self.pairs if token in pair]
        sides = {pair.index(token) for pair in found}
        return found[0] if len(sides) == 1 else None


def first_token(written: Written, words: WordTokens) -> float | None:
    """P(unsafe): the probability of the unsafe word's token, of all tokens, at the first token that is not
    blank. None if that token is neither word.

    Source: the cards of Llama Guard 1, 2 and 3 ("the probability for the first token").
    """
    at = _verdict(written, words)
    return None if at is None else float(at[0].softmax(0)[at[1][0]])


def spelled(written: Written, words: WordTokens) -> float | None:
    """exp(u) / (exp(u) + exp(s)) of the two words' logits u and s, in the spelling that the guard wrote."""
    at = _verdict(written, words)
    return None if at is None else float(at[0][list(at[1])].softmax(0)[0])


def pair(written: Written, unsafe: int, safe: int) -> float | None:
    """exp(u) / (exp(u) + exp(s)) of exactly two tokens' logits behind the prompt.

    Source: the card of ShieldGemma.
    """
    if written.logits is None or not len(written.logits):
        return None
    return float(written.logits[0][[unsafe, safe]].softmax(0)[0])


def top_spellings(written: Written, tokenizer: Any, unsafe: str, safe: str) -> float | None:
    """U / (U + S), with the summed probabilities U and S of all tokens that spell a word, whatever the case,
    among the 20 likeliest of each written token. None if there are none.

    Source: `get_probabilities` in the cookbooks of Granite Guardian 3.0 and 3.1.
    """
    if written.logits is None:
        return None
    sums = {unsafe.casefold(): 0.0, safe.casefold(): 0.0}
    for row in written.logits[: len(written.tokens)]:
        likeliest = row.softmax(0).topk(min(_TOP, row.shape[0]))
        for share, token in zip(likeliest.values.tolist(), likeliest.indices.tolist(), strict=True):
            text = str(tokenizer.decode([token])).strip().casefold()
            if text in sums:
                sums[text] += share
    whole = sum(sums.values())
    return sums[unsafe.casefold()] / whole if whole else None


def _verdict(written: Written, words: WordTokens) -> tuple[torch.Tensor, tuple[int, int]] | None:
    """The logits at the first token that is not blank, and the pair of words that it belongs to."""
    for step, token in enumerate(written.tokens):
        if str(words._tokenizer.decode([token])).strip():
            found = words.pair_of(token)
            return None if found is None or written.logits is None else (written.logits[step], found)
    return None
