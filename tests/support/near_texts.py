"""Texts that are near to each other, in known ways."""

from __future__ import annotations

import random

LATIN = [a + b + c for a in "bcdfglmnprst" for b in ("ar", "el", "in", "ost") for c in ("", "a", "ic", "on")]
OTHER = [
    "слово",
    "собака",
    "кошка",
    "дом",
    "狗在雪地里",
    "犬",
    "猫が屋根に",
    "καλημέρα",
    "σκύλος",
    "नमस्ते",
    "शहर",
    "شجرة",
    "بيت",
    "ét́",
    "ﬁsh",
]


def texts_of(count: int, seed: int, vocabulary: list[str], *, any_order: bool = False) -> list[str]:
    """Thirds of rows that share most words, shuffled. any_order: their words too."""
    rng = random.Random(seed)
    texts = []
    while len(texts) < count:
        base = [rng.choice(vocabulary) for _ in range(rng.randint(4, 14))]
        for _ in range(3):
            words = list(base)
            for _ in range(rng.randint(0, 2)):
                words[rng.randrange(len(words))] = rng.choice(vocabulary)
            if any_order:
                rng.shuffle(words)
            texts.append(" ".join(words))
    rng.shuffle(texts)
    return texts[:count]


def many_alike(count: int, words: int, seed: int) -> list[str]:
    """Texts of one bucket: each differs from all others by a few of its words."""
    rng = random.Random(seed)
    base = [rng.choice(LATIN) for _ in range(words)]
    texts = []
    for _ in range(count):
        mine = list(base)
        for _ in range(rng.randint(1, 3)):
            mine[rng.randrange(words)] = rng.choice(LATIN) + str(rng.randrange(50))
        texts.append(" ".join(mine))
    return texts
