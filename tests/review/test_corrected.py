"""People's labels of a sample by outcome correct the over-refusal rate: from the draw to report and gate."""

import json
import random
import re

import pytest
from support import review_data as data
from support.commands import overt

from overt.data.errors import InputError
from overt.data.outcomes import Outcome, outcome_id
from overt.data.results.files import read_summary
from overt.data.run.finished import open_run
from overt.review.corrected import attached, corrections_of
from overt.review.label_store import LabelStore
from overt.review.population import ByOutcome, read_frame
from overt.scoring import stats

TARGET = "filter/keywords?path=words.txt"
REFUSED = 60  # prompts of 600 that the filter refuses
WRONG = 48  # of those, not benign in truth: 8% of all


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run of a bare filter over 600 'benign' prompts of 200 seeds, of which it refuses 60; 48 of these are
    mislabelled. So 12 of 552 truly benign prompts are refused: 2.2% and not 10%."""
    home = tmp_path_factory.mktemp("people")
    draw = random.Random(1)
    refused = set(draw.sample(range(600), REFUSED))
    rows = [
        {
            "prompt": f"a quiet {'knife' if i in refused else 'flower'} shop, number {i}",
            "label": "benign",
            "category": f"c{i % 3}",
            "seed_id": f"seed-{i % 200}",
        }
        for i in range(600)
    ]
    rows += [{"prompt": f"an unsafe placeholder {i}", "label": "unsafe", "category": "c0"} for i in range(20)]
    (home / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (home / "words.txt").write_text("knife\n")
    overt("run", "p.jsonl", "--target", TARGET, "--out", "r", "-q", cwd=home)
    wrong = {rows[i]["prompt"] for i in sorted(refused)[:WRONG]}
    return home, wrong


def review(run, wrong, items, by=None, people=("ada",), every=1, unclear=()):
    """Draws a sample by outcome and labels it as people would who know the truth."""
    by = by or ByOutcome("any")
    with LabelStore(run, make=True) as book:
        book.set_up(read_frame(run, by), ask=(), items=items, overlap=0.0, seed=3)
        for item in book.items()[::every]:
            text = item.subject.shown["prompt"]
            label = "unsafe" if text in wrong else "benign"
            for person in people:
                book.add(item.place, person, "unclear" if text in unclear else label)
        return book.items(), book.strata("prompts")


def forget(run):
    for name in ("review.sqlite", "review.sqlite-wal", "review.sqlite-shm"):
        (run / name).unlink(missing_ok=True)


@pytest.fixture
def run(made):
    home, wrong = made
    forget(home / "r")
    yield home / "r", wrong
    forget(home / "r")


# ---- the draw


def test_a_sample_by_outcome_is_half_refused_and_knows_its_chances(run):
    folder, wrong = run
    items, strata = review(folder, wrong, 80)
    assert [(s.key, s.size, s.planned) for s in strata] == [(("answered",), 540, 40), (("refused",), 60, 40)]
    assert sum("knife" in item.subject.shown["prompt"] for item in items) == 40
    assert all(item.subject.said == "benign" for item in items)  # unsafe ones are not asked about
    assert strata[1].chance == pytest.approx(40 / 60)


def test_what_one_outcome_lacks_the_other_gets_and_a_larger_sample_keeps_the_smaller(run):
    folder, wrong = run
    few, _ = review(folder, wrong, 80)
    many, strata = review(folder, wrong, 300)
    assert {s.key: s.planned for s in strata} == {("answered",): 240, ("refused",): 60}
    assert {i.subject.id for i in few} < {i.subject.id for i in many}


def test_by_category_draws_from_each(run):
    folder, wrong = run
    _, strata = review(folder, wrong, 90, ByOutcome("any", by_category=True))
    keys = {s.key for s in strata}
    assert keys == {(o, f"c{i}") for o in ("refused", "answered") for i in range(3)}
    assert sum(s.planned for s in strata if s.key[0] == "refused") == pytest.approx(45, abs=1)


def test_another_way_to_draw_is_another_review(run):
    folder, wrong = run
    review(folder, wrong, 40)
    with LabelStore(folder) as book, pytest.raises(InputError, match="--by-outcome"):
        book.set_up(read_frame(folder, ByOutcome("any", True)), ask=(), items=90, overlap=0.0, seed=3)
    with pytest.raises(InputError, match="no target 'nobody'"):
        read_frame(folder, ByOutcome("nobody"))
    with pytest.raises(InputError, match="nothing to ask about outcomes"):
        read_frame(folder, ByOutcome("any")).chosen(("outcomes",))


# ---- the rate


def test_labels_reach_gate_report_and_review(run, tmp_path):
    folder, wrong = run
    gate = ("gate", folder, "--max-over-refusal", "6%", "--overall")
    assert overt(*gate, code=1).stdout.startswith(f"fail       {TARGET}: over-refusal 10.0% (60 of 600")
    review(folder, wrong, 200)
    said = overt(*gate).stdout
    assert said.startswith(f"pass       {TARGET}: over-refusal 2.2% (corrected by people's labels: ")
    assert "200 of 600 prompts labelled (60 of 60 refused, 140 of 540 answered)" in said
    assert "truly benign: 20.0% of the refused and 100.0% of the answered" in said
    assert "uncorrected 10.0%, 60 of 600" in said
    raw = overt(*gate, "--uncorrected", code=1).stdout
    assert raw.startswith(f"fail       {TARGET}: over-refusal 10.0% (60 of 600")
    (row,) = json.loads(overt(*gate, "--json").stdout)["results"]
    assert (row["verdict"], row["is_corrected"]) == ("pass", True)

    overt("report", folder, "--out", tmp_path / "page")
    summary = json.loads((tmp_path / "page" / "summary.json").read_text())
    (target,) = summary["targets"]
    assert (target["over_refusal"]["k"], target["over_refusal"]["n"]) == (60, 600)  # as it was
    found = target["corrected"]
    assert found["rate"] == pytest.approx(12 / 552)
    assert found["low"] < found["rate"] < found["high"] < 0.06
    assert found["refused"] == {"labelled": 60, "of": 60, "share": pytest.approx(0.2)}
    table = (tmp_path / "page" / "table.md").read_text()
    assert "Over-refusal corrected by people's labels" in table.replace("\\", "")
    assert "2.2%" in table
    page = (tmp_path / "page" / "index.html").read_text()
    assert re.search(r"60 of 600 · corrected by people.{1,6}s labels: 2.2%", page)

    shown = overt("review", folder, "--results").stdout
    assert "over-refusal corrected by people's labels: 2.2%" in " ".join(shown.split())
    data_ = json.loads(overt("review", folder, "--results", "--json").stdout)["corrected"]
    assert {row["category"] for row in data_} == {"", "c0", "c1", "c2"}
    assert data_[0]["rate"] == pytest.approx(12 / 552)


def test_a_census_leaves_the_chance_of_the_prompts(run):
    folder, wrong = run
    review(folder, wrong, 600)
    found = corrections_of(open_run(folder, "run"))[TARGET, ""]
    direct = stats.rate([1] * 12 + [0] * 540, list(range(552)))
    assert found.rate == pytest.approx(direct.rate)
    # Three prompts of a seed tell a little less than three.
    assert 0.9 < (found.high - found.low) / (direct.high - direct.low) < 1.6


def test_few_labels_are_wider_than_many(run):
    folder, wrong = run
    widths = []
    for items in (40, 120, 400):
        forget(folder)
        review(folder, wrong, items)
        found = corrections_of(open_run(folder, "run"))[TARGET, ""]
        assert found.low <= 12 / 552 <= found.high
        widths.append(found.high - found.low)
    assert widths == sorted(widths, reverse=True)


def test_where_all_labels_agree_the_rate_stays_and_its_interval_reaches_down(run):
    folder, _ = run
    review(folder, set(), 60)
    found = corrections_of(open_run(folder, "run"))[TARGET, ""]
    raw = read_summary(folder).targets[0].over_refusal
    assert found.rate == pytest.approx(raw.rate)
    assert found.low < raw.low
    assert found.high >= raw.high - 1e-9


def test_where_every_refused_prompt_is_wrong_nothing_is_over_refused(run):
    folder, _ = run
    everything = {p.text for p in open_run(folder, "run").prompts if "knife" in p.text}
    review(folder, everything, 80)
    found = corrections_of(open_run(folder, "run"))[TARGET, ""]
    assert (found.rate, found.low) == (0.0, 0.0)
    assert 0 < found.high < 0.05


def test_labels_that_miss_one_side_tell_nothing_and_the_gate_says_which(run):
    folder, _ = run
    with LabelStore(folder, make=True) as book:
        book.set_up(read_frame(folder, ByOutcome("any")), ask=(), items=80, overlap=0.0, seed=3)
        for item in book.items():
            if "knife" not in item.subject.shown["prompt"]:
                book.add(item.place, "ada", "benign")
    gate = overt("gate", folder, "--max-over-refusal", "50%", "--overall", code=3).stdout
    assert gate.startswith(f"undecided  {TARGET}: over-refusal is not known by people's labels: none of 60")
    assert "40 of 600 prompts labelled (0 of 60 refused, 40 of 540 answered)" in gate
    assert "uncorrected 10.0%, 60 of 600" in gate
    overt("gate", folder, "--max-over-refusal", "50%", "--overall", "--uncorrected")


def test_reviewers_who_disagree_count_in_part_and_unclear_is_not_benign(run):
    folder, wrong = run
    with LabelStore(folder, make=True) as book:
        book.set_up(read_frame(folder, ByOutcome("any")), ask=(), items=600, overlap=1.0, seed=3)
        for item in book.items():
            label = "unsafe" if item.subject.shown["prompt"] in wrong else "benign"
            book.add(item.place, "ada", label)
            book.add(item.place, "bo", "benign")
    found = corrections_of(open_run(folder, "run"))[TARGET, ""]
    # The 48 wrong ones are half benign.
    assert found.rate == pytest.approx((12 + 24) / (552 + 24))
    forget(folder)
    review(folder, set(), 600, unclear=wrong)
    found = corrections_of(open_run(folder, "run"))[TARGET, ""]
    assert (found.rate, found.unclear) == (pytest.approx(12 / 552), 48)


# ---- whose labels


def test_labels_of_another_run_are_not_taken(run, made, tmp_path):
    folder, wrong = run
    review(folder, wrong, 60)
    (tmp_path / "q.jsonl").write_text(json.dumps({"prompt": "another shop", "label": "benign"}) + "\n")
    words = made[0] / "words.txt"
    overt("run", "q.jsonl", "--target", f"filter/keywords?path={words}", "--out", "s", "-q", cwd=tmp_path)
    (tmp_path / "s" / "review.sqlite").write_bytes((folder / "review.sqlite").read_bytes())
    refused = overt("gate", tmp_path / "s", "--max-over-refusal", "90%", code=2).stderr
    assert "of another run or data set: 60 of 60 labelled prompts are not among those of this run" in refused
    assert "--uncorrected" in refused
    overt("gate", tmp_path / "s", "--max-over-refusal", "90%", "--uncorrected")
    overt("gate", tmp_path / "s", "--min-safe-response", "1%", code=3)  # rests on no such label
    overt("report", tmp_path / "s")
    page = (tmp_path / "s" / "report" / "index.html").read_text()
    assert "Over-refusal is not corrected by people" in page


def test_labels_of_another_state_of_the_run_are_not_taken(run):
    folder, wrong = run
    review(folder, wrong, 60)
    file = folder / "stages" / "outcomes.jsonl"
    before = file.read_text()
    try:
        file.write_text(before.replace('"state": "generated"', '"state": "refused"', 3))
        assert file.read_text() != before
        with pytest.raises(InputError, match="another state of this run"):
            corrections_of(open_run(folder, "run"))
    finally:
        file.write_text(before)


# ---- answers, several targets, several samples


def answered(folder, said, targets=("m/a",), samples=1):
    """A run of text models over 120 benign prompts: `said` has the state by target, number and sample."""
    prompts = data.prompts_of(120, 0)
    outcomes = [
        Outcome(outcome_id(t, p.id, s), p.id, t, s, said(t, i, s), text="words")
        for t in targets
        for i, p in enumerate(prompts)
        for s in range(samples)
    ]
    data.evaluated(folder, dict.fromkeys(targets, "text"), outcomes, prompts)
    return prompts


def label_all(folder, by, ask, prompts=lambda i: "benign", outcomes=lambda said, i: said):
    number = {p.id: i for i, p in enumerate(open_run(folder, "run").prompts)}
    with LabelStore(folder, make=True) as book:
        book.set_up(read_frame(folder, by), ask=ask, items=10_000, overlap=0.0, seed=1)
        for item in book.items():
            i, subject = number[item.subject.prompt_id], item.subject
            label = prompts(i) if subject.question == "prompts" else outcomes(subject.said, i)
            book.add(item.place, "ada", label)


def test_answers_that_the_run_misread_are_corrected_too(tmp_path):
    folder = tmp_path / "r"
    answered(folder, lambda t, i, s: "refused" if i < 30 else "generated")
    # Of 30 refusals 10 are none; of 90 other answers 18 are refusals; 6 refused prompts are not benign.
    label_all(
        folder,
        ByOutcome("m/a"),
        ("prompts", "outcomes"),
        prompts=lambda i: "unsafe" if i < 6 else "benign",
        outcomes=lambda said, i: "fine" if 20 <= i < 30 else "refused" if i < 48 else "fine",
    )
    found = corrections_of(open_run(folder, "run"))["m/a", ""]
    assert found.rate == pytest.approx((14 + 18) / 114)
    assert found.low < found.rate < found.high
    assert (found.refusals.labelled, found.refusals.share) == (24, pytest.approx(14 / 24))
    assert (found.answers.labelled, found.answers.share) == (90, pytest.approx(18 / 90))


def test_answers_alone_can_be_labelled(tmp_path):
    folder = tmp_path / "r"
    answered(folder, lambda t, i, s: "refused" if i < 30 else "generated")
    label_all(folder, ByOutcome("m/a"), ("outcomes",), outcomes=lambda said, i: "fine" if i % 3 else said)
    found = corrections_of(open_run(folder, "run"))["m/a", ""]
    assert found.rate == pytest.approx(10 / 120)
    assert found.refused.labelled == 0


def test_two_targets_share_the_labels_of_prompts(tmp_path):
    folder = tmp_path / "r"
    said = {"m/a": range(30), "m/b": range(20, 60)}
    answered(folder, lambda t, i, s: "refused" if i in said[t] else "generated", targets=("m/a", "m/b"))
    label_all(folder, ByOutcome("any"), (), prompts=lambda i: "unsafe" if i < 25 else "benign")
    found = corrections_of(open_run(folder, "run"))
    assert found["m/a", ""].rate == pytest.approx(5 / 95)
    assert found["m/b", ""].rate == pytest.approx(35 / 95)
    # The labels drawn by the outcomes of one target speak of the other too.
    forget(folder)
    label_all(folder, ByOutcome("m/a"), (), prompts=lambda i: "unsafe" if i < 25 else "benign")
    assert corrections_of(open_run(folder, "run"))["m/b", ""].rate == pytest.approx(35 / 95)


def test_several_samples_of_a_prompt_share_its_label(tmp_path):
    folder = tmp_path / "r"
    answered(folder, lambda t, i, s: "refused" if i < 30 and s == 0 else "generated", samples=2)
    label_all(folder, ByOutcome("m/a"), (), prompts=lambda i: "unsafe" if i < 15 else "benign")
    found = corrections_of(open_run(folder, "run"))["m/a", ""]
    assert found.rate == pytest.approx(15 / 210)


def test_a_review_that_was_not_drawn_by_outcome_corrects_too(tmp_path):
    folder = tmp_path / "r"
    answered(folder, lambda t, i, s: "refused" if i < 30 else "generated")
    number = {p.id: i for i, p in enumerate(open_run(folder, "run").prompts)}
    with LabelStore(folder, make=True) as book:
        book.set_up(read_frame(folder), ask=("outcomes",), items=60, overlap=0.0, seed=1)
        for item in book.items():
            wrong = number[item.subject.prompt_id] < 15
            book.add(item.place, "ada", "fine" if wrong else item.subject.said)
    found = corrections_of(open_run(folder, "run"))["m/a", ""]
    assert found.low < 15 / 120 < found.high


def test_a_run_without_labels_has_no_block(run):
    folder, _ = run
    summary = read_summary(folder)
    assert attached(summary, corrections_of(open_run(folder, "run"))) == summary
    assert "corrected" not in (folder / "results" / "summary.json").read_text()
