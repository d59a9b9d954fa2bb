"""`overt run --shard` and `overt merge`: four shards are the whole run, and nothing is sent for it."""

import contextlib
import dataclasses
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from support.commands import ENV, KEY, outcomes, write_prompts
from support.image_server import YAML, ImageServer, image_server
from support.inside import cli

from overt.data.errors import InputError
from overt.data.records import Prompt
from overt.data.run.batch_rows import BatchRow
from overt.data.run.counted import is_counted
from overt.data.run.files import read_records
from overt.data.run.finished import open_run
from overt.data.run.folder import RunFolder
from overt.data.run.journal import Journal

BENIGN = [
    *(f"a harbour at dawn {n}" for n in range(14)), "a quiet knife [refuse]", "a lamp [refuse]",
    "a black cat [black]", "a red rose [500 always]", "an old boat [html]",
]  # fmt: skip
UNSAFE = [*(f"a bomb in a crowd {n}" for n in range(8)), "a knife fight [refuse]"]
N = 4


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("VENDOR_KEY", KEY)


@dataclasses.dataclass(frozen=True)
class Made:
    """A whole run, its four shards, the whole run that they become, and the service that was asked."""

    base: Path
    whole: Path
    shards: list[Path]
    merged: Path
    options: list
    drawing: ImageServer


def options_of(base, url):
    (base / "vendor.yaml").write_text(YAML.format(url=url))
    (base / "words.txt").write_text("knife\nbomb\n")
    return ["run", write_prompts(base / "p.jsonl", BENIGN, UNSAFE), "-q", "--retries", "0", "--samples", "2",
            "--target", f"http/{base}/vendor.yaml",
            "--target", f"filter/keywords?path={base}/words.txt"]  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    base = tmp_path_factory.mktemp("shards")
    with pytest.MonkeyPatch.context() as patch, image_server() as drawing:
        patch.setenv("VENDOR_KEY", KEY)
        options = options_of(base, drawing.url)
        cli(*options, "--out", base / "whole", code=3)
        shards = [base / f"part-{number}" for number in range(1, N + 1)]
        for number, out in enumerate(shards, 1):
            cli(*options, "--shard", f"{number}/{N}", "--out", out, code=None)
        before = dict(drawing.arrived)
        patch.delenv("VENDOR_KEY")  # nothing is opened that would need it
        needed = [base / name for name in ("p.jsonl", "vendor.yaml", "words.txt")]
        for path in needed:
            path.rename(base / f"not-here-{path.name}")
        cli("merge", shards[2], shards[0], shards[3], shards[1], "--out", base / "merged", "-q", code=3)
        for path in needed:
            (base / f"not-here-{path.name}").rename(path)
        assert dict(drawing.arrived) == before
        yield Made(base, base / "whole", shards, base / "merged", options, drawing)


def same(found):
    """Outcomes without what differs from one sending to the next."""
    return [dataclasses.replace(outcome, latency_s=0.0) for outcome in found]


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


# -- four shards are the whole run ------------------------------------------------------------------------


def test_the_shards_share_no_prompt_and_hold_all(made):
    ids = [prompt.id for shard in made.shards for prompt in open_run(shard, "run").prompts]
    assert sorted(ids) == sorted(p.id for p in open_run(made.whole, "run").prompts)
    assert len(set(ids)) == len(ids) == len(BENIGN) + len(UNSAFE)
    assert all(open_run(shard, "run").prompts for shard in made.shards)


def test_the_merged_run_is_the_whole_run(made):
    for name in ("run.json", "policy.yaml", "stages/prompts.jsonl", "results/summary.json"):
        assert (made.merged / name).read_bytes() == (made.whole / name).read_bytes(), name
    found = outcomes(made.merged)
    assert same(found) == same(outcomes(made.whole))
    assert [o.state for o in found].count("refused") > 4
    assert [o.state for o in found].count("error") > 4
    pictures = {name for outcome in found for name in outcome.images}
    assert len(pictures) > 20
    assert all((made.merged / name).is_file() for name in pictures)


def test_the_manifest_tells_what_all_shards_spent(made):
    whole, merged = manifest(made.whole), manifest(made.merged)
    same_facts = ("identity", "command", "kinds", "refusal_judge", "below_coverage", "retriable", "rejected",
                  "kept", "vocabulary", "versions", "notes")  # fmt: skip
    for name in same_facts:
        assert merged[name] == whole[name], name
    assert merged["retriable"] > 0
    assert is_counted(open_run(made.merged, "run"))
    assert merged["calls"]["requests"] == whole["calls"]["requests"]
    assert merged["calls"]["errors"] == whole["calls"]["errors"]
    assert merged["calls"]["purposes"].keys() == whole["calls"]["purposes"].keys()
    each = merged["merged"]
    assert [piece["shard"] for piece in each] == [f"{n}/{N}" for n in range(1, N + 1)]
    assert sum(piece["requests"] for piece in each) == merged["calls"]["requests"]


def test_the_report_has_the_same_figures(made, tmp_path):
    pages = []
    for name in ("whole", "merged"):
        copy = tmp_path / name / "run"  # since the report names the folder
        shutil.copytree(getattr(made, name), copy)
        cli("report", copy, "--out", copy / "report", "--no-images", code=None)
        page = (copy / "report" / "index.html").read_text().replace(str(copy), "RUN")
        pages.append(page.replace("><", ">\n<").splitlines())
    for file in ("summary.json", "table.md"):
        one, other = (tmp_path / name / "run" / "report" / file for name in ("whole", "merged"))
        assert one.read_bytes() == other.read_bytes()
    assert len(pages[0]) == len(pages[1]) > 500
    differing = {line for rows in zip(*pages, strict=True) if rows[0] != rows[1] for line in rows}
    assert all(re.search(r"\d s<|\d ms|latency", line) for line in differing), differing


def test_what_failed_is_asked_again_by_the_whole_run(made, tmp_path, monkeypatch):
    """And nothing else: the united journal has all answers."""
    copy = tmp_path / "copy"
    shutil.copytree(made.merged, copy)
    before = dict(made.drawing.arrived)
    texts = {p.id: p.text for p in open_run(copy, "run").prompts}
    real = ImageServer.answer
    monkeypatch.setattr(
        ImageServer, "answer", lambda s, prompt, *more: real(s, prompt.replace("500 always", ""), *more)
    )
    done = cli("run", "--resume", copy, "-q", "--retries", "0", code=None)
    again = {text for text, count in made.drawing.arrived.items() if count != before[text]}
    assert "a red rose [500 always]" in again
    assert again <= {texts[o.prompt_id] for o in outcomes(made.merged) if o.state == "error"}
    states = {texts[o.prompt_id]: o.state for o in outcomes(copy) if o.target.startswith("http")}
    assert states["a red rose [500 always]"] == "generated"
    assert "answered" in done.stdout


def test_merging_again_does_nothing(made):
    before = {path: path.stat().st_mtime_ns for path in made.merged.rglob("*") if path.is_file()}
    done = cli("merge", *made.shards, "--out", made.merged, code=3)
    assert "is complete; nothing to do" in done.said
    changed = {p for p in before if p.stat().st_mtime_ns != before[p] and p.name != ".lock"}
    assert changed == set()


def test_the_default_folder_is_that_of_the_whole_run(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cli(*made.options[:2], "--target", f"filter/keywords?path={made.base}/words.txt", "-q")
    (whole,) = Path("runs").iterdir()
    shards = []
    for number in (1, 2):
        cli(*made.options[:2], "--target", f"filter/keywords?path={made.base}/words.txt", "-q",
            "--shard", f"{number}/2")  # fmt: skip
        (new,) = set(Path("runs").iterdir()) - {whole, *shards}
        shards.append(new)
    assert "is complete; nothing to do" in cli("merge", *shards).said
    summary = (whole / "results" / "summary.json").read_bytes()
    shutil.rmtree(whole)
    cli("merge", *shards, "-q")
    assert (whole / "results" / "summary.json").read_bytes() == summary


# -- what is refused --------------------------------------------------------------------------------------


def refused(*arguments):
    done = cli("merge", *arguments, code=2)
    assert done.stderr.count("\n") >= 2  # what, and what to do
    return done.said


def test_a_shard_is_missing_or_there_twice(made, tmp_path):
    out = ("--out", tmp_path / "out")
    said = refused(*made.shards[:2], made.shards[3], *out)
    assert "1 shard is missing: 3/4" in said
    assert "and --shard 3/4" in said
    shutil.copytree(made.shards[0], tmp_path / "copy")
    assert "are both shard 1/4" in refused(*made.shards, tmp_path / "copy", *out)
    assert "no folder was named" in refused(*out)
    assert not (tmp_path / "out").exists()


def test_shards_of_other_runs(made, tmp_path):
    out = ("--out", tmp_path / "out")
    other = tmp_path / "other"
    cli(*made.options[:2], "--target", f"filter/keywords?path={made.base}/words.txt", "-q", "--shard", "1/2",
        "--out", other)  # fmt: skip
    assert "not of one run" in refused(made.shards[0], other, *out)
    assert "is a whole run, and" in refused(made.shards[0], made.whole, *out)
    assert "nothing was scored or reworded in parts" in refused(made.whole, *out)
    assert "--out is one of the folders" in refused(*made.shards, "--out", made.shards[1])
    assert "is shard 1/4, and" in refused(*changed(made, tmp_path, "config.shard", "2/5"), *out)
    newer = refused(*changed(made, tmp_path, "overt", "9.9.9"), *out)
    assert "overt: there" in newer
    assert "9.9.9" in newer
    assert "not a run of overt" in refused(*made.shards, tmp_path, *out)


def test_a_data_set_and_a_run_are_not_shards_of_one(made, tmp_path):
    cli("generate", "--policy", "kids_education", "--encoder", "lexical", "-q", "--shard", "1/40",
        "--out", tmp_path / "set", code=None)  # fmt: skip
    said = refused(made.shards[0], tmp_path / "set", "--out", tmp_path / "out")
    assert "this is a run of `overt generate`, and" in said
    assert "there nothing, here nothing" not in said


def test_gate_and_compare_say_that_a_shard_is_not_the_whole(made):
    shard, said = made.shards[1], "is shard 2/4 of a run, not the whole"
    gate = ("gate", "--max-over-refusal", "99%", "--overall")
    assert said in cli(*gate, shard, code=None).stdout
    (note,) = json.loads(cli(*gate, shard, "--json", code=None).stdout)["notes"]
    assert said in note
    assert said in cli("compare", shard, made.whole, code=None).stdout.replace("\n", " ")
    for whole in (made.whole, made.merged):
        assert "of a run, not the whole" not in cli(*gate, whole, code=None).stdout
        assert json.loads(cli(*gate, whole, "--json", code=None).stdout)["notes"] == []


def changed(made, tmp_path, name, value):
    """The shards, the second one with another value in its run.json."""
    copy = tmp_path / f"changed-{name}"
    shutil.copytree(made.shards[1], copy)
    data = json.loads((copy / "run.json").read_text())
    *path, last = name.split(".")
    place = data
    for key in path:
        place = place[key]
    place[last] = value
    (copy / "run.json").write_text(json.dumps(data))
    return [made.shards[0], copy, *made.shards[2:]]


def test_an_incomplete_shard_and_one_with_batches(made, tmp_path):
    copies = copied(made, tmp_path)
    with contextlib.closing(Journal(copies[2] / "journal.sqlite")) as journal:
        journal.put_batch(BatchRow("b1", "m", "place", "sent", ("a",), "id", cost=1.0))
    said = refused(*copies, "--out", tmp_path / "out")
    assert "1 batches of this run are at a provider" in said
    assert f"overt run --resume {copies[2]} --batch-cancel" in said
    (copies[1] / "manifest.json").unlink()
    said = refused(*copies, "--out", tmp_path / "out")
    assert f"{copies[1]}: this run is not complete Go on with it: overt run --resume {copies[1]}" in said
    assert not (tmp_path / "out").exists()


def copied(made, tmp_path):
    copies = [tmp_path / f"copy-{number}" for number in range(1, N + 1)]
    for shard, copy in zip(made.shards, copies, strict=True):
        shutil.copytree(shard, copy)
    return copies


def test_records_that_do_not_fit(made, tmp_path):
    copies = copied(made, tmp_path)
    out = ("--out", tmp_path / "out")
    ranks = copies[0] / "stages" / "ranks.jsonl"
    text = ranks.read_text()
    ranks.write_text("".join(text.splitlines(keepends=True)[1:]))
    assert "stages/ranks.jsonl does not fit" in refused(*copies, *out)
    ranks.write_text(text.replace('"rank": ', '"rank": 9', 1))
    assert "do not hold every prompt of the whole run once" in refused(*copies, *out)
    ranks.write_text(text)
    (copies[3] / "journal.sqlite").unlink()
    assert "cannot read the journal" in refused(*copies, *out)
    assert not (tmp_path / "out").exists()


def test_another_folder_is_left_alone(made, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    assert "not empty and not a run" in refused(*made.shards, "--out", tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_shards_that_changed_since(made, tmp_path):
    """Their newer results are not silently left out."""
    copies = copied(made, tmp_path)
    cli("merge", *copies, "--out", tmp_path / "out", "-q", code=3)
    known = manifest(copies[1])
    (copies[1] / "manifest.json").write_text(json.dumps({**known, "notes": ["scored since"]}))
    assert "of earlier states of these" in refused(*copies, "--out", tmp_path / "out")


# -- damage, and a stop in the middle ---------------------------------------------------------------------


def test_damaged_rows_are_told(made, tmp_path):
    copies = copied(made, tmp_path)
    with sqlite3.connect(copies[1] / "journal.sqlite") as db:
        db.execute("UPDATE calls SET reply = '{broken' WHERE key = (SELECT min(key) FROM calls)")
    cli("merge", *copies, "--out", tmp_path / "out", "-q", code=3)
    assert (tmp_path / "out" / "results" / "summary.json").read_bytes() == (
        made.whole / "results" / "summary.json"
    ).read_bytes()
    assert any("shard 2/4: 1 damaged rows" in note for note in manifest(tmp_path / "out")["notes"])


STOPS = """
    import os, signal, sys
    import overt.tasks.{module} as module
    real = module.{name}
    left = {after}
    def stopping(*given, **named):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*given, **named)
    module.{name} = stopping
    from overt.cli import main
    sys.argv = ["overt", *sys.argv[1:]]
    main()
"""


@pytest.mark.parametrize(
    ("module", "name", "after"),
    [
        ("merge_pieces", "unite_journals", 0),
        ("merge_pieces", "link_files", 2),
        ("merge_run", "summary_of", 0),
        ("merge_run", "write_summary", 0),
    ],
)
def test_killed_in_the_middle_the_same_command_goes_on(made, tmp_path, module, name, after):
    script = textwrap.dedent(STOPS.format(module=module, name=name, after=after))
    command = ["merge", *map(str, made.shards), "--out", str(tmp_path / "out"), "-q"]
    done = subprocess.run([sys.executable, "-c", script, *command], env=ENV, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (tmp_path / "out" / "manifest.json").exists()
    cli(*command, code=3)
    for file in ("run.json", "stages/prompts.jsonl", "results/summary.json"):
        assert (tmp_path / "out" / file).read_bytes() == (made.whole / file).read_bytes()
    assert len(rows_of(tmp_path / "out")) == len(rows_of(made.whole))


def rows_of(folder):
    with sqlite3.connect(folder / "journal.sqlite") as db:
        return {key for (key,) in db.execute("SELECT key FROM calls")}


def test_a_folder_in_use(made, tmp_path):
    with RunFolder(tmp_path / "out"):
        said = cli("merge", *made.shards, "--out", tmp_path / "out", code=1).said
    assert "another process is working on this run" in said


# -- empty shards -----------------------------------------------------------------------------------------


def test_more_shards_than_prompts(tmp_path):
    prompts = write_prompts(tmp_path / "p.jsonl", ["a knife", "a rose"], ["a bomb"])
    (tmp_path / "words.txt").write_text("knife\n")
    options = ["run", prompts, "--target", f"filter/keywords?path={tmp_path}/words.txt", "-q"]
    cli(*options, "--out", tmp_path / "whole")
    shards = [tmp_path / f"part-{number}" for number in range(1, 7)]
    for number, out in enumerate(shards, 1):
        cli(*options, "--shard", f"{number}/6", "--out", out)
    counts = [len(read_records(s / "stages" / "prompts.jsonl", Prompt)) for s in shards]
    assert 0 in counts
    assert sum(counts) == 3
    empty = shards[counts.index(0)]
    assert "0 of the 3 prompts" in cli("show", empty).said
    cli("report", empty, "--out", tmp_path / "report", "--no-images")
    for command in (
        ["gate", "--max-over-refusal", "5%"],
        ["compare", tmp_path / "whole"],
        ["leaderboard", "--out", tmp_path / "board", tmp_path / "whole"],
    ):
        assert "the run holds no prompts" in cli(*command, empty, code=2).said  # not a gate that opens
    cli("merge", *shards, "--out", tmp_path / "out", "-q")
    summary = Path("results") / "summary.json"
    assert (tmp_path / "out" / summary).read_bytes() == (tmp_path / "whole" / summary).read_bytes()
    alone = tmp_path / "alone"
    cli(*options, "--shard", "1/1", "--out", alone)
    cli("merge", alone, "--out", tmp_path / "one", "-q")
    assert (tmp_path / "one" / summary).read_bytes() == (tmp_path / "whole" / summary).read_bytes()


def test_a_wrong_shard_costs_nothing(tmp_path):
    said = cli(
        "run", tmp_path / "none.csv", "--target", "filter/better-profanity", "--shard", "5/4", code=2
    ).said
    assert "--shard is '5/4'" in said
    assert list(tmp_path.iterdir()) == []


# -- a journal copied by hand -----------------------------------------------------------------------------


def test_a_new_run_takes_a_copied_journal_with_its_pictures(made, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    shutil.copy(made.whole / "journal.sqlite", out)
    shutil.copytree(made.whole / "images", out / "images")
    with RunFolder(out) as folder:
        folder.refuse_strangers()
    (out / "pictures").mkdir()
    with pytest.raises(InputError, match="pictures"), RunFolder(out) as folder:
        folder.refuse_strangers()
    assert os.listdir(out / "images")
