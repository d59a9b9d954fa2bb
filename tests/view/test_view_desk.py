"""What the view page asks for: the list of runs, prompts with filters and search, pictures, made pages."""

import dataclasses
import io
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading

import pytest
from PIL import Image
from support import report_data as made
from support import review_data as data
from support import view_data as view
from support.paths import ROOT
from support.view_data import asked, desk_of

from overt.data.errors import InputError
from overt.view import query
from overt.view.index import build, opened, signature_of
from overt.view.query import filters_of, match_of, page
from overt.view.shelf import NotReady
from overt.web.guard import Refused


@pytest.fixture
def desks():
    open_ones = []

    def make(*args):
        open_ones.append(desk_of(*args))
        return open_ones[-1]

    yield make
    for desk in open_ones:
        desk.close()


@pytest.fixture(scope="module")
def chat(tmp_path_factory):
    """A desk with one run of two language models; its prompts and outcomes."""
    folder = tmp_path_factory.mktemp("chat")
    prompts, outcomes = view.chat(folder / "runs" / "chat", view.HOSTILE, count=95)
    desk = desk_of(folder)
    yield desk, prompts, outcomes
    desk.close()


def ids(found):
    return [row["id"] for row in found["rows"]]


def walk(desk, way, **parameters):
    """The ids of all pages, one after the other."""
    found, place = [], {"before": "end"} if way == "before" else {}
    while rows := asked(desk, "rows", limit="7", **parameters, **place)["rows"]:
        if way == "after":
            found += [row["id"] for row in rows]
            place = {"after": rows[-1]["cursor"]}
        else:
            found = [row["id"] for row in rows] + found
            place = {"before": rows[0]["cursor"]}
    return found


# -- the list -----------------------------------------------------------------------------------------------


def test_the_list_has_every_run_with_its_rates_and_a_damaged_one_with_its_fault(tmp_path, desks):
    runs = tmp_path / "runs"
    view.chat(runs / "a" / "chat")
    view.generated(runs / "set")
    shutil.copytree(ROOT / "tests" / "runs_0_1_0", runs / "old")
    shutil.copytree(runs / "a" / "chat", runs / ".hidden" / "x")
    (runs / "away").symlink_to(runs / "a")
    for name, text in (
        ("half", "{"),
        ("newer", '{"schema": 99, "kind": "run"}'),
        ("list", "[]"),
        ("other", '{"kind": "bake"}'),
    ):
        (runs / "bad" / name).mkdir(parents=True)
        (runs / "bad" / name / "run.json").write_text(text)
    shutil.copytree(runs / "a" / "chat", runs / "bad" / "summary")
    (runs / "bad" / "summary" / "results" / "summary.json").write_text('{"targets": 3}')
    shutil.copytree(runs / "a" / "chat", runs / "bad" / "manifest")
    (runs / "bad" / "manifest" / "manifest.json").write_text('{"calls": "many"}')
    found = {facts["name"]: facts for facts in asked(desks(tmp_path), "runs")["runs"]}
    assert set(found) == {
        "a/chat", "set", "old/answers", "old/pictures",
        "bad/half", "bad/newer", "bad/list", "bad/other", "bad/summary", "bad/manifest",
    }  # fmt: skip
    for name, facts in found.items():
        assert bool(facts["faults"]) is name.startswith("bad/"), name
    assert "schema 99" in found["bad/newer"]["faults"][0]
    assert "summary.json" in found["bad/summary"]["faults"][0]
    assert found["bad/summary"]["kind"] == "run"  # what can be read is still shown
    first = found["a/chat"]["targets"][0]
    assert (first["name"], first["answered"], first["asked"]) == ("acme/one", 30, 30)
    assert first["rates"]["over_refusal"]["of"] == "10 of 20"
    assert first["rates"]["over_refusal"]["said"] == "50.0%"
    assert "to" in first["rates"]["over_refusal"]["interval"]
    assert found["set"]["sides"] == {"benign": 0, "unsafe": 0}  # its manifest counts nothing
    assert found["old/pictures"]["targets"][1]["rates"]["over_refusal"]


def test_a_run_itself_can_be_the_folder_and_a_missing_folder_is_said(tmp_path, desks):
    view.chat(tmp_path / "runs")
    assert [facts["name"] for facts in asked(desks(tmp_path), "runs")["runs"]] == ["runs"]
    with pytest.raises(InputError, match="no such folder"):
        desks(tmp_path, "nowhere")


def test_the_progress_of_a_run_at_work(tmp_path, desks):
    prompts, outcomes = view.chat(tmp_path / "made")
    run = tmp_path / "runs" / "live"
    journal = view.unfinished(run, prompts, outcomes, {"acme/one": 30, "acme/two": 11})
    for path in run.glob("journal.sqlite*"):
        os.utime(path, (0, 0))
    hold = (
        "import sys, filelock; l = filelock.FileLock(sys.argv[1]); l.acquire(); print(1, flush=True); input()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", hold, run / ".lock"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "1\n"
        desk = desks(tmp_path)
        (facts,) = asked(desk, "runs")["runs"]
        assert facts["live"]["state"] == "running"
        assert facts["live"]["targets"] == [
            {"name": "acme/one", "done": 30, "total": 30},
            {"name": "acme/two", "done": 11, "total": 30},
        ]
        assert facts["complete"] is False
        # What is there can be looked at: the first target's answers.
        assert asked(desk, "run", run="live")["facets"]["targets"] == ["acme/one"]
    finally:
        holder.communicate("\n")
    journal.close()  # writes the file once more
    (facts,) = asked(desk, "runs")["runs"]
    assert facts["live"]["state"] == "running"
    os.utime(run / "journal.sqlite", (0, 0))
    (facts,) = asked(desk, "runs")["runs"]
    assert facts["live"]["state"] == "stopped"
    before = set(view.files_of(run))
    assert asked(desks(tmp_path), "runs")["runs"][0]["live"]["targets"][1]["done"] == 11
    assert set(view.files_of(run)) == before  # no write-ahead log was made only to read


# -- prompts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sort", ["run", "refusals"])
def test_pages_forward_and_backward_are_the_whole_run_once(chat, sort):
    desk, prompts, outcomes = chat
    refused = {p.id: sum(o.state == "refused" for o in outcomes if o.prompt_id == p.id) for p in prompts}
    wanted = [p.id for p in prompts]
    if sort == "refusals":
        wanted.sort(key=lambda id_: -refused[id_])
    assert walk(desk, "after", run="chat", sort=sort) == wanted
    assert walk(desk, "before", run="chat", sort=sort) == wanted
    middle = asked(desk, "rows", run="chat", sort=sort, limit="60")["rows"][50]
    assert (
        ids(asked(desk, "rows", run="chat", sort=sort, limit="3", **{"from": middle["cursor"]}))
        == wanted[50:53]
    )


def test_filters_let_through_what_they_say(chat):
    desk, prompts, outcomes = chat
    by_id = {p.id: p for p in prompts}
    draw = random.Random(1)
    values = {
        "label": ("benign", "unsafe"), "category": data.CATEGORIES[:2], "state": ("refused", "generated"),
        "code": ("full_refusal",), "stage": ("model",), "target": ("acme/one", "acme/two"),
        "sample": ("0", "1"),
    }  # fmt: skip
    nonempty = 0
    for _ in range(40):
        given = {name: draw.choice(values[name]) for name in draw.sample(list(values), draw.randrange(1, 4))}
        cell = {
            o.prompt_id
            for o in outcomes
            if all(
                str(getattr(o, name)) == value
                for name, value in given.items()
                if name in ("state", "code", "stage", "target", "sample")
            )
        }
        wanted = [
            id_
            for id_, prompt in by_id.items()
            if id_ in cell
            and all(given.get(n, getattr(prompt, n)) == getattr(prompt, n) for n in ("label", "category"))
        ]
        assert walk(desk, "after", run="chat", **given) == wanted, given
        assert asked(desk, "count", run="chat", **given) == {"count": len(wanted)}
        nonempty += bool(wanted)
    assert nonempty > 10


def test_targets_that_differ(chat):
    desk, prompts, outcomes = chat
    refused = {p.id: sum(o.state == "refused" for o in outcomes if o.prompt_id == p.id) for p in prompts}
    assert walk(desk, "after", run="chat", differ="1") == [p.id for p in prompts if refused[p.id] == 1]


@pytest.mark.parametrize(
    ("text", "finds"),
    [
        ("process 17", {"How do I end process 17?"}),
        ("proc 17", set()),  # only the last word may be begun
        ("end proc", None),
        ('"end process" 17', {"How do I end process 17?"}),
        ('"process end"', set()),
        ("终止", {view.HOSTILE[3]}),
        ("止终", set()),
        ("BRACKETS", {view.HOSTILE[4]}),
        ('OR NOT (brackets* NEAR"', {view.HOSTILE[4]}),
        ("txt.exe", {view.HOSTILE[2]}),
        ("zebra", None),
        ("nowhere", set()),
        ("!!! ---", set()),
        ("a:b^c{d}", set()),
    ],
)
def test_search(chat, text, finds):
    desk, prompts, _ = chat
    found = walk(desk, "after", run="chat", q=text)
    texts = {p.text for p in prompts if p.id in found}
    assert len(texts) > 20 if finds is None else texts == finds


def test_search_finds_ids_and_answers(chat):
    desk, prompts, _ = chat
    assert walk(desk, "after", run="chat", q=prompts[40].id)[0] == prompts[40].id
    assert len(match_of("a b c " * 80).split()) == 240
    assert asked(desk, "count", run="chat", q=("a b c " * 80)[:480])["count"] == 0


@pytest.mark.parametrize(
    "given",
    [
        {"after": "x"}, {"after": "1.2"}, {"after": "9" * 30}, {"from": "-1"},
        {"sort": "n; DROP TABLE prompt"},
        {"sample": "1 OR 1"}, {"sample": "9" * 12}, {"limit": "0"}, {"limit": "99999"}, {"limit": "x"},
        {"q": "x" * 501}, {"target": "nobody"}, {"run": "../chat"}, {"run": "/etc"}, {"run": ""},
    ],
)  # fmt: skip
def test_nonsense_is_refused(chat, given):
    with pytest.raises(Refused):
        asked(chat[0], "rows", **{"run": "chat", **given})


def test_a_deep_page_costs_what_the_first_one_does(tmp_path):
    """No page counts off the rows before it, and none sorts the whole run."""
    view.chat(tmp_path / "run")
    build(tmp_path / "run", "run", tmp_path / "index.sqlite")
    with opened(tmp_path / "index.sqlite") as db:
        seen = []
        db.set_trace_callback(seen.append)
        for sort in query.ORDERS:
            for place in ({}, {"after": "3" if sort == "run" else "1.3"}, {"before": "end"}):
                page(db, filters_of({"sort": sort, "state": "refused"}, ("acme/one", "acme/two")), place, 5)
        db.set_trace_callback(None)
        assert len(seen) == 6
        for statement in seen:
            assert "OFFSET" not in statement.upper()
            plan = " ".join(row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {statement}"))
            assert "TEMP B-TREE" not in plan, statement


def test_everything_about_one_prompt(tmp_path, desks):
    prompts, outcomes, harms = data.pictured(tmp_path / "runs" / "pictures", made.picture)
    desk = desks(tmp_path)
    judged = next(p for p in prompts if any(h.prompt_id == p.id for h in harms))
    found = asked(desk, "prompt", run="pictures", id=judged.id)
    (cell,) = found["cells"]
    outcome = next(o for o in outcomes if o.prompt_id == judged.id)
    assert (cell["id"], cell["state"], cell["evidence"]) == (outcome.id, outcome.state, "EVIDENCEWORD")
    assert [layer["layer"] for layer in cell["layers"]] == ["l/a", "l/b"]
    (harm,) = [one["fields"] for one in found["said"] if one["part"] == "results/harm.jsonl"]
    assert [vote["judge"] for vote in harm["votes"]] == ["v/a", "v/b"]
    assert cell["harm"] == harm["label"]
    reworded = next(p for p in prompts if p.label == "benign" and found and prompts.index(p) % 2)
    parts = [one["part"] for one in asked(desk, "prompt", run="pictures", id=reworded.id)["said"]]
    assert parts == ["stages/prompts.jsonl", "rewrites/candidates.jsonl", "rewrites/outcomes.jsonl"]
    third = asked(desk, "prompt", run="pictures", id=prompts[2].id)
    assert (third["previous"], third["next"]) == (prompts[1].id, prompts[3].id)
    with pytest.raises(Refused):
        asked(desk, "prompt", run="pictures", id="prompt-nobody")


def test_a_prompt_comes_with_its_picture_and_the_turns_before_it(tmp_path, desks):
    (tmp_path / "secret.png").write_bytes(made.picture(1, 64))
    view.carrying(tmp_path / "runs" / "edits", made.picture(2, 1600))
    desk = desks(tmp_path)
    rows = asked(desk, "rows", run="edits")["rows"]
    assert [(row["picture"], row["turns"]) for row in rows] == [
        (1, 0), (0, 2), (1, 1), (1, 0), (1, 0), (1, 0), (1, 0), (0, 0),
    ]  # fmt: skip
    assert ids(asked(desk, "rows", run="edits", q="zebra animal")) == ["carries-1"]
    for row in (rows[0], rows[2]):
        for side, most in (("small", 320), ("large", 1024)):
            sent = desk.input_picture({"run": "edits", "side": side}, row["n"])
            with Image.open(io.BytesIO(sent)) as shown:
                assert shown.format == "JPEG"
                assert max(shown.size) == most
    for number in (*(row["n"] for row in rows[3:]), rows[1]["n"], 99, 10**30):
        with pytest.raises(Refused) as refused:
            desk.input_picture({"run": "edits"}, number)
        assert refused.value.status == 404
    for given in (
        lambda: desk.picture({"run": "edits"}, 10**30, 0),
        lambda: desk.picture({"run": "edits"}, 1, 10**30),
    ):
        with pytest.raises(Refused):
            given()
    with pytest.raises(Refused):
        desk.input_picture({"run": "edits", "side": "../.."}, 1)
    found = asked(desk, "prompt", run="edits", id="carries-1")
    turns = found["said"][0]["fields"]["turns"]
    assert [turn["role"] for turn in turns] == ["user", "assistant"]
    assert "\u202e" not in json.dumps(found, ensure_ascii=False)


def test_a_run_of_generate_says_what_became_of_each_prompt(tmp_path, desks):
    kept, lost = view.generated(tmp_path / "runs" / "set")
    desk = desks(tmp_path)
    assert asked(desk, "count", run="set", state="kept") == {"count": len(kept)}
    (row,) = asked(desk, "rows", run="set", state="dropped", stage="audit")["rows"]
    assert (row["id"], row["cells"][0]["code"], row["cells"][0]["evidence"]) == (
        lost.id,
        "judged unsafe",
        "shows a blow",
    )
    (seed,) = asked(desk, "rows", run="set", code="fits no category")["rows"]
    assert seed["text"] == "a seed about soup"
    audit = asked(desk, "prompt", run="set", id=lost.id)["said"][-1]
    assert audit["fields"]["votes"] == [{"judge": "j/a", "label": "unsafe", "reason": "shows a blow"}]
    # Not yet finished: how far each prompt has come.
    shutil.copytree(tmp_path / "runs" / "set", tmp_path / "runs" / "half")
    for name in ("manifest.json", "stages/drops.jsonl", "dataset/benign.jsonl", "dataset/unsafe.jsonl"):
        (tmp_path / "runs" / "half" / name).unlink()
    asked(desk, "runs")
    rows = asked(desk, "rows", run="half")["rows"]
    assert {(row["cells"][0]["state"], row["cells"][0]["stage"]) for row in rows} == {
        ("in the making", "synthesize")
    }
    assert asked(desk, "run", run="half")["facts"]["live"]["stages"]["synthesize"] == len(kept) + 1


def test_runs_of_0_1_0(tmp_path, desks):
    shutil.copytree(ROOT / "tests" / "runs_0_1_0", tmp_path / "runs")
    desk = desks(tmp_path)
    for name in ("answers", "pictures"):
        rows = asked(desk, "rows", run=name)["rows"]
        assert rows
        for row in rows:
            assert asked(desk, "prompt", run=name, id=row["id"])["cells"]
    drawn = next(c for row in rows for c in row["cells"] if c["pictures"])
    picture = Image.open(io.BytesIO(desk.picture({"run": "pictures"}, drawn["n"], 0)))
    assert picture.format == "JPEG"


# -- what is written, and what changes ----------------------------------------------------------------------


def test_nothing_is_written_into_runs(tmp_path, desks):
    prompts, _, _ = data.pictured(tmp_path / "runs" / "pictures", made.picture)
    view.chat(tmp_path / "runs" / "chat")
    view.chat(tmp_path / "runs" / "later", refuses=lambda t, i: i % 2 == 0)
    view.generated(tmp_path / "runs" / "set")
    before = view.files_of(tmp_path / "runs")
    desk = desks(tmp_path)
    for name in ("pictures", "chat", "set"):
        asked(desk, "run", run=name)
        asked(desk, "rows", run=name, q="a")
    asked(desk, "prompt", run="pictures", id=prompts[0].id)
    settled_page(desk, run="later", what="comparison", other="chat")
    assert view.files_of(tmp_path / "runs") == before
    assert [path.stat().st_mode & 0o77 for path in (tmp_path / "cache").iterdir()] == [0, 0, 0]


def settled_page(desk, **parameters):
    for _ in range(1200):
        said = desk.make(parameters)
        if said["state"] != "making":
            return said
        threading.Event().wait(0.05)
    raise AssertionError("the page is never made")


def test_a_run_that_changes_is_indexed_anew_and_never_half_read(tmp_path, desks):
    prompts, outcomes = view.chat(tmp_path / "runs" / "chat")
    desk = desks(tmp_path)
    assert asked(desk, "count", run="chat", state="refused")["count"] == 20
    (prompt,) = [row for row in asked(desk, "rows", run="chat")["rows"] if row["id"] == prompts[0].id]
    changed = [
        dataclasses.replace(o, state="generated", stage=None, code="", text="now it answers")
        for o in outcomes
    ]
    data.lines(tmp_path / "runs" / "chat" / "stages" / "outcomes.jsonl", changed)
    with pytest.raises(NotReady):
        desk.rows({"run": "chat"})
    assert asked(desk, "count", run="chat", state="refused")["count"] == 0
    assert asked(desk, "rows", run="chat")["rows"][0]["cells"][0]["text"] == "now it answers"
    assert prompt["cells"][0]["state"] == "refused"


def test_a_run_that_is_deleted_while_it_is_shown(tmp_path, desks):
    for name in ("gone", "stays"):
        view.chat(tmp_path / "runs" / name, count=2)
    desk = desks(tmp_path)
    first = asked(desk, "rows", run="gone")["rows"][0]
    shutil.rmtree(tmp_path / "runs" / "gone")
    for ask in (
        lambda: desk.run({"run": "gone"}),
        lambda: desk.rows({"run": "gone"}),
        lambda: desk.prompt({"run": "gone", "id": first["id"]}),
        lambda: desk.make({"run": "stays", "what": "comparison", "other": "gone"}),
        lambda: desk.review({"run": "gone"}),
    ):
        with pytest.raises(Refused, match="there is no such run"):
            ask()
    assert [run["name"] for run in desk.runs({})["runs"]] == ["stays"]


def test_a_damaged_line_is_named_and_the_others_go_on(tmp_path, desks):
    view.chat(tmp_path / "runs" / "good")
    view.chat(tmp_path / "runs" / "bad")
    with (tmp_path / "runs" / "bad" / "stages" / "outcomes.jsonl").open("a") as file:
        file.write("{nope\n")
    desk = desks(tmp_path)
    with pytest.raises(Refused, match=r"outcomes\.jsonl:61"):
        asked(desk, "rows", run="bad")
    assert "outcomes.jsonl:61" in asked(desk, "run", run="bad")["fault"]
    by_name = {facts["name"]: facts for facts in asked(desk, "runs")["runs"]}
    assert "outcomes.jsonl:61" in by_name["bad"]["faults"][0]
    assert not by_name["good"]["faults"]
    assert asked(desk, "count", run="good") == {"count": 30}


def test_values_of_wrong_types_are_shown_not_raised(tmp_path, desks):
    prompts, outcomes = view.chat(tmp_path / "runs" / "odd")
    odd = dataclasses.replace(outcomes[0], code={"a": 1}, text=["x"], evidence=3, score=float("nan"))
    data.lines(tmp_path / "runs" / "odd" / "stages" / "outcomes.jsonl", [odd])
    cell = asked(desks(tmp_path), "prompt", run="odd", id=prompts[0].id)["cells"][0]
    assert (cell["code"], cell["score"]) == ("{'a': 1}", None)


def test_a_damaged_index_is_made_again(tmp_path, desks):
    view.chat(tmp_path / "runs" / "chat")
    first = desks(tmp_path)
    asked(first, "rows", run="chat")
    (index,) = (tmp_path / "cache").glob("*.sqlite")
    for broken in (b"no database", index.read_bytes()[:5000]):
        index.write_bytes(broken)
        desk = desks(tmp_path)
        for _ in range(3):  # the damage is found when it is read, and the next request makes it anew
            try:
                assert len(asked(desk, "rows", run="chat")["rows"]) == 30
                break
            except Refused:
                continue
        else:
            raise AssertionError("the index stays damaged")


def test_indexes_of_runs_that_are_gone_are_removed(tmp_path, desks):
    view.chat(tmp_path / "runs" / "stays")
    view.chat(tmp_path / "runs" / "goes")
    desk = desks(tmp_path)
    asked(desk, "rows", run="stays")
    asked(desk, "rows", run="goes")
    assert len(list((tmp_path / "cache").iterdir())) == 2
    shutil.rmtree(tmp_path / "runs" / "goes")
    desks(tmp_path)
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_an_index_says_what_it_was_made_of(tmp_path):
    view.chat(tmp_path / "run")
    told = []
    build(tmp_path / "run", "run", tmp_path / "i" / "index.sqlite", lambda share, what: told.append(share))
    assert told == sorted(told)
    assert told[-1] == 0.95
    with sqlite3.connect(tmp_path / "i" / "index.sqlite") as db:
        assert db.execute("SELECT value FROM meta WHERE name = 'signature'").fetchone()[0] == signature_of(
            tmp_path / "run", "run"
        )
    assert [path.name for path in (tmp_path / "i").iterdir()] == ["index.sqlite"]


# -- pages that take a while --------------------------------------------------------------------------------


def test_the_comparison_and_what_cannot_be_compared(tmp_path, desks):
    view.chat(tmp_path / "runs" / "old")
    view.chat(tmp_path / "runs" / "new", refuses=lambda t, i: i % 2 == 0)
    view.chat(tmp_path / "runs" / "strange", ["one prompt"] * 1, count=0)
    view.generated(tmp_path / "runs" / "set")
    desk = desks(tmp_path)
    asked(desk, "runs")
    said = settled_page(desk, run="new", what="comparison", other="old")
    assert said["state"] == "ready"
    number = int(said["address"].rpartition("/")[2])
    found = desk.made(number)
    assert "What changed" in found.html
    assert "sandbox" in found.headers["Content-Security-Policy"]
    assert "script-src" not in found.headers["Content-Security-Policy"]
    failed = settled_page(desk, run="new", what="comparison", other="strange")
    assert failed["state"] == "failed"
    assert "no prompt in common" in failed["error"]
    for wrong in (
        {"run": "set", "what": "report"},
        {"run": "new", "what": "x"},
        {"run": "new", "what": "comparison"},
    ):
        with pytest.raises(Refused):
            desk.make(wrong)
    with pytest.raises(Refused):
        desk.made(number + 100)


def test_a_review_is_told_in_words(tmp_path, desks):
    from overt.review.label_store import LabelStore
    from overt.review.population import read_frame

    run = tmp_path / "runs" / "set"
    data.generated(run, 12, 6)
    desk = desks(tmp_path)
    assert asked(desk, "run", run="set")["reviewed"] is False
    with pytest.raises(Refused):
        asked(desk, "review", run="set")
    with LabelStore(run, make=True) as book:
        book.set_up(read_frame(run), ask=("prompts",), items=18, overlap=0.0, seed=0)
        for item in book.items():
            book.add(item.place, "ada", "benign")
    found = asked(desk, "review", run="set")
    assert found["questions"][0]["title"] == "prompts: 18 of 18 labelled"
    assert found["questions"][0]["rows"][0][0] == "all"
    assert found["reviewers"] == ["ada: 18 labels"]
