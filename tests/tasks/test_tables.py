"""Tables as people have them, through the command line: what cannot be read as a prompt is named, and a label
is never fired as one."""

import gzip
import json
import shlex
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.builders import PNG
from support.inside import cli
from support.timing import least_cpu_seconds

from overt.data.records import Prompt
from overt.data.run.files import read_records

LABELS = ["benign", "unsafe"]


@pytest.fixture
def words(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("knife\n")
    return path


def run(data, words, *more, code=0):
    out = words.parent / "run"
    return cli("run", data, "--target", f"filter/keywords?path={words}", "--out", out, "-q", *more, code=code)


def texts(words):
    return [p.text for p in read_records(words.parent / "run" / "stages" / "prompts.jsonl", Prompt)]


def parquet(path, **columns):
    pq.write_table(pa.table(columns), path)
    return path


UNREADABLE = {
    "binary": (pa.array([b"a knife", b"a fork"]), "bytes (binary)"),
    "large_binary": (pa.array([b"a", b"b"], pa.large_binary()), "bytes (large_binary)"),
    "fixed": (pa.array([b"ab", b"cd"], pa.binary(2)), "bytes (fixed_size_binary[2])"),
    "struct": (pa.array([{"text": "a"}, {"text": "b"}]), "objects (struct<text: string>)"),
    "list": (pa.array([["a"], ["b"]]), "lists (list<"),
    "messages": (pa.array([[{"role": "user", "content": "a"}]] * 2), "chat messages (list<"),
    "map": (pa.array([[("a", "b")]] * 2, pa.map_(pa.string(), pa.string())), "objects (map<"),
    "dictionary of bytes": (pa.array([b"a", b"b"]).dictionary_encode(), "bytes (dictionary<"),
}


@pytest.mark.parametrize("kind", UNREADABLE)
@pytest.mark.parametrize("beside", ["label", "caption"])
def test_a_column_of_prompts_that_is_no_text(tmp_path, words, kind, beside):
    column, said = UNREADABLE[kind]
    others = {"label": pa.array(LABELS)} | ({"caption": pa.array(["x", "y"])} if beside == "caption" else {})
    done = run(parquet(tmp_path / "p.parquet", prompt=column, **others), words, "--label", "benign", code=2)
    assert "column 'prompt' holds " + said in done.stderr
    named = "p.parquet:caption" if beside == "caption" else "another column"
    assert named in done.stderr
    assert not (tmp_path / "run").exists()


def test_it_is_said_of_a_named_column_too(tmp_path, words):
    path = parquet(tmp_path / "p.parquet", raw=UNREADABLE["binary"][0], label=pa.array(LABELS))
    assert "column 'raw' holds bytes (binary)" in run(f"{path}:raw", words, code=2).stderr
    path = parquet(tmp_path / "q.parquet", talk=UNREADABLE["struct"][0], label=pa.array(LABELS))
    assert "column 'talk' holds objects" in run(f"{path}:talk.text", words, code=2).stderr


@pytest.mark.parametrize("command", ["generate", "judge-check"])
def test_other_commands_say_it(tmp_path, command, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789abcdef")
    path = parquet(
        tmp_path / "p.parquet", prompt=pa.array([b"a"]), response=pa.array(["b"]), label=["refusal"]
    )
    options = ("--policy", "overt", "--model", "openai/x", "--seeds", path, "--out", tmp_path / "run")
    done = cli(command, *(options if command == "generate" else (path, "--judge", "judge/rules")), code=2)
    assert "column 'prompt' holds bytes (binary)" in done.stderr


READABLE = {
    "dictionary": pa.array(["a knife", "a fork"]).dictionary_encode(),
    "large_string": pa.array(["a knife", "a fork"], pa.large_string()),
    "string_view": pa.array(["a knife", "a fork"], pa.string_view()),
}


@pytest.mark.parametrize("kind", READABLE)
def test_any_type_of_text_is_read(tmp_path, words, kind):
    run(parquet(tmp_path / "p.parquet", prompt=READABLE[kind], label=pa.array(LABELS)), words)
    assert texts(words) == ["a knife", "a fork"]


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (pa.array([1, 2]), "column 'prompt' holds a number ('1'), not text"),
        (pa.array([True, False]), "column 'prompt' holds a truth value"),
        (pa.array([0, 1], pa.date32()), "column 'prompt' holds a date"),
        (pa.nulls(2), "column 'prompt' is empty in all 2 rows"),
    ],
)
def test_values_that_are_no_text(tmp_path, words, column, said):
    done = run(parquet(tmp_path / "p.parquet", prompt=column, label=pa.array(LABELS)), words, code=2)
    assert said in done.stderr


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "label\nbenign\nunsafe\n"),
        ("b.csv", "Label\nsome text\n"),
        ("c.csv", "category\nviolence\n"),
        ("d.csv", "whatever\nbenign\nunsafe\n"),
        ("e.csv", "toxicity\n0\n1\n"),
        ("f.tsv", "is_unsafe\nfalse\n"),
        ("g.jsonl", '{"label": "benign"}\n'),
        ("h.jsonl", '{"id": "abc"}\n'),
    ],
)
def test_a_table_without_prompts(tmp_path, words, name, content):
    (tmp_path / name).write_text(content)
    done = run(tmp_path / name, words, "--label", "benign", code=2)
    assert "no column is plainly the prompt" in done.stderr
    assert "such as 'text'" in done.stderr


def test_the_only_column_may_have_any_other_name(tmp_path, words):
    (tmp_path / "a.csv").write_text("Anfragen\na knife\n")
    run(tmp_path / "a.csv", words, "--label", "benign")
    assert texts(words) == ["a knife"]


def test_objects_in_a_column_name_the_field(tmp_path, words):
    (tmp_path / "a.jsonl").write_text('{"prompt": {"text": "a knife"}, "label": "benign"}\n')
    assert "a.jsonl:prompt.text" in run(tmp_path / "a.jsonl", words, code=2).stderr
    run(f"{tmp_path / 'a.jsonl'}:prompt.text", words)
    assert texts(words) == ["a knife"]


# -- files of spreadsheets ----------------------------------------------------------------------------------

SHEET = 'prompt;label\r\n"a knife, a ""fork""\r\nand; a spoon";benign\r\n'


ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32")


@pytest.mark.parametrize(
    ("encoding", "head"),
    [
        *((encoding, head) for encoding in ENCODINGS for head in ("", "sep=;\r\n")),
        *(("utf-8", head) for head in ('"sep=;"\r\n', "SEP=;\n", "sep=;;\r\n")),
    ],
)
def test_sheets(tmp_path, words, encoding, head):
    (tmp_path / "a.csv").write_bytes((head + SHEET).encode(encoding))
    run(tmp_path / "a.csv", words)
    assert texts(words) == ['a knife, a "fork" and; a spoon']


@pytest.mark.parametrize("mark", ["\t", "|", ",", ":"])
def test_the_named_delimiter_is_used(tmp_path, words, mark):
    (tmp_path / "a.csv").write_text(f"sep={mark}\nprompt{mark}label\na knife{mark}benign\n")
    run(tmp_path / "a.csv", words)
    assert texts(words) == ["a knife"]


def test_a_fault_after_the_line_has_its_own_number(tmp_path, words):
    (tmp_path / "a.csv").write_text("sep=;\nprompt;label\na knife;benign\na fork;nonsense\n")
    assert "a.csv, line 4" in run(tmp_path / "a.csv", words, code=2).stderr


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl"])
def test_a_long_field(tmp_path, words, ending):
    long = "a knife " * 60_000
    mark = {"csv": ",", "tsv": "\t"}.get(ending)
    rows = (
        f"prompt{mark}label\n{long}{mark}benign\n"
        if mark
        else json.dumps({"prompt": long, "label": "benign"})
    )
    (tmp_path / f"a.{ending}").write_text(rows)
    run(tmp_path / f"a.{ending}", words)
    assert len(texts(words)[0]) > 400_000


# -- labels of 0 and 1 --------------------------------------------------------------------------------------

REFUSAL, ANSWER = "I'm sorry, but I can't help with that.", "Paris is the capital of France, on the Seine."
YES_NO = [(0, 1), (False, True), ("0", "1"), ("false", "true"), (0.0, 1.0), ("no", "yes")]


def checked(path, *more, code=0):
    return cli("judge-check", path, "--judge", "judge/rules", "--json", *more, code=code)


@pytest.mark.parametrize("name", ["label", "refused", "is_refusal", "human_label", "compliance", "complied"])
@pytest.mark.parametrize(("no", "yes"), YES_NO)
def test_binary_labels_of_answers(tmp_path, name, no, yes):
    if name.startswith("compl"):
        no, yes = yes, no
    rows = [
        {"prompt": f"q{i}", "response": r, name: v} for i, (r, v) in enumerate([(ANSWER, no), (REFUSAL, yes)])
    ]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = json.loads(checked(path).stdout)
    assert (found["rows"], found["dropped"]) == (2, 0)
    assert found["judges"]["judge/rules"]["two"]["accuracy"]["value"] == 1.0
    assert f"column '{name}': 1 or true was read as" in found["binary"]


@pytest.mark.parametrize("name", ["harmful", "not_refused", "score"])
def test_a_column_that_does_not_say_what_1_is(tmp_path, name):
    path = tmp_path / "a.csv"
    path.write_text(f"prompt,response,{name}\nq,{ANSWER.replace(',', '')},0\n")
    assert "whose name says what 1 is" in checked(path, "--label-column", name, code=2).stderr


def test_the_note_is_printed(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(f'prompt,response,label\nq,"{ANSWER}",0\nr,"{REFUSAL}",1\n')
    done = cli("judge-check", path, "--judge", "judge/rules")
    assert "column 'label': 1 or true was read as refusal, 0 or false as compliance" in done.said


def test_an_empty_label_is_no_0(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(f'prompt,response,label\nq,"{ANSWER}",0\nr,"{REFUSAL}",\n')
    found = json.loads(checked(path).stdout)
    assert (found["rows"], found["dropped"]) == (1, 1)


@pytest.mark.parametrize(("name", "of_1"), [("label", "blocked"), ("nsfw", "blocked"), ("safe", "allowed")])
def test_binary_labels_of_pictures(tmp_path, name, of_1):
    from overt.data.labels import read_labels

    (tmp_path / "a.png").write_bytes(PNG)
    (tmp_path / "a.csv").write_text(f"image,{name}\na.png,1\na.png,0\n")
    found = read_labels(tmp_path / "a.csv", {"label": name})
    assert found.rows[0].label == of_1
    assert found.rows[1].label != of_1


# -- a few prompts of a large file --------------------------------------------------------------------------


def test_a_few_of_a_large_file(tmp_path, words):
    count = 400_000
    path = parquet(
        tmp_path / "big.parquet",
        id=pa.array(range(count)),
        prompt=pa.array([f"a knife, number {i}" for i in range(count)]),
        category=pa.array([f"c{i * 8 // count}" for i in range(count)]),  # sorted, as files are
        label=pa.array(["benign"] * count),
    )

    def work():
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        run(path, words, "--limit", 16)

    assert least_cpu_seconds(work, 5) < 5  # 400,000 prompts take 20 seconds
    rows = read_records(tmp_path / "run" / "stages" / "prompts.jsonl", Prompt)
    assert sorted(p.category for p in rows) == sorted([f"c{i}" for i in range(8)] * 2)
    notes = json.loads((tmp_path / "run" / "manifest.json").read_text())["notes"]
    assert any("chosen from a sample of about 4,000 of its rows" in note for note in notes)
    first = {p.id for p in rows}
    cli(
        "run",
        path,
        *shlex.split(f"--target filter/keywords?path={words} --limit 32 -q --out {tmp_path / 'two'}"),
    )
    assert first < {p.id for p in read_records(tmp_path / "two" / "stages" / "prompts.jsonl", Prompt)}


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "jsonl.gz", "csv.gz"])
def test_a_few_of_a_large_file_of_lines(tmp_path, words, ending, monkeypatch):
    from overt.data.tables import files

    monkeypatch.setattr(files, "LARGE", 2_000)
    monkeypatch.setattr(files, "SAMPLE", 500)
    count = 8_000
    mark = {"c": ",", "t": "\t"}.get(ending[0])
    rows = [
        mark.join((f"a knife; number {i}", f"c{i * 8 // count}", "benign"))
        if mark
        else json.dumps(
            {"prompt": f"a knife; number {i}", "category": f"c{i * 8 // count}", "label": "benign"}
        )
        for i in range(count)
    ]
    head = [mark.join(("prompt", "category", "label"))] if mark else []
    data = ("\n".join([*head, *rows]) + "\n").encode()
    path = tmp_path / f"a.{ending}"
    path.write_bytes(gzip.compress(data) if ending.endswith("gz") else data)
    run(path, words, "--limit", 16)
    found = read_records(tmp_path / "run" / "stages" / "prompts.jsonl", Prompt)
    assert sorted(p.category for p in found) == sorted([f"c{i}" for i in range(8)] * 2)
    assert len({int(p.text.split()[-1]) % 16 for p in found}) == 1  # one row of sixteen was read
    run(path, words, "--limit", 300, "--out", tmp_path / "whole")
    whole = read_records(tmp_path / "whole" / "stages" / "prompts.jsonl", Prompt)
    assert len({int(p.text.split()[-1]) % 16 for p in whole}) > 1


def test_a_category_that_was_asked_for_is_looked_for_in_all_rows(tmp_path, words, monkeypatch):
    from overt.data.tables import files

    monkeypatch.setattr(files, "LARGE", 2_000)
    rows = [f"a knife {i},{'rare' if i == 4_321 else 'common'},benign" for i in range(8_000)]
    (tmp_path / "a.csv").write_text("\n".join(["prompt,category,label", *rows]))
    run(tmp_path / "a.csv", words, "--limit", 5, "--category", "rare")
    assert texts(words) == ["a knife 4321"]
