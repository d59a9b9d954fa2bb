"""The journal's file: what it holds, how large it is, and that older ones are read and written alike."""

import contextlib
import json
import random
import sqlite3

import pytest

from overt.calls.channel import ChatChannel, packed
from overt.calls.target_channel import TargetChannel, TargetReply
from overt.data.chat import CallError, ChatReply, RawResponse
from overt.data.run.images import ImageStore
from overt.data.run.journal import Entry, Journal, call_key, write_request
from overt.data.targets import LayerDecision, Response

OLD = """
CREATE TABLE calls (
    key TEXT PRIMARY KEY, model TEXT NOT NULL, purpose TEXT NOT NULL, category TEXT NOT NULL,
    request TEXT NOT NULL, reply TEXT NOT NULL, cost REAL NOT NULL, created REAL NOT NULL
) WITHOUT ROWID
"""


def entry(number, text="an answer"):
    request = write_request({"prompt": f"prompt {number}"})
    return Entry(call_key("m", request), "m", "run", "violence", request, {"text": text, "error": None}, 0.5)


@contextlib.contextmanager
def opened(path):
    journal = Journal(path)
    yield journal
    journal.close()


@pytest.mark.parametrize("is_old", [True, False])
def test_old_and_new_journals_are_read_and_written_alike(tmp_path, is_old):
    path = tmp_path / "journal.sqlite"
    if is_old:
        db = sqlite3.connect(path)
        db.execute(OLD)
        db.close()
    with opened(path) as journal:
        journal.put(entry(n) for n in range(50))
        journal.put([entry(7, "another answer")])
        assert len(journal) == 50
    with opened(path) as journal:
        assert len(journal) == 50
        assert journal.get(entry(3).key) == entry(3)
        assert journal.get(entry(7).key).reply["text"] == "another answer"
        assert journal.get(entry(50).key) is None
        assert journal.has_answer("m")
        assert not journal.has_answer("other")
    assert (
        "WITHOUT ROWID" in sqlite3.connect(path).execute("SELECT sql FROM sqlite_master").fetchone()[0]
    ) is is_old


def test_a_new_journal_is_much_smaller_than_one_in_the_order_of_its_keys(tmp_path):
    sizes = []
    for name, schema in (("old", OLD), ("new", "")):
        path = tmp_path / name
        if schema:
            sqlite3.connect(path).execute(schema)
        with opened(path) as journal:
            for first in range(0, 2000, 4):  # as they come: a few in each turn of the loop
                journal.put(entry(n, "word " * 300) for n in range(first, first + 4))
        sizes.append(path.stat().st_size)
    assert sizes[1] < 0.75 * sizes[0]


def test_a_dropped_row_is_missing_until_it_is_written_anew(tmp_path):
    with opened(tmp_path / "journal.sqlite") as journal:
        journal.put(map(entry, range(3)))
        journal.drop(entry(1).key)
        assert journal.get(entry(1).key) is None
        assert (len(journal), journal.damaged) == (2, [entry(1).key])
        journal.put([entry(1)])
        assert journal.get(entry(1).key) == entry(1)
        assert len(journal) == 3


def test_keys_that_share_their_beginnings_are_told_apart(tmp_path):
    """The quick look goes by the first 12 digits of a key; the table has the word."""
    known, other = "0123456789ab" + "0" * 20, "0123456789ab" + "f" * 20
    odd = "not a key at all"
    with opened(tmp_path / "journal.sqlite") as journal:
        journal.put([Entry(key, "m", "p", "c", "{}", {"error": None}, 0.0) for key in (known, odd)])
        assert journal.get(known) is not None
        assert journal.get(other) is None
        assert journal.get(odd) is not None  # though none of ours looks like it
    with opened(tmp_path / "journal.sqlite") as journal:
        assert journal.get(known) is not None


def test_the_key_of_a_request_never_changes():
    """Runs of older versions are gone on with."""
    request = {"b": [1, 2.5, None, True], "a": "\u00e9 \ud800 \U0001f600", "z": {"y": '\n"', "x": {}}}
    written = write_request(request)
    assert written == json.dumps(request, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    assert call_key("openai/m", written) == "b53c365b52b2f2b2b0546077c09772a2"


# -- what a row holds ----------------------------------------------------------------------------------------


def test_a_row_has_only_what_a_reply_says(tmp_path):
    assert packed(ChatReply("yes", latency_s=0.5)) == {"text": "yes", "latency_s": 0.5, "error": None}
    assert packed(Response(), apart=("images", "layers", "safety")) == {"error": None}


class Nobody:
    name = "test/nobody"


REPLIES = [
    ChatReply(),
    ChatReply("yes", "stop", None, 10, 0, 0.25),
    ChatReply("", "content_filter", "no", adapted=("json_object",), is_estimate=True, price_share=0.5),
    ChatReply(error=CallError("bad_request", "odd", 400), raw=RawResponse(400, {"a": "b"}, "{}", False)),
]


@pytest.mark.parametrize("reply", REPLIES)
def test_a_chat_reply_comes_back_from_its_row(reply):
    channel = ChatChannel(Nobody(), None)
    assert channel.unpack(json.loads(json.dumps(channel.pack(reply)))) == reply


@pytest.mark.parametrize(
    "response",
    [
        Response(),
        Response(text="a picture", status=0, code="ok", seed=0, cost=0.0, latency_s=1.5, batch_size=1),
        Response(
            safety={"nsfw_content_detected": False}, layers=(LayerDecision("f", "prompt_filter", None, 0.0),)
        ),
        Response(
            error=CallError("server", "down", 500, 2.0), raw=RawResponse(500), adapted=("without_seed",)
        ),
    ],
)
def test_a_targets_reply_comes_back_from_its_row(tmp_path, response):
    channel = TargetChannel("test/nobody", Nobody(), None, ImageStore(tmp_path))
    assert channel.unpack(json.loads(json.dumps(channel.pack(TargetReply(response))))) == TargetReply(
        response
    )


def test_few_keys_that_are_missing_cost_a_query(tmp_path):
    random.seed(5)
    keys = [f"{random.getrandbits(128):032x}" for _ in range(40_000)]
    with opened(tmp_path / "journal.sqlite") as journal:
        journal.put(Entry(key, "m", "p", "c", "{}", {"error": None}, 0.0) for key in keys[:20_000])
        assert all(key in journal._keys for key in keys[:20_000])
        assert sum(key in journal._keys for key in keys[20_000:]) < 20
