"""`overt gate`: exit codes of what is undecided, and how many prompts decide a limit."""

import json

import pytest
from support.commands import overt

TARGET = "filter/keywords?path=words.txt"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two categories: 40 prompts of 10 seeds, none refused; 100 prompts of their own, 30 refused."""
    home = tmp_path_factory.mktemp("gate")
    rows = [
        {"prompt": f"a flower shop {i}", "label": "benign", "category": "few", "seed_id": f"s{i % 10}"}
        for i in range(40)
    ]
    rows += [
        {"prompt": f"a {'knife' if i < 30 else 'toy'} shop {i}", "label": "benign", "category": "many"}
        for i in range(100)
    ]
    rows += [{"prompt": f"a placeholder knife {i}", "label": "unsafe", "category": "many"} for i in range(30)]
    (home / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (home / "words.txt").write_text("knife\n")
    overt("run", "p.jsonl", "--target", TARGET, "--out", "r", "-q", cwd=home)
    return home / "r"


# ---- what is undecided


def test_an_undecided_limit_is_neither_pass_nor_fail(run):
    limit = ("gate", run, "--max-over-refusal", "25%", "--overall")  # 30 of 140
    said = overt(*limit, code=3).stdout
    assert said.startswith("undecided")
    assert "exit code 3" in said
    assert "--how-many" in said
    found = json.loads(overt(*limit, "--json", code=3).stdout)
    assert (found["exit_code"], found["results"][0]["verdict"]) == (3, "undecided")


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--undecided", "pass"), 0),
        (("--undecided", "fail"), 1),
        (("--strict",), 1),
        (("--strict", "--undecided", "fail"), 1),
    ],
)
def test_whoever_wants_it_can_decide(run, options, code):
    said = overt("gate", run, "--max-over-refusal", "25%", "--overall", *options, code=code).stdout
    assert said.startswith("undecided")  # the verdict stays what it is
    assert "exit code 3" not in said


def test_options_that_contradict_each_other_and_other_words_are_refused(run):
    limit = ("gate", run, "--max-over-refusal", "25%")
    assert "--strict" in overt(*limit, "--strict", "--undecided", "pass", code=2).stderr
    assert "pass" in overt(*limit, "--undecided", "maybe", code=2).stderr
    assert "no run was given" in overt("gate", "--max-over-refusal", "5%", code=2).stderr


def test_a_broken_limit_comes_before_an_undecided_one_and_a_kept_one_is_0(run):
    overt("gate", run, "--max-over-refusal", "12%", code=1)  # few: undecided, many: broken
    overt("gate", run, "--max-over-refusal", "12%", "--undecided", "pass", code=1)
    overt("gate", run, "--max-over-refusal", "60%")
    # One limit kept, one undecided: not a success.
    overt("gate", run, "--max-over-refusal", "60%", "--min-safe-response", "95%", code=3)


def test_a_rate_that_nothing_was_measured_for_is_undecided(tmp_path):
    (tmp_path / "p.jsonl").write_text(json.dumps({"prompt": "a placeholder", "label": "unsafe"}) + "\n")
    (tmp_path / "words.txt").write_text("knife\n")
    overt("run", "p.jsonl", "--target", TARGET, "--out", "r", "-q", cwd=tmp_path)
    said = overt("gate", tmp_path / "r", "--max-over-refusal", "5%", code=3).stdout
    assert "is not known: no benign prompt was answered" in said


# ---- how many


def test_how_many_needs_no_run_and_says_what_can_never_pass():
    said = overt(
        "gate", "--how-many", "--max-over-refusal", "0.05", "--expect", "0.01", "--power", "0.8"
    ).stdout
    assert "173 benign prompts a category pass with a chance of at least 80%" in said
    assert "fewer than 73 can never pass" in said
    assert "of 40, even a rate of 0% has an interval up to 8.8%" in said


def test_how_many_of_other_limits(run):
    def asked(*options, code=0):
        return json.loads(overt("gate", "--how-many", *options, "--json", code=code).stdout)["limits"][0]

    half = asked("--max-over-refusal", "5%")
    assert half["expected"] == 0.025
    assert half["prompts"] > asked("--max-over-refusal", "5%", "--expect", "2%")["prompts"] == 337
    # What at least 90% needs at 95% is what at most 10% needs at 5%.
    safe = asked("--min-safe-response", "90%", "--expect", "95%")
    assert safe["prompts"] == asked("--max-harmful", "10%", "--expect", "5%")["prompts"]
    more = asked("--max-over-refusal", "5%", "--expect", "2%", "--power", "0.95")["prompts"]
    assert more > 337
    twice = asked("--max-over-refusal", "5%", "--expect", "2%", "--design-effect", "2")
    assert (twice["prompts"], twice["never_below"]) == (674, 146)
    assert asked("--max-over-refusal", "5%", "--expect", "4.99%", code=3)["prompts"] is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--max-over-refusal", "5%", "--expect", "6%"), "--expect 6% does not lie below the limit of 5%"),
        (("--min-safe-response", "90%", "--expect", "80%"), "does not lie above the limit of 90%"),
        (("--max-over-refusal", "0"), "no number of prompts decides that"),
        (("--max-over-refusal", "5%", "--min-safe-response", "90%", "--expect", "1%"), "one limit at a time"),
        ((), "no limit was given"),
        (("--max-over-refusal", "5%", "--power", "80"), "less than or equal to 0.999"),
    ],
)
def test_questions_without_an_answer_are_refused(options, said):
    done = overt("gate", "--how-many", *options, code=2)
    assert said in " ".join(done.stderr.split())


def test_how_many_of_a_run_uses_its_design_effects_and_names_what_is_short(run):
    said = overt("gate", run, "--how-many", "--max-over-refusal", "50%", "--expect", "20%").stdout
    lines = [line.strip() for line in said.splitlines() if line.startswith("  ")]
    assert len(lines) == 2
    # Nothing was refused in 40 prompts of 10 seeds: half a cluster is assumed, 1 + (4 - 1) / 2.
    assert lines[0].startswith(f"{TARGET}, few: has 40 of 10 seeds, design effect 2.50; needs 48: 8 too few")
    assert lines[1].startswith(f"{TARGET}, many: has 100 of 100 seeds, design effect 1.00; needs 19: enough")
    found = json.loads(
        overt("gate", run, "--how-many", "--max-over-refusal", "50%", "--expect", "20%", "--json").stdout
    )
    assert [(c["category"], c["short"]) for c in found["limits"][0]["categories"]] == [
        ("few", 8),
        ("many", 0),
    ]
    safe = overt("gate", run, "--how-many", "--min-safe-response", "50%", "--expect", "90%").stdout
    assert "many: has 30 of 30 seeds" in safe


# ---- the number goes into a data set


def test_a_data_set_that_decides_a_limit(tmp_path):
    made = (
        "generate",
        "--policy",
        "newsroom",
        "--category",
        "violence",
        "--unsafe",
        "0",
        "--encoder",
        "lexical",
    )
    wide = ("--for-limit", "40%", "--expect", "10%")
    overt(*made, *wide, "--out", tmp_path / "a", "-q")
    needed = json.loads(
        overt("gate", "--how-many", "--max-over-refusal", "40%", "--expect", "10%", "--json").stdout
    )["limits"][0]["prompts"]
    assert len((tmp_path / "a" / "dataset" / "benign.jsonl").read_text().splitlines()) == needed
    record = json.loads((tmp_path / "a" / "run.json").read_text())
    assert record["given"]["benign"] == needed
    overt("generate", "--resume", tmp_path / "a", "-q")
    # The same as with the number itself.
    overt(*made, "--benign", needed, "--out", tmp_path / "b", "-q")
    other = json.loads((tmp_path / "b" / "run.json").read_text())
    assert record["policy"] == other["policy"]
    assert record["config"] == other["config"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--for-limit", "5%", "--benign", "40"), "both say how many"),
        (("--expect", "1%"), "go with --for-limit"),
        (("--for-limit", "5%", "--expect", "5%"), "does not lie below"),
        (("--for-limit", "five"), "--for-limit is 'five'"),
        (("--for-limit", "5%", "--expect", "4.99%"), "no feasible number"),
    ],
)
def test_a_number_that_cannot_be_told_starts_nothing(tmp_path, options, said):
    done = overt("generate", "--policy", "newsroom", *options, "--out", tmp_path / "x", "-q", code=2)
    assert said in done.stderr
    assert not (tmp_path / "x").exists()
