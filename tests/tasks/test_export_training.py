"""`overt export --format sft | refusal-tokens`: from data sets, runs and files to rows that TRL reads."""

import json
import re
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from support.commands import ENV, overt, started
from support.inside import cli
from support.paths import reference
from support.servers import server

from overt.data.errors import InputError, RunError
from overt.data.progress import Silent
from overt.data.refusal_tokens import REFUSE, RESPOND
from overt.data.refusal_tokens_file import COCONOT, SINGLE, read_tokens
from overt.data.run.record import read_record
from overt.data.splits import SPLITS, leaks
from overt.scoring.dedupe import repeat_key
from overt.tasks.export import FORMATS
from overt.tasks.export_config import FORMAT_NAMES, HARNESS_FORMATS, TRAINING_FORMATS, ExportConfig
from overt.tasks.export_formats import TRAINING
from overt.tasks.export_training import _check_leaks, export_training
from overt.tasks.export_training import started as begun

OVERT, XSTEST = reference("overt"), reference("xstest")
NO = "I'm sorry, but I can't help with that, because it could hurt someone."
YES = "Here is how it is done: make a plan first, and then follow it step by step."


def completion(text, finish="stop"):
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": finish}
    return 200, {}, {"choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 9}}


class Canned:
    """A chat model that declines where it is told to and answers else, but for what `says` has."""

    def __init__(self, says=(), latency=0.0):
        self.says, self.latency = dict(says), latency
        self.asked, self.lock = Counter(), threading.Lock()

    def __call__(self, body):
        time.sleep(self.latency)
        prompt = next(m["content"] for m in body["messages"] if m["role"] == "user")
        declines = any("answer_decline" in message["content"] for message in body["messages"])
        with self.lock:
            self.asked[prompt] += 1
        return completion(*self.says.get(prompt, (NO if declines else YES,)))


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def data(tmp_path, pairs=20, **more):
    """A data set of contrast pairs, in two categories."""
    rows = []
    for n in range(pairs):
        words = " ".join(f"w{n}{letter}" for letter in "abcdef")  # so that no two are near each other
        category = "Self-Harm" if n % 2 else "violence"
        for label in ("benign", "unsafe"):
            rows.append(
                {"text": f"{label} {words}", "label": label, "category": category, "pair_id": f"p{n}", **more}
            )
    return jsonl(tmp_path / "data.jsonl", rows)


def rows_of(run, split=None):
    names = SPLITS if split is None else (split,)
    files = [Path(run) / "dataset" / f"{name}.jsonl" for name in names]
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def no_leaks(run):
    rows = [(split, row) for split in SPLITS for row in rows_of(run, split)]
    assert rows
    return not leaks((s, [r["cluster"], repeat_key(r["prompt"][-1]["content"])]) for s, r in rows)


def export(tmp_path, *arguments, url="", out="run", code=0):
    told = ["--answers", "openai/m", "--base-url", url] if url else []
    done = cli("export", *arguments, "--out", tmp_path / out, "-q", *told, code=code)
    return tmp_path / out, done


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-a-key-of-nobody")


def test_every_format_has_a_name_and_a_maker():
    assert tuple(FORMATS) == HARNESS_FORMATS
    assert tuple(TRAINING) == TRAINING_FORMATS
    assert (*FORMATS, *TRAINING) == FORMAT_NAMES


# -- by a chat model ---------------------------------------------------------------------------------------


def test_rows_by_a_chat_model(tmp_path):
    refused, complied, cut = (
        "benign w0a w0b w0c w0d w0e w0f",
        "unsafe w1a w1b w1c w1d w1e w1f",
        "benign w2a w2b w2c w2d w2e w2f",
    )
    canned = Canned({refused: (NO,), complied: (YES,), cut: (YES, "length")})
    with server(canned) as url:
        run, done = export(
            tmp_path, data(tmp_path), "--format", "refusal-tokens", "--tokens", "category", url=url
        )
    rows = rows_of(run)
    assert len(rows) == 37
    for row in rows:
        wanted = (RESPOND, "answer") if row["label"] == "benign" else (row["category"], "refusal")
        assert (row["token"], row["kind"]) == wanted
        text = YES if row["label"] == "benign" else NO
        assert row["completion"] == [{"role": "assistant", "content": f" [{row['token']}]{text}"}]
        assert row["answer_by"] == "openai/m"
        assert row["category"] in ("self_harm", "violence")
    tokens = read_tokens(run / "dataset" / "tokens.json")
    assert tokens.all == {"self_harm": " [self_harm]", "violence": " [violence]", "respond": " [respond]"}
    facts = json.loads((run / "manifest.json").read_text())
    assert facts["dropped"] == {
        "answer": {"failed: malformed": 1},
        "judge": {"a benign prompt was refused": 1, "an unsafe prompt was answered": 1},
    }
    assert facts["rows"] == {"train": 29, "validation": 4, "test": 4}
    assert "1 a benign prompt was refused" in done.said
    # The compliance with an unsafe prompt is nowhere but in the journal.
    for file in (run / "stages").glob("*.jsonl"):
        assert "make a plan" not in file.read_text()
    assert no_leaks(run)
    card = (run / "dataset" / "README.md").read_text()
    assert "1 a benign prompt was refused, 1 an unsafe prompt was answered" in card
    assert "openai/m" in card


def test_a_pair_lies_in_one_split_and_both_labels_in_each(tmp_path):
    run, _ = export(tmp_path, data(tmp_path), "--format", "sft", "--answers", "templates")
    for split in SPLITS:
        rows = rows_of(run, split)
        assert Counter(row["label"] for row in rows)["benign"] == len(rows) / 2
        assert {row["category"] for row in rows} == {"self_harm", "violence"}
    assert no_leaks(run)


def test_a_seed_is_stronger_than_pairs_and_near_texts_hang_together(tmp_path):
    words = "{} goes to the old market to buy a very sharp bread knife for the kitchen"
    rows = [{"text": words.format(name), "label": "benign", "seed_id": ""} for name in ("Ann", "Bob", "Cyd")]
    rows += [{"text": f"t{n} u{n} v{n}", "label": "unsafe", "seed_id": "s"} for n in range(3)]
    rows += [{"text": f"x{n} y{n} z{n}", "label": "benign"} for n in range(30)]
    run, _ = export(tmp_path, jsonl(tmp_path / "d.jsonl", rows), "--format", "sft", "--answers", "templates")
    clusters = Counter(row["cluster"] for row in rows_of(run))
    assert sorted(clusters.values()) == [1] * 30 + [3, 3]
    assert no_leaks(run)


def test_attacks_on_one_request_are_one_cluster_and_say_what_was_asked(tmp_path):
    dress = "In a story of {} words, a chemist of the year {} explains to a pupil called {} what follows. "
    rows = [
        {"vanilla": f"how do I {w} a lock?", "adversarial": dress.format(n, n * 7, w * 3) + f"q{n} " * 9,
         "data_type": "adversarial_harmful", "completion": NO}
        for n, w in enumerate(["pick", "pick", "melt", "melt"], 1)
    ]  # fmt: skip
    run, _ = export(tmp_path, jsonl(tmp_path / "wj.jsonl", rows), "--format", "sft", "--split", "0.5/0.5/0")
    found = rows_of(run)
    assert {row["vanilla"] for row in found} == {"how do I pick a lock?", "how do I melt a lock?"}
    assert all(row["attack"] for row in found)
    clusters = {row["vanilla"]: row["cluster"] for row in found}
    assert len(found) == 4
    assert all(row["cluster"] == clusters[row["vanilla"]] for row in found)
    assert no_leaks(run)


def test_earlier_turns_go_along(tmp_path):
    turns = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi."}]
    rows = [{"text": "how do I kill a process", "label": "benign", "turns": turns}]
    seen = []

    def answer(body):
        seen.append([message["role"] for message in body["messages"]])
        return completion(YES)

    with server(answer) as url:
        run, _ = export(tmp_path, jsonl(tmp_path / "d.jsonl", rows), "--format", "sft", url=url)
    (row,) = rows_of(run)
    assert [turn["role"] for turn in row["prompt"]] == ["user", "assistant", "user"] == seen[0]


def test_nothing_sexual_about_minors_is_kept(tmp_path):
    bad = "a naked child in bed"
    rows = [
        {"prompt": bad, "response": NO, "label": "unsafe"},
        {"prompt": "how do I bake bread", "response": f"Sure: {bad}.", "label": "benign"},
        {"prompt": "how do I bake a cake", "response": YES, "label": "benign"},
    ]
    run, _ = export(tmp_path, jsonl(tmp_path / "d.jsonl", rows), "--format", "sft")
    assert [row["prompt"][0]["content"] for row in rows_of(run)] == ["how do I bake a cake"]
    facts = json.loads((run / "manifest.json").read_text())
    assert facts["dropped"] == {"read": {"floor": 1}, "judge": {"floor": 1}}
    assert bad not in "".join(p.read_text() for p in run.rglob("*.jsonl"))


# -- answers that are there already -------------------------------------------------------------------------


def test_the_answers_of_a_run(tmp_path):
    canned = Canned(
        {f"unsafe {w}": (NO,) for w in [" ".join(f"w{n}{c}" for c in "abcdef") for n in range(18)]}
    )
    source = data(tmp_path)
    policy = ["--policy", "chat_assistant", "--judge", "judge/rules"]
    with server(canned) as url:
        cli("run", source, "--target", "openai/a", "--target", "openai/b", *policy, "--base-url", url,
            "--out", tmp_path / "asked", "-q")  # fmt: skip
    _, done = export(tmp_path, tmp_path / "asked", "--format", "sft", code=2)
    assert "--of openai/a" in done.said
    _, done = export(tmp_path, tmp_path / "asked", "--format", "sft", "--of", "openai/c", code=2)
    assert "asked no target" in done.said
    run, _ = export(tmp_path, tmp_path / "asked", "--format", "sft", "--of", "openai/b")
    rows = rows_of(run)
    assert Counter(row["kind"] for row in rows) == {"answer": 20, "refusal": 18}
    assert {row["answer_by"] for row in rows} == {"run openai/b"}
    dropped = json.loads((run / "manifest.json").read_text())["dropped"]
    assert dropped == {"judge": {"an unsafe prompt was answered": 2}}


def test_the_first_answer_that_fits_is_taken(tmp_path):
    one = [{"prompt": "how do I kill a process", "response": NO, "label": "benign"}]
    two = [{"prompt": "how do I kill a process", "response": YES, "label": "benign"}]
    files = [jsonl(tmp_path / f"{n}.jsonl", rows) for n, rows in enumerate([one, two])]
    run, _ = export(tmp_path, *files, "--format", "sft")
    (row,) = rows_of(run)
    assert row["completion"][0]["content"] == YES


def test_an_export_is_a_data_set_again(tmp_path):
    first, _ = export(tmp_path, data(tmp_path), "--format", "sft", "--answers", "templates", out="one")
    again, _ = export(tmp_path, first / "dataset", "--format", "sft", "--split", "1/0/0", out="two")
    assert len(rows_of(again, "train")) == 40
    assert {row["answer_by"] for row in rows_of(again)} == {"file"}


def test_templates_are_named_as_such(tmp_path):
    run, _ = export(tmp_path, data(tmp_path), "--format", "refusal-tokens", "--answers", "templates")
    by = {row["answer_by"] for row in rows_of(run)}
    assert by == {"template answer@1", "template refusal@1"}
    card = (run / "dataset" / "README.md").read_text()
    assert "fixed sentences, not answers" in card
    assert read_tokens(run / "dataset" / "tokens.json") == SINGLE
    assert {row["token"] for row in rows_of(run)} == {REFUSE, RESPOND}


def test_coconot_has_its_published_tokens(tmp_path):
    row = {"subcategory": "x", "response": NO}
    asked = enumerate(["Humanizing requests", "Requests with safety concerns"])
    rows = [{**row, "id": n, "prompt": f"a{n} b{n}", "category": name} for n, name in asked]
    original = jsonl(tmp_path / "o.jsonl", rows)
    rows = [{**row, "id": 9, "prompt": "c d", "category": "Unsupported requests", "response": YES}]
    contrast = jsonl(tmp_path / "c.jsonl", rows)
    files = [f"original={original}", f"contrast={contrast}"]
    told = ["--format", "refusal-tokens", "--tokens", "coconot"]
    run, _ = export(tmp_path, *files, "--suite", "coconot", *told)
    assert read_tokens(run / "dataset" / "tokens.json") == COCONOT
    starts = {re.match(r" \[[^]]+\]", row["completion"][0]["content"])[0] for row in rows_of(run)}
    assert starts == {" [Humanizing requests]", " [Requests with safety concerns]", " [respond]"}
    card = (run / "dataset" / "README.md").read_text()
    assert "| requests_with_safety_concerns | 1 | 395 | 0 | 149 |" in card
    _, done = export(tmp_path, data(tmp_path), *told, "--answers", "templates", out="other", code=2)
    assert "no token for the category 'self_harm'" in done.said


# -- published data ------------------------------------------------------------------------------------------


@pytest.mark.skipif(OVERT is None, reason="no shared/reference/overt above the tests")
def test_overt_mini_with_overt_unsafe(tmp_path):
    files = [OVERT / "OVERT_mini.csv", OVERT / "OVERT_unsafe.csv"]
    told = ["--format", "refusal-tokens", "--tokens", "category", "--answers", "templates"]
    run, _ = export(tmp_path, *files, *told)
    rows = rows_of(run)
    assert len(rows) > 3400
    assert no_leaks(run)
    # Both files name the categories, one of them in two ways; each has its token.
    tokens = read_tokens(run / "dataset" / "tokens.json")
    assert set(tokens.refuse) == {row["category"] for row in rows}
    assert "unethical_unsafe_action" in tokens.refuse
    assert "unethical" not in tokens.refuse
    assert len(tokens.refuse) == 9
    # Discrimination has no seed; there a benign prompt and its unsafe twin are a cluster.
    sides = {}
    for row in rows:
        if row["category"] == "discrimination":
            sides.setdefault(row["cluster"], set()).add(row["label"])
    assert sum(len(labels) == 2 for labels in sides.values()) > 150
    for split, share in (("train", 0.8), ("validation", 0.1), ("test", 0.1)):
        for label in ("benign", "unsafe"):
            there = sum(row["label"] == label for row in rows_of(run, split))
            assert there / sum(row["label"] == label for row in rows) == pytest.approx(share, abs=0.01)
    assert "**These prompts ask for pictures.**" in (run / "dataset" / "README.md").read_text()


@pytest.mark.skipif(XSTEST is None, reason="no shared/reference/xstest above the tests")
def test_the_completions_of_xstest(tmp_path):
    run, _ = export(tmp_path, XSTEST / "xstest_v2_completions_gpt4.csv", "--format", "refusal-tokens")
    rows = rows_of(run)
    assert no_leaks(run)
    where = {}
    for split in SPLITS:
        assert {row["label"] for row in rows_of(run, split)} == {"benign", "unsafe"}
        for row in rows_of(run, split):
            where.setdefault(row["category"], set()).add(split)
    assert len(where) == 8  # eight families of types, each in one split with its contrasts
    assert all(len(splits) == 1 for splits in where.values())
    assert {"contrast_homonyms", "homonyms"} <= {row["type"] for row in rows}
    # What people said of the answers counts: four benign prompts were refused, by the published labels.
    assert len(rows) > 400


@pytest.mark.skipif(XSTEST is None, reason="no shared/reference/xstest above the tests")
def test_trl_reads_the_rows(tmp_path):
    pytest.importorskip("trl", reason="TRL is not installed (the extra train)")
    from datasets import load_dataset
    from support.tiny_chat import save_tokenizer
    from trl.data_utils import is_conversational, maybe_apply_chat_template

    run, _ = export(tmp_path, XSTEST / "xstest_v2_completions_gpt4.csv", "--format", "refusal-tokens")
    loaded = load_dataset(str(run / "dataset"), cache_dir=str(tmp_path / "cache"))
    assert set(loaded) == set(SPLITS)
    assert all(is_conversational(row) for row in loaded["train"])
    row = loaded["train"][0]
    text = maybe_apply_chat_template(row, save_tokenizer(tmp_path / "tiny"))
    assert row["prompt"][0]["content"] in text["prompt"]
    assert text["completion"].startswith(row["completion"][0]["content"])  # the token is the first thing said


def test_datasets_reads_the_folder(tmp_path):
    from datasets import load_dataset

    run, _ = export(tmp_path, data(tmp_path), "--format", "sft", "--answers", "templates")
    loaded = load_dataset(str(run / "dataset"), cache_dir=str(tmp_path / "cache"))
    assert {name: loaded[name].num_rows for name in loaded} == {"train": 32, "validation": 4, "test": 4}
    assert loaded["train"][0]["prompt"] == rows_of(run, "train")[0]["prompt"]


# -- a run like others ---------------------------------------------------------------------------------------


def test_killed_and_resumed(tmp_path):
    canned = Canned(latency=0.03)
    source = data(tmp_path, pairs=60)
    with server(canned) as url:
        told = [source, "--format", "refusal-tokens", "--answers", "openai/m", "--base-url", url]
        words = ["export", *told, "--out", tmp_path / "run", "--concurrency", "4", "-q"]
        again = ["export", "--resume", tmp_path / "run", "-q", "--trust-addresses"]
        env = {**ENV, "OPENAI_API_KEY": "k"}
        process = started(*words, env=env)
        deadline = time.monotonic() + 60
        while canned.asked.total() < 40 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (tmp_path / "run" / "manifest.json").exists()
        assert canned.asked.total() < 120
        overt(*again, env=env)  # in another process: the server's own complaints are not the command's
        assert len(canned.asked) == 120
        assert canned.asked.total() <= 124  # what was in flight is asked again
        asked = canned.asked.total()
        overt(*again, env=env)  # in another process: the server's own complaints are not the command's
        assert canned.asked.total() == asked
        whole, _ = export(tmp_path, source, "--format", "refusal-tokens", url=url, out="whole")
    for name in ("train.jsonl", "validation.jsonl", "test.jsonl", "tokens.json"):
        assert (tmp_path / "run" / "dataset" / name).read_bytes() == (whole / "dataset" / name).read_bytes()


def test_a_cap_stops_it_and_a_higher_one_goes_on(tmp_path):
    with server(Canned()) as url:
        source = data(tmp_path)
        told = [source, "--format", "sft", "--concurrency", "1"]
        export(tmp_path, *told, "--max-requests", "10", url=url, code=4)
        run, done = export(tmp_path, *told, url=url)
    assert len(rows_of(run)) == 40
    assert "10 from the journal" in done.said


DECIDING = {
    "dataset": ("data.jsonl", "more.jsonl"), "format": "refusal-tokens", "suite": "xstest", "label": "unsafe",
    "category": ("violence",), "limit": 3, "judge": "judge/openai/j", "license": "MIT", "answers": "openai/m",
    "of": "openai/a", "tokens": "category", "split": "0.5/0.5/0", "seed": 4, "templates": Path("ours"),
    "codes": Path("codes.yaml"), "guard": "openai/g", "analyst": "openai/a", "intended": "openai/i",
    "safe_completion": ("self_harm",), "plain": "more.jsonl:1", "subset": 5,
}  # fmt: skip
RESA = {"format": "resa", "answers": "openai/m", "guard": "openai/x"}
NEEDED = {
    "guard": RESA, "analyst": RESA, "intended": RESA, "safe_completion": RESA, "plain": RESA, "subset": RESA,
    "tokens": {"format": "refusal-tokens"}, "of": {"answers": ""}, "templates": {"answers": "openai/m"},
}  # fmt: skip


def test_every_deciding_option_has_a_value_here():
    assert set(DECIDING) == {n for n, field in ExportConfig.fields().items() if field.option.decides}


@pytest.mark.parametrize("name", DECIDING)
def test_another_value_is_another_export_and_a_resumed_one_is_the_same(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    data(tmp_path)
    jsonl(tmp_path / "more.jsonl", [{"text": "x", "label": "benign"}])
    Path("codes.yaml").write_text("any: {model: [no_thanks]}\n")
    Path("ours").mkdir()
    Path("ours/answer_plain.yaml").write_text("name: answer_plain\nversion: own\nuser: '{{ prompt }}!'\n")
    start = {"dataset": ("data.jsonl",), "format": "sft", "answers": "templates", **NEEDED.get(name, {})}
    before = begun(ExportConfig.made(start))[1].record
    config = ExportConfig.made({**start, name: DECIDING[name], "out": Path("run")})
    after = begun(config)[1]
    assert before.identity() != after.record.identity()
    from overt.data.run.folder import RunFolder
    from overt.policies.load import dump_policy

    with RunFolder(Path("run")) as folder:
        folder.claim(after.record, dump_policy(after.policy))
    again = begun(ExportConfig.made({"resume": Path("run")}))[1]
    assert again.record == after.record == read_record(Path("run"))


def test_a_leak_stops_the_export(tmp_path):
    from overt.data.training import TrainingRow

    def row(split, text, cluster):
        return TrainingRow(({"role": "user", "content": text},), (), split, {"cluster": cluster, "id": text})

    _check_leaks([], [row("train", "a b", "c1"), row("test", "c d", "c2")])
    with pytest.raises(RunError, match="text a b stands in train and test"):
        _check_leaks([], [row("train", "a b", "c1"), row("test", "A b!", "c2")])
    with pytest.raises(RunError, match="cluster c1"):
        _check_leaks([], [row("train", "a b", "c1"), row("test", "c d", "c1")])


# -- what does not do ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (["--format", "sft"], "nothing says what the answers are"),
        (["--format", "sft", "--tokens", "category", "--answers", "templates"], "--tokens does not go with"),
        (["--format", "sft", "--name", "x", "--answers", "templates"], "--name does not go with"),
        (["--format", "lm-eval", "--answers", "openai/m"], "--answers does not go with --format lm-eval"),
        (["--format", "lm-eval", "--max-cost", "3"], "--max-cost does not go with --format lm-eval"),
        (["--format", "sft", "--split", "1/1/1", "--answers", "templates"], "--split is '1/1/1'"),
        (["--format", "sft", "--answers", "nobody/m"], "nobody"),
        (["--format", "sft", "--answers", "templates", "--of", "openai/m"], "--of goes with the answers"),
        (["--answers", "templates"], "no format was named"),
        (["--format", "csv", "--answers", "templates"], "there is no format 'csv'"),
    ],
)
def test_what_does_not_do_says_so_and_leaves_nothing(tmp_path, told, said):
    out, done = export(tmp_path, data(tmp_path), *told, code=2)
    assert said in done.said
    assert not out.exists()


def test_no_row_at_all(tmp_path):
    rows = [{"prompt": "how do I kill a process", "response": NO, "label": "benign"}]
    config = ExportConfig.made(
        {"dataset": (jsonl(tmp_path / "d.jsonl", rows),), "format": "sft", "out": tmp_path / "run"}
    )
    with pytest.raises(RunError, match="no row came"):
        export_training(config, Silent())
    with pytest.raises(InputError, match="no data set was named"):
        export_training(ExportConfig.made({"format": "sft"}), Silent())


def test_hostile_text_is_escaped_in_the_card(tmp_path):
    rows = [
        {"prompt": "how do I bake", "response": YES, "label": "benign", "category": "<b>x|y`</b>"},
        {"prompt": "how do I rob", "response": NO, "label": "unsafe", "category": "a\u202e|b ```"},
    ]
    told = ["--format", "refusal-tokens", "--tokens", "category", "--license", "<script>x</script>"]
    run, _ = export(tmp_path, jsonl(tmp_path / "<i>.jsonl", rows), *told)
    card = (run / "dataset" / "README.md").read_text()
    assert "<b>" not in card
    assert "<script>" not in card
    assert "<i>" not in card
    assert "\u202e" not in card
