"""Shards, and what the folders of several become: journals, pictures, counts, notes."""

import json
import os
import sqlite3
import stat
from collections import Counter

import pytest

from overt.data.asked import prompts_to_ask
from overt.data.errors import InputError
from overt.data.run import united
from overt.data.run.journal import Entry, Journal
from overt.data.run.shards import Rank, Shard, read_shard
from overt.data.run.united import (
    added_all,
    link_files,
    unite_journals,
    united_addresses,
    united_notes,
)


@pytest.mark.parametrize(
    "text", ["0/4", "5/4", "a/b", "1", "", "1/0", "-1/4", "01/4", "1/4/4", "1/10001", " 1/4"]
)
def test_what_is_no_shard_is_told(text):
    with pytest.raises(InputError, match=r"--shard is .*\n  Write I/N, such as 3/8"):
        read_shard(text)


def test_the_shard_of_an_id_never_changes():
    """Folders of two versions of overt must not overlap, nor those of two machines."""
    ids = [f"prompt-{number:016x}" for number in range(12)]
    found = [next(i for i in range(1, 5) if Shard(i, 4).holds(one)) for one in ids]
    assert found == [4, 1, 2, 4, 1, 1, 3, 3, 3, 2, 4, 1]
    assert read_shard("1/1").holds("prompt-x")
    assert read_shard(None) is None


def test_shards_are_about_equal_and_share_nothing():
    counts = Counter(n for n in range(4000) for i in range(1, 9) if Shard(i, 8).holds(f"prompt-{n}"))
    assert set(counts) == set(range(4000))
    assert set(counts.values()) == {1}
    sizes = [sum(Shard(i, 8).holds(f"prompt-{n}") for n in range(4000)) for i in range(1, 9)]
    assert 420 < min(sizes) <= max(sizes) < 580


@pytest.mark.parametrize("count", [0, 1, 3, 4, 7, 12])
def test_the_parts_of_a_sequence_are_the_sequence(count):
    whole = list(range(count))
    parts = [Shard(i, 4).part(whole) for i in range(1, 5)]
    assert [item for part in parts for item in part] == whole
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_shard_is_taken_after_limit_and_category(tmp_path):
    path = tmp_path / "p.jsonl"
    rows = [{"text": f"text {i}", "label": "benign", "category": f"c{i % 3}"} for i in range(60)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def asked(shard):
        return prompts_to_ask(
            (str(path),), suite=None, label=None, category=("c0", "c1"), limit=10, shard=shard
        )

    whole = asked(None)
    assert len(whole.prompts) == 10
    assert whole.ranks == ()
    found = {}
    for number in range(1, 4):
        part = asked(Shard(number, 3))
        assert [rank.prompt_id for rank in part.ranks] == [prompt.id for prompt in part.prompts]
        assert f"this is shard {number}/3: {len(part.prompts)} of the 10 prompts" in part.notes[-1]
        found |= {rank.rank: prompt for rank, prompt in zip(part.ranks, part.prompts, strict=True)}
    assert [found[place] for place in range(10)] == whole.prompts
    none = [asked(Shard(number, 999)) for number in range(1, 999, 100)]
    assert all(isinstance(part.ranks, tuple) for part in none)
    assert any(not part.prompts for part in none)  # which is no error
    assert Rank("prompt-1", 0) != Rank("prompt-1", 1)


# -- journals ------------------------------------------------------------------------------------------------


def journal(folder, *entries):
    folder.mkdir(parents=True, exist_ok=True)
    store = Journal(folder / "journal.sqlite")
    store.put(Entry(key, "m", "p", "c", "{}", reply, cost) for key, reply, cost in entries)
    store.close()
    return folder


ANSWER, OTHER = {"response": {"text": "yes"}}, {"response": {"text": "no"}}
FAILURE = {"response": {"text": "", "error": {"kind": "bad_request", "message": ""}}}


def rows(folder):
    with sqlite3.connect(folder / "journal.sqlite") as db:
        found = db.execute("SELECT key, reply, cost FROM calls ORDER BY key").fetchall()
    return {key: (json.loads(reply), cost) for key, reply, cost in found}


def test_an_answer_wins_over_a_failure_else_the_first(tmp_path):
    one = journal(
        tmp_path / "a", ("1", ANSWER, 1.0), ("2", FAILURE, 0.1), ("3", ANSWER, 1.0), ("4", FAILURE, 0.2)
    )
    two = journal(
        tmp_path / "b",
        ("1", OTHER, 2.0),
        ("2", OTHER, 2.0),
        ("3", FAILURE, 0.1),
        ("4", FAILURE, 0.3),
        ("5", OTHER, 0.0),
    )
    out = tmp_path / "c"
    for _ in range(2):  # twice is as once
        assert unite_journals(out, [one, two]) == {}
        assert rows(out) == {
            "1": (ANSWER, 1.0), "2": (OTHER, 2.0), "3": (ANSWER, 1.0), "4": (FAILURE, 0.2), "5": (OTHER, 0.0),
        }  # fmt: skip
    assert len(Journal(out / "journal.sqlite")) == 5


def test_a_damaged_row_is_left_out_and_counted(tmp_path):
    one = journal(tmp_path / "a", *((str(n), ANSWER, 1.0) for n in range(6)))
    with sqlite3.connect(one / "journal.sqlite") as db:
        for key, column, value in (
            ("0", "reply", "{broken"),
            ("1", "reply", "[1]"),
            ("2", "cost", "dear"),
            ("3", "cost", -1.0),
        ):
            db.execute(f"UPDATE calls SET {column} = ? WHERE key = ?", (value, key))
    two = journal(tmp_path / "b", ("0", OTHER, 2.0))
    assert unite_journals(tmp_path / "c", [one, two]) == {one: 4}
    assert rows(tmp_path / "c") == {"0": (OTHER, 2.0), "4": (ANSWER, 1.0), "5": (ANSWER, 1.0)}


def test_a_journal_is_read_where_nothing_may_be_written(tmp_path):
    one = journal(tmp_path / "a # 1?", ("1", ANSWER, 1.0))
    before = sorted(path.name for path in one.iterdir())
    os.chmod(one, stat.S_IRUSR | stat.S_IXUSR)
    try:
        unite_journals(tmp_path / "c", [one])
        assert united.batches_left(one) == []
    finally:
        os.chmod(one, stat.S_IRWXU)
    assert rows(tmp_path / "c") == {"1": (ANSWER, 1.0)}
    assert sorted(path.name for path in one.iterdir()) == before


def test_a_write_ahead_log_is_read_too(tmp_path):
    (tmp_path / "a").mkdir()
    store = Journal(tmp_path / "a" / "journal.sqlite")  # left open: its last rows are in the log
    store.put([Entry("1", "m", "p", "c", "{}", ANSWER, 1.0)])
    assert (tmp_path / "a" / "journal.sqlite-wal").exists()
    unite_journals(tmp_path / "c", [tmp_path / "a"])
    store.close()
    assert rows(tmp_path / "c") == {"1": (ANSWER, 1.0)}


def test_a_journal_that_is_none(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(InputError, match="cannot read the journal"):
        unite_journals(tmp_path / "c", [tmp_path / "a"])
    assert not (tmp_path / "a" / "journal.sqlite").exists()
    (tmp_path / "a" / "journal.sqlite").write_text("no database, but long enough to be looked at " * 40)
    for reading in (united.batches_left, lambda folder: unite_journals(tmp_path / "c", [folder])):
        with pytest.raises(InputError, match="cannot read the journal"):
            reading(tmp_path / "a")


# -- pictures, counts, notes ---------------------------------------------------------------------------------


def test_pictures_are_linked_else_copied(tmp_path, monkeypatch):
    old = tmp_path / "a" / "images"
    (old / "ab").mkdir(parents=True)
    (old / "ab" / "abc.png").write_bytes(b"picture")
    (old / "ab" / ".abd.png.1.tmp").write_bytes(b"half")
    (old / "ab" / "out.png").symlink_to("/etc/hostname")
    assert link_files(old, tmp_path / "b" / "images") == 1
    assert (tmp_path / "b" / "images" / "ab" / "abc.png").stat().st_nlink == 2
    assert link_files(tmp_path / "none", tmp_path / "b" / "images") == 0

    def other_disk(source, place):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(united.os, "link", other_disk)
    assert link_files(old, tmp_path / "c" / "images") == 1
    copy = tmp_path / "c" / "images" / "ab" / "abc.png"
    assert (copy.read_bytes(), copy.stat().st_nlink) == (b"picture", 1)
    assert [path.name for path in copy.parent.iterdir()] == ["abc.png"]


def test_counts_add_up():
    one = {"requests": 1, "cost": 0.1, "errors": {"auth": 2}, "purposes": {"a": {"requests": 1}}}
    other = {"requests": 2, "cost": 0.2, "errors": {"server": 1}, "purposes": {"b": {"requests": 2}}}
    assert added_all([one, {}, other]) == {
        "requests": 3, "cost": 0.3, "errors": {"auth": 2, "server": 1},
        "purposes": {"a": {"requests": 1}, "b": {"requests": 2}},
    }  # fmt: skip
    assert added_all([]) == {}


def test_addresses_and_notes():
    here, there = {"base_url": {"": "http://a", "judge": "http://j"}}, {"base_url": {"": "http://b"}}
    found, several = united_addresses([here, there, {"api_key_env": {"": "KEY"}}])
    assert found == {"base_url": {"": "http://a", "judge": "http://j"}, "api_key_env": {"": "KEY"}}
    assert several == ["base_url of every role"]
    assert united_notes({"shard 1/2": ["both", "one"], "shard 2/2": ["both"]}) == ["both", "shard 1/2: one"]
