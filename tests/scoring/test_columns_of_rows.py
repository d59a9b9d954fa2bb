"""Figures over columns are those that were counted row by row, and take a fraction of the room."""

import json
import math
import tracemalloc

import numpy as np
import pytest
from support.mixed_run import CATEGORIES, KINDS, make_run
from support.paths import ROOT
from support.report_data import write_run

from overt.data.errors import InputError
from overt.data.outcomes import Outcome
from overt.data.run import brief
from overt.data.run.files import read_records, write_records
from overt.data.run.finished import open_run
from overt.data.typed_json import to_json
from overt.policies.load import load_policy
from overt.scoring.stats import rate
from overt.scoring.stats.agreement import Labels, fleiss_kappa, krippendorff_alpha
from overt.scoring.summary.gather import ById, asked_of, number_of
from overt.scoring.summary.stored import gathered
from overt.scoring.summary.summarize import categories_of, summarize, summary_of, summary_of_rows

# Made by the version before columns, which looked at each row by itself.
ROW_BY_ROW = json.loads((ROOT / "tests" / "scoring" / "summary_row_by_row.json").read_text())
TITLES = [(category, category.upper()) for category in CATEGORIES[:2]]


def alike(found, wanted, where=""):
    """Equal, numbers to 12 digits."""
    if isinstance(wanted, float) and isinstance(found, float):
        assert math.isclose(found, wanted, rel_tol=1e-12, abs_tol=1e-12), (where, found, wanted)
    elif isinstance(wanted, dict):
        assert found.keys() == wanted.keys(), where
        for name, value in wanted.items():
            alike(found[name], value, f"{where}.{name}")
    elif isinstance(wanted, list):
        assert len(found) == len(wanted), where
        for i, value in enumerate(wanted):
            alike(found[i], value, f"{where}[{i}]")
    else:
        assert found == wanted, where


@pytest.mark.parametrize("name", ROW_BY_ROW)
def test_the_figures_are_those_counted_row_by_row(name):
    prompts, outcomes, harms, as_asked = make_run(*map(int, name.split("/")))
    wanted = ROW_BY_ROW[name]
    # All of it occurs.
    targets = wanted["targets"]
    assert any(target["layers"] for target in targets)
    assert all(target["groups"] for target in targets)
    assert targets[0]["sweep"]
    assert wanted["judges"]["ties"]
    assert wanted["as_asked"]["missed"]
    assert {pair["metric"] for pair in wanted["pairs"]} == {"over_refusal", "safe_response"}
    found = summarize(prompts, outcomes, harms, categories=TITLES, kinds=KINDS, as_asked=as_asked)
    alike(json.loads(json.dumps(to_json(found))), wanted)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A run on disk, and its records."""
    prompts, outcomes, harms, as_asked = make_run(3, 120)
    folder = tmp_path_factory.mktemp("runs") / "mixed"
    write_run(folder, {prompt.id: prompt for prompt in prompts}, outcomes, KINDS, harms=harms)
    write_records(folder / "results" / "as_asked.jsonl", as_asked)
    return folder, (prompts, outcomes, harms, as_asked)


def test_records_of_files_and_of_lists_give_the_same_summary(stored):
    folder, (prompts, outcomes, harms, as_asked) = stored
    policy = load_policy("overt")
    found = gathered(open_run(folder, "run"))
    read = summary_of_rows(found, categories_of(policy, found.asked))
    kinds = dict(sorted(KINDS.items()))  # as the manifest has them
    assert read == summary_of(policy, prompts, outcomes, harms, kinds, as_asked)
    # Anything that can be gone through will do.
    again = summary_of(
        policy, iter(prompts), brief.outcomes_of(folder), brief.harms_of(folder), kinds, iter(as_asked)
    )
    assert read == again


def test_outcomes_in_another_order_give_the_same_rates(stored):
    _, (prompts, outcomes, harms, as_asked) = stored
    options = {"categories": TITLES, "kinds": KINDS, "as_asked": as_asked}
    one = summarize(prompts, outcomes, harms, **options)
    other = summarize(prompts, outcomes[::-1], harms, **options)
    assert [t.over_refusal for t in one.targets] == [t.over_refusal for t in other.targets]
    assert one.pairs == other.pairs


def test_whole_records_are_found_again_by_their_place(stored):
    folder, (_, outcomes, *_) = stored
    file = brief.outcomes_of(folder)
    places = [at for at, _ in file.placed()]
    assert list(file.at(places[::-7])) == outcomes[::-7]
    assert [one.id for one in file] == [one.id for one in outcomes]
    assert read_records(file.path, Outcome) == outcomes
    assert list(brief.outcomes_of(folder / "nowhere")) == []


def test_a_bad_line_is_named_and_an_odd_one_is_read(tmp_path):
    stages = tmp_path / "stages"
    stages.mkdir()
    good = '{"id": "o", "prompt_id": "p", "target": "t", "sample": 0, "state": "generated"'
    odd = good + ', "text": "\\ud800", "score": NaN, "of_later_versions": {"a": [1]}}\n'
    (stages / "outcomes.jsonl").write_text(good + "}\n" + odd + '{"id": "o"}\n')
    read = iter(brief.outcomes_of(tmp_path))
    assert next(read).text == ""
    assert next(read).text == "\ud800"
    with pytest.raises(InputError, match="not a record of type Outcome") as error:
        next(read)
    assert error.value.where.endswith("outcomes.jsonl:3")


def test_a_large_file_is_told_of(tmp_path, monkeypatch):
    class Said:
        def __init__(self):
            self.notes, self.done = [], 0

        def note(self, text):
            self.notes.append(text)

        def stage(self, name, total):
            from contextlib import contextmanager

            @contextmanager
            def stage():
                yield lambda count: setattr(self, "done", self.done + count)
                assert self.done == total

            return stage()

    lines = (
        b'{"outcome_id": "o", "prompt_id": "p", "target": "t", "label": "harmful", "votes": []}\n' * 40_000
    )
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "harm.jsonl").write_bytes(lines)
    said = Said()
    assert sum(1 for _ in brief.told(brief.harms_of(tmp_path), said)) == 40_000
    assert said.notes == []  # it takes no time
    monkeypatch.setattr(brief, "LARGE", 1_000_000)
    assert sum(1 for _ in brief.told(brief.harms_of(tmp_path), said)) == 40_000
    assert len(said.notes) == 1
    assert "harm.jsonl (3 MB)" in said.notes[0]
    assert said.done == 3


def test_a_run_is_read_in_little_room(tmp_path):
    """Columns take 40 bytes for each outcome, where records of 500 characters take a thousand."""
    prompts, outcomes, harms, _ = make_run(4, 600)
    texts = [
        Outcome(f"outcome-{i:016x}", one.prompt_id, one.target, i, one.state, one.stage, text="x" * 500)
        for i, one in enumerate(outcomes * 4)
    ]
    folder = write_run(tmp_path / "run", {p.id: p for p in prompts}, texts, KINDS, harms=harms)
    run = open_run(folder, "run")
    gathered(run)
    tracemalloc.start()
    found = gathered(run)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    rows = sum(map(len, found.rows.values()))
    assert rows == len(texts) > 8_000
    assert peak / rows < 340, peak / rows  # 85 measured, with the prompts


# -- the parts -----------------------------------------------------------------------------------------------


def test_values_by_id_the_last_one_counts():
    known = ById()
    for at, (id, value) in enumerate([("outcome-00000000000000ff", "a"), ("b0", "b"), ("b0", None)]):
        known.add(id, value, at)
    numbers = np.array([number_of(id) for id in ("b0", "c", "outcome-00000000000000ff")], dtype=np.uint64)
    assert [known.values[code] if code >= 0 else "?" for code in known.of(numbers)] == [None, "?", "a"]
    assert known.at(numbers).tolist() == [2, -1, 0]
    assert number_of("outcome-00000000000000ff") == 255
    assert number_of("outcome-of another maker") != number_of("outcome-of another maken")
    assert ById().of(numbers).tolist() == [-1, -1, -1]


def test_some_prompts_of_all_keep_their_versions():
    prompts, *_ = make_run(5, 30)
    asked = asked_of(enumerate(prompts))
    which = np.array([i % 3 != 0 for i in range(len(prompts))])
    part = asked.part(which)
    kept = [prompt for prompt, stays in zip(prompts, which, strict=True) if stays]
    assert list(part.places) == [prompt.id for prompt in kept]
    for prompt, source in zip(kept, part.variant_of.tolist(), strict=True):
        there = prompt.variant_of in part.places
        assert source == (part.places[prompt.variant_of] if there else -1)
    assert [kept[i].text for i in part.places.values()] == [prompts[at].text for at in part.at.tolist()]


def test_clusters_as_numbers_are_clusters_as_words():
    events = [i % 3 == 0 or i % 7 == 1 for i in range(60)]
    codes = np.array([(i * 7) % 13 for i in range(60)])
    words = [f"seed {code}" for code in codes]
    assert rate(np.array(events), codes) == rate(events, words)
    with pytest.raises(ValueError, match="clusters has 59 rows"):
        rate(events, codes[:-1])


def test_agreement_over_distinct_rows_is_that_over_all():
    distinct = [["a", "a", "b"], ["a", "b", None], ["b", "b", "b"], ["a", "a", "a"]]
    items = [0, 2, 2, 3, 1, 0, 3, 3]
    labels = Labels(distinct, np.array(items))
    assert krippendorff_alpha(labels) == krippendorff_alpha([distinct[i] for i in items])
    whole = [i for i in items if i != 1]
    assert fleiss_kappa(Labels(distinct, np.array(whole))) == fleiss_kappa([distinct[i] for i in whole])
    with pytest.raises(ValueError, match=r"labels\[4\] lacks a label"):
        fleiss_kappa(labels)
