"""The form in which answers and prompts are compared: lower case, single blanks, the stops of all scripts."""

from __future__ import annotations

import re
from functools import lru_cache

from overt.scoring.refusal_judges.vocabulary import vocabulary

# One character for one, all ASCII: then `translate` is quick. Quotation marks get a space on either side, as
# every pattern begins after a space.
_PLAIN = str.maketrans("*_#[]", "   ()")
# Stops of scripts other than Latin, and stops that no blank follows (scripts without blanks).
_STOP = {
    "。": ". ", "｡": ". ", "、": ", ", "।": ". ", "॥": ". ", "؟": "? ",
    "،": ", ", "؛": "; ", "۔": ". ", "·": " ",
}  # fmt: skip
_STOPS = re.compile("[" + "".join(_STOP) + "]")
_CLOSE = re.compile(r"([!?,:;~])(?=[^\x00-\x7f])")
_BEHIND_A_WORD = '.,;:!?)"'  # what may stand behind a word
ENDS = re.compile(r"[.!?:](?= )")  # full stops of sentences in a plain text


def plain(text: str) -> str:
    """Normalises a folded text: lower case, single blanks, a blank before every word, no emphasis."""
    text = text.lower()
    if not text.isascii():
        text = _STOPS.sub(lambda stop: _STOP[stop[0]], text)
        text = _CLOSE.sub(r"\1 ", text)
    text = text.translate(_PLAIN).replace('"', ' " ').replace("(", " ( ")
    words = text.split()
    if "'" in text:
        words = [_spelled(word) if "'" in word else word for word in words]
    return " ".join(words)


@lru_cache(maxsize=4096)
def _spelled(word: str) -> str:
    """Spells the contractions in a word out. Cached, since there are few."""
    core = word.rstrip(_BEHIND_A_WORD)
    spelled = core + " "
    for short, long in vocabulary().contractions:
        spelled = spelled.replace(short, long)
    return spelled.rstrip() + word[len(core) :]
