import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.builders import make_prompt

from overt.data.errors import InputError, RunError
from overt.data.records import Audit, Prompt, Vote, from_json, prompt_id, to_json
from overt.data.run.files import differences, read_records, speaking_os_errors, write_atomic
from overt.data.run.folder import RunFolder, read_addresses, with_stored
from overt.data.run.journal import Entry, Journal
from overt.data.run.record import PolicyRef, RunRecord, read_record


def record(seed=1, policy=""):
    return RunRecord("run", "0.1.0", PolicyRef(hash=policy), {"seed": seed})


def test_ids_hang_on_content_alone():
    assert prompt_id("a  photo\nof cafe\u0301") == prompt_id("a photo of caf\u00e9")
    assert prompt_id("a") != prompt_id("A")
    # A literal, so that a change of the scheme (which would break every join) is seen.
    assert prompt_id("a photo") == "prompt-" + prompt_id("a photo").split("-")[1]
    code = "from overt.data.records import prompt_id; print(prompt_id('x'))"
    seen = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env={"PYTHONHASHSEED": str(n)},
            check=True,
        ).stdout
        for n in (1, 2)
    }
    assert seen == {prompt_id("x") + "\n"}


def test_records_survive_json():
    audit = Audit("p", "benign", "r", (Vote("j", "benign", "r"), Vote("k", "unclear", "")))
    assert from_json(Audit, json.loads(json.dumps(to_json(audit)))) == audit
    newer = {**to_json(make_prompt("x")), "field_of_a_newer_version": 1}
    assert from_json(Prompt, newer) == make_prompt("x")


def test_stages_are_whole_or_absent(tmp_path):
    with RunFolder(tmp_path / "run") as store:

        def broken():
            yield make_prompt("one")
            raise KeyError("half way")

        with pytest.raises(KeyError):
            store.write_stage("audit", broken())
        assert not store.has_stage("audit")
        hostile = 'line\u2028sep \x00 \ud800 "quote" </script>'
        store.write_stage("audit", [make_prompt(hostile)])
        kept = hostile.replace("\x00", "?").replace("\ud800", "?")
        assert store.read_stage("audit", Prompt)[0].text == kept
        assert not [p for p in (store.path / "stages").iterdir() if p.name.endswith(".tmp")]


def test_a_bad_line_is_named(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps(to_json(make_prompt("a"))) + "\nnot json\n")
    with pytest.raises(InputError, match=r"x\.jsonl:2"):
        read_records(path, Prompt)


def finish_a_call(folder):
    journal = Journal(folder / "journal.sqlite")
    journal.put([Entry("0" * 32, "m", "p", "c", "{}", {}, 0.0)])
    journal.close()


def open_journal(folder):
    Journal(folder / "journal.sqlite").close()


def tree(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def test_claim_tells_a_resume_from_another_run(tmp_path):
    with RunFolder(tmp_path / "run") as store:
        assert store.claim(record(policy="a"), "name: x\n") is False
        assert store.claim(record(policy="a"), "name: x\n") is True
        finish_a_call(store.path)
        with pytest.raises(InputError, match=r"policy\.hash: there a, here b"):
            store.claim(record(policy="b"), "name: x\n")


@pytest.mark.parametrize("call", [None, open_journal])
def test_a_run_without_a_finished_call_makes_room(tmp_path, call):
    folder = tmp_path / "run"
    with RunFolder(folder) as store:
        store.claim(record(1), "name: x\n", {"base_url": {"": "http://there/v1"}})
        store.decide("encoder", "minilm")
        store.write_stage("seeds", [make_prompt("of the first run")])
        if call:
            call(folder)
    with RunFolder(folder) as store:
        assert store.claim(record(2), "name: y\n", {"base_url": {}}) is False
        assert read_record(folder) == record(2)
        assert (folder / "policy.yaml").read_text() == "name: y\n"
        # What the other run wrote would be taken for this one's.
        assert store.decision("encoder") is None
        assert not store.has_stage("seeds")
        assert not read_addresses(folder).get("base_url")


@pytest.mark.parametrize("hold", [finish_a_call, lambda f: (f / "manifest.json").write_text("{}")])
def test_a_run_that_holds_something_keeps_its_folder(tmp_path, hold):
    with RunFolder(tmp_path) as store:
        store.claim(record(1), "name: x\n")
    hold(tmp_path)
    before = tree(tmp_path)
    with pytest.raises(InputError, match="other inputs"), RunFolder(tmp_path) as store:
        store.claim(record(2), "name: x\n")
    assert tree(tmp_path) == before
    assert read_record(tmp_path) == record(1)


def test_a_refused_command_leaves_no_folder(tmp_path):
    folder = tmp_path / "runs" / "run-1"

    def fail():
        with RunFolder(folder) as store:
            store.claim(record(1), "name: x\n", {"base_url": {"": "http://there/v1"}})
            store.decide("encoder", "lexical")
            store.write_stage("prompts", [make_prompt("a")])
            open_journal(folder)
            raise InputError("a threshold of 20")

    with pytest.raises(InputError):
        fail()
    assert tree(tmp_path) == []


@pytest.mark.parametrize(
    ("hold", "error"),
    [
        (finish_a_call, InputError("x")),
        (open_journal, RunError("the key was not accepted")),
        (open_journal, KeyboardInterrupt()),
    ],
)
def test_what_can_be_gone_on_with_stays(tmp_path, hold, error):
    def fail():
        with RunFolder(tmp_path / "run") as store:
            store.claim(record(1), "name: x\n")
            hold(store.path)
            raise error

    with pytest.raises(type(error)):
        fail()
    with RunFolder(tmp_path / "run") as store:
        assert store.claim(record(1), "name: x\n") is True


def test_a_folder_that_was_there_stays(tmp_path):
    """Of a refused command it loses what the command wrote, and nothing else."""
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages" / "mine.jsonl").write_text("precious")
    (tmp_path / "policy.yaml").write_text("name: x\n")
    before = tree(tmp_path)

    def fail():
        with RunFolder(tmp_path) as store:
            store.claim(record(1), "name: x\n")
            raise InputError("x")

    with pytest.raises(InputError):
        fail()
    assert tree(tmp_path) == before


def test_a_strangers_folder_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="not a run of overt"), RunFolder(tmp_path) as store:
        store.claim(record(), "")
    assert tree(tmp_path) == ["thesis.txt"]
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_addresses_hold_no_secret(tmp_path):
    url = "https://me:pass@host:8/v1?api-version=2&api_key=abc&sig=def#x"
    given = {"base_url": {"": url, "judge": "http://h/v1"}, "api_key_env": {"": "MY_KEY"}}
    with RunFolder(tmp_path / "run") as store:
        store.claim(record(), "", given)
        assert read_addresses(store.path) == {
            "base_url": {
                "": "https://***@host:8/v1?api-version=2&api_key=***&sig=***#x",
                "judge": "http://h/v1",
            },
            "api_key_env": {"": "MY_KEY"},
        }
    assert read_addresses(tmp_path) == {}


def test_what_is_given_anew_wins():
    stored = {"": "a", "judge": "b"}
    assert with_stored({}, stored) == stored
    assert with_stored({"judge": "c"}, stored) == {"": "a", "judge": "c"}
    assert with_stored({"": "c"}, stored) == {"": "c"}  # for every role


@pytest.mark.parametrize(
    ("left", "text"),
    [
        (".policy.yaml.32382.140095119936384.tmp", ""),
        (".policy.yaml.32382.140095119936384.tmp", "name: "),
        ("policy.yaml", "name: x\n"),
        (".run.json.7.8.tmp", "{"),
    ],
)
def test_killed_while_claiming(tmp_path, left, text):
    (tmp_path / left).write_text(text)
    with RunFolder(tmp_path) as store:
        assert store.claim(record(1), "name: x\n") is False
        assert store.claim(record(1), "name: x\n") is True
    assert not list(tmp_path.glob(".*.tmp"))
    assert (tmp_path / "policy.yaml").read_text() == "name: x\n"


def test_a_strangers_policy_is_not_written_over(tmp_path):
    (tmp_path / "policy.yaml").write_text("name: mine\n")
    with RunFolder(tmp_path) as store, pytest.raises(InputError, match="not a run of overt"):
        store.claim(record(1), "name: x\n")
    assert (tmp_path / "policy.yaml").read_text() == "name: mine\n"


def test_two_processes_on_one_run(tmp_path):
    code = (
        "import sys; from pathlib import Path; from overt.data.run.folder import RunFolder\n"
        "with RunFolder(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(RunError, match="another process"), RunFolder(tmp_path):
            pass
    finally:
        other.communicate("")
    with RunFolder(tmp_path):  # free again
        pass


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "disk is full"), (errno.EACCES, "no permission"), (errno.EROFS, "read-only")],
)
def test_the_system_is_put_into_words(number, words):
    with pytest.raises(RunError, match=words), speaking_os_errors("cannot write x"):
        raise OSError(number, "cryptic", "/some/file")


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    target = tmp_path / "manifest.json"
    write_atomic(target, b"old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(RunError, match="disk is full"):
        write_atomic(target, b"new")
    assert target.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["manifest.json"]


def test_a_file_where_the_folder_should_be(tmp_path):
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(RunError, match=r"a file, not a folder|in the way"),
        RunFolder(tmp_path / "file" / "run"),
    ):
        pass


def test_manifest_is_the_proof(tmp_path):
    with RunFolder(tmp_path / "run") as store:
        assert not store.is_complete
        write_atomic(store.path / "dataset" / "benign.jsonl", b"{}\n")
        manifest = store.finish({"counts": {}})
        assert store.is_complete
        assert json.loads((store.path / "manifest.json").read_text()) == manifest
        assert list(manifest["files"]) == [str(Path("dataset") / "benign.jsonl")]


def test_differences_names_the_place():
    assert differences({"a": {"b": 1}, "c": 2}, {"a": {"b": 1}, "c": 3}) == [("c", "2", "3")]
    old = {"targets": [{"name": "a", "filters": ["x"]}], "text": None}
    new = {"targets": [{"name": "b", "filters": ["x", "y"]}, {"name": "c"}], "text": {"judge": "j"}}
    assert differences(old, new) == [
        ("targets[0].filters[1]", "nothing", "y"),
        ("targets[0].name", "a", "b"),
        ("targets[1].name", "nothing", "c"),
        ("text.judge", "nothing", "j"),
    ]
    assert differences([], None, "x") == [("x", "nothing", "nothing")]
    [(_, before, after)] = differences("a" * 200 + "20" + "z" * 90, "a" * 200 + "0.2" + "z" * 90, "name")
    assert "20zz" in before
    assert "0.2zz" in after
    assert len(before) < 70
