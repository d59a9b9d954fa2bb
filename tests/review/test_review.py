"""Review by people: the draw and its estimates, the queue, the page and who is kept out of it."""

import dataclasses
import http.client
import json
import random
import re
import sqlite3
import statistics
import threading
import time
from collections import Counter

import pytest
from support import report_data as made
from support import review_data as data
from support.chromium import start
from support.served import Served
from typer.testing import CliRunner

from overt.data.errors import InputError, RunError
from overt.data.outcomes import Harm, HarmVote
from overt.policies.load import load_policy
from overt.review.assignments import LEASE_S, Assignments
from overt.review.estimate import Reviewed, mean, share
from overt.review.export import export
from overt.review.label_store import LabelStore, split
from overt.review.population import Subject, read_frame
from overt.review.questions import QUESTIONS
from overt.review.results import rejected, results
from overt.review.sample import allocate, draw
from overt.review.server import render_page

pytest.importorskip("uvicorn", reason="the review page needs uvicorn and starlette")
RATES = {"contested": 0.35, "near": 0.12, "plain": 0.03}  # how often people disagree with the audit


def population(size, rng, categories=9):
    """Subjects, and whether a person would confirm each."""
    subjects, truth = [], {}
    for i in range(size):
        priority = rng.choices(["contested", "near", "plain"], [0.1, 0.15, 0.75])[0]
        category, said = f"c{rng.randrange(categories)}", rng.choice(["benign", "unsafe"])
        subjects.append(Subject("prompts", f"p{i}", f"p{i}", category, "", said, priority, {}))
        truth[f"p{i}"] = float(rng.random() >= RATES[priority])
    return subjects, truth


# ---- the draw


@pytest.mark.parametrize("items", [1, 5, 40, 200, 600, 5000])
def test_a_draw_has_as_many_items_as_asked_and_leaves_no_stratum_out(items):
    subjects, _ = population(600, random.Random(0))
    sample = draw(subjects, items, overlap=0.2, seed=1)
    assert len(sample.picks) == min(items, 600) == sum(s.planned for s in sample.strata)
    assert sum(s.size for s in sample.strata) == 600
    assert len({p.subject.id for p in sample.picks}) == len(sample.picks)
    if items > 1:
        assert all(s.planned >= min(2, s.size) for s in sample.strata)
    shared = sum(p.shared for p in sample.picks)
    assert abs(shared - 0.2 * len(sample.picks)) <= 1


def test_what_is_doubtful_is_drawn_more_often_and_every_chance_is_the_one_that_is_stated():
    subjects, _ = population(150, random.Random(3), categories=3)
    hits, stated = Counter(), {}
    draws = 400
    for seed in range(draws):
        sample = draw(subjects, 40, overlap=0, seed=seed)
        chance = {s.id: s.chance for s in sample.strata}
        for pick in sample.picks:
            hits[pick.subject.id] += 1
            stated[pick.subject.id] = chance[pick.stratum]
    assert len(hits) == 150
    errors = [
        (hits[i] / draws - stated[i]) / (stated[i] * (1 - stated[i]) / draws) ** 0.5
        for i in hits
        if stated[i] < 1
    ]
    assert max(map(abs, errors)) < 4.5
    assert statistics.pstdev(errors) == pytest.approx(1, abs=0.25)
    by = {p: statistics.mean(stated[s.id] for s in subjects if s.priority == p) for p in RATES}
    assert by["contested"] > 1.3 * by["near"] > 1.3 * by["plain"]


def test_a_larger_draw_keeps_the_smaller_one_and_the_order_of_the_run_does_not_matter():
    subjects, _ = population(500, random.Random(4))
    small = draw(subjects, 60, overlap=0.2, seed=9)
    keys = [s.key for s in small.strata]
    large = draw(subjects[::-1], 200, overlap=0.2, seed=9, keys=keys)
    assert {p.subject.id for p in small.picks} < {p.subject.id for p in large.picks}
    assert [s.key for s in large.strata] == keys
    assert draw(subjects[::-1], 60, overlap=0.2, seed=9) == small
    assert draw(subjects, 60, overlap=0.2, seed=10) != small
    sizes = [3, 40, 1, 500]
    for items in range(8, 500):
        before, after = (allocate(sizes, [12, 80, 1, 500], n) for n in (items, items + 1))
        assert sum(after) == sum(before) + 1
        assert all(a <= b for a, b in zip(before, after, strict=True))


def test_whoever_stops_early_has_seen_some_of_everything():
    subjects, _ = population(2000, random.Random(5))
    sample = draw(subjects, 300, overlap=0.2, seed=1)
    third = sample.picks[:100]
    seen = Counter(p.stratum for p in third)
    for stratum in sample.strata:
        assert abs(seen[stratum.id] - stratum.planned / 3) <= 1.01
    assert 18 <= sum(p.shared for p in third) <= 22


# ---- from the sample to the population


def test_an_estimate_worked_by_hand():
    # Stratum a: 80 items, 2 of 4 reviewed confirm; stratum b: 20 items, 4 of 5 confirm.
    rows = [Reviewed("a", True, v) for v in (1, 0, 1, 0)] + [Reviewed("b", True, v) for v in (1, 1, 1, 1, 0)]
    found = share({"a": 80, "b": 20}, rows)
    assert found.value == pytest.approx(0.8 * 0.5 + 0.2 * 0.8)
    assert found.population == pytest.approx(100)
    # Cochran (1977) 5.15: sum of W^2 (1 - f) s^2 / n, with s^2 = 1/3 and 1/5.
    variance = 0.8**2 * (1 - 4 / 80) * (1 / 3) / 4 + 0.2**2 * (1 - 5 / 20) * (1 / 5) / 5
    assert found.n_effective == pytest.approx(0.56 * 0.44 / variance)
    scale = mean({"a": 80, "b": 20}, rows)
    from scipy.stats import t

    assert scale.high - scale.value == pytest.approx(t.ppf(0.975, 7) * variance**0.5)


def test_what_was_seen_whole_is_known():
    rows = [Reviewed("a", True, 1.0)] * 6 + [Reviewed("a", True, 0.0)] * 2
    found = share({"a": 8}, rows)
    assert (found.value, found.low, found.high) == (0.75, 0.75, 0.75)
    assert share({"a": 8}, rows[:5]).low < 0.75
    assert share({"a": 8, "b": 9}, [Reviewed("a", False, 1.0)]) is None
    alone = share({"a": 800}, rows[:1])
    assert alone.low < 0.2
    assert alone.high == 1


@pytest.mark.parametrize(("items", "done"), [(120, 1.0), (200, 0.4)])
def test_intervals_cover_the_truth_and_weights_undo_the_draw(items, done):
    rng, draws = random.Random(8), 240
    covered, errors, naive = Counter(), [], []
    for seed in range(draws):
        if seed % 12 == 0:
            subjects, truth = population(700, rng)
        sample = draw(subjects, items, overlap=0.2, seed=seed)
        sizes = {s.id: s.size for s in sample.strata}
        picks = sample.picks[: int(done * items)]
        for name, part in (("all", lambda s: True), ("benign", lambda s: s.said == "benign")):
            true = statistics.mean(truth[s.id] for s in subjects if part(s))
            rows = [Reviewed(p.stratum, part(p.subject), truth[p.subject.id]) for p in picks]
            found = share(sizes, rows)
            covered[name] += found.low <= true <= found.high
            if name == "all":
                errors.append(found.value - true)
                naive.append(statistics.mean(r.value for r in rows) - true)
    # 3 standard errors below 95%; intervals may be somewhat wide, never narrow.
    assert all(covered[name] / draws >= 0.95 - 3 * (0.95 * 0.05 / draws) ** 0.5 for name in covered)
    assert abs(statistics.mean(errors)) < 0.006
    assert statistics.mean(naive) < -0.03  # unweighted, the doubtful items would pull it down


# ---- whose turn it is


def queue(count, shared=()):
    return [(i + 1, i + 1 in shared) for i in range(count)]


def test_one_item_goes_to_one_reviewer_and_shared_ones_to_all():
    turns, seen = Assignments(queue(20, {2, 7, 13, 20})), {"ada": [], "bo": []}
    while any(turns.next(name) for name in seen):
        for name, places in seen.items():
            if place := turns.next(name):
                assert turns.next(name) == place  # a reload gives the same one
                turns.label(place, name)
                places.append(place)
    assert set(seen["ada"]) & set(seen["bo"]) == {2, 7, 13, 20}
    assert set(seen["ada"]) | set(seen["bo"]) == set(range(1, 21))
    assert turns.progress("ada") == {
        "mine": len(seen["ada"]),
        "labelled": 20,
        "items": 20,
        "left": 0,
        "skipped": 0,
    }
    assert turns.progress("cy")["left"] == 4


def test_skipped_items_come_again_at_the_end_and_to_others_before():
    turns = Assignments(queue(3))
    turns.skip(turns.next("ada"), "ada")
    assert [turns.next("bo"), turns.next("ada")] == [1, 2]
    turns.skip(1, "bo")
    turns.label(2, "ada")
    assert turns.next("bo") == 3
    turns.label(3, "bo")
    assert turns.next("ada") == 1
    turns.skip(1, "ada")
    assert turns.next("ada") == 1  # nothing else is left
    turns.label(1, "ada")
    assert turns.next("ada") is turns.next("bo") is None
    with pytest.raises(KeyError):
        turns.label(99, "ada")


def test_an_item_that_somebody_walked_away_from_is_free_again():
    now = [0.0]
    turns = Assignments(queue(2), clock=lambda: now[0])
    assert [turns.next("ada"), turns.next("bo")] == [1, 2]
    turns.label(2, "bo")
    assert turns.next("bo") is None
    now[0] = LEASE_S + 1
    assert turns.next("bo") == 1


def test_undo_goes_back_step_by_step():
    turns = Assignments(queue(4))
    for _ in range(3):
        turns.label(turns.next("ada"), "ada")
    assert turns.next("ada") == 4
    assert [turns.undo("ada"), turns.undo("ada")] == [3, 2]
    assert turns.progress("ada")["labelled"] == 1
    turns.label(2, "ada")
    assert turns.next("ada") == 3
    turns.label(3, "ada")
    assert turns.next("ada") == 4
    assert Assignments(queue(2)).undo("ada") is None


# ---- what there is to review


def test_keys_do_not_clash():
    for question in QUESTIONS.values():
        keys = [choice.key for choice in question.choices]
        assert len(set(keys)) == len(keys)
        assert not set(keys) & set("zknpv ")


def test_a_generated_run_asks_about_its_prompts(tmp_path):
    prompts = data.generated(tmp_path / "run", 90, 45, contested=0.2)
    rows = read_frame(tmp_path / "run").subjects["prompts"]
    assert {r.id: r.said for r in rows} == {p.id: p.label for p in prompts}
    counts = Counter(r.priority for r in rows)
    assert counts["contested"] == pytest.approx(27, abs=12)
    assert counts["near"] > 5


def test_an_evaluation_asks_about_outcomes_pictures_and_rewrites(tmp_path):
    _, outcomes, harms = data.pictured(tmp_path / "run", made.picture)
    frame = read_frame(tmp_path / "run")
    said = {s.id: s.said for s in frame.subjects["outcomes"]}
    assert set(said.values()) == {"refused", "softened", "fine"}
    assert set(said) == {o.id for o in outcomes if o.state != "error"}
    assert {s.id: s.said for s in frame.subjects["pictures"]} == {h.outcome_id: h.label for h in harms}
    contested = {s.id for s in frame.subjects["pictures"] if s.priority == "contested"}
    assert contested == {h.outcome_id for h in harms if h.votes[0].label != h.votes[1].label}
    assert len(frame.subjects["rewrites"]) == 6
    assert frame.chosen(["pictures"]).keys() == {"pictures"}
    with pytest.raises(InputError, match="nothing to ask about prompts"):
        frame.chosen(["prompts"])
    with pytest.raises(InputError, match="is no question"):
        frame.chosen(["harm"])


def test_where_only_filters_were_asked_people_judge_the_prompts(tmp_path):
    prompts = data.prompts_of(10, 10)
    outcomes = [
        data.outcome(p, target, "refused" if i % 4 == 0 else "generated", score=i / 20)
        for target in ("filter/a", "filter/b")
        for i, p in enumerate(prompts)
        if not (target == "filter/b" and i == 4)
    ] + [data.outcome(prompts[4], "filter/b", "generated", score=0.2)]
    data.evaluated(tmp_path / "run", {"filter/a": "none", "filter/b": "none"}, outcomes, prompts)
    (question,) = read_frame(tmp_path / "run").chosen([]).items()
    assert question[0] == "prompts"
    priority = {s.id: s.priority for s in question[1]}
    assert priority[prompts[4].id] == "contested"  # the two filters differ
    assert priority[prompts[0].id] == "contested"  # benign, and both refuse it
    assert priority[prompts[1].id] != "contested"


def test_runs_that_cannot_be_reviewed_say_so(tmp_path):
    with pytest.raises(InputError, match=r"no run\.json"):
        read_frame(tmp_path)
    data.generated(tmp_path / "run", 4, 2)
    (tmp_path / "run" / "manifest.json").unlink()
    with pytest.raises(InputError, match="not complete"):
        read_frame(tmp_path / "run")
    data.base(tmp_path / "other", {"kind": "score"}, {})
    with pytest.raises(InputError, match="needs one of `overt generate` or `overt run`"):
        read_frame(tmp_path / "other")
    with pytest.raises(InputError, match="has not been reviewed"):
        results(tmp_path / "run")
    assert rejected(tmp_path / "run") == set()


# ---- the book


def set_up(run, items=60, **options):
    book = LabelStore(run, make=True)
    book.set_up(read_frame(run), **{"ask": (), "items": items, "overlap": 0.2, "seed": 0, **options})
    return book


def test_a_review_grows_and_its_population_may_not_change(tmp_path):
    run = tmp_path / "run"
    data.generated(run)
    with set_up(run, 30) as book:
        first = book.items()
        book.add(1, "ada", "benign")
        book.set_up(read_frame(run), ask=(), items=20, overlap=0.2, seed=0)
        assert book.items() == first
        book.set_up(read_frame(run), ask=(), items=90, overlap=0.2, seed=0)
        assert book.items()[:30] == first
        assert len({i.id for i in book.items()}) == 90
        assert sum(s.planned for s in book.strata("prompts")) == 90
        data.generated(run, 121, 60)
        book.set_up(read_frame(run), ask=(), items=90, overlap=0.2, seed=0)  # goes on as it is
        with pytest.raises(InputError, match="the run itself"):
            book.set_up(read_frame(run), ask=(), items=100, overlap=0.2, seed=0)
        with pytest.raises(InputError, match="--seed"):
            book.set_up(read_frame(run), ask=(), items=90, overlap=0.2, seed=5)


def test_the_last_word_counts_and_nothing_is_overwritten(tmp_path):
    data.generated(tmp_path / "run", 8, 4)
    with set_up(tmp_path / "run") as book:
        for label in ("benign", None, "unsafe"):
            book.add(1, "ada", label)
        book.add(2, "ada", "unclear", note="a \ud800 note", seconds=2.5)
        book.add(3, "bo", "benign")
        book.add(3, "bo", None)
        assert [(x.place, x.label, x.note) for x in book.labels()] == [
            (1, "unsafe", ""),
            (2, "unclear", "a ? note"),
        ]
    db = sqlite3.connect(tmp_path / "run" / "review.sqlite")
    assert db.execute("SELECT count(*) FROM labels").fetchone() == (6,)
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_damaged_or_newer_file_is_named(tmp_path):
    data.generated(tmp_path / "run", 4, 2)
    file = tmp_path / "run" / "review.sqlite"
    file.write_bytes(b"not a database" * 100)
    with pytest.raises(RunError, match="damaged"):
        LabelStore(tmp_path / "run", make=True)
    file.unlink()
    set_up(tmp_path / "run").close()
    db = sqlite3.connect(file)
    db.execute("UPDATE facts SET value = '9' WHERE name = 'version'")
    db.commit()
    db.close()
    with pytest.raises(InputError, match="format 9"):
        LabelStore(tmp_path / "run")


def test_items_are_split_among_questions():
    assert split({"outcomes": 500, "pictures": 8, "rewrites": 300}, 200) == {
        "outcomes": 96,
        "pictures": 8,
        "rewrites": 96,
    }
    assert split({"prompts": 5}, 200) == {"prompts": 5}


# ---- what the labels say


def test_results_agreement_and_what_was_rejected(tmp_path):
    run = tmp_path / "run"
    data.generated(run, 60, 30, contested=0.2)
    with set_up(run, 90, overlap=0.5) as book:
        items = book.items()
        wrong = {i.place for i in items if i.place % 9 == 0}
        other = {"benign": "unsafe", "unsafe": "benign"}
        for item in items:
            said = item.subject.said
            book.add(item.place, "ada", other[said] if item.place in wrong else said, seconds=2)
            if item.shared:
                book.add(item.place, "bo", said, seconds=4)
                book.add(item.place, "cy", "unclear" if item.place in wrong else said)
    found = results(run)
    json.dumps(found, allow_nan=False)
    (question,) = found["questions"]
    rows = {r["part"]: r for r in question["precision"]}
    assert {"all", "said: benign", "said: unsafe", f"category: {data.CATEGORIES[0]}"} <= rows.keys()
    # Everything was reviewed: of shared items one in three confirmed where ada did not.
    by_hand = statistics.mean(1.0 if i.place not in wrong else (1 / 3 if i.shared else 0.0) for i in items)
    assert rows["all"]["value"] == pytest.approx(by_hand)
    assert rows["all"]["low"] == rows["all"]["high"] == rows["all"]["value"]
    agreement, shared = question["agreement"], [i for i in items if i.shared]
    assert agreement["items"] == len(shared) == 45
    assert agreement["fleiss"]["n"] == 45
    (pair,) = [p for p in agreement["pairs"] if (p["a"], p["b"]) == ("ada", "bo")]
    assert pair["same"] == pytest.approx(1 - len(wrong & {i.place for i in shared}) / 45)
    assert 0 < pair["kappa"] < 1
    assert 0 < agreement["krippendorff"] < 1
    assert found["reviewers"]["bo"]["median_seconds"] == 4
    # Rejected: a benign prompt that most do not call benign (one "unsafe", one "unclear" of three), an
    # unsafe one only where most call it benign.
    expected = {
        i.subject.prompt_id
        for i in items
        if i.place in wrong and (not i.shared or i.subject.said == "benign")
    }
    assert rejected(run) == expected
    assert expected


def test_a_part_of_the_sample_has_an_interval(tmp_path):
    run = tmp_path / "run"
    data.generated(run, 300, 150)
    with set_up(run, 80) as book:
        for item in book.items()[:60]:
            book.add(item.place, "ada", "unclear" if item.place % 20 == 0 else item.subject.said)
    row = results(run)["questions"][0]["precision"][0]
    assert 0.8 < row["low"] < row["value"] < row["high"] < 1
    assert row["population"] == pytest.approx(450)


def test_export_is_what_judge_check_reads(tmp_path):
    read_labels = pytest.importorskip("overt.data.labels").read_labels
    run = tmp_path / "run"
    data.pictured(run, made.picture)
    with set_up(run, 60) as book:
        for item in book.items():
            choices = QUESTIONS[item.subject.question].choices
            book.add(
                item.place, "ada", choices[item.place % len(choices)].label, note='a "note", with\nlines'
            )
        unclear = sum(x.label == "unclear" for x in book.labels())
    written = dict(export(run, tmp_path / "out" / "labels.csv"))
    assert sorted(p.name for p in written) == [
        f"labels-{q}.csv" for q in ("outcomes", "pictures", "rewrites")
    ]
    found = read_labels(tmp_path / "out" / "labels-pictures.csv", {})
    assert found.kind == "image"
    assert found.dropped == unclear > 0
    assert all(row.image.is_file() for row in found.rows)
    assert {row.label for row in found.rows} == {"blocked", "allowed"}
    ((path, count),) = export(run, tmp_path / "one.parquet", ["pictures"])
    assert len(read_labels(path, {}).rows) + unclear == count
    with pytest.raises(InputError, match="cannot be written"):
        export(run, tmp_path / "labels.xlsx")


def test_answers_in_words_are_exported_as_judges_of_refusal_call_them(tmp_path):
    read_labels = pytest.importorskip("overt.data.labels").read_labels
    run, prompts = tmp_path / "run", data.prompts_of(6, 6)
    outcomes = [data.outcome(p, "m/chat", text=f'answer {i}, "quoted"\n') for i, p in enumerate(prompts)]
    harms = [
        Harm(o.id, o.prompt_id, "m/chat", "harmless", (HarmVote("v", "harmless"),)) for o in outcomes[6:]
    ]
    data.evaluated(run, {"m/chat": "text"}, outcomes, prompts, harms)
    with set_up(run, 30, ask=("outcomes",)) as book:
        for item in book.items():
            book.add(item.place, "ada", ("refused", "softened", "fine", "helped")[item.place % 4])
    ((path, _),) = export(run, tmp_path / "labels.csv")
    found = read_labels(path, {})
    assert found.kind == "text"
    labels = ("full_refusal", "partial_refusal", "safe_completion", "compliance")
    assert Counter(r.label for r in found.rows) == dict.fromkeys(labels, 3)
    assert {r.answer for r in found.rows} == {o.text for o in outcomes}


def test_only_an_answer_in_words_can_have_helped(tmp_path):
    run, prompts = tmp_path / "run", data.prompts_of(1, 1)
    outcomes = [
        data.outcome(
            p, "m/chat", "softened", code="safe_completion", stage="model", text="You are not alone."
        )
        for p in prompts
    ]
    data.evaluated(run, {"m/chat": "text"}, outcomes, prompts)
    frame = read_frame(run)
    assert {s.said for s in frame.subjects["outcomes"]} == {"helped"}
    for name, has_words in (("chat_assistant", True), ("overt", False)):
        assert ('data-label="helped"' in render_page(run, load_policy(name))) == has_words


# ---- the command


def command(*args):
    import typer

    from overt.cli.review import review

    app = typer.Typer()
    app.command()(review)
    return CliRunner().invoke(app, [str(a) for a in args])


def test_the_command_prints_figures(tmp_path):
    run = tmp_path / "run"
    data.generated(run, 40, 20)
    done = command(run, "--results")
    assert isinstance(done.exception, InputError)
    with set_up(run, 40) as book:
        for item in book.items():
            for name in ("ada", "bo\u202e\x1b[31m")[: 1 + item.shared]:
                book.add(item.place, name, item.subject.said)
    done = command(run, "--results", "--export", tmp_path / "labels.csv")
    assert done.exit_code == 0
    assert "confirmed by people" in done.output
    assert "100.0%" in done.output
    assert "Krippendorff" in done.output
    assert "\x1b[31m" not in done.output
    assert "\u202e" not in done.output
    assert f"{tmp_path / 'labels.csv'}  48 labels" in done.output.replace("\n", "")
    assert json.loads(command(run, "--results", "--json").output)["reviewers"]["ada"]["labels"] == 40
    assert isinstance(command(run, "--json").exception, InputError)


# ---- the server


@pytest.fixture
def serve():
    running = []

    def start(run, *args):
        running.append(Served("review", run, *args))
        return running[-1]

    yield start
    for served in running:
        served.close()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A server of a run whose records name pictures outside of it."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "secret.png").write_bytes(made.picture(1, 64))
    prompts, outcomes, _ = data.pictured(folder / "run", made.picture, 12)
    (folder / "run" / "images" / "page.png").write_text("<script>1</script>")
    (folder / "run" / "images" / "link.png").symlink_to(folder / "secret.png")
    climbing = ("../secret.png", str(folder / "secret.png"), "images/link.png", "images/page.png", "run.json")
    outcomes[0] = dataclasses.replace(outcomes[0], images=(outcomes[0].images[0], *climbing))
    data.evaluated(folder / "run", {"diffusers/tiny": "image"}, outcomes, prompts)
    served = Served("review", folder / "run", "--ask", "outcomes", "--items", 100)
    served.folder, served.climbing, served.outcome = folder / "run", climbing, outcomes[0]
    yield served
    served.close()


def test_without_the_token_nothing_is_answered(guarded):
    guarded.cookie = ""
    name = guarded.enter().getheader("Set-Cookie").partition("=")[0]
    cookie, guarded.cookie = guarded.cookie, ""
    for path in ("/", "/static/review.js", "/picture/1/images/0", "/nowhere", f"/?token={guarded.token[:-1]}",
                 "/?token=", f"/static/review.js?token={guarded.token}"):  # fmt: skip
        answer, text = guarded.request("GET", path)
        assert answer.status == 403, path
        assert b"<" not in text
    for value in ("x", guarded.token, "\xff"):
        assert guarded.request("GET", "/", Cookie=f"{name}={value}")[0].status == 403
    answer, _ = guarded.request("POST", "/api/next", b"{}", Origin=f"http://{guarded.host}")
    assert answer.status == 403
    guarded.cookie = cookie


def test_the_cookie_stays_with_this_page(guarded):
    answer = guarded.enter()
    attributes = answer.getheader("Set-Cookie").lower()
    assert "httponly" in attributes
    assert "samesite=strict" in attributes
    assert "domain" not in attributes
    assert guarded.token not in answer.getheader("Set-Cookie")
    assert answer.getheader("Location") == "/"
    answer, page = guarded.request("GET", "/")
    assert answer.status == 200
    assert guarded.token.encode() not in page
    policy = answer.getheader("Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.getheader("X-Content-Type-Options") == "nosniff"
    assert answer.getheader("Referrer-Policy") == "no-referrer"
    assert answer.getheader("Cache-Control") == "no-store"
    assert answer.getheader("Server") is None
    assert not re.search(rb"style=|<script>|\bon\w+=|https?:", page)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.7",
        "127.0.0.1@evil.example", "", "[::1].evil.example",
    ],
)  # fmt: skip
def test_a_foreign_host_is_refused_even_with_token_and_cookie(guarded, host):
    guarded.enter()
    for path in ("/", f"/?token={guarded.token}", "/static/review.js"):
        answer, text = guarded.request("GET", path, Host=host)
        assert answer.status in (400, 421), path
        assert b"review" not in text


def test_other_origins_cannot_post_or_embed(guarded):
    guarded.enter()
    body = json.dumps({"reviewer": "blind"}).encode()
    for origin in ("http://evil.example", "null", None, f"https://{guarded.host}", "http://127.0.0.1:1",
                   f"http://localhost:{guarded.port}"):  # fmt: skip
        assert guarded.request("POST", "/api/next", body, Origin=origin)[0].status == 403, origin
    own = f"http://{guarded.host}"
    assert guarded.request("POST", "/api/next", body, Origin=own)[0].status == 200
    for site in ("cross-site", "same-site"):
        assert guarded.request("POST", "/api/next", body, Origin=own, Sec_Fetch_Site=site)[0].status == 403
        assert guarded.request("GET", "/picture/1/images/0", Sec_Fetch_Site=site)[0].status == 403
    assert guarded.request("GET", "/api/next")[0].status == 405


def test_no_path_leads_out_of_the_run(guarded):
    guarded.enter()
    with LabelStore(guarded.folder) as book:
        (place,) = [i.place for i in book.items() if i.subject.id == guarded.outcome.id]
    answer, picture = guarded.request("GET", f"/picture/{place}/images/0")
    assert answer.status == 200
    assert answer.getheader("Content-Type") == "image/jpeg"
    assert b"SECRETMETA" not in picture
    for number in range(1, 2 + len(guarded.climbing)):
        assert guarded.request("GET", f"/picture/{place}/images/{number}")[0].status == 404
    for path in (f"/picture/{place}/prompt/0", "/picture/999/images/0", "/picture/1/images/..%2f..%2fsecret",
                 "/static/..%2fserver.py", "/static/server.py", "/../../secret.png", "/static/../../run.json",
                 f"/picture/{place}/images/-1", "/picture/99999999999999999999/images/0"):  # fmt: skip
        answer, text = guarded.request("GET", path)
        assert answer.status == 404, path
        assert b"import" not in text


def test_nonsense_is_refused_and_stores_nothing(guarded):
    guarded.enter()
    own = f"http://{guarded.host}"
    for body, status in (
        (b"", 400), (b"[1]", 400), (b"{", 400), (b'"x"', 400), (b"[" * 60_000, 400), (b" " * 70_000, 413),
        (b"\xff\xfe", 400),
    ):  # fmt: skip
        assert guarded.request("POST", "/api/label", body, Origin=own)[0].status == status, body[:9]
    good = {"reviewer": "eve", "place": 1, "label": "fine", "note": "", "seconds": 1}
    for change in (
        {"reviewer": ""}, {"reviewer": "x" * 61}, {"reviewer": None}, {"place": 0}, {"place": "1"},
        {"place": 10**30}, {"label": "harmful"}, {"label": None}, {"note": "x" * 4001}, {"note": 3},
        {"seconds": -1}, {"seconds": "1"}, {"seconds": float("nan")},
    ):  # fmt: skip
        assert guarded.post("label", **{**good, **change})[0] == 400, change
    with LabelStore(guarded.folder) as book:
        assert [x for x in book.labels() if x.reviewer == "eve"] == []


def test_reviewers_are_not_told_what_the_run_says(guarded):
    guarded.enter()
    while (item := guarded.post("next", reviewer="blind")[1]["item"]) is not None:
        text = json.dumps(item)
        for word in ("diffusers/tiny", "CODEWORD", "EVIDENCEWORD", "contested", "said", "score", "outcome-"):
            assert word not in text, word
        guarded.post("label", reviewer="blind", place=item["place"], label="fine", note="", seconds=1)
    with LabelStore(guarded.folder) as book:
        assert sum(x.reviewer == "blind" for x in book.labels()) == len(book.queue()) == 10


def test_one_server_a_run_and_one_port_a_server(guarded):
    done = command(guarded.folder, "--no-browser")
    assert isinstance(done.exception, RunError)
    assert "another `overt review`" in str(done.exception)


def test_a_full_disk_is_said_and_the_label_not_taken_for_stored(tmp_path):
    from overt.review.server import Desk

    data.generated(tmp_path / "run", 8, 4)
    with set_up(tmp_path / "run") as book:
        desk = Desk(tmp_path / "run", book, data.POLICY)
        place = desk.next({"reviewer": "ada"})["item"]["place"]
        book.add(place, "bo", "benign", note="x" * 4000)  # fills the page that there is
        book._db.execute("PRAGMA max_page_count = 1")
        with pytest.raises(RunError, match=r"not stored.*full"):
            desk.label(
                {"reviewer": "ada", "place": place, "label": "benign", "note": "x" * 4000, "seconds": 1}
            )
        book._db.execute("PRAGMA max_page_count = 100000")
        now = desk.next({"reviewer": "ada"})
        assert now["item"]["place"] == place
        assert now["progress"]["labelled"] == 0


def test_the_key_on_the_browsers_command_line_opens_once():
    from overt.web.guard import Keys

    keys = Keys()
    assert [keys.admits(keys.once), keys.admits(keys.once)] == [True, False]
    assert keys.admits(keys.token)
    assert keys.admits(keys.token)
    assert not keys.admits("")
    assert len({keys.token, keys.once, keys.session}) == 3


def test_what_was_answered_survives_kill_9(tmp_path, serve):
    data.generated(tmp_path / "run", 600, 300)
    served = serve(tmp_path / "run", "--items", 800, "--overlap", 0)
    served.enter()
    stored = []

    def label():
        connection = http.client.HTTPConnection("127.0.0.1", int(served.port), timeout=5)
        name = threading.current_thread().name
        item = served.post("next", connection, reviewer=name)[1]["item"]
        try:
            while item:
                place = item["place"]
                said = served.post(
                    "label", connection, reviewer=name, place=place, label="benign", note="", seconds=0
                )
                stored.append((place, name))
                item = said[1]["item"]
        except (OSError, http.client.HTTPException, ValueError):
            return

    threads = [threading.Thread(target=label, name=f"reviewer {i}") for i in range(2)]
    for thread in threads:
        thread.start()
    while len(stored) < 60:
        time.sleep(0.005)
    served.kill()
    for thread in threads:
        thread.join(10)
    with LabelStore(tmp_path / "run") as book:
        kept = [(x.place, x.reviewer) for x in book.labels()]
    assert set(stored) <= set(kept)
    assert len(kept) - len(stored) <= 2  # at most what was under way
    assert len({place for place, _ in kept}) == len(kept)  # no item went to both


def test_fifty_thousand_items(tmp_path, serve):
    data.generated(tmp_path / "run", 30_000, 20_000, stages=False)
    served = serve(tmp_path / "run", "--items", 50_000)
    started = time.perf_counter()
    served.enter()
    _, page = served.request("GET", "/")
    item = served.post("next", reviewer="ada")[1]
    assert time.perf_counter() - started < 1
    assert len(page) < 20_000
    assert item["progress"]["items"] == 50_000
    assert len(json.dumps(item)) < 5000
    times = []
    for _ in range(200):
        start = time.perf_counter()
        status, item = served.post(
            "label", reviewer="ada", place=item["item"]["place"], label="benign", note="", seconds=1
        )
        times.append(time.perf_counter() - start)
        assert status == 200
    assert statistics.median(times) < 0.010, f"{1000 * statistics.median(times):.1f} ms"


# ---- in a browser

HOSTILE = "</script><script>window.pwned=1</script><img src=x onerror=window.pwned=1> \u202egnp {{7*7}} king"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    driver = start(tmp_path_factory.mktemp("profile"), "1280,800")
    yield driver
    driver.quit()


def press(browser, keys):
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(browser).send_keys(keys).perform()


def text(browser, id_):
    return browser.find_element("id", id_).text


def until(browser, condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, browser.find_element("tag name", "body").text
        time.sleep(0.01)


def come_in(browser, served, name):
    browser.get(served.address)
    until(browser, lambda: browser.find_element("id", "name").is_displayed())
    press(browser, f"{name}\ue007")
    until(browser, lambda: text(browser, "who-name") == name)


def mine(browser):
    return int(re.search(r"(\d+) by you", text(browser, "progress"))[1])


def label(browser, keys):
    """Shows each item and labels it by key."""
    for key in keys:
        before = mine(browser)
        press(browser, f" {key}")
        until(browser, lambda before=before: mine(browser) == before + 1)


def labels_of(run):
    with LabelStore(run) as book:
        return book.labels()


def test_thirty_items_by_keyboard_over_reload_and_kill_9_by_two_people(browser, tmp_path, serve):
    run = tmp_path / "run"
    data.generated(run)
    served = serve(run, "--items", 60, "--overlap", 0.2)
    come_in(browser, served, "Ada")
    assert "token" not in browser.current_url
    ada = browser.current_window_handle
    label(browser, "bubbuxbbub")
    browser.refresh()
    until(browser, lambda: text(browser, "who-name") == "Ada")  # the name is kept, and so is the place
    assert mine(browser) == 10
    browser.switch_to.new_window("tab")
    bo = browser.current_window_handle
    come_in(browser, served, "Bo")
    label(browser, "ubbbu")
    assert [x.label for x in labels_of(run) if x.reviewer == "Ada"] == [
        {"b": "benign", "u": "unsafe", "x": "unclear"}[k] for k in "bubbuxbbub"
    ]
    served.kill()
    browser.switch_to.window(ada)
    press(browser, " b")
    until(browser, lambda: "not stored" in text(browser, "alarm"))
    again = serve(run)
    assert len(labels_of(run)) == 15
    come_in(browser, again, "Ada")
    assert mine(browser) == 10
    for _ in range(10):  # by turns, one key each
        label(browser, "b")
        browser.switch_to.window(bo)
        if again.host not in browser.current_url:
            come_in(browser, again, "Bo")
        label(browser, "u")
        browser.switch_to.window(ada)
    label(browser, "bbbbbbbbbb")
    found = labels_of(run)
    counts = Counter(x.reviewer for x in found)
    assert counts == {"Ada": 30, "Bo": 15}
    with LabelStore(run) as book:
        shared = {item.place for item in book.items() if item.shared}
    twice = {place for place, times in Counter(x.place for x in found).items() if times > 1}
    assert twice
    assert twice <= shared
    browser.switch_to.window(bo)
    browser.close()
    browser.switch_to.window(ada)


def test_blurred_until_asked_undo_notes_and_hostile_text(browser, tmp_path, serve):
    run = tmp_path / "run"
    data.generated(run, 6, 0, texts=[f"{HOSTILE} {i}" for i in range(6)])
    served = serve(run, "--items", 6)
    browser.get_log("browser")
    browser.get_log("performance")
    come_in(browser, served, "Ada <b>")
    shown = browser.find_element("css selector", "#shown .text")
    assert "blur" in shown.value_of_css_property("filter")
    press(browser, "b")
    until(browser, lambda: "Look at it first" in text(browser, "said"))
    assert labels_of(run) == []
    press(browser, " ")
    assert shown.value_of_css_property("filter") == "none"
    assert HOSTILE.replace("\u202e", "[U+202E]") in shown.text
    first = shown.text
    press(browser, "na reason, b and u\ue00c")  # n, the note, Escape
    press(browser, "u")
    until(browser, lambda: mine(browser) == 1)
    assert "blur" in browser.find_element("css selector", "#shown .text").value_of_css_property("filter")
    assert [(x.label, x.note) for x in labels_of(run)] == [("unsafe", "a reason, b and u")]
    press(browser, "z")
    until(browser, lambda: mine(browser) == 0)
    assert labels_of(run) == []
    press(browser, " ")
    until(browser, lambda: browser.find_element("css selector", "#shown .text").text == first)
    assert browser.find_element("id", "note").get_property("value") == "a reason, b and u"
    press(browser, "k")
    until(browser, lambda: "1 skipped" in text(browser, "progress"))
    # A key that is held down labels once.
    press(browser, "vv")
    browser.execute_cdp_cmd("Input.dispatchKeyEvent", {"type": "keyDown", "key": "b", "text": "b"})
    until(browser, lambda: mine(browser) == 1)
    for _ in range(5):
        browser.execute_cdp_cmd(
            "Input.dispatchKeyEvent", {"type": "keyDown", "key": "b", "text": "b", "autoRepeat": True}
        )
    browser.execute_cdp_cmd("Input.dispatchKeyEvent", {"type": "keyUp", "key": "b"})
    time.sleep(0.3)
    assert mine(browser) == 1
    for count in range(2, 7):
        press(browser, "x")
        until(browser, lambda count=count: mine(browser) == count)
    assert len(labels_of(run)) == 6
    until(browser, lambda: browser.find_element("id", "done").is_displayed())
    assert "6 of 6" in text(browser, "done-says")
    assert browser.execute_script("return window.pwned") is None
    assert browser.execute_script("return document.querySelectorAll('#shown img, #shown script').length") == 0
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert {url.split("/")[2] for url in asked if url.startswith("http")} == {served.host}
    # Markup that slipped through could still not run.
    browser.execute_script(
        "document.body.insertAdjacentHTML('beforeend', '<img src=/favicon.ico onerror=\"window.pwned=1\">')"
    )
    time.sleep(0.3)
    assert browser.execute_script("return window.pwned") is None


def test_pictures_and_scales_by_keyboard(browser, tmp_path, serve):
    run = tmp_path / "run"
    data.pictured(run, made.picture)
    served = serve(run, "--items", 60, "--ask", "pictures", "--ask", "rewrites")
    come_in(browser, served, "Ada")
    press(browser, "v")  # pictures only are blurred from here on
    picture = browser.find_element("css selector", "#shown .pictures")
    assert "blur" in picture.value_of_css_property("filter")
    loaded = "const i = document.querySelector('#shown img'); return i && i.complete && i.naturalWidth"
    until(browser, lambda: browser.execute_script(loaded) == 320)
    with LabelStore(run) as book:
        questions = [item.subject.question for item in book.items()]
    label(browser, ["h" if q == "pictures" else "4" for q in questions])
    until(browser, lambda: browser.find_element("id", "done").is_displayed())
    found = {q["question"]: q for q in results(run)["questions"]}
    assert found["rewrites"]["shares"][0]["value"] == 4
    assert found["pictures"]["shares"][0] == pytest.approx(
        {"label": "harmful", "part": "all", "value": 1, "low": 1, "high": 1, "n": 8, "population": 8}
    )
