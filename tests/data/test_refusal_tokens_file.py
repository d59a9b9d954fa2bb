"""tokens.json: what is written is read back, what is not such a file says so; and the ids of tokens."""

import json

import pytest

from overt.data.errors import InputError
from overt.data.refusal_tokens import Tokens
from overt.data.refusal_tokens_file import COCONOT, SINGLE, check_ids, ids_of, read_tokens, write_tokens

EACH = Tokens(" [respond]", {"violence": " [violence]", "privacy": " [privacy]"})
FILE = {"format": "refusal-tokens", "version": 1, "respond": " [a]", "refuse": {"refuse": " [b]"}}


@pytest.mark.parametrize("tokens", [SINGLE, COCONOT, EACH])
def test_what_is_written_is_read_back(tmp_path, tokens):
    path = tmp_path / "tokens.json"
    write_tokens(path, tokens)
    assert read_tokens(path) == tokens
    assert json.loads(path.read_text())["respond"] == " [respond]"  # the leading blank is kept


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "sft"}, '"format"'),
        ({"version": 2}, '"version" is 2'),
        ({"respond": " "}, '"respond"'),
        ({"refuse": {}}, '"refuse"'),
        ({"refuse": {"refuse": 3}}, '"refuse"'),
        ({"refuse": {"respond": " [b]"}}, 'called "respond"'),
        ({"refuse": {" ": " [b]"}}, 'called " "'),
        ({"refuse": {"refuse": " [b]", "violence": " [c]"}}, "the only refuse token, and there are 2"),
        ({"refuse": {"refuse": " [a]"}}, "two tokens have the text ' [a]'"),
    ],
)
def test_another_file_is_no_file_of_tokens(tmp_path, change, said):
    path = tmp_path / "tokens.json"
    path.write_text(json.dumps(FILE | change))
    with pytest.raises(InputError) as caught:
        read_tokens(path)
    assert said in caught.value.what
    assert caught.value.where == str(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_tokens(tmp_path / "none.json")


def encoder(table):
    """Greedy pieces of a table of texts; id 1 begins every text, as Llama's tokenizers do it."""

    def encode(text):
        ids = [1]
        while text:
            piece = max((t for t in table if text.startswith(t)), key=len)
            ids.append(table[piece])
            text = text[len(piece) :]
        return ids

    return encode


def test_a_leading_blank_makes_another_token():
    letters = {c: 100 + i for i, c in enumerate(" []abcdefghijklmnopqrstuvwxyz")}
    added = ids_of(SINGLE, encoder({**letters, " [respond]": 7, " [refuse]": 8}))
    assert added.ids == {"respond": 7, "refuse": 8}
    assert added.is_sound
    assert check_ids(added, SINGLE, "m") == added.ids
    # Added without the blank, the blank is a piece of its own, and the token is still one id.
    assert ids_of(SINGLE, encoder({**letters, "[respond]": 7, "[refuse]": 8})).ids == {
        "respond": 7,
        "refuse": 8,
    }
    stock = ids_of(SINGLE, encoder({**letters, " [": 5, "]": 6}))
    assert stock.split == {"refuse": 8, "respond": 9}  # "[" or " [", letters, "]"
    assert stock.shared == (("refuse", "respond"),)  # both end with "]"
    with pytest.raises(InputError, match=r"cuts the token ' \[refuse\]' into 8 pieces"):
        check_ids(stock, SINGLE, "m")


def test_two_tokens_of_one_id():
    found = ids_of(Tokens(" yes", {"refuse": " YES"}), lambda text: [9] if text.strip() else [])
    assert not found.split
    assert found.shared == (("refuse", "respond"),)
    with pytest.raises(InputError, match="have one id"):
        check_ids(found, Tokens(" yes", {"refuse": " YES"}), "m")
