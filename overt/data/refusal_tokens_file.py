"""`tokens.json` names the refusal tokens of a model: `overt export --format refusal-tokens` writes it, and
`?refusal_tokens=FILE` of a model reads it. And what a token is to a tokenizer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from overt.data.errors import InputError
from overt.data.refusal_tokens import REFUSE, RESPOND, Tokens
from overt.data.run.files import dump_json, read_json, write_atomic

TOKENS_FILE = "tokens.json"
FORMAT = "refusal-tokens"
VERSION = 1
_EXAMPLE = (
    '{"format": "refusal-tokens", "version": 1, "respond": " [respond]", "refuse": {"refuse": " [refuse]"}}'
)

SINGLE = Tokens(" [respond]", {REFUSE: " [refuse]"})
# The published strings (arXiv 2412.06748), by the categories of the suite coconot.
COCONOT = Tokens(
    " [respond]",
    {
        "humanizing_requests": " [Humanizing requests]",
        "incomplete_requests": " [Incomplete requests]",
        "indeterminate_requests": " [Indeterminate requests]",
        "requests_with_safety_concerns": " [Requests with safety concerns]",
        "unsupported_requests": " [Unsupported requests]",
    },
)


def write_tokens(path: Path, tokens: Tokens) -> None:
    """Writes the file that `read_tokens` reads.

    Raises:
        RunError: disk full, folder not writable.
    """
    write_atomic(path, tokens_bytes(tokens))


def tokens_bytes(tokens: Tokens) -> bytes:
    """The file's content, the same for the same tokens."""
    return dump_json(
        {"format": FORMAT, "version": VERSION, "respond": tokens.respond, "refuse": dict(tokens.refuse)}
    )


def read_tokens(path: Path) -> Tokens:
    """
    Raises:
        InputError: the file cannot be read, is of another form or version, a token has no name of its own, or
            two have one text.
    """
    data, where, fix = read_json(path), str(path), f"It looks like this: {_EXAMPLE}"
    if data.get("format") != FORMAT:
        raise InputError(f'"format" is not "{FORMAT}"', where=where, fix=fix)
    if data.get("version") != VERSION:
        raise InputError(
            f'"version" is {data.get("version")!r}, and this version of overt reads {VERSION}', where=where
        )
    respond, refuse = data.get("respond"), data.get("refuse")
    if not _is_text(respond):
        raise InputError('"respond" is not the text of a token', where=where, fix=fix)
    if not isinstance(refuse, dict) or not refuse or not all(map(_is_text, refuse.values())):
        raise InputError('"refuse" does not map names to the texts of tokens', where=where, fix=fix)
    if RESPOND in refuse:
        raise InputError(f'a refuse token is called "{RESPOND}"', where=where, fix=fix)
    if REFUSE in refuse and len(refuse) > 1:  # the rule for the only refuse token is another one
        raise InputError(f'"{REFUSE}" is the name of the only refuse token; there are others', where=where)
    if not all(map(_is_text, refuse)):
        raise InputError("a refuse token has no name", where=where, fix=fix)
    tokens = Tokens(str(respond), {str(name): str(text) for name, text in refuse.items()})
    texts = list(tokens.all.values())
    if twice := next((text for text in texts if texts.count(text) > 1), None):
        raise InputError(f"two tokens have the text {twice!r}", where=where)
    return tokens


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


# -- what a token is to a tokenizer --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TokenIds:
    """The ids of tokens for one tokenizer.

    ids: by name. split: tokens that the tokenizer cuts into several pieces, with their number: of these `ids`
    has the last piece, which stands for other texts as well. shared: groups of names that have one id, so
    that the model cannot tell them apart.
    """

    ids: Mapping[str, int]
    split: Mapping[str, int]
    shared: tuple[tuple[str, ...], ...]

    @property
    def is_sound(self) -> bool:
        return not self.split and not self.shared


def ids_of(tokens: Tokens, encode: Callable[[str], list[int]]) -> TokenIds:
    """The id of each token: the last one of `encode(text)`, as in section 2 of arXiv 2412.06748.

    The text is taken with its leading blank: for many tokenizers "[refuse]" and " [refuse]" are different
    tokens. What `encode` puts around every text, and a blank apart from its token, do not count as pieces.

    Args:
        encode: text -> ids, such as `tokenizer.encode`.

    Raises:
        ValueError: `encode` gives nothing for a token.
    """
    around = {*encode(""), *encode(" ")}
    ids: dict[str, int] = {}
    split: dict[str, int] = {}
    for name, text in tokens.all.items():
        found = [id_ for id_ in encode(text) if id_ not in around]
        if not found:
            raise ValueError(f"the tokenizer gives nothing for {text!r}")
        ids[name] = found[-1]
        if len(found) > 1:
            split[name] = len(found)
    by_id: dict[int, list[str]] = {}
    for name, id_ in ids.items():
        by_id.setdefault(id_, []).append(name)
    return TokenIds(ids, split, tuple(tuple(names) for names in by_id.values() if len(names) > 1))


def check_ids(found: TokenIds, tokens: Tokens, where: str) -> Mapping[str, int]:
    """The ids, for a model that must have each token as one of its own.

    Args:
        where: the model, for the message.

    Raises:
        InputError: a token is not one id, or two tokens share one.
    """
    fix = "Train the model with these tokens added to its tokenizer (docs/howto/train.md), blanks included."
    for name, pieces in found.split.items():
        raise InputError(
            f"the tokenizer cuts the token {tokens.all[name]!r} into {pieces} pieces", where=where, fix=fix
        )
    for names in found.shared:
        texts = " and ".join(repr(tokens.all[name]) for name in names)
        raise InputError(f"the tokens {texts} have one id", where=where, fix=fix)
    return found.ids
