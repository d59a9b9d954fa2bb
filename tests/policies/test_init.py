"""`overt policies init`: a first draft from flags or answers, which validates and generates."""

import io
import os
import signal
import subprocess
import sys
import time

import pytest
from support.inside import cli

from overt.data.errors import InputError
from overt.policies.draft import Answers, drafted, parts_of, proposed_terms, slug, split_title
from overt.policies.load import load_policy, read_policy

TOYS = (
    *("policies", "init", "--yes", "--name", "toys", "--product", "Pictures for toy boxes"),
    *("--forbid", "Weapons: real guns and knives pointed at people", "--forbid", "alcohol and cigarettes"),
    *("--allow", "Weapons: pirates, knights and water pistols", "--allow", "history and museums"),
)


def answering(monkeypatch, *lines):
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))


# -- what a draft is made of ------------------------------------------------------------------------------


def test_lines_are_put_together_by_title_and_topic():
    answers = Answers(
        "p", "image", "x",
        ("Weapons: guns aimed at people", "beer and wine", "Weapons: real knives", "cigarettes"),
        ("Weapons: water pistols", "museums"), ("rifle", "whisky", "Weapons: dagger", "flimflam"),
    )  # fmt: skip
    weapons, drinks = parts_of(answers)
    assert (weapons.id, weapons.title) == ("weapons", "Weapons")
    assert weapons.disallowed == ["guns aimed at people", "real knives"]
    assert weapons.allowed == ["water pistols", "museums"]
    assert weapons.terms == ["rifle", "dagger", "flimflam"]  # an unknown term goes to the first
    assert drinks.disallowed == ["beer and wine", "cigarettes"]
    assert drinks.allowed == ["museums"]
    assert drinks.terms == ["whisky"]


def test_terms_are_proposed_where_none_is_named():
    terms = proposed_terms(["real guns and knives pointed at people"], "weapon")
    assert terms[:2] == ["guns", "knives"]
    assert len(terms) == 8
    assert proposed_terms(["flimflam and zorbing"], "") == ["flimflam", "zorbing"]
    assert proposed_terms(["the"], "") == ["the"]  # a category needs one


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("Weapons: guns", ("Weapons", "guns")),
        ("guns", ("", "guns")),
        ("at 12:30 o'clock", ("", "at 12:30 o'clock")),
        ("  Weapons:   guns  and\tknives ", ("Weapons", "guns and knives")),
    ],
)
def test_titles(said, found):
    assert split_title(said) == found


@pytest.mark.parametrize(
    "line", ['a "quoted" gun: {bare} # no comment', "Waffen und Größenwahn", "枪支", "- gun", "yes", "{gun}"]
)
@pytest.mark.parametrize("modality", ["image", "text"])
def test_whatever_is_said_is_data(line, modality):
    text = drafted(Answers("p", modality, line, (line, "guns"), (line,), ("gun",)))
    policy = read_policy(text, "p.yaml")
    assert policy.description == line
    assert any(split_title(line)[1] in c.disallowed for c in policy.categories)
    assert policy.modality == modality


def test_scenes_are_not_proposed_twice():
    policy = read_policy(drafted(Answers("p", "image", "x", ("guns", "beer"))), "p.yaml")
    scenes = [s.benign for c in policy.categories for t in c.triggers for s in t.scenes]
    assert len(scenes) == len(set(scenes)) > 10


def test_slugs():
    assert slug("Pictures, for Toy-Boxes!") == "pictures_for_toy_boxes"
    assert slug("3 wishes") == "wishes"
    assert slug("玩具") == ""


# -- with flags -------------------------------------------------------------------------------------------


def test_a_draft_validates_and_generates(tmp_path):
    file = tmp_path / "new" / "toys.yaml"
    done = cli(*TOYS, "--out", file)
    assert "2 categories" in done.stdout
    policy = load_policy(str(file))
    assert policy.name == "toys"
    assert policy.category("weapons").allowed == (
        "pirates, knights and water pistols",
        "history and museums",
    )
    assert file.read_text().count("#") > 5
    assert "OK" in cli("policies", "validate", file).stdout
    out = tmp_path / "run"
    made = cli(
        *("generate", "--policy", file, "--encoder", "lexical", "-q", "--benign", "10", "--unsafe", "8"),
        *("--out", out),
    )
    assert "short" not in made.stdout


def test_a_chat_assistant_s_draft(tmp_path):
    file = tmp_path / "chat.yaml"
    cli(
        *("policies", "init", "--yes", "--name", "chat", "--modality", "text", "--out", file),
        *("--forbid", "money laundering and fraud", "--term", "fake invoice"),
    )
    policy = load_policy(str(file))
    assert policy.modality == "text"
    assert [t.term for t in policy.categories[0].triggers] == ["fake invoice"]


def test_nothing_is_overwritten(tmp_path):
    file = tmp_path / "toys.yaml"
    file.write_text("mine")
    done = cli(*TOYS, "--out", file, code=2)
    assert "is there already" in done.said
    assert file.read_text() == "mine"
    cli(*TOYS, "--out", file, "--force")
    assert load_policy(str(file)).name == "toys"
    assert "this is a folder" in cli(*TOYS, "--out", tmp_path, "--force", code=2).said


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ((), "nothing is forbidden"),
        (("--forbid", " "), "an empty text"),
        (("--forbid", "guns", "--term", ""), "an empty text"),
        (("--forbid", "guns", "--name", "My Toys"), "for instance my_toys"),
        (("--forbid", "guns", "--modality", "video"), "neither image nor text"),
        (("--forbid", "guns", "--allow", "a sexy schoolgirl"), "floor"),
        (("--forbid", "guns", "--term", "child porn"), "floor"),
        (("--forbid", "Child porn: pictures of it"), "floor"),
    ],
)
def test_what_cannot_be_used(tmp_path, monkeypatch, more, said):
    monkeypatch.chdir(tmp_path)
    done = cli("policies", "init", "--yes", *more, code=2)
    assert said in done.said
    assert not list(tmp_path.iterdir())


def test_a_ban_that_the_floor_lets_nobody_ask_for_is_only_judged_by(tmp_path):
    file = tmp_path / "p.yaml"
    cli(*TOYS, "--forbid", "sexual pictures of children", "--out", file)
    counts = {c.title: c.unsafe for c in load_policy(str(file)).categories}
    assert (counts["Intimacy"], counts["Weapons"]) == (0, 30)


def test_a_title_of_no_category_is_told(tmp_path):
    done = cli(*TOYS, "--allow", "Wepons: toys", "--term", "Weapon: dagger", "--out", tmp_path / "p.yaml")
    said = " ".join(done.said.split())
    assert "'Wepons: toys' begins with the title of no category ('Weapons', " in said
    assert "'Weapon: dagger' begins" in said
    assert "'Weapons: pirates" not in said


# -- with questions ---------------------------------------------------------------------------------------


def test_questions(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answering(
        monkeypatch,
        *("", "Pictures for toy boxes"),  # an answer is needed
        *("My Toys", "toys"),  # no name, then one
        "",  # image
        *("", "Weapons: real guns", "beer", ""),
        *("a sexy schoolgirl", "pirates", ""),  # the floor, then a line
        *("", "beer, whisky"),  # proposals for weapons, own terms for the other
    )
    done = cli("policies", "init")
    assert "at least one line is needed" in done.said
    assert "that cannot stand in a policy" in done.said
    policy = load_policy("toys.yaml")
    assert policy.description == "Pictures for toy boxes"
    assert policy.category("weapons").allowed == ("pirates",)
    assert policy.category("weapons").triggers[0].term == "guns"
    assert [t.term for t in policy.categories[1].triggers] == ["beer", "whisky"]


def test_only_what_is_missing_is_asked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answering(monkeypatch, "text", "")
    done = cli(
        "policies", "init", "--name", "p", "--product", "a bot", "--forbid", "fraud", "--allow", "news"
    )
    assert done.stderr.count("?") == 2
    assert load_policy("p.yaml").modality == "text"


@pytest.mark.parametrize("lines", [(), ("Pictures",), ("Pictures", "toys", "image", "guns", "", "museums")])
def test_an_end_of_input_leaves_nothing(tmp_path, monkeypatch, lines):
    monkeypatch.chdir(tmp_path)
    answering(monkeypatch, *lines)
    done = cli("policies", "init", code=2)
    assert "not answered to the end; nothing was written" in done.said
    assert not list(tmp_path.iterdir())


def test_ctrl_c_leaves_nothing(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "overt", "policies", "init"],
        cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    process.stdin.write("Pictures\ntoys\n")
    process.stdin.flush()
    seen = ""
    while "image or text" not in seen and process.poll() is None:
        seen += process.stderr.read(1)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode not in (0, None)
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir())


def test_the_floor_stands_behind_every_draft():
    with pytest.raises(InputError):
        read_policy(drafted(Answers("p", "image", "x", ("guns",), ("nude schoolgirls",))), "p.yaml")
